/* delivery - what the files of the delivery worker share.
 *
 * The way of a batch: intake (link to Redis), claim (Redis to hand), post (hand to destination), verdict, settle (result
 * to Redis). A destination's jobs come through its lanes: a lane is one Bull queue (the destination's own, one of its
 * partitions, or one that was taken over). A job is in one list of its lane from claim to settle; whoever ends it calls
 * claim_forget.
 */
#ifndef DRAY_WORKERS_DELIVERY_DELIVERY_H
#define DRAY_WORKERS_DELIVERY_DELIVERY_H

#include <ev.h>

#include "common/base/list.h"
#include "common/base/map.h"
#include "common/conf/conf.h"
#include "common/http/client.h"
#include "common/queue/order.h"
#include "common/queue/queue.h"
#include "common/redis/redis.h"
#include "workers/child.h"
#include "workers/delivery/flow/flow.h"
#include "workers/delivery/payload.h"
#include "workers/delivery/shape.h"
#include "workers/delivery/verdict.h"

struct dest;
struct home;
struct lane;
struct link_recv;
struct reap;

enum job_state {
    JOB_REPEATING, /* the next job of its repetition is being added: repeat.c */
    JOB_READY,     /* in an ordered lane: waits for its turn */
    JOB_AHEAD,     /* taken before there was a place: ahead.c */
    JOB_POSTING,   /* an HTTP call runs */
    JOB_SETTLING,  /* its result is on the way to Redis */
    JOB_UNSETTLED, /* its result waits for Redis to come back */
};

enum job_result { JOB_COMPLETE, JOB_DELAY, JOB_FAIL, JOB_HAND_BACK, JOB_SPLIT };

struct job {
    struct list link; /* lane->jobs */
    struct list turn; /* dest->ahead, dest->late or, on an ordered lane, lane->order.late */
    struct lane *lane;
    enum job_state state;
    struct queue_job q; /* its texts stand behind the struct */
    struct http_call *call;
    struct payload_known known; /* of data that this process has just stored */
    struct payload payload;
    char *key_header;
    struct shape_made *made; /* of a destination with a shape */
    struct events *events;   /* of one that takes event by event: events.c */
    /* the result */
    enum job_result result;
    uint64_t delay_ms;
    bool uncounted;  /* DELAY: no attempt was spent */
    bool retry;      /* under way, and not for the first time */
    bool front;      /* DELAY: it comes back in front of all others */
    struct buf text; /* return value or reason */
    bool repeated;   /* an earlier answer to settling was lost: "not yours" may mean that it had worked */
    uint64_t asked_us;
    size_t bytes;
};

struct lane_metrics { /* of all lanes with the same label */
    const char *label;
    struct metric *added, *completed, *failed, *delayed, *handed_back, *requeued, *stalled_out, *lock_lost;
    struct metric *jobs[6], *oldest, *promote_lag, *longest, *seen_window;
};

struct dest_metrics {
    struct metric *duration, *end_to_end, *events, *bytes, *in_flight, *reused, *fresh;
};

struct dest { /* a destination: where jobs are posted */
    struct delivery *d;
    const struct conf_destination *conf;
    unsigned posting;                   /* of jobs, over all its lanes */
    unsigned asked;                     /* by takes under way, over all its lanes */
    char *auth;                         /* header line, "" or NULL (write_key: the source's) */
    struct shape *shape;                /* NULL: batches as JSON, and no more */
    const struct http_profile *profile; /* NULL: the plain one */
    signed char *by_status;             /* of on_status: a rule for each status, or -1; NULL: none */
    struct verdict_rules rules;
    uint64_t schedule_ms[CONF_SCHEDULE_MAX]; /* of retries; n_schedule 0: as backoff has it */
    size_t n_schedule;
    struct flow flow;
    uint64_t paused_until_ms;            /* monotonic; flow.h: nothing is sent before */
    unsigned cap;                        /* flow.h: requests under way, at most */
    uint64_t failing_since_ms;           /* monotonic; 0: it takes what it is given */
    unsigned failed_said, failed_unsaid; /* lines on failed jobs in this second */
    bool refused_said;                   /* a line on a refused batch, in this second */
    struct list payers;                  /* events.c: jobs that wait for a token for their next event */
    struct list ahead, late;             /* jobs taken ahead; results that wait for company */
    unsigned n_ahead, n_late;
    unsigned pace, pace_done; /* jobs done in the time for which is taken ahead; done in this window */
    uint64_t pace_since_ms;
    struct dest_metrics m;
};

