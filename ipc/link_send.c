/* link_send - see link_send.h. Used by ingest, one a worker.
 *
 * The list of what is in flight is in the order of sending; `unsent` is the first of it that is not wholly in the
 * pipe. Batches are written at the end of the loop turn, many in one writev: each one's head is packed anew on the
 * stack (nothing in a batch changes while it is in flight, so a cut write goes on with the same bytes), its body goes
 * as it was encoded. The flush is an event of the lowest priority, which libev runs after all others of the turn.
 */
#include "ipc/link_send.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/uio.h>
#include <unistd.h>

#include "common/base/fatal.h"
#include "common/base/fd.h"
#include "common/base/hook.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/base/str.h"

#define PIPE_SIZE      (1 << 20)
#define GATHER         8 /* batches a writev */
#define PIECES         3 /* of a frame: head, body, tail */
#define CHUNK          (16u << 10)
#define UNWATCHED      "the event loop cannot watch it"
#define READS_PER_TURN 4
#define FOLLOWS_MAX    (16u << 20)
#define END_MAX        (FRAME_HEAD + 16)

struct link_send {
    struct ev_loop *loop;
    int batch_fd, ack_fd;
    uint32_t slot, generation;
    const struct link_send_events *events;
    void *arg;
    ev_io read, write;
    ev_prepare flush; /* never started: fed as an event */
    struct list in_flight;
    struct list *unsent; /* &in_flight: everything is in the pipe */
    size_t unsent_at;    /* bytes of its frame that are */
    size_t n, bytes;
    uint32_t credit_batches;
    uint64_t credit_bytes;
    struct frame_reader reader;
    struct buf follows; /* frames of FOLLOW and HELD that are not in the pipe */
    bool follow_cut;    /* of the first of them a part is */
    bool ending, ended; /* END is to be sent; is wholly in the pipe */
    size_t end_at;
    bool write_dead; /* nobody reads batches any more */
    bool room_grew;
    bool is_gone, freed;
    int busy;
};

static void destroy(struct link_send *l)
{
    frame_reader_fini(&l->reader);
    buf_fini(&l->follows);
    free(l);
}

static void release(struct link_send *l)
{
    if (--l->busy == 0 && l->freed)
        destroy(l);
}

static struct link_batch *batch_of(struct list *link)
{
    return list_entry(link, struct link_batch, link);
}

static void stop(struct link_send *l)
{
    ev_io_stop(l->loop, &l->read);
    ev_io_stop(l->loop, &l->write);
    ev_clear_pending(l->loop, &l->flush);
}

static size_t pack_head(const struct link_send *l, const struct link_batch *b,
                        unsigned char head[MSG_BATCH_HEAD_MAX])
{
    size_t len;
    if (msg_pack_batch_head_of(head, &len, l->generation, b->id, b->tries, b->source, b->queue, b->order_key,
                               b->flags, b->n_events, b->body.len, b->tail.len) < 0)
        panic("batch %s cannot be a message", b->id);
    return len;
}

/* Which batches had the worker read? Not what is unsent, and not what still lies in the pipe: its last bytes are those
 * of END and of a batch that is only partly sent, then those of the batches before it. */
static void mark_read(struct link_send *l)
{
    int left = 0;
    if (ioctl(l->batch_fd, FIONREAD, &left) < 0 || left < 0)
        left = 0; /* not known: all of it, as far as we can tell */
    size_t unread = (size_t)left, tail = l->end_at;
    if (l->unsent != &l->in_flight)
        tail = l->unsent_at;
    unread -= tail < unread ? tail : unread;
    for (struct list *at = l->unsent; at != &l->in_flight; at = at->next)
        batch_of(at)->was_read = false;
    for (struct list *at = l->unsent->prev; at != &l->in_flight; at = at->prev) {
        unsigned char head[MSG_BATCH_HEAD_MAX];
        struct link_batch *b = batch_of(at);
        size_t frame = pack_head(l, b, head) + b->body.len + b->tail.len;
        b->was_read = unread == 0;
        unread -= frame < unread ? frame : unread;
    }
}

/* Both ends are closed first, so that a worker that still lives sees the end of this link before anything returned
 * comes to it by another. */
