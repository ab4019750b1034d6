/* spooling - see spooling.h. */
#include "workers/ingest/spooling.h"

#include <stdlib.h>

#include "common/base/log.h"
#include "workers/ingest/fanout.h"
#include "workers/ingest/ingest.h"
#include "workers/ingest/requeue.h"

#define REFUSED_MAX_S 5.

static void on_after(struct ev_loop *loop, ev_timer *w, int revents)
{
    (void)loop, (void)w, (void)revents; /* the end of this turn looks */
}

static void be_wary(struct spooling *p)
{
    p->wary = p->n_gates > 0 || p->avoid || (p->expected && !p->listed);
}

static void set_spooled(struct spooling *p, struct gate *gate, bool spooled)
{
    if (gate->spooled == spooled)
        return;
    gate->spooled = spooled;
    p->n_gates += spooled ? 1 : -(size_t)1;
    be_wary(p);
}

/* Nothing but the spool may have it. */
static bool is_bound(const struct spooling *p, const struct batch *b)
{
    const struct gate *gate = b->lane->gate;
    return gate != NULL && (gate->spooled || (p->expected && !p->listed));
}

void spooling_init(struct ingest *g)
{
    struct spooling *p = &g->spooling;
    links_init(&p->links);
    list_init(&p->fifo);
    ev_timer_init(&p->after, on_after, 0., 0.);
    p->spooled = metrics_series(child_metrics(g->child), METRIC_INGEST_BATCHES, "spooled", NULL);
    spooling_tune(g);
}

static void free_gate(struct gate *gate, void *arg)
{
    set_spooled(arg, gate, false);
}

void spooling_tune(struct ingest *g)
{
    struct spooling *p = &g->spooling;
    p->expected = conf_spool_processes(g->conf) > 0;
    if (!p->expected) { /* what is left on disk stays there */
        fanout_each_gate(g, free_gate, p);
        p->away = false;
    }
    be_wary(p);
}

static bool links_open(const struct link_set *s)
{
    const struct link *l;
    list_foreach(l, &s->links, struct link, link) if (link_send_open(l->send)) return true;
    return false;
}

void spooling_avoid(struct ingest *g, bool full)
{
    g->spooling.avoid = full;
    be_wary(&g->spooling);
}

bool spooling_open(const struct ingest *g)
{
    return g->spooling.expected && links_open(&g->spooling.links);
}

double spooling_fill(const struct ingest *g)
{
    const struct spooling *p = &g->spooling;
    return p->max_bytes > 0 ? (double)p->bytes / (double)p->max_bytes : 0;
}

bool spooling_wants(struct ingest *g, struct batch *b)
{
    if (!is_bound(&g->spooling, b) && !(g->spooling.avoid && spooling_open(g)))
        return false;
    list_push_back(&g->spooling.fifo, &b->link);
    return true;
}

bool spooling_takes(struct ingest *g, struct batch *b, uint32_t retry_after_ms)
{
    struct spooling *p = &g->spooling;
    double until = ev_now(g->loop) + retry_after_ms / 1e3;
    if (!p->expected || !links_open(&p->links))
        return false;
    p->refused_until = until < ev_now(g->loop) + REFUSED_MAX_S ? until : ev_now(g->loop) + REFUSED_MAX_S;
    list_push_back(&p->fifo, &b->link);
    return true;
}

bool spooling_full(const struct ingest *g)
{
    const struct spooling *p = &g->spooling;
    return (p->away || ev_now(g->loop) < p->refused_until) && p->max_bytes > 0 && p->bytes >= p->max_bytes &&
           g->conf->spool.on_full == CONF_ON_FULL_REJECT;
}

/* ---- moving */