struct home { /* what the lanes of one queue name have in common: how it is worked on, and by whom */
    struct delivery *d;
    const char *name;    /* of the destination or the takeover */
    struct queue *queue; /* on the plain base; NULL: the one of its only lane */
    enum conf_mode mode;
    struct lane *lanes;
    unsigned n_lanes;
    bool agreed;                        /* Redis says the same of mode and partitions */
    bool paused;                        /* nothing is taken here; others of the fleet go on */
    bool absent;                        /* the fleet knows that this process takes no part for now */
    bool asking, saying;                /* a call is on the way */
    bool refused_said;                  /* that Redis does not answer to that */
    bool said_goodbye, last_word, left; /* draining: no member any more; with nothing in hand; Redis knows */
    size_t members, quota;              /* of the fleet; lanes that are ours to process */
    ev_timer look;                      /* for partitions that make up the share */
};

struct lane { /* a queue that is worked on */
    struct dest *dest;
    struct home *home;
    char *name; /* in links and logs: "orders", "orders#3", or the id of a takeover */
    enum conf_mode mode;
    const struct conf_takeover *takeover; /* NULL: dray's own queue */
    struct verdict_rules sdk_rules;       /* of a takeover: for jobs of an SDK */
    struct queue_options options;
    struct queue *queue;
    struct queue_waker *waker;
    struct list jobs;           /* in the order in which they were taken */
    unsigned posting;           /* of jobs */
    unsigned asked;             /* by the take under way; 0: none is */
    bool hungry;                /* there may be work in wait */
    uint64_t wakes, wakes_seen; /* a wake during a take means that its answer is already old */
    uint64_t taken_us;
    uint64_t limited_until_ms; /* monotonic; the queue's limiter lets nothing through before */
    bool take_lost;  /* the answer to a take was lost: jobs may be locked by us that we do not know */
    bool recovering; /* recover.c is at it */
    bool refused;    /* Redis said no to the last take: asked again in a second */
    bool want_arm;   /* the queue was found empty: its waker is armed soon */
    uint64_t seen_window_ms, seen_told_ms, seen_failures; /* of digests: watch.c */
    uint64_t counted_ms; /* last counts as holder of the tick lease; 0: there are none */
    struct queue_counts counts;
    bool asking_longest; /* a call is on the way */
    bool longest_known;
    uint64_t longest_seen_ms, longest_wait_ms; /* when it was told; monotonic, 0: never */
    struct {                                   /* of an ordered lane, see order.c */
        bool wanted, held, parting;
        uint64_t tried_ms;      /* monotonic; when somebody else was found to hold it */
        uint64_t not_before_ms; /* monotonic; nothing is taken until then */
        char *holder;           /* token of who holds it; NULL: not known */
        ev_timer timer;         /* for not_before_ms */
        struct list late;       /* of jobs; their results wait for company */
    } order;
    struct lane_metrics *m;
};

#define STRAYS_MAX 16

struct node { /* nodes.c: what a node of the fleet is called */
    char id[64], name[128];
    bool asking;
    uint64_t asked_ms; /* monotonic */
};
#define NODES_MAX 16

