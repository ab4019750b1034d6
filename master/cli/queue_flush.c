/* queue_flush - see queue_flush.h.
 *
 * A short queue is read in one transaction. A long one is read in pages from the end where jobs come in, so that a page
 * never passes over what moves to the other end meanwhile; as jobs also move between the lists, two passes that find
 * nothing are needed.
 */
#include "common/redis/redis.h"

#include <hiredis/hiredis.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/mem.h"
#include "common/base/str.h"
#include "common/queue/partition.h"
#include "master/cli/queue_flush.h"

#define TIMEOUT_MS 5000
#define PAGE       1000
#define LOOK_MAX   20000 /* jobs of a state that are counted for a person */
#define SKEW_MS    250   /* between the clocks of hosts: timestamps are those of whoever added */
#define KEY_SIZE   640

static const struct {
    const char *name, *range;
} states[] = {{"wait", "LRANGE"}, {"paused", "LRANGE"}, {"active", "LRANGE"}, {"delayed", "ZRANGE"}};
#define STATES (sizeof states / sizeof *states)

/* ---- which queues */

static void place(struct queue_flush_place *p, const char *prefix, const char *name, const char *shown)
{
    str_copy(p->prefix, prefix, sizeof p->prefix);
    str_copy(p->name, name, sizeof p->name);
    str_copy(p->shown, shown, sizeof p->shown);
}

struct queue_flush_place *queue_flush_places(const struct conf *c, size_t *n)
{
    size_t max = c->n_takeovers;
    *n = 0;
    if (c->redis.mode == CONF_REDIS_NONE)
        return xcalloc(1, sizeof(struct queue_flush_place));
    for (size_t i = 0; i < c->n_destinations; i++)
        max += conf_destination_partitions(c, &c->destinations[i]);
    struct queue_flush_place *all = xcalloc(max + 1, sizeof *all);
    for (size_t i = 0; i < c->n_destinations; i++) {
        const struct conf_destination *d = &c->destinations[i];
        const char *name = conf_destination_queue(d);
        char prefix[256], shown[256];
        if (conf_destination_mode(c, d) != CONF_MODE_KEY) {
            place(&all[(*n)++], c->queue.prefix, name, d->id);
            continue;
        }
        for (unsigned k = 0; k < conf_destination_partitions(c, d); k++) {
            snprintf(shown, sizeof shown, "%.200s#%u", d->id, k);
            if (queue_partition_prefix(c->queue.prefix, name, k, prefix, sizeof prefix) != NULL)
                place(&all[(*n)++], prefix, name, shown);
        }
    }
    for (size_t i = 0; i < c->n_takeovers; i++)
        place(&all[(*n)++], c->takeovers[i].prefix, c->takeovers[i].queue, c->takeovers[i].id);
    return all;
}

/* ---- asking */

int queue_flush_open(struct queue_flush *f, const struct conf *c, const char *run_dir)
{
    char url[1024];
    if (c->redis.mode == CONF_REDIS_MANAGED)
        snprintf(url, sizeof url, "unix://%s/redis.sock", run_dir);
    else
        conf_redis_url(c, url, sizeof url);
    f->c = redis_connect_blocking(url, c->redis.username, c->redis.password, TIMEOUT_MS, f->error,
                                  sizeof f->error);
    return f->c != NULL ? 0 : -1;
}

void queue_flush_close(struct queue_flush *f)
{
    if (f->c != NULL)
        redisFree(f->c);
    f->c = NULL;
}

/* The next reply; NULL with the error kept, also for one that says so. */
static redisReply *reply_of(struct queue_flush *f)
{
    redisReply *r = NULL;
    if (redisGetReply(f->c, (void **)&r) != 0 || r == NULL) {
        str_copy(f->error, f->c->errstr, sizeof f->error);
        return NULL;
    }
    if (r->type == REDIS_REPLY_ERROR) {
        str_copy(f->error, r->str, sizeof f->error);
        freeReplyObject(r);
        return NULL;
    }
    return r;
}

static const char *key_of(const struct queue_flush_place *p, const char *suffix, char dst[KEY_SIZE])
{
    snprintf(dst, KEY_SIZE, "%s:%s:%s", p->prefix, p->name, suffix);
    return dst;
}

static void ask_range(struct queue_flush *f, const struct queue_flush_place *p, size_t state, size_t from,
                      size_t to)
{
    char key[KEY_SIZE];
    redisAppendCommand(f->c, "%s %s %d %d", states[state].range, key_of(p, states[state].name, key),
                       (int)from, (int)to);
}

int queue_flush_mark(struct queue_flush *f)
{
    redisAppendCommand(f->c, "TIME");
    redisReply *r = reply_of(f);
    uint64_t s = 0, us = 0;
    int rc = -1;
    if (r != NULL && r->type == REDIS_REPLY_ARRAY && r->elements == 2 &&
        str_parse_u64(r->element[0]->str, &s) == 0 && str_parse_u64(r->element[1]->str, &us) == 0) {
        uint64_t theirs = s * 1000 + us / 1000, ours = clock_wall_ms();
        f->mark_ms = (theirs > ours ? theirs : ours) + SKEW_MS;
        rc = 0;
    } else if (r != NULL) {
        str_copy(f->error, "TIME: an unexpected answer", sizeof f->error);
    }
    freeReplyObject(r);
    return rc;
}

