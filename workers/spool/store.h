/* store - the spool's files: batches are appended, read back oldest first, and marked when they are done.
 *
 * A folder of segments (common/segment), each with a file of marks beside it (NNNNNNNN.done: offset and CRC32C of each
 * record that is done; not synced: what is lost of it is sent again, and known there as a duplicate). A file whose
 * records are all done is removed. What is no good record is copied to damaged-NNNNNNNN-OFFSET, counted and told, once.
 * Of a record on disk only its place is in memory. Knows no links and no queues: the owner gives each record a tag.
 */
#ifndef DRAY_WORKERS_SPOOL_STORE_H
#define DRAY_WORKERS_SPOOL_STORE_H

#include <ev.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/buf.h"
#include "common/segment/segment.h"
#include "ipc/msg.h"

struct store;

struct store_place {
    uint32_t number, index; /* of the file; of the record in it */
};

struct store_events {
    /* A batch of an earlier run; returns its tag. */
    uint32_t (*found)(const struct msg_batch *b, void *arg);
    /* A record cannot be read any more: it is done. */
    void (*lost)(struct store_place p, uint32_t tag, void *arg);
    /* Something was set aside; torn: the end of a file is cut off, as a crash in the middle of a write leaves it. */
    void (*damaged)(bool torn, void *arg);
};

struct store_limits {
    uint64_t segment_bytes, max_bytes, sync_interval_ms;
};

/* NULL with errno; EWOULDBLOCK: another process has the folder. store_scan must be called until it says false before
 * anything else is. */
struct store *store_open(struct ev_loop *loop, const char *dir, const struct store_limits *limits,
                         const struct store_events *events, void *arg);
void store_set_limits(struct store *s, const struct store_limits *limits);
void store_close(struct store *s); /* what is being synced is told first; NULL is fine */
/* Reads one file of an earlier run; true: there are more. */
bool store_scan(struct store *s);

/* Appends b; synced is called later on the loop: error 0, the batch is on disk, and may be read back from now on; else it
 * is as if it had never been put. -1 with errno (ENOSPC: full). */
int store_put(struct store *s, const struct msg_batch *b, uint32_t tag, segment_synced_fn synced, void *arg);
/* The oldest batch that was not read back yet: *b points into record. 1; 0: there is none; -1: not now (errno). */
int store_next(struct store *s, struct buf *record, struct msg_batch *b, struct store_place *p, uint32_t *tag,
               uint64_t *wall_ms);
void store_done(struct store *s, struct store_place p);
/* Writes the marks of what was done since the last call; removes files that are done. */
void store_write_marks(struct store *s);
/* The file being written goes too, if nothing in it is left. */
void store_tidy(struct store *s);

uint64_t store_bytes(const struct store *s);
size_t store_records(const struct store *s); /* put and not done */
/* No record that was put so far stands behind it. */
struct store_place store_end(const struct store *s);
static inline bool store_before(struct store_place a, struct store_place b)
{
    return a.number < b.number || (a.number == b.number && a.index < b.index);
}

#endif
