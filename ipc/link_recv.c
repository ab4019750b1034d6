/* link_recv - see link_recv.h. Used by the children that take batches (delivery, spool).
 *
 * Big bodies are read straight into the frame's memory, small frames are used where they lie in the read buffer.
 * Answers gather in one buffer and are written at the end of the loop turn: the flush is an event of the lowest
 * priority, which libev runs after all others of the turn. When the sender stops reading answers it is gone, yet what
 * it wrote before is still read to EOF: with ack: memory nobody else has those events any more.
 */
#include "ipc/link_recv.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "common/base/fatal.h"
#include "common/base/fd.h"
#include "common/base/hook.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/base/str.h"
#include "ipc/frame.h"

#define CHUNK       (64u << 10)
#define TURN_BYTES  (256u << 10)
#define OUT_PAUSE   (64u << 10) /* answers that nobody reads: no more batches are read meanwhile */
#define OUT_MAX     (8u << 20)  /* over OUT_PAUSE and the answers to the widest grant */
#define GRANT_MAX   1024u       /* batches; more in flight serves nobody and would outgrow OUT_MAX */
#define WRITE_PIECE 4096u       /* PIPE_BUF */

struct link_recv {
    struct ev_loop *loop;
    int batch_fd, ack_fd;
    uint32_t generation;
    const struct link_recv_events *events;
    void *arg;
    ev_io read, write;
    ev_prepare flush; /* never started: fed as an event */
    struct frame_reader reader;
    struct buf out;
    size_t cut; /* bytes at the beginning of out that belong to a piece of which a part is written */
    size_t in_hand;
    uint32_t granted_most; /* the widest grant so far */
    struct msg_credit credit;
    bool credit_due, leaving, leave_due;
    bool acks_dead; /* nobody reads answers any more */
    bool is_gone, freed;
    int busy;
};

static void destroy(struct link_recv *l)
{
    frame_reader_fini(&l->reader);
    buf_fini(&l->out);
    free(l);
}

static void release(struct link_recv *l)
{
    if (--l->busy == 0 && l->freed)
        destroy(l);
}

static void gone(struct link_recv *l, int error, const char *why)
{
    if (l->is_gone || l->freed)
        return;
    l->is_gone = true;
    ev_io_stop(l->loop, &l->read);
    l->events->gone(l, error, why, l->arg);
}

static void acks_died(struct link_recv *l)
{
    l->acks_dead = true;
    ev_io_stop(l->loop, &l->write);
    buf_reset(&l->out);
    l->cut = 0;
    l->credit_due = l->leave_due = false;
    if (!l->is_gone && !l->freed)
        ev_io_start(l->loop, &l->read);
}

/* The longest run of whole frames from `at` that one write may carry. */
static size_t piece(const struct buf *out, size_t at)
{
    size_t n = 0;
    while (at + n < out->len) {
        const unsigned char *head = (const unsigned char *)out->data + at + n;
        size_t frame = FRAME_HEAD + ((size_t)head[3] << 8 | head[4]); /* answers are under 4 KiB */
        if (n + frame > WRITE_PIECE)
            break;
        n += frame;
    }
    return n;
}

static void pack(struct link_recv *l, const struct msg *m)
{
    if (msg_pack(&l->out, m) < 0)
        fatal(EXIT_CODE_NOMEM, "no memory for the answer to a batch");
}

static void flush(struct link_recv *l)
{
    if (l->leave_due)
        pack(l, &(struct msg){.type = MSG_LEAVE, .generation = l->generation});
    if (l->credit_due)
        pack(l, &(struct msg){.type = MSG_CREDIT, .generation = l->generation, .u.credit = l->credit});
    l->leave_due = l->credit_due = false;
    size_t at = 0;
    while (at < l->out.len) {
        size_t len = l->cut > 0 ? l->cut : piece(&l->out, at);
        ssize_t n = write(l->ack_fd, l->out.data + at, len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN)
            break;
        if (n < 0) {
            int error = errno;
            acks_died(l);
            if (error !=
                EPIPE) /* a sender that lives and cannot be told anything: both shall see the end of it */
                gone(l, error, strerror(error));
            return;
        }
        HOOK_POINT(stored_sent);
        at += (size_t)n;
        l->cut =
            len - (size_t)n; /* a pipe of Linux takes all of a piece or nothing; nothing here rests on that */
    }
    buf_consume(&l->out, at);
    if (l->out.len > 0)
        ev_io_start(l->loop, &l->write);
    else
        ev_io_stop(l->loop, &l->write);
    if (l->out.len <= OUT_PAUSE && !l->is_gone && !l->freed)
        ev_io_start(l->loop, &l->read);
}

static void flush_soon(struct link_recv *l)
{
    if (!ev_is_active(&l->write) && !ev_is_pending(&l->flush))
        ev_feed_event(l->loop, &l->flush, EV_CUSTOM);
}

