/* flow - see flow.h. What is known of each destination becomes two numbers that claim.c reads; what happens to requests
 * becomes what the fleet knows. The rate stands in rate.c, divided batches in split.c.
 *
 * Never here: a round trip to Redis for a request that goes well.
 */
#include "workers/delivery/flow/flow.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/hook.h"
#include "common/base/id.h"
#include "common/base/log.h"
#include "common/base/str.h"
#include "workers/delivery/delivery.h"
#include "workers/delivery/flow/flow_int.h"

#define PROBE_IDLE_MS  250  /* a probe that finds nothing to try is given up */
#define LOOK_MS        250  /* nobody here has work for it: looked at again */
#define LEASE_MORE_MS  2000 /* a probe's lease over the longest attempt */
#define PUT_OFF_MS     5000 /* a retry beyond the budget */
#define PAUSE_SLACK_MS 20   /* a pause that ends so little later is not told */
#define REFUSALS_PAUSE 5    /* 429 in a row: a learnt rate does not help */

/* ---- what holds now */

static unsigned most_of(const struct dest *t)
{
    const struct conf_delivery *c = &t->d->conf->delivery;
    uint64_t most = t->conf->concurrency > 0 ? t->conf->concurrency : c->concurrency;

    if (c->adaptive_enabled && most > c->adaptive_max)
        most = c->adaptive_max;
    return (unsigned)most;
}

static unsigned ramped(struct flow *f, unsigned cap, uint64_t now_ms)
{
    unsigned most;

    if (now_ms >= f->ramp_until_ms) {
        f->ramp_until_ms = 0;
        return cap;
    }
    most = 1 + (unsigned)((double)cap * (double)(now_ms - f->ramp_from_ms) /
                          (double)(f->ramp_until_ms - f->ramp_from_ms));
    return most < cap ? most : cap;
}

static void show(const struct dest *t, uint64_t now_ms)
{
    const struct flow *f = &t->flow;

    metric_set(f->state_metric, f->state == FLEET_CLOSED ? 0 : f->state == FLEET_PROBING ? 1 : 2);
    metric_set(f->enabled, f->state != FLEET_DISABLED);
    metric_set(f->limit_metric, t->cap);
    metric_set(f->pause_metric, f->paused_ms > now_ms ? (double)(f->paused_ms - now_ms) / 1e3 : 0);
    metric_set(f->rate_metric, (double)f->rate / 1e3);
}

static void apply(struct dest *t, uint64_t now_ms)
{
    struct flow *f = &t->flow;

    t->cap = most_of(t);
    if (t->d->conf->delivery.adaptive_enabled && (unsigned)f->adapt.limit < t->cap)
        t->cap = (unsigned)f->adapt.limit;
    if (f->ramp_until_ms > 0)
        t->cap = ramped(f, t->cap, now_ms);
    t->paused_until_ms = f->paused_ms;
    if (f->state == FLEET_PROBING && f->mine)
        t->cap = t->posting + (f->probe == NULL);
    else if (f->state != FLEET_CLOSED)
        t->paused_until_ms = FLOW_NEVER;
    show(t, now_ms);
}

/* ---- what the fleet knows */

static void arm(struct dest *t, uint64_t ms)
{
    struct ev_loop *loop = t->d->loop;

    ev_timer_stop(loop, &t->flow.timer);
    ev_timer_set(&t->flow.timer, (double)ms / 1e3 + 0.001, 0.);
    ev_timer_start(loop, &t->flow.timer);
}

static void wake(struct dest *t)
{
    struct delivery *d = t->d;

    for (size_t i = 0; i < d->n_lanes; i++)
        if (d->lanes[i].dest == t)
            order_pump(&d->lanes[i]);
    claim_pump(d);
}