static void gone(struct link_send *l, const char *why, bool broken)
{
    if (l->is_gone || l->freed)
        return;
    l->is_gone = true;
    stop(l);
    mark_read(l);
    fd_close(&l->batch_fd);
    fd_close(&l->ack_fd);
    bool clean = !broken && list_empty(&l->in_flight) && !frame_reader_torn(&l->reader);
    if (broken)
        log_warn("link_broken", "worker=%u generation=%u in_flight=%zu reason=%s", l->slot, l->generation,
                 l->n, log_q(why));
    struct list returned, *at;
    list_init(&returned);
    while ((at = l->in_flight.next) != &l->in_flight) {
        list_remove(at);
        batch_of(at)->on = NULL;
        list_push_back(&returned, at);
    }
    l->unsent = &l->in_flight;
    l->n = l->bytes = 0;
    l->events->gone(l, &returned, clean, l->arg);
}

static void write_died(struct link_send *l)
{
    l->write_dead = true;
    ev_io_stop(l->loop, &l->write);
}

/* The frames of up to GATHER batches from `unsent` on, and END behind the last. Returns the number of iovecs. */
static int gather(struct link_send *l, unsigned char heads[GATHER][MSG_BATCH_HEAD_MAX],
                  unsigned char end[END_MAX], struct iovec *iov)
{
    int n = 0;
    struct list *at = l->unsent;
    for (int i = 0; i < GATHER && at != &l->in_flight; i++, at = at->next) {
        struct link_batch *b = batch_of(at);
        iov[n++] = (struct iovec){.iov_base = heads[i], .iov_len = pack_head(l, b, heads[i])};
        iov[n++] = (struct iovec){.iov_base = b->body.data, .iov_len = b->body.len};
        iov[n++] = (struct iovec){.iov_base = b->tail.data, .iov_len = b->tail.len};
    }
    if (at == &l->in_flight && l->ending && !l->ended) {
        struct buf out = {.data = (char *)end, .cap = END_MAX, .max = END_MAX};
        if (msg_pack(&out, &(struct msg){.type = MSG_END, .generation = l->generation}) < 0)
            panic("END does not fit");
        iov[n++] = (struct iovec){.iov_base = end + l->end_at, .iov_len = out.len - l->end_at};
    }
    size_t skip = l->unsent == &l->in_flight ? 0 : l->unsent_at;
    for (int i = 0; skip > 0; i++) {
        size_t step = skip < iov[i].iov_len ? skip : iov[i].iov_len;
        iov[i].iov_base = (char *)iov[i].iov_base + step;
        iov[i].iov_len -= step;
        skip -= step;
    }
    return n;
}

/* Moves `unsent` over what the pipe has taken. */
static void advance(struct link_send *l, const struct iovec *iov, int n_iov, size_t took)
{
    for (int i = 0; i < n_iov; i += PIECES) {
        if (l->unsent == &l->in_flight) { /* END's own iovec */
            l->end_at += took;
            l->ended = took == iov[i].iov_len;
            return;
        }
        size_t frame = iov[i].iov_len + iov[i + 1].iov_len + iov[i + 2].iov_len;
        if (took < frame) {
            l->unsent_at += took;
            return;
        }
        took -= frame;
        l->unsent = l->unsent->next;
        l->unsent_at = 0;
    }
}

static bool wants_write(const struct link_send *l)
{
    return !l->write_dead && !l->is_gone &&
           (l->unsent != &l->in_flight || (l->ending && !l->ended) || l->follows.len > 0);
}

/* They go in front of the next batch, never into the middle of one. 0, or -1 when nothing more can be written now. */
static int flush_follows(struct link_send *l)
{
    while (l->follows.len > 0 && (l->follow_cut || l->unsent_at == 0)) {
        ssize_t n = write(l->batch_fd, l->follows.data, l->follows.len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            if (errno == EAGAIN)
                ev_io_start(l->loop, &l->write);
            else
                write_died(l);
            return -1;
        }
        buf_consume(&l->follows, (size_t)n);
        l->follow_cut = l->follows.len > 0;
    }
    return 0;
}

static void flush(struct link_send *l)
{
    while (wants_write(l)) {
        unsigned char heads[GATHER][MSG_BATCH_HEAD_MAX], end[END_MAX];
        struct iovec iov[PIECES * GATHER + 1];
        if (l->follows.len > 0 && flush_follows(l) < 0)
            return;
        int n_iov = gather(l, heads, end, iov);
        if (n_iov == 0)
            continue;
        if (l->unsent != &l->in_flight) {
            HOOK_POINT(frame_unsent);
            HOOK_HALF(frame_half, l->batch_fd, iov, n_iov);
        }
        ssize_t n = writev(l->batch_fd, iov, n_iov);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN) {
            ev_io_start(l->loop, &l->write);
            return;
        }
        if (n < 0) {
            log_debug("link_write_failed", "worker=%u generation=%u error=%s", l->slot, l->generation,
                      log_q(strerror(errno)));
            write_died(l);
            return;
        }
        advance(l, iov, n_iov, (size_t)n);
        if (l->unsent == &l->in_flight && l->n > 0)
            HOOK_POINT(frame_sent);
    }
    ev_io_stop(l->loop, &l->write);
}

