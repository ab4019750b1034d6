/* only - what one process of many does: whoever holds a key of Redis, by its token, for a while. Of no queue; the connection
 * needs no scripts. */
#ifndef DRAY_COMMON_QUEUE_ONLY_H
#define DRAY_COMMON_QUEUE_ONLY_H

#include <stdbool.h>
#include <stdint.h>

#include "common/redis/redis.h"

/* known: Redis has answered; held: the key is ours for ms from when that was asked. */
typedef void (*queue_only_fn)(bool known, bool held, void *arg);
void queue_only_ask(struct redis *r, const char *key, const char *token, uint64_t ms, queue_only_fn fn,
                    void *arg);
/* Gives it up, if it is ours. */
void queue_only_leave(struct redis *r, const char *key, const char *token);

#endif
