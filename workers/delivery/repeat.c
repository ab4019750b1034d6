/* repeat - a taken job that repeats: the one behind it is added first, then it is posted, so that no end of this one,
 * and no death on the way, ends the repetition. As long as it is not known to be added, the job is not run: it goes
 * back, and is taken again.
 */
#include "common/queue/repeat.h"

#include "common/base/log.h"
#include "workers/delivery/delivery.h"

static void on_next(enum queue_status s, const char *why, void *arg)
{
    struct job *j = arg;
    struct lane *l = j->lane;
    struct delivery *d = l->dest->d;

    switch (s) {
    case QUEUE_LOST:
        log_warn("lock_lost", "queue=%s job=%s", l->name, log_q(j->q.id));
        metric_add(l->m->lock_lost, 1);
        claim_forget(j);
        break;
    case QUEUE_UNKNOWN:
    case QUEUE_AWAY:
        l->take_lost = true; /* it bears our lock: handed back after the reconnect */
        claim_forget(j);
        break;
    case QUEUE_REFUSED:
        l->refused = true;
        l->hungry = false; /* the next second asks again */
        claim_return(j);
        break;
    case QUEUE_INVALID:
    case QUEUE_BROKEN:
        log_warn("repeat_ended", "queue=%s job=%s why=%s", l->name, log_q(j->q.id), log_q(why));
        claim_start(j);
        break;
    default: /* added, there already, or nothing is to follow */
        claim_start(j);
    }
    claim_pump(d); /* what stands behind it, or the room that it had */
    delivery_look(d);
}

void repeat_start(struct job *j)
{
    j->state = JOB_REPEATING;
    queue_repeat_next(j->lane->queue, &j->q, on_next, j);
}
