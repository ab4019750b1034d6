/* tell - batches whose senders wait for the delivery (ack: delivered): who is to be told what became of each.
 *
 * Most are delivered by the process that stored them, and told at once. Others end elsewhere: their end is heard as Bull's
 * event of the queue, whoever worked on it; and since events get lost, each is asked for now and then, and whenever the
 * connection that listens is made anew. What is told comes behind STORED, once. Nothing here is needed for the delivery: a
 * link that ends takes its waiting ones with it, and the sender asks another worker (FOLLOW).
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/hook.h"
#include "common/base/mem.h"
#include "common/base/str.h"
#include "ipc/link_recv.h"
#include "workers/delivery/delivery.h"

#define ASK_MS 5000 /* asked for so often, though an event should tell */

struct tell {
    struct list link;  /* d->tells, oldest question first */
    struct list yours; /* of the link that is to be told */
    struct link_recv *to;
    struct lane *lane;
    char id[ID_SIZE];
    bool stored, known, asking;
    uint64_t asked_ms; /* monotonic */
    enum msg_outcome outcome;
    uint32_t status;
    char *why;
};

static struct tell *find(const struct delivery *d, const char *id)
{
    return d->tells_by_id != NULL ? map_get(d->tells_by_id, id, strlen(id)) : NULL;
}

static void forget(struct delivery *d, struct tell *t)
{
    map_remove(d->tells_by_id, t->id, strlen(t->id));
    list_remove(&t->link);
    list_remove(&t->yours);
    free(t->why);
    free(t);
}

/* ---- what is known */

static void say(struct delivery *d, struct tell *t)
{
    if (!t->stored || !t->known)
        return;
    HOOK_POINT(delivered_unsent);
    link_recv_delivered(t->to, t->id, t->outcome, t->status, t->why != NULL ? t->why : "");
    forget(d, t);
}

static void know(struct delivery *d, struct tell *t, enum msg_outcome outcome, const char *why)
{
    unsigned status = 0;

    if (t->known)
        return;
    t->known = true;
    t->outcome = outcome;
    if (outcome == MSG_OUTCOME_FAILED) {
        if (sscanf(why, "the destination answered %3u", &status) == 1)
            t->status = status;
        t->why = xstrndup(why, strnlen(why, MSG_TEXT_MAX - 1));
    }
    say(d, t);
}

void tell_done(struct delivery *d, const char *id)
{
    struct tell *t = find(d, id);

    if (t != NULL)
        know(d, t, MSG_OUTCOME_DELIVERED, "");
}

void tell_failed(struct delivery *d, const char *id, const char *why)
{
    struct tell *t = find(d, id);

    if (t != NULL)
        know(d, t, MSG_OUTCOME_FAILED, why);
}

void tell_unknown(struct delivery *d, const char *id)
{
    struct tell *t = find(d, id);

    if (t != NULL)
        know(d, t, MSG_OUTCOME_UNKNOWN, "");
}

/* ---- asking */

struct question { /* the one it is about may be gone when the answer comes */
    struct delivery *d;
    char id[ID_SIZE];
};

static void on_outcome(enum queue_status s, enum queue_outcome o, const char *value, void *arg)
{
    struct question *q = arg;
    struct delivery *d = q->d;
    struct tell *t = find(d, q->id);

    free(q);
    if (t == NULL)
        return;
    t->asking = false;
    if (s != QUEUE_OK || !t->stored)
        return;
    if (o == QUEUE_OUTCOME_COMPLETED)
        know(d, t, MSG_OUTCOME_DELIVERED, "");
    else if (o == QUEUE_OUTCOME_FAILED)
        know(d, t, MSG_OUTCOME_FAILED, value);
    else if (o == QUEUE_OUTCOME_GONE)
        know(d, t, MSG_OUTCOME_UNKNOWN, "");
}

static void ask(struct delivery *d, struct tell *t)
{
    struct question *q;

    if (t->asking || !t->stored || redis_state(d->redis) != REDIS_READY)
        return;
    t->asking = true;
    t->asked_ms = clock_mono_ms();
    list_remove(&t->link);
    list_push_back(&d->tells, &t->link);
    q = xcalloc(1, sizeof(*q));
    q->d = d;
    memcpy(q->id, t->id, sizeof(q->id));
    queue_ask_outcome(t->lane->queue, t->id, on_outcome, q);
}

void tell_second(struct delivery *d)
{
    uint64_t now_ms = clock_mono_ms();
    struct tell *t;

    list_foreach(t, &d->tells, struct tell, link)
    {
        if (now_ms - t->asked_ms < ASK_MS)
            return; /* those behind it are younger */
        ask(d, t);
    }
}

/* ---- listening */

static void on_listening(void *arg)
{
    struct delivery *d = arg;
    struct list all;
    struct tell *t;

    list_init(&all); /* ask() puts them at the end */
    if (!list_empty(&d->tells)) {
        list_insert_between(&all, d->tells.prev, d->tells.next);
        list_init(&d->tells);
    }
    while ((t = list_first(&all, struct tell, link)) != NULL) {
        list_remove(&t->link);
        list_push_back(&d->tells, &t->link);
        ask(d, t);
    }
}

static void on_finished(void *queue, const char *id, bool failed, const char *value, void *arg)
{
    struct tell *t = find(arg, id);

    if (t == NULL || t->lane != queue)
        return;
    HOOK_POINT(outcome_heard);
    if (failed)
        know(arg, t, MSG_OUTCOME_FAILED, value);
    else
        know(arg, t, MSG_OUTCOME_DELIVERED, "");
}

/* From the first that is to be told: who never asks costs nothing. */
static void listen(struct delivery *d)
{
    static const struct queue_listener_events events = {.listening = on_listening, .finished = on_finished};

    if (d->listener != NULL)
        return;
    d->listener = queue_listener_new(d->loop, &d->redis_options, &events, d);
    for (size_t i = 0; d->listener != NULL && i < d->n_lanes; i++)
        if (d->lanes[i].takeover == NULL)
            queue_listener_add(d->listener, d->lanes[i].options.prefix, d->lanes[i].options.name,
                               &d->lanes[i]);
}

/* ---- who wants to know */

void tell_begin(struct lane *l, const char *id, struct link_recv *to, struct list *yours)
{
    struct delivery *d = l->dest->d;
    struct tell *t = find(d, id);

    if (t != NULL) { /* it came by another link before, which is gone or going */
        list_remove(&t->yours);
        list_push_back(yours, &t->yours);
        t->to = to;
        return;
    }
    listen(d);
    t = xcalloc(1, sizeof(*t));
    t->to = to;
    t->lane = l;
    t->asked_ms = clock_mono_ms();
    str_copy(t->id, id, sizeof(t->id));
    list_push_back(&d->tells, &t->link);
    list_push_back(yours, &t->yours);
    if (d->tells_by_id == NULL)
        d->tells_by_id = map_new();
    map_put(d->tells_by_id, t->id, strlen(t->id), t);
}

void tell_stored(struct delivery *d, const char *id, bool duplicate)
{
    struct tell *t = find(d, id);

    if (t == NULL)
        return;
    t->stored = true;
    if (duplicate) /* its end may lie behind us */
        ask(d, t);
    say(d, t);
}

void tell_drop(struct delivery *d, const char *id)
{
    struct tell *t = find(d, id);

    if (t != NULL)
        forget(d, t);
}

void tell_link_gone(struct delivery *d, struct list *yours)
{
    struct tell *t;

    while ((t = list_first(yours, struct tell, yours)) != NULL)
        forget(d, t);
}
