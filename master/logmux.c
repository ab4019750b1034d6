/* logmux - see logmux.h. */
#include "master/logmux.h"

#include <errno.h>
#include <ev.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/fd.h"
#include "common/base/mem.h"
#include "master/logsink.h"
#include "master/state.h"

#define LAST_READ (1u << 20) /* of a dead child */

struct logmux {
    struct master *master;
    ev_io readable;
    struct logsink_origin origin;
    char line[LOG_LINE_MAX];
    size_t len;
};

static void raw_line(struct logmux *l, const char *text, size_t len)
{
    char tail[LOG_LINE_MAX];
    const char *quoted = log_qn(text, len);
    size_t n = strlen("event=raw msg="), q = strlen(quoted);
    memcpy(tail, "event=raw msg=", n);
    if (q > sizeof tail - n)
        q = sizeof tail - n;
    memcpy(tail + n, quoted, q);
    logsink_write(l->master->sink, LOGL_WARN, &l->origin, tail, n + q);
}

static void put_line(struct logmux *l)
{
    const char *p = l->line;
    size_t len = l->len;
    l->len = 0;
    if (len == 0)
        return;
    if (len > 2 && p[0] == LOG_TAG && p[1] >= '0' && p[1] <= '0' + LOGL_DEBUG &&
        memchr(p + 2, LOG_TAG, len - 2) == NULL)
        logsink_write(l->master->sink, (enum log_level)(p[1] - '0'), &l->origin, p + 2, len - 2);
    else
        raw_line(l, p, len);
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
        if (copy < n) { /* longer than any line: what came so far is one */
            put_line(l);
        } else if (end != NULL) {
            put_line(l);
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

static void on_readable(struct ev_loop *loop, ev_io *w, int revents)
{
    (void)revents;
    struct logmux *l = w->data;
    bool eof;
    read_up_to(l, LOGMUX_TURN, &eof);
    if (eof)
        ev_io_stop(loop, w);
}

struct logmux *logmux_new(struct master *m, int fd, const char *kind, unsigned slot, uint32_t generation,
                          pid_t pid)
{
    struct logmux *l = xcalloc(1, sizeof *l);
    l->master = m;
    l->origin = (struct logsink_origin){.kind = kind, .slot = slot, .generation = generation, .pid = pid};
    ev_io_init(&l->readable, on_readable, fd, EV_READ);
    l->readable.data = l;
    ev_io_start(m->loop, &l->readable);
    return l;
}

void logmux_free(struct logmux *l)
{
    if (l == NULL)
        return;
    bool eof;
    read_up_to(l, LAST_READ, &eof);
    put_line(l);
    ev_io_stop(l->master->loop, &l->readable);
    int fd = l->readable.fd;
    fd_close(&fd);
    free(l);
}
