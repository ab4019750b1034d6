/* fanout - the events of one request into the batches of every destination. */
#ifndef DRAY_WORKERS_INGEST_FANOUT_H
#define DRAY_WORKERS_INGEST_FANOUT_H

#include "workers/ingest/ingest.h"
#include "workers/ingest/reply.h"

/* How the events of one destination are kept in order. */
struct outlet {
    unsigned n_gates; /* 0: in no order; 1: strict, or one partition */
    bool by_key;
    struct gate *gates; /* n_gates, made at the first event */
    struct gate_step step;
};

/* Reads the destinations' modes into g->outlets. */
void fanout_init(struct ingest *g);
/* The partition of an order key, of n: CRC-32C modulo n. Stable: what is in Redis was divided by it. */
unsigned fanout_partition(const char *key, unsigned n);

/* Is there room for the events of the request at hand, n of them with `bytes` of text, in all the batches that they go
 * to? False: *why. Asked before the first is taken, so
 * that a request is taken whole or not at all. */
bool fanout_room(struct ingest *g, size_t n, size_t bytes, enum reply_busy *why);
/* The gate of an ordered queue, by its name in messages; NULL: there is no such queue. */
struct gate *fanout_gate(struct ingest *g, const char *queue);
void fanout_each_gate(struct ingest *g, void (*fn)(struct gate *gate, void *arg), void *arg);
/* Takes one event into the open batch of each of its destinations (to NULL: of all); w (may be NULL) waits for each. -1 with ENOMEM. */
int fanout_take(struct ingest *g, struct source *s, const struct event *e, const struct event_context *c,
                const struct route_set *to, struct waiter *w);

#endif
