/* logline - the text of a log line: "event=NAME key=value key="quoted value"". Pure.
 *
 * What a child writes is checked against this grammar before it becomes a line of the log; what does not fit is
 * written as a quoted raw line.
 */
#ifndef DRAY_MASTER_LOGLINE_H
#define DRAY_MASTER_LOGLINE_H

#include <stdbool.h>
#include <stddef.h>

struct logline_pair {
    const char *key, *value; /* the value without its quotes, still escaped */
    size_t key_len, value_len;
    bool quoted;
};

/* Takes the pair at *p and moves behind it. Of broken text it takes what it can; false at the end. */
bool logline_next(const char **p, const char *end, struct logline_pair *out);
/* The value with its escapes undone, at most size bytes; returns how many. */
size_t logline_value(const struct logline_pair *pair, char *dst, size_t size);
/* Is this whole text well-formed, begins with the event, and claims nothing of what only the master adds (time, level,
 * origin)? */
bool logline_is_valid(const char *tail, size_t len);
/* Name of the event, "?" when there is none. Returns dst. */
char *logline_event(const char *tail, size_t len, char *dst, size_t size);

#endif
