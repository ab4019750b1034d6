/* hook - places where a test makes something happen. Nothing of it is in a release build.
 *
 * A test puts a file NAME into the folder DRAY_TEST_HOOKS; the next process that comes by does what its first word says
 * (kill, abort, segv, exit, stop, spin, forbidden: system calls that must be refused, leak: 1 MiB), once: the file is taken away first, unless the second word is "keep". The lines behind the first
 * are a text that the data at hand must contain.
 *
 * Crash points (crash_points.def) are of another make, because each batch passes many: the file "points" of that folder
 * is a page of shared memory that every process maps before main(). tests/lib/hooks.py arms a point in it, at run time, for
 * the n-th pass of whichever process. Without the folder DRAY_CRASH_AT=NAME[:N] kills each process at its own n-th pass.
 */
#ifndef DRAY_COMMON_BASE_HOOK_H
#define DRAY_COMMON_BASE_HOOK_H

#include <stddef.h>
#include <stdint.h>

#ifdef DRAY_TEST
#include <sys/uio.h>

enum hook_point {
#define P(name, side, sentence) HOOK_##name,
#include "common/base/crash_points.def"
#undef P
    HOOK_POINTS
};

void hook_at(const char *name);
void hook_at_data(const char *name, const void *data, size_t len);
/* What a child is executed from: the environment's DRAY_TEST_EXE, a program that may do something else first. */
const char *hook_executable(const char *otherwise);
/* A duration that the environment's `name` may shorten. */
uint64_t hook_ms(const char *name, uint64_t otherwise);
/* A pass of a crash point: the process may end here. */
void hook_pass(enum hook_point p);
/* As a pass, but with the next hook_written(): when what was asked for here has left the process. */
void hook_pass_later(enum hook_point p);
void hook_written(void);
/* A pass in front of a write: who ends here has written half of it. */
void hook_pass_half(enum hook_point p, int fd, const struct iovec *iov, int n);
#define HOOK_POINT(name)            hook_pass(HOOK_##name)
#define HOOK_SENT(name)             hook_pass_later(HOOK_##name)
#define HOOK_WRITTEN()              hook_written()
#define HOOK_HALF(name, fd, iov, n) hook_pass_half(HOOK_##name, fd, iov, n)
/* Where /proc and /sys are looked for: the environment's DRAY_TEST_ROOT. */
const char *hook_root(const char *otherwise);
#else
#define hook_at(name)                 ((void)0)
#define hook_at_data(name, data, len) ((void)0)
#define hook_executable(otherwise)    (otherwise)
#define hook_ms(name, otherwise)      (otherwise)
#define HOOK_POINT(name)              ((void)0)
#define HOOK_SENT(name)               ((void)0)
#define HOOK_WRITTEN()                ((void)0)
#define HOOK_HALF(name, fd, iov, n)   ((void)0)
#define hook_root(otherwise)          (otherwise)
#endif

#endif
