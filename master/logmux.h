/* logmux - the log pipe of one child: splits it into lines, tells tagged ones from raw output, names the origin. */
#ifndef DRAY_MASTER_LOGMUX_H
#define DRAY_MASTER_LOGMUX_H

#include <stdint.h>
#include <sys/types.h>

struct logmux;
struct master;

#define LOGMUX_TURN (64u << 10) /* bytes read from one child in one turn of the loop */

/* Takes over fd. */
struct logmux *logmux_new(struct master *m, int fd, const char *kind, unsigned slot, uint32_t generation,
                          pid_t pid);
/* Reads what is left (bounded), closes. A grandchild that still holds the pipe is not waited for. NULL is fine. */
void logmux_free(struct logmux *l);

#endif
