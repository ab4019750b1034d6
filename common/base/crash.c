/* crash - see crash.h. Only async-signal-safe calls below the handler; backtrace() is primed at install time, because
 * its first call loads libgcc. */
#include "common/base/crash.h"

#include <execinfo.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/base/sig.h"

#define NOTE_MAX   512
#define FRAMES_MAX 48

static char note[NOTE_MAX];
static char alt_stack[64 * 1024];

void crash_note(const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(note, sizeof note, fmt, ap);
    va_end(ap);
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

static void on_crash(int signo, siginfo_t *info, void *context)
{
    (void)context;
    put("crash: signal ");
    put(sig_name(signo));
    put(" address ");
    put_hex((uintptr_t)info->si_addr);
    put("\ncrash: in hand: ");
    put(note[0] != '\0' ? note : "nothing");
    put("\n");
    void *frames[FRAMES_MAX];
    int n = backtrace(frames, FRAMES_MAX);
    backtrace_symbols_fd(frames, n, STDERR_FILENO);
    put("crash: end\n");
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
