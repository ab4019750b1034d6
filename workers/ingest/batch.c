/* batch - see batch.h. */
#include "workers/ingest/batch.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/fatal.h"
#include "common/base/mem.h"
#include "ipc/msg.h"

#define POOL_MAX      64
#define POOL_BODY_MAX (128u << 10) /* a bigger body is not kept */

static double patience(const struct batch *b)
{
    return b->lane->gate != NULL ? GATE_PATIENCE : 1.;
}

/* The first that is due stands first. */
static void put_by_age(struct batch_set *s, struct batch *b)
{
    struct list *before = s->open.prev;
    while (before != &s->open && list_entry(before, struct batch, link)->due > b->due)
        before = before->prev;
    list_push_front(before, &b->link);
}

static void start_flush(struct batch_set *s)
{
    const struct batch *first = list_first(&s->open, struct batch, link);
    ev_timer_stop(s->loop, &s->flush);
    if (first == NULL)
        return;
    ev_timer_set(&s->flush, first->due - ev_now(s->loop), 0.);
    ev_timer_start(s->loop, &s->flush);
}

static void on_flush(struct ev_loop *loop, ev_timer *w, int revents)
{
    (void)revents;
    struct batch_set *s = w->data;
    double now = ev_now(loop);
    for (;;) {
        struct batch *b = list_first(&s->open, struct batch, link);
        if (b == NULL || b->due > now) {
            start_flush(s);
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

static void on_company(struct ev_loop *loop, ev_timer *w, int revents)
{
    (void)loop, (void)w, (void)revents; /* the end of this turn looks */
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
    ev_timer_init(&s->company, on_company, 0., 0.);
}

void batch_set_options(struct batch_set *s, const struct batch_options *o)
{
    double more = o->flush_interval - s->o.flush_interval;
    struct list were;
    struct batch *b;
    s->o = *o;
    list_init(&were);
    while ((b = list_first(&s->open, struct batch, link)) != NULL) {
        list_remove(&b->link);
        list_push_back(&were, &b->link);
    }
    while ((b = list_first(&were, struct batch, link)) != NULL) {
        list_remove(&b->link);
        b->due += more * patience(b);
        put_by_age(s, b);
    }
    start_flush(s);
}

static void release(struct batch_set *s, struct batch *b)
{
    s->budget->used -= b->charged;
    buf_fini(&b->lb.body);
    buf_fini(&b->lb.tail);
    free(b);
}

static void drop_open(struct batch_set *s, struct list *of)
{
    struct batch *b;
    list_foreach(b, of, struct batch, link)
    {
        b->lane->open = NULL;
        if (b->lane->gate != NULL)
            gate_leave(b->lane->gate, &b->place, ev_now(s->loop));
        release(s, b);
    }
}

void batch_set_fini(struct batch_set *s)
{
    struct batch *b;
    ev_timer_stop(s->loop, &s->flush);
    ev_timer_stop(s->loop, &s->company);
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
    s->budget->used += b->lb.body.cap + b->lb.tail.cap - b->charged;
    b->charged = b->lb.body.cap + b->lb.tail.cap;
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
    buf_init(&b->lb.tail, BATCH_TAIL_MAX);
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
    b->lb.flags = 0;
    b->lb.n_events = 0;
    b->lb.source = lane->source;
    b->lb.queue = lane->queue;
    b->lb.order_key = "";
    b->lb.on = NULL;
    b->lane = lane;
    b->number = ++s->opened;
    b->due = ev_now(s->loop) + s->o.flush_interval * patience(b);
    lane->open = b;
    put_by_age(s, b);
    if (lane->gate != NULL)
        gate_join(lane->gate, &b->place);
    s->batches++;
    if (s->open.next == &b->link)
        start_flush(s);
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
    if (b->lane->gate != NULL)
        b->lane->gate->step->waiting++;
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

/* Digests up to that of event n, with none for those before it that have none. */
static int pad_ids(struct batch *b, size_t n)
{
    static const unsigned char none[MSG_SEEN_ID];
    struct buf *tail = &b->lb.tail;
    if (tail->len == 0 && msg_tail_begin(tail) < 0)
        return -1;
    while (batch_seen_ids(b) < n)
        if (buf_append(tail, none, sizeof none) < 0)
            return -1;
    return 0;
}

int batch_tag(struct batch_set *s, struct batch *b, const unsigned char id[MSG_SEEN_ID])
{
    if (pad_ids(b, b->lb.n_events - 1) < 0 || buf_append(&b->lb.tail, id, MSG_SEEN_ID) < 0)
        return -1;
    charge(s, b);
    return 0;
}

int batch_end_tail(struct batch *b)
{
    if (b->lb.tail.len == 0)
        return 0;
    if (pad_ids(b, b->lb.n_events) < 0)
        return -1;
    msg_tail_end(&b->lb.tail);
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
    gate_go(g, p, b->lb.n_events, ev_now(s->loop));
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
    gate_close(g, &b->place, b->lb.n_events);
    let_on(s, g);
}

void batch_close_all(struct batch_set *s)
{
    struct batch *b;
    while ((b = list_first(&s->late, struct batch, link)) != NULL ||
           (b = list_first(&s->open, struct batch, link)) != NULL)
        batch_close(s, b);
}

/* May the batch go, now that nothing keeps it? 0, or when it is to be looked at again. */
static double wait_for_company(const struct batch_set *s, const struct batch *b)
{
    const struct gate *g = b->lane->gate;
    if (g == NULL)
        return b->lane->closed > 0 ? HUGE_VAL : 0.;
    if (!gate_first(g, &b->place) || g->step->out > 0)
        return HUGE_VAL;
    double until = gate_company(g->step);
    return until > ev_now(s->loop) ? until : 0.;
}

void batch_close_idle(struct batch_set *s)
{
    struct batch *b;
    double next = HUGE_VAL;
    struct list calm; /* those that are closed here do not keep their sisters waiting */
    list_init(&calm);
    list_foreach(b, &s->open, struct batch, link)
    {
        double until = wait_for_company(s, b);
        next = until > 0. && until < next ? until : next;
        if (until > 0.)
            continue;
        list_remove(&b->link);
        list_push_back(&calm, &b->link);
    }
    while ((b = list_first(&calm, struct batch, link)) != NULL)
        batch_close(s, b);
    if (next == HUGE_VAL || ev_is_active(&s->company))
        return;
    ev_timer_set(&s->company, next - ev_now(s->loop), 0.);
    ev_timer_start(s->loop, &s->company);
}

void batch_give_way(struct batch_set *s, struct batch *b)
{
    struct gate *g = b->lane->gate;
    if (g == NULL)
        return;
    gate_leave(g, &b->place, ev_now(s->loop));
    let_on(s, g);
}

static void leave_lane(struct batch_set *s, struct batch *b)
{
    struct batch_lane *lane = b->lane;
    struct gate *g = lane->gate;
    lane->closed--;
    if (g == NULL)
        return;
    gate_leave(g, &b->place, ev_now(s->loop));
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
    buf_reset(&b->lb.tail);
    list_push_back(&s->pool, &b->link);
    s->n_pool++;
}
