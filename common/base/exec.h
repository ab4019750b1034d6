/* exec - where a program is, and which words of the environment may be passed on to it. */
#ifndef DRAY_COMMON_BASE_EXEC_H
#define DRAY_COMMON_BASE_EXEC_H

#include <stdbool.h>
#include <stddef.h>

#define EXEC_PATH_DEFAULT "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

/* Where name is: as it stands if it has a slash, else in PATH. Absolute. -1 with ENOENT, EACCES, ENAMETOOLONG. */
int exec_find(const char *name, char *dst, size_t size);
/* Is this variable ("NAME=value") one that says how to work, never what is secret: PATH, TZ, LANG, LC_*? */
bool exec_is_plain_variable(const char *variable);

#endif
