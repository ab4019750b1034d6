/* logsink - the only writer of logs: standard error, a file, syslog or the journal; never blocking.
 *
 * Lines go into a ring of LOGSINK_RING bytes; a thread of its own forms them and writes them, so that a slow disk, a
 * stopped terminal or a full pipe holds up that thread alone. A line leaves the ring when it is written: while the
 * output fails (no space, EIO, no daemon) it is tried again twice a second. What does not fit is dropped and counted,
 * and the count is written when everything before it has been. The last part of the ring is kept for errors.
 */
#ifndef DRAY_MASTER_LOGSINK_H
#define DRAY_MASTER_LOGSINK_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/log.h"
#include "common/conf/conf.h"
#include "master/logform.h"

#define LOGSINK_RING    (1u << 20)
#define LOGSINK_RESERVE (64u << 10) /* for crit and error alone */

struct logsink;
struct logerrors;

/* NULL after saying why. Lines of this process (log_event) come here from now on. */
struct logsink *logsink_new(const struct conf_log *c);
void logsink_free(struct logsink *l); /* writes what it can within a second */

/* tail: "event=NAME key=value ..." */
void logsink_write(struct logsink *l, enum log_level level, const struct logsink_origin *o, const char *tail,
                   size_t len);
/* The file, after it was rotated away: what comes from now on stands in the new one. When that fails the old one is
 * kept, and logsink_tick says so. */
void logsink_reopen(struct logsink *l);
/* The output, format and facility of c from now on. -1 with errno: it cannot be opened, the old one stays. */
int logsink_reconfigure(struct logsink *l, const struct conf_log *c);
/* Waits until all is written, at most so long. False: it is not. (Before another program takes this one's place.) */
bool logsink_flush(struct logsink *l, uint64_t timeout_ms);
void logsink_tick(struct logsink *l); /* now and then: says what the thread has met */
uint64_t logsink_dropped(struct logsink *l);
/* errno of the output that fails at present and for how long; 0: it works. */
int logsink_trouble(struct logsink *l, uint64_t *since_ms);
struct logerrors *logsink_errors(const struct logsink *l);

/* For a successor of this process: the lines that are not written, oldest first (one that is being written is among
 * them, so it may stand there twice), and how many were lost; and back. */
void logsink_each(struct logsink *l, void (*fn)(const struct logform_line *line, void *arg), void *arg);
void logsink_put(struct logsink *l, const struct logform_line *line);
void logsink_set_dropped(struct logsink *l, uint64_t n);

#endif
