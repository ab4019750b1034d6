/* sandbox_test - what a filter and the rules for files let through, each case in a process of its own, which stays inside;
 * and who a process is to become. */
#include "workers/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/base/user.h"

#define ABSENT 77 /* the kernel has none of it */

static char folder[] = "/tmp/dray-sandbox-XXXXXX", readable[64], writable[64], closed[64];

/* The status of fn in a process of its own; 0: all was as it should be, else the line of the first that was not. */
static int in_a_child(int (*fn)(int arg), int arg)
{
    int status;
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0)
        _exit(fn(arg));
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

#define EXPECT(condition)                                                                                    \
    do {                                                                                                     \
        if (!(condition)) {                                                                                  \
            dprintf(STDERR_FILENO, "%s:%d: %s (%s)\n", __FILE__, __LINE__, #condition, strerror(errno));     \
            return 1;                                                                                        \
        }                                                                                                    \
    } while (0)

static bool is_refused(long result, int error)
{
    return result == -1 && errno == error;
}

/* ---- system calls */

static void *open_packet_socket(void *arg)
{
    int *pipe_fd = arg;
    char byte;
    if (read(*pipe_fd, &byte, 1) != 1) /* until the filter is there */
        return NULL;
    return is_refused(socket(AF_PACKET, SOCK_RAW, 0), EPERM) ? arg : NULL;
}

static int calls(int kind)
{
    pthread_t thread;
    void *result;
    int fds[2], can_connect = kind == SANDBOX_DELIVERY;
    EXPECT(pipe(fds) == 0 && pthread_create(&thread, NULL, open_packet_socket, &fds[0]) == 0);
    if (sandbox_calls_restrict((enum sandbox_kind)kind, false) < 0)
        return errno == ENOSYS || errno == EINVAL ? ABSENT : 1;
    EXPECT(sandbox_calls_denied() == 0);
    EXPECT(write(fds[1], "x", 1) == 1 && pthread_join(thread, &result) == 0 && result != NULL);
    EXPECT(sandbox_calls_denied() == 1);
    EXPECT((socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0) >= 0) == can_connect);
    EXPECT((socket(AF_INET6, SOCK_DGRAM, 0) >= 0) == can_connect);
    EXPECT(is_refused(socket(AF_INET, SOCK_RAW, 1), EPERM));
    EXPECT(sandbox_calls_denied() == 1); /* each number once */
    EXPECT(is_refused(execv("/bin/true", (char *[]){"true", NULL}), EPERM));
    EXPECT(is_refused(ptrace(PTRACE_TRACEME, 0, NULL, NULL), EPERM));
    EXPECT(is_refused(kill(getppid(), 0), EPERM) && kill(getpid(), 0) == 0);
    EXPECT(is_refused(setuid(0), EPERM));
    EXPECT(sandbox_calls_denied() == 5);
    EXPECT((fsync(open(".", O_RDONLY)) == 0) == (kind == SANDBOX_INGEST));
    pthread_t later;
    EXPECT(pthread_create(&later, NULL, open_packet_socket, &fds[0]) == 0); /* threads can be made inside */
    EXPECT(write(fds[1], "x", 1) == 1 && pthread_join(later, &result) == 0 && result != NULL);
    return 0;
}

static void test_calls(void **state)
{
    (void)state;
    static const enum sandbox_kind kinds[] = {SANDBOX_INGEST, SANDBOX_DELIVERY, SANDBOX_CONSOLE};
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        int result = in_a_child(calls, (int)kinds[i]);
        if (result == ABSENT) {
            print_message("this kernel has no seccomp\n");
            skip();
        }
        assert_int_equal(result, 0);
    }
}

/* By the whole way in, as a child takes it: names resolve inside, without a module being loaded. */
static int names(int unused)
{
    (void)unused;
    struct conf c = {.node = {.state_dir = folder}};
    struct addrinfo *found = NULL;
    EXPECT(sandbox_enter_files(SANDBOX_DELIVERY, &c) == EXIT_CODE_OK);
    EXPECT(sandbox_enter_calls(SANDBOX_DELIVERY, &c) == EXIT_CODE_OK);
    EXPECT(getaddrinfo("localhost", "80", NULL, &found) == 0);
    freeaddrinfo(found);
    EXPECT(getaddrinfo("127.0.0.1", "80", NULL, &found) == 0);
    freeaddrinfo(found);
    EXPECT(sandbox_calls_denied() == 0);
    return 0;
}

static void test_names(void **state)
{
    (void)state;
    assert_int_equal(in_a_child(names, 0), 0);
}

static int switched_off(int unused)
{
    (void)unused;
    struct conf c = {.master = {.seccomp = CONF_SECCOMP_OFF, .landlock = CONF_LANDLOCK_OFF}};
    EXPECT(sandbox_enter_files(SANDBOX_INGEST, &c) == EXIT_CODE_OK);
    EXPECT(sandbox_enter_calls(SANDBOX_INGEST, &c) == EXIT_CODE_OK);
    EXPECT(socket(AF_INET, SOCK_STREAM, 0) >= 0 && open(closed, O_RDONLY) >= 0);
    struct conf on = {.node = {.state_dir = folder}};
    EXPECT(sandbox_enter_files(SANDBOX_NONE, &on) == EXIT_CODE_OK); /* a kind without */
    EXPECT(sandbox_enter_calls(SANDBOX_NONE, &on) == EXIT_CODE_OK);
    EXPECT(socket(AF_INET, SOCK_STREAM, 0) >= 0 && open(closed, O_RDONLY) >= 0);
    return 0;
}

static void test_off(void **state)
{
    (void)state;
    assert_int_equal(in_a_child(switched_off, 0), 0);
}

/* ---- files */

