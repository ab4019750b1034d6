/* spawn - the birth of a child: the only fork of the master. */
#ifndef DRAY_MASTER_SPAWN_H
#define DRAY_MASTER_SPAWN_H

#include "master/slot.h"

/* Starts the program itself as `dray -x KIND -n SLOT` with the descriptors of ipc/fdmap.h and its own process group;
 * fills in the slot's generation, pid, chan and log. 0, or -1 with errno and nothing left open. */
int spawn_child(struct slot *s);

/* Starts the program behind exe_fd as `dray -x preflight`; fds[0] and fds[1] are its descriptors 4 and 5. 0 with its pid
 * and the near ends of its control socket and log pipe, or -1 with errno. One that cannot be executed says so itself. */
int spawn_preflight(struct master *m, int exe_fd, const int fds[2], pid_t *pid, int *control, int *log);

#endif
