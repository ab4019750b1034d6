/* delivery - the worker that makes batches durable in Redis and delivers them. This file: start, the connection's ups and
 * downs, timers, draining.
 *
 * READY is said when Redis has answered, or soon all the same: a worker must not be restarted because Redis is away.
 * Draining: nothing is taken any more, the senders are asked to end, what is in flight finishes; shortly before the
 * deadline the rest is handed back. Never blocks.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/crash.h"
#include "common/base/hook.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "workers/delivery/delivery.h"
#include "workers/kinds.h"

#define READY_WITHOUT_REDIS_S 2.0
#define MARGIN_MAX_MS         2000 /* of a drain's deadline: hand-back begins so long before it */
#define ROLE                  "delivery"

void delivery_count_reply(struct delivery *d, enum delivery_script script, uint64_t asked_us,
                          enum queue_status s, const char *why)
{
    char word[METRICS_LABEL_MAX];
    size_t n;

    if (s != QUEUE_AWAY && s != QUEUE_UNKNOWN)
        metric_observe_us(d->took[script], clock_mono_us() - asked_us);
    if ((s != QUEUE_REFUSED && s != QUEUE_BROKEN) || why == NULL)
        return;
    n = strcspn(why, " ");
    n = n < sizeof(word) ? n : sizeof(word) - 1;
    memcpy(word, why, n);
    word[n] = '\0';
    metric_add(metrics_series(child_metrics(d->child), METRIC_REDIS_ERRORS, word, NULL), 1);
}

/* ---- the connection */

void delivery_ready(struct delivery *d)
{
    ev_timer_stop(d->loop, &d->ready_timer);
    child_ready(d->child);
}

static void on_redis_ready(struct redis *r, int64_t client_id, void *arg)
{
    struct delivery *d = arg;

    (void)client_id;
    d->was_ready = true;
    free(d->unfit);
    d->unfit = NULL;
    metric_set(d->connected, 1);
    if (child_slot(d->child) == 0) { /* one process speaks for the host */
        metric_set(d->unsafe, redis_without_aof(r) ? 1 : 0);
        if (redis_without_aof(r))
            log_warn(
                "redis_without_aof", "remedy=%s",
                log_q(
                    "acknowledged events can be lost when Redis ends; set appendonly yes in its configuration"));
    }
    d->node_said_ms = 0; /* this Redis may have been emptied */
    nodes_second(d);
    home_check(d); /* READY is said behind it */
    intake_credit(d);
    flow_ready(d);
    settle_pump(d);
    intake_pump(d);
    recover_start(d);
    reap_second(d);
    for (size_t i = 0; i < d->n_lanes; i++)
        claim_wake(&d->lanes[i]);
}

static void on_redis_down(struct redis *r, const char *why, void *arg)
{
    struct delivery *d = arg;

    (void)r, (void)why;
    if (d->was_ready)
        metric_add(d->reconnects, 1);
    d->was_ready = false;
    metric_set(d->connected, 0);
    intake_away(d);
    intake_credit(d);
    delivery_look(d);
}

static void on_redis_unfit(struct redis *r, const char *why, void *arg)
{
    struct delivery *d = arg;

    if (d->unfit == NULL || strcmp(d->unfit, why) != 0) {
        log_crit("redis_unfit", "why=%s remedy=%s", log_q(why),
                 log_q("correct that Redis, or redis.url, redis.username and redis.password"));
        free(d->unfit);
        d->unfit = xstrdup(why);
    }
    on_redis_down(r, why, d);
}

/* ---- timers */

static void on_ready_late(struct ev_loop *loop, ev_timer *t, int revents)
{
    struct delivery *d = t->data;

    (void)loop, (void)revents;
    log_warn("ready_without_redis", "after_ms=%d", (int)(READY_WITHOUT_REDIS_S * 1000));
    child_ready(d->child);
}

static void on_renew(struct ev_loop *loop, ev_timer *t, int revents)
{
    struct delivery *d = t->data;

    (void)loop, (void)revents;
    if (redis_state(d->redis) == REDIS_READY)
        claim_renew(d);
}

static void on_second(struct ev_loop *loop, ev_timer *t, int revents)
{
    struct delivery *d = t->data;

    (void)loop, (void)revents;
    watch_second(d);
    for (size_t i = 0; i < d->n_lanes; i++)
        if (d->lanes[i].refused)
            claim_wake(&d->lanes[i]);
    if (!home_agreed(d))
        home_check(d);
    settle_pump(d);
    intake_pump(d);
    recover_start(d);
    reap_second(d);
    nodes_second(d);
    share_second(d);
    foreign_second(d);
    if (!list_empty(&d->tells))
        tell_second(d);
    pressure_second(d);
    flow_second(d);
}

static void start_timer(struct delivery *d, ev_timer *t, void (*fn)(struct ev_loop *, ev_timer *, int),
                        double after, double repeat)
{
    ev_timer_init(t, fn, after, repeat);
    t->data = d;
    ev_timer_start(d->loop, t);
}

