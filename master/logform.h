/* logform - a log line in the forms it is written in: logfmt, JSON, a terminal's columns, a syslog packet, fields for
 * the journal. Pure but for the local time zone.
 *
 * Whatever the text holds, each form stays what it is: one line, valid UTF-8, no control character.
 */
#ifndef DRAY_MASTER_LOGFORM_H
#define DRAY_MASTER_LOGFORM_H

#include <stdint.h>
#include <sys/types.h>

#include "common/base/buf.h"
#include "common/base/log.h"

struct logsink_origin {
    const char *kind;
    unsigned slot;
    uint32_t generation;
    pid_t pid;
};

struct logform_line {
    uint64_t wall_ms;
    enum log_level level;
    struct logsink_origin origin;
    const char *tail; /* "event=NAME key=value ..." */
    size_t len;
};

enum logform_style { LOGFORM_LOGFMT, LOGFORM_JSON, LOGFORM_COLUMNS, LOGFORM_COLOURS };

#define LOGFORM_MAX (LOG_LINE_MAX * 6 + 512) /* of one line in any form; a text that is all escapes is cut */

/* Each appends to out; what it must not hold any more was left out. */
void logform_put(struct buf *out, enum logform_style style,
                 const struct logform_line *line); /* ends with \n */
/* "<3>" in front of a line of standard error that the service manager reads. */
void logform_put_priority(struct buf *out, enum log_level level, int facility);
/* RFC 3164 as programs of this host say it: "<PRI>Nov 21 09:12:01 dray[PID]: " and the line without its end. */
void logform_put_syslog(struct buf *out, enum logform_style style, int facility, pid_t self,
                        const struct logform_line *line);
/* The journal's native protocol: MESSAGE, PRIORITY, DRAY_KIND, ... and one DRAY_KEY for each key of the line. */
void logform_put_journal(struct buf *out, int facility, const struct logform_line *line);

#endif
