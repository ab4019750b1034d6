/* take - what a take brings: jobs from wait to active, locked, in one step, with their fields in the same round trip.
 *
 * The script moves, locks and returns the ids; a SORT_RO behind it reads the fields of just these ids natively, because
 * Lua hashes every byte that passes through it. Where SORT_RO with GET is denied (Cluster, some ACLs), or a job came not
 * with it (another client's take came between), each is read by HMGET.
 */
#include "common/queue/internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/fatal.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/base/str.h"
#include "common/queue/order.h"

#define FIELD_NAMES                                                                                          \
    "data", "name", "opts", "timestamp", "attemptsMade", "stalledCounter", "retriedOn", "dray:retried"
enum { F_DATA, F_NAME, F_OPTS, F_TIMESTAMP, F_ATTEMPTS, F_STALLED, F_RETRIED, F_AFRESH, FIELDS };
#define SORTED F_AFRESH /* so many of them come with the sort: the others are rarely of interest */

/* Values of the scripts' answers before the ids; the last are the marks. */
enum { T_GHOSTS, T_LIMITED_MS, T_MARKS, TAKE_HEAD };
enum { O_STATE, O_MS, O_WHO, O_REQUEUED, O_FAILED, O_GHOSTS, O_MARKS, ORDERED_HEAD };

struct slot {
    char *id, *name, *opts;
    char *copy;                       /* data that must outlive its reply */
    bool there;                       /* the job's fields are known */
    char known_opts[QUEUE_OPTS_SIZE]; /* of a job that was not read */
};

/* Lives until the jobs are given away; the calls on the way refer to it. */
struct take {
    queue_taken_fn taken;
    void *arg;
    enum queue_status status;
    bool answered,
        sorted; /* by the script; by SORT_RO, which comes first when the script had to be loaded again */
    size_t n, missing;
    uint64_t limited_ms;
    struct queue_job *jobs;
    struct slot *slots;
    queue_taken_ordered_fn ordered;
    struct queue_turn turn;
    char *who;
    uint64_t returns; /* of the queue when this was sent */
    struct queue_known known;
};

struct take_call {
    struct queue_call call;
    struct take *t;
    size_t i; /* of the job whose data is asked for */
};

static char *copy_of(const struct redisReply *r, const char *absent, size_t *len)
{
    if (r->type != REDIS_REPLY_STRING) {
        *len = strlen(absent);
        return xstrdup(absent);
    }
    char *text = xmalloc(r->len + 1);
    memcpy(text, r->str, r->len);
    text[r->len] = '\0';
    *len = r->len;
    return text;
}

static uint64_t number_of(const struct redisReply *r)
{
    uint64_t v = 0;
    if (r->type == REDIS_REPLY_STRING && str_parse_u64(r->str, &v) == 0)
        return v;
    return 0;
}

/* seen: "RETRIED_ON ATTEMPTS", what attemptsMade was at the last manual retry but for which no attempt has failed yet. */
static uint64_t failures_of(const struct queue_job *j, const struct redisReply *seen)
{
    uint64_t at, before;
    if (j->retried_ms == 0)
        return j->attempts_made;
    if (seen->type != REDIS_REPLY_STRING || sscanf(seen->str, "%" SCNu64 " %" SCNu64, &at, &before) != 2 ||
        at != j->retried_ms || before > j->attempts_made)
        return 0;
    return j->attempts_made - before;
}

/* False: it is gone, or there is no memory for it, or the n fields are not enough. data is referred to unless it is to
 * be kept. */