struct delivery { /* the one state of the process */
    struct child *child;
    struct ev_loop *loop;
    const struct conf *conf;
    struct redis *redis;
    struct redis_options redis_options;
    struct http_client *http;
    struct netset *deny, *allow; /* delivery.egress */
    struct fleet *fleet;
    unsigned n_metered; /* destinations whose rate is kept */
    struct dest *dests;
    size_t n_dests;
    struct lane *lanes;
    size_t n_lanes, next_lane; /* next_lane: which is asked first */
    size_t next_ordered;       /* of the ordered ones: which may post first */
    struct home *homes;
    size_t n_homes, n_agreed;
    struct map *by_name;         /* lanes that batches are added to */
    struct lane_metrics *labels; /* n_labels */
    size_t n_labels;
    struct lane *strays[STRAYS_MAX];
    size_t n_strays;
    struct list links; /* intake.c */
    size_t n_links;
    struct list held;    /* batches that wait for room on the connection, or for Redis to come back */
    bool gives_back;     /* Redis is away for so long that what is held goes back to its senders */
    size_t adding_bytes; /* given to the queue and not answered */
    unsigned adds;       /* batches that are not answered, held ones too */
    unsigned posting, jobs;
    unsigned returning;          /* jobs that came too late and are on their way back */
    size_t job_bytes;            /* texts of jobs in hand */
    struct list reaps;           /* reap.c */
    struct list subscriptions;   /* subscribe.c */
    struct http_profile *intake; /* the way to ingest's own socket */
    struct list tells;           /* tell.c */
    struct map *tells_by_id;     /* NULL: nobody ever wanted to be told */
    struct queue_listener *listener;
    char **source_auth; /* header line of each source */
    char *unfit;        /* what was last said of an unfit Redis */
    struct pressure *pressure;
    uint64_t foreign_looked_ms, node_said_ms; /* monotonic; 0: never */
    struct node nodes[NODES_MAX];
    bool memory; /* redis.mode: none */
    bool draining, handing_back, ended;
    bool was_ready; /* the connection was usable since it was last lost */
    unsigned handed_back;
    ev_timer ready_timer, renew_timer, second_timer, pause_timer, arm_timer, ahead_timer, hand_back_timer, away_timer,
        end_timer;
    ev_check turn; /* room on the connection is looked for in each turn while batches are held */
    struct metric *connected, *reconnects, *unsafe, *unjudged;
    struct metric *took[7]; /* durations, by enum delivery_script */
};

enum delivery_script {
    SCRIPT_ADD,
    SCRIPT_TAKE,
    SCRIPT_COMPLETE,
    SCRIPT_DELAY,
    SCRIPT_FAIL,
    SCRIPT_RENEW,
    SCRIPT_HAND_BACK
};

/* ---- delivery.c */
/* Counts the round trip, and an error by its first word. */
void delivery_count_reply(struct delivery *d, enum delivery_script script, uint64_t asked_us,
                          enum queue_status s, const char *why);
/* Redis can be worked with. */
void delivery_ready(struct delivery *d);
/* Ends a drain when there is nothing left to do. */
void delivery_look(struct delivery *d);

/* ---- order.c: ordered lanes. A job waits in JOB_READY until the one before it is done. */
void order_open(struct lane *l);
/* May a take be asked for now? With room for how many jobs. */
unsigned order_room(const struct lane *l, uint64_t now_ms);
void order_take(struct lane *l, unsigned n);
/* A result may wait for that of the next job, or for the next tick; false: it is to be sent now, behind those that wait. */
bool order_linger(struct job *j);
void order_flush(struct lane *l); /* sends the results that wait */
/* Posts the next job, if it is its turn. */
void order_pump(struct lane *l);
/* A retry: the job and all behind it go back to the front, held until it is due. */
void order_hold(struct job *j, queue_done_fn done);
/* The jobs that wait go back with the one in front of them: they are freed. */
void order_forget_behind(struct lane *l);
/* Takes nothing more; what waits goes back; the lease is given up when the last job is done. */
void order_part(struct lane *l);

/* ---- share.c: which ordered lanes are this process' to work on */
void share_open(struct home *h);
/* Wants more lanes, or parts with some, where it has not its share. */
void share_balance(struct home *h);
/* Nothing is known of the lanes that others hold until Redis was asked; called when it is ready, and each second. */
void share_second(struct delivery *d);
/* The home was paused: what waits goes back, leases are given up when the last is done, others take over. */
void share_pause(struct home *h);
/* Draining: the same for all. */
void share_leave(struct delivery *d);
bool share_left(struct delivery *d); /* nothing more to wait for */

