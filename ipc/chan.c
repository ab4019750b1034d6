/* chan - see chan.h. Used by master/control.c (one a child) and workers/child.c.
 *
 * Out: one byte queue, and beside it the places where descriptors belong. A frame that carries descriptors goes in a
 * sendmsg of its own, so that the kernel cannot glue it to another. In: descriptors come no later than the first byte
 * of their frame and in order, so a queue of them and msg_n_fds of each type join the two again.
 */
#include "ipc/chan.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "common/base/clock.h"
#include "common/base/fd.h"
#include "common/base/mem.h"
#include "ipc/fdpass.h"
#include "ipc/frame.h"

#define READ_SIZE       (64u << 10)
#define READS_PER_TURN  4
#define DRAIN_READS_MAX 64            /* 4 MiB: far over what a socket holds */
#define FDS_WAITING_MAX CHAN_REST_FDS /* out: messages with descriptors; in: descriptors */

/* Descriptors of the frame that begins at this position of the out stream. */
struct attached {
    uint64_t at;
    int fds[FDPASS_MAX];
    size_t n;
};

struct chan {
    struct ev_loop *loop;
    int fd;
    enum msg_dir in;
    const struct chan_events *events;
    void *arg;
    ev_io read, write;
    struct buf out;
    size_t out_at;   /* bytes of out already written */
    uint64_t sent;   /* stream position of out_at */
    bool write_dead; /* the peer takes nothing any more; reading goes on to its end */
    struct attached attached[FDS_WAITING_MAX];
    size_t n_attached;
    struct frame_reader reader;
    int in_fds[FDS_WAITING_MAX];
    size_t n_in_fds;
    bool is_gone, freed;
    int busy; /* depth of calls that still use this object after an event */
};

static void attached_drop(struct chan *c, size_t i)
{
    for (size_t k = 0; k < c->attached[i].n; k++)
        fd_close(&c->attached[i].fds[k]);
}

static void destroy(struct chan *c)
{
    for (size_t i = 0; i < c->n_attached; i++)
        attached_drop(c, i);
    for (size_t i = 0; i < c->n_in_fds; i++)
        fd_close(&c->in_fds[i]);
    frame_reader_fini(&c->reader);
    buf_fini(&c->out);
    free(c);
}

static void release(struct chan *c)
{
    if (--c->busy == 0 && c->freed)
        destroy(c);
}

static void shut(struct chan *c)
{
    ev_io_stop(c->loop, &c->read);
    ev_io_stop(c->loop, &c->write);
}

static void gone(struct chan *c, int error, const char *why)
{
    if (c->is_gone || c->freed)
        return;
    c->is_gone = true;
    shut(c);
    c->events->gone(c, error, why, c->arg);
}

/* How many bytes the next sendmsg may carry, and with which descriptors. */
static size_t next_piece(const struct chan *c, const struct attached **a)
{
    size_t left = c->out.len - c->out_at;
    *a = NULL;
    if (c->n_attached == 0)
        return left;
    if (c->attached[0].at > c->sent)
        return (size_t)(c->attached[0].at - c->sent);
    *a = &c->attached[0];
    const unsigned char *head = (const unsigned char *)c->out.data + c->out_at;
    return FRAME_HEAD + ((size_t)head[1] << 24 | (size_t)head[2] << 16 | (size_t)head[3] << 8 | head[4]);
}

static void took(struct chan *c, size_t n)
{
    c->out_at += n;
    c->sent += n;
    if (c->out_at == c->out.len) {
        buf_reset(&c->out);
        c->out_at = 0;
    } else if (c->out_at > c->out.len / 2) {
        buf_consume(&c->out, c->out_at);
        c->out_at = 0;
    }
}

static void write_died(struct chan *c)
{
    c->write_dead = true;
    ev_io_stop(c->loop, &c->write);
    buf_reset(&c->out);
    c->out_at = 0;
    while (c->n_attached > 0)
        attached_drop(c, --c->n_attached);
}

/* Writes what the socket takes. 0, or -1 when the peer is gone. */
static int write_some(struct chan *c)
{
    while (chan_pending(c) > 0) {
        const struct attached *a;
        size_t len = next_piece(c, &a);
        ssize_t n =
            fdpass_send(c->fd, c->out.data + c->out_at, len, a == NULL ? NULL : a->fds, a == NULL ? 0 : a->n);
        if (n < 0 && (errno == EAGAIN || errno == ENOBUFS || errno == ENOMEM || errno == ETOOMANYREFS))
            break;
        if (n < 0) {
            /* A peer that lives and cannot be told anything: both sides shall see the end of it. */
            if (errno != EPIPE && errno != ECONNRESET)
                (void)shutdown(c->fd, SHUT_RDWR);
            write_died(c);
            return -1;
        }
        if (a != NULL) { /* they went with the first byte */
            attached_drop(c, 0);
            c->n_attached--;
            memmove(c->attached, c->attached + 1, c->n_attached * sizeof *c->attached);
        }
        took(c, (size_t)n);
    }
    if (chan_pending(c) > 0)
        ev_io_start(c->loop, &c->write);
    else
        ev_io_stop(c->loop, &c->write);
    return 0;
}

