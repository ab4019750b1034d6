/* limiter - a token bucket: so many events in a period, bursts of one period's (at least one second's) worth. Pure.
 *
 * A request is taken whole or not at all. One that is larger than the whole bucket is taken when the bucket is full, and
 * what it took too much is missing to those behind it: else it could never pass. */
#ifndef DRAY_WORKERS_INGEST_LIMITER_H
#define DRAY_WORKERS_INGEST_LIMITER_H

#include <stdbool.h>
#include <stdint.h>

#include "common/conf/conf.h"

struct limiter {
    double per_ms, burst; /* per_ms 0: no limit */
    double tokens;        /* below 0: taken too much */
    uint64_t at_ms;
};

/* share: of this process, in how many processes the rate is divided (1 or more). A bucket that exists keeps what it
 * has, as far as it fits; a new one is full. */
void limiter_set(struct limiter *l, struct conf_rate rate, unsigned share, uint64_t now_ms);
/* Is there a limit at all? */
static inline bool limiter_on(const struct limiter *l)
{
    return l->per_ms > 0;
}
/* Takes n; or false, nothing taken, and *wait_s (1 or more): when so many could be taken. */
bool limiter_take(struct limiter *l, uint64_t n, uint64_t now_ms, unsigned *wait_s);
/* The same question, nothing taken. */
bool limiter_ask(struct limiter *l, uint64_t n, uint64_t now_ms, unsigned *wait_s);

#endif