/* ---- nodes.c: names of hosts, for people */
void nodes_second(struct delivery *d); /* called when Redis is ready too */
/* "alpha delivery.0", as far as it is known by now. Returns dst. */
char *nodes_put(struct delivery *d, const char *token, char *dst, size_t size);

/* ---- foreign.c: warns of other workers on ordered lanes */
void foreign_second(struct delivery *d);

/* ---- home.c: is Redis of the same opinion about how each queue is worked on? */
void home_check(struct delivery *d);
bool home_agreed(const struct delivery *d); /* all are: adding and taking may begin */
void home_pause(struct delivery *d, const char *queue, bool paused);
static inline struct queue *home_queue(const struct home *h)
{
    return h->queue != NULL ? h->queue : h->lanes[0].queue;
}

/* ---- lanes.c: destinations and lanes, out of the configuration */
void lanes_make(struct delivery *d);
void lanes_tune(
    struct delivery *d); /* rules and options of the queues, from a configuration with other values */
void lanes_close(struct delivery *d); /* draining: no lane looks for work any more */
/* The lane of a batch's queue; NULL: none. */
struct lane *lanes_find(const struct delivery *d, const char *queue);
/* A queue that only an older or a newer configuration has, as long as a reload rolls: batches are added to it, nothing
 * is taken from it. NULL: there are too many of them. */
struct lane *lanes_stray(struct delivery *d, const char *queue);
static inline bool lane_ordered(const struct lane *l)
{
    return l->mode != CONF_MODE_SHARED;
}

/* ---- intake.c: batches of the links become jobs */
void intake_link(struct delivery *d, int batch_fd, int ack_fd);
void intake_credit(struct delivery *d); /* tells every link what it may send now */
void intake_away(struct delivery *d);   /* Redis cannot be worked with, from now on */
void intake_pump(struct delivery *d);   /* adds what is held */
void intake_pressure(struct delivery *d, const struct msg_pressure *p); /* to every link */
/* The queue needs the text of a batch no more (queue_options.let_go). */
void intake_let_go(void *added);
/* Without Redis: how a batch ended (queue_options.ended). */
void intake_ended(void *added, enum queue_end end, const char *text);
/* What is known of a text that was added: struct queue_job.added. */
const struct payload_known *intake_known(const void *added);
void intake_held(const struct delivery *d); /* at a crash: names the batches that are not stored yet */
void intake_leave(struct delivery *d);      /* asks the senders for their END */
bool intake_done(const struct delivery *d); /* every link has ended, and every answer is in its pipe */

/* ---- tell.c: senders that want to know what becomes of their batches */
struct link_recv;
/* It will be stored, or another worker has stored it: then tell_stored follows at once, as for a duplicate. yours: the list of
 * all that this link is to be told. */
void tell_begin(struct lane *l, const char *id, struct link_recv *to, struct list *yours);
void tell_stored(struct delivery *d, const char *id, bool duplicate);
void tell_drop(struct delivery *d, const char *id); /* it was not stored */
void tell_link_gone(struct delivery *d, struct list *yours);
/* The destination has taken it; it stands among the failed. Of ids that nobody wants to know of, too. */
void tell_done(struct delivery *d, const char *id);
void tell_failed(struct delivery *d, const char *id, const char *why);
void tell_unknown(struct delivery *d, const char *id); /* nobody will be able to say: it is divided */
void tell_second(struct delivery *d);

/* ---- subscribe.c: channels of Redis as a source of events */
void subscribe_start(struct delivery *d);
void subscribe_leave(struct delivery *d);      /* draining: listens no more */
bool subscribe_left(const struct delivery *d); /* ingest has all that came */
void subscribe_end(struct delivery *d);        /* tells what it has not */

