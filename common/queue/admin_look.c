/* admin_look - reads jobs. One job comes from a script, with its state; of many the script gives the ids, and native
 * commands their hashes, so that their data does not pass through Lua. */
#include "common/queue/admin.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"
#include "common/base/str.h"
#include "common/queue/internal.h"

#define LIST_MAX       1000
#define PRIORITIES_MAX 1000
#define UNEXPECTED     "Redis gave an unexpected answer"

enum {
    F_NAME,
    F_OPTS,
    F_TIMESTAMP,
    F_PROCESSED,
    F_FINISHED,
    F_RETRIED,
    F_DELAY,
    F_PRIORITY,
    F_ATTEMPTS,
    F_STALLED,
    F_REASON,
    F_STACKTRACE,
    F_VALUE,
    F_PROGRESS,
    F_DEID,
    F_DATA, /* last: it may be left out */
    FIELDS
};
static const char *const field_names[FIELDS] = {
    "name",        "opts",     "timestamp",    "processedOn",    "finishedOn",   "retriedOn",
    "delay",       "priority", "attemptsMade", "stalledCounter", "failedReason", "stacktrace",
    "returnvalue", "progress", "deid",         "data",
};

static const char *text_of(const struct redisReply *r)
{
    return r->type == REDIS_REPLY_STRING ? r->str : NULL;
}

static uint64_t number_in(const char *text)
{
    double v = text != NULL ? strtod(text, NULL) : 0;
    return v >= 1 && v < 9e15 ? (uint64_t)v : 0;
}

/* values: what HMGET of field_names answered, the last may be missing. False: there is no such hash. */
static bool read_job(struct queue_job_info *job, const struct redisReply *values)
{
    if (values->type != REDIS_REPLY_ARRAY || values->elements < F_DATA)
        return false;
    const char *v[FIELDS] = {0};
    bool any = false;
    for (size_t i = 0; i < FIELDS && i < values->elements; i++) {
        v[i] = text_of(values->element[i]);
        any = any || v[i] != NULL;
    }
    job->name = v[F_NAME];
    job->opts = v[F_OPTS];
    job->opts_len = v[F_OPTS] != NULL ? values->element[F_OPTS]->len : 0;
    job->data = v[F_DATA];
    job->data_len = v[F_DATA] != NULL ? values->element[F_DATA]->len : 0;
    job->timestamp_ms = number_in(v[F_TIMESTAMP]);
    job->processed_on_ms = number_in(v[F_PROCESSED]);
    job->finished_on_ms = number_in(v[F_FINISHED]);
    job->retried_on_ms = number_in(v[F_RETRIED]);
    job->delay_ms = number_in(v[F_DELAY]);
    job->priority = number_in(v[F_PRIORITY]);
    job->attempts_made = number_in(v[F_ATTEMPTS]);
    job->stalled_count = number_in(v[F_STALLED]);
    job->failed_reason = v[F_REASON];
    job->stacktrace = v[F_STACKTRACE];
    job->return_value = v[F_VALUE];
    job->progress = v[F_PROGRESS];
    job->debounce_id = v[F_DEID];
    return any;
}

/* ---- one */

struct job_call {
    struct queue_call call;
    char *id;
    queue_job_fn fn;
    void *arg;
};

static void on_job(struct queue_call *c, enum queue_status s, const char *why, const struct redisReply *reply)
{
    enum { STATE, TOKEN, LEFT, LOGS, SCORE, VALUES, HEAD };
    struct job_call *j = (struct job_call *)(void *)c;
    struct queue_job_info job = {.id = j->id};
    if (s == QUEUE_OK && reply->type == REDIS_REPLY_ARRAY && reply->elements == 0) {
        s = QUEUE_MISSING;
        why = "there is no such job";
    } else if (s == QUEUE_OK && (reply->type != REDIS_REPLY_ARRAY || reply->elements != HEAD ||
                                 !read_job(&job, reply->element[VALUES]))) {
        s = QUEUE_BROKEN;
        why = UNEXPECTED;
    } else if (s == QUEUE_OK) {
        struct redisReply *const *e = reply->element;
        const char *state = text_of(e[STATE]), *token = text_of(e[TOKEN]);
        if (state == NULL || !queue_state_of(state, &job.state))
            job.state = QUEUE_STATE_NONE;
        job.lock_token = token != NULL && *token != '\0' ? token : NULL;
        job.lock_left_ms = e[LEFT]->integer > 0 ? (uint64_t)e[LEFT]->integer : 0;
        job.logs = e[LOGS]->integer > 0 ? (uint64_t)e[LOGS]->integer : 0;
        job.due_ms = number_in(text_of(e[SCORE])) / 4096;
    }
    j->fn(s, s == QUEUE_OK ? &job : NULL, why, j->arg);
    free(j->id);
}

