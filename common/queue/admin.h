/* admin - what a person, a program or a console does to a queue: add with all of Bull's options, look, pause, retry,
 * promote, remove, clean, drain, obliterate.
 *
 * As in queue.h every call is asynchronous, its callback is called exactly once (inside the call when it is refused
 * there), and what it is given is valid during the callback. What is left in Redis is what Bull 4.16.5 leaves there, but for its bugs: nothing is changed by a verb that
 * refuses, nothing is lost on pause and resume, times are compared as numbers, a locked job is never touched.
 * Verbs on many jobs go in calls to Redis of at most 1000 jobs each; others work on the queue in between.
 */
#ifndef DRAY_COMMON_QUEUE_ADMIN_H
#define DRAY_COMMON_QUEUE_ADMIN_H

#include "common/queue/queue.h"
#include "common/queue/repeat.h"

/* Beside queue_register_scripts, before the connection is made: only who administers loads these. */
void queue_register_admin_scripts(void);

enum queue_state {
    QUEUE_STATE_NONE, /* in no list: Bull's "stuck" */
    QUEUE_STATE_WAIT, /* waits: in wait, or in paused when the queue is paused */
    QUEUE_STATE_PAUSED,
    QUEUE_STATE_ACTIVE,
    QUEUE_STATE_DELAYED,
    QUEUE_STATE_COMPLETED,
    QUEUE_STATE_FAILED,
};
/* Bull's words: "wait", "paused", "active", "delayed", "completed", "failed"; "stuck" for none. */
const char *queue_state_name(enum queue_state s);
/* "waiting" is taken for "wait". False: no such state. */
bool queue_state_of(const char *word, enum queue_state *state);

/* ---- add */

/* removeOnComplete, removeOnFail. Without either number: by form alone. */
enum queue_keep_form {
    QUEUE_KEEP_UNSAID, /* the worker's default */
    QUEUE_KEEP_NONE,   /* true */
    QUEUE_KEEP_ALL,    /* false */
    QUEUE_KEEP_COUNT,  /* a number */
    QUEUE_KEEP_RULE,   /* {age, count}; UINT64_MAX: that one is not given */
};
struct queue_keep {
    enum queue_keep_form form;
    uint64_t count, age_s;
};

enum queue_backoff { QUEUE_BACKOFF_NONE, QUEUE_BACKOFF_FIXED, QUEUE_BACKOFF_EXPONENTIAL };

/* All zero: Bull's defaults. Texts are UTF-8; they are copied. */
struct queue_add_options {
    const char *name; /* NULL: "__default__" */
    const char *id;   /* NULL: the queue's next number */
    uint64_t delay_ms;
    uint64_t priority; /* 1 goes before 2; 0: none */
    bool lifo;         /* to the end that is served next */
    uint64_t attempts; /* 0: 1 */
    enum queue_backoff backoff;
    uint64_t backoff_ms;
    uint64_t timeout_ms; /* 0: none */
    struct queue_keep remove_on_complete, remove_on_fail;
    bool has_stack_trace_limit;
    uint64_t stack_trace_limit;
    const char *debounce_id;  /* NULL: none */
    uint64_t debounce_ttl_ms; /* 0: until the job is finished */
    uint64_t timestamp_ms;    /* 0: now by Redis' clock */
    /* NULL: once. Else a repetition and its first job are added, as queue_repeat_add does it: id tells it from others of
     * the same times, the new job's id is its own; delay and timestamp are the repetition's; no debounce. */
    const struct queue_repeat *repeat;
};

/* Why this job cannot be added, as a sentence for a person; NULL: it can. Refused are ids that are numbers (the queue
 * gives those itself), that hold a ':', or that are the name of one of the queue's own keys; data that is not JSON. */
const char *queue_add_check(const struct queue_add_options *o, const char *data, size_t len);
/* The options as Bull's opts, JSON text without a timestamp (unless one is given): what queue_repeat_opts takes as "other".
 * The caller frees it. They have passed queue_add_check. */
char *queue_add_opts(const struct queue_add_options *o);
/* QUEUE_OK with the new id; QUEUE_DUPLICATE or QUEUE_DEBOUNCED with the id of the job that is there: nothing was added;
 * QUEUE_INVALID: queue_add_check's answer, or what is wrong with the repetition; QUEUE_MISSING: a repetition that has no
 * time left. id is NULL with any other status. data: JSON text, copied. A job without an id
 * of its own must not be sent again after QUEUE_UNKNOWN: it may be there. */
typedef void (*queue_added_fn)(enum queue_status s, const char *id, const char *why, void *arg);
void queue_add_job(struct queue *q, const struct queue_add_options *o, const char *data, size_t len,
                   queue_added_fn done, void *arg);

/* ---- look */

struct queue_job_info { /* a text is NULL and a number 0 where the job has none */
    const char *id;
    enum queue_state state;
    const char *name, *data, *opts; /* as stored: a producer may have left no JSON there */
    size_t data_len, opts_len;
    uint64_t timestamp_ms, processed_on_ms, finished_on_ms, retried_on_ms;
    uint64_t delay_ms, priority, attempts_made, stalled_count;
    uint64_t due_ms;                                  /* delayed: when it goes to wait */
    const char *failed_reason;                        /* plain text */
    const char *stacktrace, *return_value, *progress; /* JSON text */
    const char *debounce_id;
    const char *lock_token; /* who holds it. By queue_get_job only, as is the rest */
    uint64_t lock_left_ms;
    uint64_t logs; /* lines */
};
/* QUEUE_MISSING: job is NULL. */
typedef void (*queue_job_fn)(enum queue_status s, const struct queue_job_info *job, const char *why,
                             void *arg);
