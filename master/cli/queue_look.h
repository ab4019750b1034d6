/* queue_look - reads queues and jobs out of Redis for the command line; changes nothing. */
#ifndef DRAY_MASTER_CLI_QUEUE_LOOK_H
#define DRAY_MASTER_CLI_QUEUE_LOOK_H

#include <jansson.h>
#include <stdbool.h>

struct redisContext;
struct redisReply;

struct queue_look {
    struct redisContext *c;
    const char *prefix;
    const char *home_prefix; /* of the configuration: the names of the nodes stand there */
    json_t *nodes;           /* those that were asked for; queue_look_fini */
    char error[256];         /* what Redis said when a function failed */
};
void queue_look_fini(struct queue_look *l);

/* The answer to a command without binary arguments, or NULL with l->error filled in (an error reply is a failure). */
struct redisReply *queue_look_ask(struct queue_look *l, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
/* Text as it stands; a byte that is no part of UTF-8 as \xNN. */
json_t *queue_look_text(const struct redisReply *r);

/* Names of the queues below the prefix, found by looking at the keys; adds those that are not in names yet. At most so
 * many keys are looked at that Redis does not suffer; *complete tells whether that was all. 0 or -1. */
int queue_look_names(struct queue_look *l, json_t *names, bool *complete);
/* {name, wait, active, delayed, paused, completed, failed, is_paused, oldest_wait_ms}; NULL on failure. */
json_t *queue_look_counts(struct queue_look *l, const char *name);
/* Adds to o: who works on it (queue_who.h), what is active, the newest failed jobs; with what stands there already. label:
 * what people call the queue. */
void queue_look_details(struct queue_look *l, const char *name, const char *label, json_t *o);
/* A job with its state; json_null() when the queue has none of this id, NULL on failure. */
json_t *queue_look_job(struct queue_look *l, const char *name, const char *label, const char *id);

#endif
