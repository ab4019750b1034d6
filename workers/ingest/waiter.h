/* waiter - the requests that wait until their events are stored.
 *
 * A request's events may stand in several batches; it is answered when the last part is done (or at once when one has
 * failed for good, or when the time is up: then the parts go on without it). The clock is the loop's.
 */
#ifndef DRAY_WORKERS_INGEST_WAITER_H
#define DRAY_WORKERS_INGEST_WAITER_H

#include <ev.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/base/list.h"
#include "common/event/event.h"

struct http_request;
struct source;
struct waiter;

enum waiter_outcome {
    WAITER_DONE,     /* everything is stored or in quarantine */
    WAITER_FAILED,   /* a part could not be made durable */
    WAITER_TIMEOUT,  /* the outcome is unknown */
    WAITER_DRAIN,    /* this process ends before the outcome is known */
    WAITER_ACCEPTED, /* ack: delivered: everything is kept for good; whether it was delivered is not known */
    WAITER_REJECTED, /* ack: delivered: stored, and failed for good at a destination: waiter.rejection */
};

struct waiter_part {
    struct list link; /* in a batch's parts */
    struct waiter *waiter;
};

struct waiter {
    struct list link;             /* in order of their time-out, while there is a request */
    struct http_request *request; /* NULL: answered or gone */
    struct source *source;
    double deadline;
    uint32_t outstanding; /* parts, and its maker until waiter_sealed */
    uint32_t undelivered; /* parts that are stored, and of which it is not known what became of them */
    bool failed;
    bool tell;       /* stored is not enough: it waits for the delivery */
    bool unsure;     /* of some part nobody will know */
    bool is_told;    /* everything is stored: it stands among those that wait for the delivery alone */
    char *rejection; /* why a destination will not have it; NULL: none said so */
    uint32_t accepted, quarantined; /* events */
    enum event_fault fault;         /* of the first quarantined one */
    struct waiter_part first;       /* saves an allocation in most cases */
    bool first_used;
    struct waiter_set *set;
};

/* Answers w->request; afterwards the request is forgotten. */
typedef void (*waiter_answer_fn)(struct waiter *w, enum waiter_outcome outcome, void *arg);

struct waiter_set {
    struct ev_loop *loop;
    ev_timer timer;
    double timeout; /* seconds */
    struct list waiting;
    ev_timer told_timer; /* the same of those whose events are stored and not delivered */
    double told_timeout;
    struct list told;
    struct list pool;
    size_t n_pool;
    waiter_answer_fn answer;
    void *arg;
};

void waiter_set_init(struct waiter_set *s, struct ev_loop *loop, uint64_t timeout_ms, waiter_answer_fn answer,
                     void *arg);
/* Who waits already is given so much more or less, too. told: the time for delivery, behind that for storing. */
void waiter_set_timeout(struct waiter_set *s, uint64_t timeout_ms);
void waiter_set_told_timeout(struct waiter_set *s, uint64_t timeout_ms);
void waiter_set_fini(struct waiter_set *s);
/* Answers everybody who waits; who waits for the delivery alone is accepted. */
void waiter_answer_all(struct waiter_set *s, enum waiter_outcome outcome);
void waiter_accept_told(struct waiter_set *s); /* only the latter */

struct waiter *waiter_new(struct waiter_set *s, struct http_request *r, struct source *source);
/* w waits for the batch whose parts these are (once a batch). */
void waiter_join(struct waiter *w, struct list *parts);
/* w waits for something else, which calls waiter_release. */
void waiter_hold(struct waiter *w);
void waiter_release(struct waiter *w, bool failed);
/* All parts are known: the maker's own hold ends. w may be gone afterwards. */
void waiter_sealed(struct waiter *w);
/* The client is gone. */
void waiter_aborted(struct waiter *w);
/* The batch of these parts is stored, and what becomes of it will be told: only those who wait for that stay in the list. */
void waiter_parts_stored(struct list *parts);
/* It was told: the list is empty afterwards. outcome: DONE, ACCEPTED, or REJECTED for the reason in why. */
void waiter_parts_delivered(struct list *parts, enum waiter_outcome outcome, const char *why);
/* The batch of these parts was refused by its destination for good, before it was stored; the list is empty afterwards. */
void waiter_parts_rejected(struct list *parts, const char *why);
/* The batch of these parts is done, and nobody will tell more; the list is empty afterwards. */
void waiter_parts_done(struct list *parts, bool failed);

#endif
