/* queue_repartition - dray queue repartition NAME. */
#ifndef DRAY_MASTER_CLI_QUEUE_REPARTITION_H
#define DRAY_MASTER_CLI_QUEUE_REPARTITION_H

#include "master/cli/queue_place.h"

/* Writes the configured mode and partitions into Redis, if nobody works on the queue (force: although somebody does) and
 * nothing waits in it. Returns the exit status; all is said. */
int queue_repartition_run(struct queue_session *s, const char *name, bool force);

#endif
