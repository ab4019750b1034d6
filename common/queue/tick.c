/* tick - what one process of the fleet does for a queue: promote, look for stalled jobs, sweep, count.
 *
 * The lease is short; its holder renews it with every tick, the others ask again when it should have run out. What is
 * due is promoted within a tick's interval; when the holder hangs, within LEASE_MS + 2 * ASK_MS; when it dies, its
 * siblings end its lease (release.c). What a dead host held is found after max(lock, interval) + interval at most.
 * Every step is atomic by itself and may be done twice, so that a holder that was too slow does no harm.
 */
#include "common/queue/internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/clock.h"
#include "common/base/hook.h"
#include "common/base/id.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/queue/order.h"

#define EVERY_MS    100
#define ORDERED_MS  200 /* there may be many partitions, and only foreign clients delay their jobs */
#define LEASE_MS    400 /* a holder that hangs holds promotion up for so long */
#define ASK_MS      20 /* the others ask so long after the lease should have run out, and up to as much more */
#define PROMOTE_MAX 1000
#define SWEEP_MAX   500
#define CHORES_MS   1000
#define RETRY_MS    500

struct queue_tick {
    struct queue_tick_events events;
    void *arg;
    ev_timer timer;
    bool flying, holder;
    bool sweeping, checking, counting; /* a call is on the way */
    uint64_t next_stalled_ms, next_chores_ms;
};

static void arm(struct queue *q, uint64_t ms)
{
    struct queue_tick *t = q->tick;
    ev_timer_stop(q->loop, &t->timer);
    ev_timer_set(&t->timer, (double)ms / 1000.0, 0.0);
    ev_timer_start(q->loop, &t->timer);
}

static void number(char dst[24], uint64_t v, const char *unlimited)
{
    if (v > (1ull << 52))
        snprintf(dst, 24, "%s", unlimited);
    else
        snprintf(dst, 24, "%" PRIu64, v);
}

/* All finish functions: the tick may have been stopped meanwhile. */
static struct queue_call *call_new(void (*finish)(struct queue_call *, enum queue_status, const char *,
                                                  const struct redisReply *))
{
    struct queue_call *c = xcalloc(1, sizeof *c);
    c->finish = finish;
    return c;
}

static long long int_at(const struct redisReply *reply, size_t i)
{
    if (reply->type != REDIS_REPLY_ARRAY || i >= reply->elements ||
        reply->element[i]->type != REDIS_REPLY_INTEGER)
        return 0;
    return reply->element[i]->integer;
}

static void on_stalled(struct queue_call *c, enum queue_status s, const char *why,
                       const struct redisReply *reply)
{
    struct queue_tick *t = c->q->tick;
    if (t == NULL)
        return;
    t->checking = false;
    uint64_t now = clock_mono_ms();
    if (s != QUEUE_OK) {
        t->next_stalled_ms = now + RETRY_MS;
        if (s == QUEUE_BROKEN)
            log_error("queue_stalled_check", "queue=%s why=%s", log_q(queue_name(c->q)), log_q(why));
        return;
    }
    HOOK_POINT(stalled_answered);
    long long back = int_at(reply, 0), failed = int_at(reply, 1), left = int_at(reply, 2),
              overrun = int_at(reply, 3);
    t->next_stalled_ms = now + (left > 0 ? (uint64_t)left : 0) + 1;
    if (overrun > 0)
        log_warn("jobs_overrun", "queue=%s jobs=%lld max_run_ms=%" PRIu64, log_q(queue_name(c->q)), overrun,
                 c->q->o.max_run_ms);
    if (back > 0 || failed > 0) {
        log_warn("queue_stalled", "queue=%s requeued=%lld failed=%lld", log_q(queue_name(c->q)), back,
                 failed);
        if (t->events.stalled != NULL)
            t->events.stalled(c->q, (uint64_t)(back > 0 ? back : 0), (uint64_t)failed, t->arg);
    }
}

static void check_stalled(struct queue *q)
{
    char max[24], interval[24], tombstone[24], max_run[24];
    number(max, q->o.max_stalled, "1000000");
    number(interval, q->o.stalled_interval_ms, "30000");
    number(tombstone, q->o.tombstone_ms, "0");
    number(max_run, q->o.max_run_ms, "0");
    const char *argv[] = {max, interval, tombstone, max_run};
    q->tick->checking = true;
    HOOK_SENT(stalled_sent);
    queue_call_script(q, call_new(on_stalled), &queue_script_stalled, 4, argv, NULL);
}

static void on_swept(struct queue_call *c, enum queue_status s, const char *why,
                     const struct redisReply *reply)
{
    (void)why;
    struct queue_tick *t = c->q->tick;
    if (t == NULL)
        return;
    t->sweeping = false;
    if (s != QUEUE_OK)
        return;
    long long completed = int_at(reply, 0), failed = int_at(reply, 1);
    if (completed >= SWEEP_MAX || failed >= SWEEP_MAX)
        t->next_chores_ms = clock_mono_ms(); /* more is left: with the next tick */
    if ((completed > 0 || failed > 0) && t->events.swept != NULL)
        t->events.swept(c->q, (uint64_t)completed, (uint64_t)failed, t->arg);
}

