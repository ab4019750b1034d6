/* progress - how far a job has come: Bull's field of that name, so that Bull's clients and consoles show it. */
#include "common/queue/internal.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"

struct progress_call {
    struct queue_call call;
    queue_done_fn done;
    queue_progress_fn read;
    void *arg;
};

static void on_set(struct queue_call *c, enum queue_status s, const char *why, const struct redisReply *reply)
{
    const struct progress_call *p = (const struct progress_call *)(const void *)c;
    if (s == QUEUE_OK && reply->integer == -1) {
        s = QUEUE_MISSING;
        why = "there is no such job";
    } else if (s == QUEUE_OK && reply->integer != 0) {
        s = QUEUE_LOST;
        why = "the lock is not ours any more";
    }
    if (p->done != NULL)
        p->done(s, why, p->arg);
}

static void nobody_asks(enum queue_status s, const char *why, void *arg)
{
    (void)s, (void)why, (void)arg;
}

void queue_progress_set(struct queue *q, const char *id, const char *json, queue_done_fn done, void *arg)
{
    if (q->memory != NULL) {
        queue_memory_set_progress(q->memory, id, json, done != NULL ? done : nobody_asks, arg);
        return;
    }
    struct progress_call *p = xcalloc(1, sizeof *p);
    const char *argv[] = {q->o.token, id, json};
    p->call.finish = on_set;
    p->done = done;
    p->arg = arg;
    queue_call_script(q, &p->call, &queue_script_progress, 3, argv, NULL);
}

static void on_read(struct queue_call *c, enum queue_status s, const char *why,
                    const struct redisReply *reply)
{
    const struct progress_call *p = (const struct progress_call *)(const void *)c;
    bool there = s == QUEUE_OK && reply->type == REDIS_REPLY_STRING;
    (void)why;
    p->read(s, there ? reply->str : "", there ? reply->len : 0, p->arg);
}

void queue_progress_read(struct queue *q, const char *id, queue_progress_fn fn, void *arg)
{
    if (q->memory != NULL) {
        const char *json = queue_memory_progress(q->memory, id);
        fn(QUEUE_OK, json, strlen(json), arg);
        return;
    }
    struct progress_call *p = xcalloc(1, sizeof *p);
    char *key = xasprintf("%s%s", q->base, id);
    const char *argv[] = {"HGET", key, "progress"};
    p->call.finish = on_read;
    p->read = fn;
    p->arg = arg;
    queue_call_begin(q, &p->call);
    redis_command(q->r, queue_call_reply, &p->call, 3, argv, NULL);
    free(key);
}
