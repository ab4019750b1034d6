/* recycle - processes that are replaced before they are worn out: by work done, age or resident memory (master.recycle).
 *
 * A rolling replacement as any other (slot->roll): the successor is READY before the old one drains, one of a kind at a time,
 * and its end is no death. Each incarnation's limits vary by recycle.jitter, so that processes that began together do not go
 * together. An exclusive kind (programs) cannot be replaced so and is left alone.
 */
#ifndef DRAY_MASTER_RECYCLE_H
#define DRAY_MASTER_RECYCLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "master/kinds.h"

struct master;
struct slot;

enum recycle_reason { RECYCLE_NONE, RECYCLE_JOBS, RECYCLE_AGE, RECYCLE_RSS, RECYCLE_REASONS };

/* ---- pure */
struct recycle_limits {
    uint64_t max_jobs, max_age_ms, max_rss_bytes; /* 0: none */
    double jitter;
};
struct recycle_use { /* of one incarnation */
    uint64_t jobs, age_ms, rss_bytes;
    double luck; /* drawn once, in [0, 1) */
};
struct recycle_verdict {
    enum recycle_reason reason;
    uint64_t value, limit; /* the limit of this incarnation */
    double over;           /* value / limit: who is worst goes first */
};

/* A limit of work or age is anything within jitter below and above; one of memory is never above. */
uint64_t recycle_limit(uint64_t limit, double jitter, double luck, bool only_below);
struct recycle_verdict recycle_judge(const struct recycle_limits *l, const struct recycle_use *u);
const char *recycle_name(enum recycle_reason r); /* "max_rss" */

/* ---- in the master */
#define RECYCLE_YOUNG_MS                                                                                     \
    2000 /* READY for less: not yet; over its memory then, it would be replaced for ever */
#define RECYCLE_PAUSE_MS 60000 /* of a kind, after a replacement that failed or a limit of that sort */

/* Of a slot: its incarnation's. */
struct recycle {
    double luck;
    struct recycle_verdict going; /* why it is being replaced; reason NONE: it is not */
};
/* Of the master: monotonic times until which a kind is left alone. */
struct recycle_pauses {
    uint64_t until_ms[KIND_COUNT];
};

void recycle_begin(struct slot *s); /* a new incarnation */
void recycle_tick(struct master *m);
void recycle_done(struct slot *old);   /* its successor is up */
void recycle_failed(struct slot *old); /* its successor cannot come up: it stays */

#endif