static bool read_job(struct queue_job *j, struct slot *s, struct redisReply *const *f, size_t n, bool keep)
{
    const struct redisReply *data = f[F_DATA];
    size_t len;
    if (data->type != REDIS_REPLY_STRING)
        return false;
    if (n <= F_AFRESH && f[F_ATTEMPTS]->type == REDIS_REPLY_STRING &&
        f[F_RETRIED]->type == REDIS_REPLY_STRING)
        return false;
    if (keep) {
        s->copy = mem_try(data->len + 1);
        if (s->copy == NULL)
            return false;
        memcpy(s->copy, data->str, data->len);
        s->copy[data->len] = '\0';
    }
    j->data = keep ? s->copy : data->str;
    j->data_len = data->len;
    free(s->name);
    free(s->opts);
    j->name = s->name = copy_of(f[F_NAME], "__default__", &len);
    j->opts = s->opts = copy_of(f[F_OPTS], "{}", &j->opts_len);
    j->timestamp_ms = number_of(f[F_TIMESTAMP]);
    j->attempts_made = number_of(f[F_ATTEMPTS]);
    j->stalled_count = number_of(f[F_STALLED]);
    j->retried_ms = number_of(f[F_RETRIED]);
    j->failures = n > F_AFRESH ? failures_of(j, f[F_AFRESH]) : j->attempts_made;
    s->there = true;
    return true;
}

/* A job that vanished between being locked and being read is put off active by handing it back. */
static void drop_vanished(struct queue *q, struct take *t)
{
    size_t kept = 0;
    for (size_t i = 0; i < t->n; i++) {
        if (t->slots[i].there)
            t->jobs[kept++] = t->jobs[i];
        else if (!q->freed && t->status == QUEUE_OK)
            queue_hand_back(q, t->slots[i].id, NULL, NULL);
    }
    t->missing = t->n - kept;
}

/* What was taken before a hand-back or a hold was asked for has gone back with it. What stands behind a vanished job
 * cannot stay in hand either: the next take finds it. */
static void give_ordered(struct queue *q, struct take *t)
{
    size_t n = 0;
    q->taking = false;
    if (t->returns == q->returns)
        while (n < t->n && t->slots[n].there)
            n++;
    if (t->status == QUEUE_OK && !q->freed && n < t->n && t->returns == q->returns)
        queue_hand_back(q, t->slots[n].id, NULL, NULL);
    t->turn.who = t->who != NULL ? t->who : "";
    t->ordered(t->status, &t->turn, t->jobs, t->status == QUEUE_OK ? n : 0, t->arg);
    if (t->status == QUEUE_LOST && !q->freed)
        queue_lease_refused(q);
}

static void give(struct queue *q, struct take *t)
{
    if (t->ordered == NULL)
        drop_vanished(q, t);
    if (t->status != QUEUE_OK && t->n > 0)
        t->status = QUEUE_UNKNOWN; /* the script has locked them, whatever kept their data away */
    q->limited_ms = t->limited_ms;
    if (t->ordered != NULL)
        give_ordered(q, t);
    else if (t->status == QUEUE_OK)
        t->taken(QUEUE_OK, t->jobs, t->n - t->missing, t->arg);
    else
        t->taken(t->status, NULL, 0, t->arg);
    for (size_t i = 0; i < t->n; i++) {
        free(t->slots[i].id);
        free(t->slots[i].name);
        free(t->slots[i].opts);
        free(t->slots[i].copy);
    }
    queue_known_close(q, &t->known);
    free(t->slots);
    free(t->jobs);
    free(t->who);
    free(t);
}

static struct take_call *call_new(struct take *t, void (*finish)(struct queue_call *, enum queue_status,
                                                                 const char *, const struct redisReply *))
{
    struct take_call *c = xcalloc(1, sizeof *c);
    c->call.finish = finish;
    c->t = t;
    return c;
}

/* ---- one by one */

static void on_one(struct queue_call *c, enum queue_status s, const char *why, const struct redisReply *reply)
{
    (void)why;
    const struct take_call *one = (const struct take_call *)(const void *)c;
    struct take *t = one->t;
    if (s != QUEUE_OK)
        t->status = s;
    else if (reply->type == REDIS_REPLY_ARRAY && reply->elements == FIELDS)
        (void)read_job(&t->jobs[one->i], &t->slots[one->i], reply->element, FIELDS, true);
    if (--t->missing == 0)
        give(c->q, t);
}

