/* claim - takes jobs from the queues into the hand, keeps their locks, and lets go of what is not ours any more.
 *
 * One take a queue is under way at a time; room is shared out fairly, and no destination may hold the room that is kept
 * for the others. An empty answer arms the queue's waker. A lost lock ends the job's call: whoever has the lock now
 * delivers it.
 */
#include <stdlib.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/hook.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/queue/repeat.h"
#include "workers/delivery/delivery.h"

#define TAKE_MAX      32 /* jobs in one answer: bounds its size */
#define ARM_S         0.005
#define NO_MEMORY_MS  1000         /* so long nothing is taken when a job found no room */
#define JOB_BYTES_MAX (256u << 20) /* texts of jobs in hand; over it nothing is taken */

/* ---- taking */

static unsigned taken_of(const struct dest *t)
{
    return t->posting + t->asked;
}

/* Places that nobody else may have: half of all are kept, in equal parts, however many destinations hang. */
static unsigned kept_for(const struct dest *t)
{
    unsigned all = (unsigned)t->d->conf->delivery.concurrency, n = (unsigned)t->d->n_dests;
    unsigned kept = all >= 2 * n ? all / (2 * n) : all >= n;

    return kept > taken_of(t) ? kept - taken_of(t) : 0;
}

struct places {
    unsigned free, kept; /* of the free ones: kept for those who do not use their part */
};

static unsigned room_of(const struct dest *t, const struct places *p)
{
    unsigned others = p->kept - kept_for(t), room = p->free > others ? p->free - others : 0,
             own = t->cap > taken_of(t) ? t->cap - taken_of(t) : 0;

    if (t->flow.metered && own > t->flow.tokens - (t->asked < t->flow.tokens ? t->asked : t->flow.tokens))
        own = t->flow.tokens > t->asked ? t->flow.tokens - t->asked : 0;
    return room < own ? room : own;
}

bool claim_may_post(const struct dest *t)
{
    const struct delivery *d = t->d;
    unsigned used = d->posting;

    for (size_t i = 0; i < d->n_dests; i++) {
        const struct dest *o = &d->dests[i];

        if (o != t)
            used += o->asked + kept_for(o);
    }
    return used < d->conf->delivery.concurrency && t->paused_until_ms <= clock_mono_ms() &&
           t->posting < t->cap && (!t->flow.metered || t->flow.tokens > 0);
}

/* Monotonic; before it the destination, or the queue's limiter, wants to be left alone. */
static uint64_t paused_until(const struct lane *l)
{
    return l->limited_until_ms > l->dest->paused_until_ms ? l->limited_until_ms : l->dest->paused_until_ms;
}

static bool may_take(const struct lane *l, const struct places *p, uint64_t now_ms)
{
    return !lane_ordered(l) && !l->home->paused && l->hungry && l->asked == 0 && !l->take_lost &&
           paused_until(l) <= now_ms && room_of(l->dest, p) > 0;
}

struct job *claim_job(struct lane *l, const struct queue_job *q)
{
    size_t id = strlen(q->id) + 1, name = strlen(q->name) + 1,
           bytes = id + name + q->data_len + q->opts_len + 2;
    struct job *j = mem_try(sizeof(*j) + bytes);
    char *text;

    if (j == NULL)
        return NULL;
    memset(j, 0, sizeof(*j));
    text = (char *)(j + 1);
    j->q = *q;
    j->q.id = memcpy(text, q->id, id);
    j->q.name = memcpy(text + id, q->name, name);
    text += id + name;
    memcpy(text, q->data, q->data_len);
    text[q->data_len] = '\0';
    j->q.data = text;
    text += q->data_len + 1;
    memcpy(text, q->opts, q->opts_len);
    text[q->opts_len] = '\0';
    j->q.opts = text;
    if (q->added != NULL)
        j->known = *intake_known(q->added);
    j->lane = l;
    j->bytes = bytes;
    buf_init(&j->text, 1u << 20);
    list_init(&j->turn);
    list_push_back(&l->jobs, &j->link);
    l->dest->d->jobs++;
    l->dest->d->job_bytes += bytes;
    return j;
}

