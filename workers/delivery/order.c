/* order - lanes with one processor in the fleet: the lease of one, and the turn of each job.
 *
 * Which lanes this process wants is share.c's matter. A holder takes a few jobs ahead, posts them one by one, and gives all
 * of them back together when one must wait. When the lease is lost what runs is cancelled at once: the next holder does it
 * again.
 * Never here: a post without the lease, a job posted before the one in front of it is done.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/hook.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/queue/repeat.h"
#include "workers/delivery/delivery.h"

#define AHEAD_MAX 8    /* jobs in hand and not done */
#define LOOK_MS   2000 /* so often it is looked whether what blocks a lane still does */

/* ---- jobs in their order */

static bool is_waiting(const struct job *j)
{
    return j->state == JOB_REPEATING || j->state == JOB_READY || j->state == JOB_POSTING;
}

/* Redis has not heard of it: what stands behind it there must stay there. */
static bool is_retry_unsaid(const struct job *j)
{
    return j->state == JOB_UNSETTLED && j->result == JOB_DELAY;
}

/* It has failed for good, and Redis may not know: if this process died now it would be tried again, behind its next. */
static bool is_failure_unsure(const struct job *j)
{
    return (j->state == JOB_SETTLING || j->state == JOB_UNSETTLED) && j->result == JOB_FAIL;
}

static unsigned undone(const struct lane *l)
{
    const struct job *j;
    unsigned n = 0;

    list_foreach(j, &l->jobs, struct job, link) n += is_waiting(j);
    return n;
}

static void on_returned(enum queue_status s, const char *why, void *arg)
{
    struct lane *l = arg;
    struct delivery *d = l->dest->d;

    (void)why;
    HOOK_POINT(handed_back);
    d->returning--;
    if (s == QUEUE_OK)
        metric_add(l->m->handed_back, 1);
    order_pump(l);
    delivery_look(d);
}

/* Everything from the first job in such a state on goes back: in Redis in one step, here by being forgotten. */
static void give_back(struct lane *l, bool posting_too)
{
    struct delivery *d = l->dest->d;
    bool asked = false;
    struct job *j;

    list_foreach(j, &l->jobs, struct job, link)
    {
        if (j->state != JOB_READY && !(posting_too && j->state == JOB_POSTING))
            continue;
        if (!asked && redis_state(d->redis) == REDIS_READY) {
            d->returning++;
            HOOK_SENT(hand_back_sent);
            queue_hand_back(l->queue, j->q.id, on_returned, l);
        }
        asked = true;
        claim_forget(j);
    }
}

static bool may_post(const struct lane *l)
{
    return l->posting == 0 && claim_may_post(l->dest) && queue_lease_held(l->queue);
}

static void release(struct lane *l)
{
    l->order.wanted = l->order.held = l->order.parting = false;
    queue_waker_free(l->waker);
    l->waker = NULL;
    queue_lease_want(l->queue, false);
    log_info("lease_released", "queue=%s", l->name);
}

void order_pump(struct lane *l)
{
    struct job *j;

    if (l->order.parting && l->order.held && list_empty(&l->jobs) && l->asked == 0) {
        release(l);
        return;
    }
    if (!l->order.held || list_empty(&l->jobs))
        return;
    list_foreach(j, &l->jobs, struct job, link)
    {
        if (is_retry_unsaid(j) || is_failure_unsure(j) || j->state == JOB_REPEATING)
            return;
        if (j->state != JOB_READY)
            continue;
        if (!may_post(l))
            return;
        l->dest->d->next_ordered = (size_t)(l - l->dest->d->lanes) + 1; /* the place behind it is another's */
        if (queue_repeat_is(&j->q))
            repeat_start(j);
        else
            post_start(j); /* may have ended it: settle_job comes back to the next */
        return;
    }
}

void order_forget_behind(struct lane *l)
{
    struct job *behind;

    list_foreach(behind, &l->jobs, struct job, link) if (behind->state == JOB_READY) claim_forget(behind);
}

