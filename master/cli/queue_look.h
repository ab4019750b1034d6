/* queue_look - reads queues and jobs out of Redis for the command line; changes nothing. */
#ifndef DRAY_MASTER_CLI_QUEUE_LOOK_H
#define DRAY_MASTER_CLI_QUEUE_LOOK_H

#include <jansson.h>
#include <stdbool.h>

struct redisContext;

struct queue_look {
    struct redisContext *c;
    const char *prefix;
    char error[256]; /* what Redis said when a function failed */
};

/* Names of the queues below the prefix, found by looking at the keys; adds those that are not in names yet. At most so
 * many keys are looked at that Redis does not suffer; *complete tells whether that was all. 0 or -1. */
int queue_look_names(struct queue_look *l, json_t *names, bool *complete);
/* {name, wait, active, delayed, paused, completed, failed, is_paused, oldest_wait_ms}; NULL on failure. */
json_t *queue_look_counts(struct queue_look *l, const char *name);
/* Adds to o: who works on it, what is active, the newest failed jobs; behind what stands there already. */
void queue_look_details(struct queue_look *l, const char *name, json_t *o);
/* Of an ordered queue: the token of who processes it (JSON null: nobody); of those who share its partitions, or stand by
 * (name: on the plain prefix). */
json_t *queue_look_holder(struct queue_look *l, const char *name);
json_t *queue_look_members(struct queue_look *l, const char *name);
/* A job with its state; json_null() when the queue has none of this id, NULL on failure. */
json_t *queue_look_job(struct queue_look *l, const char *name, const char *id);

#endif
