/* lockfile - see lockfile.h. */
#include "workers/program/lockfile.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/str.h"

int lockfile_open(const char *path)
{
    return open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
}

int lockfile_take(int fd)
{
    return flock(fd, LOCK_EX | LOCK_NB);
}

void lockfile_read(int fd, struct lockfile_note *out)
{
    char text[LOCKFILE_PATH_MAX + 64];
    *out = (struct lockfile_note){0};
    ssize_t n = pread(fd, text, sizeof text - 1, 0);
    if (n <= 0)
        return;
    text[n] = '\0';
    char *save = NULL, *server = strtok_r(text, " \n", &save), *owner = strtok_r(NULL, " \n", &save);
    char *path = strtok_r(NULL, "\n", &save);
    uint64_t s, o;
    if (path == NULL || str_parse_u64(server, &s) != 0 || str_parse_u64(owner, &o) != 0 || s > INT32_MAX ||
        o > INT32_MAX)
        return;
    out->server = (pid_t)s;
    out->owner = (pid_t)o;
    str_copy(out->socket, path, sizeof out->socket);
}

int lockfile_write(int fd, const struct lockfile_note *note)
{
    char text[LOCKFILE_PATH_MAX + 64];
    int n = snprintf(text, sizeof text, "%d %d %s\n", (int)note->server, (int)note->owner, note->socket);
    if (n < 0 || (size_t)n >= sizeof text) {
        errno = ENAMETOOLONG;
        return -1;
    }
    if (pwrite(fd, text, (size_t)n, 0) != n)
        return -1;
    return ftruncate(fd, n);
}

pid_t lockfile_holder(int fd)
{
    struct stat ours, theirs;
    DIR *proc = opendir("/proc");
    pid_t found = 0;
    if (proc == NULL)
        return 0;
    if (fstat(fd, &ours) == 0)
        for (struct dirent *e; found == 0 && (e = readdir(proc)) != NULL;) {
            char path[64];
            uint64_t pid;
            if (!isdigit((unsigned char)e->d_name[0]) || str_parse_u64(e->d_name, &pid) != 0 ||
                pid > INT32_MAX)
                continue;
            snprintf(path, sizeof path, "/proc/%u/fd/%d", (unsigned)pid, LOCKFILE_FD);
            if (stat(path, &theirs) == 0 && theirs.st_ino == ours.st_ino && theirs.st_dev == ours.st_dev)
                found = (pid_t)pid;
        }
    closedir(proc);
    return found;
}