static const char *in(const char *where, const char *name)
{
    static char paths[4][128];
    static unsigned next;
    char *path = paths[next++ % 4];
    snprintf(path, sizeof paths[0], "%s/%s", where, name);
    return path;
}

static int files(int unused)
{
    (void)unused;
    int before = open(in(closed, "file"), O_RDWR);
    const char *const read_paths[] = {readable, "/no/such/folder", NULL}, *const write_paths[] = {writable,
                                                                                                  NULL};
    int abi = sandbox_files_restrict(read_paths, write_paths);
    if (abi == 0)
        return ABSENT;
    EXPECT(abi > 0);
    EXPECT(open(in(readable, "file"), O_RDONLY) >= 0);
    EXPECT(is_refused(open(in(readable, "file"), O_WRONLY), EACCES));
    EXPECT(is_refused(open(in(readable, "new"), O_RDWR | O_CREAT, 0600), EACCES));
    EXPECT(is_refused(unlink(in(readable, "file")), EACCES));
    EXPECT(is_refused(open(in(closed, "file"), O_RDONLY), EACCES));
    EXPECT(is_refused(open("/etc/passwd", O_RDONLY), EACCES));
    EXPECT(write(before, "x", 1) == 1); /* what was open stays */
    EXPECT(open(in(writable, "new"), O_RDWR | O_CREAT, 0600) >= 0 && truncate(in(writable, "new"), 3) == 0);
    EXPECT(mkdir(in(writable, "deep"), 0700) == 0 &&
           rename(in(writable, "new"), in(writable, "deep/old")) == 0);
    EXPECT(unlink(in(writable, "deep/old")) == 0 && rmdir(in(writable, "deep")) == 0);
    EXPECT(symlink("/etc", in(writable, "way-out")) == -1);
    return 0;
}

static void test_files(void **state)
{
    (void)state;
    int result = in_a_child(files, 0);
    if (result == ABSENT) {
        print_message("this kernel has no Landlock\n");
        skip();
    }
    assert_int_equal(result, 0);
}

/* ---- users */

static void test_users(void **state)
{
    (void)state;
    static const struct {
        const char *text, *why; /* NULL: found */
        uid_t uid;
        gid_t gid;
    } rows[] = {
        {"root", NULL, 0, 0},
        {"0", NULL, 0, 0},
        {"daemon:root", NULL, 1, 0},
        {"987654:987655", NULL, 987654, 987655},
        {"no-such-user", "there is no user \"no-such-user\"", 0, 0},
        {"987654", "no user with the number 987654", 0, 0},
        {"4294967295:0", "there is no user", 0, 0},
        {"root:no-such-group", "there is no group \"no-such-group\"", 0, 0},
        {"root:", "expected user or user:group", 0, 0},
        {":root", "expected user or user:group", 0, 0},
        {"a-name-that-is-longer-than-any-name-of-a-user-may-be-on-any-system-x", "expected user", 0, 0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct user u;
        char why[160] = "";
        int r = user_find(rows[i].text, &u, why, sizeof why);
        if (rows[i].why != NULL) {
            assert_int_equal(r, -1);
            assert_non_null(strstr(why, rows[i].why));
            continue;
        }
        assert_int_equal(r, 0);
        assert_int_equal(u.uid, rows[i].uid);
        assert_int_equal(u.gid, rows[i].gid);
        assert_true(u.n_groups >= 1 && u.groups[0] == u.gid);
    }
}

static void test_groups(void **state)
{
    (void)state;
    struct user u = {.n_groups = 0};
    for (gid_t g = 0; g < USER_GROUPS_MAX; g++)
        assert_int_equal(user_add_group(&u, g), 0);
    assert_int_equal(user_add_group(&u, 5), 0); /* is there */
    assert_int_equal(user_add_group(&u, USER_GROUPS_MAX), -1);
    assert_int_equal(errno, ENOSPC);
    assert_int_equal(u.n_groups, USER_GROUPS_MAX);
}

static int become(int is_root)
{
    struct user u = {.uid = 65534, .gid = 65534, .groups = {65534}, .n_groups = 1};
    const char *failed = user_become(&u);
    if (!is_root) {
        EXPECT(failed != NULL && strcmp(failed, "setgroups") == 0 && errno == EPERM);
        return 0;
    }
    EXPECT(failed == NULL && getuid() == 65534 && getgid() == 65534 && getgroups(0, NULL) == 1);
    EXPECT(is_refused(setuid(0), EPERM) && is_refused(setgid(0), EPERM));
    EXPECT(user_become(&u) != NULL); /* not even itself again: setgroups is root's */
    return 0;
}

static void test_become(void **state)
{
    (void)state;
    assert_int_equal(in_a_child(become, geteuid() == 0), 0);
}

static int set_up(void **state)
{
    (void)state;
    if (mkdtemp(folder) == NULL)
        return -1;
    char *const paths[] = {readable, writable, closed};
    static const char *const names_of[] = {"readable", "writable", "closed"};
    for (size_t i = 0; i < 3; i++) {
        snprintf(paths[i], sizeof readable, "%s/%s", folder, names_of[i]);
        if (mkdir(paths[i], 0700) < 0)
            return -1;
        int fd = open(in(paths[i], "file"), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
        if (fd < 0)
            return -1;
        close(fd);
    }
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    const char *const paths[] = {readable, writable, closed};
    for (size_t i = 0; i < 3; i++) {
        (void)unlink(in(paths[i], "file"));
        (void)rmdir(paths[i]);
    }
    return rmdir(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_calls),  cmocka_unit_test(test_names), cmocka_unit_test(test_off),
        cmocka_unit_test(test_files),  cmocka_unit_test(test_users), cmocka_unit_test(test_groups),
        cmocka_unit_test(test_become),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
