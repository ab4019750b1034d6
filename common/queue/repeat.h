/* repeat - jobs that come again and again, as Bull 4.16.5 lays them down.
 *
 * A repetition is one member of the zset "repeat", NAME:ID:END:TZ:CRON or NAME:ID:END:EVERY, with the time of its next
 * job as score; that job, "repeat:<md5>:<ms>", stands in delayed. Whoever takes it adds the one behind it before
 * running it: so must every worker (queue_repeat_next), whether the job then succeeds or fails. Several may do it for
 * the same job, and one may do it twice: one job is added. Removing the member ends the repetition.
 * Where no zone is told, a time of the clock means the zone of the host that reckons, as with Bull.
 */
#ifndef DRAY_COMMON_QUEUE_REPEAT_H
#define DRAY_COMMON_QUEUE_REPEAT_H

#include "common/queue/queue.h"

/* One of cron and every_ms is given. */
struct queue_repeat {
    const char *cron;  /* as cron-parser reads it: common/base/cron.h */
    uint64_t every_ms; /* at the multiples of it since 1970 */
    const char *tz;    /* of cron; NULL: the host's */
    uint64_t start_ms,
        end_ms;     /* no job before, none behind; 0: none. start_ms is for cron alone, as with Bull */
    uint64_t limit; /* of jobs; 0: none */
    const char *id; /* tells repetitions of the same times apart; NULL: none */
};

/* The options of a job, with what repeats it: other (JSON text of the other options; NULL: none) and "repeat". The caller
 * frees it. NULL with why: the repetition cannot be (a sentence for a person, naming the cron field), or other is no
 * object. */
char *queue_repeat_opts(const struct queue_repeat *r, const char *other, char *why, size_t why_size);

/* Adds the repetition and its first job. name NULL: "__default__". opts: of queue_repeat_opts, or any options with a
 * "repeat" in Bull's form. data: JSON text. All are copied.
 * QUEUE_OK: id of the first job and its time. QUEUE_DUPLICATE: the same; that job was there. QUEUE_MISSING: there is no
 * such time (the end or the limit is reached): nothing was added. QUEUE_INVALID: why. Safe to repeat. id is NULL with
 * any status but the first two. done may be called inside the call. */
typedef void (*queue_repeated_fn)(enum queue_status s, const char *id, uint64_t next_ms, const char *why,
                                  void *arg);
void queue_repeat_add(struct queue *q, const char *name, const char *opts, size_t opts_len, const char *data,
                      size_t data_len, queue_repeated_fn done, void *arg);

/* Does this job repeat? Cheap for one that does not. Only opts are read. */
bool queue_repeat_is(const struct queue_job *job);
/* The job was taken by this queue's token: adds the one behind it, with the same data. id, name and opts are read; they
 * are copied. Works at maxmemory. done may be called inside the call:
 * QUEUE_OK: added; QUEUE_DUPLICATE: it was there; QUEUE_MISSING: nothing follows (the repetition was removed, or its end
 * or limit is reached); QUEUE_INVALID: its options cannot be read, so nothing follows (why); QUEUE_LOST: the lock is not
 * ours. With any other status it is not known to be there: the job must not be run, but be taken again later. */
void queue_repeat_next(struct queue *q, const struct queue_job *job, queue_done_fn done, void *arg);

/* Ends the repetition with this key (of queue_repeat_list) and removes its next job, unless it is already due.
 * QUEUE_MISSING: there is none. As Bull's removeRepeatableByKey. */
void queue_repeat_remove(struct queue *q, const char *key, queue_done_fn done, void *arg);

struct queue_repetition { /* a text is NULL and a number 0 where there is none */
    const char *key;      /* as stored */
    const char *name, *id;
    uint64_t end_ms;
    const char *tz, *cron;
    uint64_t every_ms;
    uint64_t next_ms;
};
/* Repetitions start..end (from 0, both included; at most 1000 are given), the one that is next first; asc false: last.
 * As Bull's getRepeatableJobs; valid during the call. total: how many there are. */
typedef void (*queue_repetitions_fn)(enum queue_status s, const struct queue_repetition *list, size_t n,
                                     uint64_t total, const char *why, void *arg);
void queue_repeat_list(struct queue *q, uint64_t start, uint64_t end, bool asc, queue_repetitions_fn fn,
                       void *arg);
/* The parts of a key; r points into copy, which has room for the key and its end. next_ms is left at 0. Pure. */
void queue_repeat_read_key(const char *key, char *copy, struct queue_repetition *r);

/* ---- repeat_plan.c. Pure but for reading zone files: which job is next, and what it looks like. */
struct queue_plan {
    char *key;        /* member of the zset */
    char stem[48];    /* "repeat:<md5>:" */
    char id[80];      /* stem and next_ms */
    uint64_t next_ms; /* over now_ms and over prev_ms */
    uint64_t prev_ms; /* the time of the job that this one follows; 0: it is the first */
    uint64_t count;   /* this is the how-manieth */
    uint64_t priority;
    char *opts; /* JSON text */
};
/* QUEUE_OK; QUEUE_MISSING: nothing follows; QUEUE_INVALID: why. plan is to be freed after QUEUE_OK only. */
enum queue_status queue_plan_make(struct queue_plan *plan, const char *name, const char *opts, size_t len,
                                  uint64_t now_ms, char *why, size_t why_size);
void queue_plan_free(struct queue_plan *plan);
/* "repeat:<md5>:" of a key. -1: OpenSSL refuses MD5. */
int queue_plan_stem(const char *name, const char *id, const char *key, char dst[48]);

#endif
