/* queue_look - see queue_look.h. */
#include "common/redis/redis.h"

#include <hiredis/hiredis.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/buf.h"
#include "common/base/str.h"
#include "common/queue/queue.h"
#include "master/cli/queue_look.h"
#include "master/cli/queue_who.h"

#define SCAN_STEPS 200 /* of 1000 keys */
#define SHOWN      10  /* jobs of a state */
#define KEY_SIZE   512
#define TEXT_MAX   (64u << 20)

redisReply *queue_look_ask(struct queue_look *l, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    redisReply *r = redisvCommand(l->c, fmt, ap);
    va_end(ap);
    if (r == NULL) {
        str_copy(l->error, l->c->errstr, sizeof l->error);
    } else if (r->type == REDIS_REPLY_ERROR) {
        str_copy(l->error, r->str, sizeof l->error);
        freeReplyObject(r);
        r = NULL;
    }
    return r;
}

/* The number in the answer to "COMMAND key"; -1 on failure. */
static long long number(struct queue_look *l, const char *command, const char *name, const char *suffix)
{
    char key[KEY_SIZE];
    redisReply *r = queue_look_ask(l, "%s %s", command, queue_key(l->prefix, name, suffix, key, sizeof key));
    long long n = r != NULL && r->type == REDIS_REPLY_INTEGER ? r->integer : -1;
    freeReplyObject(r);
    return n;
}

/* Text as it stands; a byte that is no part of UTF-8 as \\xNN. */
json_t *queue_look_text(const redisReply *r)
{
    json_t *j = json_stringn(r->str, r->len);
    struct buf text;
    if (j != NULL)
        return j;
    buf_init(&text, TEXT_MAX);
    for (size_t i = 0; i < r->len;) {
        size_t n = str_utf8_length(r->str + i, r->len - i);
        if (n > 0 ? buf_append(&text, r->str + i, n) != 0
                  : buf_printf(&text, "\\x%02x", (unsigned char)r->str[i]) != 0)
            break; /* the rest is not shown */
        i += n > 0 ? n : 1;
    }
    j = json_stringn(text.data, text.len);
    buf_fini(&text);
    return j != NULL ? j : json_string("(not UTF-8)");
}

/* ---- names */

static bool has_name(const json_t *names, const char *name)
{
    size_t i;
    json_t *one;
    json_array_foreach(names, i, one)
    {
        if (strcmp(json_string_value(one), name) == 0)
            return true;
    }
    return false;
}

/* PREFIX:NAME:id is there from the first job on. */
static void take_name(const struct queue_look *l, json_t *names, const char *key)
{
    size_t skip = strlen(l->prefix) + 1, len = strlen(key);
    if (len <= skip + 3 || strcmp(key + len - 3, ":id") != 0)
        return;
    char name[KEY_SIZE];
    snprintf(name, sizeof name, "%.*s", (int)(len - skip - 3), key + skip);
    if (strchr(name, ':') == NULL && !has_name(names, name))
        json_array_append_new(names, json_string(name));
}

/* The prefix with what SCAN's patterns give a meaning to escaped. */
static void escape(const char *prefix, char *dst, size_t size)
{
    size_t n = 0;
    for (; *prefix != '\0' && n + 3 < size; prefix++) {
        if (strchr("[]*?\\^", *prefix) != NULL)
            dst[n++] = '\\';
        dst[n++] = *prefix;
    }
    dst[n] = '\0';
}

int queue_look_names(struct queue_look *l, json_t *names, bool *complete)
{
    char cursor[32] = "0", prefix[KEY_SIZE], pattern[KEY_SIZE + 8];
    escape(l->prefix, prefix, sizeof prefix);
    snprintf(pattern, sizeof pattern, "%s:*:id", prefix);
    for (int step = 0; step < SCAN_STEPS; step++) {
        redisReply *r = queue_look_ask(l, "SCAN %s MATCH %s COUNT 1000", cursor, pattern);
        if (r == NULL)
            return -1;
        for (size_t i = 0; i < r->element[1]->elements; i++)
            take_name(l, names, r->element[1]->element[i]->str);
        str_copy(cursor, r->element[0]->str, sizeof cursor);
        freeReplyObject(r);
        *complete = strcmp(cursor, "0") == 0;
        if (*complete)
            break;
    }
    return 0;
}

/* ---- a queue */

/* A field of the job's hash: text, or with as_number the number in it. */
static void put_field(struct queue_look *l, json_t *row, const char *name, const char *id, const char *field,
                      const char *as, bool as_number)
{
    char key[KEY_SIZE];
    redisReply *r = queue_look_ask(l, "HGET %s %s", queue_key(l->prefix, name, id, key, sizeof key), field);
    if (r != NULL && r->type == REDIS_REPLY_STRING)
        json_object_set_new(row, as, as_number ? json_integer(atoll(r->str)) : queue_look_text(r));
    freeReplyObject(r);
}

/* How long ago, by Redis' clock, the instant in another field was. */
static void put_age(json_t *row, const char *field, const char *as, long long now)
{
    const json_t *at = json_object_get(row, field);
    if (at != NULL && now > 0)
        json_object_set_new(row, as,
                            json_integer(now > json_integer_value(at) ? now - json_integer_value(at) : 0));
}