void queue_get_job(struct queue *q, const char *id, queue_job_fn fn, void *arg)
{
    struct job_call *j = xcalloc(1, sizeof *j);
    const char *argv[2 + FIELDS] = {"job", id};
    memcpy(argv + 2, field_names, sizeof field_names);
    j->call.finish = on_job;
    j->id = xstrdup(id);
    j->fn = fn;
    j->arg = arg;
    queue_call_script(q, &j->call, &queue_script_admin_look, 2 + FIELDS, argv, NULL);
}

/* ---- many */

struct listing { /* lives until the last of its hashes is answered */
    enum queue_state state;
    bool with_data;
    struct listed {
        struct queue_job_info info; /* its texts stand in block */
        char *id, *block;
        bool is_there;
    } * jobs;
    size_t n, pending;
    enum queue_status status;
    char why[160];
    queue_jobs_fn fn;
    void *arg;
};

struct listing_call {
    struct queue_call call;
    struct listing *l;
    size_t i; /* of the job */
};

static void listing_end(struct listing *l)
{
    struct queue_job_info *jobs = xcalloc(l->n + 1, sizeof *jobs);
    size_t n = 0;
    for (size_t i = 0; i < l->n; i++)
        if (l->jobs[i].is_there)
            jobs[n++] = l->jobs[i].info;
    if (l->status == QUEUE_OK)
        l->fn(QUEUE_OK, jobs, n, NULL, l->arg);
    else
        l->fn(l->status, NULL, 0, l->why, l->arg);
    for (size_t i = 0; i < l->n; i++) {
        free(l->jobs[i].id);
        free(l->jobs[i].block);
    }
    free(jobs);
    free(l->jobs);
    free(l);
}

static void listing_fail(struct listing *l, enum queue_status s, const char *why)
{
    l->status = s;
    str_copy(l->why, why, sizeof l->why);
}

/* Copies the job's texts out of the reply. 0, or -1 with ENOMEM. */
static int keep_texts(struct listed *job, const struct redisReply *values)
{
    struct queue_job_info *j = &job->info;
    const char **texts[] = {&j->name,       &j->opts,         &j->data,     &j->failed_reason,
                            &j->stacktrace, &j->return_value, &j->progress, &j->debounce_id};
    size_t size = 1;
    for (size_t i = 0; i < values->elements; i++)
        size += values->element[i]->type == REDIS_REPLY_STRING ? values->element[i]->len + 1 : 0;
    char *at = job->block = mem_try(size);
    if (at == NULL)
        return -1;
    for (size_t i = 0; i < values->elements; i++) {
        const struct redisReply *v = values->element[i];
        for (size_t k = 0; v->type == REDIS_REPLY_STRING && k < sizeof texts / sizeof *texts; k++)
            if (*texts[k] == v->str) {
                memcpy(at, v->str, v->len + 1);
                *texts[k] = at;
                at += v->len + 1;
            }
    }
    return 0;
}

static void on_hash(struct queue_call *c, enum queue_status s, const char *why,
                    const struct redisReply *reply)
{
    const struct listing_call *lc = (const struct listing_call *)(const void *)c;
    struct listing *l = lc->l;
    struct listed *job = &l->jobs[lc->i];
    if (s == QUEUE_OK && read_job(&job->info, reply)) {
        job->is_there = true;
        if (keep_texts(job, reply) < 0)
            listing_fail(l, QUEUE_REFUSED, "out of memory");
    } else if (s != QUEUE_OK && s != QUEUE_BROKEN) { /* what is no hash is no job */
        listing_fail(l, s, why);
    }
    if (--l->pending == 0)
        listing_end(l);
}

