/* logmux - the log pipe of one child: splits it into lines, tells tagged ones from raw output. */
#ifndef DRAY_MASTER_LOGMUX_H
#define DRAY_MASTER_LOGMUX_H

#include <stdbool.h>
#include <stddef.h>

#include "master/logform.h"

struct lastwords;
struct logmux;
struct master;

#define LOGMUX_TURN                                                                                          \
    (64u << 10) /* bytes read from one child in one turn of the loop: no child keeps the others waiting */

/* Takes over fd. o->kind is borrowed. */
struct logmux *logmux_new(struct master *m, int fd, const struct logsink_origin *o);
void logmux_set_level(struct logmux *l, enum log_level level);
/* Raw output and critical lines are kept there too; borrowed until logmux_free. */
void logmux_keep(struct logmux *l, struct lastwords *words);
/* Reads what is left (bounded), closes. A grandchild that still holds the pipe is not waited for. NULL is fine. */
void logmux_free(struct logmux *l);

/* For a successor of this process: the descriptor, and the half of a line that was read. */
int logmux_save(const struct logmux *l, const char **half, size_t *len, bool *continued);
/* Into one that was just made; what is longer than a line is cut. */
void logmux_restore(struct logmux *l, const char *half, size_t len, bool continued);

#endif
