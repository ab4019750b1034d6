/* status - the page behind `dray status` and USR1: a JSON object of everything the master knows. */
#ifndef DRAY_MASTER_STATUS_H
#define DRAY_MASTER_STATUS_H

#include <jansson.h>

struct master;

/* The caller owns the reference. */
json_t *status_json(const struct master *m);
/* The same as log lines (event=dump_process ...). */
void status_dump(const struct master *m);

#endif