static void sweep(struct queue *q)
{
    char count[24], age[24], failed_age[24], budget[16], tombstone[24];
    number(count, q->o.keep_completed_count, "-1");
    number(age, q->o.keep_completed_age_ms, "0");
    number(failed_age, q->o.keep_failed_age_ms, "0");
    number(tombstone, q->o.tombstone_ms, "0");
    snprintf(budget, sizeof budget, "%d", SWEEP_MAX);
    const char *argv[] = {count, age, failed_age, budget, tombstone};
    q->tick->sweeping = true;
    queue_call_script(q, call_new(on_swept), &queue_script_sweep, 5, argv, NULL);
}

static void on_counted(enum queue_status s, const struct queue_counts *counts, void *arg)
{
    struct queue *q = arg;
    struct queue_tick *t = q->tick;
    if (t == NULL)
        return;
    t->counting = false;
    if (s == QUEUE_OK && t->events.counted != NULL)
        t->events.counted(q, counts, t->arg);
}

static void chores(struct queue *q)
{
    struct queue_tick *t = q->tick;
    uint64_t now = clock_mono_ms();
    if (!q->o.ordered && now >= t->next_stalled_ms && !t->checking)
        check_stalled(q);
    if (now < t->next_chores_ms)
        return;
    t->next_chores_ms = now + CHORES_MS;
    if (!t->sweeping)
        sweep(q);
    if (!t->counting && t->events.counted != NULL) {
        t->counting = true;
        queue_count(q, on_counted, q);
    }
}

static void on_ticked(struct queue_call *c, enum queue_status s, const char *why,
                      const struct redisReply *reply)
{
    struct queue *q = c->q;
    struct queue_tick *t = q->tick;
    if (t == NULL)
        return;
    t->flying = false;
    if (s != QUEUE_OK) {
        t->holder = false;
        if (s == QUEUE_BROKEN)
            log_error("queue_tick", "queue=%s why=%s", log_q(queue_name(q)), log_q(why));
        arm(q, EVERY_MS);
        return;
    }
    long long promoted = int_at(reply, 1), due = int_at(reply, 2), lease = int_at(reply, 3);
    t->holder = int_at(reply, 0) == 1;
    if (!t->holder && q->o.ordered) {
        arm(q, EVERY_MS);
        queue_lease_refused(q);
        return;
    }
    if (!t->holder) {
        uint64_t wait = lease > 0 && lease <= LEASE_MS ? (uint64_t)lease : LEASE_MS;
        arm(q, wait + ASK_MS + id_random_below(ASK_MS));
        return;
    }
    /* What is due before the next tick is promoted on time; a full load means that more is due now. */
    uint64_t every = q->o.ordered ? ORDERED_MS : EVERY_MS;
    arm(q, promoted >= PROMOTE_MAX ? 0 : due >= 0 && (uint64_t)due < every ? (uint64_t)due + 1 : every);
    if (promoted > 0 && t->events.promoted != NULL)
        t->events.promoted(q, (uint64_t)promoted, t->arg);
    if (q->tick == t && !q->freed)
        chores(q);
}

static void on_timer(struct ev_loop *loop, ev_timer *w, int events)
{
    (void)loop;
    (void)events;
    struct queue *q = w->data;
    struct queue_tick *t = q->tick;
    if (t->flying || redis_state(q->r) != REDIS_READY || (q->o.ordered && !queue_lease_held(q))) {
        arm(q, EVERY_MS);
        return;
    }
    char lease[16], max[16];
    snprintf(lease, sizeof lease, "%d", LEASE_MS);
    snprintf(max, sizeof max, "%d", PROMOTE_MAX);
    const char *argv[] = {q->o.token, lease, max, queue_lease_value(q)};
    t->flying = true;
    HOOK_SENT(tick_sent);
    queue_call_script(q, call_new(on_ticked), &queue_script_tick, 4, argv, NULL);
}

void queue_tick_start(struct queue *q, const struct queue_tick_events *events, void *arg)
{
    if (q->memory != NULL) {
        queue_memory_tick(q->memory, events, arg);
        return;
    }
    if (q->tick != NULL)
        return;
    struct queue_tick *t = xcalloc(1, sizeof *t);
    t->events = *events;
    t->arg = arg;
    ev_timer_init(&t->timer, on_timer, 0.0, 0.0);
    t->timer.data = q;
    q->tick = t;
    arm(q, 0);
}

static void on_unticked(struct queue_call *c, enum queue_status s, const char *why,
                        const struct redisReply *reply)
{
    (void)c;
    (void)s;
    (void)why;
    (void)reply;
}

void queue_tick_stop(struct queue *q)
{
    if (q->memory != NULL) {
        queue_memory_untick(q->memory);
        return;
    }
    struct queue_tick *t = q->tick;
    if (t == NULL)
        return;
    ev_timer_stop(q->loop, &t->timer);
    q->tick = NULL;
    free(t);
    if (redis_state(q->r) == REDIS_READY && !q->o.ordered) {
        const char *argv[] = {q->o.token};
        queue_call_script(q, call_new(on_unticked), &queue_script_untick, 1, argv, NULL);
    }
}
