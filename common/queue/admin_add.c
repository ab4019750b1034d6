/* admin_add - one job with all of Bull's options. opts is stored as Bull stores it: what was given, and then attempts,
 * delay and timestamp, which are always there; the script adds the timestamp, by Redis' clock. */
#include "common/queue/admin.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/buf.h"
#include "common/base/clock.h"
#include "common/base/mem.h"
#include "common/event/json.h"
#include "common/queue/internal.h"

#define ID_MAX_BYTES 255
#define OPTS_MAX     (64u << 10)
#define COUNT_MAX    (1ull << 31)
#define TIME_MAX_MS  (1ull << 41) /* what is due later has no exact score */

struct add {
    struct queue_call call;
    queue_added_fn done;
    void *arg;
};

/* ---- what can be added */

static bool is_own_name(const char *id)
{
    static const char *const names[] = {
        "id",       "wait",    "waiting",  "paused",    "resumed", "meta-paused", "meta",
        "active",   "delayed", "priority", "completed", "failed",  "stalled",     "stalled-check",
        "limiter",  "repeat",  "de",       "drained",   "metrics", "duplicated",  "debounced",
        "progress", "lock",    "logs",     "dray",
    };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(id, names[i]) == 0)
            return true;
    return false;
}

static const char *check_id(const char *id)
{
    if (*id == '\0')
        return "the id is empty";
    if (strlen(id) > ID_MAX_BYTES)
        return "the id is longer than 255 bytes";
    if (strspn(id, "0123456789") == strlen(id))
        return "an id must not be a number: the queue gives those itself, and would overwrite this job";
    if (strchr(id, ':') != NULL)
        return "an id must not hold a ':': it would be taken for another key of the queue";
    if (is_own_name(id))
        return "the id is the name of one of the queue's own keys";
    return NULL;
}

bool queue_is_json(const char *text, size_t len)
{
    struct json_scan s;
    struct json_slice value;
    json_scan_init(&s, text, len);
    return json_scan_value(&s, &value) == 0 && json_scan_end(&s) == 0;
}

static bool is_big(const struct queue_keep *k)
{
    return (k->count > COUNT_MAX && k->count != UINT64_MAX) ||
           (k->age_s > COUNT_MAX && k->age_s != UINT64_MAX);
}

static int put_keep(struct buf *b, const char *name, const struct queue_keep *k)
{
    bool counted = k->count != UINT64_MAX, aged = k->age_s != UINT64_MAX;
    switch (k->form) {
    case QUEUE_KEEP_UNSAID:
        return 0;
    case QUEUE_KEEP_NONE:
        return buf_printf(b, "\"%s\":true,", name);
    case QUEUE_KEEP_ALL:
        return buf_printf(b, "\"%s\":false,", name);
    case QUEUE_KEEP_COUNT:
        return buf_printf(b, "\"%s\":%" PRIu64 ",", name, k->count);
    case QUEUE_KEEP_RULE:
        break;
    }
    int r = buf_printf(b, "\"%s\":{", name);
    if (aged)
        r |= buf_printf(b, "\"age\":%" PRIu64 "%s", k->age_s, counted ? "," : "");
    if (counted)
        r |= buf_printf(b, "\"count\":%" PRIu64, k->count);
    return r | buf_puts(b, "},");
}

static int put_text(struct buf *b, const char *name, const char *text)
{
    return buf_printf(b, "\"%s\":", name) | buf_put_json(b, text, strlen(text));
}

