/* routing - see routing.h. */
#include "workers/ingest/routing.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/log.h"
#include "common/base/mem.h"

#define TELL_INTERVAL 60. /* seconds between two lines about unrouted events */

struct routing_series {
    struct metric *events;
    size_t route;
};

void routing_init(struct routing *r, const struct conf *conf, struct metrics *metrics)
{
    *r = (struct routing){.metrics = metrics, .told_at = -TELL_INTERVAL};
    routing_set(r, conf);
}

static size_t count_series(const struct conf *conf)
{
    size_t n = 0;
    for (size_t i = 0; i < conf->n_routes; i++)
        for (char *const *to = conf->routes[i].to; *to != NULL; to++)
            n++;
    return n;
}

static void make_series(struct routing *r, const struct conf *conf)
{
    struct routing_series *s = r->series = xcalloc(count_series(conf) + 1, sizeof *s);
    for (size_t i = 0; i < conf->n_routes; i++)
        for (char *const *to = conf->routes[i].to; *to != NULL; to++, s++) {
            s->events = metrics_series(r->metrics, METRIC_ROUTED_EVENTS, conf->routes[i].id, *to, NULL);
            s->route = i;
        }
}

void routing_fini(struct routing *r)
{
    route_table_free(r->table);
    free(r->series);
    free(r->sets);
    free(r->copies_to);
    free(r->wanted_by);
    r->table = NULL;
    r->series = NULL;
    r->sets = NULL;
    r->copies_to = r->wanted_by = NULL;
    r->cap = 0;
}

void routing_set(struct routing *r, const struct conf *conf)
{
    routing_fini(r);
    r->conf = conf;
    r->table = route_table_new(conf);
    if (r->table == NULL)
        return;
    make_series(r, conf);
    r->copies_to = xcalloc(conf->n_destinations + 1, sizeof *r->copies_to);
    r->wanted_by = xcalloc(conf->n_routes + 1, sizeof *r->wanted_by);
}

/* What stood beside `batch`. */
static void pick_common(struct routing *r, const struct event_context *c)
{
    const struct pick *p = route_table_pick(r->table);
    r->common = p != NULL && (c->context.text != NULL || c->integrations.text != NULL);
    if (!r->common)
        return;
    memset(r->of_batch, 0, sizeof r->of_batch);
    if (c->context.text != NULL)
        pick_fill(p, "context", &c->context, r->of_batch);
    if (c->integrations.text != NULL)
        pick_fill(p, "integrations", &c->integrations, r->of_batch);
}

void routing_begin(struct routing *r, const char *source, size_t n, const struct event_context *c)
{
    if (n > r->cap) {
        r->cap = n > 2 * r->cap ? n : 2 * r->cap; /* limits.events_per_batch is the limit */
        r->sets = xrealloc(r->sets, r->cap * sizeof *r->sets);
    }
    route_source(r->table, source, &r->of_source);
    memset(r->sets, 0, n * sizeof *r->sets);
    memset(r->copies_to, 0, r->conf->n_destinations * sizeof *r->copies_to);
    memset(r->wanted_by, 0, r->conf->n_routes * sizeof *r->wanted_by);
    r->copies = r->bytes = 0;
    pick_common(r, c);
}

static void add_each(const struct route_set *s, uint32_t *counts)
{
    for (size_t w = 0; w < ROUTE_WORDS; w++)
        for (uint64_t left = s->bits[w]; left != 0; left &= left - 1)
            counts[w * 64 + (size_t)__builtin_ctzll(left)]++;
}

bool routing_judge(struct routing *r, size_t place, const struct event *e, const struct event_context *c,
                   const struct json_slice *slots)
{
    struct route_set routes, *to = &r->sets[place];
    struct json_slice both[PICK_FIELDS_MAX];
    size_t n = 0;
    if (r->common) {
        for (unsigned i = 0; i < pick_slots(route_table_pick(r->table)); i++)
            both[i] = slots[i].text != NULL ? slots[i] : r->of_batch[i];
        slots = both;
    }
    if (!route_match(r->table, &r->of_source, e, c, slots, &routes, to))
        return false;
    for (size_t w = 0; w < ROUTE_WORDS; w++)
        n += (size_t)__builtin_popcountll(to->bits[w]);
    r->copies += n;
    r->bytes += n * (e->value.len + c->grow);
    add_each(to, r->copies_to);
    add_each(&routes, r->wanted_by);
    return true;
}

bool routing_is_unrouted(const struct routing *r, size_t place)
{
    for (size_t w = 0; w < ROUTE_WORDS; w++)
        if (r->sets[place].bits[w] != 0)
            return false;
    return true;
}

void routing_count(struct routing *r)
{
    for (const struct routing_series *s = r->series; s->events != NULL; s++)
        if (r->wanted_by[s->route] > 0)
            metric_add(s->events, r->wanted_by[s->route]);
}

void routing_count_unrouted(struct routing *r, size_t n)
{
    r->unrouted += n;
}

void routing_beat(struct routing *r, double now)
{
    if (r->unrouted == r->told || now - r->told_at < TELL_INTERVAL)
        return;
    log_warn("events_unrouted", "events=%llu remedy=%s", (unsigned long long)(r->unrouted - r->told),
             log_q("no route wants them; dray route FILE tells why"));
    r->told = r->unrouted;
    r->told_at = now;
}
