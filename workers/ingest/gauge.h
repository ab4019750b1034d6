/* gauge - something that fills up, with a high water at which requests are sent away and a low one at which they are taken
 * again, and an estimate of how long that will take, from how fast it falls. Pure: the time is given. */
#ifndef DRAY_WORKERS_INGEST_GAUGE_H
#define DRAY_WORKERS_INGEST_GAUGE_H

#include <stdbool.h>
#include <stdint.h>

struct gauge { /* zeroed before its first use */
    double value, low;
    bool on;
    double since;         /* seconds: since when it is on */
    double from, from_at; /* the value that the next rate is measured from, and its time */
    double rate;          /* by which it falls, a second, while it is on */
};

#define GAUGE_RETRY_MIN 5 /* seconds */
#define GAUGE_RETRY_MAX 120

/* A new value. high 0: never on. resume_at: the low water as a part of the high one. True when it went on or off. */
bool gauge_set(struct gauge *g, double value, double high, double resume_at, double now);
/* How long to stay away, in seconds, from GAUGE_RETRY_MIN to GAUGE_RETRY_MAX: until the low water is reached at this rate, or,
 * while nothing falls, the longer the longer that lasts; and up to a third more by random (any number), so that not all
 * come back at once. */
unsigned gauge_retry_after(const struct gauge *g, double now, uint64_t random);

#endif
