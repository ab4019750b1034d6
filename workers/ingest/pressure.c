/* pressure - see pressure.h. */
#include "workers/ingest/pressure.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/id.h"
#include "common/base/log.h"
#include "common/base/mem.h"

#define STALE_S 15. /* a worker says again what it has said each 5 s, as long as there is something */

enum place { REDIS_MEMORY, SPOOL, REQUESTS, EVENTS, PLACES };

struct pressure {
    struct gauge places[PLACES];
    struct gauge *depths; /* of each destination */
    size_t n;
    unsigned n_deep;
    size_t deepest; /* the one that a request was last sent away for */
    double told_at; /* by a worker; 0: nobody has anything to tell */
    struct metric *shown[PLACES + 1];
};

static const char *const names[PLACES + 1] = {
    [REDIS_MEMORY] = "redis_memory", [SPOOL] = "spool", [REQUESTS] = "requests", [EVENTS] = "events",
    [PLACES] = "queue_depth",
};

void pressure_start(struct ingest *g)
{
    struct pressure *p = xcalloc(1, sizeof *p);
    p->n = g->conf->n_destinations;
    p->depths = xcalloc(p->n + 1, sizeof *p->depths);
    for (size_t i = 0; i <= PLACES; i++)
        p->shown[i] = metrics_series(child_metrics(g->child), METRIC_INGEST_PRESSURE, names[i], NULL);
    g->pressure = p;
}

/* For people: everything that sends requests away now. */
static void show(struct ingest *g)
{
    const struct pressure *p = g->pressure;
    char text[400] = "";
    size_t n = 0;
    for (size_t i = 0; i < PLACES; i++) {
        metric_set(p->shown[i], p->places[i].on);
        if (p->places[i].on)
            n += (size_t)snprintf(text + n, sizeof text - n, "%s%s %.6g", n > 0 ? ", " : "", names[i],
                                  p->places[i].value);
    }
    metric_set(p->shown[PLACES], p->n_deep);
    for (size_t i = 0; i < p->n && n < sizeof text - 120; i++)
        if (p->depths[i].on)
            n += (size_t)snprintf(text + n, sizeof text - n, "%s%s of %s %.0f", n > 0 ? ", " : "",
                                  names[PLACES], g->conf->destinations[i].id, p->depths[i].value);
    child_note(g->child, "%s%s", n > 0 ? "sends requests away: " : "", text);
}

static void changed(struct ingest *g, const struct gauge *gauge, const char *reason, const char *what)
{
    if (gauge->on)
        log_warn("backpressure_on", "reason=%s of=%s value=%.6g until=%.6g", reason, log_q(what),
                 gauge->value, gauge->low);
    else
        log_info("backpressure_off", "reason=%s of=%s value=%.6g", reason, log_q(what), gauge->value);
    show(g);
}

static void set(struct ingest *g, enum place i, double value, double high)
{
    struct gauge *gauge = &g->pressure->places[i];
    if (gauge_set(gauge, value, high, g->conf->ingest.backpressure_resume_at, ev_now(g->loop)))
        changed(g, gauge, names[i], "");
    if (i == REDIS_MEMORY)
        spooling_avoid(g, gauge->on);
}

static void set_depth(struct ingest *g, size_t i, double jobs)
{
    const struct conf_ingest *c = &g->conf->ingest;
    struct pressure *p = g->pressure;
    struct gauge *gauge = &p->depths[i];
    if (!gauge_set(gauge, jobs, (double)c->backpressure_queue_depth, c->backpressure_resume_at,
                   ev_now(g->loop)))
        return;
    p->n_deep = gauge->on ? p->n_deep + 1 : p->n_deep - 1;
    changed(g, gauge, names[PLACES], g->conf->destinations[i].id);
}

