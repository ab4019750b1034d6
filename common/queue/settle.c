/* settle - the ways to end the holding of a job, and the renewal of its lock. */
#include "common/queue/internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/buf.h"
#include "common/base/fatal.h"
#include "common/base/mem.h"
#include "common/base/str.h"
#include "common/queue/order.h"

#define PER_JOB      5
#define HEAD         5
#define QUOTED(x)    #x
#define STRING_OF(x) QUOTED(x)

struct item {
    struct list link;
    char op;
    char *id, *text, *extra;
    char keep[QUEUE_KEEP_SIZE];
    queue_done_fn done;
    void *arg;
};

struct group {
    struct queue_call call;
    struct list items;
    size_t n;
};

static void item_free(struct item *it)
{
    free(it->id);
    free(it->text);
    free(it->extra);
    free(it);
}

static struct item *ask(struct queue *q, char op, const char *id, const char *text, char *extra,
                        queue_done_fn done, void *arg)
{
    struct item *it = xcalloc(1, sizeof *it);
    it->op = op;
    it->id = xstrdup(id);
    it->text = xstrndup(text, strlen(text));
    it->extra = extra;
    it->done = done;
    it->arg = arg;
    list_push_back(&q->settles, &it->link);
    return it;
}

static char *json_string(const char *text)
{
    struct buf b;
    buf_init(&b, 8 * strlen(text) + 16);
    buf_put_json(&b, text, strlen(text));
    char *out = xstrdup(buf_cstr(&b));
    buf_fini(&b);
    return out;
}

void queue_complete(struct queue *q, const struct queue_job *job, const char *value, queue_done_fn done,
                    void *arg)
{
    if (q->memory != NULL) {
        queue_memory_settle(q->memory, QUEUE_MEMORY_COMPLETE, job->id, value, 0, false, false, done, arg);
        return;
    }
    struct item *it = ask(q, 'c', job->id, value, json_string(value), done, arg);
    queue_opts_keep(job->opts, job->opts_len, false, it->keep);
}

/* reason, bounded and at a character's end. The caller frees it. */
static char *cut(const char *reason)
{
    size_t len = strlen(reason);
    if (len > QUEUE_REASON_MAX) {
        len = QUEUE_REASON_MAX;
        while (len > 0 && ((unsigned char)reason[len] & 0xc0) == 0x80)
            len--;
    }
    return xstrndup(reason, len);
}

void queue_fail(struct queue *q, const struct queue_job *job, const char *reason, queue_done_fn done,
                void *arg)
{
    if (q->memory != NULL) {
        queue_memory_settle(q->memory, QUEUE_MEMORY_FAIL, job->id, reason, 0, true, false, done, arg);
        return;
    }
    char *text = cut(reason);
    struct item *it = ask(q, 'f', job->id, text, json_string(text), done, arg);
    queue_opts_keep(job->opts, job->opts_len, true, it->keep);
    free(text);
}

void queue_delay(struct queue *q, const struct queue_job *job, uint64_t delay_ms, bool count_attempt,
                 const char *reason, queue_done_fn done, void *arg)
{
    if (q->memory != NULL) {
        queue_memory_settle(q->memory, QUEUE_MEMORY_DELAY, job->id, "", delay_ms, count_attempt, false, done,
                            arg);
        return;
    }
    char *text = cut(reason != NULL ? reason : "");
    char *extra;
    if (delay_ms > 0)
        extra = xasprintf("%" PRIu64, delay_ms);
    else
        extra = xstrdup(queue_opts_lifo(job->opts, job->opts_len) ? "1" : "");
    char op = delay_ms > 0 ? (count_attempt ? 'D' : 'd') : (count_attempt ? 'R' : 'r');
    struct item *it = ask(q, op, job->id, text, extra, done, arg);
    if (count_attempt)
        queue_opts_keep(job->opts, job->opts_len, true, it->keep);
    free(text);
}

void queue_delay_front(struct queue *q, const struct queue_job *job, uint64_t delay_ms, const char *reason,
                       queue_done_fn done, void *arg)
{
    if (q->memory != NULL) {
        queue_memory_settle(q->memory, QUEUE_MEMORY_DELAY, job->id, "", delay_ms, true, true, done, arg);
        return;
    }
    char *text = cut(reason);
    char *extra = delay_ms > 0 ? xasprintf("%" PRIu64, delay_ms) : xstrdup("1");
    struct item *it = ask(q, delay_ms > 0 ? 'F' : 'R', job->id, text, extra, done, arg);
    queue_opts_keep(job->opts, job->opts_len, true, it->keep);
    free(text);
}

