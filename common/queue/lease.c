/* lease - who may work on an ordered queue: asks for the lease, renews it, and knows when it must not be trusted.
 *
 * What is trusted is counted from the time at which the last good renewal was sent, by the monotonic clock, less a
 * tenth: Redis counts from later on. Another connection means that what was sent before may still run or may be gone;
 * the lease is then lost and asked for again, and its next epoch fences what comes late.
 */
#include "common/queue/internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/fatal.h"
#include "common/base/hook.h"
#include "common/base/id.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/base/str.h"
#include "common/queue/order.h"

#define NO_LEASE     "-"
#define TRY_MS       1000 /* standing by: a lease that was given up is seen so soon */
#define TRY_SPREAD   200
#define AWAY_MS      100
#define SPREAD_MS    30
#define NO_TRUST(ms) ((ms) / 10)

struct queue_lease {
    struct queue_lease_events events;
    void *arg;
    bool want, held, giving_up;
    bool asking, renewing; /* a call is on the way */
    bool refused;          /* the last time it was asked for, and that was said */
    char *value;           /* as last granted, also when it is lost; NULL: never */
    int64_t client_id;     /* of the connection it was granted on */
    uint64_t sent_ms, next_ms, trusted_ms;
    ev_timer timer;
};

static void on_timer(struct ev_loop *loop, ev_timer *w, int events);

/* The answer: { 1 ours, 0 not; the value that stands there; ms it lives }. */
struct answer {
    bool ours;
    const char *value;
    uint64_t left_ms;
};

static enum queue_status read_answer(enum queue_status s, const struct redisReply *reply, struct answer *a)
{
    if (s != QUEUE_OK)
        return s;
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 3 ||
        reply->element[0]->type != REDIS_REPLY_INTEGER || reply->element[1]->type != REDIS_REPLY_STRING ||
        reply->element[2]->type != REDIS_REPLY_INTEGER)
        return QUEUE_BROKEN;
    a->ours = reply->element[0]->integer == 1;
    a->value = reply->element[1]->str;
    a->left_ms = reply->element[2]->integer > 0 ? (uint64_t)reply->element[2]->integer : 0;
    return QUEUE_OK;
}

static void send_op(struct queue *q, const char *op,
                    void (*finish)(struct queue_call *, enum queue_status, const char *,
                                   const struct redisReply *))
{
    struct queue_call *c = xcalloc(1, sizeof *c);
    char lease_ms[24];
    c->finish = finish;
    snprintf(lease_ms, sizeof lease_ms, "%" PRIu64, q->o.lease_ms);
    const char *argv[] = {op, q->o.token, queue_lease_value(q), lease_ms};
    queue_call_script(q, c, &queue_script_lease, 4, argv, NULL);
}

static void forget(struct queue_lease *l)
{
    l->held = l->giving_up = false;
}

/* The timer stands for what is to be done next. */
static void arm(struct queue *q)
{
    struct queue_lease *l = q->lease;
    uint64_t at = UINT64_MAX, now = clock_mono_ms();
    if (l->held)
        at = l->renewing || l->trusted_ms < l->next_ms ? l->trusted_ms : l->next_ms;
    else if (l->want && !l->asking)
        at = l->next_ms;
    ev_timer_stop(q->loop, &l->timer);
    if (at == UINT64_MAX)
        return;
    ev_now_update(q->loop);
    ev_timer_set(&l->timer, at > now ? (double)(at - now) / 1000.0 : 0.0, 0.0);
    ev_timer_start(q->loop, &l->timer);
}

static void lose(struct queue *q, const char *why)
{
    struct queue_lease *l = q->lease;
    if (!l->held)
        return;
    log_warn("queue_lease_lost", "queue=%s prefix=%s lease=%s why=%s", log_q(queue_name(q)),
             log_q(q->o.prefix), log_q(l->value), log_q(why));
    forget(l);
    l->next_ms = clock_mono_ms();
    arm(q);
    queue_enter(q);
    l->events.lost(q, why, l->arg);
    queue_leave(q);
}

