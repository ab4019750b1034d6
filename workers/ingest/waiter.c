/* waiter - see waiter.h. */
#include "workers/ingest/waiter.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/fatal.h"
#include "common/base/mem.h"

#define POOL_MAX 1024

static void answer(struct waiter *w, enum waiter_outcome outcome)
{
    if (w->request == NULL)
        return;
    list_remove(&w->link);
    w->set->answer(w, outcome, w->set->arg);
    w->request = NULL;
}

static void start(struct waiter_set *s, ev_timer *timer, double seconds)
{
    ev_timer_set(timer, seconds, 0.);
    ev_timer_start(s->loop, timer);
}

/* Answers those whose time is up. */
static void expire(struct waiter_set *s, struct list *waiting, ev_timer *timer, enum waiter_outcome outcome)
{
    for (;;) {
        struct waiter *w = list_first(waiting, struct waiter, link);
        if (w == NULL)
            return;
        double left = w->deadline - ev_now(s->loop);
        if (left > 0) {
            start(s, timer, left);
            return;
        }
        answer(w, outcome);
    }
}

static void on_time(struct ev_loop *loop, ev_timer *timer, int revents)
{
    (void)loop, (void)revents;
    struct waiter_set *s = timer->data;
    expire(s, &s->waiting, timer, WAITER_TIMEOUT);
}

static void on_told_time(struct ev_loop *loop, ev_timer *timer, int revents)
{
    (void)loop, (void)revents;
    struct waiter_set *s = timer->data;
    expire(s, &s->told, timer, WAITER_ACCEPTED);
}

void waiter_set_init(struct waiter_set *s, struct ev_loop *loop, uint64_t timeout_ms,
                     waiter_answer_fn answer_fn, void *arg)
{
    *s = (struct waiter_set){
        .loop = loop, .timeout = (double)timeout_ms / 1000., .answer = answer_fn, .arg = arg};
    list_init(&s->waiting);
    list_init(&s->told);
    list_init(&s->pool);
    ev_timer_init(&s->timer, on_time, 0., 0.);
    ev_timer_init(&s->told_timer, on_told_time, 0., 0.);
    s->timer.data = s->told_timer.data = s;
}

/* Who waits is given so much more; all alike: they stay in order. */
static void change(struct waiter_set *s, struct list *waiting, ev_timer *timer, double *timeout,
                   uint64_t timeout_ms)
{
    double now = (double)timeout_ms / 1000., more = now - *timeout;
    struct waiter *w;
    list_foreach(w, waiting, struct waiter, link)
    {
        w->deadline += more;
    }
    *timeout = now;
    if (!ev_is_active(timer))
        return;
    ev_timer_stop(s->loop, timer);
    start(s, timer, 0.); /* looks how long it is from now on */
}

void waiter_set_timeout(struct waiter_set *s, uint64_t timeout_ms)
{
    change(s, &s->waiting, &s->timer, &s->timeout, timeout_ms);
}

void waiter_set_told_timeout(struct waiter_set *s, uint64_t timeout_ms)
{
    change(s, &s->told, &s->told_timer, &s->told_timeout, timeout_ms);
}

void waiter_set_fini(struct waiter_set *s)
{
    struct waiter *w;
    ev_timer_stop(s->loop, &s->timer);
    ev_timer_stop(s->loop, &s->told_timer);
    list_foreach(w, &s->pool, struct waiter, link)
    {
        free(w);
    }
}

void waiter_answer_all(struct waiter_set *s, enum waiter_outcome outcome)
{
    struct waiter *w;
    while ((w = list_first(&s->waiting, struct waiter, link)) != NULL)
        answer(w, outcome);
    waiter_accept_told(s);
}

void waiter_accept_told(struct waiter_set *s)
{
    struct waiter *w;
    while ((w = list_first(&s->told, struct waiter, link)) != NULL)
        answer(w, WAITER_ACCEPTED);
}