void queue_get_job(struct queue *q, const char *id, queue_job_fn fn, void *arg);

/* Jobs start..end (from 0, both included; at most 1000 are given) of one state, as Bull's getJobs: asc lists and delayed
 * with the one that is next first, finished with the oldest first; else the newest first. Of QUEUE_STATE_WAIT comes what
 * waits, be the queue paused or not. Without data, data is NULL in all of them. Ids without a job are left out. */
typedef void (*queue_jobs_fn)(enum queue_status s, const struct queue_job_info *jobs, size_t n,
                              const char *why, void *arg);
void queue_list_jobs(struct queue *q, enum queue_state state, uint64_t start, uint64_t end, bool asc,
                     bool with_data, queue_jobs_fn fn, void *arg);

/* QUEUE_STATE_COMPLETED, _FAILED, or _NONE while it is neither (or is not there). */
typedef void (*queue_finished_fn)(enum queue_status s, enum queue_state state, void *arg);
void queue_is_finished(struct queue *q, const char *id, queue_finished_fn fn, void *arg);

/* How many waiting jobs have each of these priorities (0: those without one); counts has n numbers. At most 1000. */
typedef void (*queue_numbers_fn)(enum queue_status s, const uint64_t *counts, size_t n, void *arg);
void queue_count_priorities(struct queue *q, const uint64_t *priorities, size_t n, queue_numbers_fn fn,
                            void *arg);

/* Lines start..end (end -1: to the last; negative from the end) of the job's log; asc false: the newest first and
 * counted from there. total: lines there are. A job without a log, or no job, has none. */
typedef void (*queue_logs_fn)(enum queue_status s, const char *const *lines, const size_t *lens, size_t n,
                              uint64_t total, void *arg);
void queue_get_logs(struct queue *q, const char *id, int64_t start, int64_t end, bool asc, queue_logs_fn fn,
                    void *arg);

/* ---- one job. QUEUE_MISSING: no such job; QUEUE_LOCKED: a worker has it in hand; QUEUE_WRONG_STATE: it is not where
 * the verb takes it from. Nothing was changed then. */

/* failed -> waits again, at its end (lifo, priority); attempts made stay, as Bull's job.retry(). A completed job is in
 * the wrong state for it, as with Bull. */
void queue_retry_job(struct queue *q, const char *id, queue_done_fn done, void *arg);
void queue_promote_job(struct queue *q, const char *id, queue_done_fn done, void *arg); /* delayed -> waits */
/* The job, its log, its debounce and limiter entries. An id that is no number stays known for a while (tombstone_ms), so
 * that the repetition of a queue_add is seen; queue_add_job may use it again at once. */
void queue_remove_job(struct queue *q, const char *id, queue_done_fn done, void *arg);
void queue_update_data(struct queue *q, const char *id, const char *json, size_t len, queue_done_fn done,
                       void *arg); /* QUEUE_INVALID: not JSON */
void queue_update_progress(struct queue *q, const char *id, const char *json, queue_done_fn done, void *arg);
/* keep: only the newest so many lines stay, 0: all. lines: how many there are now. */
typedef void (*queue_logged_fn)(enum queue_status s, uint64_t lines, const char *why, void *arg);
void queue_add_log(struct queue *q, const char *id, const char *line, uint64_t keep, queue_logged_fn done,
                   void *arg);

/* ---- the queue */

/* Global, as Bull's queue.pause() and resume(): jobs go on waiting in "paused", active ones run on. Doing it twice changes
 * nothing; a list that stands where the jobs go to is added to, never overwritten. */
void queue_pause(struct queue *q, queue_done_fn done, void *arg);
void queue_resume(struct queue *q, queue_done_fn done, void *arg);
typedef void (*queue_paused_fn)(enum queue_status s, bool paused, void *arg);
void queue_is_paused(struct queue *q, queue_paused_fn fn, void *arg);

/* ---- many jobs */

struct queue_bulk_result {
    uint64_t done;    /* so many were, or with dry_run would be, retried, promoted, removed */
    uint64_t skipped; /* were left alone: locked, or the next one of a repeated job */
};
struct queue_bulk {
    bool dry_run; /* counts only; changes nothing */
    uint64_t max; /* at most so many; 0: all */
    /* After each call to Redis; may be NULL. */
    void (*progress)(const struct queue_bulk_result *r, void *arg);
    /* r: what was done, also when s is not QUEUE_OK. */
    void (*done)(enum queue_status s, const struct queue_bulk_result *r, const char *why, void *arg);
    void *arg;
};
/* b is copied. What comes into the state while the verb runs may or may not be covered; it always ends. */
void queue_retry_all(struct queue *q, const struct queue_bulk *b); /* failed, oldest first */
void queue_promote_all(struct queue *q, const struct queue_bulk *b);
/* Jobs of any state whose id matches (a glob of Redis: * ? [a-z] \), locked ones excepted. */
void queue_remove_matching(struct queue *q, const char *pattern, const struct queue_bulk *b);
/* Jobs of the state that finished, or were last begun, or were added, longer than grace_ms ago; oldest first. */
void queue_clean(struct queue *q, enum queue_state state, uint64_t grace_ms, const struct queue_bulk *b);
/* All waiting jobs, and with delayed those too. The queue stays paused if it was; repeated jobs stay. */
void queue_drain(struct queue *q, bool delayed, const struct queue_bulk *b);
/* The whole queue: jobs, locks, counters, everything. QUEUE_WRONG_STATE unless it is paused, or while jobs are active and
 * force is false. max is not looked at. */
void queue_obliterate(struct queue *q, bool force, const struct queue_bulk *b);

#endif
