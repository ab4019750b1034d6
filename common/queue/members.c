/* members - who shares the partitions of a destination: says that we are there, and learns who else is. */
#include "common/queue/internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/mem.h"
#include "common/queue/order.h"

#define SILENCE_MIN_MS UINT64_C(3000) /* a lease may be shorter than the second between two signs of life */

struct share_call {
    struct queue_call call;
    queue_share_fn fn;
    void *arg;
};

static void on_share(struct queue_call *c, enum queue_status s, const char *why,
                     const struct redisReply *reply)
{
    (void)why;
    const struct share_call *sc = (const struct share_call *)(const void *)c;
    struct queue_share share = {0};
    if (s == QUEUE_OK && (reply->type != REDIS_REPLY_ARRAY || reply->elements < 2))
        s = QUEUE_BROKEN;
    const char **tokens = NULL;
    if (s == QUEUE_OK) {
        size_t n = reply->elements - 2;
        tokens = xcalloc(n + 1, sizeof *tokens);
        for (size_t i = 0; i < n; i++)
            tokens[i] = reply->element[i + 2]->str;
        share.members = n;
        share.rank = (size_t)reply->element[1]->integer;
        share.tokens = tokens;
    }
    if (sc->fn != NULL)
        sc->fn(s, &share, sc->arg);
    free(tokens);
}

void queue_share_say(struct queue *home, bool leaving, queue_share_fn fn, void *arg)
{
    struct share_call *c = xcalloc(1, sizeof *c);
    char silence_ms[24];
    c->call.finish = on_share;
    c->fn = fn;
    c->arg = arg;
    snprintf(silence_ms, sizeof silence_ms, "%" PRIu64,
             home->o.lease_ms > SILENCE_MIN_MS ? home->o.lease_ms : SILENCE_MIN_MS);
    const char *argv[] = {home->o.token, silence_ms, leaving ? "1" : ""};
    queue_call_script(home, &c->call, &queue_script_share, 3, argv, NULL);
}
