/* internal - what the files of queue/ share; nobody else includes it.
 *
 * A queue collects what is asked of it during one loop turn and sends it at the end of the turn, in this order: adds,
 * settles, takes. So what one turn gave up or added can be taken by the same turn, in one round trip.
 * Every request to Redis is a queue_call; the queue answers them all, also when it is freed first.
 */
#ifndef DRAY_COMMON_QUEUE_INTERNAL_H
#define DRAY_COMMON_QUEUE_INTERNAL_H

#include "common/queue/queue.h"

#include <hiredis/hiredis.h>

#include "common/base/list.h"
#include "common/queue/memory.h"
#include "common/queue/order.h"

#define QUEUE_KEY_SIZE     512
#define QUEUE_GROUP_MAX    128          /* jobs of one add or settle call */
#define QUEUE_GROUP_BYTES  (512u << 10) /* payload of one add call, unless a single job is larger */
#define QUEUE_UNSENT_MAX   (512u << 10) /* hiredis moves its whole output buffer after each partial write */
#define QUEUE_FLYING_MAX   2 /* groups of a kind on the way: under load the next one gathers meanwhile */
#define QUEUE_JOB_MAX      (16u << 20) /* bytes of one job's data */
#define QUEUE_PENDING_MAX  (64u << 20) /* bytes of adds not yet sent */
#define QUEUE_TAKE_MAX     256
#define QUEUE_REASON_MAX   2048
#define QUEUE_TOMBSTONE_MS 120000
#define QUEUE_KNOWN_MAX    64 /* adds told to one take */
#define QUEUE_OPTS_SIZE    96 /* options of a job of our own */

struct queue_tick;
struct queue_lease;

struct queue {
    struct ev_loop *loop;
    struct redis *r;
    struct queue_options o;
    char *base; /* PREFIX:NAME: */
    struct list calls;
    struct list adds, settles, takes; /* not yet sent */
    struct list adding;               /* among the queues that have adds for the end of this turn */
    struct list known;                /* adds sent and not answered; only with o.let_go */
    size_t adds_bytes;
    struct { /* of digests: what add told */
        bool *known; /* of the job that is being answered */
        size_t n, size;
        uint64_t window_ms, failures;
    } seen;
    uint64_t limited_ms; /* what the last take told */
    unsigned adds_flying, settles_flying;
    ev_prepare prepare;
    ev_idle idle; /* keeps the loop from sleeping on what a callback at the end of a turn asked for */
    struct queue_memory *memory; /* NULL: in Redis */
    struct queue_tick *tick;
    struct queue_lease *lease;
    bool taking; /* ordered: a take is asked for or on the way */
    uint64_t
        returns;    /* ordered: hand-backs and holds asked for: a take sent before one has nothing to give */
    unsigned depth; /* inside so many callbacks */
    bool freed;     /* queue_free was called, perhaps inside one */
};

struct queue_call {
    struct list link;
    struct queue *q; /* NULL once finished */
    /* s is QUEUE_OK when reply holds no error. The call is freed behind it. */
    void (*finish)(struct queue_call *c, enum queue_status s, const char *why,
                   const struct redisReply *reply);
};

extern struct redis_script queue_script_add, queue_script_take, queue_script_settle, queue_script_renew,
    queue_script_release, queue_script_tokens, queue_script_tick, queue_script_untick, queue_script_stalled,
    queue_script_sweep, queue_script_counts, queue_script_repeat, queue_script_repeat_add,
    queue_script_repeat_remove, queue_script_repeat_list, queue_script_take_ordered, queue_script_turn,
    queue_script_turn_ordered, queue_script_settle_ordered, queue_script_outcome, queue_script_progress,
    queue_script_split, queue_script_lease, queue_script_share, queue_script_protocol;

extern struct redis_script queue_script_admin_add, queue_script_admin_look, queue_script_admin_touch,
    queue_script_admin_pause, queue_script_admin_move, queue_script_admin_remove, queue_script_admin_clean,
    queue_script_admin_obliterate;

/* A callback may free the queue: enter before it, leave behind it; leave frees what is left of q. */
void queue_enter(struct queue *q);
void queue_leave(struct queue *q);

/* c (malloc'ed, zeroed) belongs to the queue from here on. argv: what follows the base key. */
void queue_call_script(struct queue *q, struct queue_call *c, const struct redis_script *s, int argc,
                       const char *const *argv, const size_t *lens);
