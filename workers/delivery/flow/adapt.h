/* adapt - how many requests to a destination may run at once, by what its answers say (AIMD). Pure.
 *
 * One more a round trip as long as the limit is used and answers come as fast as ever; nine tenths once a round trip when
 * the destination pushes back, or answers take longer than their mean and 2.5 deviations (EWMA, 0.4). Until the first such
 * sign the limit doubles. It begins at the most that is configured: a destination that is well is not slowed.
 */
#ifndef DRAY_WORKERS_DELIVERY_FLOW_ADAPT_H
#define DRAY_WORKERS_DELIVERY_FLOW_ADAPT_H

#include <stdbool.h>
#include <stdint.h>

#define ADAPT_FIRST 8 /* the limit to begin with where a destination was dead */

struct adapt {
    double limit, mean_us, deviation_us;
    double sum_us; /* of the answers of this round trip */
    unsigned n;
    uint64_t since_us; /* the round trip began */
    bool calm;         /* no sign yet: it doubles */
    bool pushed, full; /* in this round trip: pushed back; as many ran as may */
};

void adapt_init(struct adapt *a, unsigned limit);
/* An attempt has ended: took so long, the destination pushed back (429, 503, a failure), so many ran with it. Returns the limit. */
unsigned adapt_note(struct adapt *a, uint64_t took_us, bool pushed, unsigned running, unsigned max,
                    uint64_t now_us);

#endif
