/* job_show - finds a job by its id in all queues, and shows it. */
#ifndef DRAY_MASTER_CLI_JOB_SHOW_H
#define DRAY_MASTER_CLI_JOB_SHOW_H

#include "master/cli/queue_look.h"
#include "master/cli/queue_place.h"

/* Looks in the queues of these names (queue: in this one alone, may be NULL) and prints the job. EXIT_CODE_OK;
 * EXIT_CODE_NOT_RUNNING: there is none, nothing was said; else what is wrong was said, as verb: also that several queues
 * have a job of this id. */
int job_show_find(struct queue_look *l, const struct conf *c, const char *verb, const json_t *names,
                  const char *queue, const char *id, bool json);

#endif
