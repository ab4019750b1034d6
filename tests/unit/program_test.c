/* program_test - answers, output and lock of the managed redis-server: the parts that need no server. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/exec.h"
#include "workers/program/lockfile.h"
#include "workers/program/output.h"
#include "workers/program/reply.h"
#include "workers/program/server.h"

static void answers_are_read(void **state)
{
    (void)state;
    static const struct {
        const char *data;
        ssize_t used; /* 0: more must come; -1: refused */
        enum reply_type type;
        const char *text;
    } rows[] = {
        {"+PONG\r\n", 7, REPLY_STATUS, "PONG"},
        {"+PONG\r\nrest", 7, REPLY_STATUS, "PONG"},
        {"-LOADING Redis is loading\r\n", 27, REPLY_ERROR, "LOADING Redis is loading"},
        {":12\r\n", 5, REPLY_INTEGER, "12"},
        {"$3\r\nabc\r\n", 9, REPLY_BULK, "abc"},
        {"$0\r\n\r\n", 6, REPLY_BULK, ""},
        {"$-1\r\n", 5, REPLY_NULL, ""},
        {"", 0, 0, NULL},
        {"+PON", 0, 0, NULL},
        {"+PONG\r", 0, 0, NULL},
        {"$3\r\nab", 0, 0, NULL},
        {"$3\r\nabc\r", 0, 0, NULL},
        {"$3\r\nabcd\r\n", -1, 0, NULL},
        {"$-2\r\n", -1, 0, NULL},
        {"$3x\r\nabc\r\n", -1, 0, NULL},
        {"$\r\n", -1, 0, NULL},
        {"$99999999999999999999999\r\n", -1, 0, NULL},
        {"$65537\r\n", -1, 0, NULL},
        {"*1\r\n+OK\r\n", -1, 0, NULL},
        {"HTTP/1.1 400 Bad\r\n", -1, 0, NULL},
        {"+\n", -1, 0, NULL},
        {"\n", -1, 0, NULL},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct reply r = {0};
        ssize_t used = reply_parse(rows[i].data, strlen(rows[i].data), &r);
        if (used != rows[i].used)
            fail_msg("row %zu: %zd, not %zd", i, used, rows[i].used);
        if (used <= 0)
            continue;
        assert_int_equal(r.type, rows[i].type);
        assert_int_equal(r.len, strlen(rows[i].text));
        assert_memory_equal(r.text, rows[i].text, r.len);
    }
}

static void an_endless_line_is_refused(void **state)
{
    (void)state;
    char *data = malloc(REPLY_MAX);
    struct reply r;
    memset(data, 'x', REPLY_MAX);
    data[0] = '+';
    assert_int_equal(reply_parse(data, REPLY_MAX - 1, &r), 0);
    assert_int_equal(reply_parse(data, REPLY_MAX, &r), -1);
    assert_int_equal(errno, EMSGSIZE);
    free(data);
}

static void info_fields_are_found(void **state)
{
    (void)state;
    static const char text[] = "# Clients\r\nconnected_clients:12\r\nmaxclients:10000\r\nbad:1x\r\nlast:7";
    const struct reply r = {.type = REPLY_BULK, .text = text, .len = sizeof text - 1};
    assert_int_equal(reply_info(&r, "connected_clients"), 12);
    assert_int_equal(reply_info(&r, "maxclients"), 10000);
    assert_int_equal(reply_info(&r, "last"), 7);
    assert_int_equal(reply_info(&r, "clients"), -1);
    assert_int_equal(reply_info(&r, "connected"), -1);
    assert_int_equal(reply_info(&r, "bad"), -1);
}

