/* repeat - the calls of repeat.h. What is next is reckoned here (repeat_plan.c), by this host's clock as Bull does it;
 * whether it is still wanted, and not there yet, the script decides. */
#include "common/queue/repeat.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/mem.h"
#include "common/base/str.h"
#include "common/queue/internal.h"

#define LIST_MAX 1000
#define WHY_SIZE 256

struct numbers { /* of a plan, as text */
    char prev[24], next[24], stamp[24], delay[24], priority[24];
};

static void write_numbers(struct numbers *n, const struct queue_plan *p, uint64_t now)
{
    snprintf(n->prev, sizeof n->prev, "%" PRIu64, p->prev_ms);
    snprintf(n->next, sizeof n->next, "%" PRIu64, p->next_ms);
    snprintf(n->stamp, sizeof n->stamp, "%" PRIu64, now);
    snprintf(n->delay, sizeof n->delay, "%" PRIu64, p->next_ms > now ? p->next_ms - now : 0);
    snprintf(n->priority, sizeof n->priority, "%" PRIu64, p->priority);
}

/* ---- the first */

struct addition {
    struct queue_call call;
    queue_repeated_fn done;
    void *arg;
    uint64_t next_ms;
    char id[80];
};

static void on_added(struct queue_call *c, enum queue_status s, const char *why,
                     const struct redisReply *reply)
{
    struct addition *a = (struct addition *)(void *)c;
    if (s == QUEUE_OK && (reply->type != REDIS_REPLY_INTEGER || reply->integer < 0 || reply->integer > 1)) {
        s = QUEUE_BROKEN;
        why = "Redis gave an unexpected answer";
    } else if (s == QUEUE_OK && reply->integer == 0) {
        s = QUEUE_DUPLICATE;
        why = "the next job of this repetition was there already";
    }
    bool there = s == QUEUE_OK || s == QUEUE_DUPLICATE;
    a->done(s, there ? a->id : NULL, there ? a->next_ms : 0, why, a->arg);
}

void queue_repeat_add(struct queue *q, const char *name, const char *opts, size_t opts_len, const char *data,
                      size_t data_len, queue_repeated_fn done, void *arg)
{
    char why[WHY_SIZE];
    struct queue_plan p;
    struct numbers n = {0};
    uint64_t now = clock_wall_ms();
    name = name != NULL ? name : "__default__";
    if (data_len > QUEUE_JOB_MAX) {
        done(QUEUE_INVALID, NULL, 0, "the job's data is too large", arg);
        return;
    }
    enum queue_status s = queue_plan_make(&p, name, opts, opts_len, now, why, sizeof why);
    if (s != QUEUE_OK) {
        done(s, NULL, 0, s == QUEUE_MISSING ? "the repetition has no time left" : why, arg);
        return;
    }
    struct addition *a = xcalloc(1, sizeof *a);
    a->call.finish = on_added;
    a->done = done;
    a->arg = arg;
    a->next_ms = p.next_ms;
    str_copy(a->id, p.id, sizeof a->id);
    write_numbers(&n, &p, now);
    const char *argv[] = {q->o.token, p.key,  n.next,  p.stem,  name,
                          data,       p.opts, n.stamp, n.delay, n.priority};
    enum { ARGC = sizeof argv / sizeof *argv, DATA = 5 };
    size_t lens[ARGC];
    for (int i = 0; i < ARGC; i++)
        lens[i] = i == DATA ? data_len : strlen(argv[i]);
    queue_call_script(q, &a->call, &queue_script_repeat_add, ARGC, argv, lens);
    queue_plan_free(&p);
}

/* ---- the next */

struct simple {
    struct queue_call call;
    queue_done_fn done;
    void *arg;
};

static struct simple *simple_new(void (*finish)(struct queue_call *, enum queue_status, const char *,
                                                const struct redisReply *),
                                 queue_done_fn done, void *arg)
{
    struct simple *c = xcalloc(1, sizeof *c);
    c->call.finish = finish;
    c->done = done;
    c->arg = arg;
    return c;
}

bool queue_repeat_is(const struct queue_job *job)
{
    /* The name as a member, not as some value: Bull writes no blank before the colon, and others hardly do. */
    const char *at = job->opts, *end = at != NULL ? at + job->opts_len : NULL;
    while (at != NULL && (at = memmem(at, (size_t)(end - at), "\"repeat\"", 8)) != NULL) {
        for (at += 8; at < end && strchr(" \t\r\n", *at) != NULL && *at != '\0';)
            at++;
        if (at < end && *at == ':')
            return true;
    }
    return false;
}

static void on_next(struct queue_call *c, enum queue_status s, const char *why,
                    const struct redisReply *reply)
{
    static const struct {
        enum queue_status status;
        const char *why;
    } codes[] = {{QUEUE_OK, NULL},
                 {QUEUE_DUPLICATE, "the next job of this repetition was there already"},
                 {QUEUE_LOST, "there is no such job"},
                 {QUEUE_LOST, "the lock is not ours"},
                 {QUEUE_MISSING, "the repetition was removed"}};
    const struct simple *n = (const struct simple *)(const void *)c;
    if (s == QUEUE_OK) {
        bool good = reply->type == REDIS_REPLY_INTEGER && reply->integer <= 1 && reply->integer >= -3;
        size_t i = good ? (size_t)(1 - reply->integer) : 0;
        s = good ? codes[i].status : QUEUE_BROKEN;
        why = good ? codes[i].why : "Redis gave an unexpected answer";
    }
    n->done(s, why, n->arg);
}