/* ---- start */

static void make_process_metrics(struct delivery *d)
{
    static const char *const scripts[] = {
        [SCRIPT_ADD] = "add",
        [SCRIPT_TAKE] = "take",
        [SCRIPT_COMPLETE] = "complete",
        [SCRIPT_DELAY] = "delay",
        [SCRIPT_FAIL] = "fail",
        [SCRIPT_RENEW] = "renew",
        [SCRIPT_HAND_BACK] = "hand_back",
    };
    struct metrics *m = child_metrics(d->child);

    d->connected = metrics_series(m, METRIC_REDIS_CONNECTED, ROLE, NULL);
    d->reconnects = metrics_series(m, METRIC_REDIS_RECONNECTS, ROLE, NULL);
    d->unsafe = metrics_series(m, METRIC_REDIS_UNSAFE, "aof", NULL);
    d->unjudged = metrics_series(child_metrics(d->child), METRIC_INGEST_DEDUP_FAILED, "redis", NULL);
    for (size_t i = 0; i < sizeof(scripts) / sizeof(scripts[0]); i++)
        d->took[i] = metrics_series(m, METRIC_REDIS_DURATION, scripts[i], NULL);
}

static void on_turn(struct ev_loop *loop, ev_check *w, int revents)
{
    struct delivery *d = w->data;

    (void)loop, (void)revents;
    if (d->draining)
        delivery_look(d);
}

static int start(struct child *child, void *state, enum exitcode *code)
{
    static const struct redis_events events = {
        .ready = on_redis_ready, .down = on_redis_down, .unfit = on_redis_unfit};
    struct delivery *d = state;
    const struct conf *c = child_config(child);
    char url[1024], name[MSG_TOKEN_MAX + 16];
    struct redis_options redis = {
        .url = conf_redis_url(c, url, sizeof(url)),
        .username = c->redis.username,
        .password = c->redis.password,
        .connect_timeout_ms = c->redis.connect_timeout_ms,
        .command_timeout_ms = c->redis.command_timeout_ms,
        .reconnect_min_ms = c->redis.reconnect_min_ms,
        .reconnect_max_ms = c->redis.reconnect_max_ms,
        .reconnect_jitter = c->redis.reconnect_jitter,
        .check_policy = true,
    };
    const struct http_client_options http = {
        .connect_timeout_ms = c->delivery.connect_timeout_ms,
        .timeout_ms = c->delivery.timeout_ms,
        .first_byte_timeout_ms = c->delivery.first_byte_timeout_ms,
        .response_max = c->delivery.response_store_bytes,
        .connections_max = (unsigned)c->delivery.concurrency,
    };

    d->child = child;
    d->loop = child_loop(child);
    d->conf = c;
    list_init(&d->links);
    list_init(&d->held);
    list_init(&d->reaps);
    list_init(&d->tells);
    list_init(&d->subscriptions);
    make_process_metrics(d);
    queue_register_scripts();
    fleet_register_scripts();
    snprintf(name, sizeof(name), "dray:w:%s", child_token(child)); /* reap looks for it */
    redis.client_name = name;
    d->redis_options = redis; /* for the wakers */
    d->redis_options.url = xstrdup(redis.url);
    d->redis_options.client_name = NULL;
    d->memory = c->redis.mode == CONF_REDIS_NONE;
    d->redis = d->memory ? redis_none(d->loop, &events, d) : redis_new(d->loop, &redis, &events, d);
    if (d->redis == NULL) {
        log_crit("redis_url_invalid", "url=%s remedy=%s", log_q(redis.url), log_q("see redis.url"));
        *code = EXIT_CODE_CONFIG;
        return -1;
    }
    d->http = http_client_new(d->loop, &http);
    lanes_make(d);
    flow_start(d);
    intake_away(d);
    post_prepare(d);
    subscribe_start(d);
    start_timer(d, &d->ready_timer, on_ready_late, READY_WITHOUT_REDIS_S, 0.);
    start_timer(d, &d->renew_timer, on_renew, (double)c->queue.lock_renew_ms / 1e3,
                (double)c->queue.lock_renew_ms / 1e3);
    start_timer(d, &d->second_timer, on_second, 1., 1.);
    ev_check_init(&d->turn, on_turn);
    d->turn.data = d;
    ev_check_start(d->loop, &d->turn);
    return 0;
}

/* ---- draining */

/* What is left makes the master have it looked after: some of it may still bear our lock. */
static void end(struct delivery *d)
{
    unsigned left = d->handed_back + d->jobs + d->returning;

    if (d->ended)
        return;
    for (size_t i = 0; i < d->n_lanes; i++) /* locked by a take whose answer we have not */
        left += d->lanes[i].asked + d->lanes[i].take_lost;
    d->ended = true;
    subscribe_end(d);
    HOOK_POINT(delivery_drained);
    log_info("delivery_drained", "handed_back=%u unsettled=%u unstored=%u", d->handed_back, d->jobs, d->adds);
    child_drained(d->child, left);
}

