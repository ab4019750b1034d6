/* ingest - the HTTP intake process: wiring of its parts, links, memory pressure, draining.
 *
 * Requests come from the HTTP layer (request.c), their events go into batches (fanout.c, batch.c), closed batches wait
 * (ready.c) for a link with room (links.c), and the request is answered (waiter.c) when the worker says STORED. At the
 * end of each turn of the loop everything that can go on goes on; so requests that arrive together share a batch.
 */
#include "workers/ingest/ingest.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/crash.h"
#include "common/base/hook.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "workers/ingest/endpoint.h"
#include "workers/ingest/fanout.h"
#include "workers/ingest/flush.h"
#include "workers/ingest/front.h"
#include "workers/ingest/pixel.h"
#include "workers/ingest/pressure.h"
#include "workers/ingest/reply.h"
#include "workers/ingest/request.h"
#include "workers/ingest/requeue.h"
#include "workers/ingest/told.h"
#include "workers/kinds.h"

#define PRESSURE_HIGH(max) ((max) / 8 * 7)
#define PRESSURE_LOW(max)  ((max) / 4 * 3)
#define PRESSURE_WAIT      1. /* seconds of no reading before requests are sent away */
#define DRAIN_TICK         0.05
#define DRAIN_IDLE                                                                                           \
    5. /* seconds in which a request may come on an open connection, when another process accepts */
#define DRAIN_LINGER       0.25 /* the same when nobody does; and for the last answers to be read */
#define DRAIN_MARGIN       0.5  /* seconds kept for the end itself */
#define QUARANTINE_FOLDERS 8    /* a predecessor of this slot may still hold its own */

struct gone_link {
    struct list link;
    struct link_send *send;
};

void ingest_batch_done(struct ingest *g, struct batch *b)
{
    struct list parts;
    list_init(&parts);
    if (!list_empty(&b->parts)) {
        list_insert_between(&parts, b->parts.prev, b->parts.next);
        list_init(&b->parts);
    }
    uint64_t number = b->number;
    seen_forget(&g->seen, b);
    batch_free(&g->batches, b);
    flush_batch_gone(g, number);
    waiter_parts_done(&parts, false); /* last: an answer may bring the next request at once */
}

static struct quarantine *open_quarantine(struct ingest *g)
{
    for (int i = 0; i < QUARANTINE_FOLDERS; i++) {
        char name[64], path[4096];
        int n = snprintf(name, sizeof name, "quarantine/ingest.%u", child_slot(g->child));
        if (i > 0)
            snprintf(name + n, sizeof name - (size_t)n, ".%d", i);
        conf_state_path(g->conf, name, path, sizeof path);
        struct quarantine *q =
            quarantine_open(g->loop, path, g->conf->quarantine.max_size_bytes, g->conf->quarantine.age_ms);
        if (q != NULL || errno != EWOULDBLOCK)
            return q;
    }
    return NULL;
}

struct quarantine *ingest_quarantine(struct ingest *g)
{
    if (g->quarantine == NULL) {
        g->quarantine = open_quarantine(g);
        if (g->quarantine == NULL)
            log_error("quarantine_unusable", "error=%s", log_q(strerror(errno)));
    }
    return g->quarantine;
}

void ingest_count_quarantined(struct ingest *g, const char *reason)
{
    metric_add(metrics_series(child_metrics(g->child), METRIC_QUARANTINE_RECORDS, reason, NULL), 1);
}

/* ---- HTTP */

static void on_request(struct http_request *r, void *arg)
{
    struct ingest *g = arg;
    const struct endpoint *e = endpoint_find(http_request_path(r));
    if (e == NULL)
        reply_error(g, r, NULL, 404, "404 page not found");
    else if (!endpoint_allows(e, http_request_method(r)))
        reply_not_allowed(g, r, e->allow);
    else if (http_request_method(r)[0] == 'O')
        reply_options(g, r, e);
    else if (e->kind == ENDPOINT_HEALTH)
        reply_health(g, r);
    else
        request_handle(g, r, e);
}

