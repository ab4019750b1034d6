/* obituary_test - last words, the OOM killer's count, why there is no core, how an end is called, /proc/PID/stat. */
#include "master/obituary.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "master/usage.h"

#define LENGTH(a) (sizeof(a) / sizeof *(a))

static void hear(struct lastwords *w, const char *line)
{
    lastwords_hear(w, line, strlen(line));
}

static void the_report_of_a_crash_is_read(void **state)
{
    (void)state;
    struct lastwords w;
    lastwords_begin(&w);
    hear(&w, "something printed before");
    hear(&w, "crash: signal SIGSEGV address 0x10");
    hear(&w, "build/dray(+0x1234)[0x5566]");
    hear(&w, "/lib/libc.so.6(abort+0x12)[0x7788]");
    hear(&w, "crash: in hand: job b1, job b2");
    hear(&w, "crash: in hand: batch b3");
    hear(&w, "crash: in hand in all: 3");
    hear(&w, "crash: end");
    hear(&w, "and after");
    assert_true(w.crashed);
    assert_string_equal(w.said, "something printed before | and after");
    assert_string_equal(w.held, "job b1, job b2, batch b3");
    assert_int_equal(w.held_in_all, 3);
    assert_string_equal(w.address, "0x10");
    assert_int_equal(w.sender, 0);
    lastwords_begin(&w);
    assert_int_equal(w.held_in_all, -1);
    hear(&w, "crash: signal SIGABRT from pid 4711");
    assert_int_equal(w.sender, 4711);
    assert_string_equal(w.address, "");
}

static void the_end_of_much_is_kept(void **state)
{
    (void)state;
    struct lastwords w;
    char line[64];
    lastwords_begin(&w);
    for (int i = 0; i < 100; i++) {
        snprintf(line, sizeof line, "line number %d", i);
        hear(&w, line);
        assert_true(strlen(w.said) < LASTWORDS_MAX);
    }
    assert_non_null(strstr(w.said, "line number 98 | line number 99"));
    assert_null(strstr(w.said, "line number 10 "));
    assert_true(strncmp(w.said, "line number ", 12) == 0);
}

static void what_is_odd_does_no_harm(void **state)
{
    (void)state;
    struct lastwords w;
    char big[9000];
    memset(big, 'x', sizeof big);
    lastwords_begin(&w);
    lastwords_hear(&w, big, sizeof big);
    assert_int_equal(strlen(w.said), LASTWORDS_LINE + 3);
    hear(&w, "");
    lastwords_hear(&w, "\x1b[31mred\xff\0hidden", 17);
    assert_non_null(strstr(w.said, " | ?[31mred?"));
    hear(&w, "crash: in hand: ");
    hear(&w, "crash: in hand: , ,, ");
    hear(&w, "crash: in hand in all: many");
    assert_string_equal(w.held, "");
    assert_int_equal(w.held_in_all, 0);
    for (int i = 0; i < 200; i++)
        hear(&w, "crash: in hand: job b0000000000000000000000ab");
    assert_true(strlen(w.held) < LASTWORDS_MAX);
    assert_true(strlen(w.held) > LASTWORDS_MAX / 2);
    lastwords_begin(&w);
    for (size_t i = 0; i < LASTWORDS_LINE; i += 2)
        memcpy(big + i, "\xc3\xa4", 2);
    memmove(big + 1, big, LASTWORDS_LINE + 100); /* a character stands across the cut */
    big[0] = 'x';
    big[LASTWORDS_LINE + 100] = '\0';
    hear(&w, big);
    assert_true(strlen(w.said) <= LASTWORDS_LINE + 3);
}

static void the_oom_killers_count(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool known;
        uint64_t n;
    } cases[] = {
        {"low 0\nhigh 0\nmax 55\noom 2\noom_kill 2\noom_group_kill 0\n", true, 2},
        {"oom_kill_disable 0\nunder_oom 0\noom_kill 7\n", true, 7}, /* version 1 */
        {"oom_kill_disable 0\nunder_oom 0\n", false, 0},            /* kernels before 4.13 */
        {"nr_free_pages 1\noom_kill 12345678901\npgpgin 3\n", true, 12345678901},
        {"oom_kill x\n", false, 0},
        {"", false, 0},
    };
    for (size_t i = 0; i < LENGTH(cases); i++) {
        uint64_t n = 0;
        assert_int_equal(obituary_parse_oom(cases[i].text, &n), cases[i].known);
        if (cases[i].known)
            assert_int_equal(n, cases[i].n);
    }
}

static void why_there_is_no_core(void **state)
{
    (void)state;
    static const struct {
        int signo;
        bool on, known;
        uint64_t limit;
        bool dumpable;
        const char *pattern, *want; /* want: it begins so; NULL: none is due */
    } cases[] = {
        {SIGKILL, true, true, 0, true, "core", NULL},
        {SIGTERM, true, true, 0, true, "core", NULL},
        {SIGSEGV, false, true, 0, false, "", "master.core is off"},
        {SIGSEGV, true, true, 0, true, "core", "RLIMIT_CORE is 0"},
        {SIGABRT, true, true, 1, false, "core", "it had dropped its rights"},
        {SIGSYS, true, true, UINT64_MAX, true, "\n", "kernel.core_pattern is empty"},
        {SIGBUS, true, true, UINT64_MAX, true, "|/usr/share/apport", "kernel.core_pattern names a program"},
        {SIGFPE, true, true, UINT64_MAX, true, "core", "the folder of"},
        {SIGILL, true, false, 0, false, "core", "the folder of"}, /* it died before it could be looked at */
    };
    for (size_t i = 0; i < LENGTH(cases); i++) {
        const char *why = obituary_no_core(cases[i].signo, cases[i].on, cases[i].known, cases[i].limit,
                                           cases[i].dumpable, cases[i].pattern);
        if (cases[i].want == NULL) {
            assert_null(why);
            continue;
        }
        assert_non_null(why);
        assert_true(strncmp(why, cases[i].want, strlen(cases[i].want)) == 0);
    }
}

static void how_an_end_is_called(void **state)
{
    (void)state;
    char text[64];
    assert_string_equal(obituary_exit_text(SIGKILL, text, sizeof text), "SIGKILL");
    assert_string_equal(obituary_exit_text(78 << 8, text, sizeof text), "78 CONFIG");
    assert_string_equal(obituary_exit_text(0, text, sizeof text), "0 OK");
}

static void usage_from_proc(void **state)
{
    (void)state;
    static const char line[] =
        "42 (odd) name) x) S 1 42 42 0 -1 4194560 900 0 3 0 150 50 0 0 20 0 1 0 888 21000000 777 "
        "18446744073709551615 1 1 0 0 0";
    uint64_t cpu = 0, rss = 0;
    assert_int_equal(usage_parse_stat(line, 100, 4096, &cpu, &rss), 0);
    assert_int_equal(cpu, 2000);
    assert_int_equal(rss, 777 * 4096);
    assert_int_equal(usage_parse_stat("42 (x) S 1 2", 100, 4096, &cpu, &rss), -1);
    assert_int_equal(usage_parse_stat("", 100, 4096, &cpu, &rss), -1);
    assert_int_equal(usage_read(getpid(), &cpu, &rss), 0);
    assert_true(rss > 100000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_report_of_a_crash_is_read),
        cmocka_unit_test(the_end_of_much_is_kept),
        cmocka_unit_test(what_is_odd_does_no_harm),
        cmocka_unit_test(the_oom_killers_count),
        cmocka_unit_test(why_there_is_no_core),
        cmocka_unit_test(how_an_end_is_called),
        cmocka_unit_test(usage_from_proc),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
