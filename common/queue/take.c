/* take - jobs from wait to active, locked, in one step. */
#include "common/queue/internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/base/str.h"

enum { F_ID, F_NAME, F_DATA, F_OPTS, F_TIMESTAMP, F_ATTEMPTS, F_STALLED, F_RETRIED, FIELDS };

struct wish { /* a take not yet sent */
    struct list link;
    unsigned max;
    queue_taken_fn taken;
    void *arg;
};

struct take {
    struct queue_call call;
    queue_taken_fn taken;
    void *arg;
};

void queue_take(struct queue *q, unsigned max, queue_taken_fn taken, void *arg)
{
    struct wish *w = xcalloc(1, sizeof *w);
    w->max = max < QUEUE_TAKE_MAX ? max : QUEUE_TAKE_MAX;
    w->taken = taken;
    w->arg = arg;
    list_push_back(&q->takes, &w->link);
}

static const char *text_of(const struct redisReply *r, const char *absent, size_t *len)
{
    bool there = r->type == REDIS_REPLY_STRING;
    const char *text = there ? r->str : absent;
    if (len != NULL)
        *len = there ? r->len : strlen(absent);
    return text;
}

static uint64_t number_of(const struct redisReply *r)
{
    uint64_t v = 0;
    if (r->type == REDIS_REPLY_STRING && str_parse_u64(r->str, &v) == 0)
        return v;
    return 0;
}

static void read_job(struct queue_job *j, struct redisReply *const *f)
{
    j->id = text_of(f[F_ID], "", NULL);
    j->name = text_of(f[F_NAME], "__default__", NULL);
    j->data = text_of(f[F_DATA], "", &j->data_len);
    j->opts = text_of(f[F_OPTS], "{}", &j->opts_len);
    j->timestamp_ms = number_of(f[F_TIMESTAMP]);
    j->attempts_made = number_of(f[F_ATTEMPTS]);
    j->stalled_count = number_of(f[F_STALLED]);
    j->manual_retry = f[F_RETRIED]->type == REDIS_REPLY_STRING;
}

static void on_taken(struct queue_call *c, enum queue_status s, const char *why,
                     const struct redisReply *reply)
{
    struct take *t = (struct take *)(void *)c;
    if (s != QUEUE_OK) {
        if (s == QUEUE_BROKEN)
            log_error("queue_take", "queue=%s why=%s", log_q(queue_name(c->q)), log_q(why));
        t->taken(s, NULL, 0, t->arg);
        return;
    }
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements == 0 || (reply->elements - 1) % FIELDS != 0) {
        t->taken(QUEUE_BROKEN, NULL, 0, t->arg);
        return;
    }
    if (reply->element[0]->integer > 0)
        log_warn("queue_ghosts", "queue=%s n=%lld", log_q(queue_name(c->q)), reply->element[0]->integer);
    size_t n = (reply->elements - 1) / FIELDS;
    struct queue_job *jobs = xcalloc(n > 0 ? n : 1, sizeof *jobs);
    for (size_t i = 0; i < n; i++)
        read_job(&jobs[i], reply->element + 1 + i * FIELDS);
    t->taken(QUEUE_OK, jobs, n, t->arg);
    free(jobs);
}

void queue_flush_takes(struct queue *q)
{
    struct list now;
    list_init(&now);
    struct wish *w;
    while ((w = list_first(&q->takes, struct wish, link)) != NULL) {
        list_remove(&w->link);
        list_push_back(&now, &w->link);
    }
    while ((w = list_first(&now, struct wish, link)) != NULL) {
        list_remove(&w->link);
        struct take *t = xcalloc(1, sizeof *t);
        char lock_ms[24], max[16];
        snprintf(lock_ms, sizeof lock_ms, "%" PRIu64, q->o.lock_ms);
        snprintf(max, sizeof max, "%u", w->max);
        t->call.finish = on_taken;
        t->taken = w->taken;
        t->arg = w->arg;
        free(w);
        const char *argv[] = {q->o.token, lock_ms, max};
        queue_call_script(q, &t->call, &queue_script_take, 3, argv, NULL);
    }
}

void queue_drop_takes(struct queue *q, enum queue_status s)
{
    struct wish *w;
    while ((w = list_first(&q->takes, struct wish, link)) != NULL) {
        list_remove(&w->link);
        w->taken(s, NULL, 0, w->arg);
        free(w);
    }
}
