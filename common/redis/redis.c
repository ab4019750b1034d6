/* redis - see redis.h. The life of one connection: wanted always, made, lost, made again.
 *
 * hiredis frees a context by itself when a connection fails or is lost; after that r->ac must not be touched, so every
 * way down ends in went_down() with r->ac already NULL. Whatever hiredis still calls for an old context finds
 * ac->data NULL and is ignored.
 */
#include "common/redis/internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "common/base/fd.h"
#include "common/base/id.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/base/str.h"

#define SEND_BUFFER (1 << 20) /* of a unix socket: hiredis moves what a write leaves over */

static void schedule(struct redis *r, bool far);

void redis_enter(struct redis *r)
{
    r->depth++;
}

static void destroy(struct redis *r)
{
    redis_target_fini(&r->target);
    free((char *)(uintptr_t)r->o.url);
    free((char *)(uintptr_t)r->o.client_name);
    free((char *)(uintptr_t)r->o.channel);
    buf_fini(&r->scratch);
    free(r);
}

bool redis_leave(struct redis *r)
{
    r->depth--;
    if (!r->dead)
        return true;
    if (r->depth == 0)
        destroy(r);
    return false;
}

/* Lets the context go without waiting for anything. */
static void let_go(struct redis *r)
{
    redisAsyncContext *ac = r->ac;
    r->ac = NULL;
    r->link = NULL;
    if (ac == NULL)
        return;
    ac->data = NULL;
    redisAsyncFree(ac);
}

/* r->ac is NULL or about to be freed by hiredis. */
static void went_down(struct redis *r, const char *text, bool unfit)
{
    char why[REDIS_WHY_SIZE];
    str_copy(why, text != NULL && *text != '\0' ? text : "connection closed by the server", sizeof why);
    bool was_ready = r->was_ready;
    r->was_ready = false;
    if (r->client_id != 0)
        r->old_client_id = r->client_id;
    r->client_id = 0;
    r->state = REDIS_DOWN;
    r->suspect = NULL;
    ev_timer_stop(r->loop, &r->connect_timer);
    ev_timer_stop(r->loop, &r->watchdog);
    if (!unfit && (was_ready || !r->told_down)) {
        log_warn("redis_down", "why=%s", log_q(why));
        r->told_down = true;
    }
    redis_enter(r);
    redis_fail_pending(r);
    if (unfit && !r->dead && r->events.unfit != NULL)
        r->events.unfit(r, why, r->arg);
    if (!r->dead && r->events.down != NULL)
        r->events.down(r, why, r->arg);
    if (redis_leave(r))
        schedule(r, unfit);
}

static void on_connect(const redisAsyncContext *ac, int status)
{
    struct redis *r = ac->data;
    if (r == NULL || r->ac != ac)
        return;
    if (status == 0) {
        redis_hello(r);
        return;
    }
    ((redisAsyncContext *)(uintptr_t)ac)->data = NULL;
    r->ac = NULL; /* hiredis frees it */
    r->link = NULL;
    went_down(r, ac->errstr, false);
}

static void on_disconnect(const redisAsyncContext *ac, int status)
{
    (void)status;
    struct redis *r = ac->data;
    if (r == NULL || r->ac != ac)
        return;
    r->ac = NULL;
    r->link = NULL;
    went_down(r, ac->errstr, false);
}

static void give_up(struct redis *r, const char *why, bool unfit)
{
    /* Pending callbacks are told by went_down, before hiredis sees them again. */
    redisAsyncContext *ac = r->ac;
    r->ac = NULL;
    r->link = NULL;
    if (ac != NULL)
        ac->data = NULL;
    redis_enter(r);
    went_down(r, why, unfit);
    redis_leave(r);
    if (ac != NULL)
        redisAsyncFree(ac);
}

void redis_drop(struct redis *r, const char *why)
{
    if (r->ac != NULL)
        give_up(r, why, false);
}

void redis_refuse(struct redis *r, bool unfit, const char *why)
{
    give_up(r, why, unfit);
}

/* Called for each message, and once without one when the connection ends. */
static void on_published(redisAsyncContext *ac, void *reply_arg, void *arg)
{
    const redisReply *reply = reply_arg;
    struct redis *r = ac->data;
    (void)arg;
    if (r == NULL || r->ac != ac || reply == NULL || reply->type != REDIS_REPLY_ARRAY ||
        reply->elements != 3 || reply->element[0]->type != REDIS_REPLY_STRING ||
        strcmp(reply->element[0]->str, "message") != 0 || reply->element[2]->type != REDIS_REPLY_STRING)
        return;
    redis_enter(r);
    r->events.message(r, reply->element[2]->str, reply->element[2]->len, r->arg);
    redis_leave(r);
}

void redis_ready(struct redis *r)
{
    ev_timer_stop(r->loop, &r->connect_timer);
    if (r->o.channel != NULL &&
        redisAsyncCommand(r->ac, on_published, NULL, "SUBSCRIBE %s", r->o.channel) != 0) {
        give_up(r, "cannot subscribe", false);
        return;
    }
    r->state = REDIS_READY;
    r->was_ready = true;
    r->attempt = 0;
    log_info("redis_ready", "client_id=%lld aof=%s", (long long)r->client_id, r->aof ? "yes" : "no");
    r->told_down = false;
    r->alone = false;
    r->alone_asked_ms = 0;
    redis_enter(r);
    if (r->events.ready != NULL)
        r->events.ready(r, r->client_id, r->arg);
    redis_leave(r);
}

