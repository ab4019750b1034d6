/* reap - the death of a child: the only wait of the master, the obituary, and what a dead delivery process held. */
#ifndef DRAY_MASTER_REAP_H
#define DRAY_MASTER_REAP_H

#include "ipc/msg.h"
#include "master/slot.h"

struct master;

/* Installs the one ev_child (pid 0: libev waits for all children anyway). */
void reap_start(struct master *m);

/* A dead token: its jobs are handed back by a sibling, or by its successor when there is none. */
struct reap_job {
    struct list link;
    struct msg_reap reap;
    uint32_t assigned; /* generation of the process that was asked, 0: nobody yet */
};

/* Everything that earlier masters of this host left behind. Called once at the start. */
void reap_earlier_runs(struct master *m);
/* Gives unassigned jobs to a process that is up; those of a dead assignee again. */
void reap_assign(struct master *m);
/* From the state of a predecessor in this pid. */
void reap_restore(struct master *m, const struct reap_job *job);
/* Children that died while nobody heard of it are found at the next turn. */
void reap_missed(struct master *m);
void reap_done(struct master *m, const struct msg_reaped *r);
void reap_stop(struct master *m);

#endif
