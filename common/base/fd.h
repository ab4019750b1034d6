/* fd - small truths about file descriptors, in one place. */
#ifndef DRAY_COMMON_BASE_FD_H
#define DRAY_COMMON_BASE_FD_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

int fd_set_nonblock(int fd);
int fd_set_cloexec(int fd, bool on);
/* Closes *fd if it is >= 0 and sets it to -1; errno is preserved. */
void fd_close(int *fd);

/* Blocking helpers for start-up and command line code: all len bytes, or -1 with errno (EIO at early EOF). */
int fd_write_full(int fd, const void *data, size_t len);
int fd_read_full(int fd, void *data, size_t len);
/* The whole file, at most max bytes (else EFBIG); *out is malloc'ed and NUL-terminated. */
int fd_read_file(const char *path, size_t max, char **out, size_t *len);
/* mkdir -p with the mode for what it creates. */
int fd_make_dirs(const char *path, mode_t mode);

/* Raises RLIMIT_NOFILE to want or to the hard limit; returns the limit reached. */
unsigned long fd_raise_limit(unsigned long want);
/* Numbers of the open descriptors, ascending; returns how many there are (at most max are written). */
size_t fd_census(int *fds, size_t max);
/* Marks every open descriptor >= from close-on-exec. */
void fd_set_cloexec_from(int from);

#endif