static void ask_hash(struct queue *q, struct listing *l, size_t i)
{
    struct listing_call *c = xcalloc(1, sizeof *c);
    char *key = xasprintf("%s%s", q->base, l->jobs[i].id);
    const char *argv[2 + FIELDS] = {"HMGET", key};
    memcpy(argv + 2, field_names, sizeof field_names);
    c->call.finish = on_hash;
    c->l = l;
    c->i = i;
    queue_call_begin(q, &c->call);
    redis_command(q->r, queue_call_reply, &c->call, 2 + (l->with_data ? FIELDS : F_DATA), argv, NULL);
    free(key);
}

static void note_ids(struct listing *l, const struct redisReply *reply)
{
    size_t each = l->state == QUEUE_STATE_DELAYED ? 2 : 1;
    l->jobs = xcalloc(LIST_MAX, sizeof *l->jobs);
    for (size_t i = 0; i + each <= reply->elements && l->n < LIST_MAX; i += each) {
        const char *id = text_of(reply->element[i]);
        if (id == NULL)
            continue;
        struct listed *job = &l->jobs[l->n++];
        job->id = xstrdup(id);
        job->info.id = job->id;
        job->info.state = l->state;
        if (each == 2)
            job->info.due_ms = number_in(text_of(reply->element[i + 1])) / 4096;
    }
}

static void on_ids(struct queue_call *c, enum queue_status s, const char *why, const struct redisReply *reply)
{
    struct listing *l = ((struct listing_call *)(void *)c)->l;
    if (s == QUEUE_OK && reply->type != REDIS_REPLY_ARRAY)
        listing_fail(l, QUEUE_BROKEN, UNEXPECTED);
    else if (s != QUEUE_OK)
        listing_fail(l, s, why);
    else
        note_ids(l, reply);
    l->pending = 1;
    for (size_t i = 0; i < l->n && !c->q->freed; i++) {
        l->pending++;
        ask_hash(c->q, l, i);
    }
    if (--l->pending == 0)
        listing_end(l);
}

void queue_list_jobs(struct queue *q, enum queue_state state, uint64_t start, uint64_t end, bool asc,
                     bool with_data, queue_jobs_fn fn, void *arg)
{
    if (state == QUEUE_STATE_NONE || start > end || start > INT32_MAX) {
        fn(QUEUE_INVALID, NULL, 0, "no such part of a queue", arg);
        return;
    }
    if (end - start >= LIST_MAX)
        end = start + LIST_MAX - 1;
    struct listing *l = xcalloc(1, sizeof *l);
    struct listing_call *c = xcalloc(1, sizeof *c);
    char first[24], last[24];
    snprintf(first, sizeof first, "%" PRIu64, start);
    snprintf(last, sizeof last, "%" PRIu64, end);
    const char *argv[] = {"list", queue_state_name(state), first, last, asc ? "1" : ""};
    l->state = state;
    l->with_data = with_data;
    l->fn = fn;
    l->arg = arg;
    c->call.finish = on_ids;
    c->l = l;
    queue_call_script(q, &c->call, &queue_script_admin_look, 5, argv, NULL);
}

/* ---- small questions */

struct question {
    struct queue_call call;
    size_t n;
    bool asc;
    queue_finished_fn finished;
    queue_paused_fn paused;
    queue_numbers_fn numbers;
    queue_logs_fn logs;
    void *arg;
};

static struct question *question_new(void (*finish)(struct queue_call *, enum queue_status, const char *,
                                                    const struct redisReply *),
                                     void *arg)
{
    struct question *x = xcalloc(1, sizeof *x);
    x->call.finish = finish;
    x->arg = arg;
    return x;
}

static void on_finished(struct queue_call *c, enum queue_status s, const char *why,
                        const struct redisReply *reply)
{
    (void)why;
    const struct question *x = (const struct question *)(const void *)c;
    enum queue_state state = QUEUE_STATE_NONE;
    if (s == QUEUE_OK && (text_of(reply) == NULL || (reply->len > 0 && !queue_state_of(reply->str, &state))))
        s = QUEUE_BROKEN;
    x->finished(s, state, x->arg);
}

void queue_is_finished(struct queue *q, const char *id, queue_finished_fn fn, void *arg)
{
    struct question *x = question_new(on_finished, arg);
    const char *argv[] = {"finished", id};
    x->finished = fn;
    queue_call_script(q, &x->call, &queue_script_admin_look, 2, argv, NULL);
}

