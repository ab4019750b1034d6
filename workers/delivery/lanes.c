/* lanes - destinations and their lanes, made out of the configuration; see delivery.h.
 *
 * A destination has one lane, or with ordering: key one a partition; each takeover has a lane of its own. Lanes that
 * share a label (the partitions of a destination) share their metrics.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/base/str.h"
#include "common/queue/partition.h"
#include "workers/delivery/delivery.h"

#define UNLIMITED    UINT64_MAX
#define DIGEST_BYTES 64 /* that Redis needs for a digest of 12 in a set, as measured */
#define DIGESTS_MIN  256

/* ---- metrics */

static void make_dest_metrics(struct dest *t)
{
    struct metrics *m = child_metrics(t->d->child);
    struct dest_metrics *x = &t->m;
    const char *id = t->conf->id;

    x->duration = metrics_series(m, METRIC_DELIVERY_DURATION, id, NULL);
    x->end_to_end = metrics_series(m, METRIC_DELIVERY_END_TO_END, id, NULL);
    x->events = metrics_series(m, METRIC_DELIVERY_EVENTS, id, NULL);
    x->bytes = metrics_series(m, METRIC_DELIVERY_BYTES, id, NULL);
    x->in_flight = metrics_series(m, METRIC_DELIVERY_IN_FLIGHT, id, NULL);
    x->reused = metrics_series(m, METRIC_DELIVERY_CONNECTIONS, id, "true", NULL);
    x->fresh = metrics_series(m, METRIC_DELIVERY_CONNECTIONS, id, "false", NULL);
}

static void make_lane_metrics(struct metrics *m, struct lane_metrics *x)
{
    static const char *const states[6] = {"wait", "active", "delayed", "paused", "completed", "failed"};
    const char *id = x->label;

    x->added = metrics_series(m, METRIC_QUEUE_ADDED, id, NULL);
    x->completed = metrics_series(m, METRIC_QUEUE_FINISHED, id, "completed", NULL);
    x->failed = metrics_series(m, METRIC_QUEUE_FINISHED, id, "failed", NULL);
    x->delayed = metrics_series(m, METRIC_QUEUE_FINISHED, id, "delayed", NULL);
    x->handed_back = metrics_series(m, METRIC_QUEUE_FINISHED, id, "handed_back", NULL);
    x->requeued = metrics_series(m, METRIC_STALLED, id, "requeued", NULL);
    x->stalled_out = metrics_series(m, METRIC_STALLED, id, "failed", NULL);
    x->lock_lost = metrics_series(m, METRIC_LOCK_LOST, id, NULL);
    for (size_t i = 0; i < 6; i++)
        x->jobs[i] = metrics_series(m, METRIC_QUEUE_JOBS, id, states[i], NULL);
    x->oldest = metrics_series(m, METRIC_QUEUE_OLDEST, id, "wait", NULL);
    x->promote_lag = metrics_series(m, METRIC_PROMOTE_LAG, id, NULL);
    x->seen_window = metrics_series(m, METRIC_INGEST_DEDUP_WINDOW, id, NULL);
    x->longest = metrics_series(m, METRIC_QUEUE_OLDEST_WAIT, id, NULL);
}

static struct lane_metrics *label(struct delivery *d, const char *name)
{
    struct lane_metrics *x = &d->labels[d->n_labels++];

    x->label = name;
    make_lane_metrics(child_metrics(d->child), x);
    return x;
}

/* ---- queues */

/* Of one of the two sets that each queue has (queue.h). */
static uint64_t most_digests(const struct conf *c)
{
    uint64_t queues = 0;

    for (size_t i = 0; i < c->n_destinations; i++)
        queues += conf_destination_partitions(c, &c->destinations[i]);
    uint64_t most = c->ingest.dedup_max_memory_bytes / DIGEST_BYTES / 2 / (queues > 0 ? queues : 1);
    return most > DIGESTS_MIN ? most : DIGESTS_MIN;
}

