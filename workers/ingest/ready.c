/* ready - see ready.h. */
#include "workers/ingest/ready.h"

static void on_time(struct ev_loop *loop, ev_timer *w, int revents)
{
    (void)revents;
    struct ready *r = w->data;
    struct batch *b;
    while ((b = list_first(&r->parked, struct batch, link)) != NULL) {
        if (b->due > ev_now(loop)) {
            ev_timer_set(w, b->due - ev_now(loop), 0.);
            ev_timer_start(loop, w);
            return;
        }
        list_remove(&b->link);
        ready_push_front(r, b); /* it is older than what waits */
    }
}

void ready_init(struct ready *r, struct ev_loop *loop)
{
    *r = (struct ready){.loop = loop};
    list_init(&r->fifo);
    list_init(&r->parked);
    ev_timer_init(&r->timer, on_time, 0., 0.);
    r->timer.data = r;
}

void ready_fini(struct ready *r)
{
    ev_timer_stop(r->loop, &r->timer);
}

static bool suspect(const struct batch *b)
{
    return b->lb.tries >= READY_SUSPECT;
}

void ready_push(struct ready *r, struct batch *b)
{
    r->suspects += suspect(b);
    list_push_back(&r->fifo, &b->link);
}

void ready_push_front(struct ready *r, struct batch *b)
{
    r->suspects += suspect(b);
    list_push_front(&r->fifo, &b->link);
}

void ready_park(struct ready *r, struct batch *b, uint32_t ms)
{
    struct list *at = r->parked.prev;
    b->due = ev_now(r->loop) + (double)ms / 1000.;
    while (at != &r->parked && list_entry(at, struct batch, link)->due > b->due)
        at = at->prev;
    list_insert_between(&b->link, at, at->next);
    if (r->parked.next == &b->link) {
        ev_timer_stop(r->loop, &r->timer);
        ev_timer_set(&r->timer, b->due - ev_now(r->loop), 0.);
        ev_timer_start(r->loop, &r->timer);
    }
}

void ready_unpark(struct ready *r)
{
    struct batch *b;
    ev_timer_stop(r->loop, &r->timer);
    while ((b = list_first(&r->parked, struct batch, link)) != NULL) {
        list_remove(&b->link);
        ready_push_front(r, b);
    }
}

static void sent(struct ready *r, struct batch *b)
{
    r->suspects -= suspect(b);
}

/* Suspects first get their links (or keep one for themselves), wherever they stand. */
static void pump_suspects(struct ready *r, struct link_set *links)
{
    struct batch *b;
    list_foreach(b, &r->fifo, struct batch, link)
    {
        if (!suspect(b))
            continue;
        list_remove(&b->link);
        if (links_put_alone(links, &b->lb))
            sent(r, b);
        else
            list_insert_between(&b->link, b_n->prev, b_n); /* back to its place */
    }
}

void ready_pump(struct ready *r, struct link_set *links)
{
    struct batch *b;
    if (list_empty(&r->fifo) || links->n == 0)
        return;
    if (r->suspects > 0)
        pump_suspects(r, links);
    list_foreach(b, &r->fifo, struct batch, link)
    {
        if (suspect(b))
            continue;
        list_remove(&b->link);
        if (!links_put(links, &b->lb)) {
            list_insert_between(&b->link, b_n->prev, b_n);
            return;
        }
    }
}

struct batch *ready_pop(struct ready *r)
{
    struct batch *b = list_first(&r->fifo, struct batch, link);
    if (b != NULL)
        r->suspects -= suspect(b);
    else
        b = list_first(&r->parked, struct batch, link);
    if (b != NULL)
        list_remove(&b->link);
    return b;
}