/* libev could not have it watched, and has stopped both watchers. */
static void unwatched(struct chan *c)
{
    gone(c, ENOMEM, "the event loop cannot watch it");
}

static void on_writable(struct ev_loop *loop, ev_io *w, int revents)
{
    (void)loop;
    struct chan *c = w->data;
    c->busy++;
    if ((revents & EV_ERROR) != 0)
        unwatched(c);
    else if (write_some(c) == 0 && chan_pending(c) == 0 && c->events->drained != NULL)
        c->events->drained(c, c->arg);
    release(c);
}

/* Hands one message with its descriptors over. */
static void dispatch(struct chan *c, const unsigned char *body, size_t len)
{
    struct msg m;
    const char *why;
    if (msg_parse(body, len, c->in, &m, &why) < 0) {
        gone(c, EPROTO, why);
        return;
    }
    size_t n = msg_n_fds(m.type);
    if (n > c->n_in_fds) {
        gone(c, EPROTO, "a message without its descriptors");
        return;
    }
    int fds[FDPASS_MAX];
    memcpy(fds, c->in_fds, n * sizeof *fds);
    c->n_in_fds -= n;
    memmove(c->in_fds, c->in_fds + n, c->n_in_fds * sizeof *fds);
    c->events->message(c, &m, n > 0 ? fds : NULL, n, c->arg);
}

static void feed(struct chan *c, const unsigned char *data, size_t left)
{
    while (!c->freed && !c->is_gone) {
        const unsigned char *body;
        size_t len;
        switch (frame_next(&c->reader, &data, &left, &body, &len)) {
        case FRAME_WHOLE:
            dispatch(c, body, len);
            break;
        case FRAME_MORE:
            if (c->n_in_fds > 0 && !frame_reader_torn(&c->reader))
                gone(c, EPROTO, "descriptors that belong to no message");
            return;
        case FRAME_BAD:
            gone(c, EPROTO, errno == EMSGSIZE ? "a frame over the cap" : "a broken frame");
            return;
        case FRAME_NO_MEM:
            gone(c, ENOMEM, "no memory for a frame");
            return;
        }
    }
}

/* One read. False: nothing more for now, or the channel is gone. */
static bool read_once(struct chan *c)
{
    unsigned char data[READ_SIZE];
    int fds[FDPASS_MAX];
    size_t n_fds;
    ssize_t n = fdpass_recv(c->fd, data, sizeof data, fds, &n_fds);
    if (n < 0) {
        if (errno == EAGAIN)
            return false;
        gone(c, errno, errno == EPROTO ? "too many descriptors" : strerror(errno));
        return false;
    }
    bool room = c->n_in_fds + n_fds <= FDS_WAITING_MAX;
    for (size_t i = 0; i < n_fds; i++) {
        if (room)
            c->in_fds[c->n_in_fds++] = fds[i];
        else
            fd_close(&fds[i]);
    }
    if (n == 0)
        gone(c, 0, frame_reader_torn(&c->reader) ? "closed in the middle of a message" : "closed");
    else if (!room)
        gone(c, EPROTO, "too many descriptors");
    else
        feed(c, data, (size_t)n);
    return !c->freed && !c->is_gone;
}

static void on_readable(struct ev_loop *loop, ev_io *w, int revents)
{
    (void)loop;
    struct chan *c = w->data;
    c->busy++;
    if ((revents & EV_ERROR) != 0)
        unwatched(c);
    for (int i = 0; i < READS_PER_TURN && read_once(c); i++)
        ;
    release(c);
}

struct chan *chan_new(struct ev_loop *loop, int fd, enum msg_dir in, const struct chan_events *events,
                      void *arg)
{
    struct chan *c = xcalloc(1, sizeof *c);
    c->loop = loop;
    c->fd = fd;
    c->in = in;
    c->events = events;
    c->arg = arg;
    buf_init(&c->out, CHAN_OUT_MAX);
    frame_reader_init(&c->reader, FRAME_CONTROL_MAX);
    (void)fd_set_nonblock(fd);
    ev_io_init(&c->read, on_readable, fd, EV_READ);
    ev_io_init(&c->write, on_writable, fd, EV_WRITE);
    c->read.data = c->write.data = c;
    ev_io_start(loop, &c->read);
    return c;
}

void chan_free(struct chan *c)
{
    if (c == NULL || c->freed)
        return;
    c->freed = true;
    shut(c);
    fd_close(&c->fd);
    if (c->busy == 0)
        destroy(c);
}

/* Own copies of the descriptors, to wait in the queue. */
static int attach(struct chan *c, const int *fds, size_t n_fds, uint64_t at)
{
    struct attached *a = &c->attached[c->n_attached];
    *a = (struct attached){.at = at};
    for (; a->n < n_fds; a->n++) {
        a->fds[a->n] = fcntl(fds[a->n], F_DUPFD_CLOEXEC, 0);
        if (a->fds[a->n] < 0) {
            int error = errno;
            attached_drop(c, c->n_attached);
            errno = error;
            return -1;
        }
    }
    c->n_attached++;
    return 0;
}