static struct queue_options options_of(const struct delivery *d, const char *prefix, const char *name)
{
    const struct conf *c = d->conf;

    return (struct queue_options){
        .prefix = prefix,
        .name = name,
        .token = child_token(d->child),
        .lock_ms = c->queue.lock_duration_ms,
        .stalled_interval_ms = c->queue.stalled_interval_ms,
        .max_stalled = c->queue.max_stalled_count,
        .keep_completed_count = c->queue.keep_completed_count,
        .keep_completed_age_ms = c->queue.keep_completed_age_ms,
        .keep_failed_age_ms = c->queue.keep_failed_age_ms,
        .limiter_jobs = c->queue.limiter.count,
        .limiter_ms = c->queue.limiter.period_ms,
        .limiter_by_group = c->queue.limiter_group_key,
        .metrics_points = c->queue.metrics_max_data_points,
        .max_run_ms = c->queue.max_run_ms,
        .seen_window_ms = c->ingest.dedup_window_ms,
        .seen_max = most_digests(c),
        .lease_ms = c->queue.lease_ms,
    };
}

/* The partitions of a queue keep together what a queue keeps. */
static void share_completed(struct queue_options *o, unsigned partitions)
{
    o->keep_completed_count = (o->keep_completed_count + partitions - 1) / partitions;
}

static struct lane *add_lane(struct home *h, struct dest *t, const char *name, struct lane_metrics *m)
{
    struct delivery *d = h->d;
    struct lane *l = &d->lanes[d->n_lanes++];

    l->dest = t;
    l->home = h;
    l->name = xstrdup(name);
    l->mode = h->mode;
    l->m = m;
    list_init(&l->jobs);
    map_put(d->by_name, name, strlen(name), l);
    if (h->n_lanes++ == 0)
        h->lanes = l;
    return l;
}

static void on_wake(void *arg)
{
    claim_wake(arg);
}

/* An ordered lane has a waker only while it is ours. */
static void open_lane(struct lane *l, const struct queue_options *o)
{
    struct delivery *d = l->dest->d;

    l->options = *o;
    l->options.prefix = xstrdup(o->prefix);
    l->options.ordered = lane_ordered(l);
    l->options.let_go = intake_let_go;
    if (d->memory)
        l->options.ended = intake_ended;
    list_init(&l->order.late);
    l->queue = queue_new(d->loop, d->redis, &l->options);
    if (lane_ordered(l))
        order_open(l);
    else if (!d->memory)
        l->waker = queue_waker_new(d->loop, &d->redis_options, &l->options, on_wake, l);
    watch_start(l);
}

static struct home *add_home(struct delivery *d, const char *name, enum conf_mode mode)
{
    struct home *h = &d->homes[d->n_homes++];

    h->d = d;
    h->name = name;
    h->mode = mode;
    return h;
}

/* Looked up once for each status, not for each answer. */
static void read_status_rules(struct dest *t)
{
    if (t->conf->on_status[0] == NULL) {
        free(t->by_status);
        t->by_status = NULL;
        return;
    }
    if (t->by_status == NULL)
        t->by_status = xcalloc(600, sizeof(*t->by_status));
    for (int status = 0; status < 600; status++)
        t->by_status[status] = (signed char)conf_destination_status_rule(t->conf, status);
}

static struct verdict_rules rules_of(struct dest *t)
{
    const struct conf *c = t->d->conf;
    const struct conf_queue *q = &c->queue;

    read_status_rules(t);
    t->n_schedule = conf_schedule(t->conf->retry_schedule, t->schedule_ms);
    if (t->n_schedule == 0)
        t->n_schedule = conf_schedule(q->retry_schedule, t->schedule_ms);
    return (struct verdict_rules){
        .by_status = t->by_status,
        .max_attempts = t->conf->max_attempts > 0 ? t->conf->max_attempts : q->max_attempts,
        .retry_window_ms = q->retry_window_ms,
        .retry_after_max_ms = c->delivery.retry_after_max_ms,
        .backoff = {.exponential = q->backoff_type == CONF_BACKOFF_EXPONENTIAL,
                    .delay_ms = q->backoff_delay_ms,
                    .max_ms = q->backoff_max_ms,
                    .jitter = q->backoff_jitter,
                    .schedule_ms = t->schedule_ms,
                    .n_schedule = t->n_schedule},
    };
}

