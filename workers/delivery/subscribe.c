/* subscribe - channels of Redis as a source of events (subscriptions): listens, and hands what comes to ingest.
 *
 * Of a fleet one process listens, slot 0 of some host, as long as it holds a key in that Redis; when it dies another begins
 * within LEASE_MS. Messages go to ingest as requests over a unix socket of its own, so that everything that holds of a
 * request holds of them: checks, quarantine, routes, back-pressure, ack. One request is under way at a time, with all that has
 * come meanwhile. Redis keeps no message for who does not listen: what comes then is nobody's, and nobody knows of it.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/base/str.h"
#include "common/event/json.h"
#include "common/queue/only.h"
#include "workers/delivery/delivery.h"

#define LEASE_MS    5000
#define RENEW_S     1.5
#define RETRY_MS    500
#define RETRY_MAX   5000
#define BODY_MAX    (1u << 20) /* of a request of more than one message */
#define EVENTS_MAX  1000
#define MESSAGE_MAX (8u << 20)
#define LINES_MS    10000 /* between two lines on what was dropped */

struct message {
    struct list link;
    size_t len;
    char text[];
};

struct subscription {
    struct list link;
    struct delivery *d;
    const struct conf_subscription *conf;
    struct redis_options redis;
    char *key;
    struct redis *lease, *listen; /* listen: while it is ours */
    bool asking, ending;
    uint64_t asked_ms, held_until_ms;
    ev_timer renew, again;
    struct list waiting; /* messages */
    size_t bytes;        /* of them, and of those in the request */
    struct list posted;  /* in the request */
    struct buf body;
    struct http_piece piece;
    struct http_call *call;
    uint64_t dropped_unsaid, said_ms;
    struct metric *taken, *refused, *dropped, *listening;
};

/* ---- to ingest */

static void drop(struct subscription *s, const char *why)
{
    uint64_t now_ms = clock_mono_ms();

    metric_add(s->dropped, 1);
    s->dropped_unsaid++;
    if (s->said_ms != 0 && now_ms - s->said_ms < LINES_MS)
        return;
    log_error("messages_dropped", "subscription=%s messages=%llu why=%s", s->conf->id,
              (unsigned long long)s->dropped_unsaid, log_q(why));
    s->dropped_unsaid = 0;
    s->said_ms = now_ms;
}

static void forget(struct subscription *s, struct list *messages)
{
    struct message *m;

    while ((m = list_first(messages, struct message, link)) != NULL) {
        list_remove(&m->link);
        s->bytes -= m->len;
        free(m);
    }
}

/* The elements of an array without its brackets; how many. */
static size_t inside(const struct json_slice *array, struct json_slice *out)
{
    struct json_iter it = {0};
    struct json_slice one;
    size_t n = 0;

    while (json_next_element(array, &it, &one))
        n++;
    *out = (struct json_slice){.text = array->text + 1, .len = array->len - 2};
    return n;
}

/* One event, an array of them, or {"batch": [...]}. What is none goes on as a text, which intake sets aside. */
static int put_events(struct buf *out, const char *text, size_t len, size_t *n)
{
    struct json_scan scan;
    struct json_slice value, batch;
    size_t more = 1;
    int r = *n > 0 ? buf_appendc(out, ',') : 0;

    json_scan_init(&scan, text, len);
    if (json_scan_value(&scan, &value) != 0 || json_scan_end(&scan) != 0 ||
        (value.type != JSON_OBJECT && value.type != JSON_ARRAY)) {
        *n += 1;
        return r < 0 || buf_put_json(out, text, len) < 0 ? -1 : 0;
    }
    if (value.type == JSON_OBJECT && json_find(&value, "batch", &batch) && batch.type == JSON_ARRAY)
        value = batch;
    if (value.type == JSON_ARRAY) {
        struct json_slice array = value;
        more = inside(&array, &value);
    }
    if (more == 0) { /* an empty one is no fault, and nothing to send */
        if (*n > 0)
            out->len--;
        return 0;
    }
    *n += more;
    return r < 0 || buf_append(out, value.text, value.len) < 0 ? -1 : 0;
}

static void pump(struct subscription *s);

static void on_again(struct ev_loop *loop, ev_timer *t, int revents)
{
    (void)loop, (void)revents;
    pump(t->data);
}

static size_t count(const struct list *messages)
{
    size_t n = 0;
    for (const struct list *at = messages->next; at != messages; at = at->next)
        n++;
    return n;
}

