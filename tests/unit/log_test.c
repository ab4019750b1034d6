/* log_test - one line an event, quoting, levels, the tagged form on the pipe, drops counted and told. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/log.h"

static struct {
    enum log_level level;
    char line[LOG_LINE_MAX + 1];
    unsigned n;
} last;

static void take(enum log_level level, const char *line, void *arg)
{
    assert_ptr_equal(arg, &last);
    last.level = level;
    last.n++;
    assert_true(strlen(line) <= LOG_LINE_MAX);
    strcpy(last.line, line);
}

static int to_writer(void **state)
{
    (void)state;
    memset(&last, 0, sizeof last);
    log_to_writer(take, &last);
    log_set_level(LOGL_INFO);
    return 0;
}

static void test_lines(void **state)
{
    (void)state;
    errno = ENOENT;
    log_warn("redis_lost", "addr=%s n=%d", "x", 3);
    assert_int_equal(errno, ENOENT);
    assert_int_equal(last.level, LOGL_WARN);
    assert_string_equal(last.line, "event=redis_lost addr=x n=3");
    log_info("started", "");
    assert_string_equal(last.line, "event=started");
    log_info("odd", "a=%s", "x\ny\rz\001w"); /* a line stays a line */
    assert_string_equal(last.line, "event=odd a=x y z w");
    char big[3 * LOG_LINE_MAX];
    memset(big, 'a', sizeof big - 1);
    big[sizeof big - 1] = '\0';
    log_info("big", "%s", big);
    assert_true(strlen(last.line) >= LOG_LINE_MAX - 2 && strlen(last.line) <= LOG_LINE_MAX);
}

static void test_levels(void **state)
{
    (void)state;
    static const char *const names[] = {"crit", "error", "warn", "info", "debug"};
    for (int i = LOGL_CRIT; i <= LOGL_DEBUG; i++) {
        enum log_level level;
        assert_int_equal(log_level_parse(names[i], &level), 0);
        assert_int_equal(level, i);
        assert_string_equal(log_level_name(level), names[i]);
    }
    enum log_level level;
    assert_int_equal(log_level_parse("warning", &level), -1);
    log_debug("quiet", "");
    assert_int_equal(last.n, 0);
    log_set_level(LOGL_CRIT);
    log_error("quiet", "");
    assert_int_equal(last.n, 0);
    log_crit("loud", "");
    assert_int_equal(last.n, 1);
    log_set_level(LOGL_DEBUG);
    log_debug("now", "");
    assert_int_equal(last.n, 2);
}

static void test_quoting(void **state)
{
    (void)state;
    static const struct {
        const char *text, *quoted;
    } rows[] = {
        {"", "\"\""},
        {NULL, "\"\""},
        {"plain text", "\"plain text\""},
        {"a\"b\\c", "\"a\\\"b\\\\c\""},
        {"a\nb", "\"a\\nb\""},
        {"a\r\t\x01\x7f", "\"a\\x0d\\x09\\x01\\x7f\""},
        {"\xc3\xa9", "\"\xc3\xa9\""},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        assert_string_equal(log_q(rows[i].text), rows[i].quoted);
    assert_string_equal(log_qn("a\0b", 3), "\"a\\x00b\"");
    char big[5000];
    memset(big, '\x02', sizeof big); /* each byte becomes four */
    assert_in_range(strlen(log_qn(big, sizeof big)), 900, 910);
    /* Eight in one call do not disturb each other. */
    const char *q[8];
    for (int i = 0; i < 8; i++)
        q[i] = log_q((const char[]){(char)('a' + i), '\0'});
    for (int i = 0; i < 8; i++)
        assert_string_equal(q[i], ((const char[]){'"', (char)('a' + i), '"', '\0'}));
}

/* fd 2 becomes a pipe while fn runs; what was written there comes back. */
static size_t through_pipe(void (*fn)(int reader), char *out, size_t size)
{
    int fds[2], kept = dup(STDERR_FILENO);
    assert_int_equal(pipe(fds), 0);
    assert_true(dup2(fds[1], STDERR_FILENO) >= 0);
    close(fds[1]);
    fn(fds[0]);
    log_to_stderr();
    assert_true(dup2(kept, STDERR_FILENO) >= 0);
    close(kept);
    size_t n = 0;
    ssize_t got;
    while (n < size && (got = read(fds[0], out + n, size - n)) > 0)
        n += (size_t)got;
    close(fds[0]);
    return n;
}

static void write_tagged(int reader)
{
    (void)reader;
    log_to_master();
    log_error("x", "a=%d", 1);
}

static void write_plain(int reader)
{
    (void)reader;
    log_to_stderr();
    log_error("x", "a=%d", 1);
}

static void test_forms(void **state)
{
    (void)state;
    char out[256];
    size_t n = through_pipe(write_tagged, out, sizeof out);
    assert_int_equal(n, strlen("\0011event=x a=1\n"));
    assert_memory_equal(out, "\0011event=x a=1\n", n);
    n = through_pipe(write_plain, out, sizeof out);
    assert_int_equal(n, strlen("dray: x a=1\n"));
    assert_memory_equal(out, "dray: x a=1\n", n);
}

static unsigned told;

/* Sums the numbers of the drops that the lines tell of. */
static void count_told(const char *text)
{
    for (const char *p = text; (p = strstr(p, "event=log_dropped n=")) != NULL; p++)
        told += (unsigned)atoi(p + strlen("event=log_dropped n="));
}

/* The pipe is full: nothing blocks, lines are counted, and the lines that fit tell the number. */
static void fill_pipe(int reader)
{
    static char sink[1 << 20];
    log_to_master();
    uint64_t before = log_dropped();
    char tail[1000];
    memset(tail, 'a', sizeof tail - 1);
    tail[sizeof tail - 1] = '\0';
    unsigned lines = 0;
    while (log_dropped() < before + 3 && lines++ < 5000)
        log_error("fill", "%s", tail);
    assert_true(log_dropped() == before + 3);
    ssize_t n = read(reader, sink, sizeof sink - 1); /* the whole pipe at once */
    assert_true(n > 0);
    sink[n] = '\0';
    count_told(sink);
    log_error("after", "");
}

static void test_drops(void **state)
{
    (void)state;
    char out[256];
    size_t n = through_pipe(fill_pipe, out, sizeof out - 1);
    out[n] = '\0';
    assert_non_null(strstr(out, "\0011event=after\n"));
    count_told(out);
    assert_int_equal(told, 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_lines, to_writer),
        cmocka_unit_test_setup(test_levels, to_writer),
        cmocka_unit_test(test_quoting),
        cmocka_unit_test(test_forms),
        cmocka_unit_test(test_drops),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
