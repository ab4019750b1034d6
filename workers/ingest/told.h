/* told - batches that are stored and whose senders wait for the delivery (ack: delivered).
 *
 * A worker of this host has promised to tell what becomes of each (DELIVERED). When its link is gone another is asked
 * (FOLLOW); while there is none they wait, and so do their requests, until ingest.delivered_timeout. Nothing here is needed
 * for the events themselves: Redis has them. */
#ifndef DRAY_WORKERS_INGEST_TOLD_H
#define DRAY_WORKERS_INGEST_TOLD_H

#include "workers/ingest/ingest.h"

/* b was stored on l: its parts that wait for more stand here now, the others are done. The caller frees b. */
void told_begin(struct ingest *g, struct batch *b, struct link_send *l);
void told_delivered(struct ingest *g, const struct msg_delivered *d);
/* redis.mode: none: a destination refused b for good; who waits for it is told so now. */
void told_refused(struct ingest *g, struct batch *b, const char *why);
/* The link is gone. */
void told_link_gone(struct ingest *g, const struct link_send *l);
/* Asks for those that nobody follows; called at the end of each turn while there are any. */
void told_follow(struct ingest *g);

#endif
