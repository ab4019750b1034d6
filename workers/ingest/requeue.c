/* requeue - see requeue.h. */
#include "workers/ingest/requeue.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/hook.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "ipc/mpwalk.h"

#define RETRY_MIN_MS 20 /* a worker that says "at once" must not make us spin */
#define RETRY_MAX_MS 60000

struct aside { /* on its way to the disk */
    struct ingest *g;
    struct batch *b;
};

static const char *reason_of(const struct batch *b)
{
    return b->lb.tries > READY_SUSPECT ? event_fault_name(EVENT_POISON) : "refused";
}

/* {"batch":[...]}: can be sent again as it is. */
static int as_text(const struct batch *b, struct buf *out)
{
    struct mpwalk w;
    mpwalk_init(&w, b->lb.body.data, b->lb.body.len);
    if (buf_puts(out, "{\"batch\":[") < 0)
        return -1;
    for (uint32_t i = 0; i < b->lb.n_events; i++) {
        const char *text;
        uint32_t len;
        if (mpwalk_bytes(&w, &text, &len) < 0 || (i > 0 && buf_appendc(out, ',') < 0) ||
            buf_append(out, text, len) < 0)
            return -1;
    }
    return buf_puts(out, "]}");
}

static void on_set_aside(void *arg, int error)
{
    struct aside *a = arg;
    if (error == 0) {
        metric_add(a->g->counts.quarantined, 1);
        ingest_count_quarantined(a->g, reason_of(a->b));
        ingest_batch_done(a->g, a->b);
    } else {
        log_error("quarantine_failed", "batch=%s error=%s", a->b->lb.id, log_q(strerror(error)));
        list_push_back(&a->g->aside, &a->b->link);
    }
    free(a);
}

/* -1: not now; it stands in g->aside. */
static int set_aside(struct ingest *g, struct batch *b)
{
    struct quarantine *q = ingest_quarantine(g);
    struct aside *a = xmalloc(sizeof *a);
    struct buf text;
    int error = 0;
    batch_give_way(&g->batches, b);
    *a = (struct aside){g, b};
    buf_init(&text, BATCH_BODY_MAX + 64);
    if (q == NULL || as_text(b, &text) < 0 ||
        quarantine_put(q, reason_of(b), b->lb.source, b->lb.queue, b->lb.id, text.data, text.len,
                       on_set_aside, a) < 0)
        error = errno != 0 ? errno : EIO;
    buf_fini(&text);
    if (error == 0)
        return 0;
    log_warn("quarantine_refused", "batch=%s error=%s", b->lb.id, log_q(strerror(error)));
    free(a);
    list_push_back(&g->aside, &b->link); /* kept in memory; its requests get 503 when their time is up */
    return -1;
}

void requeue_set_aside(struct ingest *g)
{
    struct list again;
    struct batch *b;
    list_init(&again);
    while ((b = list_first(&g->aside, struct batch, link)) != NULL) {
        list_remove(&b->link);
        list_push_back(&again, &b->link);
    }
    while ((b = list_first(&again, struct batch, link)) != NULL) {
        list_remove(&b->link);
        if (set_aside(g, b) < 0)
            break;
    }
    while ((b = list_first(&again, struct batch, link)) != NULL) { /* full, as it seems: one line is enough */
        list_remove(&b->link);
        list_push_front(&g->aside, &b->link); /* in front of the one that failed: each has its turn */
    }
}

void requeue_returned(struct ingest *g, struct list *returned, bool clean)
{
    size_t n = 0;
    if (!list_empty(returned))
        HOOK_POINT(requeue_unbegun);
    while (!list_empty(returned)) {
        struct link_batch *lb = list_entry(returned->prev, struct link_batch, link);
        struct batch *b = list_entry(lb, struct batch, lb);
        list_remove(&lb->link);
        lb->on = NULL;
        links_forget(&g->links, lb);
        n++;
        if (!clean && lb->was_read)
            lb->tries++;
        if (lb->tries > READY_SUSPECT) {
            log_crit("batch_poison", "batch=%s deaths=%u source=%s queue=%s events=%u", lb->id, lb->tries,
                     log_q(lb->source), log_q(lb->queue), lb->n_events);
            (void)set_aside(g, b);
        } else {
            ready_push_front(&g->ready, b); /* from the last to the first: the order stays */
        }
    }
    if (n > 0)
        HOOK_POINT(requeued);
    metric_add(g->counts.returned, n);
}

void requeue_refused(struct ingest *g, struct batch *b, bool temporary, uint32_t retry_after_ms,
                     const char *why)
{
    metric_add(g->counts.refused, 1);
    if (temporary) {
        if (spooling_takes(g, b, retry_after_ms))
            return;
        uint32_t ms = retry_after_ms > RETRY_MIN_MS ? retry_after_ms : RETRY_MIN_MS;
        log_debug("batch_refused", "batch=%s retry_ms=%u why=%s", b->lb.id, ms, log_q(why));
        ready_park(&g->ready, b, ms < RETRY_MAX_MS ? ms : RETRY_MAX_MS);
        return;
    }
    log_error("batch_refused", "batch=%s queue=%s events=%u why=%s", b->lb.id, log_q(b->lb.queue),
              b->lb.n_events, log_q(why));
    (void)set_aside(g, b);
}
