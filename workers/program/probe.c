/* probe - see probe.h. */
#include "workers/program/probe.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "common/base/fd.h"
#include "common/base/str.h"

#define COMMAND_MAX 512

void probe_close(struct probe *p)
{
    if (p->fd >= 0)
        ev_io_stop(p->loop, &p->io);
    fd_close(&p->fd);
    buf_reset(&p->in);
    p->pending = false;
    p->server = 0;
}

static void lost(struct probe *p)
{
    bool pending = p->pending;
    probe_close(p);
    if (pending)
        p->fn(NULL, p->arg);
}

static void on_readable(struct ev_loop *loop, ev_io *io, int events)
{
    (void)loop;
    struct probe *p = io->data;
    if ((events & EV_ERROR) != 0 || buf_reserve(&p->in, 4096) != 0) {
        lost(p);
        return;
    }
    ssize_t n = recv(p->fd, p->in.data + p->in.len, 4096, 0);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0) {
        lost(p);
        return;
    }
    p->in.len += (size_t)n;
    struct reply r;
    ssize_t used = reply_parse(p->in.data, p->in.len, &r);
    if (used == 0)
        return;
    if (used < 0 || !p->pending) {
        lost(p);
        return;
    }
    /* One question, one answer: the buffer holds nothing else, and must outlive the call. */
    struct buf answer = p->in;
    buf_init(&p->in, 2 * REPLY_MAX);
    p->pending = false;
    p->fn(&r, p->arg);
    buf_fini(&answer);
}

static int open_connection(struct probe *p)
{
    struct sockaddr_un sa = {.sun_family = AF_UNIX};
    if (str_copy(sa.sun_path, p->path, sizeof sa.sun_path) >= sizeof sa.sun_path) {
        errno = ENAMETOOLONG;
        return -1;
    }
    p->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (p->fd < 0)
        return -1;
    struct ucred cred;
    socklen_t len = sizeof cred;
    if (connect(p->fd, (struct sockaddr *)&sa, sizeof sa) != 0 ||
        getsockopt(p->fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) != 0) {
        fd_close(&p->fd);
        return -1;
    }
    p->server = cred.pid;
    ev_io_init(&p->io, on_readable, p->fd, EV_READ);
    p->io.data = p;
    ev_io_start(p->loop, &p->io);
    return 0;
}

void probe_init(struct probe *p, struct ev_loop *loop, const char *path, probe_fn fn, void *arg)
{
    *p = (struct probe){.loop = loop, .path = path, .fn = fn, .arg = arg, .fd = -1};
    buf_init(&p->in, 2 * REPLY_MAX);
}

int probe_ask(struct probe *p, const char *command)
{
    if (p->pending) {
        errno = EBUSY;
        return -1;
    }
    if (p->fd < 0 && open_connection(p) != 0)
        return -1;
    char line[COMMAND_MAX];
    int n = snprintf(line, sizeof line, "%s\r\n", command);
    if (n < 0 || (size_t)n >= sizeof line) {
        errno = EMSGSIZE;
        return -1;
    }
    /* A line fits into the empty socket, or the connection is of no use. */
    for (int at = 0; at < n;) {
        ssize_t sent = send(p->fd, line + at, (size_t)(n - at), MSG_NOSIGNAL);
        if (sent < 0) {
            int saved = errno;
            probe_close(p);
            errno = saved;
            return -1;
        }
        at += (int)sent;
    }
    p->pending = true;
    return 0;
}
