/* lastwords - what a child has said unasked, raw output and critical lines, kept for its obituary. Pure.
 *
 * The report of common/base/crash.c is read: who sent the signal, what is in hand. Its backtrace is in the log already and
 * is not kept; of everything else, the end.
 */
#ifndef DRAY_MASTER_LASTWORDS_H
#define DRAY_MASTER_LASTWORDS_H

#include <stdbool.h>
#include <stddef.h>

#define LASTWORDS_MAX  400 /* bytes that are kept of each */
#define LASTWORDS_LINE 200 /* bytes of one line */

struct lastwords {
    char said[LASTWORDS_MAX]; /* its last lines, " | " between them */
    char held[LASTWORDS_MAX]; /* "job b1, job b2": the first ones */
    bool crashed;             /* it has begun to report a crash */
    bool in_trace;
    long sender;      /* pid that sent the signal; 0: none did, or it is not known */
    char address[24]; /* where it crashed, or "" */
    long held_in_all; /* -1: not told */
};

void lastwords_begin(struct lastwords *w);
/* One line, without its newline. Bytes that are no plain text become '?'. */
void lastwords_hear(struct lastwords *w, const char *line, size_t len);

#endif
