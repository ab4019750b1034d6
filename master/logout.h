/* logout - one output of the log: standard error, a file, syslog, the journal. Only logsink's thread writes to it, so
 * it may wait (never for long where that can be avoided); it never logs. */
#ifndef DRAY_MASTER_LOGOUT_H
#define DRAY_MASTER_LOGOUT_H

#include <stdbool.h>

#include "common/conf/conf.h"
#include "master/logform.h"

struct logout;

/* NULL with errno. */
struct logout *logout_new(const struct conf_log *c);
void logout_free(struct logout *o);
/* The same output afresh: a file after it was rotated away, a new connection to a daemon. NULL with errno. */
struct logout *logout_again(const struct logout *o);
/* What a person can do when it cannot be opened. */
const char *logout_remedy(const struct conf_log *c);
/* Packets, one a line; else a stream of lines. */
bool logout_is_packets(const struct logout *o);
/* The line as this output wants it. */
void logout_format(const struct logout *o, struct buf *out, const struct logform_line *line);

/* Bytes written, or -1 with errno; EAGAIN: it takes nothing for now (a fifth of a second was waited). */
long logout_write(struct logout *o, const char *data, size_t len);
/* One packet: 0, or -1 with errno as above. A daemon that was restarted is connected to anew; what is too large for a
 * packet goes to the journal in a memory file, and is cut for syslog. */
int logout_send(struct logout *o, const char *data, size_t len);

#endif
