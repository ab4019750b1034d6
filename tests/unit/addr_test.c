/* addr_test - the written forms, and real sockets made from them. */
#include "common/base/addr.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

static void test_forms(void **state)
{
    (void)state;
    static const struct {
        const char *text, *back;
        int code; /* 0: taken */
    } rows[] = {
        {"127.0.0.1:8080", "127.0.0.1:8080", 0},
        {"0.0.0.0:0", "0.0.0.0:0", 0},
        {"localhost:65535", "127.0.0.1:65535", 0},
        {"[::1]:80", "[::1]:80", 0},
        {"[2001:db8::1]:443", "[2001:db8::1]:443", 0},
        {"unix:/run/dray/x.sock", "unix:/run/dray/x.sock", 0},
        {"unix:relative", "unix:relative", 0},
        {"", NULL, EINVAL},
        {"127.0.0.1", NULL, EINVAL},
        {"127.0.0.1:", NULL, EINVAL},
        {"127.0.0.1:65536", NULL, EINVAL},
        {"127.0.0.1:-1", NULL, EINVAL},
        {"127.0.0.1: 80", NULL, EINVAL},
        {"127.0.0.1:80x", NULL, EINVAL},
        {"127.0.0.1:99999999999999999999", NULL, EINVAL},
        {"::1:80", NULL, EINVAL},
        {"[::1]", NULL, EINVAL},
        {"[]:80", NULL, EINVAL},
        {"[::zz]:80", NULL, EINVAL},
        {"[127.0.0.1]:80", NULL, EINVAL},
        {"a b:80", NULL, EINVAL},
        {"http://x:80", NULL, EINVAL},
        {"unix:", NULL, EINVAL},
        {"unix:/0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789"
         "0123456789",
         NULL, ENAMETOOLONG},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct addr a;
        char text[200];
        errno = 0;
        int r = addr_parse(rows[i].text, &a);
        if ((r < 0 ? errno : 0) != rows[i].code)
            fail_msg("%s: %s", rows[i].text, strerror(errno));
        if (r == 0)
            assert_string_equal(addr_format((struct sockaddr *)&a.sa, a.len, text, sizeof text),
                                rows[i].back);
    }
    struct addr any;
    assert_int_equal(addr_parse(":8080", &any), 0);
    assert_true(any.sa.ss_family == AF_INET6 || any.sa.ss_family == AF_INET);
}

static void bound_name(int fd, struct addr *out)
{
    out->len = sizeof out->sa;
    assert_int_equal(getsockname(fd, (struct sockaddr *)&out->sa, &out->len), 0);
}

static void test_tcp(void **state)
{
    (void)state;
    struct addr a, here;
    assert_int_equal(addr_parse("127.0.0.1:0", &a), 0);
    int fd = addr_listen(&a, 5, 0);
    assert_true(fd >= 0);
    assert_true(fcntl(fd, F_GETFL) & O_NONBLOCK);
    assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
    bound_name(fd, &here);
    int client = addr_connect(&here, 1000);
    assert_true(client >= 0);
    close(client);
    assert_int_equal(addr_listen(&here, 5, 0), -1);
    assert_int_equal(errno, EADDRINUSE);
    close(fd);
    assert_int_equal(addr_connect(&here, 1000), -1);
    assert_int_equal(errno, ECONNREFUSED);
}

/* ":port" serves both families. */
static void test_every_interface(void **state)
{
    (void)state;
    struct addr a, here, v4;
    char text[64];
    assert_int_equal(addr_parse(":0", &a), 0);
    int fd = addr_listen(&a, 5, 0);
    assert_true(fd >= 0);
    bound_name(fd, &here);
    unsigned port = here.sa.ss_family == AF_INET6 ? ntohs(((struct sockaddr_in6 *)&here.sa)->sin6_port)
                                                  : ntohs(((struct sockaddr_in *)&here.sa)->sin_port);
    snprintf(text, sizeof text, "127.0.0.1:%u", port);
    assert_int_equal(addr_parse(text, &v4), 0);
    int client = addr_connect(&v4, 1000);
    assert_true(client >= 0);
    close(client);
    close(fd);
}

static void test_unix(void **state)
{
    (void)state;
    char dir[] = "/tmp/dray-addr-XXXXXX", text[128];
    assert_non_null(mkdtemp(dir));
    snprintf(text, sizeof text, "unix:%s/s", dir);
    const char *path = text + 5;
    struct addr a;
    struct stat st;
    assert_int_equal(addr_parse(text, &a), 0);
    int fd = addr_listen(&a, 5, 0640);
    assert_true(fd >= 0);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0640);
    int client = addr_connect(&a, 1000);
    assert_true(client >= 0);
    close(client);
    assert_int_equal(addr_listen(&a, 5, 0600), -1); /* it is served */
    assert_int_equal(errno, EADDRINUSE);
    close(fd);
    fd = addr_listen(&a, 5, 0600); /* stale: replaced */
    assert_true(fd >= 0);
    close(fd);
    assert_int_equal(unlink(path), 0);
    FILE *f = fopen(path, "w"); /* no socket: left alone */
    assert_non_null(f);
    fclose(f);
    assert_int_equal(addr_listen(&a, 5, 0600), -1);
    assert_int_equal(stat(path, &st), 0);
    unlink(path);
    rmdir(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_forms),
        cmocka_unit_test(test_tcp),
        cmocka_unit_test(test_every_interface),
        cmocka_unit_test(test_unix),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
