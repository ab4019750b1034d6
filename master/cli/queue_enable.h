/* queue_enable - dray queue enable NAME: a destination that was disabled, or whose circuit is open, is sent to again at once,
 * in the whole fleet; dray queue disable NAME: nothing is sent until then. */
#ifndef DRAY_MASTER_CLI_QUEUE_ENABLE_H
#define DRAY_MASTER_CLI_QUEUE_ENABLE_H

#include "master/cli/queue_place.h"

bool queue_enable_has(const char *verb);
/* Returns the exit status. */
int queue_enable_run(struct queue_session *s, const char *verb, const char *name, bool json, bool quiet);

#endif