/* By Redis' clock; 0 when it cannot be asked. */
static long long now_ms(struct queue_look *l)
{
    redisReply *r = queue_look_ask(l, "TIME");
    long long now = 0;
    if (r != NULL && r->type == REDIS_REPLY_ARRAY && r->elements == 2)
        now = atoll(r->element[0]->str) * 1000 + atoll(r->element[1]->str) / 1000;
    freeReplyObject(r);
    return now;
}

/* How long the job that is next has been waiting; null when none waits or it cannot be told. */
static json_t *next_age_ms(struct queue_look *l, const char *name, bool paused)
{
    char key[KEY_SIZE];
    json_t *row = json_object(), *age = NULL;
    redisReply *id = queue_look_ask(l, "LINDEX %s -1",
                                    queue_key(l->prefix, name, paused ? "paused" : "wait", key, sizeof key));
    if (id != NULL && id->type == REDIS_REPLY_STRING) {
        put_field(l, row, name, id->str, "timestamp", "timestamp", true);
        put_age(row, "timestamp", "age", now_ms(l));
        age = json_incref(json_object_get(row, "age"));
    }
    freeReplyObject(id);
    json_decref(row);
    return age != NULL ? age : json_null();
}

json_t *queue_look_counts(struct queue_look *l, const char *name)
{
    static const struct {
        const char *state, *command;
    } states[] = {{"wait", "LLEN"},   {"active", "LLEN"},     {"delayed", "ZCARD"},
                  {"paused", "LLEN"}, {"completed", "ZCARD"}, {"failed", "ZCARD"}};
    json_t *o = json_pack("{s:s}", "name", name);
    for (size_t i = 0; i < sizeof states / sizeof *states; i++) {
        long long n = number(l, states[i].command, name, states[i].state);
        if (n < 0) {
            json_decref(o);
            return NULL;
        }
        json_object_set_new(o, states[i].state, json_integer(n));
    }
    bool paused = number(l, "EXISTS", name, "meta-paused") == 1;
    json_object_set_new(o, "is_paused", json_boolean(paused));
    json_object_set_new(o, "oldest_wait_ms", next_age_ms(l, name, paused));
    return o;
}

static json_t *active_jobs(struct queue_look *l, const char *name, const char *label)
{
    char key[KEY_SIZE], lock[KEY_SIZE];
    json_t *rows = json_array();
    long long now = now_ms(l);
    redisReply *ids =
        queue_look_ask(l, "LRANGE %s 0 %d", queue_key(l->prefix, name, "active", key, sizeof key), SHOWN - 1);
    for (size_t i = 0; ids != NULL && i < ids->elements; i++) {
        const char *id = ids->element[i]->str;
        json_t *row = json_pack("{s:o, s:s}", "id", queue_look_text(ids->element[i]), "queue", label);
        snprintf(lock, sizeof lock, "%.200s:lock", id);
        redisReply *holder = queue_look_ask(l, "GET %s", queue_key(l->prefix, name, lock, key, sizeof key));
        json_t *token =
            holder != NULL && holder->type == REDIS_REPLY_STRING ? queue_look_text(holder) : json_null();
        json_object_set_new(row, "worker", queue_who_name(l, json_string_value(token)));
        json_object_set_new(row, "holder", token);
        freeReplyObject(holder);
        put_field(l, row, name, id, "processedOn", "processed_on", true);
        put_age(row, "processed_on", "active_ms", now);
        json_array_append_new(rows, row);
    }
    freeReplyObject(ids);
    return rows;
}

static json_t *failed_jobs(struct queue_look *l, const char *name, const char *label)
{
    char key[KEY_SIZE];
    json_t *rows = json_array();
    long long now = now_ms(l);
    redisReply *ids = queue_look_ask(l, "ZREVRANGE %s 0 %d",
                                     queue_key(l->prefix, name, "failed", key, sizeof key), SHOWN - 1);
    for (size_t i = 0; ids != NULL && i < ids->elements; i++) {
        const char *id = ids->element[i]->str;
        json_t *row = json_pack("{s:o, s:s}", "id", queue_look_text(ids->element[i]), "queue", label);
        put_field(l, row, name, id, "finishedOn", "finished_on", true);
        put_age(row, "finished_on", "ago_ms", now);
        put_field(l, row, name, id, "attemptsMade", "attempts_made", true);
        put_field(l, row, name, id, "failedReason", "failed_reason", false);
        json_array_append_new(rows, row);
    }
    freeReplyObject(ids);
    return rows;
}

static json_int_t finished_on(const json_t *row)
{
    return json_integer_value(json_object_get(row, "finished_on"));
}

/* Of several queues' rows, each the newest first, the newest. */
static json_t *newest(json_t *a, json_t *b)
{
    json_t *out = json_array();
    size_t i = 0, k = 0;
    while (json_array_size(out) < SHOWN && (i < json_array_size(a) || k < json_array_size(b))) {
        json_t *one = json_array_get(a, i), *other = json_array_get(b, k);
        bool first = other == NULL || (one != NULL && finished_on(one) >= finished_on(other));
        json_array_append(out, first ? one : other);
        i += first;
        k += !first;
    }
    return out;
}

