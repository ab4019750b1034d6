/* queue_show - what dray queue ls, dray queue show and dray job show print. */
#ifndef DRAY_MASTER_CLI_QUEUE_SHOW_H
#define DRAY_MASTER_CLI_QUEUE_SHOW_H

#include "master/cli/cli.h"
#include "master/cli/queue_look.h"

enum queue_show { QUEUE_SHOW_ALL, QUEUE_SHOW_ONE, QUEUE_SHOW_JOB };
/* One: what is a queue's name, or a job's id. Job: what is a job's id; queue: only there (NULL: anywhere). Returns the
 * exit status; all is said. */
int queue_show_run(const struct cli *o, enum queue_show kind, const char *what, const char *queue);
/* One JSON text and a newline on stdout. */
void queue_show_json(const json_t *j);
/* Says that Redis failed over this queue (NULL: over none), and returns the exit status: EXIT_CODE_FAILURE when it goes
 * on answering, EXIT_CODE_UNREACHABLE when it does not. */
int queue_show_failed(const struct queue_look *l, const char *verb, const char *queue);

#endif