/* ---- claim.c: jobs from Redis into the hand, and their locks */
void claim_pump(struct delivery *d); /* takes as many jobs as there is room for, fair over the destinations */
void claim_wake(struct lane *l);     /* there may be work */
void claim_renew(struct delivery *d);
void claim_forget(struct job *j); /* frees it; its call is cancelled */
/* For order.c: a take of n jobs is asked for; it was answered, with n jobs; one of them comes into the hand (NULL: no
 * memory). */
void claim_asked(struct lane *l, unsigned n);
void claim_answered(struct lane *l, enum queue_status s, size_t n);
struct job *claim_job(struct lane *l, const struct queue_job *q);
void claim_start(struct job *j);  /* it may run now, or goes back when there is no more time for that */
void claim_return(struct job *j); /* hands back a job that was never posted, and frees it */

bool claim_may_post(const struct dest *t); /* is there a place now, of those that others may not have? */

/* ---- ahead.c: taking more than there are places for, and settling together, where that is worth it */
#define AHEAD_JOBS 64 /* jobs ahead of a destination; results that wait */
void ahead_open(struct dest *t);
void ahead_count(struct dest *t);          /* an attempt has ended */
unsigned ahead_room(const struct dest *t); /* so many more may be taken; 0 until that is worth a round trip */
void ahead_put(struct job *j);
void ahead_drop(struct job *j);   /* out of its list */
bool ahead_linger(struct job *j); /* its result waits; false: it is to be sent now */
void ahead_start_tick(struct delivery *d);
void ahead_flush(struct dest *t);     /* sends the results that wait */
void ahead_pump(struct delivery *d);  /* posts what there are places for, gives back what stood too long */
void ahead_leave(struct delivery *d); /* draining */

/* ---- repeat.c: a job that repeats; ends in claim_start, or frees it */
void repeat_start(struct job *j);

/* ---- recover.c: after a reconnect, hands back what lost answers to takes had locked */
void recover_start(struct delivery *d);

/* ---- post.c */
void post_start(struct job *j);
/* The header line with its write key; NULL: there is no such source (any more). */
const char *post_source_auth(const struct delivery *d, const char *source);
void post_prepare_sources(struct delivery *d); /* again: they are other ones */
void post_prepare(struct delivery *d);         /* what all requests of a destination have in common */
/* An attempt of the job has ended: what it means. Counts it. */
void post_judge(struct job *j, const struct http_answer *a, struct verdict *v);
/* One request of the job, to be told to done; key: its line Idempotency-Key. pieces and key are borrowed until then. 0, or
 * -1 and a reason in why: it cannot be sent. */
int post_send(struct job *j, const struct http_piece *pieces, size_t n, const char *key, http_done_fn done,
              char *why, size_t size);
/* The line for an id of a job or an event, malloc'ed; tail: what follows it. */
char *post_key_header(const struct lane *l, const char *id, const char *tail, bool of_event);

/* ---- events.c: a job whose destination takes its events one by one. Which of them are done stands in Redis with the
 * job (queue_progress_set), so that a retry, whoever makes it, sends only the others. */
/* The job is to be posted. 0, or -1 and a reason in why: it cannot be. */
int events_start(struct job *j, char *why, size_t size);
void events_save(struct job *j); /* before its result goes to Redis */
void events_forget(struct job *j);
void events_pump(struct dest *t); /* there are tokens again */

/* ---- settle.c: the job's result and text are set */
void settle_job(struct job *j, enum job_result result);
void settle_send(struct job *j);
void settle_pump(struct delivery *d); /* after a reconnect */

/* ---- watch.c: the queues' ticks, as metrics and logs */
void watch_start(struct lane *l);
void watch_second(struct delivery *d); /* blanks the gauges of a lost lease; a new allowance of log lines */

/* ---- pressure.c: how full Redis and its queues are, for those who send batches */
void pressure_second(struct delivery *d);
void pressure_link(struct delivery *d, struct link_recv *l); /* a new one hears what was said last */

/* ---- reap.c: what the dead left */
void reap_dead(struct delivery *d, const struct msg_reap *m);
void reap_second(struct delivery *d); /* another try */

#endif
