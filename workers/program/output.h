/* output - what redis-server prints, line by line, with the level its own mark means. Pure. */
#ifndef DRAY_WORKERS_PROGRAM_OUTPUT_H
#define DRAY_WORKERS_PROGRAM_OUTPUT_H

#include <stddef.h>

#include "common/base/log.h"

#define OUTPUT_LINE_MAX 1024 /* a longer line is told in pieces */

struct output {
    char line[OUTPUT_LINE_MAX];
    size_t len;
};

/* text is the line without redis-server's own pid, role and time; not terminated. */
typedef void (*output_fn)(enum log_level level, const char *text, size_t len, void *arg);

/* Calls fn for every line that data completes. */
void output_feed(struct output *o, const char *data, size_t len, output_fn fn, void *arg);
/* Tells what stands there without a newline (the writer is gone). */
void output_flush(struct output *o, output_fn fn, void *arg);
/* "1:M 21 Nov 2026 02:41:28.123 # text": the level of its mark, and where the text begins. A line of another form is
 * a warning as it stands: redis-server prints so when it cannot start. */
enum log_level output_level(const char *line, size_t len, size_t *text_at);

#endif
