/* fdpass: descriptors arrive once, close-on-exec, and none is left over on any path. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/fd.h"
#include "ipc/fdpass.h"

static int sock[2];

static int setup(void **state)
{
    (void)state;
    return socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, sock);
}

static int teardown(void **state)
{
    (void)state;
    fd_close(&sock[0]);
    fd_close(&sock[1]);
    return 0;
}

static size_t open_fds(void)
{
    int fds[256];
    return fd_census(fds, 256);
}

static void test_descriptors_arrive(void **state)
{
    (void)state;
    for (size_t n = 0; n <= FDPASS_MAX; n++) {
        int p[2], got[FDPASS_MAX];
        char bytes[8];
        size_t n_got;
        assert_int_equal(pipe2(p, O_CLOEXEC | O_NONBLOCK), 0);
        assert_int_equal(fdpass_send(sock[0], "hello", 5, p, n), 5);
        assert_int_equal(fdpass_recv(sock[1], bytes, sizeof bytes, got, &n_got), 5);
        assert_memory_equal(bytes, "hello", 5);
        assert_int_equal(n_got, n);
        for (size_t i = 0; i < n; i++)
            assert_int_equal(fcntl(got[i], F_GETFD), FD_CLOEXEC);
        if (n == 2) {
            assert_int_equal(write(got[1], "x", 1), 1);
            assert_int_equal(read(p[0], bytes, sizeof bytes), 1);
        }
        for (size_t i = 0; i < n; i++)
            close(got[i]);
        close(p[0]);
        close(p[1]);
    }
}

static void test_nothing_there_and_end(void **state)
{
    (void)state;
    int got[FDPASS_MAX];
    char byte;
    size_t n_got;
    assert_int_equal(fdpass_recv(sock[1], &byte, 1, got, &n_got), -1);
    assert_int_equal(errno, EAGAIN);
    fd_close(&sock[0]);
    assert_int_equal(fdpass_recv(sock[1], &byte, 1, got, &n_got), 0);
    assert_int_equal(fdpass_send(sock[1], "x", 1, NULL, 0), -1); /* no SIGPIPE */
    assert_int_equal(errno, EPIPE);
}

/* A peer that is not ours may attach more; they are closed, whether the kernel cuts them or we do. */
static void test_too_many_are_closed(void **state)
{
    (void)state;
    static const size_t counts[] = {3, 16, 40};
    for (size_t c = 0; c < sizeof counts / sizeof *counts; c++) {
        size_t n = counts[c], before = open_fds();
        union {
            struct cmsghdr align;
            char bytes[CMSG_SPACE(sizeof(int) * 40)];
        } control;
        memset(&control, 0, sizeof control);
        struct iovec iov = {.iov_base = "x", .iov_len = 1};
        struct msghdr mh = {.msg_iov = &iov,
                            .msg_iovlen = 1,
                            .msg_control = control.bytes,
                            .msg_controllen = CMSG_SPACE(sizeof(int) * n)};
        struct cmsghdr *h = CMSG_FIRSTHDR(&mh);
        h->cmsg_level = SOL_SOCKET;
        h->cmsg_type = SCM_RIGHTS;
        h->cmsg_len = CMSG_LEN(sizeof(int) * n);
        for (size_t i = 0; i < n; i++)
            memcpy(CMSG_DATA(h) + i * sizeof(int), &sock[0], sizeof(int));
        assert_int_equal(sendmsg(sock[0], &mh, 0), 1);
        int got[FDPASS_MAX];
        char byte;
        size_t n_got = 77;
        assert_int_equal(fdpass_recv(sock[1], &byte, 1, got, &n_got), -1);
        assert_int_equal(errno, EPROTO);
        assert_int_equal(n_got, 0);
        assert_int_equal(open_fds(), before);
    }
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {T(test_descriptors_arrive), T(test_nothing_there_and_end),
                                       T(test_too_many_are_closed)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
