/* reply - what a caller without hiredis may read of a reply. */
#include "common/redis/internal.h"

const char *redis_reply_text(const struct redisReply *reply, size_t *len)
{
    if (reply == NULL || (reply->type != REDIS_REPLY_STRING && reply->type != REDIS_REPLY_STATUS &&
                          reply->type != REDIS_REPLY_ERROR))
        return NULL;
    *len = (size_t)reply->len;
    return reply->str;
}
