/* sd - the service manager's notification protocol (sd_notify(3)), without its library. Nothing happens where
 * NOTIFY_SOCKET is not set, or names no unix socket (a path, or "@" and an abstract name).
 *
 * READY, RELOADING and STOPPING are said where they happen (health.c, reload.c, reconcile.c) by sd_notify_text. What has a
 * clock of its own is here: WATCHDOG=1 at half of WATCHDOG_USEC, from a timer of the master's loop, so that it says
 * that this loop turns and nothing more; and STATUS, whenever it reads differently.
 */
#ifndef DRAY_MASTER_SD_H
#define DRAY_MASTER_SD_H

#include <stdint.h>

struct master;

/* WATCHDOG_USEC counts only for the process that WATCHDOG_PID names, if it names one. */
void sd_start(struct master *m);
void sd_stop(struct master *m);
/* Once a second, and when the health has changed. */
void sd_status(struct master *m);
/* A start or a stop takes so much longer from now on than the service manager may think. */
void sd_extend(const struct master *m, uint64_t ms);
/* Sends "KEY=value\n...". */
void sd_notify_text(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

#endif
