/* batch - see batch.h. */
#include "workers/ingest/batch.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/fatal.h"
#include "common/base/mem.h"
#include "ipc/msg.h"

#define POOL_MAX      64
#define POOL_BODY_MAX (128u << 10) /* a bigger body is not kept */

static void on_flush(struct ev_loop *loop, ev_timer *w, int revents)
{
    (void)revents;
    struct batch_set *s = w->data;
    double now = ev_now(loop);
    for (;;) {
        struct batch *b = list_first(&s->open, struct batch, link);
        if (b == NULL)
            return;
        if (b->due > now) {
            ev_timer_set(w, b->due - now, 0.);
            ev_timer_start(loop, w);
            return;
        }
        if (b->lane->gate == NULL || gate_first(b->lane->gate, &b->place)) {
            batch_close(s, b);
            continue;
        }
        b->place.due = true;
        list_remove(&b->link);
        list_push_back(&s->late, &b->link);
    }
}

void batch_set_init(struct batch_set *s, struct ev_loop *loop, const struct batch_options *o,
                    struct http_budget *budget, void (*closed)(struct batch *b, void *arg), void *arg)
{
    *s = (struct batch_set){.o = *o, .budget = budget, .loop = loop, .closed = closed, .arg = arg};
    list_init(&s->open);
    list_init(&s->late);
    list_init(&s->pool);
    ev_timer_init(&s->flush, on_flush, 0., 0.);
    s->flush.data = s;
}

void batch_set_options(struct batch_set *s, const struct batch_options *o)
{
    double more = o->flush_interval - s->o.flush_interval;
    struct batch *b;
    s->o = *o;
    list_foreach(b, &s->open, struct batch, link)
    {
        b->due += more; /* all alike: they stay in order */
    }
    if (!ev_is_active(&s->flush))
        return;
    ev_timer_stop(s->loop, &s->flush);
    ev_timer_set(&s->flush, 0., 0.);
    ev_timer_start(s->loop, &s->flush);
}

static void release(struct batch_set *s, struct batch *b)
{
    s->budget->used -= b->charged;
    buf_fini(&b->lb.body);
    free(b);
}

static void drop_open(struct batch_set *s, struct list *of)
{
    struct batch *b;
    list_foreach(b, of, struct batch, link)
    {
        b->lane->open = NULL;
        if (b->lane->gate != NULL)
            gate_leave(b->lane->gate, &b->place);
        release(s, b);
    }
}

void batch_set_fini(struct batch_set *s)
{
    struct batch *b;
    ev_timer_stop(s->loop, &s->flush);
    drop_open(s, &s->open);
    drop_open(s, &s->late);
    list_foreach(b, &s->pool, struct batch, link)
    {
        release(s, b);
    }
}

/* The body's memory has changed: the budget follows. */
static void charge(struct batch_set *s, struct batch *b)
{
    s->budget->used += b->lb.body.cap - b->charged;
    b->charged = b->lb.body.cap;
}

static struct batch *take_from_pool(struct batch_set *s)
{
    struct batch *b = list_first(&s->pool, struct batch, link);
    if (b != NULL) {
        list_remove(&b->link);
        s->n_pool--;
        return b;
    }
    b = mem_try(sizeof *b);
    if (b == NULL)
        return NULL;
    memset(b, 0, sizeof *b);
    buf_init(&b->lb.body, BATCH_BODY_MAX);
    return b;
}

static struct batch *open_batch(struct batch_set *s, struct batch_lane *lane)
{
    struct batch *b = take_from_pool(s);
    if (b == NULL)
        return NULL;
    list_init(&b->parts);
    list_init(&b->lb.link);
    id_new(b->lb.id);
    b->lb.tries = 0;
    b->lb.n_events = 0;
    b->lb.source = lane->source;
    b->lb.queue = lane->queue;
    b->lb.order_key = "";
    b->lb.on = NULL;
    b->lane = lane;
    b->number = ++s->opened;
    b->due = ev_now(s->loop) + s->o.flush_interval;
    lane->open = b;
    list_push_back(&s->open, &b->link);
    if (lane->gate != NULL)
        gate_join(lane->gate, &b->place);
    s->batches++;
    if (!ev_is_active(&s->flush)) {
        ev_timer_set(&s->flush, s->o.flush_interval, 0.);
        ev_timer_start(s->loop, &s->flush);
    }
    return b;
}

