/* user - who a process runs as: "user" or "user:group", names or numbers, looked up in the system's databases.
 *
 * "user" has its own group and the supplementary ones that the databases name; "user:group" has that group alone. A
 * look-up may ask the network (NSS): only at the start, on reload and in the command line.
 */
#ifndef DRAY_COMMON_BASE_USER_H
#define DRAY_COMMON_BASE_USER_H

#include <stddef.h>
#include <sys/types.h>

#define USER_GROUPS_MAX 64

struct user {
    uid_t uid;
    gid_t gid;
    gid_t groups[USER_GROUPS_MAX]; /* all of them, gid first */
    size_t n_groups;
};

/* 0, or -1 with what is wrong in why. */
int user_find(const char *text, struct user *out, char *why, size_t size);
/* Adds a group unless it is there. -1 with ENOSPC. */
int user_add_group(struct user *u, gid_t gid);

/* Becomes u for good: groups, gid, uid, and no capability is left. Verified: what was given up cannot be taken again.
 * Only async-signal-safe calls. NULL, or the step that failed, with errno. */
const char *user_become(const struct user *u);

#endif