/* What came with the sort must outlive its reply. */
static bool keep_data(struct take *t, size_t i)
{
    struct slot *s = &t->slots[i];
    if (t->jobs[i].added != NULL)
        return true;
    s->copy = mem_try(t->jobs[i].data_len + 1);
    if (s->copy == NULL)
        return false;
    memcpy(s->copy, t->jobs[i].data, t->jobs[i].data_len);
    s->copy[t->jobs[i].data_len] = '\0';
    t->jobs[i].data = s->copy;
    return true;
}

static void read_one_by_one(struct queue *q, struct take *t)
{
    size_t missing = 0;
    for (size_t i = 0; i < t->n; i++) {
        if (t->slots[i].there && !keep_data(t, i))
            t->slots[i].there = false;
        missing += !t->slots[i].there;
    }
    t->missing = missing;
    if (missing == 0) {
        give(q, t);
        return;
    }
    for (size_t i = 0; missing > 0; i++) {
        if (t->slots[i].there)
            continue;
        missing--; /* the last call may end t */
        struct take_call *c = call_new(t, on_one);
        c->i = i;
        char *key = xasprintf("%s%s", q->base, t->slots[i].id);
        const char *argv[] = {"HMGET", key, FIELD_NAMES};
        queue_call_begin(q, &c->call);
        redis_command(q->r, queue_call_reply, &c->call, 2 + FIELDS, argv, NULL);
        free(key);
    }
}

/* ---- all at once */

static void on_data(struct queue_call *c, enum queue_status s, const char *why,
                    const struct redisReply *reply)
{
    (void)why;
    struct take *t = ((struct take_call *)(void *)c)->t;
    struct queue *q = c->q;
    t->sorted = true;
    if (!t->answered)
        return;
    if (s == QUEUE_UNKNOWN || s == QUEUE_AWAY)
        t->status = s;
    if (t->status != QUEUE_OK || t->n == 0 || q->freed) {
        give(q, t);
        return;
    }
    size_t there = 0, next = 0, n = 0;
    if (s == QUEUE_OK && reply->type == REDIS_REPLY_ARRAY)
        n = reply->elements / (SORTED + 1);
    /* id, fields, id, fields, ... in the order of the script's answer, without those that it has marked */
    for (size_t i = 0; i < t->n; i++) {
        struct redisReply *const *at = next < n ? reply->element + (SORTED + 1) * next : NULL;
        if (t->slots[i].there) {
            there++;
            continue;
        }
        if (at != NULL && at[0]->type == REDIS_REPLY_STRING && strcmp(at[0]->str, t->jobs[i].id) == 0)
            there += read_job(&t->jobs[i], &t->slots[i], at + 1, SORTED, false);
        next++;
    }
    if (there == t->n)
        give(q, t);
    else
        read_one_by_one(q, t);
}

static void read_turn(struct take *t, struct redisReply *const *head)
{
    static const enum queue_turn_state states[] = {QUEUE_TURN_OPEN, QUEUE_TURN_PAUSED, QUEUE_TURN_HELD,
                                                   QUEUE_TURN_BLOCKED, QUEUE_TURN_LIMITED};
    long long v[ORDERED_HEAD];
    size_t len;
    for (size_t i = 0; i < ORDERED_HEAD; i++)
        v[i] = head[i]->type == REDIS_REPLY_INTEGER ? head[i]->integer : 0;
    if (v[O_STATE] < 0 || v[O_STATE] > 4) {
        t->status = QUEUE_LOST;
        return;
    }
    t->who = copy_of(head[O_WHO], "", &len);
    t->turn.state = states[v[O_STATE]];
    t->turn.retry_ms = v[O_MS] > 0 ? (uint64_t)v[O_MS] : 0;
    t->turn.requeued = (uint64_t)v[O_REQUEUED];
    t->turn.failed = (uint64_t)v[O_FAILED];
    t->turn.ghosts = (uint64_t)v[O_GHOSTS];
}