void order_hold(struct job *j, queue_done_fn done)
{
    struct lane *l = j->lane;

    order_forget_behind(l);
    l->hungry = true; /* Redis will say until when it is held */
    HOOK_SENT(hold_sent);
    queue_hold(l->queue, &j->q, j->delay_ms, !j->uncounted, buf_cstr(&j->text), done, j);
}

/* ---- results that wait for company */

bool order_linger(struct job *j)
{
    struct lane *l = j->lane;

    if (l->dest->d->draining || l->order.parting || undone(l) == 0) {
        order_flush(l);
        return false;
    }
    list_push_back(&l->order.late, &j->turn);
    HOOK_POINT(result_late);
    ahead_start_tick(l->dest->d);
    return true;
}

void order_flush(struct lane *l)
{
    struct job *j;

    if (!l->order.held)
        return;
    while ((j = list_first(&l->order.late, struct job, turn)) != NULL) {
        ahead_drop(j);
        settle_send(j);
    }
}

/* ---- taking */

/* Nobody tells when a held job was removed, or when somebody else's was finished: it is looked after. */
static void wait_until(struct lane *l, uint64_t ms)
{
    struct ev_loop *loop = l->dest->d->loop;

    ms = ms < LOOK_MS ? ms : LOOK_MS;
    l->order.not_before_ms = clock_mono_ms() + ms;
    ev_timer_stop(loop, &l->order.timer);
    ev_timer_set(&l->order.timer, (double)ms / 1e3 + 0.001, 0.);
    ev_timer_start(loop, &l->order.timer);
}

static void on_wait_over(struct ev_loop *loop, ev_timer *timer, int revents)
{
    (void)loop, (void)revents;
    claim_wake(timer->data);
}

static void tell(struct lane *l, const struct queue_turn *turn)
{
    metric_add(l->m->requeued, turn->requeued);
    metric_add(l->m->stalled_out, turn->failed);
    if (turn->requeued + turn->failed + turn->ghosts > 0)
        log_warn("stalled_jobs", "queue=%s requeued=%" PRIu64 " failed=%" PRIu64 " ghosts=%" PRIu64, l->name,
                 turn->requeued, turn->failed, turn->ghosts);
    if (turn->state == QUEUE_TURN_BLOCKED)
        log_info("lane_blocked", "queue=%s by=%s ms=%" PRIu64, l->name, log_q(turn->who), turn->retry_ms);
}

static void on_taken(enum queue_status s, const struct queue_turn *turn, const struct queue_job *jobs,
                     size_t n, void *arg)
{
    struct lane *l = arg;
    struct delivery *d = l->dest->d;

    claim_answered(l, s, n);
    if (n > 0)
        HOOK_POINT(turn_taken);
    l->take_lost = false; /* the next take puts what a lost answer locked in front by itself */
    if (s == QUEUE_OK) {
        tell(l, turn);
        if (turn->state == QUEUE_TURN_HELD || turn->state == QUEUE_TURN_BLOCKED ||
            turn->state == QUEUE_TURN_LIMITED) {
            l->hungry = true;
            wait_until(l, turn->retry_ms);
        }
    }
    for (size_t i = 0; i < n; i++) {
        struct job *j = d->draining || l->order.parting || !l->order.held ? NULL : claim_job(l, &jobs[i]);

        if (j != NULL) {
            j->state = JOB_READY;
            continue;
        }
        d->returning++; /* and all behind it */
        queue_hand_back(l->queue, jobs[i].id, on_returned, l);
        break;
    }
    order_pump(l);
    claim_pump(d);
    delivery_look(d);
}

unsigned order_room(const struct lane *l, uint64_t now_ms)
{
    /* What is taken and handed back again would use up the limiter. */
    unsigned n, ahead = l->options.limiter_jobs > 0 && l->options.limiter_ms > 0 ? 1 : AHEAD_MAX;

    if (!l->order.held || l->order.parting || !l->hungry || l->asked > 0 || now_ms < l->order.not_before_ms)
        return 0;
    n = undone(l);
    return n <= ahead / 2 ? ahead - n : 0;
}