static struct job *find(const struct lane *l, const char *id)
{
    struct job *j;

    list_foreach(j, &l->jobs, struct job, link) if (strcmp(j->q.id, id) == 0) return j;
    return NULL;
}

static void on_handed_back(enum queue_status s, const char *why, void *arg)
{
    struct lane *l = arg;
    struct delivery *d = l->dest->d;

    (void)why;
    d->returning--;
    HOOK_POINT(handed_back);
    if (s == QUEUE_OK)
        metric_add(l->m->handed_back, 1);
    else if (s != QUEUE_LOST && s != QUEUE_MISSING)
        l->take_lost = true; /* it bears our lock, and nobody here has it */
    if (lane_ordered(l))
        order_pump(l);
    delivery_look(d);
}

/* Under a stream of our own adds every take comes back short: the waker would be woken by each of them. */
static void on_arm(struct ev_loop *loop, ev_timer *timer, int revents)
{
    struct delivery *d = timer->data;

    (void)loop, (void)revents;
    for (size_t i = 0; i < d->n_lanes; i++) {
        struct lane *l = &d->lanes[i];

        if (l->want_arm && l->waker != NULL)
            queue_waker_arm(l->waker);
        l->want_arm = false;
    }
}

static void arm_soon(struct lane *l)
{
    struct delivery *d = l->dest->d;

    l->want_arm = true;
    if (ev_is_active(&d->arm_timer))
        return;
    ev_timer_init(&d->arm_timer, on_arm, ARM_S, 0.);
    d->arm_timer.data = d;
    ev_timer_start(d->loop, &d->arm_timer);
}

static void hand_back(struct lane *l, const char *id)
{
    l->dest->d->returning++;
    HOOK_SENT(hand_back_sent);
    queue_hand_back(l->queue, id, on_handed_back, l);
}

static void take_in_hand(struct lane *l, const struct queue_job *q)
{
    struct delivery *d = l->dest->d;
    struct job *j;

    if (q->stalled_count > 0 && find(l, q->id) != NULL) {
        /* Its lock had run out while Redis could not be reached: now it is ours again, and its call goes on. */
        log_info("job_retaken", "queue=%s job=%s", l->name, log_q(q->id));
        return;
    }
    j = d->draining ? NULL : claim_job(l, q);
    if (j == NULL) {
        if (!d->draining)
            l->limited_until_ms = clock_mono_ms() + NO_MEMORY_MS;
        hand_back(l, q->id);
        return;
    }
    if (queue_repeat_is(q))
        repeat_start(j);
    else
        claim_start(j);
}

void claim_start(struct job *j)
{
    HOOK_POINT(in_hand);
    if (j->lane->dest->d->draining || (lane_ordered(j->lane) && !queue_lease_held(j->lane->queue)))
        claim_return(j);
    else if (lane_ordered(j->lane) || (list_empty(&j->lane->dest->ahead) && claim_may_post(j->lane->dest)))
        post_start(j);
    else
        ahead_put(j);
}

void claim_return(struct job *j)
{
    hand_back(j->lane, j->q.id);
    if (lane_ordered(j->lane))
        order_forget_behind(j->lane);
    claim_forget(j);
}

/* What the takes under way may become in requests: of an ordered lane's jobs one at a time is posted. */
static unsigned places_of(const struct lane *l, unsigned n)
{
    return lane_ordered(l) && n > 0 ? 1 : n;
}

void claim_asked(struct lane *l, unsigned n)
{
    l->asked = n;
    l->dest->asked += places_of(l, n);
    l->wakes_seen = l->wakes;
    l->taken_us = clock_mono_us();
}

void claim_answered(struct lane *l, enum queue_status s, size_t n)
{
    unsigned asked = l->asked;

    delivery_count_reply(l->dest->d, SCRIPT_TAKE, l->taken_us, s, NULL);
    l->dest->asked -= places_of(l, asked);
    l->asked = 0;
    l->refused = false;
    if (s == QUEUE_OK && queue_limited_ms(l->queue) > 0) {
        l->limited_until_ms = clock_mono_ms() + queue_limited_ms(l->queue); /* and hungry still */
    } else if (s == QUEUE_OK && n < asked && l->limited_until_ms <= clock_mono_ms()) {
        l->hungry = l->wakes != l->wakes_seen;
        if (!l->hungry)
            arm_soon(l);
    } else if (s != QUEUE_OK) {
        l->take_lost |= s == QUEUE_UNKNOWN;
        l->refused = true;
        l->hungry = false; /* the next second, or the reconnect, asks again */
    }
}

