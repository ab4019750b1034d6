/* source - the sources of the configuration, found by write key, each with its counters, its limits and its lanes. */
#ifndef DRAY_WORKERS_INGEST_SOURCE_H
#define DRAY_WORKERS_INGEST_SOURCE_H

#include <stddef.h>
#include <stdint.h>

#include "common/base/list.h"
#include "common/base/siphash.h"
#include "common/conf/conf.h"
#include "common/metrics/metrics.h"
#include "workers/ingest/batch.h"
#include "workers/ingest/limiter.h"

#define SOURCE_STATUSES 24 /* different statuses that are counted */

struct source {
    struct list link;
    char *id; /* "" for requests without a known source */
    bool enabled;
    int ack;                  /* enum conf_source_ack */
    char *const *cors;                          /* of the configuration in force */
    bool everywhere;                            /* on every listener */
    unsigned char listeners[CONF_LIST_MAX / 8]; /* else: a bit for each, by number */
    struct limiter limiter;                     /* sources.rate_limit, this process' share */
    unsigned char seen_key[SIPHASH_KEY]; /* of the digests of its messageIds */
    struct batch_lane *lanes; /* one a destination; those of ordered queues stand at their gates */
    struct metric *accepted, *quarantined, *refused, *unrouted, *wire_bytes, *body_bytes, *duration;
    struct metric *repeated, *seen; /* events, one for each destination: of one in hand; of one that was stored */
    struct source_status {
        int status;
        struct metric *requests;
    } statuses[SOURCE_STATUSES];
    struct metrics *metrics;
};

struct source_table;

/* The destinations' ids must outlive the table. conf: as long as it is in force. */
struct source_table *source_table_new(const struct conf *conf, struct metrics *metrics);
/* Other sources, the same destinations. A source that has gone is found by no key any more, but stays for what is under
 * way; one that comes back is the same again. */
void source_table_set(struct source_table *t, const struct conf *conf);
void source_table_free(struct source_table *t);
/* NULL: no such key. The time it takes says nothing about which source's key it is like, or how far. */
struct source *source_find(struct source_table *t, const char *write_key);
struct source *source_unknown(struct source_table *t);
/* How its senders are answered: enum conf_ack. */
int source_ack(const struct source *s, const struct conf_ingest *all);
/* Is it taken on this listener (http_request_listener)? */
static inline bool source_is_on(const struct source *s, unsigned listener)
{
    return s->everywhere ||
           (listener < CONF_LIST_MAX && (s->listeners[listener / 8] & 1u << listener % 8) != 0);
}
/* May a page of this origin send to some source on this listener? For who has not said its key. */
bool source_any_allows(const struct source_table *t, const char *origin, unsigned listener);
/* So many events of a batch of this source were left out, because they had been stored before. */
void source_count_seen(struct source_table *t, const char *id, uint32_t n);
void source_count_request(struct source *s, int status, uint64_t duration_us);
/* A request that was answered 4xx, by its reason. */
void source_count_rejected(struct source *s, const char *reason);

#endif
