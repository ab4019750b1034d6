/* tz_test - zone files: names, damage, the table and the rule behind it, against libc's own reading of the files. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/base/tz.h"

static char why[200];

static void test_against_libc(void **state)
{
    (void)state;
    static const char *const zones[] = {
        "Europe/Berlin",     "Europe/Dublin",    "America/New_York",    "America/Nuuk", "America/St_Johns",
        "Africa/Casablanca", "Asia/Kathmandu",   "Australia/Lord_Howe", "Pacific/Apia", "Pacific/Chatham",
        "America/Sao_Paulo", "Antarctica/Troll", "Africa/Monrovia",     "Etc/GMT-14"};
    for (size_t i = 0; i < sizeof zones / sizeof *zones; i++) {
        struct tz *z = tz_open(zones[i], why, sizeof why);
        assert_non_null(z);
        setenv("TZ", zones[i], 1);
        tzset();
        for (int64_t t = -2000000000; t < 5000000000; t += 86400 * 3 + 1800) { /* 1906 to 2128 */
            time_t at = (time_t)t;
            struct tm tm;
            assert_non_null(localtime_r(&at, &tm));
            if (tz_offset_s(z, t) != tm.tm_gmtoff)
                fail_msg("%s at %lld: %d, libc says %ld", zones[i], (long long)t, tz_offset_s(z, t),
                         tm.tm_gmtoff);
        }
        tz_free(z);
    }
    unsetenv("TZ");
}

static void test_names(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        int32_t offset_s;
    } good[] = {
        {"utc", 0},
        {"GMT", 0},
        {"utc+5", 18000},
        {"UTC-3:30", -12600},
        {"Asia/Tokyo", 32400},
        {"asia/tokyo", 32400},
        {"ETC/GMT+5", -18000},
    };
    static const char *const bad[] = {"Nowhere/City",  "../../etc/passwd", "Europe",         "/etc/localtime",
                                      "Europe/../UTC", "Europe//Berlin",   "Europe/Berlin/", "zone.tab",
                                      "a b",           "utc+5x",           "tzdata.zi",      "leapseconds"};
    char longest[200];
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        struct tz *z = tz_open(good[i].name, why, sizeof why);
        assert_non_null(z);
        assert_int_equal(tz_offset_s(z, 1700000000), good[i].offset_s);
        tz_free(z);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        why[0] = '\0';
        assert_null(tz_open(bad[i], why, sizeof why));
        assert_int_not_equal(strlen(why), 0);
    }
    memset(longest, 'a', sizeof longest - 1);
    longest[sizeof longest - 1] = '\0';
    assert_null(tz_open(longest, why, sizeof why));
    assert_null(tz_open("Nowhere/City", why, sizeof why));
    assert_string_equal(why, "there is no time zone \"Nowhere/City\"");
}

static void test_the_hosts_own(void **state)
{
    (void)state;
    setenv("TZ", "Asia/Tokyo", 1);
    struct tz *z = tz_open(NULL, why, sizeof why);
    assert_int_equal(tz_offset_s(z, 0), 32400);
    tz_free(z);
    setenv("TZ", ":Asia/Kolkata", 1);
    z = tz_open("local", why, sizeof why);
    assert_int_equal(tz_offset_s(z, 1700000000), 19800);
    tz_free(z);
    unsetenv("TZ");
    z = tz_open("", why, sizeof why);
    assert_non_null(z);
    tz_free(z);
}

static size_t read_zone(const char *path, unsigned char *data, size_t size)
{
    FILE *f = fopen(path, "re");
    assert_non_null(f);
    size_t n = fread(data, 1, size, f);
    fclose(f);
    return n;
}

/* No byte of a file may lead out of it: every prefix, and every byte changed in turn. */
static void test_damage(void **state)
{
    (void)state;
    static unsigned char data[8192];
    size_t len = read_zone("/usr/share/zoneinfo/America/Nuuk", data, sizeof data);
    struct tz *z = tz_parse(data, len, why, sizeof why);
    assert_non_null(z);
    tz_free(z);
    for (size_t n = 0; n < len; n++) {
        unsigned char *cut = malloc(n + 1); /* so that ASan sees the end */
        memcpy(cut, data, n);
        z = tz_parse(cut, n, why, sizeof why);
        assert_null(z);
        assert_non_null(strstr(why, "not a time zone file"));
        free(cut);
    }
    for (size_t i = 0; i < len; i++) {
        static const unsigned char values[] = {0x00, 0xff, 0x80, '9', ','};
        for (size_t v = 0; v < sizeof values; v++) {
            unsigned char *copy = malloc(len);
            memcpy(copy, data, len);
            copy[i] = values[v];
            z = tz_parse(copy, len, why, sizeof why);
            free(copy);
            if (z != NULL)
                for (int64_t t = -3000000000; t < 6000000000; t += 500000000)
                    (void)tz_offset_s(z, t);
            tz_free(z);
        }
    }
}

static void test_calendar(void **state)
{
    (void)state;
    assert_int_equal(tz_days(1970, 1, 1), 0);
    assert_int_equal(tz_days(2000, 3, 1), 11017);
    for (int64_t d = -800000; d < 800000; d++) {
        struct tz_date date = tz_date(d);
        assert_int_equal(tz_days(date.year, date.month, date.day), d);
        assert_true(date.day >= 1 && date.day <= tz_month_days(date.year, date.month));
        assert_int_equal((date.weekday + 1) % 7, tz_date(d + 1).weekday);
    }
    assert_int_equal(tz_date(0).weekday, 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_against_libc),  cmocka_unit_test(test_names),
        cmocka_unit_test(test_the_hosts_own), cmocka_unit_test(test_damage),
        cmocka_unit_test(test_calendar),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