/* 0, or -1: too long. */
static int put_opts(struct buf *b, const struct queue_add_options *o)
{
    static const char *const backoffs[] = {
        [QUEUE_BACKOFF_FIXED] = "fixed", [QUEUE_BACKOFF_EXPONENTIAL] = "exponential"};
    int r = buf_puts(b, "{");
    if (o->id != NULL)
        r |= put_text(b, "jobId", o->id) | buf_puts(b, ",");
    if (o->priority > 0)
        r |= buf_printf(b, "\"priority\":%" PRIu64 ",", o->priority);
    if (o->lifo)
        r |= buf_puts(b, "\"lifo\":true,");
    if (o->timeout_ms > 0)
        r |= buf_printf(b, "\"timeout\":%" PRIu64 ",", o->timeout_ms);
    r |= put_keep(b, "removeOnComplete", &o->remove_on_complete);
    r |= put_keep(b, "removeOnFail", &o->remove_on_fail);
    if (o->has_stack_trace_limit)
        r |= buf_printf(b, "\"stackTraceLimit\":%" PRIu64 ",", o->stack_trace_limit);
    if (o->debounce_id != NULL) {
        r |= buf_puts(b, "\"debounce\":{") | put_text(b, "id", o->debounce_id);
        if (o->debounce_ttl_ms > 0)
            r |= buf_printf(b, ",\"ttl\":%" PRIu64, o->debounce_ttl_ms);
        r |= buf_puts(b, "},");
    }
    if (o->backoff == QUEUE_BACKOFF_FIXED || o->backoff == QUEUE_BACKOFF_EXPONENTIAL)
        r |= buf_printf(b, "\"backoff\":{\"type\":\"%s\",\"delay\":%" PRIu64 "},", backoffs[o->backoff],
                        o->backoff_ms);
    r |= buf_printf(b, "\"attempts\":%" PRIu64 ",\"delay\":%" PRIu64, o->attempts > 0 ? o->attempts : 1,
                    o->delay_ms);
    if (o->timestamp_ms > 0)
        r |= buf_printf(b, ",\"timestamp\":%" PRIu64, o->timestamp_ms);
    return r | buf_puts(b, "}");
}

/* Numbers that no Bull worker could count with. */
static const char *check_numbers(const struct queue_add_options *o)
{
    uint64_t added = o->timestamp_ms > 0 ? o->timestamp_ms : clock_wall_ms();
    if (o->delay_ms >= TIME_MAX_MS || added >= TIME_MAX_MS || added + o->delay_ms >= TIME_MAX_MS)
        return "the job would be due after the year 2039, which Bull cannot express";
    if (o->priority > COUNT_MAX)
        return "the priority is over 2147483648";
    if (o->attempts > COUNT_MAX || o->stack_trace_limit > COUNT_MAX || is_big(&o->remove_on_complete) ||
        is_big(&o->remove_on_fail))
        return "a number of the options is over 2147483648";
    if (o->backoff_ms >= TIME_MAX_MS || o->timeout_ms >= TIME_MAX_MS || o->debounce_ttl_ms >= TIME_MAX_MS)
        return "a duration of the options is longer than 69 years";
    return NULL;
}

const char *queue_add_check(const struct queue_add_options *o, const char *data, size_t len)
{
    const char *why = o->id != NULL ? check_id(o->id) : NULL;
    if (why == NULL)
        why = check_numbers(o);
    if (why != NULL)
        return why;
    if (o->name != NULL && *o->name == '\0')
        return "the name is empty";
    if (o->debounce_id != NULL && *o->debounce_id == '\0')
        return "the debounce id is empty";
    if (o->debounce_id != NULL && o->repeat != NULL)
        return "a job that repeats cannot be debounced: its next one would be taken for a repetition of the add";
    if (len > QUEUE_JOB_MAX)
        return "the data is larger than 16 MiB";
    if (!queue_is_json(data, len))
        return "the data is not JSON text";
    struct buf b;
    buf_init(&b, OPTS_MAX);
    int r = put_opts(&b, o);
    if (o->name != NULL)
        r |= buf_puts(&b, " ") | buf_put_json(&b, o->name, strlen(o->name));
    if (r != 0) {
        why = "the options are too long";
    } else {
        const char *opts_end = o->name != NULL ? strrchr(buf_cstr(&b), '}') + 1 : buf_cstr(&b) + b.len;
        size_t opts_len = (size_t)(opts_end - b.data);
        if (!queue_is_json(b.data, opts_len) ||
            (o->name != NULL && !queue_is_json(opts_end, b.len - opts_len)))
            why = "the id, the name or the debounce id is not UTF-8 text";
    }
    buf_fini(&b);
    return why;
}

