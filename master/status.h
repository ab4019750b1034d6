/* status - the page behind `dray status` and USR1: a JSON object of everything the master knows. */
#ifndef DRAY_MASTER_STATUS_H
#define DRAY_MASTER_STATUS_H

#include <jansson.h>

struct master;

/* The caller owns the reference. */
json_t *status_json(const struct master *m);
/* Its part about the log: errors, warnings, log (status_log.c). */
void status_add_log(const struct master *m, json_t *o);
/* The same as log lines (event=dump_process ...). */
void status_dump(const struct master *m);

#endif
