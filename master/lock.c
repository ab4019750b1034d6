/* lock - see lock.h. */
#include "master/lock.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/fd.h"
#include "common/base/hook.h"
#include "common/base/id.h"
#include "common/base/log.h"
#include "master/control_sock.h"
#include "master/state.h"

#define WATCH_S 60.
#define LEFT_MS 2000

static int make_dir(const char *key, const char *path)
{
    if (fd_make_dirs(path, 0750) == 0 && access(path, W_OK | X_OK) == 0)
        return 0;
    log_crit("dir_failed", "key=%s path=%s err=%s remedy=%s", key, log_q(path), log_q(strerror(errno)),
             log_q("give the service's user a folder that it may write to"));
    return -1;
}

static void write_pid(int fd, const char *path)
{
    char text[32];
    int n = snprintf(text, sizeof text, "%d\n", (int)getpid());
    if (ftruncate(fd, 0) < 0 || pwrite(fd, text, (size_t)n, 0) != n)
        log_warn("lock_pid_not_written", "path=%s err=%s", log_q(path), log_q(strerror(errno)));
}

static unsigned long owner_of(int fd)
{
    char text[32] = "";
    if (pread(fd, text, sizeof text - 1, 0) < 0)
        text[0] = '\0';
    return strtoul(text, NULL, 10);
}

/* What a killed master had forked and what has not executed yet holds its lock a little longer than it. */
static int lock_when_left(int fd)
{
    uint64_t until = clock_mono_ms() + LEFT_MS;
    while (flock(fd, LOCK_EX | LOCK_NB) < 0) {
        int error = errno;
        unsigned long owner = owner_of(fd);
        if (error != EWOULDBLOCK || owner == 0 || owner > INT_MAX || kill((pid_t)owner, 0) == 0 ||
            errno != ESRCH || clock_mono_ms() >= until) {
            errno = error;
            return -1;
        }
        (void)poll(NULL, 0, 10);
    }
    return 0;
}

int lock_take(const struct conf *c, enum exitcode *code)
{
    char path[PATH_MAX];
    *code = EXIT_CODE_NOPERM;
    if (make_dir("node.run_dir", c->node.run_dir) < 0 || make_dir("node.state_dir", c->node.state_dir) < 0)
        return -1;
    conf_run_path(c, "lock", path, sizeof path);
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0640);
    if (fd < 0) {
        log_crit("lock_failed", "path=%s err=%s", log_q(path), log_q(strerror(errno)));
        return -1;
    }
    if (lock_when_left(fd) < 0) {
        log_crit("already_running", "owner_pid=%lu run_dir=%s remedy=%s", owner_of(fd),
                 log_q(c->node.run_dir),
                 log_q("stop it with dray stop, or give this instance another node.run_dir"));
        *code = EXIT_CODE_TEMP;
        fd_close(&fd);
        return -1;
    }
    write_pid(fd, path);
    *code = EXIT_CODE_OK;
    return fd;
}

/* ------------------------------------------------------------------ while it runs */

/* The path names the locked file itself, not one that took its place. */
static bool is_locked_file(int fd, const char *path)
{
    struct stat held, there;
    return fstat(fd, &held) == 0 && stat(path, &there) == 0 && held.st_dev == there.st_dev &&
           held.st_ino == there.st_ino;
}

/* 0: locked again under its name; -1: it cannot be made (errno); 1: somebody else holds it (pid). */
static int take_again(struct master *m, const char *path, unsigned long *pid)
{
    if (fd_make_dirs(m->conf->node.run_dir, 0750) < 0)
        return -1;
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0640);
    if (fd < 0)
        return -1;
    if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
        int error = errno;
        *pid = owner_of(fd);
        fd_close(&fd);
        errno = error;
        return error == EWOULDBLOCK ? 1 : -1;
    }
    write_pid(fd, path);
    fd_close(&m->lock_fd);
    m->lock_fd = fd;
    return 0;
}

static void look(struct master *m)
{
    char path[PATH_MAX];
    unsigned long pid = 0;
    bool told = m->lock_lost;
    conf_run_path(m->conf, "lock", path, sizeof path);
    m->lock_lost = !is_locked_file(m->lock_fd, path);
    if (m->lock_lost) {
        int how = take_again(m, path, &pid);
        const char *err = strerror(errno);
        m->lock_lost = how != 0;
        if (how == 0)
            log_crit(
                "lock_lost", "path=%s made_again=yes remedy=%s", log_q(path),
                log_q(
                    "somebody removed it: keep cleaners away from node.run_dir; dray restart program makes the "
                    "managed Redis' socket again"));
        else if (!told && how > 0)
            log_crit("lock_lost", "path=%s made_again=no owner_pid=%lu remedy=%s", log_q(path), pid,
                     log_q("another master runs in this run_dir: stop one of the two"));
        else if (!told)
            log_crit("lock_lost", "path=%s made_again=no err=%s remedy=%s", log_q(path), log_q(err),
                     log_q("it goes on without; make node.run_dir again, writable to it"));
    } else if (told) {
        log_info("lock_found", "path=%s", log_q(path));
    }
    if (!m->lock_lost)
        control_sock_check(m->control_sock);
}

static void on_watch(struct ev_loop *loop, ev_timer *w, int revents)
{
    (void)loop, (void)revents;
    struct master *m = w->data;
    look(m);
    turn_part(&m->turn, "lock");
}

void lock_watch(struct master *m)
{
    double every = (double)hook_ms("DRAY_TEST_LOCK_MS", (uint64_t)(WATCH_S * 1e3)) / 1e3;
    ev_timer_init(&m->lock_watch, on_watch, every, every);
    m->lock_watch.data = m;
    ev_timer_start(m->loop, &m->lock_watch);
}

void lock_unwatch(struct master *m)
{
    ev_timer_stop(m->loop, &m->lock_watch);
}

/* ------------------------------------------------------------------ who this is */

int lock_identity(const struct conf *c, char *node, uint64_t *run)
{
    char path[PATH_MAX], temp[PATH_MAX], *text = NULL;
    size_t len;
    unsigned long long before = 0;
    conf_state_path(c, "node", path, sizeof path);
    conf_state_path(c, "node.tmp", temp, sizeof temp);
    if (fd_read_file(path, 256, &text, &len) < 0 || sscanf(text, "%36[0-9a-f-] %llu", node, &before) != 2 ||
        strlen(node) != UUID_SIZE - 1) {
        if (text != NULL)
            log_warn("node_file_replaced", "path=%s", log_q(path));
        id_uuid4(node);
        before = 0;
    }
    free(text);
    *run = before + 1;
    char line[96];
    int n = snprintf(line, sizeof line, "%s %llu\n", node, (unsigned long long)*run);
    int fd = open(temp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0640);
    if (fd >= 0 && fd_write_full(fd, line, (size_t)n) == 0 && fsync(fd) == 0 && rename(temp, path) == 0) {
        fd_close(&fd);
        return 0;
    }
    int error = errno;
    fd_close(&fd);
    if (error != ENOSPC && error != EDQUOT && error != EIO) {
        log_crit("node_file_failed", "path=%s err=%s remedy=%s", log_q(path), log_q(strerror(error)),
                 log_q("node.state_dir must be writable"));
        return -1;
    }
    /* Nothing depends on the file but that no two runs have one number: this one takes the time. */
    *run = before + clock_wall_ms();
    log_warn("node_file_not_written", "path=%s err=%s run=%llu remedy=%s", log_q(path),
             log_q(strerror(error)), (unsigned long long)*run, log_q("node.state_dir needs room"));
    (void)unlink(temp);
    return 0;
}
