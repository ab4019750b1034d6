/* cgroup - see cgroup.h. */
#include "common/base/cgroup.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/fd.h"
#include "common/base/mem.h"
#include "common/base/str.h"

#define MOUNTINFO_MAX (1u << 20)

/* A word of a list that commas divide. */
static bool has_word(const char *list, size_t len, const char *word)
{
    size_t n = strlen(word);
    while (len > 0) {
        const char *comma = memchr(list, ',', len);
        size_t one = comma != NULL ? (size_t)(comma - list) : len;
        if (one == n && memcmp(list, word, n) == 0)
            return true;
        if (comma == NULL)
            return false;
        list += one + 1;
        len -= one + 1;
    }
    return false;
}

static int keep(char *dst, size_t size, const char *text, size_t len)
{
    if (len == 0 || len >= size || text[0] != '/')
        return -1;
    memcpy(dst, text, len);
    dst[len] = '\0';
    return 0;
}

int cgroup_parse_group(const char *text, const char *controller, char *path, size_t size, bool *v2)
{
    int found = -1;
    for (const char *line = text; *line != '\0';) { /* "4:cpu,cpuacct:/a/b", of version 2 "0::/a/b" */
        size_t len = strcspn(line, "\n");
        const char *names = memchr(line, ':', len);
        const char *group = names != NULL ? memchr(names + 1, ':', len - (size_t)(names + 1 - line)) : NULL;
        if (group != NULL) {
            size_t n = (size_t)(group - names - 1), rest = len - (size_t)(group + 1 - line);
            bool unified = n == 0 && line[0] == '0';
            if (has_word(names + 1, n, controller)) { /* version 1 has it, whatever stands elsewhere */
                *v2 = false;
                return keep(path, size, group + 1, rest);
            }
            if (unified && found < 0 && (found = keep(path, size, group + 1, rest)) == 0)
                *v2 = true;
        }
        line += len + (line[len] == '\n');
    }
    return found;
}

/* The kernel writes blanks, tabs, newlines and backslashes as \ooo. */
static void unescape(char *s)
{
    char *to = s;
    while (*s != '\0') {
        if (s[0] == '\\' && s[1] >= '0' && s[1] <= '3' && s[2] >= '0' && s[2] <= '7' && s[3] >= '0' &&
            s[3] <= '7') {
            *to++ = (char)((s[1] - '0') << 6 | (s[2] - '0') << 3 | (s[3] - '0'));
            s += 4;
        } else {
            *to++ = *s++;
        }
    }
    *to = '\0';
}

/* What of path lies below the mount's root; NULL: it is not below it. */
static const char *below(const char *root, const char *path)
{
    size_t n = strlen(root);
    if (n == 1)
        return path;
    if (strncmp(root, path, n) != 0 || (path[n] != '\0' && path[n] != '/'))
        return NULL;
    return path + n;
}

/* One line: id parent major:minor root mountpoint options... - type source options. */
static int place_of(char *line, const char *controller, const char *path, bool v2, struct cgroup *out)
{
    char *save = NULL, *fields[5], *type, *options;
    char *tail = strstr(line, " - ");
    if (tail == NULL)
        return -1;
    *tail = '\0';
    type = strtok_r(tail + 3, " ", &save);
    (void)strtok_r(NULL, " ", &save);
    options = strtok_r(NULL, " ", &save);
    if (type == NULL || options == NULL || strcmp(type, v2 ? "cgroup2" : "cgroup") != 0 ||
        (!v2 && !has_word(options, strlen(options), controller)))
        return -1;
    fields[0] = strtok_r(line, " ", &save);
    for (size_t i = 1; i < 5; i++)
        fields[i] = strtok_r(NULL, " ", &save);
    if (fields[4] == NULL)
        return -1;
    unescape(fields[3]);
    unescape(fields[4]);
    const char *rest = strstr(path, "/..") == NULL ? below(fields[3], path) : NULL;
    out->v2 = v2;
    out->top = strlen(fields[4]);
    if (rest == NULL || strcmp(rest, "/") == 0) /* seen from outside: the top is all there is */
        rest = "";
    int n = snprintf(out->dir, sizeof out->dir, "%s%s", fields[4], rest);
    return n > 0 && (size_t)n < sizeof out->dir ? 0 : -1;
}

