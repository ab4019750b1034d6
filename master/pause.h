/* pause - queues from which the delivery processes of this instance take nothing, until it is restarted. */
#ifndef DRAY_MASTER_PAUSE_H
#define DRAY_MASTER_PAUSE_H

#include <stdbool.h>

struct master;
struct slot;

/* name: of a destination or a takeover. 0, or -1: the configuration in force has no such one. */
int pause_set(struct master *m, const char *name, bool paused);
bool pause_is(const struct master *m, const char *name);
void pause_tell(struct slot *s); /* a child that has just been configured learns of all */
void pause_free(struct master *m);
/* For a successor of this process: every name; and back, without telling anybody. */
void pause_each(const struct master *m, void (*fn)(const char *name, void *arg), void *arg);
void pause_restore(struct master *m, const char *name);

#endif
