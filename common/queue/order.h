/* order - queues with one processor at a time, for strict order: the whole queue, or one partition by key.
 *
 * A struct queue made with o.ordered is such a queue. Its processor is who holds its lease: <base>dray:lease =
 * "<token>/<epoch>", which runs out by Redis' clock unless renewed. Take, settle and renew are refused (QUEUE_LOST) when
 * the lease is not the one this queue was last granted. On such a queue locks live as long as the lease and are renewed
 * with it (queue_renew is not needed), a retry blocks what is behind it (queue_hold), dray does not run Bull's stalled
 * check, and queue_tick_start works only while the lease is held, without a tick lease of its own.
 * What foreign clients do keeps the meaning Bull gives it: lifo and priority go ahead of what waits, a delayed job comes
 * in when it is promoted, a manual retry goes to the back. A foreign Bull worker takes without asking: that is no order.
 */
#ifndef DRAY_COMMON_QUEUE_ORDER_H
#define DRAY_COMMON_QUEUE_ORDER_H

#include "common/queue/queue.h"

/* ---- lease.c */
struct queue_lease_events {
    /* The epoch rises with each grant, also when the holder was this process before. Settle what was left unsettled
     * now, then take. */
    void (*acquired)(struct queue *q, uint64_t epoch, void *arg);
    /* By Redis' word, by the own clock (sending time of the last good renewal + lease_ms - a tenth), or because the
     * connection was lost. Post no more, cancel what runs; hand back what is in hand (allowed without the lease, as
     * long as its locks live). As long as it is wanted, the lease is asked for again. */
    void (*lost)(struct queue *q, const char *why, void *arg);
    /* Somebody else holds it, for ms at least unless released; told at each try (every second at most). May be NULL. */
    void (*busy)(struct queue *q, const char *holder_token, uint64_t left_ms, void *arg);
};
/* Once for each ordered queue; nothing is asked for before want. Never calls back inside the call. */
void queue_lease_start(struct queue *q, const struct queue_lease_events *events, void *arg);
/* true: asks until it is granted, then renews by itself each third of lease_ms. false: gives it up, without calling
 * lost, behind all settles asked for so far and any take under way (hand back what that brings); take nothing after it.
 * May be called again at any time. queue_free alone leaves the lease to run out. */
void queue_lease_want(struct queue *q, bool want);
/* Asks now instead of at the next try: a holder was released elsewhere. queue_release_token does it by itself. */
void queue_lease_poke(struct queue *q);
/* Is it held by the own clock now? Look before each post: a process that was stopped finds out here first. */
bool queue_lease_held(const struct queue *q);

/* ---- take.c */
enum queue_turn_state {
    QUEUE_TURN_OPEN,    /* jobs, or none: nothing more waits */
    QUEUE_TURN_PAUSED,  /* the queue is paused */
    QUEUE_TURN_HELD,    /* a retry stands in front, due in retry_ms; who: its id */
    QUEUE_TURN_BLOCKED, /* somebody else's lock lives on a job that is in active, or next; who: its token */
    QUEUE_TURN_LIMITED, /* the queue's limiter lets nothing more through for retry_ms */
};
struct queue_turn {
    enum queue_turn_state state; /* with jobs: what stopped the take behind them */
    uint64_t retry_ms; /* HELD, BLOCKED, LIMITED: when to ask again; earlier when somebody is reaped */
    const char *who;
    uint64_t
        requeued; /* found in active without an owner (or ours but not in hand): they stand in front again */
    uint64_t failed; /* stalled too often: in failed */
    uint64_t ghosts; /* ids without a job: in failed */
};
/* turn and jobs are valid during the call. QUEUE_LOST: the lease is not ours (lost is called behind this). n is 0 also
 * when a hand-back or hold was asked for after the take was sent: what it took has gone back with that. */
typedef void (*queue_taken_ordered_fn)(enum queue_status s, const struct queue_turn *turn,
                                       const struct queue_job *jobs, size_t n, void *arg);