static void flush_soon(struct link_send *l)
{
    if (!l->write_dead && !ev_is_active(&l->write) && !ev_is_pending(&l->flush))
        ev_feed_event(l->loop, &l->flush, EV_CUSTOM);
}

static void on_flush(struct ev_loop *loop, ev_prepare *w, int revents)
{
    (void)loop, (void)revents;
    flush(w->data);
}

static void on_writable(struct ev_loop *loop, ev_io *w, int revents)
{
    (void)loop;
    struct link_send *l = w->data;
    l->busy++;
    if ((revents & EV_ERROR) != 0)
        gone(l, UNWATCHED, true);
    else
        flush(l);
    release(l);
}

/* Takes the batch of this id off the list; NULL if it is not one that the worker can have. */
static struct link_batch *answered(struct link_send *l, const char *id)
{
    for (struct list *at = l->in_flight.next; at != l->unsent; at = at->next) {
        struct link_batch *b = batch_of(at);
        if (strcmp(b->id, id) != 0)
            continue;
        list_remove(at);
        b->on = NULL;
        l->n--;
        l->bytes -= b->body.len;
        l->room_grew = true;
        return b;
    }
    return NULL;
}

static void dispatch(struct link_send *l, const unsigned char *body, size_t len)
{
    struct msg m;
    const char *why;
    struct link_batch *b = NULL;
    if (msg_parse(body, len, MSG_DIR_WI, &m, &why) < 0) {
        gone(l, why, true);
        return;
    }
    if (m.generation != l->generation) {
        log_debug("link_old_generation", "generation=%u wanted=%u", m.generation, l->generation);
        return;
    }
    if (m.type == MSG_CREDIT) {
        l->room_grew |= m.u.credit.batches > l->credit_batches || m.u.credit.bytes > l->credit_bytes;
        l->credit_batches = m.u.credit.batches;
        l->credit_bytes = m.u.credit.bytes;
    } else if (m.type == MSG_PRESSURE) {
        if (l->events->pressure != NULL)
            l->events->pressure(l, &m.u.pressure, l->arg);
    } else if (m.type == MSG_HOLD || m.type == MSG_FILL) {
        if (l->events->told == NULL)
            gone(l, "it is told what only a spool tells", true);
        else
            l->events->told(l, &m, l->arg);
    } else if (m.type == MSG_LEAVE) {
        link_send_end(l);
    } else if (m.type == MSG_DELIVERED) {
        if (l->events->delivered != NULL)
            l->events->delivered(l, &m.u.delivered, l->arg);
    } else if ((b = answered(l, m.type == MSG_STORED ? m.u.stored.id : m.u.refused.id)) == NULL) {
        gone(l, "an answer to a batch that it has not", true);
    } else if (m.type == MSG_STORED) {
        HOOK_POINT(ack_read);
        b->seen = m.u.stored.seen;
        l->events->stored(l, b, m.u.stored.duplicate, l->arg);
    } else {
        l->events->refused(l, b, m.u.refused.temporary, m.u.refused.retry_after_ms, m.u.refused.why, l->arg);
    }
}

static void feed(struct link_send *l, const unsigned char *data, size_t left)
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
            gone(l, errno == EMSGSIZE ? "a frame over the cap" : "a broken frame", true);
            return;
        case FRAME_NO_MEM:
            gone(l, "no memory for an answer", true);
            return;
        }
    }
}

static bool read_once(struct link_send *l)
{
    unsigned char chunk[CHUNK];
    ssize_t n;
    do {
        n = read(l->ack_fd, chunk, sizeof chunk);
    } while (n < 0 && errno == EINTR);
    if (n < 0 && errno == EAGAIN)
        return false;
    if (n <= 0)
        gone(l, n < 0 ? strerror(errno) : "closed", n < 0);
    else
        feed(l, chunk, (size_t)n);
    return !l->freed && !l->is_gone && (size_t)n == sizeof chunk;
}

static void on_readable(struct ev_loop *loop, ev_io *w, int revents)
{
    (void)loop;
    struct link_send *l = w->data;
    l->busy++;
    if ((revents & EV_ERROR) != 0)
        gone(l, UNWATCHED, true);
    for (int i = 0; i < READS_PER_TURN && read_once(l); i++)
        ;
    bool tell = l->room_grew && !l->freed && link_send_alive(l);
    l->room_grew = false;
    if (tell && l->events->ready != NULL)
        l->events->ready(l, l->arg);
    release(l);
}

