/* demo_events - realistic customer events in the Segment specification's shape, the same ones for the same numbers. */
#ifndef DRAY_MASTER_CLI_DEMO_EVENTS_H
#define DRAY_MASTER_CLI_DEMO_EVENTS_H

#include "common/base/buf.h"

/* Appends the body of one request: {"batch": [events first .. first + n - 1], "sentAt": ...}. run begins every
 * messageId, so that two runs do not meet. 0, or -1 with errno. */
int demo_events_body(struct buf *out, const char *run, unsigned first, unsigned n);

#endif
