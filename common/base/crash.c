/* crash - see crash.h. Only async-signal-safe calls below the handler; backtrace() is primed at install time, because
 * its first call loads libgcc. */
#include "common/base/crash.h"

#include <execinfo.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include "common/base/sig.h"

#define FRAMES_MAX  48
#define REPORT_LINE 1024 /* the log takes a line of up to PIPE_BUF */

static char alt_stack[64 * 1024];

static struct {
    void (*tell)(void *arg);
    void *arg;
    unsigned held;
    char line[REPORT_LINE];
    size_t len;
} report;

void crash_on_report(void (*tell)(void *arg), void *arg)
{
    report.tell = tell;
    report.arg = arg;
}

static void put(const char *s)
{
    ssize_t ignored = write(STDERR_FILENO, s, strlen(s));
    (void)ignored;
}

static void put_hex(uintptr_t v)
{
    char text[2 + 2 * sizeof v + 1];
    size_t n = sizeof text - 1;
    text[n] = '\0';
    do {
        text[--n] = "0123456789abcdef"[v & 15];
        v >>= 4;
    } while (v != 0);
    text[--n] = 'x';
    text[--n] = '0';
    put(text + n);
}

static void put_number(unsigned long n)
{
    char text[24];
    size_t at = sizeof text - 1;
    text[at] = '\0';
    do {
        text[--at] = (char)('0' + n % 10);
        n /= 10;
    } while (n != 0);
    put(text + at);
}

static void add(const char *s)
{
    while (*s != '\0' && report.len < sizeof report.line - 2)
        report.line[report.len++] = *s++;
}

static void put_line(void)
{
    report.line[report.len++] = '\n';
    report.line[report.len] = '\0';
    put(report.line);
    report.len = 0;
}

void crash_put_held(const char *what, const char *id)
{
    if (report.held++ >= CRASH_HELD_MAX)
        return;
    if (report.len > sizeof report.line - 128)
        put_line();
    add(report.len == 0 ? "crash: in hand: " : ", ");
    add(what);
    add(" ");
    add(id);
}

static void put_in_hand(void)
{
    report.held = 0;
    report.len = 0;
    if (report.tell != NULL)
        report.tell(report.arg);
    if (report.len > 0)
        put_line();
    put("crash: in hand in all: ");
    put_number(report.held);
    put("\n");
}

static void on_crash(int signo, siginfo_t *info, void *context)
{
    (void)context;
    put("crash: signal ");
    put(sig_name(signo));
    if (info->si_code <= 0) { /* sent by a process, itself perhaps (abort) */
        put(" from pid ");
        put_number((unsigned long)info->si_pid);
    } else {
        put(" address ");
        put_hex((uintptr_t)info->si_addr);
    }
    put("\n");
    void *frames[FRAMES_MAX];
    int n = backtrace(frames, FRAMES_MAX);
    backtrace_symbols_fd(frames, n, STDERR_FILENO);
    put_in_hand();
    put("crash: end\n");
    if (getpid() == 1) /* of a container: the kernel would keep it from the default action */
        _exit(128 + signo);
    signal(signo, SIG_DFL);
    raise(signo);
}

void crash_install(void)
{
    static const int signals[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGSYS};
    void *frames[2];
    (void)backtrace(frames, 2);
    stack_t stack = {.ss_sp = alt_stack, .ss_size = sizeof alt_stack};
    (void)sigaltstack(&stack, NULL);
    struct sigaction sa = {.sa_sigaction = on_crash, .sa_flags = SA_SIGINFO | SA_ONSTACK | (int)SA_RESETHAND};
    sigemptyset(&sa.sa_mask);
    for (size_t i = 0; i < sizeof signals / sizeof *signals; i++)
        (void)sigaction(signals[i], &sa, NULL);
}