int cgroup_parse_place(const char *mountinfo, const char *controller, const char *path, bool v2,
                       struct cgroup *out)
{
    char line[4 * CGROUP_PATH_MAX];
    for (const char *p = mountinfo; *p != '\0';) {
        size_t len = strcspn(p, "\n");
        if (len < sizeof line) {
            memcpy(line, p, len);
            line[len] = '\0';
            if (place_of(line, controller, path, v2, out) == 0)
                return 0;
        }
        p += len + (p[len] == '\n');
    }
    return -1;
}

static int read_text(const char *path, char *text, size_t size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    size_t len = 0;
    ssize_t n;
    if (fd < 0)
        return -1;
    while (len + 1 < size && (n = read(fd, text + len, size - 1 - len)) != 0) {
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            int error = errno;
            fd_close(&fd);
            errno = error;
            return -1;
        }
        len += (size_t)n;
    }
    text[len] = '\0';
    fd_close(&fd);
    return 0;
}

int cgroup_find(const char *root, pid_t pid, const char *controller, struct cgroup *out)
{
    char file[CGROUP_PATH_MAX], text[CGROUP_FILE_MAX], group[CGROUP_PATH_MAX], who[16] = "self";
    bool v2 = false;
    if (pid > 0)
        snprintf(who, sizeof who, "%d", (int)pid);
    snprintf(file, sizeof file, "%s/proc/%s/cgroup", root, who);
    if (read_text(file, text, sizeof text) < 0)
        return -1;
    snprintf(file, sizeof file, "%s/proc/self/mountinfo", root);
    char *mounts = mem_try(MOUNTINFO_MAX);
    if (mounts == NULL)
        return -1;
    int result = read_text(file, mounts, MOUNTINFO_MAX);
    struct cgroup seen = {0};
    if (result == 0 && (cgroup_parse_group(text, controller, group, sizeof group, &v2) < 0 ||
                        cgroup_parse_place(mounts, controller, group, v2, &seen) < 0)) {
        errno = ENOENT;
        result = -1;
    }
    free(mounts);
    if (result < 0)
        return -1;
    out->v2 = seen.v2;
    out->top = seen.top + strlen(root);
    int n = snprintf(out->dir, sizeof out->dir, "%s%s", root, seen.dir);
    if (n > 0 && (size_t)n < sizeof out->dir)
        return 0;
    errno = ENAMETOOLONG;
    return -1;
}

bool cgroup_up(struct cgroup *g)
{
    char *slash = strrchr(g->dir, '/');
    if (slash == NULL || (size_t)(slash - g->dir) < g->top || g->dir[g->top] == '\0')
        return false;
    *slash = '\0';
    return true;
}

int cgroup_read(const struct cgroup *g, const char *file, char *text, size_t size)
{
    char path[CGROUP_PATH_MAX + 64];
    int n = snprintf(path, sizeof path, "%s/%s", g->dir, file);
    if (n < 0 || (size_t)n >= sizeof path) {
        errno = ENAMETOOLONG;
        return -1;
    }
    return read_text(path, text, size);
}

bool cgroup_number(const char *text, const char *word, uint64_t *out)
{
    size_t n = strlen(word);
    char number[24];
    for (const char *line = text; *line != '\0';) {
        size_t len = strcspn(line, "\n");
        if (len > n + 1 && memcmp(line, word, n) == 0 && line[n] == ' ' && len - n - 1 < sizeof number) {
            memcpy(number, line + n + 1, len - n - 1);
            number[len - n - 1] = '\0';
            return str_parse_u64(number, out) == 0;
        }
        line += len + (line[len] == '\n');
    }
    return false;
}
