/* queue - jobs in Redis in the layout of Bull 4 (seen with bull 4.16.5), with locks that fence.
 *
 * One struct queue is one Bull queue on one connection: keys PREFIX:NAME:{wait,active,delayed,...}, hashes
 * PREFIX:NAME:<id>, locks PREFIX:NAME:<id>:lock. The scripts are dray's own (lua/); what they leave behind is what
 * Bull 4.16.5 leaves behind, so Bull clients may add, work and inspect at the same time.
 * Stronger than Bull: take moves and locks in one step; complete, fail, delay and renew change nothing, not even
 * attemptsMade, unless the caller's token holds the lock.
 * Every call is asynchronous; its callback is called exactly once. Work of one loop turn is sent together.
 */
#ifndef DRAY_COMMON_QUEUE_QUEUE_H
#define DRAY_COMMON_QUEUE_QUEUE_H

#include <ev.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/conf/conf.h"
#include "common/redis/redis.h"

struct queue;

/* Of a queue in memory: how a job ended. DROPPED: it did not, and is not here any more. */
enum queue_end { QUEUE_END_COMPLETED, QUEUE_END_FAILED, QUEUE_END_DROPPED };

struct queue_options {
    const char *prefix, *name;
    const char *token; /* <node uuid>.<master run>.<slot>.<generation>; never "0" */
    uint64_t lock_ms;
    uint64_t stalled_interval_ms;
    uint64_t max_stalled;
    uint64_t keep_completed_count, keep_completed_age_ms,
        keep_failed_age_ms; /* for jobs without options of their own */
    uint64_t tombstone_ms;  /* a removed finished job's id stays known for so long; 0 = 120000 */
    bool ordered;           /* one processor at a time: see order.h */
    uint64_t lease_ms;      /* ordered, and the members of a home queue */
    uint64_t limiter_jobs,
        limiter_ms;          /* Bull's limiter: so many started in so long by the whole fleet; 0 = none */
    bool limiter_by_group;   /* each group (the id's text behind its last colon) for itself */
    uint64_t metrics_points; /* minutes of Bull's own metrics that are kept; 0 = none */
    uint64_t seen_window_ms, seen_max; /* of queue_add_seen: how long digests are known; how many are kept */
    uint64_t max_run_ms; /* a job that was taken longer ago stalls, renewed lock or not; 0 = never */
    /* Not NULL: a job that is taken while its add is still on the way is not read back; its data is that of the add, and
     * must stay after done(QUEUE_OK) until let_go(arg), called once for each such add. */
    void (*let_go)(void *arg);
    /* Not NULL: a queue in the memory of this process, without Redis (memory.h); prefix, name and token are only names. A
     * job's data is that of its add and must stay until ended(arg of the add), which may be called inside a verb. */
    void (*ended)(void *arg, enum queue_end end, const char *text);
    bool one_at_a_time; /* in memory: no job is taken while one is in hand or delayed */
};

enum queue_status {
    QUEUE_OK,
    QUEUE_DUPLICATE, /* add: a job of this id is or was there; nothing was changed */
    QUEUE_SEEN,      /* queue_add_seen: some of its digests are known; nothing was changed */
    QUEUE_LOST,      /* the lock is not (any more) this token's; nothing was changed */
    QUEUE_MISSING,   /* there is no such job */
    QUEUE_REFUSED,   /* Redis said no for now (OOM, READONLY, NOPERM...): why; nothing was changed */
    QUEUE_BROKEN,    /* Redis said no for good (WRONGTYPE...): why */
    QUEUE_UNKNOWN,   /* the connection was lost: it may have happened; safe to repeat */
    QUEUE_AWAY,      /* no connection: it has not happened */
    /* of admin.h; nothing was changed: */
    QUEUE_DEBOUNCED,   /* add: a job of this debounce id is there */
    QUEUE_LOCKED,      /* a worker has the job in hand */
    QUEUE_WRONG_STATE, /* the job, or the queue, is not where this can be done: why */
    QUEUE_INVALID,     /* what was asked for cannot be: why */
};
const char *queue_status_name(enum queue_status s);

/* Copies the options. The scripts must have been registered (queue_register_scripts) before the connection was made. */
struct queue *queue_new(struct ev_loop *loop, struct redis *r, const struct queue_options *o);
/* Stalled check, limiter, time limit, metrics and what is kept of finished jobs: as in o from now on. */
void queue_tune(struct queue *q, const struct queue_options *o);
/* The same in a copy of the options. */
void queue_options_tune(struct queue_options *to, const struct queue_options *o);
/* Whatever is still asked for is answered inside the call (QUEUE_AWAY or QUEUE_UNKNOWN). Free the queue before its
 * connection. May be called inside a callback. NULL is fine. */
void queue_free(struct queue *q);
/* In memory: what waits and what comes back from now on is DROPPED, nothing is taken or added any more. */
void queue_close(struct queue *q);
void queue_register_scripts(void);
const char *queue_name(const struct queue *q);

