/* reload - the configuration: handing it to children, and changing it while everything runs. */
#ifndef DRAY_MASTER_RELOAD_H
#define DRAY_MASTER_RELOAD_H

#include "common/base/buf.h"
#include "common/conf/conf.h"

struct master;

/* Seals m->conf into a memfd with its SHA-256. 0, or -1 after logging. */
int reload_seal(struct master *m);
/* Reads the file again and checks it whole: any error, and the old one stays (the lines go to the log and to errors).
 * Then every child is replaced, one by one. Keys that only a restart of the master can change are named, and keep
 * their old value; kept (may be NULL) gets their names, one a line. */
enum exitcode reload_now(struct master *m, struct buf *errors, struct buf *kept);

/* The same, as soon as it may be: a signal that comes while it starts or replaces processes is not lost. */
void reload_later(struct master *m);

#endif