static void on_aborted(struct http_request *r, void *arg)
{
    (void)arg;
    struct waiter *w = http_request_user(r);
    if (w != NULL)
        waiter_aborted(w);
}

static void on_answered(struct http_request *r, int status, uint64_t duration_us, void *arg)
{
    (void)r;
    struct ingest *g = arg;
    source_count_request(g->answering != NULL ? g->answering : source_unknown(g->sources), status,
                         duration_us);
}

static void on_outcome(struct waiter *w, enum waiter_outcome outcome, void *arg)
{
    struct ingest *g = arg;
    switch (outcome) {
    case WAITER_DONE:
        HOOK_POINT(answer_unsent);
        reply_ok(g, w->request, w->source, w->accepted, w->quarantined, w->fault);
        HOOK_POINT(answer_sent);
        break;
    case WAITER_FAILED:
        reply_busy(g, w->request, w->source,
                   w->fault != EVENT_OK ? REPLY_BUSY_QUARANTINE : REPLY_BUSY_MEMORY);
        break;
    case WAITER_TIMEOUT:
        reply_busy(g, w->request, w->source, g->links.n > 0 ? REPLY_BUSY_TIMEOUT : REPLY_BUSY_NO_WORKER);
        break;
    case WAITER_DRAIN:
        reply_busy(g, w->request, w->source, REPLY_BUSY_DRAINING);
        break;
    case WAITER_ACCEPTED:
        reply_accepted(g, w->request, w->source, w->accepted);
        break;
    case WAITER_REJECTED:
        reply_rejected(g, w->request, w->source, w->rejection);
        break;
    }
}

static struct http_limits limits_of(const struct conf_ingest *c)
{
    return (struct http_limits){
        .header_bytes = c->limits_headers_bytes,
        .body_bytes = c->limits_request_bytes,
        .connections = (unsigned)c->limits_connections,
        .header_timeout_ms = c->limits_header_timeout_ms,
        .body_timeout_ms = c->limits_body_timeout_ms,
        .idle_timeout_ms = c->limits_idle_timeout_ms,
        .handshake_timeout_ms = c->limits_handshake_timeout_ms,
        .min_rate = c->limits_min_rate_bytes,
    };
}

static void make_server(struct ingest *g)
{
    struct http_limits limits = limits_of(&g->conf->ingest);
    static const struct http_server_events events = {on_request, on_aborted, on_answered,
                                                     front_count_handshake};
    g->server = http_server_new(g->loop, &limits, &g->budget, &events, g);
}

/* ---- links */

static void on_stored(struct link_send *l, struct link_batch *lb, bool duplicate, void *arg)
{
    struct ingest *g = arg;
    struct batch *b = list_entry(lb, struct batch, lb);
    g->last_progress = ev_now(g->loop);
    metric_add(duplicate ? g->counts.duplicate : g->counts.stored, 1);
    links_forget(&g->links, lb);
    if (lb->flags & MSG_BATCH_TELL)
        told_begin(g, b, l);
    if (lb->seen > 0)
        source_count_seen(g->sources, lb->source, lb->seen);
    ingest_batch_done(g, b);
}

static void on_delivered(struct link_send *l, const struct msg_delivered *d, void *arg)
{
    (void)l;
    told_delivered(arg, d);
}

static void on_refused(struct link_send *l, struct link_batch *lb, bool temporary, uint32_t retry_after_ms,
                       const char *why, void *arg)
{
    (void)l;
    struct ingest *g = arg;
    links_forget(&g->links, lb);
    if (!temporary && g->conf->redis.mode == CONF_REDIS_NONE)
        told_refused(g, list_entry(lb, struct batch, lb), why);
    requeue_refused(g, list_entry(lb, struct batch, lb), temporary, retry_after_ms, why);
}

static void on_link_ready(struct link_send *l, void *arg)
{
    (void)l;
    (void)arg; /* the end of this turn looks at all links */
}

