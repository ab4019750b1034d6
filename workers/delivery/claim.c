/* claim - takes jobs from the queues into the hand, keeps their locks, and lets go of what is not ours any more.
 *
 * One take a queue is under way at a time; room is shared out fairly, and no destination may hold the room that is kept
 * for the others. An empty answer arms the queue's waker. A lost lock ends the job's call: whoever has the lock now
 * delivers it.
 */
#include <stdlib.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "workers/delivery/delivery.h"

#define TAKE_MAX      32 /* jobs in one answer: bounds its size */
#define ARM_S         0.005
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
    unsigned others = p->kept - kept_for(t);

    return p->free > others ? p->free - others : 0;
}

static bool may_take(const struct dest *t, const struct places *p, uint64_t now_ms)
{
    return t->hungry && t->asked == 0 && !t->take_lost && t->paused_until_ms <= now_ms && room_of(t, p) > 0;
}

static struct job *new_job(struct dest *t, const struct queue_job *q)
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
    j->dest = t;
    j->bytes = bytes;
    buf_init(&j->text, 1u << 20);
    list_push_back(&t->jobs, &j->link);
    t->d->jobs++;
    t->d->job_bytes += bytes;
    return j;
}

static struct job *find(const struct dest *t, const char *id)
{
    struct job *j;

    list_foreach(j, &t->jobs, struct job, link) if (strcmp(j->q.id, id) == 0) return j;
    return NULL;
}

static void on_handed_back(enum queue_status s, const char *why, void *arg)
{
    struct dest *t = arg;
    struct delivery *d = t->d;

    (void)why;
    d->returning--;
    if (s == QUEUE_OK)
        metric_add(t->m.handed_back, 1);
    else if (s != QUEUE_LOST && s != QUEUE_MISSING)
        t->take_lost = true; /* it bears our lock, and nobody here has it */
    delivery_look(d);
}

/* Under a stream of our own adds every take comes back short: the waker would be woken by each of them. */
static void on_arm(struct ev_loop *loop, ev_timer *timer, int revents)
{
    struct delivery *d = timer->data;

    (void)loop, (void)revents;
    for (size_t i = 0; i < d->n_dests; i++) {
        struct dest *t = &d->dests[i];

        if (t->want_arm && t->waker != NULL)
            queue_waker_arm(t->waker);
        t->want_arm = false;
    }
}

static void arm_soon(struct dest *t)
{
    struct delivery *d = t->d;

    t->want_arm = true;
    if (ev_is_active(&d->arm_timer))
        return;
    ev_timer_init(&d->arm_timer, on_arm, ARM_S, 0.);
    d->arm_timer.data = d;
    ev_timer_start(d->loop, &d->arm_timer);
}

static void take_in_hand(struct dest *t, const struct queue_job *q)
{
    struct delivery *d = t->d;
    struct job *j;

    if (q->stalled_count > 0 && find(t, q->id) != NULL) {
        /* Its lock had run out while Redis could not be reached: now it is ours again, and its call goes on. */
        log_info("job_retaken", "queue=%s job=%s", t->conf->id, log_q(q->id));
        return;
    }
    j = d->draining ? NULL : new_job(t, q);
    if (j != NULL) {
        post_start(j);
        return;
    }
    d->returning++;
    queue_hand_back(t->queue, q->id, on_handed_back, t);
}

static void on_taken(enum queue_status s, const struct queue_job *jobs, size_t n, void *arg)
{
    struct dest *t = arg;
    struct delivery *d = t->d;
    unsigned asked = t->asked;

    delivery_count_reply(d, SCRIPT_TAKE, t->taken_us, s, NULL);
    t->asked = 0;
    t->refused = false;
    for (size_t i = 0; i < n; i++)
        take_in_hand(t, &jobs[i]);
    if (s == QUEUE_OK && n < asked) {
        t->hungry = t->wakes != t->wakes_seen;
        if (!t->hungry)
            arm_soon(t);
    } else if (s != QUEUE_OK) {
        t->take_lost |= s == QUEUE_UNKNOWN;
        t->refused = true;
        t->hungry = false; /* the next second, or the reconnect, asks again */
    }
    claim_pump(d);
    delivery_look(d);
}

static void take(struct dest *t, unsigned n)
{
    t->asked = n;
    t->wakes_seen = t->wakes;
    t->taken_us = clock_mono_us();
    queue_take(t->queue, n, on_taken, t);
}

static void on_pause_over(struct ev_loop *loop, ev_timer *timer, int revents)
{
    (void)loop, (void)revents;
    claim_pump(timer->data);
}

