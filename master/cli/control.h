/* control - what the verbs scale and restart have in common. */
#ifndef DRAY_MASTER_CLI_CONTROL_H
#define DRAY_MASTER_CLI_CONTROL_H

#include <jansson.h>

#include "master/cli/cli.h"

/* Takes the shared options out of argv; words (at most max, *n of them) are what is left. CLI_GO_ON or exit status. */
int control_arguments(struct cli *o, int argc, char **argv, const char *usage, char **words, size_t max,
                      size_t *n);
/* Asks and prints: the answer as it is with -o json, else done and the answer's own "message", "warnings" and
 * "restart" (keys that only a restart of the master brings into force). Takes over request. */
int control_tell(const struct cli *o, json_t *request, const char *done);

#endif
