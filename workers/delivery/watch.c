/* watch - the queue's tick as metrics and log lines. Whoever of the fleet holds a queue's tick lease counts it; when the
 * lease has gone elsewhere the gauges here are set to nothing, so that the sum over the processes stays true. Each second
 * also begins a new allowance of lines on failed jobs.
 *
 * How long jobs wait is what the master scales by, on every host: where it does so, its slot 0 asks for queues whose tick is
 * another's. An unknown age is not told at all.
 */
#include "common/base/clock.h"
#include "common/base/hook.h"
#include "common/base/log.h"
#include "workers/delivery/delivery.h"

#define COUNTS_FRESH_MS 2500
#define WINDOW_FRESH_MS 60000

static void on_promoted(struct queue *q, uint64_t jobs, void *arg)
{
    (void)jobs;
    (void)q;
    HOOK_POINT(promoted);
    claim_wake(arg);
}

static void on_stalled(struct queue *q, uint64_t requeued, uint64_t failed, void *arg)
{
    struct lane *l = arg;

    (void)q;
    metric_add(l->m->requeued, requeued);
    metric_add(l->m->stalled_out, failed);
    if (requeued + failed > 0)
        log_warn("stalled_jobs", "queue=%s requeued=%llu failed=%llu", l->name, (unsigned long long)requeued,
                 (unsigned long long)failed);
    if (requeued > 0)
        claim_wake(l);
}

/* The gauges of a label are the sum over its lanes. */
static void show(const struct delivery *d, const struct lane_metrics *m)
{
    struct queue_counts sum = {0};

    for (size_t i = 0; i < d->n_lanes; i++) {
        const struct queue_counts *c = &d->lanes[i].counts;

        if (d->lanes[i].m != m || d->lanes[i].counted_ms == 0)
            continue;
        sum.wait += c->wait;
        sum.active += c->active;
        sum.delayed += c->delayed;
        sum.paused += c->paused;
        sum.completed += c->completed;
        sum.failed += c->failed;
        sum.oldest_wait_ms = c->oldest_wait_ms > sum.oldest_wait_ms ? c->oldest_wait_ms : sum.oldest_wait_ms;
        sum.promote_lag_ms = c->promote_lag_ms > sum.promote_lag_ms ? c->promote_lag_ms : sum.promote_lag_ms;
    }
    const uint64_t n[6] = {sum.wait, sum.active, sum.delayed, sum.paused, sum.completed, sum.failed};

    for (size_t i = 0; i < 6; i++)
        metric_set(m->jobs[i], (double)n[i]);
    metric_set(m->oldest, (double)sum.oldest_wait_ms / 1000.0);
    metric_set(m->promote_lag, (double)sum.promote_lag_ms / 1000.0);
}

/* ---- for how long jobs wait */

/* Could more processes shorten it? Not where one does all the work, a limit is set, or somebody wants to be left alone. */
static bool more_would_help(const struct lane *l, uint64_t now_ms)
{
    return l->mode != CONF_MODE_STRICT && l->options.limiter_jobs == 0 && !l->home->paused &&
           l->dest->paused_until_ms <= now_ms;
}

static void show_longest(const struct delivery *d, const struct lane_metrics *m)
{
    uint64_t now_ms = clock_mono_ms(), longest = 0;
    bool known = false;

    for (size_t i = 0; i < d->n_lanes; i++) {
        const struct lane *l = &d->lanes[i];

        if (l->m != m || !l->longest_known || now_ms - l->longest_seen_ms >= COUNTS_FRESH_MS)
            continue;
        known = true;
        if (l->longest_wait_ms > longest && more_would_help(l, now_ms))
            longest = l->longest_wait_ms;
    }
    if (known)
        metric_set(m->longest, (double)longest / 1000.0);
    else
        metric_unset(m->longest);
}

static void note_longest(struct lane *l, const struct queue_counts *c)
{
    l->longest_seen_ms = clock_mono_ms();
    l->longest_known = c->longest_known;
    l->longest_wait_ms = c->longest_wait_ms;
}

