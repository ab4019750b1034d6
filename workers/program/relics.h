/* relics - what programs leave behind: processes that they started and that outlive them, and a whole program whose
 * keeper was killed. This process is a subreaper: whoever loses its parent below it becomes its own child.
 */
#ifndef DRAY_WORKERS_PROGRAM_RELICS_H
#define DRAY_WORKERS_PROGRAM_RELICS_H

#include <stdbool.h>
#include <sys/types.h>

/* Reaps what has ended. Is a child left that lives? */
bool relics_remain(void);
/* A signal to every child of this process. */
void relics_signal(int signo);

/* The note of a running program: RUN_DIR/program.ID.pid, "PID STARTED KEEPER STARTED". -1 with errno. */
int relics_note(const char *path, pid_t program);
void relics_unnote(const char *path);

enum relics_state {
    RELICS_NONE, /* nothing of an earlier program is there */
    RELICS_KEPT, /* it lives, and so does its keeper, which will end it */
    RELICS_LOST, /* it, or what it started, lives without a keeper: SIGKILL was sent */
};
enum relics_state relics_look(const char *path, const char *id);
#define RELICS_MARK                                                                                          \
    "DRAY_PROGRAM_ID" /* variable of every program, by which the lost ones that left its group are known */

/* Do other children of dray of this session still work: ingest, delivery and so on? */
bool relics_peers(void);

#endif