char *queue_add_opts(const struct queue_add_options *o)
{
    struct buf b;
    buf_init(&b, OPTS_MAX);
    (void)put_opts(&b, o); /* it was measured by the check */
    char *text = xstrdup(buf_cstr(&b));
    buf_fini(&b);
    return text;
}

/* ---- add */

static void on_added(struct queue_call *c, enum queue_status s, const char *why,
                     const struct redisReply *reply)
{
    const struct add *a = (const struct add *)(const void *)c;
    const char *id = NULL;
    if (s == QUEUE_OK &&
        (reply->type != REDIS_REPLY_ARRAY || reply->elements != 2 ||
         reply->element[0]->type != REDIS_REPLY_INTEGER || reply->element[1]->type != REDIS_REPLY_STRING)) {
        s = QUEUE_BROKEN;
        why = "Redis gave an unexpected answer";
    } else if (s == QUEUE_OK) {
        id = reply->element[1]->str;
        if (reply->element[0]->integer == 0) {
            s = QUEUE_DUPLICATE;
            why = "a job of this id is there";
        } else if (reply->element[0]->integer < 0) {
            s = QUEUE_DEBOUNCED;
            why = "a job of this debounce id is there";
        }
    }
    a->done(s, id, why, a->arg);
}

struct repeated {
    queue_added_fn done;
    void *arg;
};

static void on_repeated(enum queue_status s, const char *id, uint64_t next_ms, const char *why, void *arg)
{
    struct repeated *r = arg;
    (void)next_ms;
    r->done(s, id, why, r->arg);
    free(r);
}

static void add_repeated(struct queue *q, const struct queue_add_options *o, const char *data, size_t len,
                         queue_added_fn done, void *arg)
{
    struct buf b;
    char why[256];
    buf_init(&b, OPTS_MAX);
    (void)put_opts(&b, o); /* it was measured by the check */
    char *opts = queue_repeat_opts(o->repeat, buf_cstr(&b), why, sizeof why);
    buf_fini(&b);
    if (opts == NULL) {
        done(QUEUE_INVALID, NULL, why, arg);
        return;
    }
    struct repeated *r = xcalloc(1, sizeof *r);
    r->done = done;
    r->arg = arg;
    queue_repeat_add(q, o->name, opts, strlen(opts), data, len, on_repeated, r);
    free(opts);
}

void queue_add_job(struct queue *q, const struct queue_add_options *o, const char *data, size_t len,
                   queue_added_fn done, void *arg)
{
    const char *why = queue_add_check(o, data, len);
    if (why != NULL) {
        done(QUEUE_INVALID, NULL, why, arg);
        return;
    }
    if (o->repeat != NULL) {
        add_repeated(q, o, data, len, done, arg);
        return;
    }
    struct add *a = xcalloc(1, sizeof *a);
    char *opts = queue_add_opts(o);
    char stamp[24] = "", delay[24], priority[24], ttl[24] = "";
    if (o->timestamp_ms > 0)
        snprintf(stamp, sizeof stamp, "%" PRIu64, o->timestamp_ms);
    snprintf(delay, sizeof delay, "%" PRIu64, o->delay_ms);
    snprintf(priority, sizeof priority, "%" PRIu64, o->priority);
    if (o->debounce_ttl_ms > 0)
        snprintf(ttl, sizeof ttl, "%" PRIu64, o->debounce_ttl_ms);
    const char *argv[] = {q->o.token,
                          o->id != NULL ? o->id : "",
                          o->name != NULL ? o->name : "__default__",
                          data,
                          opts,
                          stamp,
                          delay,
                          priority,
                          o->lifo ? "RPUSH" : "LPUSH",
                          o->debounce_id != NULL ? o->debounce_id : "",
                          ttl};
    enum { ARGC = sizeof argv / sizeof *argv, DATA = 3 };
    size_t lens[ARGC];
    for (int i = 0; i < ARGC; i++)
        lens[i] = i == DATA ? len : strlen(argv[i]);
    a->call.finish = on_added;
    a->done = done;
    a->arg = arg;
    queue_call_script(q, &a->call, &queue_script_admin_add, ARGC, argv, lens);
    free(opts);
}
