/* gate - the order of one ordered queue: of its batches, from all sources, one at a time is under way.
 *
 * A batch has its place in line from its opening on. The first in line goes when nothing is out; what stands behind it
 * gathers on as long as it has room, however old it is. What is out keeps the gate, whatever becomes of it, until it is
 * done or set aside. The gates of one destination keep step: while a batch of any of them is out, a young one waits at
 * its own gate for company, or each partition would send crumbs. Used by batch.c, which owns the batches; fanout.c asks
 * for the lanes.
 */
#ifndef DRAY_WORKERS_INGEST_GATE_H
#define DRAY_WORKERS_INGEST_GATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/list.h"
#include "ipc/msg.h"

/* Open batches wait so many times as long as those of other queues: for the round to end. */
#define GATE_PATIENCE 10

struct batch_lane;

/* Of all gates of one destination: a round lasts from the first batch that goes to the moment when none is out. */
struct gate_step {
    unsigned out;       /* batches that are not done */
    size_t waiting;     /* events in open batches */
    size_t gone;        /* events that went in this round, or in the last one */
    size_t due;         /* events that may be expected before the next round: the last one's, and what waited */
    double began, over; /* of the last round; seconds */
};

struct gate {
    char queue[MSG_QUEUE_MAX]; /* as it stands in the messages */
    struct list line;          /* struct gate_place, in the order of opening; one that is out is not in it */
    struct list lanes; /* struct batch_lane of the sources that have something here; last used first */
    size_t n_closed;   /* in line */
    struct gate_place *out;
    struct gate_step *step;
    bool spooled;     /* batches of it lie in the spool, or may: newer ones go there too (spooling.h) */
    uint32_t told_by; /* the generation of the spool process that has told so */
};

struct gate_place { /* in a batch; zeroed for one of a queue without order */
    struct list link;
    bool closed; /* nothing more comes into it */
    bool due;    /* open, but old enough to go */
};

/* step: zeroed at first, the same for all gates of a destination, and outlives them. */
void gate_init(struct gate *g, const char *queue, struct gate_step *step);
void gate_fini(struct gate *g); /* frees its lanes; nothing may be in line or out */
/* The lane of a source (its text is the caller's, and the same pointer each time); made when there is none. NULL with
 * ENOMEM. It lives while it has batches. */
struct batch_lane *gate_lane(struct gate *g, const char *source);
void gate_lane_done(struct batch_lane *lane); /* the last batch of it is gone */

void gate_join(struct gate *g, struct gate_place *p); /* opened: p is the last in line */
void gate_close(struct gate *g, struct gate_place *p, size_t events);
/* Whose turn it is: out now if it is closed, else to be closed. NULL: something is out, or the first in line may still
 * wait for company. */
struct gate_place *gate_next(const struct gate *g);
void gate_go(struct gate *g, struct gate_place *p, size_t events, double now); /* the first in line, closed: p is out */
/* p keeps nobody waiting any more. Nothing happens when that was so before. */
void gate_leave(struct gate *g, struct gate_place *p, double now);
/* Those that were just answered send again: until when a round that could begin waits for them. */
double gate_company(const struct gate_step *s);
/* Nothing is out, and p is the first in line. */
bool gate_first(const struct gate *g, const struct gate_place *p);

#endif
