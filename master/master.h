/* master - the supervisor as a whole: starts, watches, restarts, stops; never blocks, knows no HTTP and no Redis. */
#ifndef DRAY_MASTER_MASTER_H
#define DRAY_MASTER_MASTER_H

#include "common/conf/conf.h"

struct master_options {
    const char *config_path; /* NULL: defaults */
    const struct conf_override *overrides;
    size_t n_overrides;
    char **argv; /* for the process title and the re-exec */
};

/* Runs in the foreground until it is stopped; returns the exit code of the process. */
int master_run(const struct master_options *o);

#endif