struct waiter *waiter_new(struct waiter_set *s, struct http_request *r, struct source *source)
{
    struct waiter *w = list_first(&s->pool, struct waiter, link);
    if (w != NULL) {
        list_remove(&w->link);
        s->n_pool--;
    } else {
        w = xmalloc(sizeof *w);
    }
    memset(w, 0, sizeof *w);
    w->set = s;
    w->request = r;
    w->source = source;
    w->outstanding = 1;
    w->deadline = ev_now(s->loop) + s->timeout;
    list_push_back(&s->waiting, &w->link);
    if (!ev_is_active(&s->timer))
        start(s, &s->timer, s->timeout);
    return w;
}

void waiter_join(struct waiter *w, struct list *parts)
{
    if (!list_empty(parts) && list_entry(parts->prev, struct waiter_part, link)->waiter == w)
        return;
    struct waiter_part *p = &w->first;
    if (w->first_used)
        p = xmalloc(sizeof *p);
    w->first_used = true;
    p->waiter = w;
    list_push_back(parts, &p->link);
    w->outstanding++;
}

void waiter_hold(struct waiter *w)
{
    w->outstanding++;
}

/* Everything is stored: answers, or lets it wait for the delivery. */
static void look(struct waiter *w)
{
    struct waiter_set *s = w->set;
    if (w->rejection != NULL) {
        answer(w, WAITER_REJECTED);
    } else if (w->undelivered == 0) {
        answer(w, w->unsure ? WAITER_ACCEPTED : WAITER_DONE);
    } else if (!w->is_told && w->request != NULL) {
        w->is_told = true;
        w->deadline = ev_now(s->loop) + s->told_timeout;
        list_remove(&w->link);
        list_push_back(&s->told, &w->link);
        if (!ev_is_active(&s->told_timer))
            start(s, &s->told_timer, s->told_timeout);
    }
}

/* Nothing points to it any more. */
static void recycle(struct waiter *w)
{
    struct waiter_set *s = w->set;
    if (w->outstanding > 0 || w->undelivered > 0)
        return;
    free(w->rejection);
    if (s->n_pool >= POOL_MAX) {
        free(w);
        return;
    }
    list_push_back(&s->pool, &w->link);
    s->n_pool++;
}

void waiter_release(struct waiter *w, bool failed)
{
    ASSERT(w->outstanding > 0);
    w->failed |= failed;
    w->outstanding--;
    if (w->failed)
        answer(w, WAITER_FAILED);
    else if (w->outstanding == 0)
        look(w);
    recycle(w);
}

void waiter_sealed(struct waiter *w)
{
    waiter_release(w, false);
}

void waiter_aborted(struct waiter *w)
{
    if (w->request == NULL)
        return;
    list_remove(&w->link);
    w->request = NULL;
}

static void part_free(struct waiter_part *p)
{
    list_remove(&p->link);
    if (p != &p->waiter->first)
        free(p);
}

void waiter_parts_stored(struct list *parts)
{
    struct waiter_part *p;
    list_foreach(p, parts, struct waiter_part, link)
    {
        struct waiter *w = p->waiter;
        if (w->tell)
            w->undelivered++;
        else
            part_free(p);
        waiter_release(w, false);
    }
}

void waiter_parts_delivered(struct list *parts, enum waiter_outcome outcome, const char *why)
{
    struct waiter_part *p;
    while ((p = list_first(parts, struct waiter_part, link)) != NULL) {
        struct waiter *w = p->waiter;
        part_free(p);
        w->undelivered--;
        w->unsure |= outcome == WAITER_ACCEPTED;
        if (outcome == WAITER_REJECTED && w->rejection == NULL)
            w->rejection = xstrdup(why);
        if (w->outstanding == 0)
            look(w);
        recycle(w);
    }
}

void waiter_parts_rejected(struct list *parts, const char *why)
{
    struct waiter_part *p;
    while ((p = list_first(parts, struct waiter_part, link)) != NULL) {
        struct waiter *w = p->waiter;
        part_free(p);
        if (w->rejection == NULL)
            w->rejection = xstrdup(why);
        waiter_release(w, false);
    }
}

void waiter_parts_done(struct list *parts, bool failed)
{
    struct waiter_part *p;
    while ((p = list_first(parts, struct waiter_part, link)) != NULL) {
        struct waiter *w = p->waiter;
        part_free(p);
        w->unsure |= w->tell;
        waiter_release(w, failed);
    }
}
