/* hook - places where a test makes something happen. Nothing of it is in a release build.
 *
 * A test puts a file NAME into the folder DRAY_TEST_HOOKS; the next process that comes by does what its first word says
 * (kill, abort, stop, spin), once: the file is taken away first, unless the second word is "keep". The lines behind the first
 * are a text that the data at hand must contain.
 */
#ifndef DRAY_COMMON_BASE_HOOK_H
#define DRAY_COMMON_BASE_HOOK_H

#include <stddef.h>
#include <stdint.h>

#ifdef DRAY_TEST
void hook_at(const char *name);
void hook_at_data(const char *name, const void *data, size_t len);
/* What a child is executed from: the environment's DRAY_TEST_EXE, a program that may do something else first. */
const char *hook_executable(const char *otherwise);
/* A duration that the environment's `name` may shorten. */
uint64_t hook_ms(const char *name, uint64_t otherwise);
#else
#define hook_at(name)                 ((void)0)
#define hook_at_data(name, data, len) ((void)0)
#define hook_executable(otherwise)    (otherwise)
#define hook_ms(name, otherwise)      (otherwise)
#endif

#endif