/* What has waited for too long, or all of it. */
static void take_over(struct ingest *g)
{
    struct spooling *p = &g->spooling;
    double now = ev_now(g->loop), after = (double)conf_spool_after_ms(g->conf) / 1e3;
    struct batch *b;
    list_foreach(b, &g->ready.fifo, struct batch, link)
    {
        bool all = p->away || now < p->refused_until;
        if (b->lb.tries >= READY_SUSPECT) /* waits for a link to itself */
            continue;
        if (!all && b->since + after > now)
            break;
        if (!all)
            p->away = !links_open(&g->links);
        list_remove(&b->link);
        list_push_back(&p->fifo, &b->link);
    }
}

/* The spool takes nothing: what is not bound to it goes back. */
static void give_back(struct ingest *g)
{
    struct spooling *p = &g->spooling;
    double now = ev_now(g->loop);
    struct batch *b;
    for (struct list *at = p->fifo.prev, *before; at != &p->fifo; at = before) {
        before = at->prev;
        b = list_entry(at, struct batch, link);
        if (is_bound(p, b))
            continue;
        list_remove(at);
        if (now < p->refused_until)
            ready_park(&g->ready, b, (uint32_t)((p->refused_until - now) * 1e3) + 1);
        else
            ready_push_front(&g->ready, b);
    }
}

static void start_timer(struct ingest *g)
{
    struct spooling *p = &g->spooling;
    const struct batch *first = list_first(&g->ready.fifo, struct batch, link);
    double left;
    if (first == NULL || ev_is_active(&p->after))
        return;
    left = first->since + (double)conf_spool_after_ms(g->conf) / 1e3 - ev_now(g->loop);
    ev_timer_set(&p->after, left > 0.001 ? left : 0.001, 0.);
    ev_timer_start(g->loop, &p->after);
}

void spooling_pump(struct ingest *g)
{
    struct spooling *p = &g->spooling;
    struct batch *b;
    if (!p->expected) {
        give_back(g);
        return;
    }
    bool workers = links_open(&g->links);
    if (p->away && workers) {
        p->away = false;
        log_info("spooling_ends", "held=%zu", p->n_gates);
    }
    bool was_away = p->away;
    if (links_open(&p->links))
        take_over(g);
    if (p->away && !was_away)
        log_warn("spooling", "why=%s", log_q("no delivery process takes batches: they go to the spool"));
    while ((b = list_first(&p->fifo, struct batch, link)) != NULL) {
        list_remove(&b->link);
        if (!links_put(&p->links, &b->lb)) {
            list_push_front(&p->fifo, &b->link);
            break;
        }
        if (b->lane->gate != NULL) {
            set_spooled(p, b->lane->gate, true);
            b->lane->gate->told_by = p->generation;
        }
    }
    if (!list_empty(&p->fifo) && workers && !links_open(&p->links))
        give_back(g);
    start_timer(g);
}

/* ---- what it tells */

static bool is_out_there(const struct spooling *p, const struct gate *gate)
{
    if (gate->out == NULL)
        return false;
    const struct batch *b = list_entry(gate->out, struct batch, place);
    return b->lb.on != NULL && links_find(&p->links, b->lb.on) != NULL;
}

/* Batches that waited for an answer to whether they may go to a delivery process. */
static void let_go(struct ingest *g)
{
    struct spooling *p = &g->spooling;
    for (struct list *at = p->fifo.prev, *before; at != &p->fifo; at = before) {
        struct batch *b = list_entry(at, struct batch, link);
        before = at->prev;
        if (b->lane->gate == NULL || is_bound(p, b))
            continue;
        list_remove(at);
        ready_push_front(&g->ready, b);
    }
}

static void not_told(struct gate *gate, void *arg)
{
    struct spooling *p = arg;
    if (gate->spooled && gate->told_by != p->generation && !is_out_there(p, gate))
        set_spooled(p, gate, false);
}

