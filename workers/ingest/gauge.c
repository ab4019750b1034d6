/* gauge - see gauge.h. */
#include "workers/ingest/gauge.h"

#define WEIGHT   0.3 /* of the newest rate */
#define SAMPLE_S 1.  /* what falls in bursts is not measured between two of them */

bool gauge_set(struct gauge *g, double value, double high, double resume_at, double now)
{
    bool was = g->on;
    double span = now - g->from_at;
    g->low = high * resume_at;
    if (high <= 0)
        g->on = false;
    else if (value > high)
        g->on = true;
    else if (value <= g->low)
        g->on = false;
    if (g->on && !was) {
        g->since = now;
        g->rate = 0;
        g->from = value;
        g->from_at = now;
    } else if (g->on && span >= SAMPLE_S) {
        double fallen = g->from > value ? (g->from - value) / span : 0;
        g->rate = g->rate > 0 ? g->rate + WEIGHT * (fallen - g->rate) : fallen;
        g->from = value;
        g->from_at = now;
    }
    g->value = value;
    return g->on != was;
}

unsigned gauge_retry_after(const struct gauge *g, double now, uint64_t random)
{
    const double most = GAUGE_RETRY_MAX * 3. / 4.;
    double over = g->value - g->low, lasts = g->on ? now - g->since : 0;
    double seconds = g->rate > 0 ? over / g->rate : GAUGE_RETRY_MIN + (lasts > 0 ? lasts / 2 : 0);
    if (seconds < GAUGE_RETRY_MIN)
        seconds = GAUGE_RETRY_MIN;
    if (seconds > most)
        seconds = most;
    return (unsigned)(seconds + seconds / 3 * (double)(random % 1024) / 1024.);
}
