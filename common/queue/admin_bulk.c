/* admin_bulk - verbs on many jobs: each goes in calls of at most WINDOW jobs, one after another.
 *
 * A walk goes through a list or set from its old end, leaving out at that end what it has let stand. It looks at no more
 * entries than there were when it began, so that it ends however fast others add. A list that others take from moves
 * meanwhile: it is walked again, a few times, until a walk finds nothing. A search goes through the keys by SCAN.
 */
#include "common/queue/admin.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/buf.h"
#include "common/base/mem.h"
#include "common/queue/internal.h"

#define WINDOW      1000
#define PASSES_MAX  5
#define ROUNDS_MAX  1000 /* of an obliteration that others add to */
#define NAMES_MAX   4096 /* of one answer of SCAN; more than a few above its COUNT do not come */
#define PATTERN_MAX 4096
#define UNEXPECTED  "Redis gave an unexpected answer"

struct bulk;
struct verb {
    /* Sends the next call, or tells that there is none (false). */
    bool (*step)(struct queue *q, struct bulk *w);
    /* Takes its answer in; false with s and why set: the end. */
    bool (*take)(struct bulk *w, const struct redisReply *reply, enum queue_status *s, const char **why);
};

struct bulk {
    struct queue_bulk b;
    struct queue_bulk_result r;
    const struct verb *verb;
    /* walk */
    const char *what, *states[4]; /* the last is NULL */
    size_t state;
    int64_t age_ms;
    uint64_t at, left;
    bool is_list, is_sized, found;
    unsigned pass;
    /* search */
    char *pattern, cursor[24];
    size_t base_len;
    char **names;
    size_t names_n, names_at, names_sent;
    bool is_scanning, is_scanned;
    /* obliterate */
    enum { JOBS, KEYS, END, GONE } stage;
    bool force;
    unsigned rounds;
};

struct bulk_call {
    struct queue_call call;
    struct bulk *w;
};

/* ---- the steps */

static void drop_names(struct bulk *w)
{
    for (size_t i = 0; i < w->names_n; i++)
        free(w->names[i]);
    free(w->names);
    w->names = NULL;
    w->names_n = w->names_at = 0;
}

static void end(struct bulk *w, enum queue_status s, const char *why)
{
    w->b.done(s, &w->r, why, w->b.arg);
    drop_names(w);
    free(w->pattern);
    free(w);
}

static void on_step(struct queue_call *c, enum queue_status s, const char *why,
                    const struct redisReply *reply)
{
    struct bulk *w = ((struct bulk_call *)(void *)c)->w;
    bool go_on = s == QUEUE_OK && w->verb->take(w, reply, &s, &why);
    if (go_on && w->b.progress != NULL)
        w->b.progress(&w->r, w->b.arg);
    if (go_on && c->q->freed) {
        s = QUEUE_AWAY;
        why = "the queue was closed";
        go_on = false;
    }
    if (!go_on || !w->verb->step(c->q, w))
        end(w, s, why);
}

static void send(struct queue *q, struct bulk *w, const struct redis_script *script, int argc,
                 const char *const *argv)
{
    struct bulk_call *c = xcalloc(1, sizeof *c);
    c->call.finish = on_step;
    c->w = w;
    queue_call_script(q, &c->call, script, argc, argv, NULL);
}

static struct bulk *bulk_new(const struct queue_bulk *b, const struct verb *verb)
{
    struct bulk *w = xcalloc(1, sizeof *w);
    w->b = *b;
    w->verb = verb;
    return w;
}

static void begin(struct queue *q, struct bulk *w)
{
    if (!w->verb->step(q, w))
        end(w, QUEUE_OK, NULL);
}

/* How many more may be done, at most a window. */
static uint64_t allowance(const struct bulk *w)
{
    uint64_t left = w->b.max > 0 ? w->b.max - w->r.done : WINDOW;
    return left < WINDOW ? left : WINDOW;
}

/* n numbers that are not negative, but perhaps the first. */
static bool read_numbers(const struct redisReply *reply, long long *v, size_t n)
{
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements != n)
        return false;
    for (size_t i = 0; i < n; i++) {
        if (reply->element[i]->type != REDIS_REPLY_INTEGER || (i > 0 && reply->element[i]->integer < 0))
            return false;
        v[i] = reply->element[i]->integer;
    }
    return true;
}