static void on_flush(struct ev_loop *loop, ev_prepare *w, int revents)
{
    (void)loop, (void)revents;
    struct link_recv *l = w->data;
    l->busy++;
    flush(l);
    release(l);
}

static void on_writable(struct ev_loop *loop, ev_io *w, int revents)
{
    (void)loop;
    struct link_recv *l = w->data;
    l->busy++;
    if ((revents & EV_ERROR) != 0)
        gone(l, ENOMEM, "the event loop cannot watch it");
    else
        flush(l);
    release(l);
}

static void dispatch(struct link_recv *l, const unsigned char *body, size_t len)
{
    struct msg m;
    const char *why;
    if (msg_parse(body, len, MSG_DIR_IW, &m, &why) < 0) {
        gone(l, EPROTO, why);
    } else if (m.generation != l->generation) {
        log_debug("link_old_generation", "generation=%u mine=%u", m.generation, l->generation);
    } else if (m.type == MSG_END) {
        if (l->events->end != NULL)
            l->events->end(l, l->arg);
    } else if (m.type == MSG_FOLLOW) {
        if (l->events->follow != NULL)
            l->events->follow(l, &m.u.follow, l->arg);
    } else if (m.type == MSG_HELD) {
        if (l->events->held == NULL)
            gone(l, EPROTO, "HELD, but nothing is held here");
        else
            l->events->held(l, m.u.held.queue, m.u.held.number, l->arg);
    } else if (l->in_hand >= l->granted_most) {
        gone(l, EPROTO, "more batches than were granted");
    } else {
        l->in_hand++;
        l->events->batch(l, &m.u.batch, l->arg);
    }
}

static void feed(struct link_recv *l, const unsigned char *data, size_t left)
{
    while (!l->freed && !l->is_gone) {
        const unsigned char *body;
        size_t len;
        switch (frame_next(&l->reader, &data, &left, &body, &len)) {
        case FRAME_WHOLE:
            dispatch(l, body, len);
            break;
        case FRAME_MORE:
            return;
        case FRAME_BAD:
            gone(l, EPROTO, errno == EMSGSIZE ? "a frame over the cap" : "a broken frame");
            return;
        case FRAME_NO_MEM:
            gone(l, ENOMEM, "no memory for a batch");
            return;
        }
    }
}

/* One read. Bytes read, or 0 when there is nothing more for now or the link is gone. */
static size_t read_once(struct link_recv *l)
{
    unsigned char chunk[CHUNK];
    struct iovec iov[2];
    size_t room;
    iov[0].iov_base = frame_reader_room(&l->reader, &room);
    iov[0].iov_len = room;
    iov[1] = (struct iovec){.iov_base = chunk, .iov_len = sizeof chunk};
    ssize_t n;
    do {
        n = room > 0 ? readv(l->batch_fd, iov, 2) : read(l->batch_fd, chunk, sizeof chunk);
    } while (n < 0 && errno == EINTR);
    if (n < 0) {
        if (errno != EAGAIN)
            gone(l, errno, strerror(errno));
        return 0;
    }
    if (n == 0) {
        gone(l, 0, frame_reader_torn(&l->reader) ? "closed in the middle of a batch" : "closed");
        return 0;
    }
    size_t direct = (size_t)n < room ? (size_t)n : room;
    frame_reader_filled(&l->reader, direct);
    feed(l, chunk, (size_t)n - direct);
    return l->freed || l->is_gone ? 0 : (size_t)n;
}

static void on_readable(struct ev_loop *loop, ev_io *w, int revents)
{
    (void)loop;
    struct link_recv *l = w->data;
    l->busy++;
    if ((revents & EV_ERROR) != 0)
        gone(l, ENOMEM, "the event loop cannot watch it");
    size_t total = 0, n;
    while (total < TURN_BYTES && l->out.len <= OUT_PAUSE && (n = read_once(l)) > 0)
        total += n;
    if (!l->freed && frame_reader_torn(&l->reader))
        hook_at("batch_torn");
    if (!l->freed && l->out.len > OUT_PAUSE)
        ev_io_stop(l->loop, &l->read); /* until they are read */
    release(l);
}

struct link_recv *link_recv_new(struct ev_loop *loop, int batch_fd, int ack_fd, uint32_t generation,
                                const struct link_recv_events *events, void *arg)
{
    struct link_recv *l = xcalloc(1, sizeof *l);
    l->loop = loop;
    l->batch_fd = batch_fd;
    l->ack_fd = ack_fd;
    l->generation = generation;
    l->events = events;
    l->arg = arg;
    buf_init(&l->out, OUT_MAX);
    frame_reader_init(&l->reader, FRAME_BATCH_MAX);
    (void)fd_set_nonblock(batch_fd);
    (void)fd_set_nonblock(ack_fd);
    ev_io_init(&l->read, on_readable, batch_fd, EV_READ);
    ev_io_init(&l->write, on_writable, ack_fd, EV_WRITE);
    ev_prepare_init(&l->flush, on_flush);
    ev_set_priority(&l->flush, EV_MINPRI);
    l->read.data = l->write.data = l->flush.data = l;
    ev_io_start(loop, &l->read);
    return l;
}

