/* quarantine_act - records leave the quarantine: into this host's intake again, into a file, or for good. */
#ifndef DRAY_MASTER_CLI_QUARANTINE_ACT_H
#define DRAY_MASTER_CLI_QUARANTINE_ACT_H

#include "master/cli/quarantine_list.h"

struct quarantine_act {
    const struct conf *conf;
    const char *root;
    const struct quarantine_want *want;
    const char *url; /* of the intake; NULL: this host's */
    const char *to;  /* file; NULL: none */
    bool dry_run, yes, json, quiet;
};

/* Each record is posted as its source and taken out when the answer is 2xx. Returns the exit status. */
int quarantine_act_release(const struct quarantine_act *a);
/* Each record is written to a->to as a line of JSON, and taken out when that is on disk. */
int quarantine_act_save(const struct quarantine_act *a);
int quarantine_act_rm(const struct quarantine_act *a);

#endif