/* ---- walks */

static bool take_walk(struct bulk *w, const struct redisReply *reply, enum queue_status *s, const char **why)
{
    enum { DONE, SKIPPED, AHEAD, SIZE, ALL };
    long long v[ALL];
    if (!read_numbers(reply, v, ALL) || v[DONE] < 0) {
        *s = QUEUE_BROKEN;
        *why = UNEXPECTED;
        return false;
    }
    if (!w->is_sized) {
        w->is_sized = true;
        w->left = (uint64_t)v[SIZE];
    }
    uint64_t looked_at = (uint64_t)v[AHEAD] + (w->b.dry_run ? 0 : (uint64_t)v[DONE]);
    w->r.done += (uint64_t)v[DONE];
    w->r.skipped += (uint64_t)v[SKIPPED];
    w->at += (uint64_t)v[AHEAD];
    w->left = looked_at == 0 || looked_at > w->left ? 0 : w->left - looked_at;
    w->found = w->found || v[DONE] > 0;
    return true;
}

/* The next state that has something left; false at the end of the last pass. */
static bool walk_on(struct bulk *w)
{
    if (w->b.max > 0 && w->r.done >= w->b.max)
        return false;
    if (!w->is_sized || w->left > 0)
        return true;
    w->at = 0;
    w->is_sized = false;
    if (w->states[++w->state] != NULL)
        return true;
    if (!w->is_list || w->b.dry_run || !w->found || ++w->pass >= PASSES_MAX)
        return false;
    w->state = 0;
    w->found = false;
    w->r.skipped = 0; /* they are met again */
    return true;
}

static bool step_move(struct queue *q, struct bulk *w)
{
    if (!walk_on(w))
        return false;
    char first[24], most[24];
    snprintf(first, sizeof first, "%" PRIu64, w->at);
    snprintf(most, sizeof most, "%" PRIu64, allowance(w));
    const char *argv[] = {w->what, q->o.token, "", first, most, w->b.dry_run ? "1" : ""};
    send(q, w, &queue_script_admin_move, 6, argv);
    return true;
}

static bool step_clean(struct queue *q, struct bulk *w)
{
    if (!walk_on(w))
        return false;
    char age[24], most[24], max[16], first[24], tombstone[24];
    snprintf(age, sizeof age, "%" PRId64, w->age_ms);
    snprintf(most, sizeof most, "%" PRIu64, allowance(w));
    snprintf(max, sizeof max, "%d", WINDOW);
    snprintf(first, sizeof first, "%" PRIu64, w->at);
    snprintf(tombstone, sizeof tombstone, "%" PRIu64, q->o.tombstone_ms);
    const char *argv[] = {w->states[w->state], age, most, max, first, w->b.dry_run ? "1" : "", tombstone};
    send(q, w, &queue_script_admin_clean, 7, argv);
    return true;
}

static const struct verb verb_move = {step_move, take_walk}, verb_clean = {step_clean, take_walk};

void queue_retry_all(struct queue *q, const struct queue_bulk *b)
{
    struct bulk *w = bulk_new(b, &verb_move);
    w->what = "retry";
    w->states[0] = "failed";
    begin(q, w);
}

void queue_promote_all(struct queue *q, const struct queue_bulk *b)
{
    struct bulk *w = bulk_new(b, &verb_move);
    w->what = "promote";
    w->states[0] = "delayed";
    begin(q, w);
}

void queue_clean(struct queue *q, enum queue_state state, uint64_t grace_ms, const struct queue_bulk *b)
{
    struct bulk *w = bulk_new(b, &verb_clean);
    if (state == QUEUE_STATE_NONE) {
        end(w, QUEUE_INVALID, "no such state");
        return;
    }
    w->age_ms = grace_ms < INT64_MAX / 4 ? (int64_t)grace_ms : INT64_MAX / 4;
    w->states[0] = queue_state_name(state);
    w->is_list = state == QUEUE_STATE_WAIT || state == QUEUE_STATE_PAUSED || state == QUEUE_STATE_ACTIVE;
    if (state == QUEUE_STATE_WAIT) {
        w->states[0] = "paused"; /* older than what strays in wait meanwhile */
        w->states[1] = "wait";
    }
    begin(q, w);
}

