/* cron_test - cron expressions: the next time, the words for what is wrong, clock changes. tests/interop/cron_test.py
 * compares many more with cron-parser. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "common/base/cron.h"

static int64_t utc(const char *text)
{
    struct tm tm = {0};
    assert_non_null(strptime(text, "%Y-%m-%dT%H:%M:%SZ", &tm));
    return tz_days(tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday) * 86400000 + tm.tm_hour * 3600000 +
           tm.tm_min * 60000 + tm.tm_sec * 1000;
}

static const char *shown(int64_t ms)
{
    static char text[40];
    struct tz_date d = tz_date(ms / 86400000);
    int s = (int)(ms % 86400000 / 1000);
    snprintf(text, sizeof text, "%04d-%02d-%02dT%02d:%02d:%02dZ", (int)d.year, d.month, d.day, s / 3600,
             s / 60 % 60, s % 60);
    return text;
}

/* Each was answered so by cron-parser 4.9.0. */
static void test_next(void **state)
{
    (void)state;
    static const struct {
        const char *text, *zone, *after, *next;
    } rows[] = {
        {"* * * * * *", "UTC", "2026-01-01T00:00:00Z", "2026-01-01T00:00:01Z"},
        {"* * * * *", "UTC", "2026-01-01T00:00:00Z", "2026-01-01T00:01:00Z"},
        {"*/15 * * * *", "UTC", "2026-01-01T00:46:00Z", "2026-01-01T01:00:00Z"},
        {"@daily", "UTC", "2026-12-31T12:00:00Z", "2027-01-01T00:00:00Z"},
        {"0 9 * * mon-fri", "UTC", "2026-08-21T09:00:00Z", "2026-08-24T09:00:00Z"},
        {"0 0 1 JAN,jul ?", "UTC", "2026-02-01T00:00:00Z", "2026-07-01T00:00:00Z"},
        {"0 0 L * *", "UTC", "2028-02-01T00:00:00Z", "2028-02-29T00:00:00Z"},
        {"0 0 * * 5L", "UTC", "2026-08-01T00:00:00Z", "2026-08-28T00:00:00Z"},
        {"0 0 * * 2#1", "UTC", "2026-08-21T00:00:00Z", "2026-09-01T00:00:00Z"},
        {"30 4 1,15 * 5", "UTC", "2026-08-15T05:00:00Z", "2026-08-21T04:30:00Z"}, /* either day will do */
        {"0 0 29 2 *", "UTC", "2026-01-01T00:00:00Z", "2028-02-29T00:00:00Z"},
        /* 02:30 does not exist on 2026-03-29 in Berlin: 03:30; on 2026-10-25 it happens twice: once, the first */
        {"30 2 * * *", "Europe/Berlin", "2026-03-28T12:00:00Z", "2026-03-29T01:30:00Z"},
        {"30 2 * * *", "Europe/Berlin", "2026-03-29T01:30:00Z", "2026-03-30T00:30:00Z"},
        {"30 2 * * *", "Europe/Berlin", "2026-10-24T12:00:00Z", "2026-10-25T00:30:00Z"},
        {"30 2 * * *", "Europe/Berlin", "2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"},
        {"30 * * * *", "Europe/Berlin", "2026-10-25T00:30:00Z", "2026-10-25T01:30:00Z"},
        {"0 12 * * *", "Asia/Kathmandu", "2026-01-01T00:00:00Z", "2026-01-01T06:15:00Z"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char why[200] = "";
        struct cron c;
        int64_t next = 0;
        struct tz *z = tz_open(rows[i].zone, why, sizeof why);
        assert_non_null(z);
        assert_int_equal(cron_parse(&c, rows[i].text, why, sizeof why), 0);
        assert_int_equal(cron_next(&c, z, utc(rows[i].after), CRON_NEVER, &next), 0);
        if (strcmp(shown(next), rows[i].next) != 0)
            fail_msg("%s in %s behind %s: %s, not %s", rows[i].text, rows[i].zone, rows[i].after, shown(next),
                     rows[i].next);
        tz_free(z);
    }
}

static void test_bounds(void **state)
{
    (void)state;
    char why[200];
    struct cron c;
    int64_t next = 0, noon = utc("2026-01-01T12:00:00Z");
    struct tz *z = tz_open("UTC", why, sizeof why);
    assert_int_equal(cron_parse(&c, "0 12 * * *", why, sizeof why), 0);
    assert_int_equal(cron_next(&c, z, noon - 1, noon, &next), 0);
    assert_int_equal(next, noon);
    assert_int_equal(cron_next(&c, z, noon - 1, noon - 1, &next), -1);
    assert_int_equal(errno, ENOENT);
    assert_int_equal(cron_next(&c, z, noon, CRON_NEVER, &next), 0);
    assert_int_equal(next, noon + 86400000);
    assert_int_equal(cron_next(&c, z, -1, CRON_NEVER, &next), -1);
    assert_int_equal(cron_next(&c, z, INT64_MAX, CRON_NEVER, &next), -1);
    assert_int_equal(cron_parse(&c, "0 0 30 2,2 *", why, sizeof why), 0);
    assert_int_equal(cron_next(&c, z, noon, CRON_NEVER, &next), -1); /* never: given up */
    tz_free(z);
}

static void test_refused(void **state)
{
    (void)state;
    static const struct {
        const char *text, *why;
    } rows[] = {
        {"60 * * * *", "minute \"60\": a value is 0 to 59"},
        {"* 24 * * *", "hour \"24\": a value is 0 to 23"},
        {"* * 0 * *", "day of month \"0\": a value is 1 to 31"},
        {"* * * 13 *", "month \"13\": a value is 1 to 12"},
        {"* * * foo *", "month \"foo\": \"foo\" is no name of a month"},
        {"* * * * monday", "day of week \"monday\": \"day\" is no name of a weekday"},
        {"61 * * * * *", "second \"61\": a value is 0 to 59"},
        {"5-2 * * * *", "minute \"5-2\": the range ends before it begins"},
        {"*/0 * * * *", "minute \"*/0\": a step is a number over 0"},
        {"*/2/3 * * * *", "minute \"*/2/3\": it has two steps"},
        {"1,,2 * * * *", "minute \"1,,2\": an entry of the list is empty"},
        {"a * * * *", "minute \"a\": 'a' has no meaning here"},
        {"L * * * *", "minute \"L\": 'L' has no meaning here"},
        {"0 0 31 feb *", "day of month \"31\": the month has no such day"},
        {"0 0 * * 1#6", "day of week \"1#6\": behind # stands 1 to 5"},
        {"0 0 * * 1,2#1", "day of week \"1,2#1\": # goes with one weekday only, not with , / or -"},
        {"* * * * * * *", "a cron expression has at most 6 fields (second minute hour day month weekday)"},
    };
    char why[200], longest[CRON_TEXT_MAX + 2];
    struct cron c;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        errno = 0;
        assert_int_equal(cron_parse(&c, rows[i].text, why, sizeof why), -1);
        assert_int_equal(errno, EINVAL);
        assert_string_equal(why, rows[i].why);
    }
    memset(longest, '*', sizeof longest - 1);
    longest[sizeof longest - 1] = '\0';
    assert_int_equal(cron_parse(&c, longest, why, sizeof why), -1);
    assert_non_null(strstr(why, "over 1024 characters"));
    longest[CRON_TEXT_MAX] = '\0';
    assert_int_equal(cron_parse(&c, longest, why, sizeof why), -1);
    longest[0] = '\0';
    assert_int_equal(cron_parse(&c, longest, why, 8), 0); /* every minute, as cron-parser reads nothing */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_next),
        cmocka_unit_test(test_bounds),
        cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