void queue_hold(struct queue *q, const struct queue_job *job, uint64_t delay_ms, bool count_attempt,
                const char *reason, queue_done_fn done, void *arg)
{
    char *text = cut(reason != NULL ? reason : "");
    struct item *it =
        ask(q, 'H', job->id, text, xasprintf("%" PRIu64 ",%d", delay_ms, count_attempt), done, arg);
    ASSERT(q->o.ordered);
    if (count_attempt)
        queue_opts_keep(job->opts, job->opts_len, true, it->keep);
    free(text);
    q->returns++;
}

void queue_hand_back(struct queue *q, const char *id, queue_done_fn done, void *arg)
{
    if (q->memory != NULL) {
        queue_memory_settle(q->memory, QUEUE_MEMORY_HAND_BACK, id, "", 0, false, true, done, arg);
        return;
    }
    q->returns++;
    ask(q, 'h', id, "", xstrdup(""), done, arg);
}

static void answer_all(struct list *items, enum queue_status s, const char *why)
{
    struct item *it;
    while ((it = list_first(items, struct item, link)) != NULL) {
        list_remove(&it->link);
        if (it->done != NULL)
            it->done(s, why, it->arg);
        item_free(it);
    }
}

static void on_settled(struct queue_call *c, enum queue_status s, const char *why,
                       const struct redisReply *reply)
{
    struct group *g = (struct group *)(void *)c;
    c->q->settles_flying--;
    if (s == QUEUE_OK && (reply->type != REDIS_REPLY_ARRAY || reply->elements != g->n)) {
        s = QUEUE_BROKEN;
        why = "Redis gave an unexpected answer";
    }
    if (s != QUEUE_OK) {
        answer_all(&g->items, s, why);
        return;
    }
    struct item *it;
    bool fenced = false;
    for (size_t i = 0; (it = list_first(&g->items, struct item, link)) != NULL; i++) {
        long long code = reply->element[i]->integer;
        list_remove(&it->link);
        if (it->done != NULL) {
            if (code == 0)
                it->done(QUEUE_OK, NULL, it->arg);
            else if (code == -1)
                it->done(QUEUE_MISSING, "there is no such job", it->arg);
            else if (code == -3)
                it->done(QUEUE_BROKEN, "what stands under its key is no job any more", it->arg);
            else if (code == -4)
                it->done(QUEUE_LOST, "the lease is not ours any more", it->arg);
            else
                it->done(QUEUE_LOST, "the lock is not ours any more", it->arg);
        }
        fenced = fenced || code == -4;
        item_free(it);
    }
    if (fenced && !c->q->freed)
        queue_lease_refused(c->q);
}

/* Numbers above what Lua counts exactly mean "no limit". */
static void put_number(char dst[24], uint64_t v, const char *unlimited)
{
    if (v > (1ull << 52))
        str_copy(dst, unlimited, 24);
    else
        snprintf(dst, 24, "%" PRIu64, v);
}

/* With the take that is asked for, when with_take. */
static void send_group(struct queue *q, struct group *g, bool with_take)
{
    char count[24], tombstone[24], points[24];
    char(*ops)[2] = xcalloc(g->n, sizeof *ops);
    const char **all = xcalloc(2 + HEAD + PER_JOB * g->n, sizeof *all), **argv = all + 2;
    put_number(count, q->o.keep_completed_count, "-1");
    put_number(tombstone, q->o.tombstone_ms, "0");
    put_number(points, q->o.metrics_points, "0");
    all[0] = queue_lease_value(q); /* on an ordered queue */
    all[1] = STRING_OF(HEAD);
    const char *const head[HEAD] = {q->o.token, count, tombstone, points, queue_alone(q)};
    memcpy(argv, head, sizeof head);
    size_t i = 0;
    const struct item *it;
    list_foreach(it, &g->items, struct item, link)
    {
        const char **a = argv + HEAD + PER_JOB * i;
        ops[i][0] = it->op;
        a[0] = ops[i];
        a[1] = it->id;
        a[2] = it->text;
        a[3] = it->extra;
        a[4] = it->keep;
        i++;
    }
    g->call.finish = on_settled;
    q->settles_flying++;
    int argc = (int)(HEAD + PER_JOB * g->n);
    if (q->o.ordered) {
        argv = all;
        argc += 2;
    }
    if (with_take)
        queue_call_turn(q, &g->call, argc, argv);
    else
        queue_call_script(q, &g->call, q->o.ordered ? &queue_script_settle_ordered : &queue_script_settle,
                          argc, argv, NULL);
    free(all);
    free(ops);
}

