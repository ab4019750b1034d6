/* fanout - see fanout.h. Every source goes to every destination. */
#include "workers/ingest/fanout.h"

#define TYPICAL_OVERHEAD 256 /* bytes that an event grows by in a batch */

bool fanout_room(const struct ingest *g, size_t n, size_t bytes, enum reply_busy *why)
{
    size_t copies = n * g->conf->n_destinations;
    size_t held = g->batches.events;
    if (held > 0 && held + copies > g->conf->ingest.max_internal_queue_size) {
        *why = g->links.n > 0 ? REPLY_BUSY_EVENTS : REPLY_BUSY_NO_WORKER;
        return false;
    }
    size_t need = (bytes + n * TYPICAL_OVERHEAD) * g->conf->n_destinations;
    if (g->budget.used + need > g->budget.max) {
        *why = REPLY_BUSY_MEMORY;
        return false;
    }
    return true;
}

int fanout_take(struct ingest *g, struct source *s, const struct event *e, const struct event_context *c,
                struct waiter *w)
{
    size_t n = g->conf->n_destinations, len = 0;
    const char *text = NULL; /* as it stands in the first batch: the messageId is the same everywhere */
    for (size_t i = 0; i < n; i++) {
        struct batch *b = batch_room(&g->batches, &s->lanes[i], i == 0 ? e->value.len : len);
        if (b == NULL)
            return -1;
        if (i == 0 ? batch_add(&g->batches, b, e, c, &text, &len) < 0
                   : batch_copy(&g->batches, b, text, len) < 0)
            return -1;
        if (w != NULL)
            waiter_join(w, &b->parts);
    }
    return 0;
}
