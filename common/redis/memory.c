/* memory - how full is the server? Of INFO memory: used_memory, and maxmemory, at which it refuses what needs more. What it does
 * not count against the limit (buffers of replicas and of the AOF) is left out here too. */
#include "common/redis/internal.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"

struct question {
    redis_memory_fn fn;
    void *arg;
};

/* The number behind "\nname:"; 0 when it is not there. */
static uint64_t number_of(const char *info, const char *name)
{
    size_t len = strlen(name);
    for (const char *p = info; (p = strstr(p, name)) != NULL; p += len)
        if ((p == info || p[-1] == '\n') && p[len] == ':')
            return strtoull(p + len + 1, NULL, 10);
    return 0;
}

static void on_info(enum redis_status status, const struct redisReply *reply, void *arg)
{
    struct question *q = arg;
    bool known = status == REDIS_OK && reply->type == REDIS_REPLY_STRING;
    uint64_t used = known ? number_of(reply->str, "used_memory") : 0;
    uint64_t aside = known ? number_of(reply->str, "mem_not_counted_for_evict") : 0;
    q->fn(known, used > aside ? used - aside : 0, known ? number_of(reply->str, "maxmemory") : 0, q->arg);
    free(q);
}

void redis_ask_memory(struct redis *r, redis_memory_fn fn, void *arg)
{
    struct question *q = xcalloc(1, sizeof *q);
    *q = (struct question){fn, arg};
    redis_commandf(r, on_info, q, "INFO memory");
}
