/* limiter - see limiter.h. */
#include "workers/ingest/limiter.h"

#include <math.h>

#define WAIT_MAX 3600

void limiter_set(struct limiter *l, struct conf_rate rate, unsigned share, uint64_t now_ms)
{
    bool fresh = !limiter_on(l);
    if (rate.count == 0 || rate.period_ms == 0) {
        *l = (struct limiter){0};
        return;
    }
    double count = (double)rate.count / share, second = count * 1000 / (double)rate.period_ms;
    l->per_ms = count / (double)rate.period_ms;
    l->burst = fmax(fmax(count, second), 1);
    if (fresh || l->tokens > l->burst)
        l->tokens = l->burst;
    if (fresh)
        l->at_ms = now_ms;
}

bool limiter_ask(struct limiter *l, uint64_t n, uint64_t now_ms, unsigned *wait_s)
{
    double want = fmin((double)n, l->burst);
    if (now_ms > l->at_ms) {
        l->tokens = fmin(l->burst, l->tokens + (double)(now_ms - l->at_ms) * l->per_ms);
        l->at_ms = now_ms;
    }
    if (l->tokens >= want - 1e-9)
        return true;
    double wait = ceil((want - l->tokens) / l->per_ms / 1000);
    *wait_s = wait < 1 ? 1 : wait > WAIT_MAX ? WAIT_MAX : (unsigned)wait;
    return false;
}

bool limiter_take(struct limiter *l, uint64_t n, uint64_t now_ms, unsigned *wait_s)
{
    if (!limiter_ask(l, n, now_ms, wait_s))
        return false;
    l->tokens -= (double)n;
    return true;
}
