/* job_cmd - what the files of dray job share. */
#ifndef DRAY_MASTER_CLI_JOB_CMD_H
#define DRAY_MASTER_CLI_JOB_CMD_H

#include "common/queue/admin.h"
#include "master/cli/cli.h"

struct job_add_options {
    struct queue_add_options add;
    const char *data; /* JSON, @FILE or -; NULL: {} */
    const char *backoff, *remove_on_complete, *remove_on_fail;
    bool json;
};

/* dray job add QUEUE: prints the new job's id. Returns the exit status; what is wrong was said. */
int job_add_run(const struct cli *cli, const char *queue, struct job_add_options *o);

#endif
