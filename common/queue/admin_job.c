/* admin_job - what is done to one job, and to the queue as a whole: retry, promote, remove, update, log, pause. */
#include "common/queue/admin.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"
#include "common/queue/internal.h"

#define PAUSE_STEP 1000 /* entries joined by one call */

struct job_call {
    struct queue_call call;
    const char *elsewhere; /* what a code of -2 means */
    queue_done_fn done;
    queue_logged_fn logged;
    void *arg;
};

/* The number that the script answered, or the one at which of an array. */
static bool number_of(const struct redisReply *reply, size_t which, long long *n)
{
    if (reply->type == REDIS_REPLY_ARRAY && which < reply->elements)
        reply = reply->element[which];
    if (reply->type != REDIS_REPLY_INTEGER)
        return false;
    *n = reply->integer;
    return true;
}

static enum queue_status judge(long long code, const char *elsewhere, const char **why)
{
    if (code > 0)
        return QUEUE_OK;
    if (code == -1) {
        *why = "a worker has the job in hand";
        return QUEUE_LOCKED;
    }
    if (code == -2) {
        *why = elsewhere;
        return QUEUE_WRONG_STATE;
    }
    *why = "there is no such job";
    return QUEUE_MISSING;
}

static void on_done(struct queue_call *c, enum queue_status s, const char *why,
                    const struct redisReply *reply)
{
    const struct job_call *j = (const struct job_call *)(const void *)c;
    enum { CODE = 3 }; /* of a removal's answer */
    long long code = 0;
    if (s == QUEUE_OK && !number_of(reply, CODE, &code)) {
        s = QUEUE_BROKEN;
        why = "Redis gave an unexpected answer";
    }
    if (s == QUEUE_OK)
        s = judge(code, j->elsewhere, &why);
    if (j->logged != NULL)
        j->logged(s, s == QUEUE_OK ? (uint64_t)code : 0, why, j->arg);
    else if (j->done != NULL)
        j->done(s, why, j->arg);
}

static void ask(struct queue *q, const struct redis_script *script, int argc, const char *const *argv,
                const size_t *lens, const struct job_call *as)
{
    struct job_call *j = xcalloc(1, sizeof *j);
    *j = *as;
    j->call.finish = on_done;
    queue_call_script(q, &j->call, script, argc, argv, lens);
}

void queue_retry_job(struct queue *q, const char *id, queue_done_fn done, void *arg)
{
    const char *argv[] = {"retry", q->o.token, id};
    ask(q, &queue_script_admin_move, 3, argv, NULL,
        &(struct job_call){.done = done, .arg = arg, .elsewhere = "the job has not failed"});
}

void queue_promote_job(struct queue *q, const char *id, queue_done_fn done, void *arg)
{
    const char *argv[] = {"promote", q->o.token, id};
    ask(q, &queue_script_admin_move, 3, argv, NULL,
        &(struct job_call){.done = done, .arg = arg, .elsewhere = "the job is not delayed"});
}

void queue_remove_job(struct queue *q, const char *id, queue_done_fn done, void *arg)
{
    char tombstone[24];
    snprintf(tombstone, sizeof tombstone, "%" PRIu64, q->o.tombstone_ms);
    const char *argv[] = {"", tombstone, "", id};
    ask(q, &queue_script_admin_remove, 4, argv, NULL, &(struct job_call){.done = done, .arg = arg});
}

static void write_json(struct queue *q, const char *what, const char *id, const char *json, size_t len,
                       queue_done_fn done, void *arg)
{
    if (len > QUEUE_JOB_MAX || !queue_is_json(json, len)) {
        if (done != NULL)
            done(QUEUE_INVALID, len > QUEUE_JOB_MAX ? "it is larger than 16 MiB" : "it is not JSON text",
                 arg);
        return;
    }
    const char *argv[] = {what, id, json, "0"};
    size_t lens[] = {strlen(what), strlen(id), len, 1};
    ask(q, &queue_script_admin_touch, 4, argv, lens, &(struct job_call){.done = done, .arg = arg});
}

void queue_update_data(struct queue *q, const char *id, const char *json, size_t len, queue_done_fn done,
                       void *arg)
{
    write_json(q, "data", id, json, len, done, arg);
}

void queue_update_progress(struct queue *q, const char *id, const char *json, queue_done_fn done, void *arg)
{
    write_json(q, "progress", id, json, strlen(json), done, arg);
}

void queue_add_log(struct queue *q, const char *id, const char *line, uint64_t keep, queue_logged_fn done,
                   void *arg)
{
    char kept[24];
    snprintf(kept, sizeof kept, "%" PRIu64, keep < INT32_MAX ? keep : INT32_MAX);
    const char *argv[] = {"log", id, line, kept};
    ask(q, &queue_script_admin_touch, 4, argv, NULL, &(struct job_call){.logged = done, .arg = arg});
}

/* ---- pause and resume */

struct pause_call {
    struct queue_call call;
    const char *event;
    queue_done_fn done;
    void *arg;
};

static void pause_step(struct queue *q, const char *event, queue_done_fn done, void *arg);

static void on_paused(struct queue_call *c, enum queue_status s, const char *why,
                      const struct redisReply *reply)
{
    const struct pause_call *p = (const struct pause_call *)(const void *)c;
    if (s == QUEUE_OK && reply->type != REDIS_REPLY_INTEGER) {
        s = QUEUE_BROKEN;
        why = "Redis gave an unexpected answer";
    }
    if (s == QUEUE_OK && reply->integer == 0 && !c->q->freed)
        pause_step(c->q, p->event, p->done, p->arg); /* two long lists are being joined */
    else if (p->done != NULL)
        p->done(s, why, p->arg);
}

static void pause_step(struct queue *q, const char *event, queue_done_fn done, void *arg)
{
    struct pause_call *p = xcalloc(1, sizeof *p);
    char step[16];
    snprintf(step, sizeof step, "%d", PAUSE_STEP);
    const char *argv[] = {event, step};
    p->call.finish = on_paused;
    p->event = event;
    p->done = done;
    p->arg = arg;
    queue_call_script(q, &p->call, &queue_script_admin_pause, 2, argv, NULL);
}

void queue_pause(struct queue *q, queue_done_fn done, void *arg)
{
    pause_step(q, "paused", done, arg);
}

void queue_resume(struct queue *q, queue_done_fn done, void *arg)
{
    pause_step(q, "resumed", done, arg);
}
