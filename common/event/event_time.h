/* event_time - the times that senders write: RFC 3339, as JavaScript's toISOString() and its relatives. Pure. */
#ifndef DRAY_COMMON_EVENT_EVENT_TIME_H
#define DRAY_COMMON_EVENT_EVENT_TIME_H

#include <stdint.h>

#include "common/event/json.h"

/* A JSON string "2026-11-21T02:41:28.123Z": seconds may have a fraction (cut to milliseconds) or be absent, the zone is Z or
 * +hh:mm, a blank may stand for the T. Milliseconds since 1970; -1 with EINVAL for anything else, and for what was
 * before. */
int event_time_parse(const struct json_slice *string, uint64_t *wall_ms);

#endif
