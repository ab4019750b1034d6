/* queue_look - see queue_look.h. */
#include "common/redis/redis.h"

#include <hiredis/hiredis.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/str.h"
#include "common/queue/queue.h"
#include "master/cli/queue_look.h"

#define SCAN_STEPS 200 /* of 1000 keys */
#define SHOWN      10  /* jobs of a state */
#define KEY_SIZE   512

/* The reply, or NULL with l->error filled in (an error reply counts as a failure). */
static redisReply *ask(struct queue_look *l, const char *fmt, ...)
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
    redisReply *r = ask(l, "%s %s", command, queue_key(l->prefix, name, suffix, key, sizeof key));
    long long n = r != NULL && r->type == REDIS_REPLY_INTEGER ? r->integer : -1;
    freeReplyObject(r);
    return n;
}

static json_t *text_json(const redisReply *r)
{
    json_t *j = json_stringn(r->str, r->len);
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
        redisReply *r = ask(l, "SCAN %s MATCH %s COUNT 1000", cursor, pattern);
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

/* How long the job that is next has been waiting, by Redis' clock; 0 when that cannot be told. */
static long long next_age_ms(struct queue_look *l, const char *name, bool paused)
{
    char key[KEY_SIZE];
    long long age = 0;
    redisReply *id =
        ask(l, "LINDEX %s -1", queue_key(l->prefix, name, paused ? "paused" : "wait", key, sizeof key));
    if (id != NULL && id->type == REDIS_REPLY_STRING) {
        redisReply *added = ask(l, "HGET %s timestamp", queue_key(l->prefix, name, id->str, key, sizeof key));
        redisReply *now = ask(l, "TIME");
        if (added != NULL && added->type == REDIS_REPLY_STRING && now != NULL && now->elements == 2)
            age = atoll(now->element[0]->str) * 1000 + atoll(now->element[1]->str) / 1000 - atoll(added->str);
        freeReplyObject(added);
        freeReplyObject(now);
    }
    freeReplyObject(id);
    return age > 0 ? age : 0;
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
    json_object_set_new(o, "oldest_wait_ms", json_integer(next_age_ms(l, name, paused)));
    return o;
}

/* Tokens of those that wait for its jobs, from the names of their connections. */
static json_t *workers_of(struct queue_look *l, const char *name)
{
    json_t *workers = json_array();
    char wanted[KEY_SIZE];
    const struct queue_options o = {.prefix = l->prefix, .name = name, .token = ""};
    queue_client_name(&o, wanted, sizeof wanted);
    wanted[strlen(wanted) - 3] = '\0'; /* without ":w:": Bull's own workers have nothing behind it */
    redisReply *r = ask(l, "CLIENT LIST TYPE normal");
    char *save = NULL;
    for (char *line = r != NULL ? strtok_r(r->str, "\n", &save) : NULL; line != NULL;
         line = strtok_r(NULL, "\n", &save)) {
        char *at = strstr(line, " name=");
        if (at == NULL)
            continue;
        at += 6;
        at[strcspn(at, " ")] = '\0';
        if (!str_starts(at, wanted))
            continue;
        const char *rest = at + strlen(wanted);
        json_array_append_new(workers, json_string(str_starts(rest, ":w:") ? rest + 3 : "bull"));
    }
    freeReplyObject(r);
    return workers;
}

static void put_field(struct queue_look *l, json_t *row, const char *name, const char *id, const char *field,
                      const char *as)
{
    char key[KEY_SIZE];
    redisReply *r = ask(l, "HGET %s %s", queue_key(l->prefix, name, id, key, sizeof key), field);
    if (r != NULL && r->type == REDIS_REPLY_STRING)
        json_object_set_new(row, as, text_json(r));
    freeReplyObject(r);
}

static json_t *active_jobs(struct queue_look *l, const char *name)
{
    char key[KEY_SIZE], lock[KEY_SIZE];
    json_t *rows = json_array();
    redisReply *ids =
        ask(l, "LRANGE %s 0 %d", queue_key(l->prefix, name, "active", key, sizeof key), SHOWN - 1);
    for (size_t i = 0; ids != NULL && i < ids->elements; i++) {
        const char *id = ids->element[i]->str;
        json_t *row = json_pack("{s:s}", "id", id);
        snprintf(lock, sizeof lock, "%.200s:lock", id);
        redisReply *holder = ask(l, "GET %s", queue_key(l->prefix, name, lock, key, sizeof key));
        json_object_set_new(row, "holder",
                            holder != NULL && holder->type == REDIS_REPLY_STRING ? text_json(holder)
                                                                                 : json_null());
        freeReplyObject(holder);
        put_field(l, row, name, id, "processedOn", "processed_on");
        json_array_append_new(rows, row);
    }
    freeReplyObject(ids);
    return rows;
}

static json_t *failed_jobs(struct queue_look *l, const char *name)
{
    char key[KEY_SIZE];
    json_t *rows = json_array();
    redisReply *ids =
        ask(l, "ZREVRANGE %s 0 %d", queue_key(l->prefix, name, "failed", key, sizeof key), SHOWN - 1);
    for (size_t i = 0; ids != NULL && i < ids->elements; i++) {
        json_t *row = json_pack("{s:s}", "id", ids->element[i]->str);
        put_field(l, row, name, ids->element[i]->str, "attemptsMade", "attempts_made");
        put_field(l, row, name, ids->element[i]->str, "failedReason", "failed_reason");
        json_array_append_new(rows, row);
    }
    freeReplyObject(ids);
    return rows;
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

void queue_look_details(struct queue_look *l, const char *name, json_t *o)
{
    append(o, "workers", workers_of(l, name));
    append(o, "active_jobs", active_jobs(l, name));
    append(o, "failed_jobs", failed_jobs(l, name));
}

json_t *queue_look_holder(struct queue_look *l, const char *name)
{
    char key[KEY_SIZE];
    redisReply *r = ask(l, "GET %s", queue_key(l->prefix, name, "dray:lease", key, sizeof key));
    json_t *holder = json_null();
    if (r != NULL && r->type == REDIS_REPLY_STRING) {
        r->str[strcspn(r->str, "/")] = '\0';
        holder = json_string(r->str);
    }
    freeReplyObject(r);
    return holder != NULL ? holder : json_null();
}

json_t *queue_look_members(struct queue_look *l, const char *name)
{
    char key[KEY_SIZE];
    json_t *members = json_array();
    redisReply *r = ask(l, "ZRANGE %s 0 -1", queue_key(l->prefix, name, "dray:members", key, sizeof key));
    for (size_t i = 0; r != NULL && r->type == REDIS_REPLY_ARRAY && i < r->elements; i++)
        json_array_append_new(members, text_json(r->element[i]));
    freeReplyObject(r);
    return members;
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
        redisReply *r = ask(l, "%s %s %s", states[i].command,
                            queue_key(l->prefix, name, states[i].state, key, sizeof key), id);
        bool there = r != NULL && r->type != REDIS_REPLY_NIL;
        freeReplyObject(r);
        if (there)
            return states[i].state;
    }
    return "stuck"; /* Bull's word: a hash that stands in no list */
}

json_t *queue_look_job(struct queue_look *l, const char *name, const char *id)
{
    static const char *const parsed[] = {"data", "opts", "returnvalue", "stacktrace", "progress"};
    char key[KEY_SIZE];
    queue_key(l->prefix, name, id, key, sizeof key);
    redisReply *type = ask(l, "TYPE %s", key);
    bool is_hash = type != NULL && type->type == REDIS_REPLY_STATUS && strcmp(type->str, "hash") == 0;
    if (type == NULL)
        return NULL;
    freeReplyObject(type);
    redisReply *r = is_hash ? ask(l, "HGETALL %s", key) : NULL;
    if (r == NULL)
        return is_hash ? NULL : json_null();
    json_t *o = json_pack("{s:s, s:s, s:s}", "id", id, "queue", name, "state", state_of(l, name, id));
    for (size_t i = 0; i + 1 < r->elements; i += 2) {
        const redisReply *value = r->element[i + 1];
        json_t *v = NULL;
        for (size_t k = 0; k < sizeof parsed / sizeof *parsed; k++)
            if (strcmp(parsed[k], r->element[i]->str) == 0)
                v = json_loadb(value->str, value->len, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
        json_object_set_new(o, r->element[i]->str, v != NULL ? v : text_json(value));
    }
    freeReplyObject(r);
    return o;
}
