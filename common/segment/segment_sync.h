/* segment_sync - the helper thread of a store: it calls fsync, so that the event loop never waits for the disk.
 *
 * Everything that was written while one fsync ran is covered by the next one (group commit). Callbacks run on the
 * event loop. */
#ifndef DRAY_COMMON_SEGMENT_SEGMENT_SYNC_H
#define DRAY_COMMON_SEGMENT_SEGMENT_SYNC_H

#include <stdbool.h>

#include "common/segment/segment.h"

struct segment_sync;

/* sync is what is called for a file; dir_fd is synced as well when a file is new. Two fsyncs begin at least interval_ms apart. broken is called on the loop, before
 * the callbacks, when fsync failed for fd: nothing more may be appended there (the kernel forgets a failed page).
 * NULL with errno when the thread cannot be made. */
struct segment_sync *segment_sync_new(struct ev_loop *loop, segment_sync_fn sync, int dir_fd,
                                      uint64_t interval_ms, void (*broken)(int fd, void *arg), void *arg);
void segment_sync_free(
    struct segment_sync *y); /* does what is queued, calls the callbacks, ends the thread */
/* -1 with ENOMEM. */
int segment_sync_put(struct segment_sync *y, int fd, bool new_file, segment_synced_fn fn, void *arg);
void segment_sync_close(struct segment_sync *y, int fd); /* once all that was put for it is done */

#endif
