/* confine - what a child is allowed from birth: its user, its limits, its environment, and who owns which folder.
 *
 * All of it is done between fork and exec (spawn.c), by calls that are safe there: so the program that is executed never
 * runs an instruction with more than it shall have, whatever it links or reads; it need not know its own user; and the
 * kernel's own rules for exec (no capability survives) come on top. What depends on the work, system calls and files,
 * the child does itself (workers/sandbox.h). No death signal is set here: a child that loses its master must drain
 * first (workers/child_boot.c has what is left of it).
 */
#ifndef DRAY_MASTER_CONFINE_H
#define DRAY_MASTER_CONFINE_H

#include <stdbool.h>
#include <sys/resource.h>

#include "common/base/user.h"
#include "master/slot.h"

struct confine_plan {
    bool changes_user;
    struct user user;
    rlim_t memory; /* RLIM_INFINITY: no limit */
    bool core;
    bool
        keeps_capabilities; /* those that the service manager gave (ambient): for what a program listens on */
    int oom_score_adj, nice;
    mode_t umask; /* 0: as the master's */
    char **environment;
};

/* At the start, once the folders are there and locked: looks the users up, gives each its folders. -1 with the exit code
 * (told). Nothing happens where no user is configured. */
int confine_start(struct master *m, enum exitcode *code);
void confine_stop(struct master *m);

/* In the master, before the fork. */
void confine_plan(const struct slot *s, struct confine_plan *p);
void confine_plan_end(struct confine_plan *p);
/* In the child. NULL, or the step that failed, with errno. */
const char *confine_apply(const struct confine_plan *p);

#endif
