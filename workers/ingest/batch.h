/* batch - events gathered into batches: one open batch a lane (source and queue), closed by count, bytes or age; of an
 * ordered queue also handed on one by one, as its gate (gate.h) wants it.
 *
 * Open batches stand in the order of their opening; a closed one is handed to `closed` and is the receiver's until
 * batch_free. Every byte of a body is charged to the budget; every event counts as held until its batch is freed.
 */
#ifndef DRAY_WORKERS_INGEST_BATCH_H
#define DRAY_WORKERS_INGEST_BATCH_H

#include <ev.h>

#include "common/event/event.h"
#include "common/http/server.h"
#include "ipc/link_send.h"
#include "workers/ingest/gate.h"

#define BATCH_EVENT_OVERHEAD 512 /* most bytes that taking an event adds to its text */
#define BATCH_BODY_MAX       ((8u << 20) - 40960) /* the rest is for head and tail of the message */
#define BATCH_TAIL_MAX       32768

struct batch;

struct batch_lane {
    const char *source, *queue;
    struct batch *open;
    unsigned closed;   /* closed and not yet freed */
    struct gate *gate; /* NULL: the queue has no order */
    struct list link;  /* in the gate's lanes */
};

struct batch {
    struct link_batch lb; /* lb.link: in flight */
    struct list link;     /* open, late, ready or parked; of an ordered queue also none */
    struct gate_place place;
    struct list parts; /* struct waiter_part: the requests whose events are in it */
    struct batch_lane *lane;
    double due;      /* open: to be closed by then; parked: ready again then */
    double since;    /* it was closed */
    size_t charged;  /* to the budget */
    uint64_t number; /* ever rising */
};

struct batch_options {
    unsigned flush_at;
    double flush_interval; /* seconds */
    size_t max_bytes;
};

struct batch_set {
    struct batch_options o;
    struct http_budget *budget;
    struct ev_loop *loop;
    ev_timer flush;
    ev_timer company; /* of an ordered queue: a round may begin though not all have come back */
    struct list open; /* oldest first */
    struct list late; /* open too, their age is past: their gate is busy */
    struct list pool; /* freed ones, with their memory */
    size_t n_pool;
    size_t events; /* held in all batches that are not freed */
    size_t batches;
    uint64_t opened; /* number of the batch that was opened last */
    void (*closed)(struct batch *b, void *arg);
    void *arg;
};

void batch_set_init(struct batch_set *s, struct ev_loop *loop, const struct batch_options *o,
                    struct http_budget *budget, void (*closed)(struct batch *b, void *arg), void *arg);
/* From now on; batches that are open wait so much longer or shorter, too. */
void batch_set_options(struct batch_set *s, const struct batch_options *o);
void batch_set_fini(struct batch_set *s); /* open batches are freed; their parts must be gone */

/* The lane's open batch with room for an event of `bytes`; what was full is closed. NULL with ENOMEM. */
struct batch *batch_room(struct batch_set *s, struct batch_lane *lane, size_t bytes);
/* Takes the event into b, which batch_room gave; *text, *len: the event as it stands there, until the next call.
 * -1 with EMSGSIZE, ENOMEM: b is as it was. */
int batch_add(struct batch_set *s, struct batch *b, const struct event *e, const struct event_context *c,
              const char **text, size_t *len);
/* The same for the text of an event that was taken into another batch. */
int batch_copy(struct batch_set *s, struct batch *b, const char *text, size_t len);

/* The event that was taken last has this digest (ipc/msg.h). -1: no memory for it. */
int batch_tag(struct batch_set *s, struct batch *b, const unsigned char id[MSG_SEEN_ID]);
/* How many of its first events have a digest, or could have; and that of one of them, all 0 for none. */
static inline size_t batch_seen_ids(const struct batch *b)
{
    return b->lb.tail.len > MSG_TAIL_HEAD ? (b->lb.tail.len - MSG_TAIL_HEAD) / MSG_SEEN_ID : 0;
}
static inline const unsigned char *batch_seen_id(const struct batch *b, size_t i)
{
    return (const unsigned char *)b->lb.tail.data + MSG_TAIL_HEAD + i * MSG_SEEN_ID;
}
/* Completes the digests of a closed batch, before it is sent for the first time. -1: no memory; nothing has changed, and
 * as its tail is it cannot be sent. */
int batch_end_tail(struct batch *b);

void batch_close(struct batch_set *s, struct batch *b);
void batch_close_all(struct batch_set *s);
/* Closes the open batches of lanes that have nothing under way, of ordered queues those of destinations that have nothing
 * under way (called when some link has room). */
void batch_close_idle(struct batch_set *s);
/* A batch that was handed to `closed` will not go on its way: it keeps no other waiting. */
void batch_give_way(struct batch_set *s, struct batch *b);
/* A batch that was handed to `closed` is done with: in no list and without parts. */
void batch_free(struct batch_set *s, struct batch *b);

#endif
