/* queue_flush - what of a queue was added up to an instant and is not finished yet; reads Redis, changes nothing.
 *
 * Waiting, paused, active and delayed jobs count; a delayed job of a repetition does not, before it was first run.
 */
#ifndef DRAY_MASTER_CLI_QUEUE_FLUSH_H
#define DRAY_MASTER_CLI_QUEUE_FLUSH_H

#include <jansson.h>
#include <stdint.h>

#include "common/conf/conf.h"

struct redisContext;

struct queue_flush {
    struct redisContext *c; /* NULL: none */
    uint64_t mark_ms;       /* jobs with a later timestamp do not count */
    char error[256];        /* what Redis said when a function failed */
};

struct queue_flush_place { /* one Bull queue */
    char prefix[256], name[128];
    char shown[256]; /* "orders", "orders#3", "{rudder}:rudderEventsQueue" */
};
/* All queues of the configuration: of destinations, their partitions, and those taken over. The caller frees it. */
struct queue_flush_place *queue_flush_places(const struct conf *c, size_t *n);

/* Connects to the Redis of this configuration; managed: to the one in run_dir. 0, or -1. After a call that
 * failed it is to be closed. */
int queue_flush_open(struct queue_flush *f, const struct conf *c, const char *run_dir);
void queue_flush_close(struct queue_flush *f);

/* Sets the mark to now: the later one of Redis' clock and this host's, and a little more. 0, or -1. */
int queue_flush_mark(struct queue_flush *f);
/* 1: nothing is left; 0: something is; -1. The cheap look comes first: what is next, and what is active. */
int queue_flush_settled(struct queue_flush *f, const struct queue_flush_place *p);
/* {queue, wait, paused, active, delayed, is_paused, more}: how many are left, by state; more: not all jobs were looked
 * at. NULL when Redis fails. */
json_t *queue_flush_left(struct queue_flush *f, const struct queue_flush_place *p);

#endif