void ingest_bury(struct ingest *g, struct link_send *send)
{
    struct gone_link *dead = xmalloc(sizeof *dead);
    dead->send = send;
    list_push_back(&g->gone_links, &dead->link);
}

static void on_link_gone(struct link_send *send, struct list *returned, bool clean, void *arg)
{
    struct ingest *g = arg;
    struct link *l = links_find(&g->links, send);
    log_info("link_gone", "worker=%u generation=%u clean=%s returned=%s", link_send_slot(send),
             link_send_generation(send), clean ? "true" : "false", list_empty(returned) ? "false" : "true");
    if (l != NULL)
        links_remove(&g->links, l);
    if (!g->draining)
        child_unlinked(g->child, link_send_generation(send));
    told_link_gone(g, send);
    requeue_returned(g, returned, clean || link_send_ending(send));
    ingest_bury(g, send);
}

static void bury(struct ingest *g)
{
    struct gone_link *dead;
    while ((dead = list_first(&g->gone_links, struct gone_link, link)) != NULL) {
        list_remove(&dead->link);
        link_send_free(dead->send);
        free(dead);
    }
}

static void end_links(struct ingest *g);

static void ingest_link(struct child *c, const struct msg_link *m, int batch_fd, int ack_fd, void *state)
{
    (void)c;
    struct ingest *g = *(struct ingest **)state;
    static const struct link_send_events events = {.stored = on_stored,
                                                   .refused = on_refused,
                                                   .ready = on_link_ready,
                                                   .gone = on_link_gone,
                                                   .delivered = on_delivered,
                                                   .pressure = pressure_told};
    if (strcmp(m->peer_kind, "spool") == 0) {
        spooling_link(g, m, batch_fd, ack_fd);
        if (g->ended)
            end_links(g);
        if (!g->listening && !g->draining)
            front_listen(g);
        return;
    }
    struct link_send *send =
        link_send_new(g->loop, batch_fd, ack_fd, m->peer_slot, m->peer_generation, &events, g);
    links_add(&g->links, send);
    g->last_progress = ev_now(g->loop);
    log_info("link_up", "worker=%u generation=%u", m->peer_slot, m->peer_generation);
    if (g->ended)
        link_send_end(send);
    if (!g->listening && !g->draining)
        front_listen(g);
}

/* ---- memory pressure: stop reading, then send requests away, until there is room again */

static void on_pressure(struct ev_loop *loop, ev_timer *w, int revents)
{
    (void)loop;
    (void)revents;
    struct ingest *g = w->data;
    log_warn("memory_pressure", "used=%zu max=%zu events=%zu", g->budget.used, g->budget.max,
             g->batches.events);
    g->shedding = true;
    g->paused = false;
    http_server_pause(g->server, false);
}

static void watch_pressure(struct ingest *g)
{
    if (g->budget.used < PRESSURE_LOW(g->budget.max)) {
        if (g->paused) {
            ev_timer_stop(g->loop, &g->patience);
            g->paused = false;
            http_server_pause(g->server, false);
        }
        if (g->shedding)
            log_info("memory_relieved", "used=%zu max=%zu", g->budget.used, g->budget.max);
        g->shedding = false;
    } else if (g->budget.used > PRESSURE_HIGH(g->budget.max) && !g->paused && !g->shedding && !g->draining) {
        g->paused = true;
        http_server_pause(g->server, true);
        ev_timer_set(&g->patience, PRESSURE_WAIT, 0.);
        ev_timer_start(g->loop, &g->patience);
    }
}

/* ---- draining */

static void end_links(struct ingest *g)
{
    struct link *l;
    g->ended = true;
    list_foreach(l, &g->links.links, struct link, link)
    {
        link_send_end(l->send);
    }
    list_foreach(l, &g->spooling.links.links, struct link, link)
    {
        link_send_end(l->send);
    }
}

