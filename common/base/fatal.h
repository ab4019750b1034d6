/* fatal - the two ways a process gives up.
 *
 * fatal() is for the world: bad configuration, no memory, no permission. It logs one critical line and exits with
 * a code of exitcode.h. panic() is for our own bugs: it logs and aborts, leaving a core and a backtrace.
 * What another process says never makes the master panic.
 */
#ifndef DRAY_COMMON_BASE_FATAL_H
#define DRAY_COMMON_BASE_FATAL_H

#include "common/base/exitcode.h"

void fatal(enum exitcode code, const char *fmt, ...) __attribute__((format(printf, 2, 3), noreturn));
void panic(const char *fmt, ...) __attribute__((format(printf, 1, 2), noreturn));

/* Always compiled in. */
#define ASSERT(cond)                                                                                         \
    do {                                                                                                     \
        if (!(cond))                                                                                         \
            panic("assertion failed: %s (%s:%d)", #cond, __FILE__, __LINE__);                                \
    } while (0)

#endif
