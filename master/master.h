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

struct master;

/* Runs in the foreground until it is stopped; returns the exit code of the process. */
int master_run(const struct master_options *o);

/* The pieces of it, for one that takes over from a predecessor: an empty one (-1: no event loop); its life; its end. */
int master_init(struct master *m, const struct master_options *o);
void master_turn(struct master *m);
int master_end(struct master *m);

#endif