/* ---- add.c */
typedef void (*queue_done_fn)(enum queue_status s, const char *why, void *arg);
/* A new job at the head of wait (or paused). id: id_new() form. data: JSON text; it is not copied and must stay as it is
 * until done is called (until let_go, where there is one). Adds of one loop turn go as one group: native HSETs and one script call for the ids (Lua hashes
 * every byte of its arguments). */
void queue_add(struct queue *q, const char *id, const void *data, size_t len, queue_done_fn done, void *arg);

/* The same for a job that stands for n digests of QUEUE_DIGEST bytes each (any that are all 0 are left out). They become
 * known with it; when one of them is known already, the job is not added: QUEUE_SEEN. Its id's own rule goes first. What
 * keeps the digests failing (no right, a key of another type) does not keep the job from being added. */
#define QUEUE_DIGEST 12
void queue_add_seen(struct queue *q, const char *id, const void *data, size_t len, const void *digests,
                    size_t n, queue_done_fn done, void *arg);
/* Inside done with QUEUE_SEEN: is the i-th of those that are not all 0 known? */
bool queue_seen_has(const struct queue *q, size_t i);
/* For how long digests are known at least, as such adds have told since the last call; 0: none has. */
uint64_t queue_seen_window_ms(struct queue *q);
/* Transactions in which they could not be looked for. */
uint64_t queue_seen_failures(const struct queue *q);

/* ---- take.c */
struct queue_job {
    const char *id, *name;   /* name: "__default__" for dray's own */
    const char *data, *opts; /* JSON text as stored */
    size_t data_len, opts_len;
    uint64_t timestamp_ms;  /* when it was added */
    uint64_t attempts_made; /* failures so far */
    uint64_t stalled_count;
    uint64_t retried_ms; /* the last manual retry; 0: none */
    uint64_t failures;   /* attempts_made without those before the last manual retry, which starts afresh */
    void *added;         /* the arg of its queue_add, when data is that of the add; else NULL */
};
/* The jobs are valid during the call. n 0 with QUEUE_OK: nothing waits (or the queue is paused). A ghost (an id without
 * a hash) or a job whose data is missing never comes here: the script moves it to failed with a reason. */
typedef void (*queue_taken_fn)(enum queue_status s, const struct queue_job *jobs, size_t n, void *arg);
void queue_take(struct queue *q, unsigned max, queue_taken_fn taken, void *arg);
/* Inside taken: the limiter lets nothing through for so many ms (0: it was not that). */
uint64_t queue_limited_ms(const struct queue *q);

/* ---- settle.c: all need the lock. Grouped per loop turn. */
/* value: JSON text (the return value). Options of the job (removeOnComplete) come before the defaults. */
void queue_complete(struct queue *q, const struct queue_job *job, const char *value, queue_done_fn done,
                    void *arg);
/* reason: plain text, as Bull's failedReason; also appended to stacktrace. Counts an attempt. */
void queue_fail(struct queue *q, const struct queue_job *job, const char *reason, queue_done_fn done,
                void *arg);
/* Back to delayed, due after delay_ms by Redis' clock; counts an attempt if count_attempt. delay_ms 0: to wait. */
void queue_delay(struct queue *q, const struct queue_job *job, uint64_t delay_ms, bool count_attempt,
                 const char *reason, queue_done_fn done, void *arg);
/* The same, an attempt counted, and when it is due it stands in front of all others. */
void queue_delay_front(struct queue *q, const struct queue_job *job, uint64_t delay_ms, const char *reason,
                       queue_done_fn done, void *arg);
/* Gives a job back untouched: to the end of wait that is taken next; no attempt, no stall is counted. */
void queue_hand_back(struct queue *q, const char *id, queue_done_fn done, void *arg);
/* split.c: two jobs in its place, in front of all others, the first first, of the same name, options and age; its id stays
 * known. data is copied. */
struct queue_half {
    const char *id, *data;
    size_t len;
};
void queue_split(struct queue *q, const struct queue_job *job, const struct queue_half halves[2],
                 queue_done_fn done, void *arg);
/* Extends the locks of all ids; lost is called for each that is not ours any more, then done. */
typedef void (*queue_lost_fn)(const char *id, void *arg);
void queue_renew(struct queue *q, const char *const *ids, size_t n, queue_lost_fn lost, queue_done_fn done,
                 void *arg);
/* ---- progress.c */
/* json: Bull's field `progress`. Needs the lock. Goes out at once, before what this turn settles. done may be NULL. */
void queue_progress_set(struct queue *q, const char *id, const char *json, queue_done_fn done, void *arg);
/* len 0: there is none. */
typedef void (*queue_progress_fn)(enum queue_status s, const char *json, size_t len, void *arg);
void queue_progress_read(struct queue *q, const char *id, queue_progress_fn fn, void *arg);

/* (struct queue_job above: only id, opts, attempts_made are read; the caller keeps copies.) */

/* ---- release.c: what a dead process left behind */
typedef void (*queue_released_fn)(enum queue_status s, uint64_t jobs, void *arg);
/* Hands back every active job locked by exactly this token. The caller has ended the dead one's connections first. It
 * counts as a stall: a job whose worker died more than max_stalled times loses its lock only, and the next stalled
 * check fails it (a job that kills its worker must not go round for ever). */