static void make_dest(struct dest *t, const struct conf_destination *conf)
{
    t->conf = conf;
    ahead_open(t);
    list_init(&t->payers);
    t->rules = rules_of(t);
    make_dest_metrics(t);
}

static void make_own_lanes(struct dest *t)
{
    struct delivery *d = t->d;
    const char *name = conf_destination_queue(t->conf);
    struct home *h = add_home(d, t->conf->id, conf_destination_mode(d->conf, t->conf));
    unsigned n = conf_destination_partitions(d->conf, t->conf);
    struct lane_metrics *m = label(d, t->conf->id);
    struct queue_options o = options_of(d, d->conf->queue.prefix, name);
    char lane[160], prefix[QUEUE_PREFIX_SIZE];

    o.one_at_a_time = h->mode != CONF_MODE_SHARED;
    if (h->mode != CONF_MODE_KEY) {
        h->mode = d->memory ? CONF_MODE_SHARED
                            : h->mode; /* ingest sends one batch at a time, and nobody else has any */
        open_lane(add_lane(h, t, t->conf->id, m), &o);
        return;
    }
    if (d->memory)
        h->mode = CONF_MODE_SHARED;
    else
        h->queue = queue_new(d->loop, d->redis, &o);
    o.prefix = prefix;
    share_completed(&o, n);
    for (unsigned i = 0; i < n; i++) {
        snprintf(lane, sizeof(lane), "%s#%u", t->conf->id, i);
        queue_partition_prefix(d->conf->queue.prefix, name, i, prefix, sizeof(prefix));
        open_lane(add_lane(h, t, lane, m), &o);
    }
}

static void tune_takeover(struct lane *l, struct queue_options *o)
{
    const struct conf_takeover *conf = l->takeover;

    /* As the SDK's own worker: 2 s, doubling up to 30 s, and only the attempts count. */
    l->sdk_rules = l->dest->rules;
    l->sdk_rules.max_attempts = conf->max_attempts;
    l->sdk_rules.retry_window_ms = 0;
    l->sdk_rules.backoff = (struct backoff){.exponential = true, .delay_ms = 2000, .max_ms = 30000};
    o->max_run_ms = conf->max_run_ms;
    o->keep_completed_count = conf->trim_enabled ? conf->trim_completed_count : UNLIMITED;
    o->keep_completed_age_ms = conf->trim_enabled ? conf->trim_completed_age_ms : 0;
    o->keep_failed_age_ms = conf->trim_enabled ? conf->trim_failed_age_ms : 0;
}

static void make_takeover(struct delivery *d, const struct conf_takeover *conf)
{
    struct queue_options o = options_of(d, conf->prefix, conf->queue);
    struct dest *t = &d->dests[conf_find_destination(d->conf, conf->destination) - d->conf->destinations];
    struct home *h = add_home(d, conf->id, conf->is_multi_processor ? CONF_MODE_SHARED : CONF_MODE_STRICT);
    struct lane *l = add_lane(h, t, conf->id, label(d, conf->id));

    l->takeover = conf;
    tune_takeover(l, &o);
    open_lane(l, &o);
}

