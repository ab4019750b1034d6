/* memory - the queue of redis.mode: none: the same verbs in the memory of this process, seen by this process alone.
 *
 * What holds of queue.h holds here, too: every call is answered once, never inside the call. Nothing is copied: a job's data
 * is that of its add and must stay until `ended` was called for it. There are no locks, no stalled jobs, no finished ones:
 * who added a job is told how it ended, and keeps what is to be kept. Not to be freed inside its callbacks. */
#ifndef DRAY_COMMON_QUEUE_MEMORY_H
#define DRAY_COMMON_QUEUE_MEMORY_H

#include "common/queue/queue.h"

struct queue_memory;

struct queue_memory *queue_memory_new(struct ev_loop *loop, struct queue *q, const struct queue_options *o);
void queue_memory_free(
    struct queue_memory *m); /* what is asked for is answered QUEUE_AWAY; jobs are forgotten */
void queue_memory_add(struct queue_memory *m, const char *id, const void *data, size_t len,
                      queue_done_fn done, void *arg);
void queue_memory_take(struct queue_memory *m, unsigned max, queue_taken_fn taken, void *arg);
enum queue_memory_op { QUEUE_MEMORY_COMPLETE, QUEUE_MEMORY_FAIL, QUEUE_MEMORY_DELAY, QUEUE_MEMORY_HAND_BACK };
/* front: a delayed job comes back before all others. */
void queue_memory_settle(struct queue_memory *m, enum queue_memory_op op, const char *id, const char *text,
                         uint64_t delay_ms, bool count_attempt, bool front, queue_done_fn done, void *arg);
void queue_memory_set_progress(struct queue_memory *m, const char *id, const char *json, queue_done_fn done,
                               void *arg);
const char *queue_memory_progress(const struct queue_memory *m, const char *id); /* "": none; until it is set again */
void queue_memory_tick(struct queue_memory *m, const struct queue_tick_events *events, void *arg);
void queue_memory_untick(struct queue_memory *m);
void queue_memory_count(const struct queue_memory *m, struct queue_counts *c);
void queue_memory_answer(struct queue_memory *m, queue_done_fn done, void *arg); /* QUEUE_OK, soon */
void queue_memory_close(struct queue_memory *m);
/* The end of a loop turn: answers what was asked for. */
void queue_memory_turn(struct queue_memory *m);

#endif
