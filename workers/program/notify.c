/* notify - see notify.h. */
#include "workers/program/notify.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/base/fd.h"

#define DATAGRAM_MAX 4096

static bool is_line(const char *line, size_t len, const char *wanted)
{
    return len == strlen(wanted) && memcmp(line, wanted, len) == 0;
}

void notify_parse(const char *text, size_t len, struct notify_news *out)
{
    static const char status[] = "STATUS=";
    *out = (struct notify_news){.ready = false};
    for (size_t at = 0; at < len;) {
        const char *line = text + at, *lf = memchr(line, '\n', len - at);
        size_t n = lf != NULL ? (size_t)(lf - line) : len - at;
        out->ready |= is_line(line, n, "READY=1");
        out->stopping |= is_line(line, n, "STOPPING=1");
        out->watchdog |= is_line(line, n, "WATCHDOG=1");
        if (n >= sizeof status - 1 && memcmp(line, status, sizeof status - 1) == 0)
            snprintf(out->status, sizeof out->status, "%.*s", (int)(n - sizeof status + 1),
                     line + sizeof status - 1);
        at += n + 1;
    }
}

int notify_open(char address[NOTIFY_ADDRESS_MAX])
{
    struct sockaddr_un sa = {.sun_family = AF_UNIX};
    socklen_t len = sizeof sa;
    int on = 1, fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    if (setsockopt(fd, SOL_SOCKET, SO_PASSCRED, &on, sizeof on) != 0 ||
        bind(fd, (struct sockaddr *)&sa, sizeof sa.sun_family) != 0 ||
        getsockname(fd, (struct sockaddr *)&sa, &len) != 0) {
        fd_close(&fd);
        return -1;
    }
    size_t n = len - offsetof(struct sockaddr_un, sun_path) - 1; /* behind the NUL of an abstract name */
    snprintf(address, NOTIFY_ADDRESS_MAX, "@%.*s", (int)n, sa.sun_path + 1);
    return fd;
}

/* Descriptors may come along (FDSTORE=1, BARRIER=1): closing them is the answer that a barrier waits for. */
static void take_control(struct msghdr *m, pid_t *pid, uid_t *uid)
{
    for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c != NULL; c = CMSG_NXTHDR(m, c)) {
        if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_CREDENTIALS) {
            struct ucred cred;
            memcpy(&cred, CMSG_DATA(c), sizeof cred);
            *pid = cred.pid;
            *uid = cred.uid;
        } else if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS) {
            size_t n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
            for (size_t i = 0; i < n; i++) {
                int fd;
                memcpy(&fd, CMSG_DATA(c) + i * sizeof fd, sizeof fd);
                close(fd);
            }
        }
    }
}

int notify_receive(int fd, struct notify_news *out, pid_t *pid, uid_t *uid)
{
    char text[DATAGRAM_MAX];
    _Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(struct ucred)) + CMSG_SPACE(253 * sizeof(int))];
    struct iovec iov = {.iov_base = text, .iov_len = sizeof text};
    struct msghdr m = {
        .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    *pid = 0;
    *uid = (uid_t)-1;
    ssize_t n;
    do {
        n = recvmsg(fd, &m, MSG_CMSG_CLOEXEC);
    } while (n < 0 && errno == EINTR);
    if (n < 0)
        return 0;
    take_control(&m, pid, uid);
    notify_parse(text, (size_t)n, out);
    return 1;
}
