/* segment - append-only files of CRC32C'd records, fsync'ed by a helper thread, salvaged after a crash.
 *
 * The quarantine and the spool stand on it. A store is a folder of files NNNNNNNN.seg; each record is a head {magic, length,
 * wall_ms, CRC32C of all} and its bytes. A record is durable when its callback has been called. On opening, the last
 * file is cut behind its last good record; a damaged record in the middle is skipped and counted, never fatal.
 * One process writes a folder (flock).
 */
#ifndef DRAY_COMMON_SEGMENT_SEGMENT_H
#define DRAY_COMMON_SEGMENT_SEGMENT_H

#include <ev.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#define SEGMENT_FILE_MAX                                                                                     \
    (192u << 20)         /* segment_bytes + record_max must stay below it: a file is read whole */
#define SEGMENT_PIECES 4 /* of one record */

struct segment_options {
    const char *dir;
    uint64_t segment_bytes; /* a file is closed beyond it */
    uint64_t max_bytes;     /* of all files: above it segment_append fails with ENOSPC */
    uint64_t max_age_ms;    /* whole files older than that are removed; 0 = never */
    size_t record_max;
    uint64_t sync_interval_ms; /* shortest time between two fsyncs, so that more share one; 0 = none */
    /* Files of an earlier run are neither repaired nor gone on with: the caller reads them, and removes files. */
    bool keep_old;
};

struct segment;

/* error 0: the record is on disk; else errno of the write or fsync. */
typedef void (*segment_synced_fn)(void *arg, int error);
typedef void (*segment_visit_fn)(uint64_t wall_ms, const void *data, size_t len, void *arg);

/* NULL with errno; EWOULDBLOCK: another process writes this folder. The folder is made when missing. loop may be
 * NULL: then segment_append syncs before it returns. */
struct segment *segment_open(struct ev_loop *loop, const struct segment_options *o);
void segment_set_limits(struct segment *s, uint64_t segment_bytes, uint64_t max_bytes, uint64_t max_age_ms);
void segment_close(struct segment *s); /* waits for what is being synced; callbacks are called */
/* Writes one record; fn (may be NULL) is called later on the loop, never from inside (without a loop: before the
 * return). -1 with ENOSPC (max_bytes or the disk), EMSGSIZE, EIO: nothing was written, fn is not called. */
int segment_append(struct segment *s, const void *data, size_t len, segment_synced_fn fn, void *arg);
/* The same for a record in up to SEGMENT_PIECES pieces. */
int segment_appendv(struct segment *s, const struct iovec *pieces, size_t n, segment_synced_fn fn, void *arg);
/* Where the record that was appended last begins. */
void segment_last(const struct segment *s, uint32_t *number, uint32_t *offset);
/* The file being written is closed: the next record begins another. What is being synced still is. */
void segment_rotate(struct segment *s);
/* The number of the file being written; 0: none is. */
uint32_t segment_current(const struct segment *s);
/* Removes a file that is not being written. -1 with errno; it is not the store's any more, even so. */
int segment_drop(struct segment *s, uint32_t number);
/* The bytes of a file, malloc'ed. -1 with errno. */
int segment_load(const struct segment *s, uint32_t number, unsigned char **data, size_t *len);
/* The folder, for what else its owner keeps there. */
int segment_dir(const struct segment *s);
uint64_t segment_bytes(const struct segment *s);
uint64_t segment_damaged(const struct segment *s); /* records skipped or cut in the last file when opening */
/* Removes whole files older than max_age_ms; done by itself at every append and, with a loop, once a minute. */
void segment_expire(struct segment *s);
/* Reads a folder without a writer's lock, oldest first. Returns records visited, or -1; damaged ones are counted in
 * *damaged (a record that is being written right now may be one of them). */
long segment_read(const char *dir, segment_visit_fn fn, void *arg, uint64_t *damaged);

/* The same; each record's place, for segment_remove. */
typedef void (*segment_place_fn)(uint32_t file, size_t offset, uint64_t wall_ms, const void *data, size_t len,
                                 void *arg);
long segment_visit(const char *dir, segment_place_fn fn, void *arg, uint64_t *damaged);
/* These records of a file are read no more, whoever writes the folder meanwhile. Returns how many were there, or -1. */
long segment_remove(const char *dir, uint32_t file, const size_t *offsets, size_t n);
/* Deletes files that hold nothing but removed records; not the last one of a folder that is being written. Returns how
 * many, or -1. */
long segment_sweep(const char *dir);

/* The seam for tests of a bad disk; NULL restores the system's call. */
typedef ssize_t (*segment_write_fn)(int fd, const struct iovec *iov, int n);
typedef int (*segment_sync_fn)(int fd);
void segment_replace(segment_write_fn write, segment_sync_fn sync);

#endif
