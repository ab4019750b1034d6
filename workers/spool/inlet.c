/* inlet - batches that ingest sends: written at once, answered STORED when they are synced and, the first of an ordered
 * queue, when all senders know that it is here. What cannot be taken is refused for now: its sender keeps it. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/hook.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "workers/spool/spool.h"

#define WINDOW_BATCHES 512
#define WINDOW_BYTES   (32u << 20)
#define RETRY_MS       1000
#define LEAST_ROOM     (16u << 20) /* or an eighth of max_size: so much must be free before more is taken again */

struct put {
    struct list link;   /* inlet.puts */
    struct list synced; /* queue.puts */
    struct spool *s;
    struct inlet *from; /* NULL: gone */
    struct spool_queue *queue;
    char id[ID_SIZE];
};

static void forget(struct put *p)
{
    p->s->n_puts--;
    list_remove(&p->link);
    list_remove(&p->synced);
    free(p);
}

static void refuse(struct inlet *l, const char *id, const char *why)
{
    metric_add(l->s->m.refused, 1);
    link_recv_refused(l->recv, id, true, RETRY_MS, why);
}

void inlet_answer(struct spool *s, struct spool_queue *q)
{
    struct put *p;
    (void)s;
    while ((p = list_first(&q->puts, struct put, synced)) != NULL) {
        if (p->from != NULL)
            link_recv_stored(p->from->recv, p->id, false);
        forget(p);
    }
}

static void on_synced(void *arg, int error)
{
    struct put *p = arg;
    struct spool *s = p->s;
    if (error != 0) {
        log_error("spool_sync_failed", "batch=%s error=%s", p->id, log_q(strerror(error)));
        if (p->from != NULL)
            refuse(p->from, p->id, strerror(error));
        queues_remove(s, p->queue);
        forget(p);
        return;
    }
    metric_add(s->m.taken, 1);
    list_push_back(&p->queue->puts, &p->synced);
    if (p->queue->unheeded == 0)
        inlet_answer(s, p->queue);
}

static bool has_room(const struct spool *s)
{
    uint64_t max = s->conf->spool.max_size_bytes, least = max / 8 < LEAST_ROOM ? max / 8 : LEAST_ROOM;
    return store_bytes(s->store) + least <= max;
}

static void say_credit(const struct inlet *l)
{
    bool open = l->s->listed && !l->s->full && !l->s->draining;
    link_recv_credit(l->recv, open ? WINDOW_BATCHES : 0, open ? WINDOW_BYTES : 0);
}

static void say_all(struct spool *s)
{
    struct inlet *l;
    list_foreach(l, &s->inlets, struct inlet, link)
    {
        if (l->listed)
            link_recv_fill(l->recv, s->full ? s->conf->spool.max_size_bytes : store_bytes(s->store),
                           s->conf->spool.max_size_bytes, true);
        say_credit(l);
    }
}

static void set_full(struct spool *s, bool full, const char *why)
{
    if (s->full == full)
        return;
    s->full = full;
    if (full)
        log_error("spool_full", "bytes=%llu max=%llu why=%s", (unsigned long long)store_bytes(s->store),
                  (unsigned long long)s->conf->spool.max_size_bytes, log_q(why));
    else
        log_info("spool_has_room", "bytes=%llu max=%llu", (unsigned long long)store_bytes(s->store),
                 (unsigned long long)s->conf->spool.max_size_bytes);
    say_all(s);
}

static void on_batch(struct link_recv *recv, const struct msg_batch *b, void *arg)
{
    struct inlet *l = arg;
    struct spool *s = l->s;
    struct spool_queue *q = s->listed ? queues_find(s, b->queue) : NULL;
    (void)recv;
    if (q == NULL) {
        refuse(l, b->id, s->listed ? "too many queues" : "the spool is not ready");
        return;
    }
    struct put *p = xcalloc(1, sizeof *p);
    p->s = s;
    p->from = l;
    p->queue = q;
    memcpy(p->id, b->id, sizeof p->id);
    list_init(&p->synced);
    list_push_back(&l->puts, &p->link);
    s->n_puts++;
    queues_add(s, q, l);
    if (store_put(s->store, b, q->tag, on_synced, p) == 0)
        return;
    int error = errno;
    refuse(l, b->id, strerror(error));
    queues_remove(s, q); /* behind the refusal: its sender may have thought that it goes on here */
    forget(p);
    set_full(s, true, strerror(error));
}

static void on_held(struct link_recv *recv, const char *queue, uint32_t number, void *arg)
{
    struct inlet *l = arg;
    (void)recv;
    queues_heeded(l->s, l, queue, number);
}

static void on_end(struct link_recv *recv, void *arg)
{
    struct inlet *l = arg;
    (void)recv;
    l->ended = true;
    queues_forget(l->s, l); /* it sends nothing more, wherever to */
}

static void on_gone(struct link_recv *recv, int error, const char *why, void *arg)
{
    struct inlet *l = arg;
    struct spool *s = l->s;
    struct put *p;
    if (error != 0)
        log_error("link_broken", "error=%s why=%s", log_q(strerror(error)), log_q(why));
    while ((p = list_first(&l->puts, struct put, link)) != NULL) { /* on disk they stay */
        list_remove(&p->link);
        p->from = NULL;
    }
    queues_forget(s, l);
    list_remove(&l->link);
    s->bits &= ~l->bit;
    link_recv_free(recv);
    free(l);
}

static uint64_t free_bit(const struct spool *s)
{
    for (uint64_t bit = 1; bit != 0; bit <<= 1)
        if ((s->bits & bit) == 0)
            return bit;
    return 0;
}

void inlet_link(struct spool *s, int batch_fd, int ack_fd)
{
    static const struct link_recv_events events = {
        .batch = on_batch, .held = on_held, .end = on_end, .gone = on_gone};
    uint64_t bit = free_bit(s);
    struct link_recv *recv;
    struct inlet *l = xcalloc(1, sizeof *l);
    recv = link_recv_new(s->loop, batch_fd, ack_fd, child_generation(s->child), &events, l);
    if (bit == 0) { /* 64 ingest processes: the master has at most 16, and as many that drain */
        link_recv_free(recv);
        free(l);
        return;
    }
    l->s = s;
    l->recv = recv;
    l->bit = bit;
    s->bits |= bit;
    list_init(&l->puts);
    list_push_back(&s->inlets, &l->link);
    if (s->draining)
        link_recv_leave(recv);
    else if (s->listed)
        inlet_list(s);
}

void inlet_list(struct spool *s)
{
    struct inlet *l;
    list_foreach(l, &s->inlets, struct inlet, link)
    {
        if (l->listed)
            continue;
        queues_list(s, l);
        link_recv_fill(l->recv, store_bytes(s->store), s->conf->spool.max_size_bytes, true);
        say_credit(l);
    }
}

void inlet_look(struct spool *s)
{
    if (s->full)
        set_full(s, !has_room(s), "");
    else if (!has_room(s))
        set_full(s, true, "max_size");
    else
        say_all(s);
}

void inlet_leave(struct spool *s)
{
    struct inlet *l;
    list_foreach(l, &s->inlets, struct inlet, link) link_recv_leave(l->recv);
}

bool inlet_done(const struct spool *s)
{
    struct inlet *l;
    list_foreach(l, &s->inlets, struct inlet, link) if (!l->ended || link_recv_in_hand(l->recv) > 0 ||
                                                        !link_recv_flushed(l->recv)) return false;
    return true;
}
