/* control - what children say on their control channels; a table by message type. */
#ifndef DRAY_MASTER_CONTROL_H
#define DRAY_MASTER_CONTROL_H

#include "master/slot.h"

/* Takes over fd, the master's end. */
struct chan *control_open(struct slot *s, int fd);
void control_close(struct slot *s);

#endif
