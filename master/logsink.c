/* logsink - see logsink.h. */
#include "master/logsink.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/base/buf.h"
#include "common/base/clock.h"
#include "common/base/fd.h"
#include "common/base/mem.h"
#include "common/base/str.h"

#define LINE_MAX_BYTES (LOG_LINE_MAX * 2)
#define FLUSH_END_MS   1000

struct logsink {
    struct ev_loop *loop;
    ev_io writable;
    bool watching; /* epoll refuses regular files: they are written at once */
    int fd;
    bool own_fd, is_file, is_syslog, json;
    char *path;
    struct buf ring; /* whole lines, oldest first */
    bool in_line;    /* what was written last does not end a line */
    bool torn;       /* and its rest is lost */
    uint64_t dropped, told;
};

/* ------------------------------------------------------------------ forms */

/* *p stands on the backslash, and then on the last character of what log_q wrote for one: \" \\ \n \xNN. */
static char unescape(const char **p, const char *end)
{
    (*p)++;
    if (**p == 'n')
        return '\n';
    unsigned byte;
    char digits[3] = "";
    if (**p != 'x' || end - *p < 3)
        return **p;
    memcpy(digits, *p + 1, 2);
    if (sscanf(digits, "%2x", &byte) != 1)
        return **p;
    *p += 2;
    return (char)byte;
}

/* A JSON string of foreign bytes: what is no UTF-8 becomes U+FFFD. */
static void put_text(struct buf *out, const char *s, size_t len)
{
    char clean[3 * LOG_LINE_MAX];
    size_t n = 0;
    while (len > 0) {
        size_t k = str_utf8_length(s, len), put = k > 0 ? k : 3, step = k > 0 ? k : 1;
        memcpy(clean + n, k > 0 ? s : "\xef\xbf\xbd", put);
        n += put;
        s += step;
        len -= step;
    }
    (void)buf_put_json(out, clean, n);
}

/* Appends tail's key=value pairs as JSON members; quoted values are unescaped from log_q's form. */
static void tail_to_json(struct buf *out, const char *p, const char *end)
{
    char value[LOG_LINE_MAX];
    while (p < end) {
        while (p < end && *p == ' ')
            p++;
        const char *key = p;
        while (p < end && *p != '=' && *p != ' ')
            p++;
        size_t key_len = (size_t)(p - key), n = 0;
        if (key_len == 0)
            break;
        if (p < end && *p == '=')
            p++;
        if (p < end && *p == '"') {
            for (p++; p < end && *p != '"'; p++) {
                char c = *p;
                if (c == '\\' && p + 1 < end)
                    c = unescape(&p, end);
                if (n < sizeof value)
                    value[n++] = c;
            }
            p++;
        } else {
            for (; p < end && *p != ' '; p++)
                if (n < sizeof value)
                    value[n++] = *p;
        }
        (void)buf_appendc(out, ',');
        put_text(out, key, key_len < sizeof value ? key_len : sizeof value);
        (void)buf_appendc(out, ':');
        put_text(out, value, n);
    }
}

static void format_line(const struct logsink *l, struct buf *out, enum log_level level,
                        const struct logsink_origin *o, const char *tail, size_t len)
{
    char when[CLOCK_TEXT_SIZE];
    clock_format_wall(clock_wall_ms(), when);
    if (l->json) {
        (void)buf_printf(out,
                         "{\"ts\":\"%s\",\"level\":\"%s\",\"kind\":\"%s\",\"slot\":%u,\"gen\":%u,\"pid\":%d",
                         when, log_level_name(level), o->kind, o->slot, o->generation, (int)o->pid);
        tail_to_json(out, tail, tail + len);
        (void)buf_puts(out, "}\n");
    } else {
        (void)buf_printf(out, "ts=%s level=%s kind=%s slot=%u gen=%u pid=%d ", when, log_level_name(level),
                         o->kind, o->slot, o->generation, (int)o->pid);
        (void)buf_append(out, tail, len);
        (void)buf_appendc(out, '\n');
    }
}

/* ------------------------------------------------------------------ writing */

/* Would a write of up to PIPE_BUF bytes return at once? A shared stderr must not be made non-blocking: it is the
 * terminal's. A broken one is written to as well, to hear of it: its descriptor stays ready for ever. */
static bool takes(const struct logsink *l)
{
    struct pollfd p = {.fd = l->fd, .events = POLLOUT};
    return l->is_file || l->is_syslog ||
           (poll(&p, 1, 0) == 1 && (p.revents & (POLLOUT | POLLERR | POLLHUP | POLLNVAL)) != 0);
}

