/* logsink - the only writer of logs: stderr, a file or syslog; logfmt or JSON; never blocking.
 *
 * Lines go into a ring of LOGSINK_RING bytes that is emptied as the output takes it; what does not fit is dropped and
 * counted, and the count is written when there is room again.
 */
#ifndef DRAY_MASTER_LOGSINK_H
#define DRAY_MASTER_LOGSINK_H

#include <ev.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/base/log.h"
#include "common/conf/conf.h"

#define LOGSINK_RING (1u << 20)

struct logsink;

/* NULL after printing why (a file that cannot be opened). Lines of this process (log_event) come here from now on. */
struct logsink *logsink_new(struct ev_loop *loop, const struct conf_log *c);
void logsink_free(struct logsink *l); /* writes what it can within a second */

struct logsink_origin {
    const char *kind;
    unsigned slot;
    uint32_t generation;
    pid_t pid;
};
/* tail: "event=NAME key=value ..." */
void logsink_write(struct logsink *l, enum log_level level, const struct logsink_origin *o, const char *tail,
                   size_t len);
int logsink_reopen(struct logsink *l); /* the file, after it was rotated away */
uint64_t logsink_dropped(const struct logsink *l);

#endif