static void on_taken(enum queue_status s, const struct queue_job *jobs, size_t n, void *arg)
{
    struct lane *l = arg;
    struct delivery *d = l->dest->d;

    claim_answered(l, s, n);
    if (n > 0)
        HOOK_POINT(taken);
    for (size_t i = 0; i < n; i++)
        take_in_hand(l, &jobs[i]);
    claim_pump(d);
    delivery_look(d);
}

static void take(struct lane *l, unsigned n)
{
    claim_asked(l, n);
    ahead_flush(l->dest);
    HOOK_POINT(take_unsent);
    HOOK_SENT(take_sent);
    queue_take(l->queue, n, on_taken, l);
}

static void take_ordered(struct delivery *d, uint64_t now_ms)
{
    size_t first = d->next_ordered;

    for (size_t i = 0; i < d->n_lanes; i++) {
        struct lane *l = &d->lanes[(first + i) % d->n_lanes];
        unsigned n;

        if (!lane_ordered(l) || !l->order.held)
            continue;
        order_pump(l);
        n = d->job_bytes < JOB_BYTES_MAX ? order_room(l, now_ms) : 0;
        if (n > 0)
            order_take(l, n);
    }
}

static void on_pause_over(struct ev_loop *loop, ev_timer *timer, int revents)
{
    (void)loop, (void)revents;
    claim_pump(timer->data);
}

static void wait_for_pauses(struct delivery *d, uint64_t now_ms)
{
    uint64_t next = 0;

    for (size_t i = 0; i < d->n_lanes; i++) {
        uint64_t until = paused_until(&d->lanes[i]);

        if ((d->lanes[i].hungry || d->lanes[i].order.held) && until > now_ms && until < FLOW_NEVER &&
            (next == 0 || until < next))
            next = until;
    }
    ev_timer_stop(d->loop, &d->pause_timer);
    if (next == 0)
        return;
    ev_timer_init(&d->pause_timer, on_pause_over, (double)(next - now_ms) / 1000.0, 0.);
    d->pause_timer.data = d;
    ev_timer_start(d->loop, &d->pause_timer);
}

/* The only lane that has work, if it may be asked now and is not limited: nobody suffers when more is taken than there are
 * places. */
static struct lane *lone_lane(struct delivery *d, uint64_t now_ms)
{
    struct lane *found = NULL;

    for (size_t i = 0; i < d->n_lanes; i++) {
        struct lane *l = &d->lanes[i];

        if (!l->hungry || (lane_ordered(l) && !l->order.held))
            continue;
        if (found != NULL)
            return NULL;
        found = l;
    }
    return found != NULL && !lane_ordered(found) && found->asked == 0 && !found->take_lost &&
                   paused_until(found) <= now_ms && d->conf->queue.limiter.count == 0
               ? found
               : NULL;
}