void lanes_make(struct delivery *d)
{
    const struct conf *c = d->conf;
    size_t n = c->n_takeovers;

    for (size_t i = 0; i < c->n_destinations; i++)
        n += conf_destination_partitions(c, &c->destinations[i]);
    d->by_name = map_new();
    d->n_dests = c->n_destinations;
    d->dests = xcalloc(d->n_dests + 1, sizeof(*d->dests));
    d->lanes = xcalloc(n + 1, sizeof(*d->lanes));
    d->homes = xcalloc(d->n_dests + c->n_takeovers + 1, sizeof(*d->homes));
    d->labels = xcalloc(d->n_dests + c->n_takeovers + 1, sizeof(*d->labels));
    for (size_t i = 0; i < d->n_dests; i++) {
        d->dests[i].d = d;
        make_dest(&d->dests[i], &c->destinations[i]);
        make_own_lanes(&d->dests[i]);
    }
    for (size_t i = 0; i < c->n_takeovers; i++)
        make_takeover(d, &c->takeovers[i]);
}

void lanes_tune(struct delivery *d)
{
    for (size_t i = 0; i < d->n_dests; i++)
        d->dests[i].rules = rules_of(&d->dests[i]);
    for (size_t i = 0; i < d->n_lanes; i++) {
        struct lane *l = &d->lanes[i];
        struct queue_options o = options_of(d, l->options.prefix, l->options.name);

        if (l->takeover != NULL)
            tune_takeover(l, &o);
        if (l->mode == CONF_MODE_KEY)
            share_completed(&o, l->home->n_lanes);
        queue_options_tune(&l->options, &o);
        queue_tune(l->queue, &o);
    }
}

void lanes_close(struct delivery *d)
{
    for (size_t i = 0; i < d->n_lanes; i++) {
        queue_tick_stop(d->lanes[i].queue);
        queue_waker_free(d->lanes[i].waker);
        d->lanes[i].waker = NULL;
    }
    share_leave(d);
}

struct lane *lanes_find(const struct delivery *d, const char *queue)
{
    return map_get(d->by_name, queue, strlen(queue));
}

/* Where a configuration that has the queue looks for its batches. prefix and name are of the sizes that these have. */
static struct queue_options stray_options(const struct delivery *d, const char *queue, char *prefix,
                                          char *name)
{
    const char *mark = strchr(queue, '#');
    uint64_t n;

    if (mark == NULL || str_parse_u64(mark + 1, &n) != 0 || n > UINT32_MAX)
        return options_of(d, d->conf->queue.prefix, queue);
    snprintf(name, MSG_QUEUE_MAX, "%.*s", (int)(mark - queue), queue);
    for (size_t i = 0; i < d->n_dests; i++)
        if (strcmp(d->dests[i].conf->id, name) == 0)
            str_copy(name, conf_destination_queue(d->dests[i].conf), MSG_QUEUE_MAX);
    queue_partition_prefix(d->conf->queue.prefix, name, (unsigned)n, prefix, QUEUE_PREFIX_SIZE);
    return options_of(d, prefix, name);
}

struct lane *lanes_stray(struct delivery *d, const char *queue)
{
    char prefix[QUEUE_PREFIX_SIZE], name[MSG_QUEUE_MAX];
    struct queue_options o = stray_options(d, queue, prefix, name);
    struct conf_destination *conf;
    struct dest *t;
    struct lane *l;

    for (size_t i = 0; i < d->n_strays; i++)
        if (strcmp(d->strays[i]->name, queue) == 0)
            return d->strays[i];
    if (d->n_strays == STRAYS_MAX || d->memory)
        return NULL;
    log_warn("destination_unknown", "queue=%s remedy=%s", log_q(queue),
             log_q("its batches are stored in Redis, where they wait for a configuration that has it"));
    conf = xcalloc(1, sizeof(*conf));
    conf->id = xstrdup(queue);
    t = xcalloc(1, sizeof(*t));
    t->d = d;
    t->conf = conf;
    l = d->strays[d->n_strays++] = xcalloc(1, sizeof(*l));
    l->dest = t;
    l->name = conf->id;
    list_init(&l->jobs);
    o.let_go = intake_let_go;
    l->queue = queue_new(d->loop, d->redis, &o);
    l->m = xcalloc(1, sizeof(*l->m));
    l->m->added = metrics_series(child_metrics(d->child), METRIC_QUEUE_ADDED, queue, NULL);
    return l;
}