void queue_drain(struct queue *q, bool delayed, const struct queue_bulk *b)
{
    struct bulk *w = bulk_new(b, &verb_clean);
    w->age_ms = -1;
    w->is_list = true;
    size_t n = 0;
    w->states[n++] = "paused";
    w->states[n++] = "wait";
    if (delayed)
        w->states[n++] = "delayed";
    begin(q, w);
}

/* ---- searches */

/* A pattern for keys that begin with the base. NULL: too long. */
static char *key_pattern(const char *base, const char *pattern)
{
    struct buf b;
    buf_init(&b, PATTERN_MAX);
    int r = 0;
    for (const char *p = base; *p != '\0'; p++)
        r |= strchr("*?[]^\\", *p) != NULL ? buf_printf(&b, "\\%c", *p) : buf_appendc(&b, *p);
    r |= buf_puts(&b, pattern);
    char *out = r == 0 ? xstrdup(buf_cstr(&b)) : NULL;
    buf_fini(&b);
    return out;
}

static void send_scan(struct queue *q, struct bulk *w, const char *type)
{
    const char *argv[] = {
        "SCAN", w->is_scanned ? w->cursor : "0", "MATCH", w->pattern, "COUNT", "1000", "TYPE", type};
    struct bulk_call *c = xcalloc(1, sizeof *c);
    c->call.finish = on_step;
    c->w = w;
    w->is_scanning = true;
    w->base_len = strlen(q->base);
    queue_call_begin(q, &c->call);
    redis_command(q->r, queue_call_reply, &c->call, type != NULL ? 8 : 6, argv, NULL);
}

static bool take_scan(struct bulk *w, const struct redisReply *reply)
{
    w->is_scanning = false;
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 2 ||
        reply->element[0]->type != REDIS_REPLY_STRING || reply->element[0]->len >= sizeof w->cursor ||
        reply->element[1]->type != REDIS_REPLY_ARRAY)
        return false;
    w->is_scanned = true;
    memcpy(w->cursor, reply->element[0]->str, reply->element[0]->len + 1);
    drop_names(w);
    const struct redisReply *keys = reply->element[1];
    w->names = xcalloc(keys->elements + 1, sizeof *w->names);
    for (size_t i = 0; i < keys->elements; i++) {
        const struct redisReply *key = keys->element[i];
        if (key->type == REDIS_REPLY_STRING && key->len > w->base_len && strlen(key->str) == key->len)
            w->names[w->names_n++] = xstrdup(key->str + w->base_len);
    }
    return true;
}

static bool has_names(const struct bulk *w)
{
    return w->names_at < w->names_n;
}

static bool is_searched(const struct bulk *w)
{
    return w->is_scanned && strcmp(w->cursor, "0") == 0;
}

/* Calls the script with head and then names, at most max of them. */
static void send_names(struct queue *q, struct bulk *w, const struct redis_script *script, size_t head_n,
                       const char *const *head, uint64_t max)
{
    size_t n = w->names_n - w->names_at;
    if (n > max)
        n = (size_t)max;
    const char **argv = xcalloc(head_n + n, sizeof *argv);
    memcpy(argv, head, head_n * sizeof *argv);
    for (size_t i = 0; i < n; i++)
        argv[head_n + i] = w->names[w->names_at + i];
    w->names_sent = n;
    send(q, w, script, (int)(head_n + n), argv);
    free(argv);
}

static bool step_matching(struct queue *q, struct bulk *w)
{
    if (w->b.max > 0 && w->r.done >= w->b.max)
        return false;
    if (has_names(w)) {
        char tombstone[24];
        snprintf(tombstone, sizeof tombstone, "%" PRIu64, q->o.tombstone_ms);
        const char *head[] = {w->b.dry_run ? "1" : "", tombstone, "1"};
        send_names(q, w, &queue_script_admin_remove, 3, head, allowance(w));
        return true;
    }
    if (is_searched(w))
        return false;
    send_scan(q, w, "hash");
    return true;
}

