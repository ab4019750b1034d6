/* partition - see partition.h. */
#include "common/queue/partition.h"

#include <stdio.h>
#include <string.h>

#include "common/base/fatal.h"
#include "common/segment/crc32c.h"

uint32_t queue_partition_of(const void *key, size_t len, uint32_t partitions)
{
    ASSERT(partitions > 0);
    return crc32c_add(0, key, len) % partitions;
}

char *queue_partition_prefix(const char *prefix, const char *name, uint32_t n, char *dst, size_t size)
{
    /* Redis' rule: the tag is what stands between the first brace and the next closing one, unless that is nothing. */
    const char *open = strchr(prefix, '{'), *close = open != NULL ? strchr(open, '}') : NULL;
    size_t head = close != NULL && close > open + 1 ? (size_t)(close - prefix) : strlen(prefix);
    int len = snprintf(dst, size, "%.*s:%s:%u%s", (int)head, prefix, name, (unsigned)n, prefix + head);
    return len >= 0 && (size_t)len < size ? dst : NULL;
}
