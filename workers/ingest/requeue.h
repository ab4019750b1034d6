/* requeue - what becomes of a batch that a worker did not store: sent again, parked, or set aside in the quarantine.
 *
 * A batch that was in hand at two deaths travels alone; at the third it is set aside as poison, and its requests get
 * their 2xx once that is on disk: it is kept where a person can see it, while an error would make the sender bring it
 * back to kill three more workers. An orderly end of a worker is no death, and what it had not read was not in its
 * hand. */
#ifndef DRAY_WORKERS_INGEST_REQUEUE_H
#define DRAY_WORKERS_INGEST_REQUEUE_H

#include "workers/ingest/ingest.h"

/* The batches that a link gives back, in the order they were sent; the list is empty afterwards. */
void requeue_returned(struct ingest *g, struct list *returned, bool clean);
void requeue_refused(struct ingest *g, struct batch *b, bool temporary, uint32_t retry_after_ms,
                     const char *why);
/* Tries again to set aside what the quarantine could not take before. */
void requeue_set_aside(struct ingest *g);

#endif