/* The next jobs in order, at most max (QUEUE_ORDERED_MAX in hand). Ask while the lease is held, one take at a time.
 * in_hand: the ids that the caller still has of this queue, settled or not, in any order (copied): what else our token
 * has locked is a stray of a lost answer and is put in front first, uncounted. What has no lock in active is put in
 * front in its order; the oldest of these counts a stall (jobs go out one by one: only it can have been at fault). So is
 * what others have locked and began over max_run ago; a job of ours is the caller's to end in time. What is taken counts
 * in the limiter, also when it is handed back: do not take ahead where there is one. */
#define QUEUE_ORDERED_MAX 64
void queue_take_ordered(struct queue *q, unsigned max, const char *const *in_hand, size_t n,
                        queue_taken_ordered_fn taken, void *arg);

/* ---- settle.c. On an ordered queue:
 * - queue_hand_back gives back the job and everything of ours that was taken after it, in order, in one step. Handing
 *   back each (in any order) is fine too: what went with another answers QUEUE_LOST.
 * - queue_delay is for shared queues; here use queue_hold.
 * - settles of one turn go in the order asked, in one call; no take goes ahead of them. */
/* A retry: the job and everything of ours taken after it go back to the front, in order, in one step, and nothing is
 * taken before delay_ms have passed by Redis' clock (0: no wait). The caller forgets all of them. count_attempt, reason:
 * as queue_delay. A person's removal of the job ends the hold. */
void queue_hold(struct queue *q, const struct queue_job *job, uint64_t delay_ms, bool count_attempt,
                const char *reason, queue_done_fn done, void *arg);

/* ---- release.c: queue_release_token also deletes the dead token's lease on the queue, and its membership there (so call
 * it on the home queue too). Of what it hands back only the oldest job of an ordered queue counts a stall. */

/* ---- members.c: who shares the partitions of a destination. home: a queue on the destination's plain base (for strict
 * order the ordered queue itself); its token and lease_ms are used. */
struct queue_share {
    size_t members, rank;      /* rank by time of joining, from 0; members when we are none (leaving) */
    const char *const *tokens; /* in rank order, valid during the call */
};
typedef void (*queue_share_fn)(enum queue_status s, const struct queue_share *share, void *arg);
/* Says that we are there (call it every second), or that we leave, and asks who else is. Whoever was silent for lease_ms,
 * 3 s at least, is removed. Share of P partitions: P / members, and one more for ranks below P % members. For strict order let every
 * member want the lease: membership then only names the candidates. */
void queue_share_say(struct queue *home, bool leaving, queue_share_fn fn, void *arg);

/* ---- protocol.c: mode and number of partitions stand in Redis (<home base>dray:proto); the first writer wins */
#define QUEUE_PROTOCOL_FORMAT 1
enum queue_mode { QUEUE_MODE_SHARED, QUEUE_MODE_STRICT, QUEUE_MODE_KEY };
const char *queue_mode_name(enum queue_mode m); /* "shared", "strict", "key" */
enum queue_protocol_verdict {
    QUEUE_PROTOCOL_AGREES,   /* as asked for; written now if nothing stood there */
    QUEUE_PROTOCOL_DIFFERS,  /* another mode or number of partitions */
    QUEUE_PROTOCOL_NEWER,    /* of a format that this version does not know */
    QUEUE_PROTOCOL_OCCUPIED, /* key: nothing stood there, but the plain queue holds jobs */
};
struct queue_protocol {
    enum queue_protocol_verdict verdict;
    uint64_t format, partitions; /* as found in Redis; format 0: nothing stands there */
    char mode[16];
    uint64_t jobs; /* of the plain queue: wait, paused, active, delayed */
};
typedef void (*queue_protocol_fn)(enum queue_status s, const char *why, const struct queue_protocol *found,
                                  void *arg);
/* partitions: 1 but for key. */
void queue_protocol_check(struct queue *home, enum queue_mode mode, uint32_t partitions, queue_protocol_fn fn,
                          void *arg);
/* For repartitioning, after everything was drained: writes if what stands there is still what was found, and, for key,
 * the plain queue is empty. AGREES: written. */
void queue_protocol_set(struct queue *home, const struct queue_protocol *found, enum queue_mode mode,
                        uint32_t partitions, queue_protocol_fn fn, void *arg);

#endif
