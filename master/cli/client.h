/* client - talks to the running instance: one JSON line to RUN_DIR/control.sock, one JSON line back. Every failure is
 * said on stderr, once, and returned as the exit status of the verb. */
#ifndef DRAY_MASTER_CLI_CLIENT_H
#define DRAY_MASTER_CLI_CLIENT_H

#include <jansson.h>
#include <sys/types.h>

#include "master/cli/cli.h"

#define CLIENT_PATH_MAX   512
#define CLIENT_ANSWER_MAX (16u << 20) /* bytes of an answer */
#define CLIENT_TIMEOUT_MS 10000       /* the master never blocks: silence for so long is a fault */

struct client {
    int fd;
    pid_t master; /* by the socket's credentials; 0 = unknown */
    char path[CLIENT_PATH_MAX];
    bool quiet;
};

/* Finds the socket (-s, else the run_dir of -c, --set and the defaults) and connects. EXIT_CODE_OK,
 * EXIT_CODE_NOT_RUNNING, EXIT_CODE_NOPERM, EXIT_CODE_UNREACHABLE, or what the configuration's errors say. */
int client_connect(const struct cli *o, struct client *c);
/* Only where it is: EXIT_CODE_OK, or what the configuration's errors say. */
int client_find(const struct cli *o, char path[CLIENT_PATH_MAX]);
/* The same for a known socket; quiet: says nothing, of its answers neither (for polling). */
int client_connect_path(const char *path, bool quiet, struct client *c);
/* Asks. EXIT_CODE_OK and *answer (json_decref it), which has "ok": true; else its "error" went to stderr and its
 * "code" is returned. Takes over request. */
int client_ask(struct client *c, json_t *request, json_t **answer);
/* The same, waiting for the answer as long as told. EXIT_CODE_TEMP when it did not come: that was not said yet. */
int client_ask_within(struct client *c, json_t *request, uint64_t timeout_ms, json_t **answer);
/* The same, and the answer is the caller's to judge: EXIT_CODE_OK when there is one, though it says "ok": false. */
int client_ask_whole(struct client *c, json_t *request, uint64_t timeout_ms, json_t **answer);
void client_close(struct client *c);
/* Connect, ask, close. */
int client_request(const struct cli *o, json_t *request, json_t **answer);

#endif
