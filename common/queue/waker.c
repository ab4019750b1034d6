/* waker - sleeps in Redis until a job waits.
 *
 * A connection of its own blocks in BLMOVE wait wait RIGHT RIGHT, which moves nothing and wakes everybody. The wait is
 * bounded, and a watchdog ends the connection when even the end of the wait is not told. A full Redis refuses BLMOVE
 * although taking is still allowed: then this wakes at intervals instead.
 */
#include "common/queue/internal.h"

#include <stdio.h>
#include <stdlib.h>

#include "common/base/log.h"
#include "common/base/mem.h"

#define BLOCK_S "5"
#define WATCH_S 8.0
#define POLL_S  0.25

struct queue_waker {
    struct ev_loop *loop;
    struct redis *r;
    char *wait_key;
    void (*wake)(void *arg);
    void *arg;
    bool armed, blocked, refused;
    ev_timer watchdog, poll;
};

static void block(struct queue_waker *w);

static void on_reply(enum redis_status status, const struct redisReply *reply, void *arg)
{
    struct queue_waker *w = arg;
    w->blocked = false;
    ev_timer_stop(w->loop, &w->watchdog);
    if (status == REDIS_ERROR) {
        if (!w->refused)
            log_warn("queue_waker", "why=%s", log_q(reply->str));
        w->refused = true;
        ev_timer_stop(w->loop, &w->poll);
        ev_timer_set(&w->poll, POLL_S, 0.0);
        ev_timer_start(w->loop, &w->poll);
        return;
    }
    if (status != REDIS_OK)
        return; /* again when the connection is back */
    w->refused = false;
    if (reply->type == REDIS_REPLY_NIL) {
        block(w);
    } else if (w->armed) {
        w->armed = false;
        w->wake(w->arg);
    }
}

static void block(struct queue_waker *w)
{
    if (!w->armed || w->blocked || ev_is_active(&w->poll) || redis_state(w->r) != REDIS_READY)
        return;
    const char *argv[] = {"BLMOVE", w->wait_key, w->wait_key, "RIGHT", "RIGHT", BLOCK_S};
    w->blocked = true;
    ev_timer_set(&w->watchdog, WATCH_S, 0.0);
    ev_timer_start(w->loop, &w->watchdog);
    redis_command(w->r, on_reply, w, 6, argv, NULL);
}

static void on_watchdog(struct ev_loop *loop, ev_timer *t, int events)
{
    (void)loop;
    (void)events;
    struct queue_waker *w = t->data;
    redis_drop(w->r, "a blocked wait did not end in time");
}

static void on_poll(struct ev_loop *loop, ev_timer *t, int events)
{
    (void)loop;
    (void)events;
    struct queue_waker *w = t->data;
    if (!w->armed)
        return;
    w->armed = false;
    w->wake(w->arg);
}

static void on_ready(struct redis *r, int64_t client_id, void *arg)
{
    (void)r;
    (void)client_id;
    block(arg);
}

struct queue_waker *queue_waker_new(struct ev_loop *loop, const struct redis_options *o,
                                    const struct queue_options *q, void (*wake)(void *arg), void *arg)
{
    static const struct redis_events events = {.ready = on_ready};
    struct queue_waker *w = xcalloc(1, sizeof *w);
    struct redis_options options = *o;
    char name[QUEUE_KEY_SIZE], key[QUEUE_KEY_SIZE];
    options.client_name = queue_client_name(q, name, sizeof name);
    options.command_timeout_ms = 0;
    options.no_scripts = true;
    options.check_policy = false; /* the main connection does */
    w->loop = loop;
    w->wake = wake;
    w->arg = arg;
    w->wait_key = xstrdup(queue_key(q->prefix, q->name, "wait", key, sizeof key));
    ev_timer_init(&w->watchdog, on_watchdog, 0.0, 0.0);
    ev_timer_init(&w->poll, on_poll, 0.0, 0.0);
    w->watchdog.data = w->poll.data = w;
    w->r = redis_new(loop, &options, &events, w);
    if (w->r == NULL) {
        free(w->wait_key);
        free(w);
        return NULL;
    }
    return w;
}

void queue_waker_free(struct queue_waker *w)
{
    if (w == NULL)
        return;
    w->armed = false;
    redis_free(w->r);
    ev_timer_stop(w->loop, &w->watchdog);
    ev_timer_stop(w->loop, &w->poll);
    free(w->wait_key);
    free(w);
}

int64_t queue_waker_client_id(const struct queue_waker *w)
{
    return redis_client_id(w->r);
}

void queue_waker_arm(struct queue_waker *w)
{
    w->armed = true;
    block(w);
}
