/* turn - how long the master's own loop was away from its sleep: from each wake to the next sleep, to the microsecond.
 *
 * The promise is that no turn takes over 50 ms. The longest since the start and of the last minute stand in status and
 * metrics, with what it was busy with; a turn that breaks the promise is told in the log. A turn in which the process was
 * stopped and continued (SIGCONT tells) says nothing of the loop: such turns are counted apart.
 */
#ifndef DRAY_MASTER_TURN_H
#define DRAY_MASTER_TURN_H

#include <ev.h>
#include <signal.h>
#include <stdint.h>

#define TURN_PROMISE_MS    50
#define TURN_BUCKETS       12
#define TURN_BUCKET_S      5 /* the last minute is the worst of 12 times 5 s */
#define TURN_TELL_EVERY_MS 10000

struct turn {
    ev_check wakes;
    ev_prepare sleeps;
    uint64_t began_us; /* 0: asleep */
    uint64_t mark_us;  /* end of the last part */
    uint64_t cpu_us;   /* at the beginning */
    const char *part;  /* the longest of this turn, and its length */
    uint64_t part_us;
    uint64_t worst_us;
    const char *worst_part;
    uint64_t worst_cpu_us;
    uint64_t bucket_us[TURN_BUCKETS];
    uint64_t bucket_no; /* which 5 s since the clock's zero the newest one is */
    uint64_t told_ms;
    sig_atomic_t continued; /* at the beginning of this turn */
    uint64_t stopped;       /* turns in which the process was stopped */
};

/* The turns of the loop are measured from here on; takes SIGCONT. The structure stays where it is until turn_stop. */
void turn_start(struct turn *t, struct ev_loop *loop);
void turn_stop(struct turn *t, struct ev_loop *loop);

/* What was done since the last mark of this turn had this name (a literal). */
void turn_part(struct turn *t, const char *name);

/* Longest in the last minute. */
uint64_t turn_minute_us(const struct turn *t);

#endif
