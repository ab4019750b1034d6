/* Loaded into dray (LD_PRELOAD): while the file DISK_SHIM_FLAG exists, the disk below the folder DISK_SHIM_DIR is full: every
 * write there fails with ENOSPC. What is there already can be read. */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

static int is_full(int fd)
{
    const char *flag = getenv("DISK_SHIM_FLAG"), *dir = getenv("DISK_SHIM_DIR");
    char name[64], path[PATH_MAX];
    if (fd <= 2 || flag == NULL || dir == NULL || access(flag, F_OK) != 0)
        return 0;
    snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(name, path, sizeof path - 1);
    if (n < 0)
        return 0;
    path[n] = '\0';
    if (strncmp(path, dir, strlen(dir)) != 0)
        return 0;
    errno = ENOSPC;
    return 1;
}

#define NEXT(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

ssize_t write(int fd, const void *data, size_t n)
{
    return is_full(fd) ? -1 : NEXT(write)(fd, data, n);
}

ssize_t pwrite(int fd, const void *data, size_t n, off_t at)
{
    return is_full(fd) ? -1 : NEXT(pwrite)(fd, data, n, at);
}

ssize_t pwrite64(int fd, const void *data, size_t n, off64_t at)
{
    return is_full(fd) ? -1 : NEXT(pwrite64)(fd, data, n, at);
}

ssize_t writev(int fd, const struct iovec *iov, int n)
{
    return is_full(fd) ? -1 : NEXT(writev)(fd, iov, n);
}

ssize_t pwritev(int fd, const struct iovec *iov, int n, off_t at)
{
    return is_full(fd) ? -1 : NEXT(pwritev)(fd, iov, n, at);
}

int fallocate(int fd, int mode, off_t at, off_t n)
{
    return is_full(fd) ? -1 : NEXT(fallocate)(fd, mode, at, n);
}

int posix_fallocate(int fd, off_t at, off_t n)
{
    return is_full(fd) ? ENOSPC : NEXT(posix_fallocate)(fd, at, n);
}
