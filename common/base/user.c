/* user - see user.h. */
#include "common/base/user.h"

#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <pwd.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/base/str.h"

#define NAME_MAX_BYTES 64

/* The number that stands there instead of a name; -1: none. (uid_t)-1 means "no change" to the kernel. */
static int64_t number_of(const char *name)
{
    uint64_t n;
    return str_parse_u64(name, &n) == 0 && n < UINT32_MAX ? (int64_t)n : -1;
}

static int find_group(const char *name, gid_t *gid)
{
    int64_t n = number_of(name);
    const struct group *g = n < 0 ? getgrnam(name) : NULL;
    if (n < 0 && g == NULL)
        return -1;
    *gid = n >= 0 ? (gid_t)n : g->gr_gid;
    return 0;
}

static int all_groups(const char *name, struct user *out)
{
    int n = USER_GROUPS_MAX;
    if (getgrouplist(name, out->gid, out->groups, &n) < 0)
        return -1;
    out->n_groups = (size_t)n;
    return 0;
}

int user_find(const char *text, struct user *out, char *why, size_t size)
{
    char name[NAME_MAX_BYTES];
    const char *colon = strchr(text, ':');
    size_t len = colon != NULL ? (size_t)(colon - text) : strlen(text);
    *out = (struct user){0};
    if (len == 0 || len >= sizeof name || (colon != NULL && colon[1] == '\0')) {
        snprintf(why, size, "expected user or user:group");
        return -1;
    }
    memcpy(name, text, len);
    name[len] = '\0';
    int64_t number = number_of(name);
    errno = 0;
    const struct passwd *p = number >= 0 ? getpwuid((uid_t)number) : getpwnam(name);
    if (p == NULL && (number < 0 || colon == NULL)) {
        snprintf(why, size,
                 number < 0 ? "there is no user \"%.40s\" on this host%s"
                            : "there is no user with the number %.40s on this host, and so no group: %s",
                 name, number < 0 ? "" : "name one behind a colon");
        return -1;
    }
    out->uid = p != NULL ? p->pw_uid : (uid_t)number;
    if (colon == NULL) {
        out->gid = p->pw_gid;
        if (all_groups(p->pw_name, out) == 0)
            return 0;
        snprintf(why, size, "user \"%.40s\" is in more than %d groups: name one behind a colon", name,
                 USER_GROUPS_MAX);
        return -1;
    }
    if (find_group(colon + 1, &out->gid) < 0) {
        snprintf(why, size, "there is no group \"%.40s\" on this host", colon + 1);
        return -1;
    }
    return user_add_group(out, out->gid);
}

int user_add_group(struct user *u, gid_t gid)
{
    for (size_t i = 0; i < u->n_groups; i++)
        if (u->groups[i] == gid)
            return 0;
    if (u->n_groups == USER_GROUPS_MAX) {
        errno = ENOSPC;
        return -1;
    }
    u->groups[u->n_groups++] = gid;
    return 0;
}

static int drop_capabilities(void)
{
    struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = {{0}};
    (void)prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0); /* EINVAL: a kernel without */
    return (int)syscall(SYS_capset, &head, none);
}

const char *user_become(const struct user *u)
{
    uid_t r, e, s;
    gid_t gr, ge, gs;
    /* The C library's own would have every thread do the same, and lock for it: after a fork there is but one. */
    if (syscall(SYS_setgroups, u->n_groups, u->groups) < 0)
        return "setgroups";
    if (syscall(SYS_setresgid, u->gid, u->gid, u->gid) < 0)
        return "setresgid";
    if (syscall(SYS_setresuid, u->uid, u->uid, u->uid) < 0)
        return "setresuid";
    errno = EPERM;
    if (getresuid(&r, &e, &s) < 0 || r != u->uid || e != u->uid || s != u->uid ||
        getresgid(&gr, &ge, &gs) < 0 || gr != u->gid || ge != u->gid || gs != u->gid)
        return "the check of what it became";
    if (u->uid == 0)
        return NULL;
    if (drop_capabilities() < 0)
        return "capset";
    if (syscall(SYS_setresuid, -1, 0, -1) == 0 || syscall(SYS_setuid, 0) == 0 ||
        syscall(SYS_setgroups, 0, NULL) == 0 || (u->gid != 0 && syscall(SYS_setgid, 0) == 0)) {
        errno = EPERM;
        return "the check that root is out of reach";
    }
    return NULL;
}
