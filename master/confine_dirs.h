/* confine_dirs - the folders of an instance whose children are not its master's user: each owns what it writes.
 *
 *   state_dir              master, others may pass     node
 *   state_dir/quarantine   ingest, 0711; spool.0 in it: spool, 0700
 *   state_dir/spool        spool, 0700
 *   state_dir/redis        program, 0700               and state_dir/redis.lock
 *   run_dir                master, others may pass     lock, control.sock (the master's alone), redis.sock -> redis/sock
 *   run_dir/redis          program, group of delivery  sock
 *
 * Done by root in folders of others: no link is followed, and only files of one name are given away.
 */
#ifndef DRAY_MASTER_CONFINE_DIRS_H
#define DRAY_MASTER_CONFINE_DIRS_H

#include "common/base/user.h"
#include "common/conf/conf.h"

struct confine_owners { /* NULL: it stays the master's user */
    const struct user *ingest, *delivery, *spool, *program;
};

/* 0, or -1 (told). */
int confine_dirs_give(const struct conf *c, const struct confine_owners *o);
/* Takes away what run_dir held for the managed Redis. */
void confine_dirs_clean(const struct conf *c);

#endif
