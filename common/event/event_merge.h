/* event_merge - two objects as one, as Segment's API merges a batch's `context` and `integrations` into its events. Pure. */
#ifndef DRAY_COMMON_EVENT_EVENT_MERGE_H
#define DRAY_COMMON_EVENT_EVENT_MERGE_H

#include <stdbool.h>

#include "common/base/buf.h"
#include "common/event/json.h"

#define EVENT_MERGE_MEMBERS_MAX 64 /* of the batch's object: each is looked for in each event */

/* Has this object few enough members? */
bool event_merge_fits(const struct json_slice *common);
/* Appends own with those members of common (which fits) that it does not have. Both are validated objects. 0, or -1 with
 * EMSGSIZE or ENOMEM. */
int event_merge_write(const struct json_slice *own, const struct json_slice *common, struct buf *out);

#endif