/* Fills t in; its status tells what became of it. */
static void read_ids(struct queue *q, struct take *t, const struct redisReply *reply)
{
    size_t head = t->ordered != NULL ? ORDERED_HEAD : TAKE_HEAD;
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements < head) {
        t->status = QUEUE_BROKEN;
        return;
    }
    if (t->ordered != NULL)
        read_turn(t, reply->element);
    long long ghosts = t->ordered != NULL ? (long long)t->turn.ghosts : reply->element[T_GHOSTS]->integer;
    if (ghosts > 0)
        log_warn("queue_ghosts", "queue=%s n=%lld", log_q(queue_name(q)), ghosts);
    if (t->ordered == NULL)
        t->limited_ms =
            (uint64_t)(reply->element[T_LIMITED_MS]->integer > 0 ? reply->element[T_LIMITED_MS]->integer : 0);
    const struct redisReply *marks = reply->element[head - 1];
    t->n = reply->elements - head;
    t->jobs = xcalloc(t->n + 1, sizeof *t->jobs);
    t->slots = xcalloc(t->n + 1, sizeof *t->slots);
    for (size_t i = 0; i < t->n; i++) {
        size_t len;
        t->jobs[i].id = t->slots[i].id = copy_of(reply->element[head + i], "", &len);
        if (marks->type == REDIS_REPLY_STRING && i < marks->len && marks->str[i] == '1')
            t->slots[i].there = queue_known_read(&t->known, &t->jobs[i], t->slots[i].known_opts);
    }
}

static void on_taken(struct queue_call *c, enum queue_status s, const char *why,
                     const struct redisReply *reply)
{
    struct take *t = ((struct take_call *)(void *)c)->t;
    t->answered = true;
    t->status = s;
    if (s == QUEUE_BROKEN)
        log_error("queue_take", "queue=%s why=%s", log_q(queue_name(c->q)), log_q(why));
    if (s == QUEUE_OK)
        read_ids(c->q, t, reply);
    if (!t->sorted)
        return; /* goes on with the data's answer */
    if (t->status == QUEUE_OK && t->n > 0 && !c->q->freed)
        read_one_by_one(c->q, t);
    else
        give(c->q, t);
}

/* Reads the fields of the ids that the script has left; one answer for all. */
void queue_take_read(struct queue *q, struct take *t)
{
    static const char *const fields[FIELDS] = {FIELD_NAMES};
    const char *argv[6 + 2 * SORTED] = {"SORT_RO", NULL, "BY", "nosort", "GET", "#"};
    char *made[SORTED], *key = xasprintf("%sdray:took", q->base);
    argv[1] = key;
    for (size_t i = 0; i < SORTED; i++) {
        argv[6 + 2 * i] = "GET";
        argv[7 + 2 * i] = made[i] = xasprintf("%s*->%s", q->base, fields[i]);
    }
    struct take_call *data = call_new(t, on_data);
    queue_call_begin(q, &data->call);
    redis_command(q->r, queue_call_reply, &data->call, 6 + 2 * SORTED, argv, NULL);
    for (size_t i = 0; i < SORTED; i++)
        free(made[i]);
    free(key);
}

struct queue_call *queue_take_open(struct queue *q, queue_taken_fn taken, queue_taken_ordered_fn ordered,
                                   void *arg, struct take **out)
{
    struct take *t = xcalloc(1, sizeof *t);
    t->taken = taken;
    t->ordered = ordered;
    t->arg = arg;
    t->returns = q->returns;
    queue_known_open(q, &t->known);
    *out = t;
    return &call_new(t, on_taken)->call;
}

const char *queue_take_known(const struct take *t)
{
    return t->known.ids != NULL ? t->known.ids : "";
}