static void finish(struct ingest *g)
{
    size_t left = g->batches.batches;
    if (g->conf->redis.mode == CONF_REDIS_NONE && left > 0)
        log_error("events_lost", "events=%zu batches=%zu why=%s", g->batches.events, left,
                  log_q("redis.mode is none: what is not delivered at the end of a drain is gone"));
    waiter_answer_all(&g->waiters, WAITER_DRAIN);
    quarantine_close(g->quarantine);
    g->quarantine = NULL;
    ev_timer_stop(g->loop, &g->drain);
    ev_prepare_stop(g->loop, &g->turn);
    log_info("ingest_drained", "batches_left=%zu", left);
    HOOK_POINT(ingest_drained);
    child_drained(g->child, (unsigned)left);
}

static void drain_on(struct ingest *g)
{
    double now = ev_now(g->loop);
    /* Without a master no other worker will come. */
    bool stranded = child_orphan(g->child) && g->links.n == 0 && g->spooling.links.n == 0;
    bool busy = (g->batches.batches > 0 && !stranded) || http_server_requests_open(g->server) > 0 ||
                http_server_requests_partial(g->server) > 0;
    if (stranded)
        waiter_answer_all(&g->waiters, WAITER_DRAIN);
    if (!g->closing_idle && (now >= g->drain_idle_until || http_server_connections(g->server) == 0)) {
        g->closing_idle = true;
        waiter_accept_told(&g->waiters); /* theirs is in Redis */
        http_server_close_idle(g->server);
    }
    if (busy || !g->closing_idle) {
        g->drain_idle_since = now;
    } else if (!g->ended) {
        end_links(g); /* what this turn has put is written before the end */
        return;
    }
    if (now >= g->drain_deadline ||
        (!busy && g->closing_idle &&
         (http_server_connections(g->server) == 0 || now - g->drain_idle_since > DRAIN_LINGER)))
        finish(g);
}

static void on_drain_tick(struct ev_loop *loop, ev_timer *w, int revents)
{
    (void)loop;
    (void)revents;
    drain_on(w->data);
}

/* Does another process accept connections meanwhile? */
static bool has_successor(const struct child *c, const char *reason)
{
    return !child_orphan(c) && strcmp(reason, MSG_DRAIN_STOP) != 0 && strcmp(reason, CHILD_DRAIN_TERM) != 0;
}

static void ingest_drain(struct child *c, uint32_t deadline_ms, const char *reason, void *state)
{
    struct ingest *g = *(struct ingest **)state;
    double now = ev_now(g->loop), whole = deadline_ms / 1000.;
    log_info("ingest_drain", "deadline_ms=%u reason=%s batches=%zu", deadline_ms, log_q(reason),
             g->batches.batches);
    HOOK_POINT(ingest_drain);
    g->draining = true;
    g->drain_deadline = now + (whole > 2 * DRAIN_MARGIN ? whole - DRAIN_MARGIN : whole / 2);
    g->drain_idle_since = now;
    g->drain_idle_until = now + (has_successor(c, reason) ? DRAIN_IDLE : DRAIN_LINGER);
    if (g->drain_idle_until > now + whole / 2)
        g->drain_idle_until = now + whole / 2;
    if (g->paused) {
        ev_timer_stop(g->loop, &g->patience);
        g->paused = false;
        http_server_pause(g->server, false);
    }
    http_server_drain(g->server);
    batch_close_all(&g->batches);
    ready_unpark(&g->ready);
    ev_timer_init(&g->drain, on_drain_tick, 0., DRAIN_TICK);
    g->drain.data = g;
    ev_timer_start(g->loop, &g->drain);
}

/* ---- the process */

static void on_turn(struct ev_loop *loop, ev_prepare *w, int revents)
{
    (void)loop;
    (void)revents;
    struct ingest *g = w->data;
    ready_pump(&g->ready, &g->links);
    if (!list_empty(&g->batches.open) && list_empty(&g->ready.fifo) && links_room(&g->links)) {
        batch_close_idle(&g->batches);
        ready_pump(&g->ready, &g->links);
    }
    if (!list_empty(&g->ready.fifo) || !list_empty(&g->spooling.fifo))
        spooling_pump(g);
    if (!list_empty(&g->untold))
        told_follow(g);
    watch_pressure(g);
    bury(g);
}

