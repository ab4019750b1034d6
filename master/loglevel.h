/* loglevel - the level of the log as it is changed at run time: for all, a kind or one process, for good or for a
 * while. A process that is started again learns it; a reload goes back to the file's. */
#ifndef DRAY_MASTER_LOGLEVEL_H
#define DRAY_MASTER_LOGLEVEL_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/list.h"
#include "common/base/log.h"

struct master;
struct slot;

#define LOGLEVEL_ALL (-1)

struct loglevel_rule {
    struct list link; /* master.levels */
    char kind[24];    /* "" = all */
    int slot;
    enum log_level level;
    uint64_t until_ms; /* monotonic; 0: for good */
};

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
/* Answers the verb level of the control socket: {level, kind, slot, for_ms}, each but level may be missing; no level:
 * only tells; "file": as the file says. */
json_t *loglevel_answer(struct master *m, const json_t *request);

/* For a successor of this process: rule n (false: there is none); and back, once all children are taken over. */
bool loglevel_save(const struct master *m, size_t n, struct loglevel_rule *out);
void loglevel_restore(struct master *m, const struct loglevel_rule *rule);
void loglevel_apply(struct master *m); /* tells every process its level */

#endif
