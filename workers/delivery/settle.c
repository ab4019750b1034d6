/* settle - the result of an attempt goes to Redis: completed, delayed, failed or handed back.
 *
 * An answer that was lost with the connection is asked for again after the reconnect; "not yours" is then read as "it had
 * worked". A lock that was truly lost means that somebody else has the job: nothing is written.
 */
#include <stdlib.h>

#include "common/base/clock.h"
#include "common/base/hook.h"
#include "common/base/log.h"
#include "workers/delivery/delivery.h"

#define FAILED_LINES_MAX 20 /* a second and destination; the rest is told as a number */

static void count_result(const struct job *j)
{
    const struct lane *l = j->lane;
    const struct dest *t = l->dest;
    uint64_t now_ms = clock_wall_ms();

    switch (j->result) {
    case JOB_COMPLETE:
        metric_add(l->m->completed, 1);
        metric_add(t->m.events, j->payload.n_events);
        metric_add(t->m.bytes, j->payload.bytes);
        metric_observe_us(t->m.end_to_end,
                          now_ms > j->q.timestamp_ms ? (now_ms - j->q.timestamp_ms) * 1000 : 0);
        break;
    case JOB_DELAY:
        metric_add(l->m->delayed, 1);
        break;
    case JOB_FAIL:
        metric_add(l->m->failed, 1);
        break;
    case JOB_SPLIT:
        metric_add(t->flow.splits, 1);
        break;
    case JOB_HAND_BACK:
        metric_add(l->m->handed_back, 1);
        t->d->handed_back++;
        break;
    }
}

static enum delivery_script script_of(enum job_result r)
{
    return r == JOB_COMPLETE ? SCRIPT_COMPLETE
           : r == JOB_DELAY  ? SCRIPT_DELAY
           : r == JOB_SPLIT  ? SCRIPT_FAIL
           : r == JOB_FAIL   ? SCRIPT_FAIL
                             : SCRIPT_HAND_BACK;
}

static void on_settled(enum queue_status s, const char *why, void *arg)
{
    struct job *j = arg;
    struct lane *l = j->lane;
    struct delivery *d = l->dest->d;

    delivery_count_reply(d, script_of(j->result), j->asked_us, s, why);
    switch (s) {
    case QUEUE_UNKNOWN:
        j->repeated = true;
        j->state = JOB_UNSETTLED;
        return;
    case QUEUE_AWAY:
    case QUEUE_REFUSED:
        j->state = JOB_UNSETTLED;
        return;
    case QUEUE_LOST:
    case QUEUE_MISSING:
        if (j->repeated) {
            count_result(j);
            break;
        }
        metric_add(l->m->lock_lost, 1);
        log_warn("lock_lost", "queue=%s job=%s status=%s", l->name, log_q(j->q.id), queue_status_name(s));
        break;
    case QUEUE_BROKEN:
    case QUEUE_DEBOUNCED: /* these four never come from a settle */
    case QUEUE_LOCKED:
    case QUEUE_WRONG_STATE:
    case QUEUE_INVALID:
        log_error("settle_failed", "queue=%s job=%s why=%s", l->name, log_q(j->q.id), log_q(why));
        break;
    case QUEUE_OK:
    case QUEUE_DUPLICATE:
    case QUEUE_SEEN:
        HOOK_POINT(settled);
        count_result(j);
        if (d->tells_by_id != NULL && j->result == JOB_FAIL)
            tell_failed(d, j->q.id, buf_cstr(&j->text));
        else if (d->tells_by_id != NULL && j->result == JOB_SPLIT)
            tell_unknown(d, j->q.id);
        break;
    }
    if (j->result == JOB_SPLIT && !d->draining)
        l->hungry = true; /* its halves are in front */
    claim_forget(j);
    claim_pump(d);
    order_pump(l);
    delivery_look(d);
}

void settle_send(struct job *j)
{
    struct queue *q = j->lane->queue;
    const char *text = buf_cstr(&j->text);

    if (redis_state(j->lane->dest->d->redis) != REDIS_READY)
        return;
    if (list_linked(&j->turn))
        ahead_drop(j);
    if (lane_ordered(j->lane) && j->result != JOB_COMPLETE)
        order_flush(j->lane); /* what was done before it is told before it */
    if (j->events != NULL)
        events_save(j);
    HOOK_POINT(settle_unsent);
    HOOK_SENT(settle_sent);
    if (j->result == JOB_HAND_BACK)
        HOOK_SENT(hand_back_sent);
    j->state = JOB_SETTLING;
    j->asked_us = clock_mono_us();
    switch (j->result) {
    case JOB_COMPLETE:
        queue_complete(q, &j->q, text, on_settled, j);
        break;
    case JOB_DELAY:
        if (lane_ordered(j->lane))
            order_hold(j, on_settled);
        else if (j->front)
            queue_delay_front(q, &j->q, j->delay_ms, text, on_settled, j);
        else
            queue_delay(q, &j->q, j->delay_ms, !j->uncounted, text, on_settled, j);
        break;
    case JOB_SPLIT:
        flow_split(j, on_settled);
        break;
    case JOB_FAIL:
        queue_fail(q, &j->q, text, on_settled, j);
        break;
    case JOB_HAND_BACK:
        queue_hand_back(q, j->q.id, on_settled, j);
        break;
    }
}

/* On an ordered lane a result counts only under the lease; handing back is always right. */
static bool may_send(const struct job *j)
{
    const struct lane *l = j->lane;

    return redis_state(l->dest->d->redis) == REDIS_READY &&
           (!lane_ordered(l) || l->order.held || j->result == JOB_HAND_BACK);
}

static void say_failed(const struct job *j)
{
    struct dest *t = j->lane->dest;

    if (t->failed_said == FAILED_LINES_MAX) {
        t->failed_unsaid++;
        return;
    }
    t->failed_said++;
    log_warn("job_failed", "queue=%s job=%s attempts=%llu reason=%s", j->lane->name, log_q(j->q.id),
             (unsigned long long)j->q.attempts_made + 1, log_qn(j->text.data, j->text.len));
}

void settle_job(struct job *j, enum job_result result)
{
    struct lane *l = j->lane;
    struct dest *t = l->dest;
    struct delivery *d = t->d;

    flow_left(j);
    l->posting--;
    t->posting--;
    d->posting--;
    metric_set(t->m.in_flight, t->posting);
    j->result = result;
    j->state = JOB_UNSETTLED;
    if (result == JOB_FAIL)
        say_failed(j);
    else if (result == JOB_COMPLETE && d->tells_by_id != NULL)
        tell_done(d, j->q.id); /* its result need not be in Redis for that */
    ahead_count(t);
    if (may_send(j) && !(result == JOB_COMPLETE && ahead_linger(j)))
        settle_send(j);
    claim_pump(d); /* the room is free: the next take goes with the same write */
    order_pump(l);
}

void settle_pump(struct delivery *d)
{
    for (size_t i = 0; i < d->n_lanes; i++) {
        struct job *j;

        list_foreach(j, &d->lanes[i].jobs, struct job, link) if (j->state == JOB_UNSETTLED && may_send(j))
            settle_send(j);
    }
}