static ssize_t write_some(const struct logsink *l, const char *data, size_t len)
{
    if (!l->is_syslog)
        return write(l->fd, data, len < LOG_LINE_MAX || l->is_file ? len : LOG_LINE_MAX);
    const char *end = memchr(data, '\n', len);
    size_t line = end != NULL ? (size_t)(end - data) : len;
    char packet[LINE_MAX_BYTES];
    int n = snprintf(packet, sizeof packet, "<30>dray: %.*s", (int)line, data); /* daemon.info */
    if (send(l->fd, packet, (size_t)n < sizeof packet ? (size_t)n : sizeof packet - 1,
             MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
        return -1;
    return (ssize_t)(end != NULL ? line + 1 : line);
}

/* ENOSPC, EIO, EPIPE: the rest of what waits would fail alike. */
static void drop_all(struct logsink *l, size_t done)
{
    for (size_t i = done; i < l->ring.len; i++)
        l->dropped += l->ring.data[i] == '\n';
    l->torn |= l->in_line;
    buf_reset(&l->ring);
}

/* Writes what the output takes. False: it failed, everything that waited is dropped. */
static bool write_ring(struct logsink *l)
{
    size_t done = 0;
    if (l->ring.len > 0 && l->torn && takes(l)) { /* what was left of a line stays alone */
        if (write_some(l, "\n", 1) != 1) {
            drop_all(l, 0);
            return false;
        }
        l->torn = l->in_line = false;
    }
    while (done < l->ring.len && takes(l)) {
        ssize_t n = write_some(l, l->ring.data + done, l->ring.len - done);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
            break;
        if (n < 0) {
            drop_all(l, done);
            return false;
        }
        done += (size_t)n;
        l->in_line = l->ring.data[done - 1] != '\n';
    }
    buf_consume(&l->ring, done);
    return true;
}

static void tell_drops(struct logsink *l)
{
    struct logsink_origin self = {.kind = "master", .pid = getpid()};
    uint64_t dropped = l->dropped;
    char tail[64];
    int n =
        snprintf(tail, sizeof tail, "event=log_dropped n=%llu", (unsigned long long)(l->dropped - l->told));
    format_line(l, &l->ring, LOGL_WARN, &self, tail, (size_t)n);
    if (write_ring(l))
        l->told = dropped;
    else
        l->dropped = dropped; /* that line itself does not count */
}

static void pump(struct logsink *l)
{
    if (write_ring(l) && l->ring.len == 0 && l->dropped > l->told)
        tell_drops(l);
    bool wait = l->ring.len > 0 && l->watching;
    if (wait && !ev_is_active(&l->writable))
        ev_io_start(l->loop, &l->writable);
    else if (!wait && ev_is_active(&l->writable))
        ev_io_stop(l->loop, &l->writable);
}

static void on_writable(struct ev_loop *loop, ev_io *w, int revents)
{
    (void)loop;
    (void)revents;
    pump(w->data);
}

void logsink_write(struct logsink *l, enum log_level level, const struct logsink_origin *o, const char *tail,
                   size_t len)
{
    struct buf line;
    buf_init(&line, LINE_MAX_BYTES);
    format_line(l, &line, level, o, tail, len);
    bool idle = l->ring.len == 0;
    if (line.len == 0 || line.data[line.len - 1] != '\n' || buf_append(&l->ring, line.data, line.len) < 0)
        l->dropped++;
    buf_fini(&line);
    if (idle || l->is_file || l->is_syslog)
        pump(l);
}

/* ------------------------------------------------------------------ opening */

static int open_file(const char *path)
{
    return open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY, 0640);
}

static int open_syslog(void)
{
    struct sockaddr_un sa = {.sun_family = AF_UNIX, .sun_path = "/dev/log"};
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && connect(fd, (const struct sockaddr *)&sa, sizeof sa) < 0)
        fd_close(&fd);
    return fd;
}

/* l->fd is new. */
static void attach(struct logsink *l)
{
    struct stat st;
    l->is_file = fstat(l->fd, &st) == 0 && S_ISREG(st.st_mode);
    l->watching = !l->is_file;
    l->in_line = l->torn = false;
    ev_io_init(&l->writable, on_writable, l->fd, EV_WRITE);
    l->writable.data = l;
}

static void own_line(enum log_level level, const char *line, void *arg)
{
    struct logsink_origin self = {.kind = "master", .pid = getpid()};
    logsink_write(arg, level, &self, line, strlen(line));
}

struct logsink *logsink_new(struct ev_loop *loop, const struct conf_log *c)
{
    struct logsink *l = xcalloc(1, sizeof *l);
    l->loop = loop;
    l->json = c->format == CONF_LOG_JSON;
    l->fd = STDERR_FILENO;
    buf_init(&l->ring, LOGSINK_RING);
    if (str_starts(c->output, "file:")) {
        l->path = xstrdup(c->output + strlen("file:"));
        l->fd = open_file(l->path);
        l->own_fd = true;
    } else if (strcmp(c->output, "syslog") == 0) {
        l->fd = open_syslog();
        l->own_fd = l->is_syslog = true;
    }
    if (l->fd < 0) {
        log_crit(
            "log_open_failed", "output=%s err=%s remedy=%s", log_q(c->output), log_q(strerror(errno)),
            log_q(
                l->is_syslog
                    ? "no syslog daemon listens at /dev/log: start one, or set log.output to stderr or file:PATH"
                    : "log.output: the folder must be there and writable for dray"));
        free(l->path);
        free(l);
        return NULL;
    }
    attach(l);
    log_to_writer(own_line, l);
    return l;
}

void logsink_free(struct logsink *l)
{
    if (l == NULL)
        return;
    log_to_stderr();
    uint64_t until = clock_mono_ms() + FLUSH_END_MS;
    pump(l);
    while (l->ring.len > 0 && clock_mono_ms() < until) {
        struct pollfd p = {.fd = l->fd, .events = POLLOUT};
        (void)poll(&p, 1, 50);
        pump(l);
    }
    ev_io_stop(l->loop, &l->writable);
    buf_fini(&l->ring);
    if (l->own_fd)
        fd_close(&l->fd);
    free(l->path);
    free(l);
}

int logsink_reopen(struct logsink *l)
{
    if (l->path == NULL)
        return 0;
    int fd = open_file(l->path);
    if (fd < 0)
        return -1;
    pump(l);
    if (l->in_line) /* the new file does not begin with the end of a line */
        drop_all(l, 0);
    ev_io_stop(l->loop, &l->writable);
    fd_close(&l->fd);
    l->fd = fd;
    attach(l);
    pump(l);
    return 0;
}

uint64_t logsink_dropped(const struct logsink *l)
{
    return l->dropped;
}
