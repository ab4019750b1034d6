/* loglevel - the level of the log as it is changed at run time: for all, a kind or one process, for good or for a
 * while. A process that is started again learns it; a reload goes back to the file's. */
#ifndef DRAY_MASTER_LOGLEVEL_H
#define DRAY_MASTER_LOGLEVEL_H

#include <jansson.h>
#include <stdint.h>

#include "common/base/log.h"

struct master;
struct slot;

#define LOGLEVEL_ALL (-1)

/* kind: NULL for all, or "master"; slot: LOGLEVEL_ALL or one; for_ms 0: until the next reload. The narrowest rule
 * counts. -1: too many at a time. */
int loglevel_set(struct master *m, enum log_level level, const char *kind, int slot, uint64_t for_ms);
/* The file's levels from now on; says so when others were in force. */
void loglevel_reset(struct master *m, const char *why);
/* A child that was started or has just been configured. */
void loglevel_tell(struct slot *s);
void loglevel_tick(struct master *m); /* ends what was for a while */
void loglevel_free(struct master *m);
/* [{kind, slot, level, left_ms}]: what differs from the file at present. */
json_t *loglevel_json(const struct master *m);

#endif
