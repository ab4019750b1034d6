/* exec - see exec.h. */
#include "common/base/exec.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/str.h"

static int usable(const char *path)
{
    struct stat st;
    if (stat(path, &st) != 0)
        return -1;
    if (!S_ISREG(st.st_mode)) {
        errno = EACCES;
        return -1;
    }
    return access(path, X_OK);
}

int exec_find(const char *name, char *dst, size_t size)
{
    char absolute[PATH_MAX];
    if (strchr(name, '/') != NULL) {
        if (realpath(name, absolute) == NULL || usable(absolute) != 0)
            return -1;
        if (str_copy(dst, absolute, size) < size)
            return 0;
        errno = ENAMETOOLONG;
        return -1;
    }
    const char *path = getenv("PATH");
    if (path == NULL || *path == '\0')
        path = EXEC_PATH_DEFAULT;
    while (*path != '\0') {
        size_t n = strcspn(path, ":");
        int len = snprintf(dst, size, "%.*s/%s", (int)n, path, name);
        if (n > 0 && len > 0 && (size_t)len < size && usable(dst) == 0)
            return 0;
        path += n + (path[n] == ':');
    }
    errno = ENOENT;
    return -1;
}

bool exec_is_plain_variable(const char *variable)
{
    static const char *const fronts[] = {"PATH=", "TZ=", "LANG=", "LANGUAGE=", "LC_"};
    for (size_t i = 0; i < sizeof fronts / sizeof *fronts; i++)
        if (str_starts(variable, fronts[i]))
            return true;
    return false;
}