static void wait_for_pauses(struct delivery *d, uint64_t now_ms)
{
    uint64_t next = 0;

    for (size_t i = 0; i < d->n_dests; i++)
        if (d->dests[i].hungry && d->dests[i].paused_until_ms > now_ms &&
            (next == 0 || d->dests[i].paused_until_ms < next))
            next = d->dests[i].paused_until_ms;
    ev_timer_stop(d->loop, &d->pause_timer);
    if (next == 0)
        return;
    ev_timer_init(&d->pause_timer, on_pause_over, (double)(next - now_ms) / 1000.0, 0.);
    d->pause_timer.data = d;
    ev_timer_start(d->loop, &d->pause_timer);
}

void claim_pump(struct delivery *d)
{
    uint64_t now_ms = clock_mono_ms();
    struct places p = {.free = (unsigned)d->conf->delivery.concurrency};
    unsigned ready = 0, share;
    size_t first = d->next_dest;

    if (d->draining || redis_state(d->redis) != REDIS_READY || d->job_bytes >= JOB_BYTES_MAX)
        return;
    for (size_t i = 0; i < d->n_dests; i++) {
        unsigned taken = taken_of(&d->dests[i]);

        p.free -= taken < p.free ? taken : p.free;
        p.kept += kept_for(&d->dests[i]);
    }
    for (size_t i = 0; i < d->n_dests; i++)
        ready += may_take(&d->dests[i], &p, now_ms);
    /* Results that Redis has not acknowledged are bounded too. */
    if (ready == 0 || d->jobs >= 4 * d->conf->delivery.concurrency) {
        wait_for_pauses(d, now_ms);
        return;
    }
    share = p.free / ready > 0 ? p.free / ready : 1;
    for (size_t i = 0; i < d->n_dests && p.free > 0; i++) {
        struct dest *t = &d->dests[(first + i) % d->n_dests];
        unsigned kept = kept_for(t), n = room_of(t, &p);

        if (!may_take(t, &p, now_ms))
            continue;
        n = n < share ? n : share;
        n = n < TAKE_MAX ? n : TAKE_MAX;
        p.free -= n;
        p.kept -= kept < n ? kept : n;
        d->next_dest = (first + i + 1) % d->n_dests;
        take(t, n);
    }
    wait_for_pauses(d, now_ms);
}

void claim_wake(struct dest *t)
{
    t->hungry = true;
    t->wakes++;
    claim_pump(t->d);
}

/* ---- locks */

struct renewal {
    struct dest *dest;
    uint64_t asked_us;
};

static void on_lost(const char *id, void *arg)
{
    struct dest *t = ((struct renewal *)arg)->dest;
    struct job *j = find(t, id);

    if (j == NULL || j->state != JOB_POSTING)
        return; /* settled meanwhile, or settling tells */
    log_warn("lock_lost", "queue=%s job=%s", t->conf->id, log_q(id));
    metric_add(t->m.lock_lost, 1);
    claim_forget(j);
    claim_pump(t->d);
    delivery_look(t->d);
}

static void on_renewed(enum queue_status s, const char *why, void *arg)
{
    struct renewal *r = arg;

    delivery_count_reply(r->dest->d, SCRIPT_RENEW, r->asked_us, s, why);
    free(r);
}

void claim_renew(struct delivery *d)
{
    for (size_t i = 0; i < d->n_dests; i++) {
        struct dest *t = &d->dests[i];
        struct renewal *r;
        const char **ids;
        struct job *j;
        size_t n = 0;

        if (list_empty(&t->jobs))
            continue;
        ids = xcalloc(d->jobs, sizeof(*ids));
        list_foreach(j, &t->jobs, struct job, link) ids[n++] = j->q.id;
        r = xcalloc(1, sizeof(*r));
        r->dest = t;
        r->asked_us = clock_mono_us();
        queue_renew(t->queue, ids, n, on_lost, on_renewed, r);
        free(ids);
    }
}

void claim_forget(struct job *j)
{
    struct dest *t = j->dest;
    struct delivery *d = t->d;

    if (j->call != NULL)
        http_call_cancel(j->call);
    if (j->state == JOB_POSTING) {
        t->posting--;
        d->posting--;
        metric_set(t->m.in_flight, t->posting);
    }
    list_remove(&j->link);
    d->jobs--;
    d->job_bytes -= j->bytes;
    buf_fini(&j->text);
    free(j->key_header);
    free(j);
}
