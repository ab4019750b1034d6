/* watch - the queue's tick as metrics and log lines. Whoever of the fleet holds a queue's tick lease counts it; when the
 * lease has gone elsewhere the gauges here are set to nothing, so that the sum over the processes stays true. Each second
 * also begins a new allowance of lines on failed jobs.
 */
#include "common/base/clock.h"
#include "common/base/log.h"
#include "workers/delivery/delivery.h"

#define COUNTS_FRESH_MS 2500

static void on_promoted(struct queue *q, uint64_t jobs, void *arg)
{
    (void)jobs;
    (void)q;
    claim_wake(arg);
}

static void on_stalled(struct queue *q, uint64_t requeued, uint64_t failed, void *arg)
{
    struct dest *t = arg;

    (void)q;
    metric_add(t->m.requeued, requeued);
    metric_add(t->m.stalled_out, failed);
    if (requeued + failed > 0)
        log_warn("stalled_jobs", "queue=%s requeued=%llu failed=%llu", t->conf->id,
                 (unsigned long long)requeued, (unsigned long long)failed);
    if (requeued > 0)
        claim_wake(t);
}

static void show(struct dest *t, const struct queue_counts *c)
{
    const uint64_t n[6] = {c->wait, c->active, c->delayed, c->paused, c->completed, c->failed};

    for (size_t i = 0; i < 6; i++)
        metric_set(t->m.jobs[i], (double)n[i]);
    metric_set(t->m.oldest, (double)c->oldest_wait_ms / 1000.0);
    metric_set(t->m.promote_lag, (double)c->promote_lag_ms / 1000.0);
}

static void on_counted(struct queue *q, const struct queue_counts *c, void *arg)
{
    struct dest *t = arg;

    (void)q;
    t->counted_ms = clock_mono_ms();
    show(t, c);
}

void watch_start(struct dest *t)
{
    static const struct queue_tick_events events = {
        .promoted = on_promoted, .stalled = on_stalled, .counted = on_counted};

    queue_tick_start(t->queue, &events, t);
}

void watch_second(struct dest *t)
{
    static const struct queue_counts nothing;

    if (t->failed_unsaid > 0)
        log_warn("jobs_failed", "queue=%s more=%u", t->conf->id, t->failed_unsaid);
    t->failed_said = t->failed_unsaid = 0;
    t->refused_said = false;
    if (t->counted_ms == 0 || clock_mono_ms() - t->counted_ms < COUNTS_FRESH_MS)
        return;
    t->counted_ms = 0;
    show(t, &nothing);
}