struct batch *batch_room(struct batch_set *s, struct batch_lane *lane, size_t bytes)
{
    struct batch *b = lane->open;
    if (b != NULL && (b->lb.n_events >= s->o.flush_at ||
                      (b->lb.n_events > 0 && b->lb.body.len + bytes > s->o.max_bytes))) {
        batch_close(s, b);
        b = NULL;
    }
    if (b == NULL && (b = open_batch(s, lane)) == NULL)
        return NULL;
    int r = buf_reserve(&b->lb.body, bytes + BATCH_EVENT_OVERHEAD);
    charge(s, b);
    return r < 0 ? NULL : b;
}

static void added(struct batch_set *s, struct batch *b)
{
    b->lb.n_events++;
    s->events++;
    charge(s, b);
}

int batch_add(struct batch_set *s, struct batch *b, const struct event *e, const struct event_context *c,
              const char **text, size_t *len)
{
    struct buf *body = &b->lb.body;
    size_t start = body->len;
    if (msg_event_begin(body) < 0)
        return -1;
    if (event_write_scanned(e, c, body) < 0) {
        body->len = start;
        return -1;
    }
    msg_event_end(body, start);
    *text = body->data + start + MSG_EVENT_HEAD;
    *len = body->len - start - MSG_EVENT_HEAD;
    added(s, b);
    return 0;
}

int batch_copy(struct batch_set *s, struct batch *b, const char *text, size_t len)
{
    if (msg_pack_event(&b->lb.body, text, len) < 0)
        return -1;
    added(s, b);
    return 0;
}

/* Whoever's turn it is now goes. */
static void let_on(struct batch_set *s, struct gate *g)
{
    struct gate_place *p = gate_next(g);
    if (p == NULL)
        return;
    struct batch *b = list_entry(p, struct batch, place);
    if (!p->closed) {
        batch_close(s, b); /* which comes back here */
        return;
    }
    gate_go(g, p);
    s->closed(b, s->arg);
}

void batch_close(struct batch_set *s, struct batch *b)
{
    struct gate *g = b->lane->gate;
    ASSERT(b->lane->open == b);
    list_remove(&b->link);
    b->lane->open = NULL;
    b->lane->closed++;
    if (g == NULL) {
        s->closed(b, s->arg);
        return;
    }
    gate_close(g, &b->place);
    let_on(s, g);
}

void batch_close_all(struct batch_set *s)
{
    struct batch *b;
    while ((b = list_first(&s->late, struct batch, link)) != NULL ||
           (b = list_first(&s->open, struct batch, link)) != NULL)
        batch_close(s, b);
}

void batch_close_idle(struct batch_set *s)
{
    struct batch *b;
    struct list calm; /* those that are closed here do not keep their sisters waiting */
    list_init(&calm);
    list_foreach(b, &s->open, struct batch, link)
    {
        const struct gate *g = b->lane->gate;
        if (g == NULL ? b->lane->closed > 0 : !gate_first(g, &b->place) || *g->sisters_out > 0)
            continue;
        list_remove(&b->link);
        list_push_back(&calm, &b->link);
    }
    while ((b = list_first(&calm, struct batch, link)) != NULL)
        batch_close(s, b);
}

void batch_give_way(struct batch_set *s, struct batch *b)
{
    struct gate *g = b->lane->gate;
    if (g == NULL)
        return;
    gate_leave(g, &b->place);
    let_on(s, g);
}

static void leave_lane(struct batch_set *s, struct batch *b)
{
    struct batch_lane *lane = b->lane;
    struct gate *g = lane->gate;
    lane->closed--;
    if (g == NULL)
        return;
    gate_leave(g, &b->place);
    if (lane->closed == 0 && lane->open == NULL)
        gate_lane_done(lane);
    let_on(s, g);
}

void batch_free(struct batch_set *s, struct batch *b)
{
    ASSERT(list_empty(&b->parts) && !list_linked(&b->link) && b->lb.on == NULL);
    leave_lane(s, b);
    s->events -= b->lb.n_events;
    s->batches--;
    if (s->n_pool >= POOL_MAX || b->lb.body.cap > POOL_BODY_MAX || s->budget->used > s->budget->max / 4) {
        release(s, b);
        return;
    }
    buf_reset(&b->lb.body);
    list_push_back(&s->pool, &b->link);
    s->n_pool++;
}
