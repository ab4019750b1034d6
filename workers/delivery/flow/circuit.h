/* circuit - does a destination fail so often that it should be left alone? Counts over a sliding window. Pure. */
#ifndef DRAY_WORKERS_DELIVERY_FLOW_CIRCUIT_H
#define DRAY_WORKERS_DELIVERY_FLOW_CIRCUIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CIRCUIT_CELLS 16 /* of the window */

struct circuit_rules {
    uint64_t window_ms, min_requests, consecutive;
    double failure_ratio;
};

struct circuit {
    struct {
        unsigned ok, bad;
    } cells[CIRCUIT_CELLS];
    uint64_t cell; /* number of the newest one */
    unsigned ok, bad, in_a_row;
    uint64_t bad_since_ms; /* the first failure behind the last success; 0: none */
};

/* An attempt has ended at now_ms (monotonic, over 0). true: the rules say open; why says by what. */
bool circuit_note(struct circuit *c, const struct circuit_rules *r, bool ok, uint64_t now_ms, char *why,
                  size_t why_size);
/* Nothing is known any more. */
void circuit_reset(struct circuit *c);

/* Retries under way together with others: a fifth of all, 3 at least; as many as there are where nothing has failed lately. */
bool circuit_may_retry(const struct circuit *c, unsigned retrying, unsigned all, double budget,
                       unsigned least);

#endif
