/* quarantine - what could not be taken: the raw bytes with reason, source and time, on disk, bounded by size and age.
 *
 * When it is full nothing is dropped: the caller refuses the request (503). A record is
 * {"ts":..,"reason":..,"source":..,"queue":..,"id":..,"bytes":N}\n followed by N raw bytes.
 */
#ifndef DRAY_COMMON_QUARANTINE_QUARANTINE_H
#define DRAY_COMMON_QUARANTINE_QUARANTINE_H

#include <ev.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/segment/segment.h"

#define QUARANTINE_BYTES_MAX (64u << 20) /* of one record; longer ones are EMSGSIZE */

struct quarantine;

/* dir is the instance's own folder (state_dir/quarantine/KIND.SLOT), made when missing. NULL with errno. */
struct quarantine *quarantine_open(struct ev_loop *loop, const char *dir, uint64_t max_bytes,
                                   uint64_t max_age_ms);
/* From now on. Nothing is removed for max_bytes: it is full then until age makes room. */
void quarantine_set_limits(struct quarantine *q, uint64_t max_bytes, uint64_t max_age_ms);
void quarantine_close(struct quarantine *q);
/* fn tells when it is durable. id and queue may be "". -1 with ENOSPC when it is full. */
int quarantine_put(struct quarantine *q, const char *reason, const char *source, const char *queue,
                   const char *id, const void *bytes, size_t len, segment_synced_fn fn, void *arg);
uint64_t quarantine_bytes(const struct quarantine *q);

struct quarantine_record {
    uint64_t wall_ms;
    const char *reason, *source, *queue, *id;
    const void *bytes;
    size_t len;
    const char *place; /* its name for quarantine_remove: "ingest.0/00000003/20480" */
};
typedef void (*quarantine_visit_fn)(const struct quarantine_record *r, void *arg);
/* All records of every folder below state_dir/quarantine. Returns how many, or -1. */
long quarantine_read(const char *root, quarantine_visit_fn fn, void *arg);
/* The sentence behind a reason; "" for one that is not known. */
const char *quarantine_reason_text(const char *reason);
#define QUARANTINE_PLACE_MAX 320 /* bytes of a place, with NUL */
bool quarantine_is_place(const char *text);
/* Takes out the records at these places (as read: those of a file stand together), whoever writes meanwhile, and deletes
 * the files that have become empty. Returns how many were there, or -1 with errno: some may be gone. */
long quarantine_remove(const char *root, const char *const *places, size_t n);

#endif