static void on_is_paused(struct queue_call *c, enum queue_status s, const char *why,
                         const struct redisReply *reply)
{
    (void)why;
    const struct question *x = (const struct question *)(const void *)c;
    if (s == QUEUE_OK && reply->type != REDIS_REPLY_INTEGER)
        s = QUEUE_BROKEN;
    x->paused(s, s == QUEUE_OK && reply->integer != 0, x->arg);
}

void queue_is_paused(struct queue *q, queue_paused_fn fn, void *arg)
{
    struct question *x = question_new(on_is_paused, arg);
    char *key = xasprintf("%smeta-paused", q->base);
    const char *argv[] = {"EXISTS", key};
    x->paused = fn;
    queue_call_begin(q, &x->call);
    redis_command(q->r, queue_call_reply, &x->call, 2, argv, NULL);
    free(key);
}

static void on_numbers(struct queue_call *c, enum queue_status s, const char *why,
                       const struct redisReply *reply)
{
    (void)why;
    const struct question *x = (const struct question *)(const void *)c;
    uint64_t counts[PRIORITIES_MAX] = {0};
    if (s == QUEUE_OK && (reply->type != REDIS_REPLY_ARRAY || reply->elements != x->n))
        s = QUEUE_BROKEN;
    for (size_t i = 0; s == QUEUE_OK && i < x->n; i++)
        counts[i] = reply->element[i]->integer > 0 ? (uint64_t)reply->element[i]->integer : 0;
    x->numbers(s, counts, x->n, x->arg);
}

void queue_count_priorities(struct queue *q, const uint64_t *priorities, size_t n, queue_numbers_fn fn,
                            void *arg)
{
    if (n > PRIORITIES_MAX) {
        fn(QUEUE_INVALID, NULL, 0, arg);
        return;
    }
    struct question *x = question_new(on_numbers, arg);
    const char **argv = xcalloc(n + 1, sizeof *argv);
    char(*texts)[24] = xcalloc(n + 1, sizeof *texts);
    argv[0] = "priorities";
    for (size_t i = 0; i < n; i++) {
        snprintf(texts[i], sizeof texts[i], "%" PRIu64, priorities[i]);
        argv[i + 1] = texts[i];
    }
    x->n = n;
    x->numbers = fn;
    queue_call_script(q, &x->call, &queue_script_admin_look, (int)n + 1, argv, NULL);
    free(texts);
    free(argv);
}

static void on_logs(struct queue_call *c, enum queue_status s, const char *why,
                    const struct redisReply *reply)
{
    (void)why;
    const struct question *x = (const struct question *)(const void *)c;
    if (s == QUEUE_OK &&
        (reply->type != REDIS_REPLY_ARRAY || reply->elements != 2 ||
         reply->element[0]->type != REDIS_REPLY_ARRAY || reply->element[1]->type != REDIS_REPLY_INTEGER))
        s = QUEUE_BROKEN;
    if (s != QUEUE_OK) {
        x->logs(s, NULL, NULL, 0, 0, x->arg);
        return;
    }
    const struct redisReply *found = reply->element[0];
    const char **lines = xcalloc(found->elements + 1, sizeof *lines);
    size_t *lens = xcalloc(found->elements + 1, sizeof *lens), n = found->elements;
    for (size_t i = 0; i < n; i++) {
        const struct redisReply *line = found->element[x->asc ? i : n - 1 - i];
        lines[i] = text_of(line) != NULL ? line->str : "";
        lens[i] = text_of(line) != NULL ? line->len : 0;
    }
    x->logs(QUEUE_OK, lines, lens, n, (uint64_t)reply->element[1]->integer, x->arg);
    free(lens);
    free(lines);
}

void queue_get_logs(struct queue *q, const char *id, int64_t start, int64_t end, bool asc, queue_logs_fn fn,
                    void *arg)
{
    struct question *x = question_new(on_logs, arg);
    start = start > INT32_MAX ? INT32_MAX : start < INT32_MIN ? INT32_MIN : start;
    end = end > INT32_MAX ? INT32_MAX : end < INT32_MIN ? INT32_MIN : end;
    char first[24], last[24];
    x->logs = fn;
    x->asc = asc;
    snprintf(first, sizeof first, "%" PRId64, asc ? start : -(end + 1));
    snprintf(last, sizeof last, "%" PRId64, asc ? end : -(start + 1));
    const char *argv[] = {"logs", id, first, last};
    queue_call_script(q, &x->call, &queue_script_admin_look, 4, argv, NULL);
}
