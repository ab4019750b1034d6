/* confine_dirs - see confine_dirs.h. */
#include "master/confine_dirs.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/fd.h"
#include "common/base/log.h"

#define DEPTH_MAX 8

static int failed(const char *what, const char *path)
{
    log_crit("dir_not_given", "path=%s step=%s err=%s", log_q(path), what, log_q(strerror(errno)));
    return -1;
}

/* Gives away what stands in the folder fd, and the folder. Files that have another name elsewhere are left alone: a child
 * could have made a link to a file that is not its own. */
static int give_tree(int fd, const struct user *u, unsigned depth)
{
    int again = dup(fd), r = 0;
    DIR *d = again >= 0 ? fdopendir(again) : NULL;
    if (d == NULL) {
        fd_close(&again);
        return -1;
    }
    for (struct dirent *e; r == 0 && (e = readdir(d)) != NULL;) {
        struct stat st;
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
            continue;
        int one = openat(fd, e->d_name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
        if (one < 0)
            continue; /* a link, a socket, or gone */
        if (fstat(one, &st) == 0 && S_ISDIR(st.st_mode) && depth < DEPTH_MAX)
            r = give_tree(one, u, depth + 1);
        else if (S_ISREG(st.st_mode) && st.st_nlink == 1 && (st.st_uid != u->uid || st.st_gid != u->gid))
            r = fchown(one, u->uid, u->gid);
        fd_close(&one);
    }
    closedir(d);
    return r == 0 ? fchown(fd, u->uid, u->gid) : -1;
}

static int give_folder(const char *path, const struct user *u, gid_t gid, mode_t mode)
{
    if (u == NULL)
        return 0;
    if (fd_make_dirs(path, 0700) < 0)
        return failed("mkdir", path);
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return failed("open", path);
    int r = give_tree(fd, u, 0);
    if (r == 0 && gid != u->gid)
        r = fchown(fd, u->uid, gid);
    if (r == 0)
        r = fchmod(fd, mode);
    fd_close(&fd);
    return r == 0 ? 0 : failed("chown", path);
}

static int give_file(const char *path, const struct user *u)
{
    int fd = open(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0600);
    struct stat st;
    int r = fd >= 0 ? fstat(fd, &st) : -1;
    if (r == 0 && (!S_ISREG(st.st_mode) || st.st_nlink != 1)) {
        errno = EPERM;
        r = -1;
    }
    if (r == 0)
        r = fchown(fd, u->uid, u->gid);
    fd_close(&fd);
    return r == 0 ? 0 : failed("chown", path);
}

static int let_pass(const char *path)
{
    struct stat st;
    if (stat(path, &st) < 0 || ((st.st_mode & 0011) != 0011 && chmod(path, (st.st_mode & 07777) | 0011) < 0))
        return failed("chmod", path);
    return 0;
}

/* Clients know RUN_DIR/redis.sock. */
static int link_socket(const struct conf *c)
{
    char path[PATH_MAX], target[16] = "";
    struct stat st;
    conf_run_path(c, CONF_REDIS_SOCKET, path, sizeof path);
    if (readlink(path, target, sizeof target - 1) > 0 && strcmp(target, CONF_REDIS_SOCKET_OWN) == 0)
        return 0;
    if (lstat(path, &st) == 0 && unlink(path) < 0)
        return failed("unlink", path);
    return symlink(CONF_REDIS_SOCKET_OWN, path) == 0 ? 0 : failed("symlink", path);
}

static int give_redis(const struct conf *c, const struct confine_owners *o)
{
    char path[PATH_MAX];
    if (o->program == NULL || c->redis.mode != CONF_REDIS_MANAGED)
        return 0;
    gid_t clients = o->delivery != NULL ? o->delivery->gid : o->program->gid;
    return give_folder(conf_state_path(c, c->redis.managed_dir, path, sizeof path), o->program,
                       o->program->gid, 0700) == 0 &&
                   give_file(conf_state_path(c, "redis.lock", path, sizeof path), o->program) == 0 &&
                   /* the bit makes the socket's group that of those who connect */
                   give_folder(conf_run_path(c, "redis", path, sizeof path), o->program, clients, 02750) ==
                       0 &&
                   link_socket(c) == 0
               ? 0
               : -1;
}

/* It is ingest's, and each process has a folder of its own in it. A spool process of another user passes through. */
static int give_quarantine(const struct conf *c, const struct confine_owners *o)
{
    char all[PATH_MAX], path[PATH_MAX];
    bool apart = o->spool != NULL && (o->ingest == NULL || o->ingest->uid != o->spool->uid);
    conf_state_path(c, "quarantine", all, sizeof all);
    if (o->ingest != NULL && give_folder(all, o->ingest, o->ingest->gid, apart ? 0711 : 0700) < 0)
        return -1;
    if (o->spool == NULL)
        return 0;
    conf_state_path(c, "quarantine/spool.0", path, sizeof path);
    if (give_folder(path, o->spool, o->spool->gid, 0700) < 0)
        return -1;
    return apart ? let_pass(all) : 0;
}

int confine_dirs_give(const struct conf *c, const struct confine_owners *o)
{
    char path[PATH_MAX];
    if (let_pass(c->node.run_dir) < 0 || let_pass(c->node.state_dir) < 0)
        return -1;
    if (give_quarantine(c, o) < 0)
        return -1;
    if (o->spool != NULL &&
        give_folder(conf_state_path(c, "spool", path, sizeof path), o->spool, o->spool->gid, 0700) < 0)
        return -1;
    return give_redis(c, o);
}

void confine_dirs_clean(const struct conf *c)
{
    char path[PATH_MAX], target[16];
    conf_run_path(c, CONF_REDIS_SOCKET, path, sizeof path);
    if (readlink(path, target, sizeof target) > 0)
        (void)unlink(path);
    (void)rmdir(conf_run_path(c, "redis", path, sizeof path));
}
