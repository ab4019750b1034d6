/* link_recv - the receiving half of a batch link: reads batches, answers each, grants credit.
 *
 * A torn tail at EOF is thrown away: the sender is gone, or has kept its copy. An answer is one write of at most
 * PIPE_BUF bytes; what the pipe does not take waits in order.
 */
#ifndef DRAY_IPC_LINK_RECV_H
#define DRAY_IPC_LINK_RECV_H

#include <ev.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ipc/msg.h"

struct link_recv;

struct link_recv_events {
    /* A checked batch; it points into the link's buffer and is valid during the call only. */
    void (*batch)(struct link_recv *l, const struct msg_batch *b, void *arg);
    /* The sender heeds the HOLD of this number; NULL: a protocol error. */
    void (*held)(struct link_recv *l, const char *queue, uint32_t number, void *arg);
    void (*end)(struct link_recv *l, void *arg); /* END came: nothing more will */
    /* EOF or a broken stream (error 0, EPROTO, errno). Called once. The owner frees the link (later is fine: answers
     * to a gone link are dropped). */
    void (*gone)(struct link_recv *l, int error, const char *why, void *arg);
    /* The sender wants link_recv_delivered of this batch, which another worker has stored. May be NULL. */
    void (*follow)(struct link_recv *l, const struct msg_follow *f, void *arg);
};

/* Every callback may free the link. Takes over both descriptors. generation is this process' own, checked in batches and put in answers. */
struct link_recv *link_recv_new(struct ev_loop *loop, int batch_fd, int ack_fd, uint32_t generation,
                                const struct link_recv_events *events, void *arg);
void link_recv_free(struct link_recv *l);

/* The owner answers every batch exactly once. Answers of one loop turn go out together. More batches in hand than
 * were ever granted are a broken stream. Of several grants in one turn the last one counts. */
void link_recv_credit(struct link_recv *l, uint32_t batches, uint64_t bytes);
void link_recv_stored(struct link_recv *l, const char *id, bool duplicate);
/* The same; so many of its events were left out, because they had been stored before. */
void link_recv_stored_but(struct link_recv *l, const char *id, uint32_t seen);
void link_recv_refused(struct link_recv *l, const char *id, bool temporary, uint32_t retry_after_ms,
                       const char *why);
/* What became of a batch that is stored; no answer to it, and never before it. why: of a failure; it is cut. */
void link_recv_delivered(struct link_recv *l, const char *id, enum msg_outcome outcome, uint32_t status,
                         const char *why);
/* What this worker knows of its Redis; sent with the answers of this turn. */
void link_recv_pressure(struct link_recv *l, const struct msg_pressure *p);
/* Of the spool alone: HOLD and FILL (see msg.def), in the order of the calls and of the answers. */
void link_recv_hold(struct link_recv *l, const char *queue, bool held, uint32_t number);
void link_recv_fill(struct link_recv *l, uint64_t bytes, uint64_t max_bytes, bool listed);
/* The worker wants to go: no credit, and the sender is asked for its END; once that has come and everything is
 * answered and flushed, freeing the link is an orderly end that costs no batch a try. */
void link_recv_leave(struct link_recv *l);
size_t link_recv_in_hand(const struct link_recv *l); /* batches not answered yet */
/* All answers are in the pipe (or nobody is left to read them). */
bool link_recv_flushed(const struct link_recv *l);

#endif