static void adopt(struct dest *t, const struct fleet_view *v)
{
    struct flow *f = &t->flow;
    uint64_t now_ms = clock_mono_ms(), ramp_ms = t->d->conf->delivery.circuit_ramp_ms;
    enum fleet_state old = f->state;

    f->change = v->change;
    f->state = v->state;
    f->untold = false;
    f->opens = v->opens;
    f->failing_ms = v->failing_ms;
    str_copy(f->why, v->why, sizeof(f->why));
    f->due_ms = now_ms + v->left_ms;
    f->paused_ms = v->pause_ms > 0 ? now_ms + v->pause_ms : 0;
    if (v->state != FLEET_PROBING) {
        f->mine = false;
        f->probe = NULL;
    }
    if (old != v->state && v->state == FLEET_CLOSED) {
        circuit_reset(&f->circuit);
        adapt_init(&f->adapt, ADAPT_FIRST);
        if (v->ramp_ms > 0 && ramp_ms > 0) {
            f->ramp_until_ms = now_ms + (v->ramp_ms < ramp_ms ? v->ramp_ms : ramp_ms);
            f->ramp_from_ms = f->ramp_until_ms > ramp_ms ? f->ramp_until_ms - ramp_ms : 0;
        }
        f->rounds = f->refused_in_a_row = 0;
    }
    if (v->state == FLEET_OPEN || v->state == FLEET_PROBING)
        arm(t, f->mine ? PROBE_IDLE_MS : v->left_ms);
    else
        ev_timer_stop(t->d->loop, &f->timer);
    if (v->state == FLEET_OPEN && old == FLEET_CLOSED)
        t->pace = 0; /* nothing is taken ahead */
    apply(t, now_ms);
    if (t->paused_until_ms <= now_ms)
        wake(t);
    else
        claim_pump(t->d); /* its pause has a timer */
}

static void on_adopt(int granted, const struct fleet_view *v, void *arg)
{
    (void)granted;
    if (v != NULL)
        adopt(arg, v);
}

static void on_news(const struct fleet_view *v, void *arg)
{
    struct delivery *d = arg;

    for (size_t i = 0; i < d->n_dests; i++) {
        struct dest *t = &d->dests[i];

        if (strcmp(t->conf->id, v->dest) != 0 || v->change <= t->flow.change)
            continue;
        if (v->state == FLEET_DISABLED && t->flow.state != FLEET_DISABLED)
            log_info("destination_is_disabled", "dest=%s why=%s", t->conf->id, log_q(v->why));
        adopt(t, v);
    }
}

static void tell_open(struct dest *t);

/* Redis does not know of an open circuit: it was emptied. */
static void on_looked(int granted, const struct fleet_view *v, void *arg)
{
    struct dest *t = arg;
    struct flow *f = &t->flow;
    uint64_t now_ms = clock_mono_ms();

    (void)granted;
    if (v == NULL)
        return;
    if (f->state == FLEET_OPEN && v->state == FLEET_CLOSED && v->opens == 0 && f->due_ms > now_ms) {
        tell_open(t);
        return;
    }
    if (f->paused_ms > now_ms + v->pause_ms + PAUSE_SLACK_MS && v->change < f->change) {
        fleet_pause(t->d->fleet, t->conf->id, f->paused_ms - now_ms, on_adopt, t);
        return;
    }
    adopt(t, v);
}

static void on_moved(void *arg)
{
    struct delivery *d = arg;

    for (size_t i = 0; i < d->n_dests; i++)
        fleet_look(d->fleet, d->dests[i].conf->id, on_looked, &d->dests[i]);
}

/* ---- opening */

static void on_opened(int granted, const struct fleet_view *v, void *arg)
{
    struct dest *t = arg;

    if (v == NULL) {
        t->flow.untold = t->flow.state == FLEET_OPEN;
        return;
    }
    if (granted > 0) {
        metric_add(t->flow.opened, 1);
        log_warn("circuit_opened", "dest=%s why=%s for_ms=%llu opens=%llu", t->conf->id, log_q(v->why),
                 (unsigned long long)v->left_ms, (unsigned long long)v->opens);
    }
    adopt(t, v);
}

static void tell_open(struct dest *t)
{
    struct flow *f = &t->flow;
    uint64_t now_ms = clock_mono_ms(), since_ms = f->circuit.bad_since_ms;
    uint64_t failing_ms = since_ms > 0 && since_ms < now_ms ? now_ms - since_ms : 0;

    fleet_open(t->d->fleet, t->conf->id, f->why, failing_ms > f->failing_ms ? failing_ms : f->failing_ms,
               f->opens, on_opened, t);
}

static void open_circuit(struct dest *t, const char *why)
{
    struct flow *f = &t->flow;
    uint64_t now_ms = clock_mono_ms();

    f->state = FLEET_OPEN;
    f->opens = 1;
    f->failing_ms = 0;
    f->due_ms = now_ms + t->d->conf->delivery.circuit_open_min_ms;
    str_copy(f->why, why, sizeof(f->why));
    t->pace = 0;
    apply(t, now_ms);
    arm(t, f->due_ms - now_ms);
    HOOK_POINT(circuit_open_unsaid);
    tell_open(t);
}

