/* spawn - the birth of a child: the only fork of the master. */
#ifndef DRAY_MASTER_SPAWN_H
#define DRAY_MASTER_SPAWN_H

#include "master/slot.h"

/* Starts the program itself as `dray -x KIND -n SLOT` with the descriptors of ipc/fdmap.h and its own process group;
 * fills in the slot's generation, pid, chan and log. 0, or -1 with errno and nothing left open. */
int spawn_child(struct slot *s);

#endif