void claim_pump(struct delivery *d)
{
    uint64_t now_ms = clock_mono_ms();
    struct places p = {.free = (unsigned)d->conf->delivery.concurrency};
    unsigned ready = 0, share, more;
    struct lane *lone;
    size_t first = d->next_lane;

    if (d->draining || redis_state(d->redis) != REDIS_READY || !home_agreed(d))
        return;
    if (d->n_metered > 0)
        flow_pump(d, now_ms);
    ahead_pump(d);
    take_ordered(d, now_ms);
    if (d->job_bytes >= JOB_BYTES_MAX) {
        wait_for_pauses(d, now_ms); /* of jobs in hand that may be posted behind them */
        return;
    }
    lone = lone_lane(d, now_ms);
    more = lone != NULL && !lone->dest->flow.metered && lone->dest->flow.state == FLEET_CLOSED
               ? ahead_room(lone->dest)
               : 0;
    for (size_t i = 0; i < d->n_dests; i++) {
        unsigned taken = taken_of(&d->dests[i]);

        p.free -= taken < p.free ? taken : p.free;
        p.kept += kept_for(&d->dests[i]);
    }
    for (size_t i = 0; i < d->n_lanes; i++)
        ready += may_take(&d->lanes[i], &p, now_ms);
    /* Results that Redis has not acknowledged are bounded too. */
    if (ready + more == 0 || d->jobs >= 4 * d->conf->delivery.concurrency + 2 * AHEAD_JOBS) {
        wait_for_pauses(d, now_ms);
        return;
    }
    if (more > 0) {
        unsigned room = room_of(lone->dest, &p);

        take(lone, more + (room < TAKE_MAX ? room : TAKE_MAX));
        wait_for_pauses(d, now_ms);
        return;
    }
    share = p.free / ready > 0 ? p.free / ready : 1;
    for (size_t i = 0; i < d->n_lanes && p.free > 0; i++) {
        struct lane *l = &d->lanes[(first + i) % d->n_lanes];
        unsigned kept = kept_for(l->dest), n = room_of(l->dest, &p);

        if (!may_take(l, &p, now_ms))
            continue;
        n = n < share ? n : share;
        n = n < TAKE_MAX ? n : TAKE_MAX;
        p.free -= n;
        p.kept -= kept < n ? kept : n;
        d->next_lane = (first + i + 1) % d->n_lanes;
        take(l, n);
    }
    wait_for_pauses(d, now_ms);
}

void claim_wake(struct lane *l)
{
    l->hungry = true;
    l->wakes++;
    claim_pump(l->dest->d);
}

/* ---- locks */

struct renewal {
    struct lane *lane;
    uint64_t asked_us;
};

static void on_lost(const char *id, void *arg)
{
    struct lane *l = ((struct renewal *)arg)->lane;
    struct job *j = find(l, id);

    if (j == NULL || (j->state != JOB_POSTING && j->state != JOB_AHEAD))
        return; /* settled meanwhile, or settling tells */
    log_warn("lock_lost", "queue=%s job=%s", l->name, log_q(id));
    metric_add(l->m->lock_lost, 1);
    claim_forget(j);
    claim_pump(l->dest->d);
    delivery_look(l->dest->d);
}

static void on_renewed(enum queue_status s, const char *why, void *arg)
{
    struct renewal *r = arg;

    HOOK_POINT(renewed);
    delivery_count_reply(r->lane->dest->d, SCRIPT_RENEW, r->asked_us, s, why);
    free(r);
}

void claim_renew(struct delivery *d)
{
    for (size_t i = 0; i < d->n_lanes; i++) {
        struct lane *l = &d->lanes[i];
        struct renewal *r;
        const char **ids;
        struct job *j;
        size_t n = 0;

        if (list_empty(&l->jobs) || lane_ordered(l)) /* with the lease its locks are renewed too */
            continue;
        ids = xcalloc(d->jobs, sizeof(*ids));
        list_foreach(j, &l->jobs, struct job, link) ids[n++] = j->q.id;
        r = xcalloc(1, sizeof(*r));
        r->lane = l;
        r->asked_us = clock_mono_us();
        HOOK_SENT(renew_sent);
        queue_renew(l->queue, ids, n, on_lost, on_renewed, r);
        free(ids);
    }
}

void claim_forget(struct job *j)
{
    struct dest *t = j->lane->dest;
    struct delivery *d = t->d;

    if (j->call != NULL)
        http_call_cancel(j->call);
    if (j->state == JOB_POSTING) {
        flow_left(j);
        j->lane->posting--;
        t->posting--;
        d->posting--;
        metric_set(t->m.in_flight, t->posting);
    }
    if (list_linked(&j->turn))
        ahead_drop(j);
    list_remove(&j->link);
    d->jobs--;
    d->job_bytes -= j->bytes;
    buf_fini(&j->text);
    free(j->key_header);
    if (j->events != NULL)
        events_forget(j);
    payload_fini(&j->payload);
    if (j->made != NULL)
        shape_made_fini(j->made);
    free(j->made);
    free(j);
}
