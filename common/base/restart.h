/* restart - policy: from deaths and the clock to a delay. Pure.
 *
 * A proven slot (READY for over RESTART_PROVEN_MS) starts again at once, up to burst times in burst_ms (10 in 10 s), then 1 s
 * apart: what has worked should be back before anybody notices, but a loop must not eat the machine. A death before READY, or within
 * RESTART_PROVEN_MS of it, backs off: min, doubling to max, with jitter. A proven run ends the doubling; healthy_after
 * without a death forgets everything. Who was READY and was killed from outside (SIGKILL by a person or for want of
 * memory) counts as proven, however young: starting it again is not what went wrong.
 */
#ifndef DRAY_COMMON_BASE_RESTART_H
#define DRAY_COMMON_BASE_RESTART_H

#include <stdbool.h>
#include <stdint.h>

#define RESTART_PROVEN_MS    1000
#define RESTART_BURST_MAX    100 /* largest burst */
#define RESTART_BURST_GAP_MS 1000
#define RESTART_WINDOW_MAX   1000 /* largest degraded_at count */

struct restart_policy {
    uint64_t min_ms, max_ms, healthy_after_ms;
    double jitter;
    uint64_t give_up;         /* early deaths in a row; 0 = never */
    uint64_t burst, burst_ms; /* starts without delay in a period; 0 = any number */
};

/* One slot's history. */
struct restart {
    unsigned early;                        /* early deaths in a row */
    uint64_t proven_at[RESTART_BURST_MAX]; /* times of the latest deaths of a proven run, a ring */
    unsigned proven_n, proven_next;
};

/* A process died at now_ms; ready_ms: how long it had been READY, 0 if never; killed: from
 * outside. random is in [0, 1). Returns the delay. */
uint64_t restart_delay(struct restart *r, const struct restart_policy *p, uint64_t now_ms, uint64_t ready_ms,
                       bool killed, double random);
bool restart_gives_up(const struct restart *r, const struct restart_policy *p);
/* An operator asked for a new beginning. */
void restart_forget(struct restart *r);

/* Deaths of one kind: degraded when more than count fall into period_ms. */
struct restart_window {
    uint64_t at[RESTART_WINDOW_MAX + 1];
    unsigned n, next;
};

void restart_window_add(struct restart_window *w, uint64_t now_ms);
bool restart_window_over(const struct restart_window *w, uint64_t now_ms, uint64_t count, uint64_t period_ms);

#endif
