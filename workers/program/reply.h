/* reply - reads the few kinds of RESP answer that a health probe gets. Pure. */
#ifndef DRAY_WORKERS_PROGRAM_REPLY_H
#define DRAY_WORKERS_PROGRAM_REPLY_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#define REPLY_MAX 65536 /* bytes of one answer: INFO's sections are a few KiB */

enum reply_type { REPLY_STATUS, REPLY_ERROR, REPLY_INTEGER, REPLY_BULK, REPLY_NULL };

struct reply {
    enum reply_type type;
    const char *text; /* into the data given; not terminated */
    size_t len;
};

/* One answer at the head of data: how many bytes it takes, 0 when more must come, -1 with EPROTO (not RESP, an array,
 * which is never asked for) or EMSGSIZE (over REPLY_MAX). */
ssize_t reply_parse(const char *data, size_t len, struct reply *out);
/* Is it this type and does its text begin with this word? */
bool reply_is(const struct reply *r, enum reply_type type, const char *word);
/* The number behind "name:" at the start of a line of INFO; -1 when there is none. */
long long reply_info(const struct reply *r, const char *name);

#endif
