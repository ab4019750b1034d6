/* memory - see memory.h. Called by queue.c, and by the verbs' own files where a queue has no Redis. */
#include "common/queue/memory.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/list.h"
#include "common/base/map.h"
#include "common/base/mem.h"
#include "common/base/str.h"

#define ID_MAX   128
#define TAKE_MAX 256

enum place { WAIT, ACTIVE, DELAYED };

struct answer;
struct memory_job {
    struct list link;
    enum place place;
    char id[ID_MAX];
    const char *data;
    size_t len;
    void *added;
    uint64_t stamp_ms; /* wall */
    uint64_t since_ms; /* monotonic: waits since */
    uint64_t due_ms;   /* monotonic */
    uint64_t attempts;
    bool front;
    struct answer *unanswered; /* of its add */
    char *progress;
};

struct answer { /* of anything but a take */
    struct list link;
    queue_done_fn done;
    void *arg;
    enum queue_status status;
    const char *why;        /* static */
    struct memory_job *job; /* of an add */
};

struct take {
    struct list link;
    unsigned max;
    queue_taken_fn taken;
    void *arg;
};

struct queue_memory {
    struct ev_loop *loop;
    struct queue *q;
    bool one_at_a_time, closed, freed;
    void (*ended)(void *added, enum queue_end end, const char *text);
    struct map *by_id;
    struct list jobs[3]; /* by place; wait: the first is next; delayed: the first is due first */
    size_t n[3];
    struct list answers, takes;
    ev_idle idle; /* keeps the loop from sleeping on what is to be answered */
    ev_timer due, second;
    const struct queue_tick_events *tick;
    void *tick_arg;
};

static void on_idle(struct ev_loop *loop, ev_idle *w, int events)
{
    (void)events;
    ev_idle_stop(loop, w);
}

static void wake(struct queue_memory *m)
{
    ev_idle_start(m->loop, &m->idle);
}

/* ---- jobs */

static void leave(struct queue_memory *m, struct memory_job *j)
{
    list_remove(&j->link);
    m->n[j->place]--;
}

static void enter(struct queue_memory *m, struct memory_job *j, enum place p, struct list *before)
{
    list_insert_between(&j->link, before->prev, before);
    j->place = p;
    m->n[p]++;
}

static void put_in_wait(struct queue_memory *m, struct memory_job *j, bool first)
{
    struct list *wait = &m->jobs[WAIT];

    j->since_ms = clock_mono_ms();
    enter(m, j, WAIT, first ? wait->next : wait);
}

static void give_answer(struct answer *a, enum queue_status s)
{
    list_remove(&a->link);
    if (a->job != NULL)
        a->job->unanswered = NULL;
    a->done(s, a->why, a->arg);
    free(a);
}

static void end(struct queue_memory *m, struct memory_job *j, enum queue_end how, const char *text)
{
    void *added = j->added;

    if (j->unanswered != NULL) /* first things first */
        give_answer(j->unanswered, QUEUE_OK);
    leave(m, j);
    map_remove(m->by_id, j->id, strlen(j->id));
    free(j->progress);
    free(j);
    m->ended(added, how, text);
}

/* There is work that the taker, who found none, does not know of. */
static void tell(struct queue_memory *m)
{
    if (m->tick != NULL && m->tick->promoted != NULL && m->n[WAIT] > 0)
        m->tick->promoted(m->q, m->n[WAIT], m->tick_arg);
}

static void arm(struct queue_memory *m)
{
    const struct memory_job *first = list_first(&m->jobs[DELAYED], struct memory_job, link);
    uint64_t now_ms = clock_mono_ms();

    ev_timer_stop(m->loop, &m->due);
    if (first == NULL)
        return;
    ev_timer_set(&m->due, first->due_ms > now_ms ? (double)(first->due_ms - now_ms) / 1e3 : 0., 0.);
    ev_timer_start(m->loop, &m->due);
}

static void on_due(struct ev_loop *loop, ev_timer *w, int events)
{
    struct queue_memory *m = w->data;
    uint64_t now_ms = clock_mono_ms();
    struct memory_job *j;

    (void)loop, (void)events;
    while ((j = list_first(&m->jobs[DELAYED], struct memory_job, link)) != NULL && j->due_ms <= now_ms) {
        leave(m, j);
        put_in_wait(m, j, j->front || m->one_at_a_time);
    }
    arm(m);
    tell(m);
}

