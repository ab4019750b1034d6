/* alone - is this server the only one, without replicas and no part of a cluster? Asked again each second while somebody
 * wants to know. */
#include "common/redis/internal.h"

#include <string.h>

#include "common/base/clock.h"

#define ASK_MS   1000
#define VALID_MS 2000

static void on_told(enum redis_status status, const struct redisReply *reply, void *arg)
{
    struct redis *r = arg;
    r->alone_asked = false;
    r->alone = status == REDIS_OK && reply->type == REDIS_REPLY_STRING &&
               strstr(reply->str, "connected_slaves:0\r") != NULL &&
               strstr(reply->str, "cluster_enabled:0\r") != NULL;
}

bool redis_is_alone(struct redis *r)
{
    uint64_t now = clock_mono_ms();
    if (r->state == REDIS_READY && !r->alone_asked && now - r->alone_asked_ms >= ASK_MS) {
        r->alone_asked = true;
        r->alone_asked_ms = now;
        redis_commandf(r, on_told, r, "INFO replication cluster");
    }
    return r->alone && now - r->alone_asked_ms < VALID_MS;
}
