/* fanout - see fanout.h. Where an event goes was decided before (routing.h). */
#include "workers/ingest/fanout.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/hook.h"
#include "common/base/mem.h"
#include "common/queue/partition.h"
#include "workers/ingest/pressure.h"

#define TYPICAL_OVERHEAD 256 /* bytes that an event grows by in a batch */

void fanout_init(struct ingest *g)
{
    const struct conf *conf = g->conf;
    g->outlets = xcalloc(conf->n_destinations, sizeof *g->outlets);
    for (size_t i = 0; i < conf->n_destinations; i++) {
        enum conf_mode mode = conf_destination_mode(conf, &conf->destinations[i]);
        struct outlet *o = &g->outlets[i];
        o->by_key = mode == CONF_MODE_KEY;
        o->n_gates = mode == CONF_MODE_SHARED ? 0 : conf_destination_partitions(conf, &conf->destinations[i]);
    }
}

unsigned fanout_partition(const char *key, unsigned n)
{
    return queue_partition_of(key, strlen(key), n);
}

bool fanout_room(struct ingest *g, size_t n, size_t bytes, enum reply_busy *why)
{
    const struct routing *r = g->routing.table != NULL ? &g->routing : NULL;
    size_t copies = r != NULL ? r->copies : n * g->conf->n_destinations;
    if (!pressure_has_room(g, copies)) {
        *why = g->links.n > 0 ? REPLY_BUSY_EVENTS : REPLY_BUSY_NO_WORKER;
        return false;
    }
    size_t need = r != NULL ? r->bytes : bytes * g->conf->n_destinations;
    need += copies * TYPICAL_OVERHEAD;
    for (size_t i = 0; i < g->conf->n_destinations; i++) {
        size_t events = r != NULL ? r->copies_to[i] : n;
        if (events > 0 && pressure_is_deep(g, i)) {
            *why = REPLY_BUSY_QUEUE_DEPTH;
            return false;
        }
        size_t spread = g->outlets[i].n_gates < events ? g->outlets[i].n_gates : events;
        need += spread * BATCH_EVENT_OVERHEAD; /* each in a batch of its own */
    }
    if (g->budget.used + need > g->budget.max) {
        *why = REPLY_BUSY_MEMORY;
        return false;
    }
    return true;
}

static void make_gates(struct outlet *o, const char *id)
{
    o->gates = xcalloc(o->n_gates, sizeof *o->gates);
    for (unsigned i = 0; i < o->n_gates; i++) {
        char queue[MSG_QUEUE_MAX];
        snprintf(queue, sizeof queue, o->by_key ? "%s#%u" : "%s", id, i);
        gate_init(&o->gates[i], queue, &o->step);
    }
}

/* The lane in an ordered queue; NULL with ENOMEM. */
static struct batch_lane *ordered_lane(struct ingest *g, size_t i, const struct source *s, const char *key)
{
    struct outlet *o = &g->outlets[i];
    if (o->gates == NULL)
        make_gates(o, g->conf->destinations[i].id);
    return gate_lane(&o->gates[o->by_key ? fanout_partition(key, o->n_gates) : 0], s->id);
}

/* The event is in hand already, in a batch of this lane: its sender waits for that one. */
static bool repeats(struct ingest *g, struct source *s, const struct batch_lane *lane,
                    const unsigned char id[MSG_SEEN_ID], struct waiter *w)
{
    struct batch *b = seen_find(&g->seen, lane, id);
    if (b == NULL)
        return false;
    if (w != NULL)
        waiter_join(w, &b->parts);
    metric_add(s->repeated, 1);
    HOOK_POINT(repeat_joined);
    return true;
}

static void remember(struct ingest *g, struct batch *b, const unsigned char id[MSG_SEEN_ID])
{
    if (batch_tag(&g->batches, b, id) < 0 || !seen_put(&g->seen, b, id))
        metric_add(g->counts.unremembered, 1);
}

struct gate *fanout_gate(struct ingest *g, const char *queue)
{
    size_t len = strcspn(queue, "#");
    for (size_t i = 0; i < g->conf->n_destinations; i++) {
        struct outlet *o = &g->outlets[i];
        const char *id = g->conf->destinations[i].id;
        char *end = NULL;
        if (strlen(id) != len || memcmp(id, queue, len) != 0)
            continue;
        if (o->n_gates == 0 || o->by_key != (queue[len] == '#'))
            return NULL;
        unsigned long n = o->by_key ? strtoul(queue + len + 1, &end, 10) : 0;
        if (n >= o->n_gates || (end != NULL && *end != '\0'))
            return NULL;
        if (o->gates == NULL)
            make_gates(o, id);
        return &o->gates[n];
    }
    return NULL;
}

void fanout_each_gate(struct ingest *g, void (*fn)(struct gate *gate, void *arg), void *arg)
{
    for (size_t i = 0; i < g->conf->n_destinations; i++)
        for (unsigned n = 0; g->outlets[i].gates != NULL && n < g->outlets[i].n_gates; n++)
            fn(&g->outlets[i].gates[n], arg);
}

int fanout_take(struct ingest *g, struct source *s, const struct event *e, const struct event_context *c,
                const struct route_set *to, struct waiter *w)
{
    size_t n = g->conf->n_destinations, len = 0;
    const char *text = NULL; /* as it stands in the first batch: the messageId is the same everywhere */
    char key[MSG_KEY_MAX];
    unsigned char id[MSG_SEEN_ID];
    bool keyed = false,
         known = g->conf->ingest.dedup_enabled && (w == NULL || !w->tell) && seen_id(s->seen_key, e, id);
    for (size_t i = 0; i < n; i++) {
        if (to != NULL && !ROUTE_SET_HAS(to, i))
            continue;
        struct batch_lane *lane = &s->lanes[i];
        if (g->outlets[i].n_gates > 0) {
            if (g->outlets[i].by_key && !keyed)
                (void)event_check_scanned(e, c, key, sizeof key);
            keyed |= g->outlets[i].by_key;
            lane = ordered_lane(g, i, s, key);
        }
        if (known && lane != NULL && repeats(g, s, lane, id, w))
            continue;
        size_t size = text == NULL ? e->value.len + c->grow : len;
        struct batch *b = lane == NULL ? NULL : batch_room(&g->batches, lane, size);
        if (b == NULL)
            return -1;
        if (text == NULL ? batch_add(&g->batches, b, e, c, &text, &len) < 0
                         : batch_copy(&g->batches, b, text, len) < 0)
            return -1;
        if (known)
            remember(g, b, id);
        if (w != NULL) {
            waiter_join(w, &b->parts);
            b->lb.flags |= w->tell ? MSG_BATCH_TELL : 0;
        }
    }
    return 0;
}
