/* chan - the control channel between master and child: framed messages and descriptors on a libev loop.
 *
 * Never blocks. What cannot be written at once waits in a queue of at most CHAN_OUT_MAX bytes; overflow means that
 * the other side does not read any more (chan_send fails with ENOBUFS: the master kills such a child). Reading is
 * bounded per turn, so that one busy peer cannot starve the others.
 */
#ifndef DRAY_IPC_CHAN_H
#define DRAY_IPC_CHAN_H

#include <ev.h>
#include <stddef.h>

#include "common/base/buf.h"
#include "ipc/msg.h"

#define CHAN_OUT_MAX (256u << 10)

struct chan;

struct chan_events {
    /* A checked message with its descriptors (n_fds of them; the handler owns them). May free the channel. */
    void (*message)(struct chan *c, const struct msg *m, const int *fds, size_t n_fds, void *arg);
    /* The channel is of no more use: EOF (error 0), a broken frame or message (EPROTO), a read or write error.
     * Called once; nothing is called afterwards. May free the channel. */
    void (*gone)(struct chan *c, int error, const char *why, void *arg);
    /* What had waited is written (NULL: not wanted). May send. */
    void (*drained)(struct chan *c, void *arg);
};

/* Takes over fd (non-blocking stream socket). in: direction of what is received. */
struct chan *chan_new(struct ev_loop *loop, int fd, enum msg_dir in, const struct chan_events *events,
                      void *arg);
void chan_free(struct chan *c); /* closes fd and descriptors still queued; NULL is fine */
/* 0, or -1 with ENOBUFS (queue full), EMSGSIZE, EPIPE (already gone), EINVAL (n_fds is not msg_n_fds of the type).
 * fds are dup'ed: the caller keeps its own. Calls no event. */
int chan_send(struct chan *c, const struct msg *m, const int *fds, size_t n_fds);
size_t chan_pending(const struct chan *c); /* bytes that wait to be written */
/* Reads and dispatches what has arrived right now, without waiting (used when the peer's death is known but its last
 * words may still stand in the socket). */
void chan_drain_input(struct chan *c);
/* Writes what is queued, waiting at most ms (a child's last words). */
void chan_flush(struct chan *c, int ms);
int chan_fd(const struct chan *c);

/* What a successor of this process (another program in the same pid) needs to go on with a channel: bytes of an
 * unfinished message that have been read, bytes that are still to be written, and descriptors that go with them. */
#define CHAN_REST_FDS 16 /* messages with descriptors that may wait */
struct chan_rest {
    struct buf in, out;
    unsigned n_attached;
    struct {
        uint64_t at; /* of out: the frame that carries them begins there */
        unsigned n;
        int fds[4];
    } attached[CHAN_REST_FDS];
};
void chan_rest_init(struct chan_rest *r);
void chan_rest_fini(struct chan_rest *r); /* the descriptors are not closed */
/* Copies; the descriptors stay the channel's. Not from inside an event of this channel. 0, or -1 without memory. */
int chan_save(const struct chan *c, struct chan_rest *r);
/* Into a channel that was just made; takes over the descriptors. 0, or -1 with EPROTO: it is not what chan_save wrote. */
int chan_restore(struct chan *c, const struct chan_rest *r);

#endif
