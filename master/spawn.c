/* spawn - see spawn.h.
 *
 * Every descriptor of the master is close-on-exec from birth; the child places the few that it keeps at their fixed
 * numbers, which clears the flag, and executes the program. Between fork and exec only async-signal-safe calls.
 */
#include "master/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "common/base/exitcode.h"
#include "common/base/fd.h"
#include "common/base/hook.h"
#include "common/base/log.h"
#include "ipc/fdmap.h"
#include "master/confine.h"
#include "master/control.h"
#include "master/listen.h"
#include "master/loglevel.h"
#include "master/logmux.h"
#include "master/state.h"

#define SPAWN_LISTEN_MAX 64

struct plan {
    struct confine_plan confine;
    int null, log, control;
    const int *listen;
    size_t n_listen;
};

/* Only async-signal-safe calls. Moves everything above the fixed numbers first, so that no dup2 hits a source. */
static int place(const struct plan *p)
{
    int parked[3 + SPAWN_LISTEN_MAX];
    size_t n = 0;
    const int park =
        FDMAP_LISTEN + (int)p->n_listen; /* above every fixed number, and no higher: the limit may be low */
    const int first[] = {p->null, p->log, p->control};
    for (size_t i = 0; i < 3; i++)
        if ((parked[n++] = fcntl(first[i], F_DUPFD_CLOEXEC, park)) < 0)
            return -1;
    for (size_t i = 0; i < p->n_listen; i++)
        if ((parked[n++] = fcntl(p->listen[i], F_DUPFD_CLOEXEC, park)) < 0)
            return -1;
    if (dup2(parked[0], FDMAP_NULL) < 0 || dup2(parked[1], FDMAP_LOG_OUT) < 0 ||
        dup2(parked[1], FDMAP_LOG) < 0 || dup2(parked[2], FDMAP_CONTROL) < 0)
        return -1;
    for (size_t i = 0; i < p->n_listen; i++)
        if (dup2(parked[3 + i], FDMAP_LISTEN + (int)i) < 0)
            return -1;
    return 0;
}

/* A line of the log, as a child would write it. */
static void tell_failed(const char *step)
{
    static const char head[] = {LOG_TAG, '0' + LOGL_CRIT};
    static const char event[] = "event=confine_failed step=\"";
    const struct iovec pieces[] = {{(void *)(uintptr_t)head, sizeof head},
                                   {(void *)(uintptr_t)event, sizeof event - 1},
                                   {(void *)(uintptr_t)step, strlen(step)},
                                   {(void *)(uintptr_t) "\"\n", 2}};
    if (writev(FDMAP_LOG, pieces, sizeof pieces / sizeof *pieces) < 0)
        _exit(EXIT_CODE_NOPERM);
}

static void become_child(const struct plan *p)
{
    (void)setpgid(0, 0); /* a terminal's Ctrl-C is the master's to interpret */
    /* The master's business; some send it to every process of the name. The child has its own handlers when it stands. */
    static const int masters[] = {SIGINT, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2, SIGTTIN, SIGTTOU, SIGPIPE};
    for (int i = 1; i < NSIG; i++)
        (void)signal(i, SIG_DFL);
    for (size_t i = 0; i < sizeof masters / sizeof *masters; i++)
        (void)signal(masters[i], SIG_IGN);
    sigset_t none;
    sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
    if (place(p) < 0)
        _exit(EXIT_CODE_OSERR);
}

static void run_child(const struct plan *p, const char *path, char *const argv[])
{
    become_child(p);
    const char *failed = confine_apply(&p->confine);
    if (failed != NULL) {
        tell_failed(failed);
        _exit(EXIT_CODE_NOPERM);
    }
    execve(path, argv, p->confine.environment);
    _exit(EXIT_CODE_EXEC);
}

static void say(const char *text)
{
    ssize_t ignored = write(FDMAP_CONTROL, text, strlen(text));
    (void)ignored;
}

static void run_preflight(const struct plan *p, int exe_fd, char *const argv[])
{
    exe_fd = fcntl(exe_fd, F_DUPFD_CLOEXEC, FDMAP_LISTEN + (int)p->n_listen);
    become_child(p);
    (void)execveat(exe_fd, "", argv, environ, AT_EMPTY_PATH);
    const char *why = strerrordesc_np(errno); /* of the few that may be called here */
    say("{\"ok\":false,\"error\":\"it cannot be executed: ");
    say(why != NULL ? why : "?");
    say("\"}\n");
    _exit(EXIT_CODE_EXEC);
}

