/* flush - see flush.h. Batches are numbered as they are opened: a wish counts those up to its number that are left. */
#include "workers/ingest/flush.h"

#include <stdlib.h>

#include "common/base/log.h"
#include "common/base/mem.h"

#define WISHES_MAX 1024

struct wish {
    struct list link;
    uint32_t id;
    uint64_t upto; /* number of the last batch that it is about */
    size_t left;
};

void flush_begin(struct ingest *g, uint32_t id)
{
    batch_close_all(&g->batches);
    if (g->batches.batches == 0) {
        child_flushed(g->child, id);
        return;
    }
    if (g->n_flushes == WISHES_MAX) {
        log_warn("flush_refused", "id=%u", id); /* who asked so often has given up on most of them */
        return;
    }
    struct wish *w = xcalloc(1, sizeof *w);
    w->id = id;
    w->upto = g->batches.opened;
    w->left = g->batches.batches;
    list_push_back(&g->flushes, &w->link);
    g->n_flushes++;
}

void flush_batch_gone(struct ingest *g, uint64_t number)
{
    struct wish *w;
    list_foreach(w, &g->flushes, struct wish, link)
    {
        if (number > w->upto || --w->left > 0)
            continue;
        child_flushed(g->child, w->id);
        list_remove(&w->link);
        g->n_flushes--;
        free(w);
    }
}