static void on_given_up(struct queue_call *c, enum queue_status s, const char *why,
                        const struct redisReply *reply)
{
    (void)c;
    (void)s;
    (void)why;
    (void)reply;
}

/* ---- asking */

static void tell_busy(struct queue *q, const struct answer *a)
{
    struct queue_lease *l = q->lease;
    const char *slash = strrchr(a->value, '/');
    char *holder = xstrndup(a->value, slash != NULL ? (size_t)(slash - a->value) : strlen(a->value));
    uint64_t wait = a->left_ms < TRY_MS - TRY_SPREAD ? a->left_ms + 1 + id_random_below(SPREAD_MS)
                                                     : TRY_MS - id_random_below(TRY_SPREAD);
    l->next_ms = clock_mono_ms() + wait;
    arm(q);
    if (l->events.busy != NULL)
        l->events.busy(q, holder, a->left_ms, l->arg);
    free(holder);
}

static void on_asked(struct queue_call *c, enum queue_status s, const char *why,
                     const struct redisReply *reply)
{
    struct queue *q = c->q;
    struct queue_lease *l = q->lease;
    struct answer a;
    if (l == NULL)
        return;
    l->asking = false;
    s = read_answer(s, reply, &a);
    uint64_t now = clock_mono_ms();
    if (s != QUEUE_OK) {
        bool refused = s == QUEUE_BROKEN || s == QUEUE_REFUSED;
        if (refused && !l->refused)
            log_error("queue_lease", "queue=%s prefix=%s why=%s", log_q(queue_name(q)), log_q(q->o.prefix),
                      log_q(why != NULL ? why : "Redis gave an unexpected answer"));
        l->refused |= refused;
        l->next_ms = now + (s == QUEUE_BROKEN || s == QUEUE_REFUSED ? TRY_MS : AWAY_MS);
        arm(q);
        return;
    }
    l->refused = false;
    if (!a.ours) {
        tell_busy(q, &a);
        return;
    }
    forget(l);
    free(l->value);
    l->value = xstrdup(a.value);
    l->client_id = redis_client_id(q->r);
    l->trusted_ms = l->sent_ms + q->o.lease_ms - NO_TRUST(q->o.lease_ms);
    l->next_ms = l->sent_ms + q->o.lease_ms / 3;
    if (!l->want) {
        l->giving_up = true;
        return;
    }
    if (now >= l->trusted_ms) { /* we were stopped meanwhile */
        l->next_ms = now;
        arm(q);
        return;
    }
    l->held = true;
    arm(q);
    const char *slash = strrchr(l->value, '/');
    uint64_t epoch = 0;
    if (slash == NULL || str_parse_u64(slash + 1, &epoch) != 0)
        epoch = 0;
    l->events.acquired(q, epoch, l->arg);
}

/* ---- holding */

static void on_renewed(struct queue_call *c, enum queue_status s, const char *why,
                       const struct redisReply *reply)
{
    struct queue *q = c->q;
    struct queue_lease *l = q->lease;
    struct answer a;
    if (l == NULL)
        return;
    l->renewing = false;
    if (!l->held)
        return;
    s = read_answer(s, reply, &a);
    if (s == QUEUE_UNKNOWN || s == QUEUE_AWAY) {
        lose(q, "the connection to Redis was lost");
        return;
    }
    if (s != QUEUE_OK) { /* soon again, as long as it is trusted */
        log_warn("queue_lease", "queue=%s why=%s", log_q(queue_name(q)),
                 log_q(why != NULL ? why : "Redis gave an unexpected answer"));
        l->next_ms = clock_mono_ms() + NO_TRUST(q->o.lease_ms) + 1;
        arm(q);
        return;
    }
    if (!a.ours || strcmp(a.value, l->value) != 0) {
        lose(q, a.ours || *a.value == '\0' ? "it has run out" : "somebody else holds it");
        return;
    }
    HOOK_POINT(lease_renewed);
    l->trusted_ms = l->sent_ms + q->o.lease_ms - NO_TRUST(q->o.lease_ms);
    l->next_ms = l->sent_ms + q->o.lease_ms / 3;
    arm(q);
}