/* The same for a command that the caller has sent, or is about to send, itself: fn is queue_call_reply, arg is c. */
void queue_call_begin(struct queue *q, struct queue_call *c);
void queue_call_reply(enum redis_status status, const struct redisReply *reply, void *arg);
/* take_ask.c: what is sent for the first take that is asked for. */
#define QUEUE_TAKE_NUMBERS 8
struct queue_take_args {
    int argc;
    const char *argv[14 + QUEUE_ORDERED_MAX];
    char numbers[QUEUE_TAKE_NUMBERS][24];
    size_t n_numbers;
    struct take *take;
    struct queue_wish *wish;
};
struct queue_call *queue_take_prepare(struct queue *q, struct queue_take_args *a);
/* Behind the call: asks for the jobs too. argv is not valid any more. */
void queue_take_sent(struct queue *q, struct queue_take_args *a);
/* take.c: a take that is about to be sent, its call returned. Behind it the jobs are read. */
struct queue_call *queue_take_open(struct queue *q, queue_taken_fn taken, queue_taken_ordered_fn ordered,
                                   void *arg, struct take **t);
const char *queue_take_known(const struct take *t); /* " id id "; "" */
void queue_take_read(struct queue *q, struct take *t);
/* turn.c: a settle and the take that is asked for, as one call. */
void queue_call_turn(struct queue *q, struct queue_call *settle, int settle_argc,
                     const char *const *settle_argv);
/* exec.c: one transaction for what several queues on the same connection have to store. The calls are answered as with
 * queue_call_script, but an error that EXEC's reply holds for one comes with QUEUE_OK, as a reply of type error. */
struct queue_exec;
struct queue_exec *queue_exec_open(struct redis *r);
bool queue_exec_full(const struct queue_exec *x); /* no further call; at most QUEUE_GROUP_MAX */
void queue_exec_command(struct queue_exec *x, redis_reply_fn fn, void *arg, int argc, const char *const *argv,
                        const size_t *lens);
void queue_exec_call(struct queue_exec *x, struct queue *q, struct queue_call *c, int argc,
                     const char *const *argv, const size_t *lens);
void queue_exec_send(struct queue_exec *x);
/* add.c: jobs on their way to Redis when a take was sent behind them. All empty where the queue has no let_go. */
struct queue_known {
    char *ids; /* " id id "; NULL: none */
    struct queue_item **items;
    size_t n;
};
void queue_known_open(struct queue *q, struct queue_known *k);
/* Fills in the fields of a job that was just stored; false: it is not among them. */
bool queue_known_read(const struct queue_known *k, struct queue_job *j, char opts[QUEUE_OPTS_SIZE]);
void queue_known_close(struct queue *q, struct queue_known *k);
enum queue_status queue_status_of(enum redis_status status, const struct redisReply *reply, const char **why);

/* "1" while it is known that the server has no replicas and is no part of a cluster: its own listeners are all. May
 * send a question: not to be called between MULTI and EXEC. */
const char *queue_alone(struct queue *q);

/* Sends what this kind has collected; called at the end of a turn. */
void queue_flush_adds(struct queue *q);
void queue_flush_settles(struct queue *q);
void queue_flush_takes(struct queue *q);
/* lease.c. "" on a queue that is not ordered; "-", which nobody is granted, when there is none. */
const char *queue_lease_value(const struct queue *q);
void queue_lease_refused(struct queue *q); /* Redis said that it is not ours */
void queue_flush_lease(struct queue *q);   /* the end of a turn: a new connection? given up? */
void queue_lease_stop(struct queue *q);

/* Answers what was never sent. */
void queue_drop_adds(struct queue *q, enum queue_status s);
void queue_drop_settles(struct queue *q, enum queue_status s);
void queue_drop_takes(struct queue *q, enum queue_status s);

bool queue_is_json(const char *text, size_t len); /* admin_add.c: one JSON value and nothing else */

/* opts.c: what a job's own options say about keeping it; "" when they say nothing. */
#define QUEUE_KEEP_SIZE 96
void queue_opts_keep(const char *opts, size_t len, bool failed, char dst[QUEUE_KEEP_SIZE]);
bool queue_opts_lifo(const char *opts, size_t len);

#endif
