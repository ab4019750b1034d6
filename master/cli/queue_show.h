/* queue_show - what dray queue ls, dray queue show and dray job show print. */
#ifndef DRAY_MASTER_CLI_QUEUE_SHOW_H
#define DRAY_MASTER_CLI_QUEUE_SHOW_H

#include "master/cli/cli.h"

/* what: a queue's name or a job's id; NULL: all queues. Returns the exit status; all is said. */
int queue_show_run(const struct cli *o, const char *what);

#endif
