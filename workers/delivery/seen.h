/* seen - events of a batch that Redis knows already are left out of it, before what remains is added. Pure. */
#ifndef DRAY_WORKERS_DELIVERY_SEEN_H
#define DRAY_WORKERS_DELIVERY_SEEN_H

#include <stdbool.h>

#include "common/base/buf.h"
#include "ipc/mpwalk.h"

/* Is the i-th digest that is not all 0 known? */
typedef bool (*seen_has_fn)(const void *arg, size_t i);

/* The events of a stored batch (a JSON array, as payload_write made it) as msg_pack_event pieces. 0, or -1 (ENOMEM,
 * EPROTO). */
int seen_unpack(const char *array, size_t len, struct buf *events);
/* Copies the events that are not known to left, and takes the digests of the others out of digests. Returns how many are
 * left, or -1 (ENOMEM, EPROTO: digests is as it was). */
long seen_leave_out(struct mpwalk events, uint32_t n_events, struct buf *digests, seen_has_fn has,
                    const void *arg, struct buf *left);

#endif
