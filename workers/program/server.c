/* server - see server.h. */
#include "workers/program/server.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/fd.h"
#include "common/base/sig.h"
#include "common/base/str.h"
#include "workers/program/lockfile.h"

void server_arguments(const struct conf_redis *c, const char *socket, const char *dir,
                      struct server_args *out)
{
    static const char *const fsync_words[] = {
        [CONF_FSYNC_ALWAYS] = "always", [CONF_FSYNC_EVERYSEC] = "everysec", [CONF_FSYNC_NO] = "no"};
    snprintf(out->maxmemory, sizeof out->maxmemory, "%llu", (unsigned long long)c->managed_maxmemory_bytes);
    size_t len = strlen(socket), own = sizeof CONF_REDIS_SOCKET_OWN - 1;
    bool is_own = len > own && strcmp(socket + len - own, CONF_REDIS_SOCKET_OWN) == 0;
    const char *const argv[] = {
        "redis-server",
        /* Only on the unix socket, only for this user; in a folder of its own, the folder's group are its clients. */
        "--port", "0", "--unixsocket", socket, "--unixsocketperm", is_own ? "770" : "700", "--protected-mode",
        "yes",
        /* Durable by the append-only file alone: no snapshots beside it. */
        "--dir", dir, "--appendonly", "yes", "--appendfsync", fsync_words[c->managed_appendfsync], "--save",
        "",
        /* Under load the file grows fast: it is rewritten less often than by default, and what is written anew is not
         * compressed, which was most of the cost. */
        "--auto-aof-rewrite-min-size", "256mb", "--rdbcompression", "no",
        /* Full means refused, never evicted. */
        "--maxmemory", out->maxmemory, "--maxmemory-policy", "noeviction",
        /* In the foreground, printing to us. */
        "--daemonize", "no", "--supervised", "no", "--logfile", "", "--loglevel", "notice",
        "--always-show-logo", "no", NULL};
    _Static_assert(sizeof argv <= sizeof out->argv, "SERVER_ARGS_MAX");
    memcpy(out->argv, argv, sizeof argv);
}

static int spawn(pid_t *pid, const char *binary, const struct server_args *args, int lock_fd, int output)
{
    posix_spawn_file_actions_t files;
    posix_spawnattr_t attr;
    sigset_t all, none;
    sigfillset(&all);
    sigemptyset(&none);
    if ((errno = posix_spawn_file_actions_init(&files)) != 0)
        return -1;
    if ((errno = posix_spawnattr_init(&attr)) != 0) {
        posix_spawn_file_actions_destroy(&files);
        return -1;
    }
    int e = 0;
    if ((e = posix_spawn_file_actions_adddup2(&files, output, STDOUT_FILENO)) == 0 &&
        (e = posix_spawn_file_actions_adddup2(&files, output, STDERR_FILENO)) == 0 &&
        (e = posix_spawn_file_actions_adddup2(&files, lock_fd, LOCKFILE_FD)) == 0 &&
        (e = posix_spawn_file_actions_addclosefrom_np(&files, LOCKFILE_FD + 1)) == 0 &&
        (e = posix_spawnattr_setsigdefault(&attr, &all)) == 0 &&
        (e = posix_spawnattr_setsigmask(&attr, &none)) == 0 &&
        (e = posix_spawnattr_setpgroup(&attr, 0)) == 0 &&
        (e = posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGDEF |
                                                 POSIX_SPAWN_SETSIGMASK)) == 0)
        e = posix_spawn(pid, binary, &files, &attr, (char *const *)(uintptr_t)args->argv, environ);
    posix_spawnattr_destroy(&attr);
    posix_spawn_file_actions_destroy(&files);
    errno = e;
    return e == 0 ? 0 : -1;
}

int server_start(struct server *s, const char *binary, const struct server_args *args, int lock_fd)
{
    int output[2];
    *s = (struct server){.pidfd = -1, .output_fd = -1, .started_ms = clock_mono_ms()};
    if (pipe2(output, O_CLOEXEC | O_NONBLOCK) !=
        0) /* non-blocking for it too: printing must never hold it up */
        return -1;
    int r = spawn(&s->pid, binary, args, lock_fd, output[1]);
    fd_close(&output[1]);
    if (r != 0) {
        fd_close(&output[0]);
        s->pid = 0;
        return -1;
    }
    s->output_fd = output[0];
    s->pidfd = pidfd_open(s->pid, 0);
    if (s->pidfd >= 0)
        return 0;
    int saved = errno;
    char how[32];
    server_kill(s);
    server_bury(s, how, sizeof how);
    fd_close(&s->output_fd);
    errno = saved;
    return -1;
}

int server_adopt(struct server *s, pid_t pid)
{
    char path[64];
    *s = (struct server){.pid = pid, .output_fd = -1, .adopted = true, .started_ms = clock_mono_ms()};
    s->pidfd = pidfd_open(pid, 0);
    if (s->pidfd < 0) {
        s->pid = 0;
        return -1;
    }
    /* Its output is a pipe whose reader is gone: opening it by name makes us the reader. */
    snprintf(path, sizeof path, "/proc/%d/fd/1", (int)pid);
    s->output_fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    return 0;
}

void server_signal(const struct server *s, int signo)
{
    if (s->pid > 0 && s->pidfd >= 0)
        (void)pidfd_send_signal(s->pidfd, signo, NULL, 0);
}

void server_kill(const struct server *s)
{
    if (s->pid <= 0)
        return;
    /* The group has its leader's number, which is not given away as long as the leader is not reaped. */
    if (getpgid(s->pid) == s->pid)
        (void)kill(-s->pid, SIGKILL);
    server_signal(s, SIGKILL);
}

void server_bury(struct server *s, char *how, size_t size)
{
    snprintf(how, size, "ended");
    if (!s->adopted && s->pid > 0) {
        (void)kill(-s->pid, SIGKILL);
        siginfo_t info = {0};
        int r;
        do {
            r = waitid(P_PID, (id_t)s->pid, &info, WEXITED);
        } while (r != 0 && errno == EINTR);
        if (r == 0 && info.si_code == CLD_EXITED)
            snprintf(how, size, "exit %d", info.si_status);
        else if (r == 0)
            snprintf(how, size, "%s", sig_name(info.si_status));
    }
    fd_close(&s->pidfd);
    s->pid = 0;
}
