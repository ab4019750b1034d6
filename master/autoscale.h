/* autoscale - policy: from the age of the oldest waiting job to a number of delivery processes. Pure.
 *
 * Up fast: while jobs wait for longer than target_wait, a step each few seconds; the step grows with how far over it is.
 * Not before the processes of the last step are up, and not while those that are there have little to do: more would not
 * help then (a destination that asked to be left alone, a limit). Down slowly: one, when for a minute (12 times target_wait,
 * where that is less) nothing has waited for over a quarter of target_wait, and the others could do the work with
 * half of their strength. Between those marks nothing changes. An unknown age is no reason for anything.
 */
#ifndef DRAY_MASTER_AUTOSCALE_H
#define DRAY_MASTER_AUTOSCALE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define AUTOSCALE_UP_MS        3000 /* between two steps up; target_wait where that is less, but a second */
#define AUTOSCALE_DOWN_MS      60000
#define AUTOSCALE_DOWN_LEAST   5000
#define AUTOSCALE_DOWN_TARGETS 12
#define AUTOSCALE_BUSY_UP      0.05 /* of their strength: with less to do, more processes do not help */
#define AUTOSCALE_BUSY_DOWN    0.5

struct autoscale_limits {
    unsigned min, max; /* max 0: off */
    uint64_t target_ms;
};

struct autoscale_input {
    uint64_t now_ms; /* monotonic */
    unsigned wanted, up;
    bool hold;      /* starting, stopping, replacing, degraded: nothing is to be judged */
    bool age_known; /* some process has told it lately */
    uint64_t age_ms;
    double busy; /* 0 to 1: share of what the processes that are up could have in hand */
};

struct autoscale {
    uint64_t over_ms, calm_ms; /* since when it is so, monotonic; 0: it is not */
    uint64_t changed_ms;       /* the last step */
    char word[160];            /* what it thinks, for people: "4 of 1 to 8: oldest job waits 120ms of 5s" */
};

/* What is wanted from now on; in->wanted when nothing changes. a->word says why. */
unsigned autoscale_decide(struct autoscale *a, const struct autoscale_limits *l,
                          const struct autoscale_input *in);
/* Forgets what it has seen: somebody else has decided. */
void autoscale_forget(struct autoscale *a, const char *word);

#endif
