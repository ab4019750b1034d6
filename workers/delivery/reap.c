/* reap - hands back what the dead left locked, when the master says who is dead.
 *
 * One token (a process of this run that died): its connections that Redis still holds are ended first, so that nothing
 * it had sent can still run; then its locks are released. All earlier runs of this node: their tokens are looked for in
 * the queues, and each is released once no connection bears it any more (an orphan may still be finishing). What fails,
 * or must wait, is tried again each second.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/hook.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/base/str.h"
#include "workers/delivery/clients.h"
#include "workers/delivery/delivery.h"

#define TOKENS_MAX 256

struct reap {
    struct list link;
    struct delivery *d;
    struct msg_reap m;
    bool busy, failed, waiting; /* waiting: somebody is still alive */
    unsigned pending;           /* answers */
    uint64_t jobs;
    char *tokens[TOKENS_MAX];
    size_t n_tokens;
};

static void clear_tokens(struct reap *r)
{
    for (size_t i = 0; i < r->n_tokens; i++)
        free(r->tokens[i]);
    r->n_tokens = 0;
}

static void finish(struct reap *r)
{
    log_info("token_released", "token=%s prefix=%d jobs=%" PRIu64, log_q(r->m.token), r->m.prefix, r->jobs);
    HOOK_POINT(reap_released);
    child_reaped(r->d->child, r->m.token, (uint32_t)(r->jobs > UINT32_MAX ? UINT32_MAX : r->jobs));
    list_remove(&r->link);
    share_second(r->d); /* its lanes are free */
    clear_tokens(r);
    free(r);
}

/* ---- last step: release */

static void answered(struct reap *r)
{
    if (--r->pending > 0)
        return;
    r->busy = false;
    if (!r->failed && !r->waiting)
        finish(r);
}

static void on_released(enum queue_status s, uint64_t jobs, void *arg)
{
    struct reap *r = arg;

    if (s != QUEUE_OK)
        r->failed = true;
    r->jobs += jobs;
    answered(r);
}

static void release(struct reap *r)
{
    struct delivery *d = r->d;

    r->pending = 1;
    for (size_t i = 0; i < r->n_tokens; i++) {
        for (size_t k = 0; k < d->n_lanes; k++) {
            r->pending++;
            queue_release_token(d->lanes[k].queue, r->tokens[i], on_released, r);
        }
        for (size_t k = 0; k < d->n_homes; k++) { /* where it was a member, without jobs */
            if (d->homes[k].queue == NULL)
                continue;
            r->pending++;
            queue_release_token(d->homes[k].queue, r->tokens[i], on_released, r);
        }
    }
    answered(r);
}

/* ---- who is connected */

static bool was_told(const struct reap *r, uint64_t id)
{
    for (uint32_t i = 0; i < r->m.n_clients; i++)
        if (r->m.clients[i] == id)
            return true;
    return false;
}

static void kill_connections(struct reap *r, const char *text, size_t len)
{
    const char *at = text;
    struct clients_line c;

    while (clients_next(&at, text + len, &c))
        /* An id alone is not enough: a new server counts from the beginning. */
        if (clients_is_of(&c, r->m.token) || (c.name_len == 0 && was_told(r, c.id)))
            redis_commandf(r->d->redis, NULL, NULL, "CLIENT KILL ID %" PRIu64, c.id);
}

static void drop_living(struct reap *r, const char *text, size_t len)
{
    const char *at = text;
    struct clients_line c;

    while (clients_next(&at, text + len, &c))
        for (size_t i = 0; i < r->n_tokens; i++)
            if (clients_is_of(&c, r->tokens[i])) {
                free(r->tokens[i]);
                r->tokens[i] = r->tokens[--r->n_tokens];
                r->waiting = true;
                break;
            }
}

static void on_clients(enum redis_status status, const struct redisReply *reply, void *arg)
{
    struct reap *r = arg;
    size_t len = 0;
    const char *text = status == REDIS_OK ? redis_reply_text(reply, &len) : NULL;

    if (status == REDIS_UNKNOWN || status == REDIS_AWAY) {
        r->busy = false;
        return;
    }
    if (text == NULL) /* not allowed to ask: the locks fence all the same */
        log_warn("client_list_refused", "token=%s", log_q(r->m.token));
    else if (r->m.prefix)
        drop_living(r, text, len);
    else
        kill_connections(r, text, len);
    HOOK_SENT(reap_cut);
    release(r);
}

static void ask_for_clients(struct reap *r)
{
    redis_commandf(r->d->redis, on_clients, r, "CLIENT LIST");
}

/* ---- first step: whose locks there are */

/* "<node>.<run>." of this process' own token. */
static bool is_of_this_run(const struct reap *r, const char *token)
{
    const char *own = child_token(r->d->child), *dot = strchr(own, '.');

    dot = dot != NULL ? strchr(dot + 1, '.') : NULL;
    return dot != NULL && strncmp(own, token, (size_t)(dot - own) + 1) == 0;
}

static void note_token(struct reap *r, const char *token)
{
    if (is_of_this_run(r, token))
        return;
    for (size_t i = 0; i < r->n_tokens; i++)
        if (strcmp(r->tokens[i], token) == 0)
            return;
    if (r->n_tokens == TOKENS_MAX)
        r->waiting = true; /* the rest in the next round */
    else
        r->tokens[r->n_tokens++] = xstrdup(token);
}

static void tokens_answered(struct reap *r)
{
    if (--r->pending > 0)
        return;
    if (r->failed) {
        r->busy = false;
        return;
    }
    if (r->n_tokens > 0) {
        ask_for_clients(r);
        return;
    }
    finish(r);
}

static void on_tokens(enum queue_status s, const char *const *tokens, size_t n, void *arg)
{
    struct reap *r = arg;

    if (s != QUEUE_OK)
        r->failed = true;
    for (size_t i = 0; i < n; i++)
        note_token(r, tokens[i]);
    tokens_answered(r);
}

static void step(struct reap *r)
{
    struct delivery *d = r->d;

    if (r->busy || redis_state(d->redis) != REDIS_READY)
        return;
    r->busy = true;
    r->failed = r->waiting = false;
    clear_tokens(r);
    if (!r->m.prefix) {
        r->tokens[r->n_tokens++] = xstrdup(r->m.token);
        ask_for_clients(r);
        return;
    }
    r->pending = 1;
    for (size_t i = 0; i < d->n_lanes; i++) {
        r->pending++;
        queue_list_tokens(d->lanes[i].queue, r->m.token, on_tokens, r);
    }
    tokens_answered(r);
}

void reap_dead(struct delivery *d, const struct msg_reap *m)
{
    struct reap *r = xcalloc(1, sizeof(*r));

    HOOK_POINT(reap_told);
    if (d->memory) { /* its memory went with it; ingest has what it had */
        child_reaped(d->child, m->token, 0);
        free(r);
        return;
    }
    r->d = d;
    r->m = *m;
    list_push_back(&d->reaps, &r->link);
    step(r);
}

void reap_second(struct delivery *d)
{
    struct reap *r;

    list_foreach(r, &d->reaps, struct reap, link) step(r);
}
