/* spooling - when batches go to the spool process instead of a delivery process.
 *
 * A batch goes there when no delivery process has taken it for `spool.after`, or one has refused it for now; as long as
 * none grants credit at all, every later one follows at once. While batches of an ordered queue lie there (its gate is
 * `spooled`, told by HOLD), newer ones join them; until a spool process that is expected has told what it holds, those of
 * ordered queues wait. Costs nothing while all is well. */
#ifndef DRAY_WORKERS_INGEST_SPOOLING_H
#define DRAY_WORKERS_INGEST_SPOOLING_H

#include <ev.h>
#include <stdbool.h>
#include <stdint.h>

#include "ipc/msg.h"
#include "workers/ingest/batch.h"
#include "workers/ingest/links.h"

struct ingest;

struct spooling {
    struct link_set links;      /* to spool processes: one, or none while it is being replaced */
    struct list fifo;           /* batches that are to go there */
    bool expected, listed;      /* the configuration has a spool; it has told what it holds */
    bool wary;                  /* some gate is spooled, or must be thought to be */
    bool avoid;                 /* Redis is nearly full: everything goes to the spool, while that takes it */
    bool away;                  /* no delivery process takes anything */
    double refused_until;       /* one has refused a batch: the next ones go to the spool until then */
    size_t n_gates;             /* spooled */
    uint32_t generation;        /* of the process that tells */
    uint64_t bytes, max_bytes;  /* as it has told */
    ev_timer after;
    struct metric *spooled;
};

void spooling_init(struct ingest *g);
void spooling_tune(struct ingest *g); /* from the configuration */
void spooling_link(struct ingest *g, const struct msg_link *m, int batch_fd, int ack_fd);
/* Behind ready_pump, when something is left there or here. */
void spooling_pump(struct ingest *g);
/* A batch of an ordered queue was closed while `wary`: true, it is here. */
bool spooling_wants(struct ingest *g, struct batch *b);
/* Refused for now by a delivery process: true, it is here. */
bool spooling_takes(struct ingest *g, struct batch *b, uint32_t retry_after_ms);
/* Redis is nearly full; or: has room again. */
void spooling_avoid(struct ingest *g, bool full);
bool spooling_open(const struct ingest *g); /* the spool takes batches */
double spooling_fill(const struct ingest *g); /* the share of it that is used, as it has told */
/* Nothing is taken any more, here or there: requests are to be sent away at once. */
bool spooling_full(const struct ingest *g);

#endif
