/* child_boot - what a child does before its first message: descriptors, process title, signals. */
#include "workers/child_int.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/fd.h"
#include "common/base/log.h"
#include "ipc/fdmap.h"

#define FDS_SEEN_MAX   1024
#define ORPHAN_SLACK_S 2 /* behind the deadline of an orphan that still turns */

static bool is_type(int fd, mode_t type)
{
    struct stat st;
    return fstat(fd, &st) == 0 && (st.st_mode & S_IFMT) == type;
}

static bool is_listening(int fd)
{
    int on = 0;
    socklen_t len = sizeof on;
    return getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &on, &len) == 0 && on != 0;
}

int child_boot_check_fds(unsigned *listeners)
{
    if ((fcntl(FDMAP_NULL, F_GETFD) < 0 && errno == EBADF) || !is_type(FDMAP_LOG_OUT, S_IFIFO) ||
        !is_type(FDMAP_LOG, S_IFIFO) || !is_type(FDMAP_CONTROL, S_IFSOCK)) {
        log_error("child_not_started_by_master", "remedy=%s", log_q("start it with: dray run"));
        return -1;
    }
    log_to_master();
    (void)fd_set_nonblock(FDMAP_LOG_OUT);
    (void)fd_set_cloexec(FDMAP_CONTROL, true);
    int fds[FDS_SEEN_MAX];
    size_t n = fd_census(fds, FDS_SEEN_MAX);
    *listeners = 0;
    for (size_t i = 0; i < n && i < FDS_SEEN_MAX; i++) {
        if (fds[i] < FDMAP_LISTEN)
            continue;
        if (fds[i] == FDMAP_LISTEN + (int)*listeners && is_listening(fds[i])) {
            (void)fd_set_cloexec(fds[i], true);
            (void)fd_set_nonblock(fds[i]);
            ++*listeners;
        } else {
            log_error("child_stray_fd", "fd=%d", fds[i]);
            fd_close(&fds[i]);
        }
    }
    return 0;
}

void child_boot_title(char **argv, const char *kind, unsigned slot)
{
    char title[64];
    snprintf(title, sizeof title, "%s.%u", kind, slot);
    (void)prctl(PR_SET_NAME, title);
    if (argv == NULL || argv[0] == NULL)
        return;
    snprintf(title, sizeof title, "dray: %s.%u", kind, slot);
    /* The kernel shows the bytes where argv stood; only what lies in one run behind argv[0] is ours. */
    const char *end = argv[0] + strlen(argv[0]) + 1;
    for (int i = 1; argv[i] != NULL && argv[i] == end; i++)
        end = argv[i] + strlen(argv[i]) + 1;
    size_t room = (size_t)(end - argv[0]), len = strlen(title);
    if (len > room - 1)
        len = room - 1;
    memcpy(argv[0], title, len);
    memset(argv[0] + len, 0, room - len);
}

static struct child *signalled; /* a handler gets no argument */

static void on_term(int signo, siginfo_t *info, void *context)
{
    (void)signo, (void)context;
    int saved = errno;
    signalled->term_pid = info->si_pid;
    ev_async_send(signalled->loop, &signalled->term);
    errno = saved;
}

static void on_masters_business(int signo)
{
    (void)signo;
}

/* The death signal (prctl) of a child whose loop still turns would be a second, worse DRAIN: it sees EOF and drains for
 * CHILD_ORPHAN_MS. One that hangs sees nothing, and nobody is left to kill it: for it the signal winds the clock that
 * ends it, later than any drain would. Sent by somebody else while the master lives, it does nothing. */
static void on_masters_death(int signo)
{
    if (getppid() == signalled->parent)
        return;
    (void)signal(signo, SIG_DFL);
    (void)alarm(CHILD_ORPHAN_MS / 1000 + ORPHAN_SLACK_S);
}

static void set_death_signal(struct child *c)
{
    struct sigaction sa = {.sa_handler = on_masters_death, .sa_flags = SA_RESTART};
    sigemptyset(&sa.sa_mask);
    c->parent = getppid();
    if (sigaction(SIGALRM, &sa, NULL) == 0 && prctl(PR_SET_PDEATHSIG, SIGALRM) < 0)
        log_warn("death_signal_failed", "error=%s", log_q(strerror(errno)));
}

void child_boot_core(bool wanted)
{
    if (prctl(PR_SET_DUMPABLE, wanted ? 1 : 0) < 0)
        log_warn("dumpable_failed", "error=%s", log_q(strerror(errno)));
}

void child_boot_signals(struct child *c)
{
    static const int masters[] = {SIGINT, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2, SIGTTIN, SIGTTOU};
    signalled = c;
    struct sigaction term = {.sa_sigaction = on_term, .sa_flags = SA_SIGINFO | SA_RESTART};
    struct sigaction nothing = {.sa_handler = on_masters_business, .sa_flags = SA_RESTART};
    sigemptyset(&term.sa_mask);
    sigemptyset(&nothing.sa_mask);
    (void)sigaction(SIGTERM, &term, NULL);
    for (size_t i = 0; i < sizeof masters / sizeof *masters; i++)
        (void)sigaction(masters[i], &nothing, NULL);
    set_death_signal(c);
}
