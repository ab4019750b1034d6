/* command - see command.h. */
#include "workers/program/command.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/close_range.h>
#include <pwd.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/exec.h"
#include "common/base/fd.h"
#include "common/base/mem.h"
#include "common/base/sig.h"
#include "common/base/str.h"

/* --- the plan --- */

int command_plan_env(struct command_plan *p, const char *name, const char *value)
{
    size_t len = strlen(name), i;
    for (i = 0; i < p->n_env; i++) /* the later one counts */
        if (strncmp(p->envp[i], name, len) == 0 && p->envp[i][len] == '=')
            break;
    if (i == COMMAND_ENV_MAX - 1) {
        errno = E2BIG;
        return -1;
    }
    free(p->envp[i]);
    p->envp[i] = xasprintf("%s=%s", name, value);
    p->n_env += i == p->n_env;
    return 0;
}

static int put_variable(struct command_plan *p, const char *variable)
{
    const char *equals = strchr(variable, '=');
    if (equals == NULL)
        return 0;
    char *name = xstrndup(variable, (size_t)(equals - variable));
    int r = command_plan_env(p, name, equals + 1);
    free(name);
    return r;
}

static int plan_environment(struct command_plan *p, const struct conf_program *it, const struct passwd *pw)
{
    int bad = 0;
    for (char **v = environ; *v != NULL; v++)
        if (exec_is_plain_variable(*v))
            bad |= put_variable(p, *v);
    if (getenv("PATH") == NULL)
        bad |= command_plan_env(p, "PATH", EXEC_PATH_DEFAULT);
    if (pw != NULL) {
        bad |= command_plan_env(p, "HOME", pw->pw_dir);
        bad |= command_plan_env(p, "USER", pw->pw_name);
        bad |= command_plan_env(p, "LOGNAME", pw->pw_name);
        bad |= command_plan_env(p, "SHELL", pw->pw_shell);
    }
    for (char *const *v = it->environment; *v != NULL; v++)
        bad |= put_variable(p, *v);
    return bad;
}

/* Nothing is changed that is so already: then it needs no privilege. */
static int plan_user(struct command_plan *p, const struct conf_program *it, const struct passwd *pw)
{
    p->uid = it->user[0] != '\0' ? pw->pw_uid : geteuid();
    p->gid = it->user[0] != '\0' ? pw->pw_gid : getegid();
    if (it->group[0] != '\0') {
        const struct group *gr = getgrnam(it->group);
        if (gr == NULL) {
            errno = EINVAL;
            return -1;
        }
        p->gid = gr->gr_gid;
    }
    p->change_user = p->uid != geteuid() || p->gid != getegid() || (it->user[0] != '\0' && geteuid() == 0);
    p->n_groups = COMMAND_GROUPS_MAX;
    if (p->change_user && pw != NULL && getgrouplist(pw->pw_name, p->gid, p->groups, &p->n_groups) < 0) {
        errno = E2BIG;
        return -1;
    }
    if (pw == NULL)
        p->n_groups = 0;
    return 0;
}

int command_plan_make(struct command_plan *p, const struct conf_program *it, char *const *words)
{
    *p = (struct command_plan){.argv = words, .umask = -1, .nofile = it->nofile, .memory = it->memory_bytes};
    errno = 0;
    const struct passwd *pw = it->user[0] != '\0' ? getpwnam(it->user) : getpwuid(geteuid());
    if (it->user[0] != '\0' && pw == NULL) {
        errno = EINVAL;
        return -1;
    }
    if (plan_environment(p, it, pw) != 0 || plan_user(p, it, pw) != 0)
        return -1;
    p->directory = it->directory[0] != '\0' ? it->directory : NULL;
    p->core = it->core;
    if (it->umask[0] != '\0')
        p->umask = (int)strtol(it->umask, NULL, 8);
    return exec_find(words[0], p->path, sizeof p->path);
}

void command_plan_fini(struct command_plan *p)
{
    for (size_t i = 0; i < p->n_env; i++) {
        explicit_bzero(p->envp[i], strlen(p->envp[i]));
        free(p->envp[i]);
        p->envp[i] = NULL;
    }
    p->n_env = 0;
}

/* --- the start: as posix_spawn does it, in our memory on a stack of its own; until the exec only system calls, and nothing
 * of ours is written but *error --- */

#define STACK_SIZE 65536

/* The sanitizers think of a stack as their thread's. */
#define ON_OWN_STACK __attribute__((no_sanitize("address", "undefined")))

ON_OWN_STACK static int set_limit(int what, uint64_t value)
{
    struct rlimit limit = {.rlim_cur = value, .rlim_max = value}, now;
    if (getrlimit((__rlimit_resource_t)what, &now) == 0 && value > now.rlim_max && geteuid() != 0)
        limit.rlim_cur = limit.rlim_max = now.rlim_max;
    return setrlimit((__rlimit_resource_t)what, &limit);
}

