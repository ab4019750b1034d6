/* job_cmd - what the files of dray job share. */
#ifndef DRAY_MASTER_CLI_JOB_CMD_H
#define DRAY_MASTER_CLI_JOB_CMD_H

#include "common/queue/admin.h"
#include "master/cli/cli.h"

struct job_add_options {
    struct queue_add_options add;
    const char *data; /* JSON, @FILE or -; NULL: {} */
    const char *backoff, *remove_on_complete, *remove_on_fail;
    bool is_repeated;
    struct queue_repeat repeat;
    const char *repeat_start, *repeat_end; /* 2027-01-31, 2027-01-31T12:00:00Z */
    bool create;                           /* the queue need not be known */
    bool json;
};

/* job_repeat.c: dray job repeats QUEUE, dray job unrepeat QUEUE KEY... */
int job_repeat_list(const struct cli *cli, const char *queue);
int job_repeat_end(const struct cli *cli, const char *queue, char **keys, size_t n);
/* The texts of a repetition's options; makes it one of o->add. EXIT_CODE_OK, or what to return; said. */
int job_repeat_read(struct job_add_options *o);

/* dray job add QUEUE: prints the new job's id. Returns the exit status; what is wrong was said. */
int job_add_run(const struct cli *cli, const char *queue, struct job_add_options *o);

#endif
