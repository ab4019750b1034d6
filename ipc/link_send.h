/* link_send - the sending half of a batch link: window, credit, acks, and what happens when the worker is gone.
 *
 * Two private pipes join one incarnation of a sender with one of a worker. A batch handed to a link stays the
 * owner's; the link lists it until STORED, REFUSED or the end. EPIPE stops the writing only: acks are read to EOF
 * first, and then the rest is returned in order (returning at SIGCHLD instead was measured at 255 to 315 duplicates
 * in 6,000 batches, against 3 to 23 this way).
 */
#ifndef DRAY_IPC_LINK_SEND_H
#define DRAY_IPC_LINK_SEND_H

#include <ev.h>
#include <stdbool.h>

#include "common/base/buf.h"
#include "common/base/id.h"
#include "common/base/list.h"
#include "ipc/frame.h"
#include "ipc/msg.h"

/* What a body may hold at most: the frame's cap less the head. */
#define LINK_BODY_MAX (FRAME_BATCH_MAX - MSG_BATCH_HEAD_MAX)

/* Embedded in the owner's batch; zeroed before its first use. source is shorter than MSG_NAME_MAX, queue than
 * MSG_QUEUE_MAX, order_key than MSG_KEY_MAX, body holds n_events (1 or more), body and tail at most LINK_BODY_MAX bytes
 * together: anything else is the owner's bug (panic). */
struct link_batch {
    struct list link; /* in the link's list while it is in flight */
    char id[ID_SIZE];
    uint32_t tries;                         /* times it was in hand at a death; the owner counts */
    const char *source, *queue, *order_key; /* the owner's, as long as the batch lives */
    uint32_t flags;                         /* MSG_BATCH_* */
    uint32_t n_events;
    struct buf body;      /* msg_pack_event pieces; not changed while in flight */
    struct buf tail;      /* empty, or ended by msg_tail_end; the same */
    uint32_t seen;        /* stored: events that were left out, because they had been stored before */
    struct link_send *on; /* the link it is in flight on, or NULL */
    bool was_read;        /* returned: the worker had read all of it, and may have died of it */
};

struct link_send;

struct link_send_events {
    void (*stored)(struct link_send *l, struct link_batch *b, bool duplicate, void *arg);
    void (*refused)(struct link_send *l, struct link_batch *b, bool temporary, uint32_t retry_after_ms,
                    const char *why, void *arg);
    /* Of a spool: HOLD or FILL; NULL: such a message is a broken stream. */
    void (*told)(struct link_send *l, const struct msg *m, void *arg);
    /* More room than before (credit came, a batch was answered); at most once per read of acks. Puts made here are
     * written at the end of the loop turn, so there is no recursion. */
    void (*ready)(struct link_send *l, void *arg);
    /* The worker is gone and its acks are read to the end: returned is the list of what it had not answered, in the
     * order it was sent; the handler empties it. clean: nothing was left and no frame was torn or broken. The link is
     * freed by its owner, in the call or after it. */
    void (*gone)(struct link_send *l, struct list *returned, bool clean, void *arg);
    /* What became of a batch that was stored with MSG_BATCH_TELL, or that was asked for by link_send_follow. May be NULL. */
    void (*delivered)(struct link_send *l, const struct msg_delivered *d, void *arg);
    /* What the worker knows of its Redis. May be NULL. */
    void (*pressure)(struct link_send *l, const struct msg_pressure *p, void *arg);
};

/* Takes over both descriptors. generation: of the worker's incarnation, put in every message and checked in acks. */
struct link_send *link_send_new(struct ev_loop *loop, int batch_fd, int ack_fd, uint32_t slot,
                                uint32_t generation, const struct link_send_events *events, void *arg);
void link_send_free(struct link_send *l); /* must have nothing in flight */

/* May this batch be sent now: alive, credit for one more batch, and bytes (a batch bigger than the whole byte credit
 * may go when nothing else is in flight). */
bool link_send_may(const struct link_send *l, size_t bytes);
/* Lists the batch; it is written at the end of this loop turn, together with others. Nothing in it may change
 * while it is in flight. The caller has asked link_send_may. */
void link_send_put(struct link_send *l, struct link_batch *b);
/* Asks this worker to tell what becomes of a batch that another has stored. Written at the end of the loop turn. False: the
 * link is ending, or there is no memory. */
bool link_send_follow(struct link_send *l, const char *id, const char *queue);
/* Sends END behind what was put; answers are still awaited, then gone comes. Done by itself when the worker says
 * LEAVE (ready is not called any more; gone follows). */
void link_send_end(struct link_send *l);
/* Answers a HOLD. */
void link_send_held(struct link_send *l, const char *queue, uint32_t number);
/* fn("batch", id) of everything in flight; reads only. */
void link_send_each(const struct link_send *l, void (*fn)(const char *what, const char *id));
size_t link_send_in_flight(const struct link_send *l); /* batches */
size_t link_send_bytes_in_flight(const struct link_send *l);
bool link_send_alive(const struct link_send *l);  /* not yet seen to be broken or ended */
bool link_send_open(const struct link_send *l);   /* alive, and the worker grants credit at all */
bool link_send_ending(const struct link_send *l); /* END was asked for, or the worker is leaving in order */
uint32_t link_send_slot(const struct link_send *l);
uint32_t link_send_generation(const struct link_send *l);

#endif