ON_OWN_STACK static int limit(const struct command_plan *p)
{
    struct rlimit core = {0, 0};
    if (p->core && getrlimit(RLIMIT_CORE, &core) == 0)
        core.rlim_cur = core.rlim_max;
    if (setrlimit(RLIMIT_CORE, &core) != 0)
        return -1;
    if (p->nofile > 0 && set_limit(RLIMIT_NOFILE, p->nofile) != 0)
        return -1;
    return p->memory > 0 ? set_limit(RLIMIT_AS, p->memory) : 0;
}

/* By system call: the library's functions would change the threads of the parent, whose memory this is. */
ON_OWN_STACK static int become_user(const struct command_plan *p)
{
    if (!p->change_user)
        return 0;
    if (geteuid() == 0 && syscall(SYS_setgroups, p->n_groups, p->groups) != 0)
        return -1;
    if (syscall(SYS_setresgid, p->gid, p->gid, p->gid) != 0)
        return -1;
    return (int)syscall(SYS_setresuid, p->uid, p->uid, p->uid);
}

ON_OWN_STACK static int place_descriptors(const struct command_fds *fds)
{
    if (dup2(fds->out, STDOUT_FILENO) < 0 || dup2(fds->err, STDERR_FILENO) < 0)
        return -1;
    (void)close_range(STDERR_FILENO + 1, ~0U, CLOSE_RANGE_CLOEXEC);
    if (fds->extra < 0)
        return 0;
    if (fds->extra == fds->extra_at)
        return fcntl(fds->extra, F_SETFD, 0);
    return dup2(fds->extra, fds->extra_at);
}

ON_OWN_STACK static void run(const struct command_plan *p, const struct command_fds *fds, pid_t parent,
                             volatile int *error)
{
    struct sigaction as_default = {.sa_handler = SIG_DFL};
    sigset_t none;
    for (int signo = 1; signo < 32; signo++)
        (void)sigaction(signo, &as_default, NULL);
    sigemptyset(&none);
    if (setpgid(0, 0) == 0 && place_descriptors(fds) >= 0 && limit(p) == 0 &&
        (p->directory == NULL || chdir(p->directory) == 0) && become_user(p) == 0 &&
        prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && prctl(PR_SET_PDEATHSIG, SIGKILL) == 0) {
        if (p->umask >= 0)
            (void)umask((mode_t)p->umask);
        (void)sigprocmask(SIG_SETMASK, &none, NULL);
        if (getppid() == parent)
            (void)execve(p->path, p->argv, p->envp);
    }
    *error = errno;
    _exit(127);
}

struct start {
    const struct command_plan *plan;
    const struct command_fds *fds;
    pid_t parent;
    volatile int error;
};

ON_OWN_STACK static int start(void *arg)
{
    struct start *s = arg;
    run(s->plan, s->fds, s->parent, &s->error);
    return 127;
}

int command_start(struct command *c, const struct command_plan *p, const struct command_fds *fds)
{
    static _Alignas(
        16) char stack[STACK_SIZE]; /* of the child until its exec; this process waits meanwhile */
    struct start s = {.plan = p, .fds = fds, .parent = getpid()};
    sigset_t all, before;
    *c = (struct command){.pidfd = -1, .started_ms = clock_mono_ms()};
    sigfillset(&all);
    (void)sigprocmask(SIG_SETMASK, &all, &before);
    pid_t pid = clone(start, stack + sizeof stack, CLONE_VM | CLONE_VFORK | SIGCHLD, &s);
    int saved = errno, error = s.error;
    (void)sigprocmask(SIG_SETMASK, &before, NULL);
    if (pid < 0) {
        errno = saved;
        return -1;
    }
    if (error == 0 && (c->pidfd = pidfd_open(pid, 0)) < 0) {
        error = errno;
        (void)kill(-pid, SIGKILL);
    }
    if (error != 0) {
        (void)waitid(P_PID, (id_t)pid, &(siginfo_t){0}, WEXITED);
        errno = error;
        return -1;
    }
    c->pid = pid;
    return 0;
}

void command_signal(const struct command *c, int signo)
{
    if (c->pid > 0)
        (void)kill(c->pid, signo);
}

void command_stop(const struct command *c, int signo)
{
    if (c->pid <= 0)
        return;
    /* The number of the group is not given away as long as its leader is not reaped. */
    (void)kill(-c->pid, signo);
    (void)kill(-c->pid, SIGCONT);
}

void command_bury(struct command *c, bool whole, struct command_end *end)
{
    siginfo_t info = {0};
    int r;
    if (whole)
        (void)kill(-c->pid, SIGKILL);
    do {
        r = waitid(P_PID, (id_t)c->pid, &info, WEXITED);
    } while (r != 0 && errno == EINTR);
    end->exited = r == 0 && info.si_code == CLD_EXITED;
    end->code = r == 0 ? info.si_status : SIGKILL;
    if (end->exited)
        snprintf(end->text, sizeof end->text, "exit %d", end->code);
    else
        snprintf(end->text, sizeof end->text, "%s", sig_name(end->code));
    fd_close(&c->pidfd);
    c->pid = 0;
}
