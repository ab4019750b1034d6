/* upgrade_back - see upgrade_back.h. What a handler does here is async-signal-safe: the variable and the lists for the
 * exec were made when it was armed. */
#include "master/upgrade_back.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/exitcode.h"
#include "common/base/fd.h"
#include "common/base/mem.h"
#include "common/base/sig.h"
#include "master/upgrade_adopt.h"

static struct {
    volatile sig_atomic_t armed;
    int exe_fd;
    char **argv, **env;
    char variable[640];
    size_t head; /* of it: what stands before the reason */
    char alt_stack[64 * 1024];
} back;

static const int fatal_signals[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGSYS, SIGTRAP, SIGALRM};

static void add(const char *text)
{
    size_t n = strlen(back.variable);
    while (*text != '\0' && n < sizeof back.variable - 1)
        back.variable[n++] = *text++;
    back.variable[n] = '\0';
}

static void execute(void)
{
    back.armed = 0;
    (void)alarm(0);
    (void)execveat(back.exe_fd, "", back.argv, back.env, AT_EMPTY_PATH);
}

static void on_fatal(int signo)
{
    if (back.armed) {
        back.variable[back.head] = '\0';
        add(signo == SIGALRM ? "it did not take over in time" : "it died of ");
        if (signo != SIGALRM)
            add(sig_name(signo));
        execute();
    }
    (void)signal(signo, SIG_DFL);
    (void)raise(signo);
    _exit(EXIT_CODE_BUG); /* process 1 does not die of a signal */
}

static void on_exit_call(void)
{
    if (back.armed) {
        add("it ended while it took over");
        execute();
    }
}

void upgrade_back_arm(int state_fd, int exe_fd, char **argv)
{
    size_t n = 0;
    while (environ[n] != NULL)
        n++;
    back.env = xcalloc(n + 2, sizeof *back.env);
    memcpy(back.env, environ, n * sizeof *back.env);
    back.env[n] = back.variable;
    back.argv = argv;
    back.exe_fd = exe_fd;
    (void)fd_set_cloexec(exe_fd, true); /* the predecessor opens its own again, and is not told of this one */
    back.head = (size_t)snprintf(back.variable, sizeof back.variable,
                                 UPGRADE_VARIABLE "=%d:%d:-1:", (int)getpid(), state_fd);
    stack_t stack = {.ss_sp = back.alt_stack, .ss_size = sizeof back.alt_stack};
    (void)sigaltstack(&stack, NULL);
    struct sigaction sa = {.sa_handler = on_fatal, .sa_flags = SA_ONSTACK};
    sigset_t these;
    sigemptyset(&these);
    sigemptyset(&sa.sa_mask);
    back.armed = 1;
    for (size_t i = 0; i < sizeof fatal_signals / sizeof *fatal_signals; i++) {
        (void)sigaction(fatal_signals[i], &sa, NULL);
        sigaddset(&these, fatal_signals[i]);
    }
    (void)sigprocmask(SIG_UNBLOCK, &these, NULL);
    (void)atexit(on_exit_call);
    (void)alarm(UPGRADE_ADOPT_S);
}

void upgrade_back_disarm(void)
{
    back.armed = 0;
    (void)alarm(0);
    for (size_t i = 0; i < sizeof fatal_signals / sizeof *fatal_signals; i++)
        (void)signal(fatal_signals[i], SIG_DFL);
    free(back.env);
    back.env = NULL;
}

void upgrade_back_go(const char *reason)
{
    if (back.armed) {
        back.variable[back.head] = '\0';
        add(reason);
        execute();
    }
    fprintf(stderr, "dray: the state of the predecessor cannot be taken over: %s\n", reason);
    _exit(EXIT_CODE_BUG);
}
