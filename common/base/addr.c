/* addr - see addr.h. */
#include "common/base/addr.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/base/fd.h"
#include "common/base/str.h"

#define HOST_SIZE 256

static int fail(int code)
{
    errno = code;
    return -1;
}

static int parse_unix(const char *path, struct addr *out)
{
    struct sockaddr_un *un = (struct sockaddr_un *)&out->sa;
    if (*path == '\0')
        return fail(EINVAL);
    if (str_copy(un->sun_path, path, sizeof un->sun_path) >= sizeof un->sun_path)
        return fail(ENAMETOOLONG);
    un->sun_family = AF_UNIX;
    out->len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(path) + 1);
    return 0;
}

static int use_v4(struct addr *out, struct in_addr host, uint16_t port)
{
    struct sockaddr_in *in = (struct sockaddr_in *)&out->sa;
    in->sin_family = AF_INET;
    in->sin_addr = host;
    in->sin_port = htons(port);
    out->len = sizeof *in;
    return 0;
}

static int use_v6(struct addr *out, struct in6_addr host, uint16_t port)
{
    struct sockaddr_in6 *in = (struct sockaddr_in6 *)&out->sa;
    in->sin6_family = AF_INET6;
    in->sin6_addr = host;
    in->sin6_port = htons(port);
    out->len = sizeof *in;
    return 0;
}

static int look_up(const char *host, uint16_t port, struct addr *out)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_ADDRCONFIG}, *found = NULL;
    if (getaddrinfo(host, NULL, &hints, &found) != 0)
        return fail(EHOSTUNREACH);
    int r = -1;
    for (const struct addrinfo *a = found; a != NULL && r < 0; a = a->ai_next) {
        if (a->ai_family == AF_INET)
            r = use_v4(out, ((const struct sockaddr_in *)(const void *)a->ai_addr)->sin_addr, port);
        else if (a->ai_family == AF_INET6)
            r = use_v6(out, ((const struct sockaddr_in6 *)(const void *)a->ai_addr)->sin6_addr, port);
    }
    freeaddrinfo(found);
    return r == 0 ? 0 : fail(EHOSTUNREACH);
}

/* Splits "host:port" and "[v6]:port". A bare v6 address has no place for a port and is refused. */
static int split(const char *text, char host[HOST_SIZE], bool *bracketed, uint16_t *port)
{
    const char *colon = strrchr(text, ':');
    uint64_t n;
    if (colon == NULL || str_parse_u64(colon + 1, &n) < 0 || n > 65535)
        return fail(EINVAL);
    size_t len = (size_t)(colon - text);
    *bracketed = len >= 2 && text[0] == '[' && text[len - 1] == ']';
    if (*bracketed) {
        text++;
        len -= 2;
    }
    if (len >= HOST_SIZE || (!*bracketed && memchr(text, ':', len) != NULL) || (*bracketed && len == 0))
        return fail(EINVAL);
    memcpy(host, text, len);
    host[len] = '\0';
    *port = (uint16_t)n;
    return 0;
}

int addr_parse(const char *text, struct addr *out)
{
    char host[HOST_SIZE];
    bool bracketed;
    uint16_t port;
    struct in_addr v4;
    struct in6_addr v6;
    memset(out, 0, sizeof *out);
    if (str_starts(text, "unix:"))
        return parse_unix(text + 5, out);
    if (split(text, host, &bracketed, &port) < 0)
        return -1;
    if (bracketed)
        return inet_pton(AF_INET6, host, &v6) == 1 ? use_v6(out, v6, port) : fail(EINVAL);
    if (*host == '\0') {
        /* Every interface; a host without IPv6 still has the older one. */
        int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (fd < 0)
            return use_v4(out, (struct in_addr){htonl(INADDR_ANY)}, port);
        fd_close(&fd);
        return use_v6(out, in6addr_any, port);
    }
    if (strcmp(host, "localhost") == 0)
        return use_v4(out, (struct in_addr){htonl(INADDR_LOOPBACK)}, port);
    if (inet_pton(AF_INET, host, &v4) == 1)
        return use_v4(out, v4, port);
    if (strpbrk(host, " \t/@[]") != NULL)
        return fail(EINVAL);
    return look_up(host, port, out);
}

/* A socket file that nobody serves any more is removed; one that is served stays (bind says EADDRINUSE). */
static void remove_stale(const struct addr *a)
{
    const struct sockaddr_un *un = (const struct sockaddr_un *)&a->sa;
    struct stat st;
    if (lstat(un->sun_path, &st) < 0 || !S_ISSOCK(st.st_mode))
        return;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return;
    if (connect(fd, (const struct sockaddr *)&a->sa, a->len) < 0 && errno == ECONNREFUSED)
        (void)unlink(un->sun_path);
    fd_close(&fd);
}

int addr_listen(const struct addr *a, int backlog, unsigned mode)
{
    int on = 1, off = 0, family = a->sa.ss_family;
    int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    if (family == AF_UNIX)
        remove_stale(a);
    else if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) < 0)
        goto failed;
    if (family == AF_INET6 && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off) < 0)
        goto failed;
    if (bind(fd, (const struct sockaddr *)&a->sa, a->len) < 0)
        goto failed;
    /* Before listen: nobody can connect while the file still has the permissions of the umask. */
    if (family == AF_UNIX && chmod(((const struct sockaddr_un *)&a->sa)->sun_path, (mode_t)mode) < 0)
        goto failed;
    if (listen(fd, backlog) < 0)
        goto failed;
    return fd;
failed:
    fd_close(&fd);
    return -1;
}

static int await_connected(int fd, int timeout_ms)
{
    struct pollfd p = {.fd = fd, .events = POLLOUT};
    int r, code = 0;
    socklen_t len = sizeof code;
    do {
        r = poll(&p, 1, timeout_ms);
    } while (r < 0 && errno == EINTR);
    if (r < 0)
        return -1;
    if (r == 0)
        return fail(ETIMEDOUT);
    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &code, &len) < 0)
        return -1;
    return code == 0 ? 0 : fail(code);
}

int addr_connect(const struct addr *a, int timeout_ms)
{
    int fd = socket(a->sa.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    int r = connect(fd, (const struct sockaddr *)&a->sa, a->len);
    if (r < 0 && errno == EINPROGRESS)
        r = await_connected(fd, timeout_ms);
    if (r < 0)
        fd_close(&fd);
    return fd;
}

char *addr_format(const struct sockaddr *sa, socklen_t len, char *dst, size_t size)
{
    char host[INET6_ADDRSTRLEN];
    if (sa->sa_family == AF_INET) {
        const struct sockaddr_in *in = (const struct sockaddr_in *)(const void *)sa;
        inet_ntop(AF_INET, &in->sin_addr, host, sizeof host);
        snprintf(dst, size, "%s:%u", host, ntohs(in->sin_port));
    } else if (sa->sa_family == AF_INET6) {
        const struct sockaddr_in6 *in = (const struct sockaddr_in6 *)(const void *)sa;
        inet_ntop(AF_INET6, &in->sin6_addr, host, sizeof host);
        snprintf(dst, size, "[%s]:%u", host, ntohs(in->sin6_port));
    } else if (sa->sa_family == AF_UNIX) {
        const struct sockaddr_un *un = (const struct sockaddr_un *)(const void *)sa;
        size_t path =
            len > offsetof(struct sockaddr_un, sun_path) ? len - offsetof(struct sockaddr_un, sun_path) : 0;
        snprintf(dst, size, "unix:%.*s", (int)path, un->sun_path);
    } else {
        str_copy(dst, "?", size);
    }
    return dst;
}