void link_recv_free(struct link_recv *l)
{
    if (l == NULL || l->freed)
        return;
    l->freed = true;
    ev_io_stop(l->loop, &l->read);
    ev_io_stop(l->loop, &l->write);
    ev_clear_pending(l->loop, &l->flush);
    if (!l->acks_dead)
        flush(l); /* the last answers of this turn */
    ev_io_stop(l->loop, &l->write);
    fd_close(&l->batch_fd);
    fd_close(&l->ack_fd);
    if (l->busy == 0)
        destroy(l);
}

void link_recv_credit(struct link_recv *l, uint32_t batches, uint64_t bytes)
{
    if (batches > GRANT_MAX)
        batches = GRANT_MAX;
    if (batches > l->granted_most)
        l->granted_most = batches;
    if (l->acks_dead || l->freed || l->leaving)
        return;
    l->credit = (struct msg_credit){.batches = batches, .bytes = bytes};
    l->credit_due = true;
    flush_soon(l);
}

void link_recv_leave(struct link_recv *l)
{
    if (l->leaving || l->acks_dead || l->freed)
        return;
    l->leaving = l->leave_due = true;
    l->credit_due = false;
    flush_soon(l);
}

static void tell(struct link_recv *l, const struct msg *m)
{
    if (l->freed || l->acks_dead)
        return;
    pack(l, m);
    flush_soon(l);
}

void link_recv_hold(struct link_recv *l, const char *queue, bool held, uint32_t number)
{
    struct msg m = {.type = MSG_HOLD, .generation = l->generation};
    str_copy(m.u.hold.queue, queue, sizeof m.u.hold.queue);
    m.u.hold.held = held;
    m.u.hold.number = number;
    tell(l, &m);
}

void link_recv_fill(struct link_recv *l, uint64_t bytes, uint64_t max_bytes, bool listed)
{
    tell(l, &(struct msg){.type = MSG_FILL,
                          .generation = l->generation,
                          .u.fill = {.bytes = bytes, .max_bytes = max_bytes, .listed = listed}});
}

static void answer(struct link_recv *l, const struct msg *m)
{
    if (l->freed)
        return;
    ASSERT(l->in_hand > 0);
    l->in_hand--;
    tell(l, m);
}

void link_recv_stored(struct link_recv *l, const char *id, bool duplicate)
{
    struct msg m = {.type = MSG_STORED, .generation = l->generation, .u.stored.duplicate = duplicate};
    str_copy(m.u.stored.id, id, sizeof m.u.stored.id);
    answer(l, &m);
}

void link_recv_stored_but(struct link_recv *l, const char *id, uint32_t seen)
{
    struct msg m = {.type = MSG_STORED, .generation = l->generation, .u.stored.seen = seen};
    str_copy(m.u.stored.id, id, sizeof m.u.stored.id);
    answer(l, &m);
}

void link_recv_refused(struct link_recv *l, const char *id, bool temporary, uint32_t retry_after_ms,
                       const char *why)
{
    struct msg m = {.type = MSG_REFUSED, .generation = l->generation};
    m.u.refused.temporary = temporary;
    m.u.refused.retry_after_ms = retry_after_ms;
    str_copy(m.u.refused.id, id, sizeof m.u.refused.id);
    str_copy(m.u.refused.why, why, sizeof m.u.refused.why);
    answer(l, &m);
}

void link_recv_delivered(struct link_recv *l, const char *id, enum msg_outcome outcome, uint32_t status,
                         const char *why)
{
    struct msg m = {.type = MSG_DELIVERED, .generation = l->generation};
    if (l->freed || l->acks_dead ||
        l->out.len > OUT_MAX / 2) /* not an answer: without it the sender waits in vain, that is all */
        return;
    m.u.delivered.outcome = outcome;
    m.u.delivered.status = status;
    str_copy(m.u.delivered.id, id, sizeof m.u.delivered.id);
    str_copy(m.u.delivered.why, why, sizeof m.u.delivered.why);
    pack(l, &m);
    flush_soon(l);
}

void link_recv_pressure(struct link_recv *l, const struct msg_pressure *p)
{
    if (l->acks_dead || l->freed || l->is_gone)
        return;
    pack(l, &(struct msg){.type = MSG_PRESSURE, .generation = l->generation, .u.pressure = *p});
    flush_soon(l);
}

size_t link_recv_in_hand(const struct link_recv *l)
{
    return l->in_hand;
}

bool link_recv_flushed(const struct link_recv *l)
{
    return l->acks_dead || (l->out.len == 0 && !l->credit_due && !l->leave_due);
}
