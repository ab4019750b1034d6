/* partition - which partition of a queue that is ordered by key an event belongs to, and where it stands. Pure. */
#ifndef DRAY_COMMON_QUEUE_PARTITION_H
#define DRAY_COMMON_QUEUE_PARTITION_H

#include <stddef.h>
#include <stdint.h>

/* CRC-32C of the key modulo partitions (1 or more): the same on every host and in every version. */
uint32_t queue_partition_of(const void *key, size_t len, uint32_t partitions);

#define QUEUE_PREFIX_SIZE 320
/* Partition n of queue NAME is the Bull queue NAME under this prefix: "{x}" gives "{x:NAME:n}", so that each partition
 * has a Cluster slot of its own; a prefix without a hash tag, "p", gives "p:NAME:n". Returns dst; NULL: it does not fit. */
char *queue_partition_prefix(const char *prefix, const char *name, uint32_t n, char *dst, size_t size);

#endif