void queue_flush_settles(struct queue *q)
{
    if (list_empty(&q->settles))
        return;
    if (redis_state(q->r) != REDIS_READY) {
        queue_drop_settles(q, QUEUE_AWAY);
        return;
    }
    while (!list_empty(&q->settles) && q->settles_flying < QUEUE_FLYING_MAX &&
           redis_unsent(q->r) < QUEUE_UNSENT_MAX) {
        struct group *g = xcalloc(1, sizeof *g);
        list_init(&g->items);
        struct item *it;
        while (g->n < QUEUE_GROUP_MAX && (it = list_first(&q->settles, struct item, link)) != NULL) {
            list_remove(&it->link);
            list_push_back(&g->items, &it->link);
            g->n++;
        }
        send_group(q, g, list_empty(&q->settles) && !list_empty(&q->takes));
    }
}

void queue_drop_settles(struct queue *q, enum queue_status s)
{
    struct list all;
    list_init(&all);
    struct item *it;
    while ((it = list_first(&q->settles, struct item, link)) != NULL) {
        list_remove(&it->link);
        list_push_back(&all, &it->link);
    }
    answer_all(&all, s, "no connection to Redis");
}

/* ---- renew */

#define RENEW_MAX 1000 /* locks of one call: the script gives them all to MGET, and Lua's stack is bounded */

struct renewal { /* lives until its last part is answered */
    queue_lost_fn lost;
    queue_done_fn done;
    void *arg;
    size_t parts;
    enum queue_status status;
};

struct renewal_part {
    struct queue_call call;
    struct renewal *whole;
    size_t n;
    char **ids;
};

static void part_done(struct renewal *r, const char *why)
{
    if (--r->parts > 0)
        return;
    if (r->done != NULL)
        r->done(r->status, why, r->arg);
    free(r);
}

static void on_renewed(struct queue_call *c, enum queue_status s, const char *why,
                       const struct redisReply *reply)
{
    struct renewal_part *p = (struct renewal_part *)(void *)c;
    struct renewal *r = p->whole;
    if (s == QUEUE_OK && (reply->type != REDIS_REPLY_ARRAY || reply->elements != p->n)) {
        s = QUEUE_BROKEN;
        why = "Redis gave an unexpected answer";
    }
    for (size_t i = 0; i < p->n; i++) {
        if (s == QUEUE_OK && reply->element[i]->integer != 1 && r->lost != NULL)
            r->lost(p->ids[i], r->arg);
        free(p->ids[i]);
    }
    free(p->ids);
    if (s != QUEUE_OK)
        r->status = s;
    part_done(r, why);
}

static void renew_part(struct queue *q, struct renewal *r, const char *const *ids, size_t n)
{
    struct renewal_part *p = xcalloc(1, sizeof *p);
    const char **argv = xcalloc(n + 3, sizeof *argv);
    char lock_ms[24];
    snprintf(lock_ms, sizeof lock_ms, "%" PRIu64, q->o.lock_ms);
    argv[0] = q->o.token;
    argv[1] = lock_ms;
    argv[2] = queue_lease_value(q);
    p->ids = xcalloc(n > 0 ? n : 1, sizeof *p->ids);
    for (size_t i = 0; i < n; i++) {
        argv[i + 3] = ids[i];
        p->ids[i] = xstrdup(ids[i]);
    }
    p->call.finish = on_renewed;
    p->whole = r;
    p->n = n;
    r->parts++;
    queue_call_script(q, &p->call, &queue_script_renew, (int)n + 3, argv, NULL);
    free(argv);
}

void queue_renew(struct queue *q, const char *const *ids, size_t n, queue_lost_fn lost, queue_done_fn done,
                 void *arg)
{
    if (q->memory != NULL) {
        queue_memory_answer(q->memory, done, arg);
        return;
    }
    struct renewal *r = xcalloc(1, sizeof *r);
    *r = (struct renewal){.lost = lost, .done = done, .arg = arg, .parts = 1};
    for (; n > RENEW_MAX; ids += RENEW_MAX, n -= RENEW_MAX)
        renew_part(q, r, ids, RENEW_MAX);
    renew_part(q, r, ids, n);
    part_done(r, NULL);
}
