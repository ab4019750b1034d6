/* adapt - adaptive concurrency; see adapt.h. Pure: no I/O, no clock. */
#include "workers/delivery/flow/adapt.h"

#include <math.h>

#define ALPHA      0.4
#define DECREASE   0.9
#define DEVIATIONS 2.5
#define SLACK_US   2000.0 /* what the machine itself may add is no sign */

void adapt_init(struct adapt *a, unsigned limit)
{
    *a = (struct adapt){.limit = limit > 0 ? limit : 1, .calm = true};
}

/* The round trip is over: what does it say? */
static void conclude(struct adapt *a, unsigned max)
{
    double now_us = a->sum_us / a->n, off_us;
    bool known = a->mean_us > 0,
         slow = known && now_us > a->mean_us + DEVIATIONS * a->deviation_us + SLACK_US;

    if (a->pushed || slow) {
        a->limit *= DECREASE;
        a->calm = false;
    } else if (a->full) {
        a->limit = a->calm ? a->limit * 2 : a->limit + 1;
    }
    if (a->limit > max)
        a->limit = max;
    if (a->limit < 1)
        a->limit = 1;
    if (a->pushed)
        return; /* a refusal is quick, a time-out slow: neither is a time of answers */
    off_us = fabs(now_us - a->mean_us);
    a->deviation_us = known ? ALPHA * off_us + (1 - ALPHA) * a->deviation_us : now_us / 2;
    a->mean_us = known ? ALPHA * now_us + (1 - ALPHA) * a->mean_us : now_us;
}

unsigned adapt_note(struct adapt *a, uint64_t took_us, bool pushed, unsigned running, unsigned max,
                    uint64_t now_us)
{
    a->sum_us += (double)took_us;
    a->n++;
    a->pushed |= pushed;
    a->full |= (double)running + 1 >= a->limit;
    if (now_us - a->since_us >= (uint64_t)a->mean_us || now_us < a->since_us) {
        conclude(a, max > 0 ? max : 1);
        a->sum_us = 0;
        a->n = 0;
        a->since_us = now_us;
        a->pushed = a->full = false;
    }
    return (unsigned)a->limit;
}
