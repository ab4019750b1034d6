/* capture - what a program prints, line by line. A line that is too long for one log line is told in pieces. Pure. */
#ifndef DRAY_WORKERS_PROGRAM_CAPTURE_H
#define DRAY_WORKERS_PROGRAM_CAPTURE_H

#include <stdbool.h>
#include <stddef.h>

#define CAPTURE_COST_MAX 880 /* bytes of a piece as log_q writes it: control bytes take four */

struct capture {
    char line[CAPTURE_COST_MAX];
    size_t len, cost;
    bool continued; /* what stands here is not the beginning of its line */
};

/* goes_on: the line goes on with the next call. */
typedef void (*capture_fn)(const char *text, size_t len, bool goes_on, void *arg);

void capture_feed(struct capture *c, const char *data, size_t len, capture_fn fn, void *arg);
/* Tells what stands there without a newline (the writer is gone). */
void capture_flush(struct capture *c, capture_fn fn, void *arg);

#endif
