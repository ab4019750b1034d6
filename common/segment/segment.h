/* segment - append-only files of CRC32C'd records, fsync'ed by a helper thread, salvaged after a crash.
 *
 * The quarantine stands on it. A store is a folder of files NNNNNNNN.seg; each record is a head {magic, length,
 * wall_ms, CRC32C of all} and its bytes. A record is durable when its callback has been called. On opening, the last
 * file is cut behind its last good record; a damaged record in the middle is skipped and counted, never fatal.
 * One process writes a folder (flock).
 */
#ifndef DRAY_COMMON_SEGMENT_SEGMENT_H
#define DRAY_COMMON_SEGMENT_SEGMENT_H

#include <ev.h>
#include <stddef.h>
#include <stdint.h>

struct segment_options {
    const char *dir;
    uint64_t segment_bytes; /* a file is closed beyond it */
    uint64_t max_bytes;     /* of all files: above it segment_append fails with ENOSPC */
    uint64_t max_age_ms;    /* whole files older than that are removed; 0 = never */
    size_t record_max;
};

struct segment;

/* error 0: the record is on disk; else errno of the write or fsync. */
typedef void (*segment_synced_fn)(void *arg, int error);
typedef void (*segment_visit_fn)(uint64_t wall_ms, const void *data, size_t len, void *arg);

/* NULL with errno; EWOULDBLOCK: another process writes this folder. loop may be NULL: then segment_append syncs
 * before it returns. */
struct segment *segment_open(struct ev_loop *loop, const struct segment_options *o);
void segment_close(struct segment *s); /* waits for what is being synced; callbacks are called */
/* Writes one record; fn is called later on the loop. -1 with ENOSPC (max_bytes or the disk), EMSGSIZE, EIO. */
int segment_append(struct segment *s, const void *data, size_t len, segment_synced_fn fn, void *arg);
uint64_t segment_bytes(const struct segment *s);
uint64_t segment_damaged(const struct segment *s); /* records skipped or cut when opening */
/* Reads a folder without a writer's lock, oldest first. Returns records visited, or -1; damaged ones are counted in
 * *damaged. */
long segment_read(const char *dir, segment_visit_fn fn, void *arg, uint64_t *damaged);

#endif
