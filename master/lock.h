/* lock - one running instance a run_dir: a lock that dies with its holder, and the holder's pid in the file. */
#ifndef DRAY_MASTER_LOCK_H
#define DRAY_MASTER_LOCK_H

#include "common/conf/conf.h"

struct master;

/* Makes run_dir and state_dir when missing and takes run_dir/lock. Returns the descriptor to keep, or -1 with *code
 * (75: already running, the line names the pid; 77: no permission) after logging. */
int lock_take(const struct conf *c, enum exitcode *code);

/* Each 60 s: is run_dir/lock still the file that is locked, and run_dir/control.sock still ours? What was removed is made
 * again, so that no second master starts beside this one; a lock that another one holds is told, and this one goes on.
 * Each loss is one critical line. Needs m->lock_fd and m->control_sock. */
void lock_watch(struct master *m);
void lock_unwatch(struct master *m);

/* The host's uuid and this master's run number, from state_dir/node; makes and updates the file. 0, or -1 after
 * logging. */
int lock_identity(const struct conf *c, char *node, uint64_t *run);

#endif