/* Until the child has its own dispositions it has the master's handlers: they would swallow a signal that is meant for it,
 * such as the TERM of a process that is not wanted any more. run_child opens the mask. */
static pid_t fork_deaf(void)
{
    sigset_t all, old;
    sigfillset(&all);
    (void)sigprocmask(SIG_SETMASK, &all, &old);
    pid_t pid = fork();
    int error = errno;
    if (pid != 0)
        (void)sigprocmask(SIG_SETMASK, &old, NULL);
    errno = error;
    return pid;
}

int spawn_child(struct slot *s)
{
    struct master *m = s->master;
    int listen_fds[SPAWN_LISTEN_MAX];
    struct plan p = {.null = -1, .log = -1, .control = -1, .listen = listen_fds};
    p.n_listen = listen_fds_for(m->listen, s->kind->listen, listen_fds, SPAWN_LISTEN_MAX);
    int control[2] = {-1, -1}, log[2] = {-1, -1};
    const char *path = hook_executable("/proc/self/exe");
    char slot_text[16];
    snprintf(slot_text, sizeof slot_text, "%u", s->index);
    char *argv[] = {m->options->argv[0], "-x", (char *)(uintptr_t)s->kind->name, "-n", slot_text, NULL};

    if ((p.null = open("/dev/null", O_RDWR | O_CLOEXEC)) < 0)
        goto fail;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, control) < 0)
        goto fail;
    if (pipe2(log, O_CLOEXEC | O_NONBLOCK) < 0)
        goto fail;
    p.control = control[1];
    p.log = log[1];
    confine_plan(s, &p.confine);
    HOOK_POINT(child_unforked);
    pid_t pid = fork_deaf();
    int error = errno;
    if (pid != 0)
        confine_plan_end(&p.confine);
    errno = error;
    if (pid < 0)
        goto fail;
    if (pid == 0)
        run_child(&p, path, argv);
    HOOK_POINT(child_forked);
    s->pid = pid;
    s->generation = ++m->last_generation;
    s->n_linked = 0;
    usage_begin(s);
    recycle_begin(s);
    s->lag_told = false;
    obituary_begin(s);
    memset(&s->beat, 0, sizeof s->beat);
    s->left = 0;
    buf_reset(&s->stats);
    s->stats_parts = 0;
    s->configured = false;
    s->epoch = s->told_epoch = 0;
    buf_reset(&s->metrics);
    s->metrics_part = 0;
    s->chan = control_open(s, control[0]);
    s->log = logmux_new(m, log[0], &(struct logsink_origin){s->kind->name, s->index, s->generation, pid});
    logmux_keep(s->log, &s->obituary.words);
    loglevel_tell(s);
    fd_close(&p.null);
    fd_close(&control[1]);
    fd_close(&log[1]);
    return 0;
fail:
    fd_close(&p.null);
    fd_close(&control[0]);
    fd_close(&control[1]);
    fd_close(&log[0]);
    fd_close(&log[1]);
    return -1;
}

int spawn_preflight(struct master *m, int exe_fd, const int fds[2], pid_t *pid, int *control, int *log)
{
    struct plan p = {.null = -1, .log = -1, .control = -1, .listen = fds, .n_listen = 2};
    int near_control[2] = {-1, -1}, near_log[2] = {-1, -1}, rc = -1;
    char *argv[] = {m->options->argv[0], "-x", "preflight", "-n", "0", NULL};
    if ((p.null = open("/dev/null", O_RDWR | O_CLOEXEC)) >= 0 &&
        socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, near_control) == 0 &&
        pipe2(near_log, O_CLOEXEC | O_NONBLOCK) == 0) {
        p.control = near_control[1];
        p.log = near_log[1];
        *pid = fork();
        if (*pid == 0)
            run_preflight(&p, exe_fd, argv);
        rc = *pid < 0 ? -1 : 0;
    }
    *control = rc == 0 ? near_control[0] : -1;
    *log = rc == 0 ? near_log[0] : -1;
    fd_close(&p.null);
    fd_close(&near_control[1]);
    fd_close(&near_log[1]);
    if (rc < 0) {
        *pid = 0;
        fd_close(&near_control[0]);
        fd_close(&near_log[0]);
    }
    return rc;
}