void queue_repeat_next(struct queue *q, const struct queue_job *job, queue_done_fn done, void *arg)
{
    char why[WHY_SIZE];
    struct queue_plan p;
    struct numbers n = {0};
    uint64_t now = clock_wall_ms();
    enum queue_status s = queue_plan_make(&p, job->name, job->opts, job->opts_len, now, why, sizeof why);
    if (s != QUEUE_OK) {
        done(s, s == QUEUE_MISSING ? "the repetition has reached its end" : why, arg);
        return;
    }
    write_numbers(&n, &p, now);
    const char *argv[] = {q->o.token, job->id, p.key,   n.prev,  n.next,
                          p.stem,     p.opts,  n.stamp, n.delay, n.priority};
    queue_call_script(q, &simple_new(on_next, done, arg)->call, &queue_script_repeat,
                      sizeof argv / sizeof *argv, argv, NULL);
    queue_plan_free(&p);
}

/* ---- looking and removing */

/* The part of the key at *at, ended by a NUL; NULL when it is empty. */
static const char *take_part(char **at)
{
    const char *part = strsep(at, ":");
    return part != NULL && *part != '\0' ? part : NULL;
}

static uint64_t number_of(const char *text)
{
    uint64_t v = 0;
    return text != NULL && str_parse_u64(text, &v) == 0 ? v : 0;
}

void queue_repeat_read_key(const char *key, char *copy, struct queue_repetition *r)
{
    char *at = copy;
    memcpy(copy, key, strlen(key) + 1);
    memset(r, 0, sizeof *r);
    r->key = key;
    r->name = take_part(&at);
    r->id = take_part(&at);
    r->end_ms = number_of(take_part(&at));
    r->tz = take_part(&at);
    r->cron = take_part(&at);
    if (r->cron == NULL) {
        r->every_ms = number_of(r->tz);
        r->tz = NULL;
    }
}

static void on_removed(struct queue_call *c, enum queue_status s, const char *why,
                       const struct redisReply *reply)
{
    const struct simple *n = (const struct simple *)(const void *)c;
    if (s == QUEUE_OK && !(reply->type == REDIS_REPLY_INTEGER && reply->integer == 1)) {
        s = QUEUE_MISSING;
        why = "there is no repetition of this key";
    }
    n->done(s, why, n->arg);
}

void queue_repeat_remove(struct queue *q, const char *key, queue_done_fn done, void *arg)
{
    char stem[48];
    struct queue_repetition r;
    char *copy = xmalloc(strlen(key) + 1);
    queue_repeat_read_key(key, copy, &r);
    int rc = queue_plan_stem(r.name != NULL ? r.name : "__default__", r.id != NULL ? r.id : "", key, stem);
    free(copy);
    if (rc < 0) {
        done(QUEUE_INVALID, "OpenSSL refuses MD5, by which Bull names the jobs of a repetition", arg);
        return;
    }
    const char *argv[] = {key, stem};
    queue_call_script(q, &simple_new(on_removed, done, arg)->call, &queue_script_repeat_remove, 2, argv,
                      NULL);
}

struct listing {
    struct queue_call call;
    queue_repetitions_fn fn;
    void *arg;
};

static bool is_list(const struct redisReply *reply)
{
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements % 2 != 1 ||
        reply->element[0]->type != REDIS_REPLY_INTEGER || reply->element[0]->integer < 0)
        return false;
    for (size_t i = 1; i < reply->elements; i++)
        if (reply->element[i]->type != REDIS_REPLY_STRING)
            return false;
    return true;
}

static void on_list(struct queue_call *c, enum queue_status s, const char *why,
                    const struct redisReply *reply)
{
    const struct listing *l = (const struct listing *)(const void *)c;
    if (s == QUEUE_OK && !is_list(reply)) {
        s = QUEUE_BROKEN;
        why = "Redis gave an unexpected answer";
    }
    if (s != QUEUE_OK) {
        l->fn(s, NULL, 0, 0, why, l->arg);
        return;
    }
    size_t n = reply->elements / 2, bytes = 0;
    for (size_t i = 0; i < n; i++)
        bytes += reply->element[1 + 2 * i]->len + 1;
    struct queue_repetition *list = mem_try((n + 1) * sizeof *list);
    char *copies = mem_try(bytes + 1), *at = copies;
    if (list == NULL || copies == NULL) {
        l->fn(QUEUE_REFUSED, NULL, 0, 0, "out of memory", l->arg);
    } else {
        for (size_t i = 0; i < n; i++) {
            const char *key = reply->element[1 + 2 * i]->str;
            queue_repeat_read_key(key, at, &list[i]);
            list[i].next_ms = number_of(reply->element[2 + 2 * i]->str);
            at += strlen(key) + 1;
        }
        l->fn(QUEUE_OK, list, n, (uint64_t)reply->element[0]->integer, NULL, l->arg);
    }
    free(list);
    free(copies);
}

void queue_repeat_list(struct queue *q, uint64_t start, uint64_t end, bool asc, queue_repetitions_fn fn,
                       void *arg)
{
    char first[24], last[24];
    if (start > INT32_MAX)
        start = INT32_MAX;
    if (end < start || end - start >= LIST_MAX)
        end = end < start ? start : start + LIST_MAX - 1;
    snprintf(first, sizeof first, "%" PRIu64, start);
    snprintf(last, sizeof last, "%" PRIu64, end);
    struct listing *l = xcalloc(1, sizeof *l);
    l->call.finish = on_list;
    l->fn = fn;
    l->arg = arg;
    const char *argv[] = {first, last, asc ? "1" : "0"};
    queue_call_script(q, &l->call, &queue_script_repeat_list, 3, argv, NULL);
}
