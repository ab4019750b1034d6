/* crash - what a process says when it dies by a bug.
 *
 * Installs handlers for SEGV, BUS, FPE, ILL, ABRT and SYS on an alternate stack. The handler writes to fd 2, with
 * async-signal-safe calls only: the signal and address, the "in hand" note, a backtrace; then the default action.
 */
#ifndef DRAY_COMMON_BASE_CRASH_H
#define DRAY_COMMON_BASE_CRASH_H

void crash_install(void);

/* What this process holds right now (batch or job ids, loop phase), kept for the obituary; cut at 512 bytes. */
void crash_note(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

#endif
