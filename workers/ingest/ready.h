/* ready - closed batches that wait for a link: first in, first out; and those that wait for a while first (parked). */
#ifndef DRAY_WORKERS_INGEST_READY_H
#define DRAY_WORKERS_INGEST_READY_H

#include <ev.h>

#include "workers/ingest/batch.h"
#include "workers/ingest/links.h"

#define READY_SUSPECT 2 /* deaths with it in hand: from then on a batch travels alone */

struct ready {
    struct ev_loop *loop;
    struct list fifo, parked; /* struct batch; parked: in order of due */
    ev_timer timer;
    size_t suspects; /* in fifo */
};

void ready_init(struct ready *r, struct ev_loop *loop);
void ready_fini(struct ready *r); /* both lists must be empty */
void ready_push(struct ready *r, struct batch *b);
void ready_push_front(struct ready *r, struct batch *b);
void ready_park(struct ready *r, struct batch *b, uint32_t ms);
/* Everything parked is ready at once. */
void ready_unpark(struct ready *r);
/* Sends what the links take. */
void ready_pump(struct ready *r, struct link_set *links);
/* Takes the first batch out, ready or parked; NULL at the end. */
struct batch *ready_pop(struct ready *r);

#endif