void queue_release_token(struct queue *q, const char *token, queue_released_fn done, void *arg);
/* The same, but for the ids in hand: after a connection was lost, jobs may be locked by our token that a take with an
 * unknown outcome moved; they are handed back at once instead of stalling. */
void queue_release_strays(struct queue *q, const char *const *in_hand, size_t n, queue_released_fn done,
                          void *arg);
/* The distinct tokens among active jobs' locks that begin with prefix (at most 256). */
typedef void (*queue_tokens_fn)(enum queue_status s, const char *const *tokens, size_t n, void *arg);
void queue_list_tokens(struct queue *q, const char *prefix, queue_tokens_fn fn, void *arg);

/* ---- tick.c: done by one process of the fleet at a time, the holder of the queue's tick lease */
struct queue_counts {
    uint64_t wait, active, delayed, paused, completed, failed;
    uint64_t oldest_wait_ms; /* age of the job that is next */
    uint64_t promote_lag_ms; /* how late the oldest due delayed job is */
    uint64_t
        longest_wait_ms; /* for how long a job has been waiting at most, by Redis' time; see counts.lua */
    bool longest_known;
    bool is_paused;
};
struct queue_tick_events {
    void (*promoted)(struct queue *q, uint64_t jobs, void *arg); /* due delayed jobs went to wait */
    void (*stalled)(struct queue *q, uint64_t requeued, uint64_t failed,
                    void *arg); /* Bull's check, dray's limit */
    void (*counted)(struct queue *q, const struct queue_counts *c, void *arg); /* once a second */
    void (*swept)(struct queue *q, uint64_t completed, uint64_t failed,
                  void *arg); /* finished jobs were deleted */
};
/* Every ~100 ms tries to be or stay the holder (lease of 0.4 s); the holder promotes what is due by Redis' clock, runs the
 * stalled check each stalled_interval, sweeps completed and failed by count and age, and counts. */
void queue_tick_start(struct queue *q, const struct queue_tick_events *events, void *arg);
void queue_tick_stop(struct queue *q); /* gives the lease up */

/* ---- waker.c: an own connection, named as Bull names its workers, blocked in BLMOVE wait wait RIGHT RIGHT: it wakes
 * when there is work and moves nothing */
struct queue_waker;
struct queue_waker *queue_waker_new(struct ev_loop *loop, const struct redis_options *o,
                                    const struct queue_options *q, void (*wake)(void *arg), void *arg);
void queue_waker_free(struct queue_waker *w);
int64_t queue_waker_client_id(const struct queue_waker *w);
/* The next wake is wanted (call it when a take came back with less than was asked). */
void queue_waker_arm(struct queue_waker *w);

/* ---- listen.c: what becomes of the jobs of some queues, whoever works on them: Bull's events "completed" and "failed", on a
 * connection of its own. Events are lost while it is not connected: what matters is asked for (queue_ask_outcome). */
struct queue_listener;
struct queue_listener_events {
    void (*listening)(void *arg); /* to all; again after each reconnect */
    /* value: the return value (JSON text) or the reason; "" where it is not told. queue: as given to add. */
    void (*finished)(void *queue, const char *id, bool failed, const char *value, void *arg);
};
struct queue_listener *queue_listener_new(struct ev_loop *loop, const struct redis_options *o,
                                          const struct queue_listener_events *events, void *arg);
/* All are added before the loop runs again. */
void queue_listener_add(struct queue_listener *l, const char *prefix, const char *name, void *queue);
void queue_listener_free(struct queue_listener *l);
bool queue_listener_ready(const struct queue_listener *l);
int64_t queue_listener_client_id(const struct queue_listener *l);
enum queue_outcome { QUEUE_OUTCOME_OPEN, QUEUE_OUTCOME_COMPLETED, QUEUE_OUTCOME_FAILED, QUEUE_OUTCOME_GONE };
/* value: the return value or the reason, "" where it is gone with the job. */
typedef void (*queue_outcome_fn)(enum queue_status s, enum queue_outcome o, const char *value, void *arg);
void queue_ask_outcome(struct queue *q, const char *id, queue_outcome_fn fn, void *arg);

/* ---- admin.c; the rest of administration stands in admin.h */
typedef void (*queue_counts_fn)(enum queue_status s, const struct queue_counts *c, void *arg);
void queue_count(struct queue *q, queue_counts_fn fn, void *arg);

/* ---- names.c: pure. Delayed score of Bull 4.16.5: due * 4096 + (numeric id & 0xfff); a custom id gives 0 low bits. */
/* PREFIX:NAME:suffix. Returns dst. */
char *queue_key(const char *prefix, const char *name, const char *suffix, char *dst, size_t size);
/* PREFIX:base64(NAME), what Bull's getWorkers looks for, with ":w:TOKEN" behind it. Returns dst. */
char *queue_client_name(const struct queue_options *o, char *dst, size_t size);
/* Where the name of a token's node stands, for people. Returns dst. */
char *queue_node_key(const char *prefix, const char *token, char *dst, size_t size);

#endif
