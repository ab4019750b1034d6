/* cgroup - where a process stands among the control groups, of version 2 or 1, and what a file there says.
 *
 * The folder is found as the kernel tells it: the group by /proc/PID/cgroup, its place by /proc/self/mountinfo. In a
 * container that sees only its own part of the tree, that part's top is as far as one can look. Every path is below
 * root ("" for the real one), so that a test can lay out a tree of its own.
 */
#ifndef DRAY_COMMON_BASE_CGROUP_H
#define DRAY_COMMON_BASE_CGROUP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define CGROUP_PATH_MAX 1024
#define CGROUP_FILE_MAX 8192 /* bytes of a file that are looked at */

struct cgroup {
    bool v2;
    char dir[CGROUP_PATH_MAX]; /* of the group, with root */
    size_t top;                /* so many bytes of dir are where the tree is mounted: no parent above */
};

/* The group that governs `controller` ("cpu", "memory") for a process (0: this one). 0, or -1 with ENOENT (none is
 * mounted) or the error of reading /proc. */
int cgroup_find(const char *root, pid_t pid, const char *controller, struct cgroup *out);
/* Steps to the group above; false at the top. */
bool cgroup_up(struct cgroup *g);
/* The text of a file of the group, NUL-ended and cut to size. 0, or -1 with errno. */
int cgroup_read(const struct cgroup *g, const char *file, char *text, size_t size);
/* The number behind a word at the beginning of a line ("oom_kill 3"). false: there is none. Pure. */
bool cgroup_number(const char *text, const char *word, uint64_t *out);

/* The pieces, pure. Group of a controller in the text of /proc/PID/cgroup: 0, or -1. */
int cgroup_parse_group(const char *text, const char *controller, char *path, size_t size, bool *v2);
/* Where that group stands by the text of /proc/self/mountinfo: dir and top without root. 0, or -1. */
int cgroup_parse_place(const char *mountinfo, const char *controller, const char *path, bool v2,
                       struct cgroup *out);

#endif