static bool take_matching(struct bulk *w, const struct redisReply *reply, enum queue_status *s,
                          const char **why)
{
    enum { REMOVED, LOCKED, DEALT, CODE, ALL };
    *s = QUEUE_BROKEN;
    *why = UNEXPECTED;
    if (w->is_scanning) {
        if (!take_scan(w, reply))
            return false;
    } else {
        if (reply->type != REDIS_REPLY_ARRAY || reply->elements != ALL)
            return false;
        long long v[CODE];
        for (size_t i = 0; i < CODE; i++)
            v[i] = reply->element[i]->integer;
        if (v[REMOVED] < 0 || v[LOCKED] < 0 || v[DEALT] < 1)
            return false;
        w->r.done += (uint64_t)v[REMOVED];
        w->r.skipped += (uint64_t)v[LOCKED];
        w->names_at += (size_t)v[DEALT];
    }
    *s = QUEUE_OK;
    *why = NULL;
    return true;
}

static const struct verb verb_matching = {step_matching, take_matching};

void queue_remove_matching(struct queue *q, const char *pattern, const struct queue_bulk *b)
{
    struct bulk *w = bulk_new(b, &verb_matching);
    w->pattern = key_pattern(q->base, pattern);
    if (w->pattern == NULL)
        end(w, QUEUE_INVALID, "the pattern is too long");
    else
        begin(q, w);
}

/* ---- obliterate: the jobs, then what is left below the base, then the queue's own keys */

static bool step_obliterate(struct queue *q, struct bulk *w)
{
    char max[16];
    snprintf(max, sizeof max, "%d", WINDOW);
    const char *jobs[] = {"jobs", max, w->force ? "1" : "", w->b.dry_run ? "1" : ""}, *keys[] = {"keys"},
               *last[] = {"end"};
    switch (w->stage) {
    case JOBS:
        send(q, w, &queue_script_admin_obliterate, 4, jobs);
        return true;
    case KEYS:
        if (has_names(w))
            send_names(q, w, &queue_script_admin_obliterate, 1, keys, WINDOW);
        else
            send_scan(q, w, NULL);
        return true;
    case END:
        send(q, w, &queue_script_admin_obliterate, 1, last);
        return true;
    case GONE:
        break;
    }
    return false;
}

/* The answer of the script; n: what it says. False: s and why say what is wrong. */
static bool read_answer(const struct redisReply *reply, long long n[2], enum queue_status *s,
                        const char **why)
{
    n[1] = 0;
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements < 1 || reply->elements > 2)
        return false;
    for (size_t i = 0; i < reply->elements; i++)
        n[i] = reply->element[i]->integer;
    if (n[0] >= 0)
        return true;
    *s = QUEUE_WRONG_STATE;
    *why = n[0] == -1 ? "the queue is not paused" : "jobs are active";
    return false;
}

static bool take_obliterate(struct bulk *w, const struct redisReply *reply, enum queue_status *s,
                            const char **why)
{
    long long n[2];
    *s = QUEUE_BROKEN;
    *why = UNEXPECTED;
    if (w->is_scanning) {
        if (!take_scan(w, reply))
            return false;
    } else if (!read_answer(reply, n, s, why)) {
        return false;
    } else if (w->stage == JOBS) {
        w->r.done += (uint64_t)n[0];
        if (w->b.dry_run)
            w->stage = GONE;
        else if (n[1] == 0)
            w->stage = KEYS;
    } else if (w->stage == KEYS) {
        w->names_at += w->names_sent;
    } else if (n[0] == 0) {
        w->stage = GONE;
    } else if (++w->rounds < ROUNDS_MAX) {
        w->stage = JOBS; /* others have added meanwhile */
        w->is_scanned = false;
    } else {
        *s = QUEUE_WRONG_STATE;
        *why = "jobs are added faster than they can be removed";
        return false;
    }
    if (w->stage == KEYS && is_searched(w) && !has_names(w))
        w->stage = END;
    *s = QUEUE_OK;
    *why = NULL;
    return true;
}

static const struct verb verb_obliterate = {step_obliterate, take_obliterate};

void queue_obliterate(struct queue *q, bool force, const struct queue_bulk *b)
{
    struct bulk *w = bulk_new(b, &verb_obliterate);
    w->force = force;
    w->pattern = key_pattern(q->base, "*");
    if (w->pattern == NULL)
        end(w, QUEUE_INVALID, "the queue's name is too long");
    else
        begin(q, w);
}