static void delay(struct queue_memory *m, struct memory_job *j, uint64_t delay_ms)
{
    struct list *at = &m->jobs[DELAYED];

    j->due_ms = clock_mono_ms() + delay_ms;
    while (at->prev != &m->jobs[DELAYED] && list_entry(at->prev, struct memory_job, link)->due_ms > j->due_ms)
        at = at->prev;
    enter(m, j, DELAYED, at);
    arm(m);
}

/* ---- verbs */

static struct answer *answer(struct queue_memory *m, queue_done_fn done, void *arg, enum queue_status s,
                             const char *why)
{
    struct answer *a;

    if (done == NULL)
        return NULL;
    a = xcalloc(1, sizeof(*a));
    a->done = done;
    a->arg = arg;
    a->status = s;
    a->why = why;
    list_push_back(&m->answers, &a->link);
    wake(m);
    return a;
}

void queue_memory_answer(struct queue_memory *m, queue_done_fn done, void *arg)
{
    (void)answer(m, done, arg, QUEUE_OK, NULL);
}

void queue_memory_add(struct queue_memory *m, const char *id, const void *data, size_t len,
                      queue_done_fn done, void *arg)
{
    struct memory_job *j = NULL;

    if (m->closed || map_get(m->by_id, id, strlen(id)) != NULL || strlen(id) >= ID_MAX ||
        (j = mem_try(sizeof(*j))) == NULL) {
        answer(m, done, arg, QUEUE_REFUSED,
               m->closed ? "this process ends" : "it is there already, or no memory");
        return;
    }
    memset(j, 0, sizeof(*j));
    str_copy(j->id, id, sizeof(j->id));
    j->data = data;
    j->len = len;
    j->added = arg;
    j->stamp_ms = clock_wall_ms();
    map_put(m->by_id, id, strlen(id), j);
    put_in_wait(m, j, false);
    j->unanswered = answer(m, done, arg, QUEUE_OK, NULL);
    if (j->unanswered != NULL)
        j->unanswered->job = j;
}

void queue_memory_take(struct queue_memory *m, unsigned max, queue_taken_fn taken, void *arg)
{
    struct take *t = xcalloc(1, sizeof(*t));

    t->max = max < TAKE_MAX ? max : TAKE_MAX;
    t->taken = taken;
    t->arg = arg;
    list_push_back(&m->takes, &t->link);
    wake(m);
}

void queue_memory_settle(struct queue_memory *m, enum queue_memory_op op, const char *id, const char *text,
                         uint64_t delay_ms, bool count_attempt, bool front, queue_done_fn done, void *arg)
{
    struct memory_job *j = map_get(m->by_id, id, strlen(id));

    if (j == NULL || j->place != ACTIVE) {
        answer(m, done, arg, QUEUE_MISSING, "there is no such job in hand");
        return;
    }
    answer(m, done, arg, QUEUE_OK, NULL);
    if (op == QUEUE_MEMORY_COMPLETE || op == QUEUE_MEMORY_FAIL) {
        end(m, j, op == QUEUE_MEMORY_COMPLETE ? QUEUE_END_COMPLETED : QUEUE_END_FAILED, text);
    } else if (m->closed) {
        end(m, j, QUEUE_END_DROPPED, "this process ends");
    } else {
        leave(m, j);
        j->attempts += count_attempt;
        j->front = front;
        if (op == QUEUE_MEMORY_DELAY && delay_ms > 0)
            delay(m, j, delay_ms);
        else
            put_in_wait(m, j, true);
    }
    if (m->one_at_a_time || op == QUEUE_MEMORY_HAND_BACK)
        tell(m);
}

static void give(struct queue_memory *m, const struct take *t)
{
    struct queue_job jobs[TAKE_MAX];
    unsigned n = 0, max = t->max;
    struct memory_job *j;

    if (m->one_at_a_time)
        max = m->n[ACTIVE] + m->n[DELAYED] == 0;
    while (n < max && !m->closed && (j = list_first(&m->jobs[WAIT], struct memory_job, link)) != NULL) {
        leave(m, j);
        enter(m, j, ACTIVE, &m->jobs[ACTIVE]);
        jobs[n++] = (struct queue_job){.id = j->id,
                                       .name = "__default__",
                                       .data = j->data,
                                       .data_len = j->len,
                                       .opts = "{}",
                                       .opts_len = 2,
                                       .timestamp_ms = j->stamp_ms,
                                       .attempts_made = j->attempts,
                                       .failures = j->attempts,
                                       .added = j->added};
    }
    t->taken(QUEUE_OK, jobs, n, t->arg);
}