static void on_closed(struct batch *b, void *arg)
{
    struct ingest *g = arg;
    HOOK_POINT(batch_closed);
    if (batch_end_tail(b) < 0) { /* no memory: its events go without their digests */
        seen_forget(&g->seen, b);
        buf_reset(&b->lb.tail);
    }
    b->since = ev_now(g->loop);
    if (g->spooling.wary && spooling_wants(g, b))
        return;
    ready_push(&g->ready, b);
}

static void make_counts(struct ingest *g)
{
    struct metrics *m = child_metrics(g->child);
    g->counts.stored = metrics_series(m, METRIC_INGEST_BATCHES, "stored", NULL);
    g->counts.duplicate = metrics_series(m, METRIC_INGEST_BATCHES, "duplicate", NULL);
    g->counts.returned = metrics_series(m, METRIC_INGEST_BATCHES, "returned", NULL);
    g->counts.refused = metrics_series(m, METRIC_INGEST_BATCHES, "refused", NULL);
    g->counts.quarantined = metrics_series(m, METRIC_INGEST_BATCHES, "quarantined", NULL);
    g->counts.unremembered = metrics_series(m, METRIC_INGEST_DEDUP_FAILED, "memory", NULL);
}

static struct batch_options batch_options_of(const struct conf_ingest *c)
{
    return (struct batch_options){.flush_at = (unsigned)c->flush_at,
                                  .flush_interval = (double)c->flush_interval_ms / 1000.,
                                  .max_bytes = c->max_batch_bytes < BATCH_BODY_MAX ? c->max_batch_bytes
                                                                                   : BATCH_BODY_MAX};
}

static int ingest_start(struct child *c, void *state, enum exitcode *code)
{
    struct ingest *g = xcalloc(1, sizeof *g);
    *(struct ingest **)state = g;
    g->child = c;
    g->loop = child_loop(c);
    g->conf = child_config(c);
    if (front_start(g) < 0) {
        *code = EXIT_CODE_CONFIG;
        return -1;
    }
    const struct conf_ingest *conf = &g->conf->ingest;
    g->budget.max = conf->memory_bytes;
    g->sources = source_table_new(g->conf, child_metrics(c));
    proxies_set(&g->proxies, conf->trusted_proxies);
    buf_init(&g->pixel, PIXEL_TEXT_MAX);
    fanout_init(g);
    routing_init(&g->routing, g->conf, child_metrics(c));
    g->inflate = inflate_new(conf->limits_inflated_bytes, &g->budget);
    body_init(&g->body, conf->limits_events_per_batch);
    body_set_pick(&g->body, route_table_pick(g->routing.table));
    struct batch_options o = batch_options_of(conf);
    seen_init(&g->seen, &g->budget);
    batch_set_init(&g->batches, g->loop, &o, &g->budget, on_closed, g);
    waiter_set_init(&g->waiters, g->loop,
                    g->conf->redis.mode == CONF_REDIS_NONE ? conf->delivered_timeout_ms
                                                           : conf->ack_timeout_ms,
                    on_outcome, g);
    waiter_set_told_timeout(&g->waiters, conf->delivered_timeout_ms);
    ready_init(&g->ready, g->loop);
    links_init(&g->links);
    spooling_init(g);
    list_init(&g->gone_links);
    list_init(&g->aside);
    list_init(&g->told);
    list_init(&g->untold);
    list_init(&g->flushes);
    make_counts(g);
    pressure_start(g);
    make_server(g);
    (void)ingest_quarantine(g); /* without it only requests with bad events are refused */
    g->last_progress = ev_now(g->loop);
    ev_timer_init(&g->patience, on_pressure, 0., 0.);
    g->patience.data = g;
    ev_prepare_init(&g->turn, on_turn);
    ev_set_priority(&g->turn, EV_MAXPRI); /* before the links write what they were given in this turn */
    g->turn.data = g;
    ev_prepare_start(g->loop, &g->turn);
    child_ready(c);
    return 0;
}