int chan_send(struct chan *c, const struct msg *m, const int *fds, size_t n_fds)
{
    if (c->is_gone || c->freed || c->write_dead) {
        errno = EPIPE;
        return -1;
    }
    if (n_fds != msg_n_fds(m->type)) {
        errno = EINVAL;
        return -1;
    }
    if (n_fds > 0 && c->n_attached == FDS_WAITING_MAX) {
        errno = ENOBUFS;
        return -1;
    }
    bool idle = chan_pending(c) == 0;
    buf_consume(&c->out, c->out_at);
    c->out_at = 0;
    size_t before = c->out.len;
    if (msg_pack(&c->out, m) < 0) {
        if (errno == EMSGSIZE && c->out.max - before < FRAME_HEAD + msg_cap(m->type))
            errno = ENOBUFS;
        return -1;
    }
    if (n_fds > 0 && attach(c, fds, n_fds, c->sent + before) < 0) {
        c->out.len = before;
        return -1;
    }
    if (idle && write_some(c) < 0) {
        errno = EPIPE;
        return -1;
    }
    return 0;
}

size_t chan_pending(const struct chan *c)
{
    return c->out.len - c->out_at;
}

void chan_drain_input(struct chan *c)
{
    c->busy++;
    for (int i = 0; i < DRAIN_READS_MAX && !c->freed && !c->is_gone && read_once(c); i++)
        ;
    release(c);
}

void chan_flush(struct chan *c, int ms)
{
    uint64_t deadline = clock_mono_ms() + (uint64_t)ms;
    while (!c->freed && !c->is_gone && !c->write_dead && chan_pending(c) > 0) {
        uint64_t now = clock_mono_ms();
        struct pollfd p = {.fd = c->fd, .events = POLLOUT};
        if (now >= deadline || (poll(&p, 1, (int)(deadline - now)) < 0 && errno != EINTR))
            return;
        if (write_some(c) < 0)
            return;
    }
}

int chan_fd(const struct chan *c)
{
    return c->fd;
}

/* ------------------------------------------------------------------ handing over to a successor */

void chan_rest_init(struct chan_rest *r)
{
    memset(r, 0, sizeof *r);
    buf_init(&r->in, FRAME_HEAD + FRAME_CONTROL_MAX);
    buf_init(&r->out, CHAN_OUT_MAX);
}

void chan_rest_fini(struct chan_rest *r)
{
    buf_fini(&r->in);
    buf_fini(&r->out);
}

int chan_save(const struct chan *c, struct chan_rest *r)
{
    _Static_assert(sizeof r->attached[0].fds >= sizeof c->attached[0].fds, "descriptors of one message");
    const struct frame_reader *f = &c->reader;
    if (!f->given && (buf_append(&r->in, f->head, f->head_len) < 0 ||
                      (f->body_got > 0 && buf_append(&r->in, f->body, f->body_got) < 0)))
        return -1;
    if (chan_pending(c) > 0 && buf_append(&r->out, c->out.data + c->out_at, chan_pending(c)) < 0)
        return -1;
    for (size_t i = 0; i < c->n_attached; i++) {
        const struct attached *a = &c->attached[i];
        r->attached[i].at = a->at - c->sent;
        r->attached[i].n = (unsigned)a->n;
        memcpy(r->attached[i].fds, a->fds, a->n * sizeof *a->fds);
    }
    r->n_attached = (unsigned)c->n_attached;
    return 0;
}

/* An unfinished frame: the reader takes all of it and has nothing to hand out. */
static int restore_in(struct chan *c, const struct buf *in)
{
    const unsigned char *data = (const unsigned char *)in->data, *body;
    size_t left = in->len, len;
    if (left > 0 && frame_next(&c->reader, &data, &left, &body, &len) != FRAME_MORE)
        return -1;
    return 0;
}

static bool attached_fits(const struct chan_rest *r, unsigned i)
{
    return r->attached[i].n > 0 && r->attached[i].n <= FDPASS_MAX && r->out.len >= FRAME_HEAD &&
           r->attached[i].at <= r->out.len - FRAME_HEAD &&
           (i == 0 || r->attached[i].at > r->attached[i - 1].at);
}

int chan_restore(struct chan *c, const struct chan_rest *r)
{
    bool fits = r->n_attached <= FDS_WAITING_MAX;
    for (unsigned i = 0; fits && i < r->n_attached; i++)
        fits = attached_fits(r, i);
    if (!fits || restore_in(c, &r->in) < 0 ||
        (r->out.len > 0 && buf_append(&c->out, r->out.data, r->out.len) < 0)) {
        errno = EPROTO;
        return -1;
    }
    for (unsigned i = 0; i < r->n_attached; i++) {
        struct attached *a = &c->attached[c->n_attached++];
        *a = (struct attached){.at = r->attached[i].at, .n = r->attached[i].n};
        memcpy(a->fds, r->attached[i].fds, a->n * sizeof *a->fds);
    }
    if (r->out.len > 0)
        ev_io_start(c->loop, &c->write);
    return 0;
}
