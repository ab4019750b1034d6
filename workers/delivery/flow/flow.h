/* flow - when a destination is sent to, and how much at once: pauses, circuit, ramp, adaptive concurrency, rate.
 *
 * What holds is in struct dest: paused_until_ms (nothing is sent before) and cap (so many requests at most); claim.c reads
 * these two, and tokens where a rate is kept. What the fleet knows comes by common/fleet.
 */
#ifndef DRAY_WORKERS_DELIVERY_FLOW_FLOW_H
#define DRAY_WORKERS_DELIVERY_FLOW_FLOW_H

#include <ev.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/fleet/fleet.h"
#include "common/http/client.h"
#include "common/metrics/metrics.h"
#include "common/queue/queue.h"
#include "workers/delivery/flow/adapt.h"
#include "workers/delivery/flow/circuit.h"
#include "workers/delivery/verdict.h"

#define FLOW_NEVER (UINT64_MAX / 4) /* paused_until_ms of a destination that only news can open */

struct delivery;
struct dest;
struct job;

struct flow { /* of a destination */
    struct circuit circuit;
    struct adapt adapt;
    enum fleet_state state;
    bool mine;                            /* PROBING: by us */
    bool asking;                          /* for a probe */
    bool untold;                          /* OPEN, and Redis has not heard of it */
    const struct job *probe;              /* that tries it */
    uint64_t due_ms;                      /* monotonic, OPEN or PROBING: when it may be asked for a probe */
    uint64_t paused_ms;                   /* monotonic; it wants to be left alone until then */
    uint64_t ramp_from_ms, ramp_until_ms; /* monotonic */
    uint64_t change, opens, failing_ms;
    char why[FLEET_WHY_MAX];
    unsigned retrying;                 /* of those under way */
    unsigned refused_in_a_row, rounds; /* 429; pauses without a success between them */
    unsigned rejected_in_a_row;        /* 400 and 413 */
    bool rejects_all;
    /* the rate */
    bool metered, asking_tokens;
    unsigned tokens, taken, refused, guess;
    uint64_t tokens_ms, retry_ms; /* monotonic: given; the next may be there */
    uint64_t rate;                /* thousandths a second */
    unsigned second_taken, second_before;
    uint64_t second_ms;
    ev_timer timer, token_timer; /* for due_ms; for retry_ms */
    struct metric *state_metric, *limit_metric, *pause_metric, *limited, *put_off, *opened, *splits, *enabled,
        *rate_metric;
};

void flow_start(struct delivery *d);
void flow_tune(struct delivery *d);   /* other values of the configuration */
void flow_ready(struct delivery *d);  /* the connection to Redis stands */
void flow_second(struct delivery *d); /* and each second */

/* A request begins. false: it is a retry beyond the budget, and has to wait. */
bool flow_posting(struct job *j);
/* One more request of a job under way begins. false: there is no token for it; see events_pump. */
bool flow_pay(struct dest *t);
/* It has ended with an answer, or with a failure. */
void flow_answered(struct job *j, const struct verdict *v, const struct http_answer *a);
/* It is no longer under way, answered or not. */
void flow_left(struct job *j);
/* Asks for tokens where they are missing. */
void flow_pump(struct delivery *d, uint64_t now_ms);

/* split.c: is the batch to be divided rather than failed? */
bool flow_divides(const struct job *j, const struct http_answer *a);
void flow_split(struct job *j, queue_done_fn done); /* sends it: settle.c */

#endif
