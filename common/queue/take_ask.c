/* take_ask - takes that are asked for, and what is sent for them: one call each, or one with the settles of the same turn.
 */
#include "common/queue/internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/fatal.h"
#include "common/base/mem.h"
#include "common/base/str.h"
#include "common/queue/order.h"

#define BYTES_MAX "33554432" /* data in one answer, unless a single job is larger */
#define JOB_MAX   "16777216" /* a larger one goes to failed: QUEUE_JOB_MAX */

struct queue_wish { /* a take not yet sent */
    struct list link;
    unsigned max;
    queue_taken_fn taken;
    void *arg;
    queue_taken_ordered_fn ordered; /* instead of taken */
    char **in_hand;
    size_t n;
};

void queue_take(struct queue *q, unsigned max, queue_taken_fn taken, void *arg)
{
    if (q->memory != NULL) {
        queue_memory_take(q->memory, max, taken, arg);
        return;
    }
    struct queue_wish *w = xcalloc(1, sizeof *w);
    ASSERT(!q->o.ordered);
    w->max = max < QUEUE_TAKE_MAX ? max : QUEUE_TAKE_MAX;
    w->taken = taken;
    w->arg = arg;
    list_push_back(&q->takes, &w->link);
}

void queue_take_ordered(struct queue *q, unsigned max, const char *const *in_hand, size_t n,
                        queue_taken_ordered_fn taken, void *arg)
{
    struct queue_wish *w = xcalloc(1, sizeof *w);
    ASSERT(q->o.ordered && !q->taking);
    q->taking = true;
    w->max = n >= QUEUE_ORDERED_MAX        ? 0
             : max < QUEUE_ORDERED_MAX - n ? max
                                           : (unsigned)(QUEUE_ORDERED_MAX - n);
    w->ordered = taken;
    w->arg = arg;
    w->n = n;
    w->in_hand = xcalloc(n + 1, sizeof *w->in_hand);
    for (size_t i = 0; i < n; i++)
        w->in_hand[i] = xstrdup(in_hand[i]);
    list_push_back(&q->takes, &w->link);
}

static void wish_free(struct queue_wish *w)
{
    for (size_t i = 0; i < w->n; i++)
        free(w->in_hand[i]);
    free(w->in_hand);
    free(w);
}

/* ---- what the scripts are given */

static char *number(struct queue_take_args *a, uint64_t v)
{
    char *text = a->numbers[a->n_numbers++];
    ASSERT(a->n_numbers <= QUEUE_TAKE_NUMBERS);
    snprintf(text, sizeof a->numbers[0], "%" PRIu64, v);
    return text;
}

static void put(struct queue_take_args *a, const char *text)
{
    a->argv[a->argc++] = text;
}

static void put_limiter(struct queue *q, struct queue_take_args *a)
{
    put(a, number(a, q->o.limiter_ms > 0 ? q->o.limiter_jobs : 0));
    put(a, number(a, q->o.limiter_ms));
    put(a, q->o.limiter_by_group ? "1" : "");
    put(a, queue_alone(q));
    put(a, queue_take_known(a->take));
}

static void put_shared(struct queue *q, struct queue_take_args *a)
{
    put(a, q->o.token);
    put(a, number(a, q->o.lock_ms));
    put(a, number(a, a->wish->max));
    put_limiter(q, a);
}

static void put_ordered(struct queue *q, struct queue_take_args *a)
{
    put(a, q->o.token);
    put(a, queue_lease_value(q));
    put(a, number(a, q->o.lock_ms));
    put(a, number(a, a->wish->max));
    put(a, BYTES_MAX);
    put(a, JOB_MAX);
    put(a, number(a, q->o.max_stalled));
    put(a, number(a, q->o.tombstone_ms));
    put(a, number(a, q->o.max_run_ms));
    put_limiter(q, a);
    for (size_t i = 0; i < a->wish->n; i++)
        put(a, a->wish->in_hand[i]);
}

struct queue_call *queue_take_prepare(struct queue *q, struct queue_take_args *a)
{
    struct queue_wish *w = list_first(&q->takes, struct queue_wish, link);
    *a = (struct queue_take_args){.wish = w};
    list_remove(&w->link);
    struct queue_call *c = queue_take_open(q, w->taken, w->ordered, w->arg, &a->take);
    if (w->ordered != NULL)
        put_ordered(q, a);
    else
        put_shared(q, a);
    return c;
}

void queue_take_sent(struct queue *q, struct queue_take_args *a)
{
    queue_take_read(q, a->take);
    wish_free(a->wish);
}

/* ---- sending */

void queue_flush_takes(struct queue *q)
{
    size_t n = 0; /* what a callback asks for in here is for the next turn */
    if (q->o.ordered && !list_empty(&q->settles) && redis_state(q->r) == REDIS_READY)
        return; /* a hold among them has not been sent */
    for (const struct list *l = q->takes.next; l != &q->takes; l = l->next)
        n++;
    for (; n > 0 && !list_empty(&q->takes); n--) {
        struct queue_take_args a;
        struct queue_call *c = queue_take_prepare(q, &a);
        queue_call_script(q, c, q->o.ordered ? &queue_script_take_ordered : &queue_script_take, a.argc,
                          a.argv, NULL);
        queue_take_sent(q, &a);
    }
}

void queue_drop_takes(struct queue *q, enum queue_status s)
{
    struct queue_wish *w;
    while ((w = list_first(&q->takes, struct queue_wish, link)) != NULL) {
        list_remove(&w->link);
        if (w->ordered != NULL) {
            q->taking = false;
            w->ordered(s, &(struct queue_turn){.who = ""}, NULL, 0, w->arg);
        } else {
            w->taken(s, NULL, 0, w->arg);
        }
        wish_free(w);
    }
}
