/* upgrade_adopt - the first acts of a program that was executed in the pid of a running master: it takes over children,
 * sockets and queued bytes from the state in a memfd.
 *
 * Nothing is read from, written to or changed in what it takes over before the commit; until then every failure (an
 * error, exit, a crash, ten seconds) executes the predecessor's program again, which adopts the same state.
 */
#ifndef DRAY_MASTER_UPGRADE_ADOPT_H
#define DRAY_MASTER_UPGRADE_ADOPT_H

#include <stdbool.h>

#include "common/base/buf.h"

struct conf;
struct upgrade_state;

/* The variable by which a program learns that it is to adopt: "PID:STATE_FD:EXE_FD:REASON". EXE_FD -1: this is the way
 * back, and why. */
#define UPGRADE_VARIABLE "DRAY_UPGRADE"
#define UPGRADE_ADOPT_S  10

/* Was this process executed by its predecessor? Called first in main, before anything else touches signals. */
bool upgrade_adopt_wanted(void);
/* Adopts, runs, returns the exit code of the process. */
int upgrade_adopt_main(char **argv);

/* Shared with the preflight: the whole of a state from its descriptor (decoded; 0, or -1 with why), the configuration
 * in force that it names (to conf_free; NULL with why). */
int upgrade_adopt_load(int fd, struct upgrade_state *st, char *why, size_t size);
struct conf *upgrade_adopt_conf(const struct upgrade_state *st, int fd, char *why, size_t size);

/* dray -x preflight: reads the state (descriptor 4), the configuration in force (5) and the file, says what it thinks as
 * a line of JSON on the control socket. */
int upgrade_preflight_main(void);

#endif