static void on_done(struct http_call *call, const struct http_answer *a, void *arg)
{
    struct subscription *s = arg;
    bool again = a->error != HTTP_ERROR_NONE || a->status == 429 || a->status == 408 || a->status == 503;
    uint64_t ms = a->retry_after_ms > 0 ? (uint64_t)a->retry_after_ms : RETRY_MS;

    (void)call;
    s->call = NULL;
    if (again) {
        struct message *m;

        while (!list_empty(&s->posted)) { /* in front, in their order */
            m = list_entry(s->posted.prev, struct message, link);
            list_remove(&m->link);
            list_push_front(&s->waiting, &m->link);
        }
        ev_timer_stop(s->d->loop, &s->again);
        ev_timer_set(&s->again, (double)(ms < RETRY_MAX ? ms : RETRY_MAX) / 1e3, 0.);
        ev_timer_start(s->d->loop, &s->again);
    } else {
        if (a->status >= 300)
            log_error("messages_refused", "subscription=%s messages=%zu status=%d answer=%s", s->conf->id,
                      count(&s->posted), a->status, log_qn(a->body, a->body_len));
        metric_add(a->status < 300 ? s->taken : s->refused, count(&s->posted));
        forget(s, &s->posted);
        pump(s);
    }
    delivery_look(s->d);
}

static void pump(struct subscription *s)
{
    const char *headers[] = {"Content-Type: application/json", post_source_auth(s->d, s->conf->source), NULL};
    struct http_call_options o = {
        .profile = s->d->intake, .url = "http://intake/v1/batch", .headers = headers};
    struct message *m;
    size_t n = 0;

    if (s->call != NULL || list_empty(&s->waiting) || ev_is_active(&s->again))
        return;
    buf_reset(&s->body);
    if (buf_puts(&s->body, "{\"batch\":[") < 0)
        return;
    while ((m = list_first(&s->waiting, struct message, link)) != NULL &&
           (n == 0 || (s->body.len + m->len < BODY_MAX && n < EVENTS_MAX))) {
        size_t before = s->body.len;

        list_remove(&m->link);
        if (put_events(&s->body, m->text, m->len, &n) < 0) {
            s->body.len = before;
            drop(s, "there is no memory for it");
            s->bytes -= m->len;
            free(m);
            continue;
        }
        list_push_back(&s->posted, &m->link);
    }
    if (n == 0 || buf_puts(&s->body, "]}") < 0) {
        metric_add(s->taken, count(&s->posted));
        forget(s, &s->posted);
        return;
    }
    s->piece = (struct http_piece){.data = s->body.data, .len = s->body.len};
    o.pieces = &s->piece;
    o.n_pieces = 1;
    s->call = http_client_post(s->d->http, &o, on_done, s);
}

static void on_message(const char *channel, const char *text, size_t len, void *arg)
{
    struct subscription *s = arg;
    struct message *m;

    if (channel == NULL) {
        log_info("subscribed", "subscription=%s channel=%s", s->conf->id,
                 log_q(s->conf->channel[0] != '\0' ? s->conf->channel : s->conf->pattern));
        metric_set(s->listening, 1);
        return;
    }
    if (len == 0 || len > MESSAGE_MAX || s->bytes + len > s->conf->buffer_bytes ||
        (m = mem_try(sizeof(*m) + len)) == NULL) {
        drop(s, len == 0            ? "it is empty"
                : len > MESSAGE_MAX ? "it is too long"
                                    : "intake does not keep up; see subscriptions.buffer");
        return;
    }
    m->len = len;
    memcpy(m->text, text, len);
    list_push_back(&s->waiting, &m->link);
    s->bytes += len;
    pump(s);
}

/* ---- from Redis */

static void on_listen_ready(struct redis *r, int64_t client_id, void *arg)
{
    struct subscription *s = arg;
    bool pattern = s->conf->channel[0] == '\0';

    (void)client_id;
    redis_subscribe(r, pattern ? s->conf->pattern : s->conf->channel, pattern, on_message, s);
}

static void on_listen_down(struct redis *r, const char *why, void *arg)
{
    (void)r, (void)why;
    metric_set(((struct subscription *)arg)->listening, 0);
}

static void listen(struct subscription *s)
{
    static const struct redis_events events = {.ready = on_listen_ready, .down = on_listen_down};

    if (s->listen == NULL)
        s->listen = redis_new(s->d->loop, &s->redis, &events, s);
}

static void hush(struct subscription *s)
{
    if (s->listen == NULL)
        return;
    log_info("unsubscribed", "subscription=%s", s->conf->id);
    metric_set(s->listening, 0);
    redis_free(s->listen);
    s->listen = NULL;
}

