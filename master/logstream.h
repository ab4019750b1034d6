/* logstream - the lines of one process on their way to the sink: the level wanted of it, its rate, its repetitions. */
#ifndef DRAY_MASTER_LOGSTREAM_H
#define DRAY_MASTER_LOGSTREAM_H

#include <stdbool.h>

#include "master/logform.h"

struct logstream;
struct master;

/* kind: borrowed, for as long as the stream lives. */
struct logstream *logstream_new(struct master *m, const struct logsink_origin *o);
void logstream_free(struct logstream *s); /* tells what it holds back. NULL is fine */
/* Lines above it are not written. */
void logstream_set_level(struct logstream *s, enum log_level level);
void logstream_put(struct logstream *s, enum log_level level, const char *tail, size_t len);
/* Output that is no line of ours, quoted: event=raw, in as many lines as it takes. continued: it began before. */
void logstream_put_raw(struct logstream *s, const char *text, size_t len, bool continued);
/* The master's own lines take this way from now on. */
void logstream_own(struct logstream *s);

#endif
