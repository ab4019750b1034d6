/* quarantine_list - which records of the quarantine a command means, and how one is shown. */
#ifndef DRAY_MASTER_CLI_QUARANTINE_LIST_H
#define DRAY_MASTER_CLI_QUARANTINE_LIST_H

#include <jansson.h>

#include "common/quarantine/quarantine.h"
#include "master/cli/cli.h"

struct quarantine_want {
    const char *source, *reason; /* NULL: any */
    uint64_t since_ms;           /* only those that are younger; 0: of any age */
    uint64_t limit;              /* 0: none */
    char **places;               /* n_places of them; 0: all that the rest lets through */
    size_t n_places;
};

/* Calls fn with each record that is wanted, oldest first within a process' folder. Returns how many, or -1 with errno. */
long quarantine_list_each(const char *root, const struct quarantine_want *w, quarantine_visit_fn fn,
                          void *arg);
/* Is it text that a terminal may be shown? */
bool quarantine_list_is_text(const struct quarantine_record *r);
/* place, time, source, reason, queue, id, size_bytes; and, whole, text or hex: all bytes; else the beginning as start. */
json_t *quarantine_list_json(const struct quarantine_record *r, bool whole);
/* The same for people. */
void quarantine_list_print(const struct quarantine_record *r);

#endif