/* ---- probing */

static bool has_work(const struct dest *t)
{
    const struct delivery *d = t->d;

    for (size_t i = 0; i < d->n_lanes; i++) {
        const struct lane *l = &d->lanes[i];

        if (l->dest != t || l->home->paused)
            continue;
        if (lane_ordered(l) ? l->order.held && (l->hungry || !list_empty(&l->jobs)) : l->hungry)
            return true;
    }
    return false;
}

static void on_probe(int granted, const struct fleet_view *v, void *arg)
{
    struct dest *t = arg;

    t->flow.asking = false;
    if (v == NULL) {
        arm(t, LOOK_MS);
        return;
    }
    if (granted > 0) {
        t->flow.mine = true;
        t->flow.probe = NULL;
        log_info("circuit_half_open", "dest=%s failing_ms=%llu", t->conf->id,
                 (unsigned long long)v->failing_ms);
        HOOK_POINT(probe_granted);
    }
    adopt(t, v);
}

static uint64_t attempt_ms(const struct dest *t)
{
    return t->conf->timeout_ms > 0 ? t->conf->timeout_ms : t->d->conf->delivery.timeout_ms;
}

static void on_due(struct ev_loop *loop, ev_timer *timer, int revents)
{
    struct dest *t = timer->data;
    struct flow *f = &t->flow;
    uint64_t now_ms = clock_mono_ms();

    (void)loop, (void)revents;
    if (f->state == FLEET_PROBING && f->mine) {
        if (f->probe == NULL && t->asked == 0)
            fleet_unprobe(t->d->fleet, t->conf->id, on_adopt, t);
        else
            arm(t, PROBE_IDLE_MS);
        return;
    }
    if ((f->state != FLEET_OPEN && f->state != FLEET_PROBING) || f->asking)
        return;
    if (now_ms < f->due_ms) {
        arm(t, f->due_ms - now_ms);
    } else if (t->d->draining || redis_state(t->d->redis) != REDIS_READY || !has_work(t)) {
        arm(t, LOOK_MS);
    } else {
        f->asking = true;
        fleet_probe(t->d->fleet, t->conf->id, attempt_ms(t) + LEASE_MORE_MS, on_probe, t);
    }
}

static void on_probed(int granted, const struct fleet_view *v, void *arg)
{
    struct dest *t = arg;

    if (v == NULL) { /* the lease runs out: somebody tries again */
        t->flow.mine = false;
        t->flow.due_ms = clock_mono_ms() + t->d->conf->delivery.circuit_open_min_ms;
        apply(t, clock_mono_ms());
        arm(t, LOOK_MS);
        return;
    }
    if (granted > 0 && v->state == FLEET_CLOSED) {
        log_info("circuit_closed", "dest=%s opens=%llu", t->conf->id, (unsigned long long)v->opens);
    } else if (granted > 0 && v->state == FLEET_DISABLED) {
        log_error("destination_disabled", "dest=%s failing_ms=%llu why=%s remedy=%s", t->conf->id,
                  (unsigned long long)v->failing_ms, log_q(v->why),
                  log_q("its jobs wait; when it works again: dray queue enable"));
    } else if (granted > 1) {
        log_warn("destination_failing_long", "dest=%s failing_ms=%llu percent=%d why=%s", t->conf->id,
                 (unsigned long long)v->failing_ms, granted, log_q(v->why));
    } else if (granted > 0) {
        log_info("circuit_reopened", "dest=%s why=%s for_ms=%llu opens=%llu", t->conf->id, log_q(v->why),
                 (unsigned long long)v->left_ms, (unsigned long long)v->opens);
    }
    adopt(t, v);
}

static void tell_disabled(int granted, const struct fleet_view *v, void *arg)
{
    struct dest *t = arg;

    if (granted > 0)
        log_error("destination_disabled", "dest=%s why=%s remedy=%s", t->conf->id, log_q(v->why),
                  log_q("its jobs wait; when it works again: dray queue enable"));
    on_adopt(granted, v, arg);
}

/* ---- requests */

static uint64_t put_off_ms(const struct dest *t)
{
    uint64_t most = t->rules.backoff.max_ms, ms = most > 0 && most < PUT_OFF_MS ? most : PUT_OFF_MS;

    return ms / 2 + id_random_below((uint32_t)ms + 1);
}

