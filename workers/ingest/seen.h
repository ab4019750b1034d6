/* seen - which events are in hand, by the digest of source and messageId: a repetition of one that is not stored yet
 * waits for that one's batch.
 *
 * Only what stands in batches that are not freed is known here; what was stored before is Redis' to tell (add.lua). The
 * key of a source's digests comes from its write key, so that hosts agree, and nobody without it can make another's
 * event look repeated. Fails open: without memory an event is merely not remembered.
 */
#ifndef DRAY_WORKERS_INGEST_SEEN_H
#define DRAY_WORKERS_INGEST_SEEN_H

#include <stdbool.h>

#include "common/base/siphash.h"
#include "common/event/event.h"
#include "common/http/server.h"
#include "ipc/msg.h"
#include "workers/ingest/batch.h"

struct seen_entry {
    unsigned char id[MSG_SEEN_ID];
    struct batch *batch; /* NULL: free place */
};

struct seen {
    struct http_budget *budget;
    struct seen_entry *entries;
    size_t size, n; /* a power of two, or 0 */
    uint64_t mix[3];
};

void seen_init(struct seen *s, struct http_budget *budget);
void seen_fini(struct seen *s);

/* The key of a source. write_key may be NULL. */
void seen_source_key(const char *source, const char *write_key, unsigned char key[SIPHASH_KEY]);
/* The digest of the event's messageId; false when its sender gave none. */
bool seen_id(const unsigned char key[SIPHASH_KEY], const struct event *e, unsigned char id[MSG_SEEN_ID]);

/* The batch of this lane that holds the event; NULL: none. */
struct batch *seen_find(const struct seen *s, const struct batch_lane *lane,
                        const unsigned char id[MSG_SEEN_ID]);
/* The event was just taken into b. false: no memory for that. */
bool seen_put(struct seen *s, struct batch *b, const unsigned char id[MSG_SEEN_ID]);
/* b is about to be freed: its events are in hand no more. */
void seen_forget(struct seen *s, const struct batch *b);

#endif
