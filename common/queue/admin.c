/* admin - counts of a queue. */
#include "common/queue/internal.h"

#include "common/base/mem.h"

enum { C_WAIT, C_ACTIVE, C_DELAYED, C_PAUSED, C_COMPLETED, C_FAILED, C_AGE, C_LATE, C_IS_PAUSED, COUNTS };

struct count {
    struct queue_call call;
    queue_counts_fn fn;
    void *arg;
};

static void on_counts(struct queue_call *c, enum queue_status s, const char *why,
                      const struct redisReply *reply)
{
    (void)why;
    const struct count *n = (const struct count *)(const void *)c;
    struct queue_counts out = {0};
    if (s == QUEUE_OK && (reply->type != REDIS_REPLY_ARRAY || reply->elements != COUNTS))
        s = QUEUE_BROKEN;
    if (s == QUEUE_OK) {
        uint64_t v[COUNTS];
        for (size_t i = 0; i < COUNTS; i++)
            v[i] = reply->element[i]->integer > 0 ? (uint64_t)reply->element[i]->integer : 0;
        out = (struct queue_counts){.wait = v[C_WAIT],
                                    .active = v[C_ACTIVE],
                                    .delayed = v[C_DELAYED],
                                    .paused = v[C_PAUSED],
                                    .completed = v[C_COMPLETED],
                                    .failed = v[C_FAILED],
                                    .oldest_wait_ms = v[C_AGE],
                                    .promote_lag_ms = v[C_LATE],
                                    .is_paused = v[C_IS_PAUSED] != 0};
    }
    n->fn(s, &out, n->arg);
}

void queue_count(struct queue *q, queue_counts_fn fn, void *arg)
{
    struct count *c = xcalloc(1, sizeof *c);
    c->call.finish = on_counts;
    c->fn = fn;
    c->arg = arg;
    queue_call_script(q, &c->call, &queue_script_counts, 0, NULL, NULL);
}
