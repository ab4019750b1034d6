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

static void on_time(struct ev_loop *loop, ev_timer *timer, int revents)
{
    (void)revents;
    struct waiter_set *s = timer->data;
    for (;;) {
        struct waiter *w = list_first(&s->waiting, struct waiter, link);
        if (w == NULL)
            return;
        double left = w->deadline - ev_now(loop);
        if (left > 0) {
            ev_timer_set(timer, left, 0.);
            ev_timer_start(loop, timer);
            return;
        }
        answer(w, WAITER_TIMEOUT);
    }
}

void waiter_set_init(struct waiter_set *s, struct ev_loop *loop, uint64_t timeout_ms,
                     waiter_answer_fn answer_fn, void *arg)
{
    *s = (struct waiter_set){
        .loop = loop, .timeout = (double)timeout_ms / 1000., .answer = answer_fn, .arg = arg};
    list_init(&s->waiting);
    list_init(&s->pool);
    ev_timer_init(&s->timer, on_time, 0., 0.);
    s->timer.data = s;
}

void waiter_set_timeout(struct waiter_set *s, uint64_t timeout_ms)
{
    double timeout = (double)timeout_ms / 1000., more = timeout - s->timeout;
    struct waiter *w;
    list_foreach(w, &s->waiting, struct waiter, link)
    {
        w->deadline += more; /* all alike: they stay in order */
    }
    s->timeout = timeout;
    if (!ev_is_active(&s->timer))
        return;
    ev_timer_stop(s->loop, &s->timer);
    ev_timer_set(&s->timer, 0., 0.);
    ev_timer_start(s->loop, &s->timer); /* looks how long it is from now on */
}

void waiter_set_fini(struct waiter_set *s)
{
    struct waiter *w;
    ev_timer_stop(s->loop, &s->timer);
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
    if (!ev_is_active(&s->timer)) {
        ev_timer_set(&s->timer, s->timeout, 0.);
        ev_timer_start(s->loop, &s->timer);
    }
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

void waiter_release(struct waiter *w, bool failed)
{
    ASSERT(w->outstanding > 0);
    w->failed |= failed;
    w->outstanding--;
    if (w->outstanding == 0 || w->failed)
        answer(w, w->failed ? WAITER_FAILED : WAITER_DONE);
    if (w->outstanding > 0)
        return;
    struct waiter_set *s = w->set;
    if (s->n_pool >= POOL_MAX) {
        free(w);
        return;
    }
    list_push_back(&s->pool, &w->link);
    s->n_pool++;
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

void waiter_parts_done(struct list *parts, bool failed)
{
    struct waiter_part *p;
    while ((p = list_first(parts, struct waiter_part, link)) != NULL) {
        struct waiter *w = p->waiter;
        list_remove(&p->link);
        if (p != &w->first)
            free(p);
        waiter_release(w, failed);
    }
}
