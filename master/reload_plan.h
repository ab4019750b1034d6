/* reload_plan - what a reload would change: the file is read and checked whole, compared with what is in force, and each
 * difference is put into its class. Changes nothing. Called by reload.c alone. */
#ifndef DRAY_MASTER_RELOAD_PLAN_H
#define DRAY_MASTER_RELOAD_PLAN_H

#include <jansson.h>
#include <stdbool.h>

#include "common/base/buf.h"
#include "common/conf/conf.h"

struct master;

struct reload_plan {
    struct conf *conf;             /* as it would be in force: what needs a restart has its old value */
    json_t *live, *roll, *restart; /* the keys that differ, as people write them */
    unsigned kinds;                /* CONCERN_BITs: something of them is to be replaced */
    unsigned whole;                /* of these, all that there is of the kind; else kind.same says which */
    bool listeners;                /* other sockets are wanted */
};

/* EXIT_CODE_OK; or what conf_load says, with its lines in errors, and the plan is empty. */
enum exitcode reload_plan_read(const struct master *m, struct reload_plan *p, struct buf *errors);
void reload_plan_fini(struct reload_plan *p);
/* Nothing would change without a restart of the master. */
bool reload_plan_is_empty(const struct reload_plan *p);
/* [{"key", "apply": "live" | "roll" | "restart", "kinds": [...], "old", "new"}], secrets masked. */
json_t *reload_plan_preview(const struct master *m, struct buf *errors, enum exitcode *code);
/* Names of a set of CONCERN_BITs. */
json_t *reload_plan_kinds(unsigned kinds);

#endif