static void levels_follow_the_mark(void **state)
{
    (void)state;
    static const struct {
        const char *line;
        enum log_level level;
        const char *text;
    } rows[] = {
        {"1:M 21 Nov 2026 02:41:28.123 * Ready to accept", LOGL_INFO, "Ready to accept"},
        {"1:M 21 Nov 2026 02:41:28.123 # Can't save", LOGL_WARN, "Can't save"},
        {"1:C 21 Nov 2026 02:41:28.123 # Configuration loaded", LOGL_INFO, "Configuration loaded"},
        {"1:M 21 Nov 2026 02:41:28.123 - DB 0", LOGL_DEBUG, "DB 0"},
        {"1:M 21 Nov 2026 02:41:28.123 . x", LOGL_DEBUG, "x"},
        {"1:M 21 Nov 2026 02:41:28.123 ! x", LOGL_WARN, "1:M 21 Nov 2026 02:41:28.123 ! x"},
        {"*** FATAL CONFIG FILE ERROR (Redis 7.0.15) ***", LOGL_WARN,
         "*** FATAL CONFIG FILE ERROR (Redis 7.0.15) ***"},
        {"1:M 21 Nov", LOGL_WARN, "1:M 21 Nov"},
        {"7:signal-handler (1795233363) Received SIGTERM", LOGL_INFO, "Received SIGTERM"},
        {"7:signal-handler (1795233363", LOGL_WARN, "7:signal-handler (1795233363"},
        {"1:M 21 Nov 2026 02:41:28.123 ", LOGL_WARN, "1:M 21 Nov 2026 02:41:28.123 "},
        {"", LOGL_WARN, ""},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        size_t at;
        assert_int_equal(output_level(rows[i].line, strlen(rows[i].line), &at), rows[i].level);
        assert_string_equal(rows[i].line + at, rows[i].text);
    }
}

struct seen {
    unsigned n;
    size_t longest;
    char last[OUTPUT_LINE_MAX + 1];
};

static void see(enum log_level level, const char *text, size_t len, void *arg)
{
    (void)level;
    struct seen *s = arg;
    s->n++;
    s->longest = len > s->longest ? len : s->longest;
    memcpy(s->last, text, len);
    s->last[len] = '\0';
}

static void lines_are_joined_and_cut(void **state)
{
    (void)state;
    static struct output o;
    struct seen s = {0};
    const char part[] = "one\ntw";
    output_feed(&o, part, sizeof part - 1, see, &s);
    assert_int_equal(s.n, 1);
    assert_string_equal(s.last, "one");
    output_feed(&o, "o\r\n\n", 4, see, &s); /* an empty line is none */
    assert_int_equal(s.n, 2);
    assert_string_equal(s.last, "two");
    for (int i = 0; i < 3000; i++)
        output_feed(&o, "x", 1, see, &s);
    assert_int_equal(s.n, 4);
    assert_int_equal(s.longest, OUTPUT_LINE_MAX);
    output_flush(&o, see, &s);
    assert_int_equal(s.n, 5);
    output_flush(&o, see, &s);
    assert_int_equal(s.n, 5);
}

/* Not as LOCKFILE_FD: that number is redis-server's. */
static int open_high(const char *path)
{
    int fd = lockfile_open(path), high = fcntl(fd, F_DUPFD_CLOEXEC, 10);
    close(fd);
    return high;
}

static void the_lock_outlives_who_took_it(void **state)
{
    (void)state;
    char path[] = "/tmp/dray-lock-XXXXXX";
    close(mkstemp(path));
    int a = open_high(path), b = open_high(path);
    struct lockfile_note note = {.server = 12, .owner = 34, .socket = "/run/a b/redis.sock"}, back;
    assert_true(a >= 0 && b >= 0);
    lockfile_read(a, &back);
    assert_int_equal(back.server, 0);
    assert_int_equal(lockfile_take(a), 0);
    assert_int_equal(lockfile_take(a), 0);
    assert_int_equal(lockfile_take(b), -1);
    assert_int_equal(errno, EWOULDBLOCK);
    assert_int_equal(lockfile_write(a, &note), 0);
    lockfile_read(b, &back);
    assert_int_equal(back.server, 12);
    assert_int_equal(back.owner, 34);
    assert_string_equal(back.socket, "/run/a b/redis.sock");

    pid_t holder = fork();
    if (holder == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (dup2(a, LOCKFILE_FD) < 0)
            _exit(1);
        close(b);
        for (;;)
            pause();
    }
    pid_t found = 0;
    for (int i = 0; i < 500 && found != holder; i++) {
        found = lockfile_holder(b);
        usleep(10000);
    }
    assert_int_equal(found, holder);
    close(a);
    assert_int_equal(lockfile_take(b), -1);
    kill(holder, SIGKILL);
    assert_int_equal(waitpid(holder, NULL, 0), holder);
    assert_int_equal(lockfile_take(b), 0);
    assert_int_equal(lockfile_holder(b), 0);
    close(b);
    unlink(path);
}