static void take(struct ingest *g, const struct msg_pressure *m)
{
    struct pressure *p = g->pressure;
    set(g, REDIS_MEMORY, m->memory / 1000., g->conf->ingest.backpressure_redis_memory);
    for (size_t i = 0; i < p->n; i++) {
        double jobs = 0;
        for (uint32_t k = 0; k < m->n_queues; k++)
            if (strcmp(m->queues[k].name, g->conf->destinations[i].id) == 0)
                jobs = (double)m->queues[k].jobs;
        set_depth(g, i, jobs);
    }
    p->told_at = m->memory > 0 || m->n_queues > 0 ? ev_now(g->loop) : 0;
}

void pressure_told(struct link_send *l, const struct msg_pressure *m, void *arg)
{
    (void)l;
    take(arg, m);
}

void pressure_beat(struct ingest *g)
{
    struct pressure *p = g->pressure;
    const struct conf_ingest *c = &g->conf->ingest;
    if (p->told_at > 0 && ev_now(g->loop) - p->told_at > STALE_S)
        take(g, &(struct msg_pressure){0}); /* whoever knew is gone */
    set(g, SPOOL, spooling_fill(g), c->backpressure_spool);
    set(g, REQUESTS, http_server_requests_open(g->server), (double)c->limits_requests);
    set(g, EVENTS, (double)g->batches.events, (double)c->max_internal_queue_size);
}

bool pressure_refuses(struct ingest *g, enum reply_busy *why)
{
    struct pressure *p = g->pressure;
    size_t open = http_server_requests_open(g->server); /* with the one that asks */
    if (open > g->conf->ingest.limits_requests || p->places[REQUESTS].on)
        set(g, REQUESTS, (double)open, (double)g->conf->ingest.limits_requests);
    if (p->places[REQUESTS].on)
        *why = REPLY_BUSY_REQUESTS;
    else if (p->places[REDIS_MEMORY].on && !spooling_open(g))
        *why = REPLY_BUSY_REDIS_MEMORY;
    else if (p->places[SPOOL].on)
        *why = REPLY_BUSY_SPOOL;
    else
        return false;
    return true;
}

bool pressure_has_room(struct ingest *g, size_t more)
{
    struct gauge *gauge = &g->pressure->places[EVENTS];
    size_t held = g->batches.events, max = g->conf->ingest.max_internal_queue_size;
    if (held == 0)
        return true; /* one request may be bigger than the limit */
    if (held + more <= max && !gauge->on)
        return true;
    if (gauge->on)
        set(g, EVENTS, (double)held, (double)max);
    else if (held > max / 2) { /* else it is this request that is big */
        set(g, EVENTS, (double)max + 1, (double)max);
        gauge->value = gauge->from = (double)held; /* what never was there does not fall */
    }
    return held + more <= max && !gauge->on;
}

bool pressure_is_deep(struct ingest *g, size_t destination)
{
    struct pressure *p = g->pressure;
    if (p->n_deep == 0 || destination >= p->n || !p->depths[destination].on)
        return false;
    p->deepest = destination;
    return true;
}

unsigned pressure_retry_after(const struct ingest *g, enum reply_busy why)
{
    const struct pressure *p = g->pressure;
    const struct gauge *gauge;
    switch (why) {
    case REPLY_BUSY_QUEUE_DEPTH:
        gauge = &p->depths[p->deepest];
        break;
    case REPLY_BUSY_REDIS_MEMORY:
        gauge = &p->places[REDIS_MEMORY];
        break;
    case REPLY_BUSY_SPOOL:
        gauge = &p->places[SPOOL];
        break;
    case REPLY_BUSY_REQUESTS:
        gauge = &p->places[REQUESTS];
        break;
    case REPLY_BUSY_EVENTS:
        gauge = &p->places[EVENTS];
        break;
    default:
        return 0;
    }
    return gauge_retry_after(gauge, ev_now(g->loop), id_random_u64());
}

bool pressure_is_general(const struct ingest *g)
{
    const struct pressure *p = g->pressure;
    return (p->places[REDIS_MEMORY].on && g->spooling.links.n == 0) || p->places[SPOOL].on;
}
