/* restart - see restart.h. */
#include "common/base/restart.h"

static uint64_t early_delay(struct restart *r, const struct restart_policy *p, double random)
{
    uint64_t delay = p->min_ms;
    for (unsigned i = 0; i < r->early && delay < p->max_ms; i++)
        delay *= 2;
    if (delay > p->max_ms)
        delay = p->max_ms;
    r->early++;
    double varied = (double)delay * (1 + p->jitter * (2 * random - 1));
    return varied < (double)p->max_ms ? (uint64_t)varied : p->max_ms;
}

/* Notes the death of a proven run; is the one that lies burst deaths back still inside the period? */
static bool is_burst(struct restart *r, const struct restart_policy *p, uint64_t now_ms)
{
    unsigned burst = p->burst < RESTART_BURST_MAX ? (unsigned)p->burst : RESTART_BURST_MAX;
    bool over =
        burst > 0 && r->proven_n >= burst &&
        now_ms - r->proven_at[(r->proven_next + RESTART_BURST_MAX - burst) % RESTART_BURST_MAX] < p->burst_ms;
    r->proven_at[r->proven_next] = now_ms;
    r->proven_next = (r->proven_next + 1) % RESTART_BURST_MAX;
    if (r->proven_n < RESTART_BURST_MAX)
        r->proven_n++;
    return over;
}

uint64_t restart_delay(struct restart *r, const struct restart_policy *p, uint64_t now_ms, uint64_t ready_ms,
                       bool killed, double random)
{
    if (ready_ms <= RESTART_PROVEN_MS && !(killed && ready_ms > 0))
        return early_delay(r, p, random);
    r->early = 0;
    if (ready_ms >= p->healthy_after_ms)
        r->proven_n = 0;
    return is_burst(r, p, now_ms) ? RESTART_BURST_GAP_MS : 0;
}

bool restart_gives_up(const struct restart *r, const struct restart_policy *p)
{
    return p->give_up > 0 && r->early >= p->give_up;
}

void restart_forget(struct restart *r)
{
    *r = (struct restart){0};
}

#define WINDOW_SIZE (RESTART_WINDOW_MAX + 1)

void restart_window_add(struct restart_window *w, uint64_t now_ms)
{
    w->at[w->next] = now_ms;
    w->next = (w->next + 1) % WINDOW_SIZE;
    if (w->n < WINDOW_SIZE)
        w->n++;
}

bool restart_window_over(const struct restart_window *w, uint64_t now_ms, uint64_t count, uint64_t period_ms)
{
    if (count == 0 || period_ms == 0)
        return false;
    if (count > RESTART_WINDOW_MAX)
        count = RESTART_WINDOW_MAX;
    if (w->n <= count)
        return false;
    /* Over, when the (count + 1)th latest death is still inside the period. */
    uint64_t at = w->at[(w->next + WINDOW_SIZE - 1 - (unsigned)count) % WINDOW_SIZE];
    return now_ms - at < period_ms;
}