void queue_memory_turn(struct queue_memory *m)
{
    struct list answers, takes;
    struct answer *a;
    struct take *t;

    list_init(&answers);
    list_init(&takes);
    while ((a = list_first(&m->answers, struct answer, link)) != NULL) {
        list_remove(&a->link);
        list_push_back(&answers, &a->link);
    }
    while ((t = list_first(&m->takes, struct take, link)) != NULL) {
        list_remove(&t->link);
        list_push_back(&takes, &t->link);
    }
    while ((a = list_first(&answers, struct answer, link)) != NULL) {
        give_answer(a, m->freed ? QUEUE_AWAY : a->status);
    }
    while ((t = list_first(&takes, struct take, link)) != NULL) {
        list_remove(&t->link);
        if (m->freed)
            t->taken(QUEUE_AWAY, NULL, 0, t->arg);
        else
            give(m, t);
        free(t);
    }
}

void queue_memory_close(struct queue_memory *m)
{
    struct memory_job *j;

    m->closed = true;
    while ((j = list_first(&m->jobs[WAIT], struct memory_job, link)) != NULL ||
           (j = list_first(&m->jobs[DELAYED], struct memory_job, link)) != NULL)
        end(m, j, QUEUE_END_DROPPED, "this process ends");
    arm(m);
}

void queue_memory_set_progress(struct queue_memory *m, const char *id, const char *json, queue_done_fn done,
                               void *arg)
{
    struct memory_job *j = map_get(m->by_id, id, strlen(id));

    if (j != NULL) {
        free(j->progress);
        j->progress = xstrdup(json);
    }
    (void)answer(m, done, arg, j != NULL ? QUEUE_OK : QUEUE_MISSING, NULL);
}

const char *queue_memory_progress(const struct queue_memory *m, const char *id)
{
    const struct memory_job *j = map_get(m->by_id, id, strlen(id));

    return j != NULL && j->progress != NULL ? j->progress : "";
}

/* ---- the tick */

void queue_memory_count(const struct queue_memory *m, struct queue_counts *c)
{
    const struct memory_job *next = list_first(&m->jobs[WAIT], struct memory_job, link);
    uint64_t now_ms = clock_mono_ms();

    *c = (struct queue_counts){
        .wait = m->n[WAIT], .active = m->n[ACTIVE], .delayed = m->n[DELAYED], .longest_known = true};
    if (next != NULL)
        c->oldest_wait_ms = c->longest_wait_ms = now_ms - next->since_ms;
}

static void on_second(struct ev_loop *loop, ev_timer *w, int events)
{
    struct queue_memory *m = w->data;
    struct queue_counts c;

    (void)loop, (void)events;
    queue_memory_count(m, &c);
    if (m->tick != NULL && m->tick->counted != NULL)
        m->tick->counted(m->q, &c, m->tick_arg);
}

void queue_memory_tick(struct queue_memory *m, const struct queue_tick_events *events, void *arg)
{
    m->tick = events;
    m->tick_arg = arg;
    ev_timer_start(m->loop, &m->second);
}

void queue_memory_untick(struct queue_memory *m)
{
    m->tick = NULL;
    ev_timer_stop(m->loop, &m->second);
}

/* ---- the object */

struct queue_memory *queue_memory_new(struct ev_loop *loop, struct queue *q, const struct queue_options *o)
{
    struct queue_memory *m = xcalloc(1, sizeof(*m));

    m->loop = loop;
    m->q = q;
    m->one_at_a_time = o->one_at_a_time;
    m->ended = o->ended;
    m->by_id = map_new();
    for (int i = 0; i < 3; i++)
        list_init(&m->jobs[i]);
    list_init(&m->answers);
    list_init(&m->takes);
    ev_idle_init(&m->idle, on_idle);
    ev_timer_init(&m->due, on_due, 0., 0.);
    ev_timer_init(&m->second, on_second, 1., 1.);
    m->due.data = m->second.data = m;
    return m;
}

void queue_memory_free(struct queue_memory *m)
{
    if (m == NULL)
        return;
    m->freed = true;
    queue_memory_untick(m);
    queue_memory_turn(m);
    ev_idle_stop(m->loop, &m->idle);
    ev_timer_stop(m->loop, &m->due);
    for (int i = 0; i < 3; i++) {
        struct memory_job *j;

        list_foreach(j, &m->jobs[i], struct memory_job, link)
        {
            free(j->progress);
            free(j);
        }
    }
    map_free(m->by_id);
    free(m);
}