static void on_longest(enum queue_status s, const struct queue_counts *c, void *arg)
{
    struct lane *l = arg;

    l->asking_longest = false;
    if (s == QUEUE_OK)
        note_longest(l, c);
}

/* A partition is looked after by the host that has it. */
static void ask_longest(struct lane *l)
{
    const struct delivery *d = l->dest->d;

    if (child_slot(d->child) != 0 || child_config(d->child)->master.autoscale_max == 0 || lane_ordered(l) ||
        l->counted_ms != 0 || l->asking_longest || redis_state(d->redis) != REDIS_READY)
        return;
    l->asking_longest = true;
    queue_count(l->queue, on_longest, l);
}

static void on_counted(struct queue *q, const struct queue_counts *c, void *arg)
{
    struct lane *l = arg;

    (void)q;
    l->counted_ms = clock_mono_ms();
    l->counts = *c;
    note_longest(l, c);
    show(l->dest->d, l->m);
    show_longest(l->dest->d, l->m);
}

void watch_start(struct lane *l)
{
    static const struct queue_tick_events events = {
        .promoted = on_promoted, .stalled = on_stalled, .counted = on_counted};

    queue_tick_start(l->queue, &events, l);
}

/* ---- repeated events */

static void look_at_digests(struct lane *l)
{
    struct delivery *d = l->dest->d;
    uint64_t failures = queue_seen_failures(l->queue), told = queue_seen_window_ms(l->queue);

    if (failures > l->seen_failures) {
        log_warn(
            "dedup_failed", "queue=%s batches=%llu remedy=%s", l->name,
            (unsigned long long)(failures - l->seen_failures),
            log_q(
                "its batches were taken as they are; Redis refuses SMISMEMBER, SADD, UNLINK, RENAME, GET, SET or "
                "PEXPIRE on the keys dray:ids* of the queue"));
        metric_add(d->unjudged, failures - l->seen_failures);
        l->seen_failures = failures;
    }
    if (told > 0) {
        if (told < d->conf->ingest.dedup_window_ms &&
            (l->seen_window_ms == 0 || l->seen_window_ms >= d->conf->ingest.dedup_window_ms))
            log_warn("dedup_window_shrunk", "queue=%s window_ms=%llu remedy=%s", l->name,
                     (unsigned long long)told,
                     log_q("more ids than ingest.dedup.max_memory holds came within ingest.dedup.window"));
        l->seen_window_ms = told;
        l->seen_told_ms = clock_mono_ms();
    } else if (clock_mono_ms() - l->seen_told_ms > WINDOW_FRESH_MS) {
        l->seen_window_ms = 0;
    }
}

static void show_window(const struct delivery *d, const struct lane_metrics *m)
{
    uint64_t shortest = 0;

    for (size_t i = 0; i < d->n_lanes; i++) {
        const struct lane *l = &d->lanes[i];

        if (l->m == m && l->seen_window_ms > 0 && (shortest == 0 || l->seen_window_ms < shortest))
            shortest = l->seen_window_ms;
    }
    if (shortest > 0)
        metric_set(m->seen_window, (double)shortest / 1000.0);
    else
        metric_unset(m->seen_window);
}

void watch_second(struct delivery *d)
{
    for (size_t i = 0; i < d->n_dests; i++) {
        struct dest *t = &d->dests[i];

        if (t->failed_unsaid > 0)
            log_warn("jobs_failed", "dest=%s more=%u", t->conf->id, t->failed_unsaid);
        t->failed_said = t->failed_unsaid = 0;
        t->refused_said = false;
    }
    for (size_t i = 0; i < d->n_lanes; i++) {
        struct lane *l = &d->lanes[i];

        if (l->counted_ms == 0 || clock_mono_ms() - l->counted_ms < COUNTS_FRESH_MS)
            continue;
        l->counted_ms = 0;
        show(d, l->m);
    }
    for (size_t i = 0; i < d->n_lanes; i++)
        ask_longest(&d->lanes[i]);
    for (size_t i = 0; i < d->n_lanes; i++)
        look_at_digests(&d->lanes[i]);
    for (size_t i = 0; i < d->n_labels; i++) {
        show_longest(d, &d->labels[i]);
        show_window(d, &d->labels[i]);
    }
}
