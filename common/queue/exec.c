/* exec - one transaction for what several queues on the same connection have to store: each keeps a call of its own, which is
 * answered with its share of EXEC's reply as if it had been sent alone.
 * A server that is full refuses a command while it is queued, and with it the whole transaction.
 */
#include "common/queue/internal.h"

#include <stdlib.h>

#include "common/base/mem.h"

struct part {
    struct queue_call *call;
    size_t at; /* its place in EXEC's reply */
};

struct queue_exec {
    struct redis *r;
    size_t n_commands;
    struct part parts[QUEUE_GROUP_MAX];
    size_t n_parts;
};

struct queue_exec *queue_exec_open(struct redis *r)
{
    static const char *const multi[] = {"MULTI"};
    struct queue_exec *x = xcalloc(1, sizeof *x);
    x->r = r;
    redis_command(r, NULL, NULL, 1, multi, NULL);
    return x;
}

bool queue_exec_full(const struct queue_exec *x)
{
    return x->n_parts == QUEUE_GROUP_MAX;
}

void queue_exec_command(struct queue_exec *x, redis_reply_fn fn, void *arg, int argc, const char *const *argv,
                        const size_t *lens)
{
    x->n_commands++;
    redis_command(x->r, fn, arg, argc, argv, lens);
}

void queue_exec_call(struct queue_exec *x, struct queue *q, struct queue_call *c, int argc,
                     const char *const *argv, const size_t *lens)
{
    queue_call_begin(q, c);
    x->parts[x->n_parts++] = (struct part){c, x->n_commands};
    queue_exec_command(x, NULL, NULL, argc, argv, lens);
}

/* The part's own reply, which may be an error. */
static const struct redisReply *share_of(const struct queue_exec *x, const struct part *p,
                                         const struct redisReply *reply, enum redis_status *status)
{
    if (*status != REDIS_OK)
        return reply;
    bool whole = reply->type == REDIS_REPLY_ARRAY && reply->elements == x->n_commands;
    size_t at = p->at;
    if (!whole && x->n_parts == 1 && reply->type == REDIS_REPLY_ARRAY && reply->elements > 0) {
        at = reply->elements - 1; /* there was no memory to send some command: its own is the last one */
        whole = true;
    }
    if (!whole) { /* whose reply is whose cannot be told: as lost */
        *status = REDIS_UNKNOWN;
        return NULL;
    }
    return reply->element[at];
}

static void on_exec(enum redis_status status, const struct redisReply *reply, void *arg)
{
    struct queue_exec *x = arg;
    for (size_t i = 0; i < x->n_parts; i++) {
        enum redis_status of_part = status;
        const struct redisReply *share = share_of(x, &x->parts[i], reply, &of_part);
        queue_call_reply(of_part, share, x->parts[i].call);
    }
    free(x);
}

void queue_exec_send(struct queue_exec *x)
{
    static const char *const exec[] = {"EXEC"};
    redis_command(x->r, on_exec, x, 1, exec, NULL);
}
