/* only - see only.h. */
#include "common/queue/only.h"

#include <hiredis/hiredis.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/mem.h"

static const char script[] =
#include "common/queue/lua/only.lua.h"
    ;

struct question {
    queue_only_fn fn;
    void *arg;
};

static void on_reply(enum redis_status status, const struct redisReply *reply, void *arg)
{
    struct question *q = arg;
    bool known = status == REDIS_OK && reply->type == REDIS_REPLY_INTEGER;
    q->fn(known, known && reply->integer == 1, q->arg);
    free(q);
}

static void call(struct redis *r, const char *key, const char *token, uint64_t ms, redis_reply_fn fn,
                 void *arg)
{
    char number[24];
    const char *argv[] = {"EVAL", script, "1", key, token, number};
    snprintf(number, sizeof number, "%" PRIu64, ms);
    redis_command(r, fn, arg, 6, argv, NULL);
}

void queue_only_ask(struct redis *r, const char *key, const char *token, uint64_t ms, queue_only_fn fn,
                    void *arg)
{
    struct question *q = xmalloc(sizeof *q);
    *q = (struct question){fn, arg};
    call(r, key, token, ms, on_reply, q);
}

void queue_only_leave(struct redis *r, const char *key, const char *token)
{
    call(r, key, token, 0, NULL, NULL);
}
