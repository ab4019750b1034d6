/* turn - the settles and the take of one loop turn as one script call: it costs Redis less than two.
 *
 * Each part stays a call of its own, answered as if it had been sent alone; the turn hands it its share of the reply.
 */
#include "common/queue/internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"

enum { SETTLE, TAKE, PARTS };

struct turn {
    struct queue_call call;
    struct queue_call *parts[PARTS];
};

/* What redis would have said if the part had been sent alone. */
static enum queue_status share_of(enum queue_status s, const struct redisReply **reply, size_t part,
                                  const char **why)
{
    if (s != QUEUE_OK)
        return s;
    if ((*reply)->type != REDIS_REPLY_ARRAY || (*reply)->elements != PARTS) {
        *why = "Redis gave an unexpected answer";
        return QUEUE_BROKEN;
    }
    *reply = (*reply)->element[part];
    return queue_status_of((*reply)->type == REDIS_REPLY_ERROR ? REDIS_ERROR : REDIS_OK, *reply, why);
}

static void on_turn(struct queue_call *c, enum queue_status s, const char *why,
                    const struct redisReply *reply)
{
    const struct turn *t = (const struct turn *)(const void *)c;
    for (size_t i = 0; i < PARTS; i++) {
        struct queue_call *part = t->parts[i];
        if (part->q != NULL) { /* else a callback of the other has freed the queue, which answered it */
            const struct redisReply *share = reply;
            const char *told = why;
            enum queue_status status = share_of(s, &share, i, &told);
            list_remove(&part->link);
            part->finish(part, status, told, share);
        }
        free(part);
    }
}

void queue_call_turn(struct queue *q, struct queue_call *settle, int settle_argc,
                     const char *const *settle_argv)
{
    struct turn *t = xcalloc(1, sizeof *t);
    struct queue_take_args a;
    struct queue_call *take = queue_take_prepare(q, &a);
    int argc = settle_argc + a.argc;
    char count[16];
    const char **argv = xcalloc((size_t)argc + 1, sizeof *argv);
    memcpy(argv, settle_argv, (size_t)settle_argc * sizeof *argv);
    memcpy(argv + settle_argc, a.argv, (size_t)a.argc * sizeof *argv);
    snprintf(count, sizeof count, "%d", a.argc);
    argv[argc] = count;
    t->call.finish = on_turn;
    t->parts[SETTLE] = settle;
    t->parts[TAKE] = take;
    queue_call_begin(q, settle);
    queue_call_begin(q, take);
    queue_call_script(q, &t->call, q->o.ordered ? &queue_script_turn_ordered : &queue_script_turn, argc + 1,
                      argv, NULL);
    free(argv);
    queue_take_sent(q, &a);
}
