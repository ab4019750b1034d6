/* sd - the service manager's notification protocol (sd_notify(3)), without its library. */
#ifndef DRAY_MASTER_SD_H
#define DRAY_MASTER_SD_H

/* Sends "KEY=value\n..." to NOTIFY_SOCKET; nothing happens where there is none. */
void sd_notify_text(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

#endif