static void on_timer(struct ev_loop *loop, ev_timer *w, int events)
{
    (void)loop;
    (void)events;
    struct queue *q = w->data;
    struct queue_lease *l = q->lease;
    uint64_t now = clock_mono_ms();
    if (l->held && now >= l->trusted_ms) {
        lose(q, "it was not renewed in time");
        return;
    }
    if (redis_state(q->r) != REDIS_READY) {
        if (!l->held)
            l->next_ms = now + AWAY_MS;
        else if (now >= l->next_ms)
            l->next_ms = l->trusted_ms;
    } else if (l->held && !l->renewing && now >= l->next_ms) {
        l->renewing = true;
        l->sent_ms = now;
        send_op(q, "r", on_renewed);
    } else if (!l->held && l->want && !l->asking && now >= l->next_ms) {
        l->asking = true;
        l->giving_up = false;
        l->sent_ms = now;
        HOOK_SENT(lease_sent);
        send_op(q, "a", on_asked);
    }
    arm(q);
}

/* ---- for the other files */

const char *queue_lease_value(const struct queue *q)
{
    if (!q->o.ordered)
        return "";
    return q->lease != NULL && q->lease->value != NULL ? q->lease->value : NO_LEASE;
}

void queue_lease_refused(struct queue *q)
{
    if (q->lease != NULL)
        lose(q, "it has run out, or somebody else holds it");
}

void queue_flush_lease(struct queue *q)
{
    struct queue_lease *l = q->lease;
    if (l == NULL)
        return;
    if (l->held && redis_client_id(q->r) != l->client_id)
        lose(q, "the connection to Redis was lost");
    if (q->freed || !l->giving_up || !list_empty(&q->settles) || q->taking)
        return;
    if (redis_state(q->r) == REDIS_READY) {
        HOOK_SENT(lease_given_up);
        send_op(q, "x", on_given_up);
    }
    forget(l);
}

void queue_lease_stop(struct queue *q)
{
    struct queue_lease *l = q->lease;
    if (l == NULL)
        return;
    ev_timer_stop(q->loop, &l->timer);
    if (l->value != NULL && redis_state(q->r) == REDIS_READY)
        send_op(q, "x", on_given_up);
    q->lease = NULL;
    free(l->value);
    free(l);
}

/* ---- the caller's side */

void queue_lease_start(struct queue *q, const struct queue_lease_events *events, void *arg)
{
    ASSERT(q->o.ordered && q->lease == NULL);
    struct queue_lease *l = xcalloc(1, sizeof *l);
    l->events = *events;
    l->arg = arg;
    ev_timer_init(&l->timer, on_timer, 0.0, 0.0);
    l->timer.data = q;
    q->lease = l;
}

void queue_lease_want(struct queue *q, bool want)
{
    struct queue_lease *l = q->lease;
    if (l->want == want)
        return;
    l->want = want;
    if (want)
        l->next_ms = clock_mono_ms();
    else if (l->held) {
        l->held = false;
        l->giving_up = true; /* at the end of the turn */
        ev_idle_start(q->loop, &q->idle);
    }
    arm(q);
}

void queue_lease_poke(struct queue *q)
{
    struct queue_lease *l = q->lease;
    if (l == NULL || l->held || !l->want)
        return;
    l->next_ms = clock_mono_ms();
    arm(q);
}

bool queue_lease_held(const struct queue *q)
{
    const struct queue_lease *l = q->lease;
    return l != NULL && l->held && redis_client_id(q->r) == l->client_id && clock_mono_ms() < l->trusted_ms;
}
