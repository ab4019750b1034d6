/* split - a job becomes two of its halves, in one step; see lua/split.lua. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"
#include "common/queue/internal.h"

struct split {
    struct queue_call call;
    queue_done_fn done;
    void *arg;
};

static void on_split(struct queue_call *c, enum queue_status s, const char *why,
                     const struct redisReply *reply)
{
    const struct split *sp = (const struct split *)(const void *)c;
    if (s == QUEUE_OK && reply->type != REDIS_REPLY_INTEGER) {
        s = QUEUE_BROKEN;
        why = "Redis gave an unexpected answer";
    }
    if (s == QUEUE_OK && reply->integer == -1) {
        s = QUEUE_MISSING;
        why = "there is no such job";
    } else if (s == QUEUE_OK && reply->integer != 0) {
        s = QUEUE_LOST;
        why = reply->integer == -4 ? "the lease is not ours any more" : "the lock is not ours any more";
    }
    bool fenced = s == QUEUE_LOST && reply->integer == -4;
    sp->done(s, why, sp->arg);
    if (fenced && !c->q->freed)
        queue_lease_refused(c->q);
}

void queue_split(struct queue *q, const struct queue_job *job, const struct queue_half halves[2],
                 queue_done_fn done, void *arg)
{
    struct split *sp = xcalloc(1, sizeof *sp);
    char tombstone[24];
    sp->call.finish = on_split;
    sp->done = done;
    sp->arg = arg;
    snprintf(tombstone, sizeof tombstone, "%" PRIu64, q->o.tombstone_ms);
    const char *argv[] = {q->o.token,     q->o.ordered ? queue_lease_value(q) : "",
                          tombstone,      job->id,
                          halves[0].id,   halves[1].id,
                          halves[0].data, halves[1].data};
    size_t lens[8];
    for (size_t i = 0; i < 6; i++)
        lens[i] = strlen(argv[i]);
    lens[6] = halves[0].len;
    lens[7] = halves[1].len;
    q->returns++;
    queue_call_script(q, &sp->call, &queue_script_split, 8, argv, lens);
}