static void append(json_t *o, const char *key, json_t *more)
{
    json_t *rows = json_object_get(o, key);
    if (rows == NULL)
        json_object_set(o, key, more);
    else
        json_array_extend(rows, more);
    json_decref(more);
}

void queue_look_details(struct queue_look *l, const char *name, const char *label, json_t *o)
{
    json_t *failed = failed_jobs(l, name, label);
    append(o, "workers", queue_who_works(l, name));
    append(o, "active_jobs", active_jobs(l, name, label));
    json_object_set_new(o, "failed_jobs", newest(json_object_get(o, "failed_jobs"), failed));
    json_decref(failed);
}

/* ---- a job */

static const char *state_of(struct queue_look *l, const char *name, const char *id)
{
    static const struct {
        const char *state, *command;
    } states[] = {{"completed", "ZSCORE"}, {"failed", "ZSCORE"}, {"delayed", "ZSCORE"},
                  {"active", "LPOS"},      {"wait", "LPOS"},     {"paused", "LPOS"}};
    char key[KEY_SIZE];
    for (size_t i = 0; i < sizeof states / sizeof *states; i++) {
        redisReply *r = queue_look_ask(l, "%s %s %s", states[i].command,
                                       queue_key(l->prefix, name, states[i].state, key, sizeof key), id);
        bool there = r != NULL && r->type != REDIS_REPLY_NIL;
        freeReplyObject(r);
        if (there)
            return states[i].state;
    }
    return "stuck"; /* Bull's word: a hash that stands in no list */
}

/* Who has it in hand. */
static void put_lock(struct queue_look *l, json_t *o, const char *name, const char *id)
{
    char lock[KEY_SIZE], key[KEY_SIZE];
    snprintf(lock, sizeof lock, "%.200s:lock", id);
    queue_key(l->prefix, name, lock, key, sizeof key);
    redisReply *token = queue_look_ask(l, "GET %s", key), *left = queue_look_ask(l, "PTTL %s", key);
    if (token != NULL && token->type == REDIS_REPLY_STRING && left != NULL &&
        left->type == REDIS_REPLY_INTEGER) {
        json_t *text = queue_look_text(token);
        json_object_set_new(o, "lock",
                            json_pack("{s:o, s:O, s:I}", "worker", queue_who_name(l, json_string_value(text)),
                                      "token", text, "left_ms", (json_int_t)left->integer));
        json_decref(text);
    }
    freeReplyObject(token);
    freeReplyObject(left);
}

/* The score of a delayed job is its time, times 4096, and a place among those of the same time. */
static void put_due(struct queue_look *l, json_t *o, const char *name, const char *id)
{
    char key[KEY_SIZE];
    redisReply *r =
        queue_look_ask(l, "ZSCORE %s %s", queue_key(l->prefix, name, "delayed", key, sizeof key), id);
    if (r != NULL && r->type == REDIS_REPLY_STRING)
        json_object_set_new(o, "dueOn", json_integer((json_int_t)(strtod(r->str, NULL) / 4096)));
    freeReplyObject(r);
}

json_t *queue_look_job(struct queue_look *l, const char *name, const char *label, const char *id)
{
    static const char *const parsed[] = {"data", "opts", "returnvalue", "stacktrace", "progress"};
    char key[KEY_SIZE];
    queue_key(l->prefix, name, id, key, sizeof key);
    redisReply *type = queue_look_ask(l, "TYPE %s", key);
    bool is_hash = type != NULL && type->type == REDIS_REPLY_STATUS && strcmp(type->str, "hash") == 0;
    if (type == NULL)
        return NULL;
    freeReplyObject(type);
    redisReply *r = is_hash ? queue_look_ask(l, "HGETALL %s", key) : NULL;
    if (r == NULL)
        return is_hash ? NULL : json_null();
    const char *state = state_of(l, name, id);
    json_t *o = json_pack("{s:s, s:s, s:s}", "id", id, "queue", label, "state", state);
    for (size_t i = 0; i + 1 < r->elements; i += 2) {
        const redisReply *value = r->element[i + 1];
        json_t *v = NULL, *field = queue_look_text(r->element[i]);
        for (size_t k = 0; k < sizeof parsed / sizeof *parsed; k++)
            if (strcmp(parsed[k], r->element[i]->str) == 0)
                v = json_loadb(value->str, value->len, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
        json_object_set_new(o, json_string_value(field), v != NULL ? v : queue_look_text(value));
        json_decref(field);
    }
    freeReplyObject(r);
    put_lock(l, o, name, id);
    if (strcmp(state, "delayed") == 0)
        put_due(l, o, name, id);
    return o;
}

void queue_look_fini(struct queue_look *l)
{
    json_decref(l->nodes);
    if (l->c != NULL)
        redisFree(l->c);
    *l = (struct queue_look){0};
}