/* Is it one that counts? An id without a job is none. */
static bool counts(const struct queue_flush *f, const redisReply *id, const redisReply *fields, size_t state)
{
    uint64_t added = 0;
    if (fields->type != REDIS_REPLY_ARRAY || fields->elements != 2 ||
        fields->element[0]->type != REDIS_REPLY_STRING ||
        str_parse_u64(fields->element[0]->str, &added) != 0 || added > f->mark_ms)
        return false;
    bool is_next = strcmp(states[state].name, "delayed") == 0 && str_starts(id->str, "repeat:") &&
                   fields->element[1]->type == REDIS_REPLY_NIL;
    return !is_next;
}

/* How many of these ids count, or -1. */
static long count_ids(struct queue_flush *f, const struct queue_flush_place *p, size_t state,
                      const redisReply *ids)
{
    long n = 0;
    if (ids->type != REDIS_REPLY_ARRAY) {
        str_copy(f->error, "an unexpected answer", sizeof f->error);
        return -1;
    }
    for (size_t i = 0; i < ids->elements; i++) {
        char *key = xasprintf("%s:%s:%s", p->prefix, p->name, ids->element[i]->str);
        redisAppendCommand(f->c, "HMGET %s timestamp attemptsMade", key);
        free(key);
    }
    for (size_t i = 0; i < ids->elements; i++) {
        redisReply *fields = reply_of(f);
        if (fields == NULL && f->c->err != 0)
            return -1;
        /* an error of one (its key is no hash) leaves the others to be read */
        n += fields != NULL && counts(f, ids->element[i], fields, state);
        freeReplyObject(fields);
    }
    return n;
}

/* ---- looks */

/* What is next to be taken, and what is in hand. */
static int cheap_look(struct queue_flush *f, const struct queue_flush_place *p)
{
    static const size_t order[] = {0, 1, 2};
    int clean = 1;
    for (size_t i = 0; i < 3; i++) {
        char key[KEY_SIZE];
        bool active = order[i] == 2;
        redisAppendCommand(f->c, "LRANGE %s %d %d", key_of(p, states[order[i]].name, key), active ? 0 : -1,
                           active ? PAGE - 1 : -1);
    }
    redisReply *found[3];
    for (size_t i = 0; i < 3; i++)
        found[i] = reply_of(f);
    for (size_t i = 0; i < 3; i++) {
        long n = found[i] != NULL && clean == 1 ? count_ids(f, p, order[i], found[i]) : 0;
        if (found[i] == NULL || n < 0)
            clean = -1;
        else if (n > 0)
            clean = 0;
        freeReplyObject(found[i]);
    }
    return clean;
}

/* All states at one instant. 2: too many for that. */
static int look_at_once(struct queue_flush *f, const struct queue_flush_place *p)
{
    int clean = 1;
    redisAppendCommand(f->c, "MULTI");
    for (size_t s = 0; s < STATES; s++)
        ask_range(f, p, s, 0, PAGE - 1);
    redisAppendCommand(f->c, "EXEC");
    for (size_t i = 0; i < STATES + 1; i++) {
        redisReply *queued = reply_of(f);
        if (queued == NULL)
            clean = -1;
        freeReplyObject(queued);
    }
    redisReply *r = reply_of(f);
    if (r == NULL || clean < 0 || r->type != REDIS_REPLY_ARRAY || r->elements != STATES) {
        freeReplyObject(r);
        return -1;
    }
    for (size_t s = 0; s < STATES && clean == 1; s++) {
        if (r->element[s]->type == REDIS_REPLY_ARRAY && r->element[s]->elements == PAGE)
            clean = 2;
        long n = clean == 1 ? count_ids(f, p, s, r->element[s]) : 0;
        if (n != 0)
            clean = n < 0 ? -1 : 0;
    }
    freeReplyObject(r);
    return clean;
}

/* Goes on until `enough` were found, `look_max` (0: all) looked at. *all: it came to the end. The number, or -1. */
static long count_state(struct queue_flush *f, const struct queue_flush_place *p, size_t state, long enough,
                        size_t look_max, bool *all)
{
    long n = 0;
    for (size_t at = 0; n < enough && (look_max == 0 || at < look_max); at += PAGE) {
        ask_range(f, p, state, at, at + PAGE - 1);
        redisReply *ids = reply_of(f);
        long more = ids != NULL ? count_ids(f, p, state, ids) : -1;
        *all = ids != NULL && ids->elements < PAGE;
        freeReplyObject(ids);
        if (more < 0)
            return -1;
        n += more;
        if (*all)
            break;
    }
    return n;
}

int queue_flush_settled(struct queue_flush *f, const struct queue_flush_place *p)
{
    int clean = cheap_look(f, p);
    if (clean == 1)
        clean = look_at_once(f, p);
    if (clean != 2)
        return clean;
    for (size_t i = 0; i < 2 * STATES; i++) {
        bool all = false;
        long n = count_state(f, p, i % STATES, 1, 0, &all);
        if (n != 0)
            return n < 0 ? -1 : 0;
    }
    return 1;
}

json_t *queue_flush_left(struct queue_flush *f, const struct queue_flush_place *p)
{
    char key[KEY_SIZE];
    bool more = false;
    json_t *o = json_pack("{s:s}", "queue", p->shown);
    for (size_t s = 0; s < STATES; s++) {
        bool all = false;
        long n = count_state(f, p, s, LOOK_MAX, LOOK_MAX, &all);
        if (n < 0) {
            json_decref(o);
            return NULL;
        }
        more = more || !all;
        json_object_set_new(o, states[s].name, json_integer(n));
    }
    redisAppendCommand(f->c, "EXISTS %s", key_of(p, "meta-paused", key));
    redisReply *r = reply_of(f);
    json_object_set_new(o, "is_paused", json_boolean(r != NULL && r->integer == 1));
    json_object_set_new(o, "more", json_boolean(more));
    freeReplyObject(r);
    return o;
}
