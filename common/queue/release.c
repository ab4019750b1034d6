/* release - hands back what a dead process, or a lost connection, left in active.
 *
 * One call looks at a bounded part of active; what others remove meanwhile shifts it, so that passes are made until
 * one finds nothing.
 */
#include "common/queue/internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"
#include "common/base/str.h"
#include "common/queue/order.h"

#define LOOK_AT    1000
#define TOKENS_MAX 256
#define PASSES_MAX 1000 /* calls in all: an end even when others fill active faster than it is read */

struct release {
    char *token;
    char **spared;
    size_t spared_n;
    long long limit; /* how often a job may stall; -1: this is no stall */
    queue_released_fn done;
    void *arg;
    uint64_t released, at;
    bool found; /* something in this pass */
    unsigned calls;
};

struct release_call {
    struct queue_call call;
    struct release *r;
};

static void step(struct queue *q, struct release *r);

static void end(struct release *r, enum queue_status s)
{
    if (r->done != NULL)
        r->done(s, r->released, r->arg);
    for (size_t i = 0; i < r->spared_n; i++)
        free(r->spared[i]);
    free(r->spared);
    free(r->token);
    free(r);
}

static void on_released(struct queue_call *c, enum queue_status s, const char *why,
                        const struct redisReply *reply)
{
    (void)why;
    struct release *r = ((struct release_call *)(void *)c)->r;
    if (s == QUEUE_OK && (reply->type != REDIS_REPLY_ARRAY || reply->elements != 3))
        s = QUEUE_BROKEN;
    if (s != QUEUE_OK) {
        end(r, s);
        return;
    }
    uint64_t released = (uint64_t)reply->element[0]->integer, seen = (uint64_t)reply->element[1]->integer;
    if (reply->element[2]->integer > 0)
        queue_lease_poke(c->q);
    r->released += released;
    r->found = r->found || released > 0;
    r->at += seen - released;
    bool whole_pass = seen < LOOK_AT;
    if (c->q->freed || ++r->calls >= PASSES_MAX || (whole_pass && (r->at + released == seen || !r->found))) {
        end(r, QUEUE_OK); /* one call saw all of active, or a pass found nothing */
        return;
    }
    if (whole_pass) {
        r->at = 0;
        r->found = false;
    }
    step(c->q, r);
}

static void step(struct queue *q, struct release *r)
{
    struct release_call *c = xcalloc(1, sizeof *c);
    char at[24], look_at[16], limit[24];
    snprintf(at, sizeof at, "%llu", (unsigned long long)r->at);
    snprintf(look_at, sizeof look_at, "%d", LOOK_AT);
    snprintf(limit, sizeof limit, "%lld", r->limit);
    const char **argv = xcalloc(5 + r->spared_n, sizeof *argv);
    argv[0] = r->token;
    argv[1] = at;
    argv[2] = look_at;
    argv[3] = limit;
    argv[4] = q->o.ordered ? "1" : "";
    for (size_t i = 0; i < r->spared_n; i++)
        argv[5 + i] = r->spared[i];
    c->call.finish = on_released;
    c->r = r;
    queue_call_script(q, &c->call, &queue_script_release, (int)(5 + r->spared_n), argv, NULL);
    free(argv);
}

static void start(struct queue *q, const char *token, long long limit, const char *const *spared, size_t n,
                  queue_released_fn done, void *arg)
{
    struct release *r = xcalloc(1, sizeof *r);
    r->token = xstrdup(token);
    r->limit = limit;
    r->spared = xcalloc(n > 0 ? n : 1, sizeof *r->spared);
    r->spared_n = n;
    for (size_t i = 0; i < n; i++)
        r->spared[i] = xstrdup(spared[i]);
    r->done = done;
    r->arg = arg;
    step(q, r);
}

void queue_release_token(struct queue *q, const char *token, queue_released_fn done, void *arg)
{
    start(q, token, (long long)q->o.max_stalled, NULL, 0, done, arg);
}

void queue_release_strays(struct queue *q, const char *const *in_hand, size_t n, queue_released_fn done,
                          void *arg)
{
    start(q, q->o.token, -1, in_hand, n, done, arg);
}

/* ---- tokens */

struct search {
    char *prefix;
    char *tokens[TOKENS_MAX];
    size_t n;
    uint64_t at;
    queue_tokens_fn fn;
    void *arg;
};

struct search_call {
    struct queue_call call;
    struct search *s;
};

static void look(struct queue *q, struct search *s);

static void note(struct search *s, const char *token)
{
    for (size_t i = 0; i < s->n; i++)
        if (strcmp(s->tokens[i], token) == 0)
            return;
    if (s->n < TOKENS_MAX)
        s->tokens[s->n++] = xstrdup(token);
}

static void tell(struct search *s, enum queue_status status)
{
    s->fn(status, (const char *const *)s->tokens, status == QUEUE_OK ? s->n : 0, s->arg);
    for (size_t i = 0; i < s->n; i++)
        free(s->tokens[i]);
    free(s->prefix);
    free(s);
}

static void on_tokens(struct queue_call *c, enum queue_status status, const char *why,
                      const struct redisReply *reply)
{
    (void)why;
    struct search *s = ((struct search_call *)(void *)c)->s;
    if (status == QUEUE_OK && (reply->type != REDIS_REPLY_ARRAY || reply->elements < 1))
        status = QUEUE_BROKEN;
    if (status != QUEUE_OK) {
        tell(s, status);
        return;
    }
    for (size_t i = 1; i < reply->elements; i++)
        if (reply->element[i]->type == REDIS_REPLY_STRING)
            note(s, reply->element[i]->str);
    uint64_t seen = (uint64_t)reply->element[0]->integer;
    s->at += seen;
    if (seen < LOOK_AT || s->n == TOKENS_MAX || c->q->freed)
        tell(s, QUEUE_OK);
    else
        look(c->q, s);
}

static void look(struct queue *q, struct search *s)
{
    struct search_call *c = xcalloc(1, sizeof *c);
    char at[24], look_at[16];
    snprintf(at, sizeof at, "%llu", (unsigned long long)s->at);
    snprintf(look_at, sizeof look_at, "%d", LOOK_AT);
    const char *argv[] = {s->prefix, at, look_at};
    c->call.finish = on_tokens;
    c->s = s;
    queue_call_script(q, &c->call, &queue_script_tokens, 3, argv, NULL);
}

void queue_list_tokens(struct queue *q, const char *prefix, queue_tokens_fn fn, void *arg)
{
    struct search *s = xcalloc(1, sizeof *s);
    s->prefix = xstrdup(prefix);
    s->fn = fn;
    s->arg = arg;
    look(q, s);
}