static void on_lease(bool known, bool held, void *arg)
{
    struct subscription *s = arg;

    s->asking = false;
    if (!known || s->ending)
        return;
    if (!held) {
        s->held_until_ms = 0;
        hush(s);
        return;
    }
    s->held_until_ms = s->asked_ms + LEASE_MS;
    listen(s);
}

static void ask(struct subscription *s)
{
    if (s->asking || s->ending || redis_state(s->lease) != REDIS_READY)
        return;
    s->asking = true;
    s->asked_ms = clock_mono_ms();
    queue_only_ask(s->lease, s->key, child_token(s->d->child), LEASE_MS, on_lease, s);
}

static void on_renew(struct ev_loop *loop, ev_timer *t, int revents)
{
    struct subscription *s = t->data;

    (void)loop, (void)revents;
    if (s->listen != NULL && clock_mono_ms() >= s->held_until_ms)
        hush(s); /* somebody else may have begun */
    ask(s);
}

static void on_lease_ready(struct redis *r, int64_t client_id, void *arg)
{
    (void)r, (void)client_id;
    ask(arg);
}

/* ---- all of them */

static void start(struct delivery *d, const struct conf_subscription *conf)
{
    static const struct redis_events events = {.ready = on_lease_ready};
    struct subscription *s = xcalloc(1, sizeof(*s));
    struct metrics *m = child_metrics(d->child);

    s->d = d;
    s->conf = conf;
    list_init(&s->waiting);
    list_init(&s->posted);
    buf_init(&s->body, 2 * MESSAGE_MAX + 64);
    s->redis = d->redis_options;
    s->redis.command_timeout_ms = d->conf->redis.command_timeout_ms;
    s->redis.no_scripts = true;
    s->redis.check_policy = false;
    s->redis.client_name = "dray:subscription";
    if (conf->url[0] != '\0') {
        s->redis.url = conf->url;
        s->redis.username = s->redis.password = "";
    }
    s->key = xasprintf("%s:dray:subscription:%s", d->conf->queue.prefix, conf->id);
    s->taken = metrics_series(m, METRIC_SUBSCRIPTION_MESSAGES, conf->id, "taken", NULL);
    s->refused = metrics_series(m, METRIC_SUBSCRIPTION_MESSAGES, conf->id, "refused", NULL);
    s->dropped = metrics_series(m, METRIC_SUBSCRIPTION_MESSAGES, conf->id, "dropped", NULL);
    s->listening = metrics_series(m, METRIC_SUBSCRIPTION_LISTENING, conf->id, NULL);
    ev_timer_init(&s->again, on_again, 0., 0.);
    ev_timer_init(&s->renew, on_renew, RENEW_S, RENEW_S);
    s->again.data = s->renew.data = s;
    list_push_back(&d->subscriptions, &s->link);
    s->lease = redis_new(d->loop, &s->redis, &events, s);
    s->redis.command_timeout_ms = 0; /* of listening */
    ev_timer_start(d->loop, &s->renew);
}

void subscribe_start(struct delivery *d)
{
    char path[1024];

    if (child_slot(d->child) != 0 || d->conf->n_subscriptions == 0)
        return;
    d->intake = http_profile_new(
        d->http, &(struct http_profile_options){
                     .unix_path = xstrdup(conf_run_path(d->conf, CONF_LOCAL_SOCKET, path, sizeof(path)))});
    for (size_t i = 0; i < d->conf->n_subscriptions; i++)
        start(d, &d->conf->subscriptions[i]);
}

void subscribe_leave(struct delivery *d)
{
    struct subscription *s;

    list_foreach(s, &d->subscriptions, struct subscription, link)
    {
        s->ending = true;
        ev_timer_stop(d->loop, &s->renew);
        if (s->listen != NULL && redis_state(s->lease) == REDIS_READY)
            queue_only_leave(s->lease, s->key, child_token(d->child));
        hush(s);
    }
}

bool subscribe_left(const struct delivery *d)
{
    struct subscription *s;

    list_foreach(s, &d->subscriptions, struct subscription, link) if (s->bytes > 0) return false;
    return true;
}

void subscribe_end(struct delivery *d)
{
    struct subscription *s;

    list_foreach(s, &d->subscriptions, struct subscription, link)
    {
        if (s->bytes > 0)
            log_error("messages_lost", "subscription=%s messages=%zu why=%s", s->conf->id,
                      count(&s->waiting) + count(&s->posted),
                      log_q("intake did not take them before the end"));
    }
}