bool flow_posting(struct job *j)
{
    struct dest *t = j->lane->dest;
    struct flow *f = &t->flow;
    const struct conf_delivery *c = &t->d->conf->delivery;

    if (f->state == FLEET_PROBING && f->mine && f->probe == NULL) {
        f->probe = j;
        apply(t, clock_mono_ms());
    }
    if (f->metered && f->tokens > 0)
        f->tokens--;
    if (j->q.failures == 0)
        return true;
    if (f->probe != j && !lane_ordered(j->lane) &&
        !circuit_may_retry(&f->circuit, f->retrying, t->posting, c->retry_budget_ratio,
                           (unsigned)c->retry_budget_min)) {
        metric_add(f->put_off, 1);
        j->uncounted = true;
        j->delay_ms = put_off_ms(t);
        return false;
    }
    j->retry = true;
    f->retrying++;
    return true;
}

void flow_left(struct job *j)
{
    struct dest *t = j->lane->dest;
    struct flow *f = &t->flow;

    f->retrying -= j->retry;
    j->retry = false;
    if (f->probe != j)
        return;
    f->probe = NULL; /* it was never answered */
    if (f->mine)
        fleet_unprobe(t->d->fleet, t->conf->id, on_adopt, t);
}

static void pause_for(struct dest *t, uint64_t ms, uint64_t now_ms)
{
    struct flow *f = &t->flow;

    if (ms == 0 || now_ms + ms <= f->paused_ms + PAUSE_SLACK_MS)
        return;
    if (f->paused_ms <= now_ms)
        log_info("destination_paused", "dest=%s ms=%llu", t->conf->id, (unsigned long long)ms);
    f->paused_ms = now_ms + ms;
    apply(t, now_ms);
    fleet_pause(t->d->fleet, t->conf->id, ms, on_adopt, t);
}

/* 429: by its own word, or by back-off where no rate is learnt, or that does not help. */
static void note_refusal(struct dest *t, const struct verdict *v, uint64_t now_ms)
{
    struct flow *f = &t->flow;

    f->refused_in_a_row++;
    rate_refused(t, now_ms);
    if (v->pause_ms > 0 || now_ms < f->paused_ms)
        return;
    if (f->metered && f->refused_in_a_row < REFUSALS_PAUSE)
        return;
    f->rounds++;
    pause_for(t, backoff_delay_ms(&t->rules.backoff, f->rounds, (double)(id_random_u64() >> 11) * 0x1p-53),
              now_ms);
}

static void note_rejection(struct dest *t, const struct http_answer *a)
{
    struct flow *f = &t->flow;

    if (a->error != HTTP_ERROR_NONE || (a->status != 400 && a->status != 413))
        return;
    f->rejected_in_a_row += a->status == 400;
    if (f->rejected_in_a_row < FLOW_REJECTS_ALL || f->rejects_all)
        return;
    f->rejects_all = true;
    log_warn(
        "destination_rejects_all", "dest=%s in_a_row=%u remedy=%s", t->conf->id, f->rejected_in_a_row,
        log_q(
            "it answers 400 to whatever it is sent: look at its url and payload; batches are failed whole"));
}