struct link_send *link_send_new(struct ev_loop *loop, int batch_fd, int ack_fd, uint32_t slot,
                                uint32_t generation, const struct link_send_events *events, void *arg)
{
    struct link_send *l = xcalloc(1, sizeof *l);
    l->loop = loop;
    l->batch_fd = batch_fd;
    l->ack_fd = ack_fd;
    l->slot = slot;
    l->generation = generation;
    l->events = events;
    l->arg = arg;
    list_init(&l->in_flight);
    l->unsent = &l->in_flight;
    frame_reader_init(&l->reader, FRAME_ACK_MAX);
    buf_init(&l->follows, FOLLOWS_MAX);
    (void)fd_set_nonblock(batch_fd);
    (void)fd_set_nonblock(ack_fd);
    if (fcntl(batch_fd, F_SETPIPE_SZ, PIPE_SIZE) < 0)
        log_debug("pipe_size_refused", "worker=%u error=%s", slot, log_q(strerror(errno)));
    ev_io_init(&l->read, on_readable, ack_fd, EV_READ);
    ev_io_init(&l->write, on_writable, batch_fd, EV_WRITE);
    ev_prepare_init(&l->flush, on_flush);
    ev_set_priority(&l->flush, EV_MINPRI);
    l->read.data = l->write.data = l->flush.data = l;
    ev_io_start(loop, &l->read);
    return l;
}

void link_send_free(struct link_send *l)
{
    if (l == NULL || l->freed)
        return;
    ASSERT(list_empty(&l->in_flight));
    l->freed = true;
    stop(l);
    fd_close(&l->batch_fd);
    fd_close(&l->ack_fd);
    if (l->busy == 0)
        destroy(l);
}

bool link_send_open(const struct link_send *l)
{
    return link_send_alive(l) && l->credit_batches > 0 && l->credit_bytes > 0;
}

bool link_send_may(const struct link_send *l, size_t bytes)
{
    if (!link_send_open(l) || l->n >= l->credit_batches)
        return false;
    return l->n == 0 || l->bytes + bytes <= l->credit_bytes;
}

void link_send_put(struct link_send *l, struct link_batch *b)
{
    ASSERT(b->on == NULL && !list_linked(&b->link) && link_send_alive(l));
    ASSERT(b->n_events > 0 && b->body.len <= LINK_BODY_MAX && b->tail.len <= LINK_BODY_MAX - b->body.len);
    list_push_back(&l->in_flight, &b->link);
    b->on = l;
    l->n++;
    l->bytes += b->body.len;
    if (l->unsent == &l->in_flight) {
        l->unsent = &b->link;
        l->unsent_at = 0;
    }
    flush_soon(l);
}

bool link_send_follow(struct link_send *l, const char *id, const char *queue)
{
    struct msg m = {.type = MSG_FOLLOW, .generation = l->generation};
    if (!link_send_alive(l))
        return false;
    str_copy(m.u.follow.id, id, sizeof m.u.follow.id);
    str_copy(m.u.follow.queue, queue, sizeof m.u.follow.queue);
    if (msg_pack(&l->follows, &m) < 0)
        return false;
    flush_soon(l);
    return true;
}

void link_send_held(struct link_send *l, const char *queue, uint32_t number)
{
    struct msg m = {.type = MSG_HELD, .generation = l->generation};
    if (l->write_dead || l->is_gone || l->freed || l->ended)
        return;
    str_copy(m.u.held.queue, queue, sizeof m.u.held.queue);
    m.u.held.number = number;
    if (msg_pack(&l->follows, &m) < 0) {
        gone(l, "no memory for an answer to it", true);
        return;
    }
    flush_soon(l);
}

void link_send_end(struct link_send *l)
{
    if (l->ending || l->is_gone || l->freed)
        return;
    l->ending = true;
    flush_soon(l);
}

void link_send_each(const struct link_send *l, void (*fn)(const char *what, const char *id))
{
    for (struct list *at = l->in_flight.next; at != &l->in_flight; at = at->next)
        fn("batch", batch_of(at)->id);
}

size_t link_send_in_flight(const struct link_send *l)
{
    return l->n;
}

size_t link_send_bytes_in_flight(const struct link_send *l)
{
    return l->bytes;
}

bool link_send_alive(const struct link_send *l)
{
    return !l->is_gone && !l->write_dead && !l->ending;
}

bool link_send_ending(const struct link_send *l)
{
    return l->ending;
}

uint32_t link_send_slot(const struct link_send *l)
{
    return l->slot;
}

uint32_t link_send_generation(const struct link_send *l)
{
    return l->generation;
}
