/* notify - the sd_notify protocol, the receiving side: a datagram socket that a program finds in NOTIFY_SOCKET.
 * Only READY, STOPPING, WATCHDOG and STATUS are heard; everything else, MAINPID too, is left alone.
 */
#ifndef DRAY_WORKERS_PROGRAM_NOTIFY_H
#define DRAY_WORKERS_PROGRAM_NOTIFY_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#define NOTIFY_ADDRESS_MAX 64
#define NOTIFY_STATUS_MAX  256

struct notify_news {
    bool ready, stopping, watchdog;
    char status[NOTIFY_STATUS_MAX]; /* "": nothing was said */
};

/* Reads the text of a datagram. Pure. */
void notify_parse(const char *text, size_t len, struct notify_news *out);
/* An abstract socket that the kernel names; address is the value for NOTIFY_SOCKET. -1 with errno. */
int notify_open(char address[NOTIFY_ADDRESS_MAX]);
/* The next datagram: 1, or 0 when there is none. From whom: by the kernel's word. */
int notify_receive(int fd, struct notify_news *out, pid_t *pid, uid_t *uid);

#endif