void flow_answered(struct job *j, const struct verdict *v, const struct http_answer *a)
{
    struct dest *t = j->lane->dest;
    struct flow *f = &t->flow;
    const struct conf_delivery *c = &t->d->conf->delivery;
    const struct circuit_rules rules = {.window_ms = c->circuit_window_ms,
                                        .min_requests = c->circuit_min_requests,
                                        .consecutive = c->circuit_consecutive,
                                        .failure_ratio = c->circuit_failure_ratio};
    uint64_t now_us = clock_mono_us(), now_ms = now_us / 1000;
    bool refused = a->error == HTTP_ERROR_NONE && a->status == 429,
         alive = refused || (a->error == HTTP_ERROR_NONE && v->action != VERDICT_RETRY && !v->spent);
    unsigned old = (unsigned)f->adapt.limit;
    char why[FLEET_WHY_MAX];

    if (v->action == VERDICT_DONE) {
        f->refused_in_a_row = f->rounds = f->rejected_in_a_row = 0;
        f->rejects_all = false;
    } else {
        note_rejection(t, a);
    }
    if (!refused)
        rate_taken(t, now_ms);
    if (c->adaptive_enabled)
        (void)adapt_note(&f->adapt, a->duration_us, !alive || (refused && !f->metered), t->posting,
                         most_of(t), now_us);
    if (v->pause_ms > 0)
        pause_for(t, v->pause_ms, now_ms);
    if (refused)
        note_refusal(t, v, now_ms);
    if (v->gone && c->auto_disable_gone)
        fleet_disable(t->d->fleet, t->conf->id, "it answered 410: it is gone for good", tell_disabled, t);
    if (v->disables) {
        snprintf(why, sizeof(why), "it answered %d, which disables it (on_status)", a->status);
        fleet_disable(t->d->fleet, t->conf->id, why, tell_disabled, t);
    }
    if (f->probe == j) {
        f->probe = NULL;
        if (!alive)
            verdict_short(a, why, sizeof(why));
        HOOK_POINT(probe_unsaid);
        fleet_probed(t->d->fleet, t->conf->id, alive, alive ? "" : why, on_probed, t);
    } else if (!refused && f->state == FLEET_CLOSED) {
        if (circuit_note(&f->circuit, &rules, alive, now_ms, why, sizeof(why)))
            open_circuit(t, why);
    }
    if ((unsigned)f->adapt.limit != old || f->ramp_until_ms > 0)
        apply(t, now_ms);
}

/* ---- start, and each second */

static struct fleet_rules rules_of(const struct delivery *d)
{
    const struct conf_delivery *c = &d->conf->delivery;

    return (struct fleet_rules){.open_min_ms = c->circuit_open_min_ms,
                                .open_max_ms = c->circuit_open_max_ms,
                                .ramp_ms = c->circuit_ramp_ms,
                                .disable_ms = c->auto_disable_after_ms};
}

static void make_metrics(struct dest *t)
{
    struct metrics *m = child_metrics(t->d->child);
    struct flow *f = &t->flow;
    const char *id = t->conf->id;

    f->state_metric = metrics_series(m, METRIC_DELIVERY_CIRCUIT, id, NULL);
    f->limit_metric = metrics_series(m, METRIC_DELIVERY_LIMIT, id, NULL);
    f->pause_metric = metrics_series(m, METRIC_DELIVERY_PAUSE, id, NULL);
    f->rate_metric = metrics_series(m, METRIC_DELIVERY_RATE, id, NULL);
    f->enabled = metrics_series(m, METRIC_DESTINATION_ENABLED, id, NULL);
    f->limited = metrics_series(m, METRIC_DELIVERY_LIMITED, id, NULL);
    f->put_off = metrics_series(m, METRIC_RETRY_BUDGET, id, NULL);
    f->opened = metrics_series(m, METRIC_DELIVERY_CIRCUIT_OPENED, id, NULL);
    f->splits = metrics_series(m, METRIC_DELIVERY_SPLITS, id, NULL);
}

void flow_start(struct delivery *d)
{
    static const struct fleet_events events = {.news = on_news, .moved = on_moved};
    const struct fleet_options o = {.loop = d->loop,
                                    .redis = d->memory ? NULL : d->redis,
                                    .listener = &d->redis_options,
                                    .prefix = d->conf->queue.prefix,
                                    .token = child_token(d->child),
                                    .rules = rules_of(d)};

    d->fleet = fleet_new(&o, &events, d);
    for (size_t i = 0; i < d->n_dests; i++) {
        struct dest *t = &d->dests[i];

        adapt_init(&t->flow.adapt, most_of(t));
        ev_timer_init(&t->flow.timer, on_due, 0., 0.);
        t->flow.timer.data = t;
        make_metrics(t);
        rate_start(t);
        apply(t, clock_mono_ms());
    }
}

void flow_tune(struct delivery *d)
{
    const struct fleet_rules rules = rules_of(d);

    fleet_tune(d->fleet, &rules);
    for (size_t i = 0; i < d->n_dests; i++) {
        rate_tune(&d->dests[i]);
        apply(&d->dests[i], clock_mono_ms());
    }
}

void flow_ready(struct delivery *d)
{
    fleet_second(d->fleet);
    for (size_t i = 0; i < d->n_dests; i++)
        if (d->dests[i].flow.untold)
            tell_open(&d->dests[i]);
}

void flow_second(struct delivery *d)
{
    flow_ready(d);
    for (size_t i = 0; i < d->n_dests; i++)
        apply(&d->dests[i], clock_mono_ms());
}
