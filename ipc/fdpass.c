/* fdpass - see fdpass.h. Called by chan alone. */
#include "ipc/fdpass.h"

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>

#include "common/base/fatal.h"
#include "common/base/fd.h"

#define RECV_ROOM 16 /* more than a peer may send, so that too many are seen and closed */

ssize_t fdpass_send(int sock, const void *data, size_t len, const int *fds, size_t n)
{
    ASSERT(n <= FDPASS_MAX);
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(sizeof(int) * FDPASS_MAX)];
    } control;
    memset(&control, 0, sizeof control);
    struct iovec iov = {.iov_base = (void *)(uintptr_t)data, .iov_len = len};
    struct msghdr mh = {.msg_iov = &iov, .msg_iovlen = 1};
    if (n > 0) {
        mh.msg_control = control.bytes;
        mh.msg_controllen = CMSG_SPACE(sizeof(int) * n);
        struct cmsghdr *c = CMSG_FIRSTHDR(&mh);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(sizeof(int) * n);
        memcpy(CMSG_DATA(c), fds, sizeof(int) * n);
    }
    ssize_t r;
    do {
        r = sendmsg(sock, &mh, MSG_NOSIGNAL | MSG_DONTWAIT);
    } while (r < 0 && errno == EINTR);
    return r;
}

/* Takes the descriptors out of one control message; what is over FDPASS_MAX is closed. False if there were such. */
static bool take(const struct cmsghdr *c, int *fds, size_t *n_fds)
{
    bool fits = true;
    size_t n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (size_t i = 0; i < n; i++) {
        int fd;
        memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof fd);
        if (*n_fds < FDPASS_MAX) {
            fds[(*n_fds)++] = fd;
        } else {
            fd_close(&fd);
            fits = false;
        }
    }
    return fits;
}

ssize_t fdpass_recv(int sock, void *data, size_t len, int *fds, size_t *n_fds)
{
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(sizeof(int) * RECV_ROOM)];
    } control;
    struct iovec iov = {.iov_base = data, .iov_len = len};
    struct msghdr mh = {.msg_iov = &iov,
                        .msg_iovlen = 1,
                        .msg_control = control.bytes,
                        .msg_controllen = sizeof control.bytes};
    *n_fds = 0;
    ssize_t r;
    do {
        r = recvmsg(sock, &mh, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
    } while (r < 0 && errno == EINTR);
    if (r < 0)
        return -1;
    bool ok = (mh.msg_flags & MSG_CTRUNC) == 0;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(&mh); c != NULL; c = CMSG_NXTHDR(&mh, c))
        if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS && !take(c, fds, n_fds))
            ok = false;
    if (!ok) {
        while (*n_fds > 0)
            fd_close(&fds[--*n_fds]);
        errno = EPROTO;
        return -1;
    }
    return r;
}