/* Keys that are not passed on here are read from g->conf for each request. */
static int ingest_reload(struct child *c, const struct conf *old, void *state)
{
    struct ingest *g = *(struct ingest **)state;
    const struct conf_ingest *conf = &child_config(c)->ingest;
    const struct conf_quarantine *q = &child_config(c)->quarantine;
    struct batch_options o = batch_options_of(conf);
    struct http_limits limits = limits_of(conf);
    g->budget.max = conf->memory_bytes;
    g->body.max_events = conf->limits_events_per_batch;
    source_table_set(g->sources, child_config(c));
    routing_set(&g->routing, child_config(c));
    body_set_pick(&g->body, route_table_pick(g->routing.table));
    proxies_set(&g->proxies, conf->trusted_proxies);
    inflate_set_max(g->inflate, conf->limits_inflated_bytes);
    batch_set_options(&g->batches, &o);
    waiter_set_timeout(&g->waiters, g->conf->redis.mode == CONF_REDIS_NONE ? conf->delivered_timeout_ms
                                                                           : conf->ack_timeout_ms);
    waiter_set_told_timeout(&g->waiters, conf->delivered_timeout_ms);
    http_server_set_limits(g->server, &limits);
    spooling_tune(g);
    if (front_reload(g, old) < 0)
        return -1;
    if (g->quarantine != NULL)
        quarantine_set_limits(g->quarantine, q->max_size_bytes, q->age_ms);
    return 0;
}

static void ingest_health(struct child *c, const struct msg_health *m, void *state)
{
    (void)c;
    struct ingest *g = *(struct ingest **)state;
    g->health_known = true;
    g->healthy = m->ready;
}

static void ingest_beat(struct child *c, struct msg_beat *m, void *state)
{
    struct ingest *g = *(struct ingest **)state;
    struct metrics *all = child_metrics(c);
    m->in_hand = (uint32_t)g->batches.batches;
    m->jobs = (uint64_t)metrics_value(all, METRIC_INGEST_REQUESTS, NULL);
    pressure_beat(g);
    metric_set(metrics_series(all, METRIC_INGEST_IN_FLIGHT, NULL), http_server_requests_open(g->server));
    metric_set(metrics_series(all, METRIC_INGEST_CONNECTIONS, NULL), http_server_connections(g->server));
    metric_set(metrics_series(all, METRIC_INGEST_QUEUED_EVENTS, NULL), (double)g->batches.events);
    if (g->quarantine != NULL)
        metric_set(metrics_series(all, METRIC_QUARANTINE_BYTES, NULL),
                   (double)quarantine_bytes(g->quarantine));
    routing_beat(&g->routing, ev_now(g->loop));
    if (!list_empty(&g->aside))
        requeue_set_aside(g);
}

static void ingest_flush(struct child *c, uint32_t id, void *state)
{
    (void)c;
    flush_begin(*(struct ingest **)state, id);
}

static void ingest_held(void *state)
{
    const struct ingest *g = *(struct ingest **)state;
    const struct link *l;
    if (g == NULL)
        return;
    list_foreach(l, &g->links.links, struct link, link) link_send_each(l->send, crash_put_held);
    list_foreach(l, &g->spooling.links.links, struct link, link) link_send_each(l->send, crash_put_held);
}

int ingest_main(unsigned slot, char **argv)
{
    static const struct child_kind kind = {
        .name = "ingest",
        .start = ingest_start,
        .link = ingest_link,
        .drain = ingest_drain,
        .health = ingest_health,
        .beat = ingest_beat,
        .flush = ingest_flush,
        .reload = ingest_reload,
        .held = ingest_held,
        .sandbox = SANDBOX_INGEST,
        .state_size = sizeof(struct ingest *),
    };
    mem_keep_freed();
    return child_main(&kind, slot, argv);
}
