/* backoff - how long until the next attempt. Pure. */
#ifndef DRAY_WORKERS_DELIVERY_BACKOFF_H
#define DRAY_WORKERS_DELIVERY_BACKOFF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BACKOFF_LONGEST_MS (365ull * 86400 * 1000) /* a job's own delay counts as no more than this */

struct backoff {
    bool exponential;
    bool bull; /* Bull 4.16.5's exponential: (2^n - 1) * delay, no cap, no jitter */
    uint64_t delay_ms, max_ms;
    double jitter;
    const uint64_t *schedule_ms; /* in place of what is reckoned; borrowed */
    size_t n_schedule;           /* 0: none */
};

/* What a Bull client asked for with the job; the fields of its opts that are a worker's duty here. */
struct backoff_own {
    uint64_t attempts;   /* 0 or 1: nothing was asked for (1 is what Bull always stores) */
    bool has_backoff;    /* one that is known here */
    bool no_backoff;     /* none was asked for: Bull tries again at once */
    uint64_t timeout_ms; /* of one attempt; 0: none was asked for */
    struct backoff backoff;
};

/* failures: attempts that have failed, this one among them (from 1). random01: [0, 1). */
uint64_t backoff_delay_ms(const struct backoff *b, uint64_t failures, double random01);
/* Reads opts (JSON text of the job's hash). What cannot be read, or names a strategy that only the client knows, counts
 * as not asked for. */
void backoff_parse_opts(const char *opts, size_t len, struct backoff_own *out);

#endif
