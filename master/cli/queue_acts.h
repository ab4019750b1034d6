/* queue_acts - the verbs of dray queue that change something: pause, resume, retry, promote, clean, drain, obliterate,
 * repartition. */
#ifndef DRAY_MASTER_CLI_QUEUE_ACTS_H
#define DRAY_MASTER_CLI_QUEUE_ACTS_H

#include <stdbool.h>
#include <stdint.h>

#include "master/cli/queue_place.h"

struct queue_act_options {
    bool dry_run, yes, json, quiet;
    bool local;        /* pause, resume: only the running instance */
    bool delayed;      /* drain: those too */
    bool force;        /* obliterate: although jobs are active */
    const char *state; /* clean; NULL: completed */
    uint64_t grace_ms; /* clean */
    uint64_t limit;    /* 0: all */
};

bool queue_acts_has(const char *verb);
/* Counts before a bulk act, asks where something would be deleted, acts, tells. Returns the exit status. */
int queue_acts_run(struct queue_session *s, const char *verb, const char *name,
                   const struct queue_act_options *o);

#endif