void order_take(struct lane *l, unsigned n)
{
    const char *in_hand[QUEUE_ORDERED_MAX];
    size_t held = 0;
    struct job *j;

    list_foreach(j, &l->jobs, struct job, link)
    {
        if (held == QUEUE_ORDERED_MAX || is_retry_unsaid(j))
            return; /* Redis is slow to acknowledge */
        in_hand[held++] = j->q.id;
    }
    order_flush(l);
    claim_asked(l, n);
    queue_take_ordered(l->queue, n, in_hand, held, on_taken, l);
}

/* ---- the lease */

static void on_wake(void *arg)
{
    claim_wake(arg);
}

static void note_holder(struct lane *l, const char *token)
{
    free(l->order.holder);
    l->order.holder = token != NULL ? xstrdup(token) : NULL;
}

static void on_acquired(struct queue *q, uint64_t epoch, void *arg)
{
    struct lane *l = arg;
    struct delivery *d = l->dest->d;

    (void)q;
    HOOK_POINT(lease_granted);
    log_info("lease_acquired", "queue=%s epoch=%" PRIu64, l->name, epoch);
    note_holder(l, NULL);
    l->order.held = true;
    l->order.not_before_ms = 0;
    if (l->waker == NULL && !d->draining)
        l->waker = queue_waker_new(d->loop, &d->redis_options, &l->options, on_wake, l);
    settle_pump(d);
    claim_wake(l);
    order_pump(l); /* parting, there may be nothing to wait for */
    delivery_look(d);
}

static void no_more(struct lane *l)
{
    l->order.wanted = l->order.parting = false;
    queue_lease_want(l->queue, false);
}

static void on_lost(struct queue *q, const char *why, void *arg)
{
    struct lane *l = arg;
    struct delivery *d = l->dest->d;

    (void)q;
    log_warn("lease_lost", "queue=%s why=%s in_hand=%u", l->name, log_q(why), undone(l));
    metric_add(l->m->lock_lost, l->posting);
    l->order.held = false;
    queue_waker_free(l->waker);
    l->waker = NULL;
    give_back(l, true);
    if (l->order.parting && list_empty(&l->jobs)) /* otherwise once more, to tell their results */
        no_more(l);
    claim_pump(d);
    delivery_look(d);
}

/* It is somebody else's turn: what is still to be told of our jobs would be refused. He does them again at once. */
static void drop_untold(struct lane *l)
{
    struct delivery *d = l->dest->d;
    struct job *j;

    list_foreach(j, &l->jobs, struct job, link)
    {
        if (j->state != JOB_UNSETTLED)
            continue;
        log_warn("lock_lost", "queue=%s job=%s status=lease", l->name, log_q(j->q.id));
        metric_add(l->m->lock_lost, 1);
        d->returning++;
        queue_hand_back(l->queue, j->q.id, on_returned, l);
        claim_forget(j);
    }
}

static void on_busy(struct queue *q, const char *holder, uint64_t left_ms, void *arg)
{
    struct lane *l = arg;

    (void)q, (void)left_ms;
    note_holder(l, holder);
    l->order.tried_ms = clock_mono_ms();
    if (l->order.held)
        return;
    drop_untold(l);
    if (!list_empty(&l->jobs) || (l->mode == CONF_MODE_STRICT && !l->order.parting))
        return;
    no_more(l);
    share_balance(l->home);
    delivery_look(l->dest->d);
}

void order_open(struct lane *l)
{
    static const struct queue_lease_events events = {
        .acquired = on_acquired, .lost = on_lost, .busy = on_busy};

    share_open(l->home);
    ev_timer_init(&l->order.timer, on_wait_over, 0., 0.);
    l->order.timer.data = l;
    queue_lease_start(l->queue, &events, l);
}

/* ---- parting */

void order_part(struct lane *l)
{
    if (!l->order.held && list_empty(&l->jobs)) {
        no_more(l);
        return;
    }
    l->order.parting = true;
    order_flush(l);
    give_back(l, false);
    order_pump(l);
}