static void a_damaged_note_is_none(void **state)
{
    (void)state;
    static const char *const rows[] = {
        "", "\n", "12\n", "12 34\n", "x 34 /a\n", "12 -1 /a\n", "99999999999 1 /a\n"};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char path[] = "/tmp/dray-lock-XXXXXX";
        int fd = mkstemp(path);
        struct lockfile_note note;
        assert_int_equal(write(fd, rows[i], strlen(rows[i])), strlen(rows[i]));
        lockfile_read(fd, &note);
        assert_int_equal(note.server, 0);
        assert_int_equal(note.owner, 0);
        assert_string_equal(note.socket, "");
        close(fd);
        unlink(path);
    }
}

static bool has_pair(const struct server_args *args, const char *key, const char *value)
{
    for (size_t i = 0; args->argv[i] != NULL; i++)
        if (strcmp(args->argv[i], key) == 0)
            return strcmp(args->argv[i + 1], value) == 0;
    return false;
}

static void the_server_is_durable_and_private(void **state)
{
    (void)state;
    const struct conf_redis c = {.managed_maxmemory_bytes = 1u << 30,
                                 .managed_appendfsync = CONF_FSYNC_EVERYSEC};
    struct server_args args;
    server_arguments(&c, "/run/redis.sock", "/lib/redis", &args);
    assert_true(has_pair(&args, "--port", "0"));
    assert_true(has_pair(&args, "--unixsocket", "/run/redis.sock"));
    assert_true(has_pair(&args, "--unixsocketperm", "700"));
    assert_true(has_pair(&args, "--dir", "/lib/redis"));
    assert_true(has_pair(&args, "--appendonly", "yes"));
    assert_true(has_pair(&args, "--appendfsync", "everysec"));
    assert_true(has_pair(&args, "--maxmemory", "1073741824"));
    assert_true(has_pair(&args, "--maxmemory-policy", "noeviction"));
    assert_true(has_pair(&args, "--save", ""));
    assert_true(has_pair(&args, "--daemonize", "no"));
}

static void the_binary_is_found(void **state)
{
    (void)state;
    char path[256], small[4];
    assert_int_equal(exec_find("sh", path, sizeof path), 0);
    assert_int_equal(path[0], '/');
    assert_int_equal(exec_find(path, path, sizeof path), 0);
    assert_int_equal(exec_find("no-such-program-anywhere", path, sizeof path), -1);
    assert_int_equal(errno, ENOENT);
    assert_int_equal(exec_find("/dev/null", path, sizeof path), -1);
    assert_int_equal(exec_find("/bin/sh", small, sizeof small), -1);
    assert_int_equal(errno, ENAMETOOLONG);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers_are_read),         cmocka_unit_test(an_endless_line_is_refused),
        cmocka_unit_test(info_fields_are_found),    cmocka_unit_test(levels_follow_the_mark),
        cmocka_unit_test(lines_are_joined_and_cut), cmocka_unit_test(the_lock_outlives_who_took_it),
        cmocka_unit_test(a_damaged_note_is_none),   cmocka_unit_test(the_server_is_durable_and_private),
        cmocka_unit_test(the_binary_is_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
