/* addr - the written form of an address: "host:port", "[v6]:port", ":port" (every interface) or "unix:PATH". */
#ifndef DRAY_COMMON_BASE_ADDR_H
#define DRAY_COMMON_BASE_ADDR_H

#include <stddef.h>
#include <sys/socket.h>

struct addr {
    struct sockaddr_storage sa;
    socklen_t len;
};

/* Numeric hosts and "localhost" need no resolver; other names are looked up (blocking: start-up code only).
 * 0, or -1 with errno EINVAL (form), ENAMETOOLONG (unix path), EHOSTUNREACH (no such host). */
int addr_parse(const char *text, struct addr *out);
/* A listening, non-blocking, close-on-exec socket (SO_REUSEADDR; a stale unix socket file that nobody serves is
 * replaced, and gets mode). -1 with errno. */
int addr_listen(const struct addr *a, int backlog, unsigned mode);
/* A connected socket, waiting at most timeout_ms. -1 with errno. Command line code only. */
int addr_connect(const struct addr *a, int timeout_ms);
/* "127.0.0.1:8080", "[::1]:8080", "unix:/run/x.sock". Returns dst. */
char *addr_format(const struct sockaddr *sa, socklen_t len, char *dst, size_t size);

#endif
