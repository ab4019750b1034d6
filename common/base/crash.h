/* crash - what a process says when it dies by a bug.
 *
 * Installs handlers for SEGV, BUS, FPE, ILL, ABRT and SYS on an alternate stack. The handler writes to fd 2, with
 * async-signal-safe calls only: the signal, who sent it or the address, a backtrace, what is in hand; then the default
 * action. What is in hand comes last: to look for it in a broken process may be its end.
 */
#ifndef DRAY_COMMON_BASE_CRASH_H
#define DRAY_COMMON_BASE_CRASH_H

void crash_install(void);

/* tell is called by the handler and names what this process holds, one crash_put_held each. It may only read. */
void crash_on_report(void (*tell)(void *arg), void *arg);
/* "job", its id. Only inside tell; after CRASH_HELD_MAX of them the rest is only counted. */
void crash_put_held(const char *what, const char *id);

#define CRASH_HELD_MAX 256

#endif
