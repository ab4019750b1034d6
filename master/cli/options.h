/* options - a verb's own long options as a table, beside those that all verbs share (cli.h). */
#ifndef DRAY_MASTER_CLI_OPTIONS_H
#define DRAY_MASTER_CLI_OPTIONS_H

#include "master/cli/cli.h"

#define OPTIONS_MAX 32 /* rows */

enum option_type {
    OPTION_FLAG,     /* bool: becomes true */
    OPTION_TEXT,     /* const char *, borrowed from argv */
    OPTION_NUMBER,   /* uint64_t */
    OPTION_DURATION, /* uint64_t, in ms; a bare number is an error: 250ms, 30s, 5m, 24h, 7d */
};

struct option_row {
    const char *name;
    enum option_type type;
    void *to;
    bool *given; /* may be NULL */
};

/* Reads all of argv: shared options into o, rows' own where they point, and the words that are left (at most max, *n of
 * them). CLI_GO_ON, or the exit status to return; what is wrong was said. */
int options_read(struct cli *o, int argc, char **argv, const char *usage, const struct option_row *rows,
                 size_t n_rows, char **words, size_t max, size_t *n);

#endif
