/* flush - FLUSH from the master: every batch that is here now is sent on, and FLUSHED said when the last of them has
 * left: stored in Redis, or set aside in the quarantine. What comes later waits for nothing. */
#ifndef DRAY_WORKERS_INGEST_FLUSH_H
#define DRAY_WORKERS_INGEST_FLUSH_H

#include "workers/ingest/ingest.h"

void flush_begin(struct ingest *g, uint32_t id);
/* The batch of this number is not here any more. */
void flush_batch_gone(struct ingest *g, uint64_t number);

#endif
