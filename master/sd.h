/* sd - the service manager's notification protocol (sd_notify(3)), without its library. */
#ifndef DRAY_MASTER_SD_H
#define DRAY_MASTER_SD_H

#include <stdint.h>

/* Sends "KEY=value\n..." to NOTIFY_SOCKET; nothing happens where there is none. */
void sd_notify_text(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* Half of WATCHDOG_USEC in ms, 0 when no watchdog is wanted of this process. */
uint64_t sd_watchdog_ms(void);

#endif