static void open_connection(struct redis *r)
{
    const struct redis_target *t = &r->target;
    redisAsyncContext *ac =
        t->host != NULL ? redisAsyncConnect(t->host, t->port) : redisAsyncConnectUnix(t->path);
    if (ac == NULL || ac->err != 0) {
        char why[REDIS_WHY_SIZE];
        str_copy(why, ac != NULL && ac->errstr != NULL ? ac->errstr : "out of memory", sizeof why);
        if (ac != NULL)
            redisAsyncFree(ac);
        went_down(r, why, false);
        return;
    }
    fd_set_cloexec(ac->c.fd, true);
    if (t->host == NULL) /* TCP finds its own size */
        (void)setsockopt(ac->c.fd, SOL_SOCKET, SO_SNDBUF, &(int){SEND_BUFFER}, sizeof(int));
    ac->data = r;
    r->ac = ac;
    r->state = REDIS_CONNECTING;
    r->link = redis_link_new(r->loop, ac);
    redisAsyncSetConnectCallback(ac, on_connect);
    redisAsyncSetDisconnectCallback(ac, on_disconnect);
    ev_timer_set(&r->connect_timer, (double)r->o.connect_timeout_ms / 1000.0, 0.0);
    ev_timer_start(r->loop, &r->connect_timer);
}

static void on_connect_timeout(struct ev_loop *loop, ev_timer *w, int events)
{
    (void)loop;
    (void)events;
    redis_drop(w->data, "no connection in time");
}

static void on_reconnect(struct ev_loop *loop, ev_timer *w, int events)
{
    (void)loop;
    (void)events;
    open_connection(w->data);
}

static void on_prepare(struct ev_loop *loop, ev_prepare *w, int events)
{
    (void)loop;
    (void)events;
    struct redis *r = w->data;
    if (r->link != NULL)
        redis_link_flush(r->link);
}

/* far: the longest delay at once. */
static void schedule(struct redis *r, bool far)
{
    double delay = (double)r->o.reconnect_min_ms, max = (double)r->o.reconnect_max_ms;
    for (unsigned i = 0; i < r->attempt && delay < max; i++)
        delay *= 2;
    if (far || delay > max)
        delay = max;
    r->attempt++;
    double unit = (double)id_random_below(1u << 20) / (double)(1u << 20);
    delay *= 1.0 + r->o.reconnect_jitter * (2.0 * unit - 1.0);
    ev_timer_stop(r->loop, &r->reconnect_timer);
    ev_timer_set(&r->reconnect_timer, delay / 1000.0, 0.0);
    ev_timer_start(r->loop, &r->reconnect_timer);
}

struct redis *redis_new(struct ev_loop *loop, const struct redis_options *o,
                        const struct redis_events *events, void *arg)
{
    struct redis *r = xcalloc(1, sizeof *r);
    char why[REDIS_WHY_SIZE];
    r->loop = loop;
    r->o = *o;
    r->o.url = xstrdup(o->url);
    r->o.client_name = o->client_name != NULL ? xstrdup(o->client_name) : NULL;
    r->o.channel = o->channel != NULL ? xstrdup(o->channel) : NULL;
    r->o.username = r->o.password = NULL; /* in the target */
    r->events = *events;
    r->arg = arg;
    list_init(&r->pending);
    ev_timer_init(&r->connect_timer, on_connect_timeout, 0.0, 0.0);
    ev_timer_init(&r->reconnect_timer, on_reconnect, 0.0, 0.0);
    ev_prepare_init(&r->prepare, on_prepare);
    ev_set_priority(&r->prepare, EV_MINPRI); /* behind everybody who sends at the end of a turn */
    r->connect_timer.data = r->reconnect_timer.data = r->prepare.data = r;
    redis_watchdog_init(r);
    if (redis_target_parse(&r->target, o->url, o->username, o->password, why, sizeof why) < 0) {
        log_error("redis_url", "why=%s", log_q(why));
        destroy(r);
        return NULL;
    }
    ev_prepare_start(loop, &r->prepare);
    ev_timer_start(loop, &r->reconnect_timer); /* after 0 s: events never come inside redis_new */
    return r;
}

void redis_free(struct redis *r)
{
    if (r == NULL || r->dead)
        return;
    r->dead = true;
    r->state = REDIS_DOWN;
    ev_timer_stop(r->loop, &r->connect_timer);
    ev_timer_stop(r->loop, &r->reconnect_timer);
    ev_timer_stop(r->loop, &r->watchdog);
    ev_prepare_stop(r->loop, &r->prepare);
    redis_enter(r);
    redis_fail_pending(r);
    let_go(r);
    redis_leave(r);
}

enum redis_state redis_state(const struct redis *r)
{
    return r->state;
}

int64_t redis_client_id(const struct redis *r)
{
    return r->state == REDIS_READY ? r->client_id : 0;
}

bool redis_without_aof(const struct redis *r)
{
    return !r->aof;
}