static void on_told(struct link_send *l, const struct msg *m, void *arg)
{
    struct ingest *g = arg;
    struct spooling *p = &g->spooling;
    if (link_send_generation(l) != p->generation)
        return; /* a predecessor: its successor tells the same, and more */
    if (m->type == MSG_FILL) {
        p->bytes = m->u.fill.bytes;
        p->max_bytes = m->u.fill.max_bytes;
        if (!m->u.fill.listed || p->listed)
            return;
        p->listed = true;
        fanout_each_gate(g, not_told, p);
        be_wary(p);
        let_go(g);
        return;
    }
    struct gate *gate = fanout_gate(g, m->u.hold.queue);
    if (m->u.hold.held)
        link_send_held(l, m->u.hold.queue, m->u.hold.number);
    if (gate == NULL)
        return;
    if (m->u.hold.held) {
        gate->told_by = p->generation;
        set_spooled(p, gate, true);
    } else if (!is_out_there(p, gate)) { /* else it is there again, and that will be told */
        set_spooled(p, gate, false);
        let_go(g);
    }
}

/* ---- links */

static void on_spooled(struct link_send *l, struct link_batch *lb, bool duplicate, void *arg)
{
    struct ingest *g = arg;
    (void)l, (void)duplicate;
    g->last_progress = ev_now(g->loop);
    struct batch *b = list_entry(lb, struct batch, lb);
    metric_add(g->spooling.spooled, 1);
    if ((lb->flags & MSG_BATCH_TELL) != 0) { /* nobody tells of what goes on from the spool */
        waiter_parts_stored(&b->parts);
        waiter_parts_delivered(&b->parts, WAITER_ACCEPTED, "");
    }
    ingest_batch_done(g, b);
}

static void on_refused(struct link_send *l, struct link_batch *lb, bool temporary, uint32_t retry_after_ms,
                       const char *why, void *arg)
{
    struct ingest *g = arg;
    (void)l, (void)temporary, (void)retry_after_ms;
    metric_add(g->counts.refused, 1);
    log_debug("batch_not_spooled", "batch=%s why=%s", lb->id, log_q(why));
    list_push_back(&g->spooling.fifo, &list_entry(lb, struct batch, lb)->link);
}

static void on_ready(struct link_send *l, void *arg)
{
    (void)l, (void)arg; /* the end of this turn looks at all links */
}

/* The death of a spool process says nothing about what it had in hand: it looks at no event. */
static void on_gone(struct link_send *send, struct list *returned, bool clean, void *arg)
{
    struct ingest *g = arg;
    struct spooling *p = &g->spooling;
    struct link *l = links_find(&p->links, send);
    log_info("spool_link_gone", "generation=%u clean=%s returned=%s", link_send_generation(send),
             clean ? "true" : "false", list_empty(returned) ? "false" : "true");
    if (l != NULL)
        links_remove(&p->links, l);
    if (!g->draining)
        child_unlinked(g->child, link_send_generation(send));
    if (link_send_generation(send) == p->generation) {
        p->listed = false; /* until it is back, others may give it batches of any queue */
        p->bytes = p->max_bytes = 0;
        be_wary(p);
    }
    while (!list_empty(returned)) {
        struct batch *b = list_entry(list_entry(returned->prev, struct link_batch, link), struct batch, lb);
        list_remove(&b->lb.link);
        b->lb.on = NULL;
        metric_add(g->counts.returned, 1);
        list_push_front(&p->fifo, &b->link);
    }
    ingest_bury(g, send);
}

void spooling_link(struct ingest *g, const struct msg_link *m, int batch_fd, int ack_fd)
{
    static const struct link_send_events events = {
        .stored = on_spooled, .refused = on_refused, .told = on_told, .ready = on_ready, .gone = on_gone};
    struct spooling *p = &g->spooling;
    struct link_send *send =
        link_send_new(g->loop, batch_fd, ack_fd, m->peer_slot, m->peer_generation, &events, g);
    links_add(&p->links, send);
    if (m->peer_generation >= p->generation) {
        p->generation = m->peer_generation;
        p->listed = false;
        be_wary(p);
    }
    log_info("spool_link_up", "generation=%u", m->peer_generation);
}