void delivery_look(struct delivery *d)
{
    bool left = d->draining && !d->ended && share_left(d); /* tells the others, whatever is in flight */

    if (!left || d->jobs > 0 || d->returning > 0 || d->adds > 0 || !subscribe_left(d) || !intake_done(d))
        return;
    for (size_t i = 0; i < d->n_dests; i++)
        if (d->dests[i].asked > 0)
            return;
    end(d);
}

static void on_hand_back(struct ev_loop *loop, ev_timer *t, int revents)
{
    struct delivery *d = t->data;

    (void)loop, (void)revents;
    d->handing_back = true;
    for (size_t i = 0; i < d->n_lanes; i++) {
        struct job *j;

        list_foreach(j, &d->lanes[i].jobs, struct job, link)
        {
            if (j->state != JOB_POSTING)
                continue;
            if (j->call != NULL)
                http_call_cancel(j->call);
            j->call = NULL;
            buf_reset(&j->text);
            settle_job(j, JOB_HAND_BACK);
        }
    }
}

static void on_end(struct ev_loop *loop, ev_timer *t, int revents)
{
    struct delivery *d = t->data;

    (void)loop, (void)revents;
    end(d);
}

static void drain(struct child *child, uint32_t deadline_ms, const char *reason, void *state)
{
    struct delivery *d = state;
    uint32_t margin = deadline_ms / 4 < MARGIN_MAX_MS ? deadline_ms / 4 : MARGIN_MAX_MS;

    (void)child, (void)reason;
    HOOK_POINT(delivery_drain);
    d->draining = true;
    subscribe_leave(d);
    intake_leave(d);
    for (size_t i = 0; d->memory && i < d->n_lanes; i++)
        queue_close(d->lanes[i].queue); /* its sender has all of it, too, and another worker */
    lanes_close(d);
    ahead_leave(d);
    start_timer(d, &d->hand_back_timer, on_hand_back, (deadline_ms - margin) / 1e3, 0.);
    start_timer(d, &d->end_timer, on_end, (deadline_ms - margin / 4) / 1e3, 0.);
    delivery_look(d);
}

/* ---- the kind */

static void take_link(struct child *child, const struct msg_link *m, int batch_fd, int ack_fd, void *state)
{
    (void)child, (void)m;
    intake_link(state, batch_fd, ack_fd);
}

static void pause_queue(struct child *child, const struct msg_pause *m, void *state)
{
    (void)child;
    home_pause(state, m->queue, m->paused);
}

static void reap(struct child *child, const struct msg_reap *m, void *state)
{
    (void)child;
    reap_dead(state, m);
}

/* Keys that are not passed on here are read from d->conf when they are needed. */
static int reload(struct child *child, const struct conf *old, void *state)
{
    struct delivery *d = state;

    (void)child, (void)old;
    lanes_tune(d);
    flow_tune(d);
    post_prepare_sources(d);
    http_client_set_connections(d->http, (unsigned)d->conf->delivery.concurrency);
    intake_credit(d);
    for (size_t i = 0; i < d->n_lanes; i++)
        claim_wake(&d->lanes[i]); /* there may be more room */
    return 0;
}

static void beat(struct child *child, struct msg_beat *m, void *state)
{
    struct delivery *d = state;
    int64_t id = redis_client_id(d->redis);

    (void)child;
    m->in_hand = d->jobs + d->adds;
    for (size_t i = 0; i < d->n_labels; i++)
        m->jobs += metric_count(d->labels[i].completed) + metric_count(d->labels[i].failed) +
                   metric_count(d->labels[i].delayed);
    m->n_clients = 0;
    if (id > 0)
        m->clients[m->n_clients++] = (uint64_t)id;
    for (size_t i = 0; i < d->n_lanes && m->n_clients < MSG_CLIENTS_MAX; i++) {
        id = d->lanes[i].waker != NULL ? queue_waker_client_id(d->lanes[i].waker) : 0;
        if (id > 0)
            m->clients[m->n_clients++] = (uint64_t)id;
    }
}

static void held(void *state)
{
    const struct delivery *d = state;

    intake_held(d);
    for (size_t i = 0; i < d->n_lanes; i++) {
        const struct job *j;

        list_foreach(j, &d->lanes[i].jobs, struct job, link) crash_put_held("job", j->q.id);
    }
}

int delivery_main(unsigned slot, char **argv)
{
    static const struct child_kind kind = {
        .name = ROLE,
        .start = start,
        .link = take_link,
        .drain = drain,
        .reap = reap,
        .pause = pause_queue,
        .reload = reload,
        .beat = beat,
        .held = held,
        .sandbox = SANDBOX_DELIVERY,
        .state_size = sizeof(struct delivery),
    };

    mem_keep_freed();
    return child_main(&kind, slot, argv);
}
