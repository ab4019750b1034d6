/* ahead - where a destination is fast: jobs are taken before there is a place for them, and results wait for company.
 *
 * A round trip to Redis for each job costs more than the job. So many are taken ahead as were lately done in AHEAD_MS;
 * that is none where a destination is slow. What stood for LONGEST_MS goes back, newest first; a result waits for the
 * next take, for the last job in hand, or for the next tick. Only for the one lane that has work, and not under a limiter.
 * (Ordered lanes take ahead by rules of their own, in order.c; their results wait in the same way.)
 */
#include "common/base/clock.h"
#include "common/base/hook.h"
#include "workers/delivery/delivery.h"

#define AHEAD_MS   10
#define WINDOW_MS  10   /* of the pace, at least */
#define STALE_MS   1000 /* so old a window says nothing */
#define LONGEST_MS 100
#define TICK_S     0.005

void ahead_open(struct dest *t)
{
    list_init(&t->ahead);
    list_init(&t->late);
}

/* ---- the pace */

void ahead_count(struct dest *t)
{
    uint64_t now_ms = clock_mono_ms(), ms = now_ms - t->pace_since_ms;

    t->pace_done++;
    if (ms < WINDOW_MS)
        return;
    t->pace = ms < STALE_MS ? (unsigned)(t->pace_done * AHEAD_MS / ms) : 0;
    t->pace = t->pace < AHEAD_JOBS ? t->pace : AHEAD_JOBS;
    t->pace_done = 0;
    t->pace_since_ms = now_ms;
}

unsigned ahead_room(const struct dest *t)
{
    return t->pace > 1 && t->n_ahead <= t->pace / 2 ? t->pace - t->n_ahead : 0;
}

/* ---- the lists */

void ahead_drop(struct job *j)
{
    struct dest *t = j->lane->dest;

    list_remove(&j->turn);
    if (j->state == JOB_AHEAD)
        t->n_ahead--;
    else if (!lane_ordered(j->lane))
        t->n_late--;
}

void ahead_flush(struct dest *t)
{
    struct job *j;

    while ((j = list_first(&t->late, struct job, turn)) != NULL) {
        ahead_drop(j);
        settle_send(j);
    }
}

static void give_back(struct dest *t)
{
    t->pace = 0;
    while (!list_empty(&t->ahead))
        claim_return(list_entry(t->ahead.prev, struct job, turn));
}

static void on_tick(struct ev_loop *loop, ev_timer *timer, int revents)
{
    struct delivery *d = timer->data;
    bool idle = true;

    (void)revents;
    if (redis_state(d->redis) == REDIS_READY)
        ahead_pump(d);
    for (size_t i = 0; i < d->n_dests; i++) {
        ahead_flush(&d->dests[i]);
        idle &= list_empty(&d->dests[i].ahead);
    }
    for (size_t i = 0; i < d->n_lanes; i++)
        order_flush(&d->lanes[i]);
    if (idle)
        ev_timer_stop(loop, timer);
}

void ahead_start_tick(struct delivery *d)
{
    if (ev_is_active(&d->ahead_timer))
        return;
    ev_timer_init(&d->ahead_timer, on_tick, TICK_S, TICK_S);
    d->ahead_timer.data = d;
    ev_timer_start(d->loop, &d->ahead_timer);
}

void ahead_put(struct job *j)
{
    struct dest *t = j->lane->dest;

    j->state = JOB_AHEAD;
    j->asked_us = clock_mono_us();
    list_push_back(&t->ahead, &j->turn);
    t->n_ahead++;
    ahead_start_tick(t->d);
}

bool ahead_linger(struct job *j)
{
    struct dest *t = j->lane->dest;

    if (lane_ordered(j->lane))
        return order_linger(j);
    if (t->n_ahead == 0 || t->d->draining)
        return false;
    list_push_back(&t->late, &j->turn);
    HOOK_POINT(result_late);
    if (++t->n_late >= AHEAD_JOBS)
        ahead_flush(t);
    else
        ahead_start_tick(t->d);
    return true;
}

void ahead_pump(struct delivery *d)
{
    for (size_t i = 0; i < d->n_dests; i++) {
        struct dest *t = &d->dests[i];
        struct job *j;

        while ((j = list_first(&t->ahead, struct job, turn)) != NULL) {
            if (clock_mono_us() - j->asked_us > LONGEST_MS * 1000) {
                give_back(t);
                break;
            }
            if (!claim_may_post(t))
                break;
            ahead_drop(j);
            post_start(j);
        }
        if (list_empty(&t->ahead))
            ahead_flush(t);
    }
}

void ahead_leave(struct delivery *d)
{
    for (size_t i = 0; i < d->n_dests; i++) {
        ahead_flush(&d->dests[i]);
        give_back(&d->dests[i]);
    }
}
