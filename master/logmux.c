/* logmux - see logmux.h. */
#include "master/logmux.h"

#include <errno.h>
#include <ev.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/fd.h"
#include "common/base/mem.h"
#include "master/lastwords.h"
#include "master/logline.h"
#include "master/logstream.h"
#include "master/state.h"

#define AGAIN_S   0.1
#define LAST_READ (1u << 20) /* of a dead child */

struct logmux {
    struct ev_loop *loop;
    ev_io readable;
    ev_timer again;
    struct logstream *stream;
    struct lastwords *words; /* or NULL */
    char line[LOG_LINE_MAX];
    size_t len;
    bool continued; /* what is in line goes on with what was put */
};

/* whole: it was ended by a newline. */
static void put_line(struct logmux *l, bool whole)
{
    const char *p = l->line;
    size_t len = l->len;
    bool continued = l->continued;
    l->len = 0;
    l->continued = !whole;
    if (len == 0)
        return;
    if (whole && !continued && len > 2 && p[0] == LOG_TAG && p[1] >= '0' && p[1] <= '0' + LOGL_DEBUG &&
        logline_is_valid(p + 2, len - 2)) {
        if (p[1] == '0' + LOGL_CRIT && l->words != NULL)
            lastwords_hear(l->words, p + 2, len - 2);
        logstream_put(l->stream, (enum log_level)(p[1] - '0'), p + 2, len - 2);
    } else {
        if (l->words != NULL)
            lastwords_hear(l->words, p, len);
        logstream_put_raw(l->stream, p, len, continued);
    }
}

/* Longer than any line: what came so far is put, but for the beginning of a character. */
static void put_part(struct logmux *l)
{
    char rest[4];
    size_t n = 0;
    while (n < 3 && ((unsigned char)l->line[l->len - 1 - n] & 0xc0) == 0x80)
        n++;
    n = (unsigned char)l->line[l->len - 1 - n] >= 0xc0 ? n + 1 : 0;
    memcpy(rest, l->line + l->len - n, n);
    l->len -= n;
    put_line(l, false);
    memcpy(l->line, rest, n);
    l->len = n;
}

static void take(struct logmux *l, const char *data, size_t len)
{
    while (len > 0) {
        const char *end = memchr(data, '\n', len);
        size_t n = end != NULL ? (size_t)(end - data) : len;
        size_t room = sizeof l->line - l->len;
        size_t copy = n < room ? n : room;
        memcpy(l->line + l->len, data, copy);
        l->len += copy;
        data += copy;
        len -= copy;
        if (copy < n) {
            put_part(l);
        } else if (end != NULL) {
            put_line(l, true);
            data++;
            len--;
        }
    }
}

/* Reads until max, EOF or nothing is there. */
static void read_up_to(struct logmux *l, size_t max, bool *eof)
{
    char chunk[8192];
    size_t total = 0;
    *eof = false;
    while (total < max) {
        ssize_t n = read(l->readable.fd, chunk, sizeof chunk);
        if (n < 0 && errno == EINTR)
            continue;
        *eof = n == 0 || (n < 0 && errno != EAGAIN);
        if (n <= 0)
            break;
        take(l, chunk, (size_t)n);
        total += (size_t)n;
    }
}

static void on_again(struct ev_loop *loop, ev_timer *w, int revents)
{
    (void)revents;
    struct logmux *l = w->data;
    ev_timer_stop(loop, w);
    ev_io_start(loop, &l->readable);
}

static void on_readable(struct ev_loop *loop, ev_io *w, int revents)
{
    struct logmux *l = w->data;
    bool eof;
    if ((revents & EV_ERROR) != 0) { /* it could not be watched: tried again in a moment */
        ev_timer_start(loop, &l->again);
        return;
    }
    read_up_to(l, LOGMUX_TURN, &eof);
    if (eof)
        ev_io_stop(loop, w);
}

struct logmux *logmux_new(struct master *m, int fd, const struct logsink_origin *o)
{
    struct logmux *l = xcalloc(1, sizeof *l);
    l->loop = m->loop;
    l->stream = logstream_new(m, o);
    ev_io_init(&l->readable, on_readable, fd, EV_READ);
    l->readable.data = l;
    ev_timer_init(&l->again, on_again, AGAIN_S, 0.);
    l->again.data = l;
    ev_io_start(m->loop, &l->readable);
    return l;
}

void logmux_keep(struct logmux *l, struct lastwords *words)
{
    l->words = words;
}

void logmux_set_level(struct logmux *l, enum log_level level)
{
    logstream_set_level(l->stream, level);
}

void logmux_free(struct logmux *l)
{
    if (l == NULL)
        return;
    bool eof;
    read_up_to(l, LAST_READ, &eof);
    put_line(l, false); /* its last words, though no newline ends them */
    logstream_free(l->stream);
    ev_io_stop(l->loop, &l->readable);
    ev_timer_stop(l->loop, &l->again);
    int fd = l->readable.fd;
    fd_close(&fd);
    free(l);
}

int logmux_save(const struct logmux *l, const char **half, size_t *len, bool *continued)
{
    *continued = l->continued;
    *half = l->line;
    *len = l->len;
    return l->readable.fd;
}

void logmux_restore(struct logmux *l, const char *half, size_t len, bool continued)
{
    l->continued = continued;
    l->len = len < sizeof l->line ? len : sizeof l->line;
    if (l->len > 0)
        memcpy(l->line, half, l->len);
}
