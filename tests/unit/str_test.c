/* str_test - parsing of numbers, durations, sizes, rates; formatting; edit distance; base64. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "common/base/str.h"

#define COUNT(a) (sizeof(a) / sizeof *(a))

static void test_copy(void **state)
{
    (void)state;
    char dst[4] = "zzz";
    assert_int_equal(str_copy(dst, "ab", sizeof dst), 2);
    assert_string_equal(dst, "ab");
    assert_int_equal(str_copy(dst, "abcdef", sizeof dst), 6);
    assert_string_equal(dst, "abc");
    assert_int_equal(str_copy(dst, "x", 0), 1);
    assert_string_equal(dst, "abc");
    assert_true(str_starts("abc", "ab") && str_starts("abc", "") && !str_starts("a", "ab"));
    assert_true(str_ends("abc", "bc") && str_ends("abc", "") && !str_ends("c", "bc"));
}

static void test_plain(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool plain;
    } rows[] = {
        {"", true},
        {"a b~", true},
        {"\xc3\xbc\xe2\x82\xac\xf0\x9f\x98\x80", true},
        {"\xc2\xa0", true},
        {"\xc2\x9f", false},
        {"a\x7f", false},
        {"a\x1f", false},
        {"\xc3", false},
        {"\xc3x", false},
        {"\x80", false},
        {"\xc0\x80", false},
        {"\xe0\x9f\xbf", false},
        {"\xed\xa0\x80", false},
        {"\xf4\x90\x80\x80", false},
        {"\xf0\x8f\x80\x80", false},
        {"\xf5\x80\x80\x80", false},
        {"\xe2\x82", false},
    };
    for (size_t i = 0; i < COUNT(rows); i++)
        if (str_is_plain(rows[i].text, strlen(rows[i].text)) != rows[i].plain)
            fail_msg("row %zu", i);
    assert_false(str_is_plain("a\0b", 3));
    assert_int_equal(str_utf8_length("\xe2\x82\xac", 3), 3);
    assert_int_equal(str_utf8_length("\xe2\x82\xac", 2), 0);
}

static void test_numbers(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int error;
        uint64_t value;
    } rows[] = {
        {"0", 0, 0},
        {"007", 0, 7},
        {"18446744073709551615", 0, UINT64_MAX},
        {"18446744073709551616", ERANGE, 0},
        {"99999999999999999999999", ERANGE, 0},
        {"", EINVAL, 0},
        {"-1", EINVAL, 0},
        {"+1", EINVAL, 0},
        {" 1", EINVAL, 0},
        {"1 ", EINVAL, 0},
        {"0x1", EINVAL, 0},
        {"1e3", EINVAL, 0},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        uint64_t v = 0;
        errno = 0;
        assert_int_equal(str_parse_u64(rows[i].text, &v), rows[i].error == 0 ? 0 : -1);
        if (rows[i].error == 0)
            assert_true(v == rows[i].value);
        else
            assert_int_equal(errno, rows[i].error);
    }
    int64_t s;
    assert_int_equal(str_parse_i64("-9223372036854775807", &s), 0);
    assert_true(s == -INT64_MAX);
    assert_int_equal(str_parse_i64("9223372036854775808", &s), -1);
    assert_int_equal(str_parse_i64("--1", &s), -1);
    assert_int_equal(str_parse_i64("-", &s), -1);
}

static void test_doubles(void **state)
{
    (void)state;
    double v;
    assert_int_equal(str_parse_double("0.25", &v), 0);
    assert_true(v == 0.25);
    assert_int_equal(str_parse_double(".5", &v), 0);
    assert_int_equal(str_parse_double("-1e3", &v), 0);
    assert_true(v == -1000);
    static const char *const bad[] = {"", "nan", "inf", "-inf", "1e999", "1x", " 1", "+1"};
    for (size_t i = 0; i < COUNT(bad); i++)
        assert_int_equal(str_parse_double(bad[i], &v), -1);
}

static void test_durations(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool bare;
        int error;
        uint64_t ms;
    } rows[] = {
        {"250ms", false, 0, 250},
        {"30s", false, 0, 30000},
        {"5m", false, 0, 300000},
        {"24h", false, 0, 86400000},
        {"7d", false, 0, 604800000},
        {"1h30m", false, 0, 5400000},
        {"1m1ms", false, 0, 60001},
        {"0", false, 0, 0},
        {"0s", false, 0, 0},
        {"30", true, 0, 30},
        {"30", false, EINVAL, 0},
        {"", false, EINVAL, 0},
        {"", true, EINVAL, 0},
        {"s", false, EINVAL, 0},
        {"1h30", true, EINVAL, 0},
        {"1.5s", false, EINVAL, 0},
        {"1 s", false, EINVAL, 0},
        {"1S", false, EINVAL, 0},
        {"-1s", false, EINVAL, 0},
        {"1week", false, EINVAL, 0},
        {"300000000000d", false, ERANGE, 0},
        {"200000000000d200000000000d", false, ERANGE, 0},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        uint64_t ms = 0;
        errno = 0;
        assert_int_equal(str_parse_duration(rows[i].text, rows[i].bare, &ms), rows[i].error == 0 ? 0 : -1);
        if (rows[i].error == 0)
            assert_true(ms == rows[i].ms);
        else
            assert_int_equal(errno, rows[i].error);
    }
}

static void test_sizes(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int error;
        uint64_t bytes;
    } rows[] = {
        {"512", 0, 512},         {"512B", 0, 512},           {"450KiB", 0, 460800},      {"4MB", 0, 4000000},
        {"1GiB", 0, 1073741824}, {"1TB", 0, 1000000000000},  {"2TiB", 0, 2199023255552}, {"", EINVAL, 0},
        {"KiB", EINVAL, 0},      {"1kb", EINVAL, 0},         {"1K", EINVAL, 0},          {"1KiBx", EINVAL, 0},
        {"1 KiB", EINVAL, 0},    {"20000000TiB", ERANGE, 0}, {"-1", EINVAL, 0},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        uint64_t bytes = 0;
        errno = 0;
        assert_int_equal(str_parse_size(rows[i].text, &bytes), rows[i].error == 0 ? 0 : -1);
        if (rows[i].error == 0)
            assert_true(bytes == rows[i].bytes);
        else
            assert_int_equal(errno, rows[i].error);
    }
}

static void test_rates(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int result;
        uint64_t count, period_ms;
    } rows[] = {
        {"", 0, 0, 0},          {"1000/s", 0, 1000, 1000},  {"45/20s", 0, 45, 20000},
        {"60/m", 0, 60, 60000}, {"1/1h30m", 0, 1, 5400000}, {"1", -1, 0, 0},
        {"1/", -1, 0, 0},       {"/s", -1, 0, 0},           {"1/0s", -1, 0, 0},
        {"1/5", -1, 0, 0},      {"1//s", -1, 0, 0},         {"x/s", -1, 0, 0},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        uint64_t count = 9, period = 9;
        assert_int_equal(str_parse_rate(rows[i].text, &count, &period), rows[i].result);
        assert_true(count == rows[i].count && period == rows[i].period_ms);
    }
}

static void test_bools(void **state)
{
    (void)state;
    bool v;
    static const char *const yes[] = {"true", "yes", "on"}, *const no[] = {"false", "no", "off"};
    for (size_t i = 0; i < 3; i++) {
        assert_true(str_parse_bool(yes[i], &v) == 0 && v);
        assert_true(str_parse_bool(no[i], &v) == 0 && !v);
    }
    assert_int_equal(str_parse_bool("True", &v), -1);
    assert_int_equal(str_parse_bool("1", &v), -1);
    assert_int_equal(str_parse_bool("", &v), -1);
}

/* What is formatted reads back as the same value. */
static void test_formats(void **state)
{
    (void)state;
    static const struct {
        uint64_t v;
        const char *duration, *size;
    } rows[] = {
        {0, "0s", "0B"},
        {1, "1ms", "1B"},
        {1024, "1s24ms", "1KiB"},
        {1500, "1s500ms", "1500B"},
        {90000, "1m30s", "90000B"},
        {5400000, "1h30m", NULL},
        {86400000, "1d", NULL},
        {90061001, "1d1h1m1s1ms", NULL},
        {4096000, NULL, "4000KiB"},
        {1073741824, NULL, "1GiB"},
        {INT64_MAX, NULL, NULL},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        char text[64];
        uint64_t back;
        str_format_duration(rows[i].v, text, sizeof text);
        if (rows[i].duration != NULL)
            assert_string_equal(text, rows[i].duration);
        assert_int_equal(str_parse_duration(text, false, &back), 0);
        assert_true(back == rows[i].v);
        str_format_size(rows[i].v, text, sizeof text);
        if (rows[i].size != NULL)
            assert_string_equal(text, rows[i].size);
        assert_int_equal(str_parse_size(text, &back), 0);
        assert_true(back == rows[i].v);
    }
    char small[4];
    assert_string_equal(str_format_duration(90061001, small, sizeof small), "1d1");
}

static void test_distance(void **state)
{
    (void)state;
    static const struct {
        const char *a, *b;
        unsigned d;
    } rows[] = {
        {"", "", 0},
        {"a", "", 1},
        {"", "abc", 3},
        {"flush_at", "flush_at", 0},
        {"flush_att", "flush_at", 1},
        {"flsuh_at", "flush_at", 1},
        {"kitten", "sitting", 3},
        {"ab", "ba", 1},
        {"abc", "cba", 2},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        assert_int_equal(str_distance(rows[i].a, rows[i].b), rows[i].d);
        assert_int_equal(str_distance(rows[i].b, rows[i].a), rows[i].d);
    }
    char longer[65];
    memset(longer, 'a', 64);
    longer[64] = '\0';
    assert_int_equal(str_distance(longer, longer), 63);
    longer[63] = '\0';
    assert_int_equal(str_distance(longer, longer), 0);
    assert_int_equal(str_distance(longer, ""), 63);
}

static void test_base64(void **state)
{
    (void)state;
    static const struct {
        const char *plain, *text;
    } rows[] = {
        {"", ""},
        {"f", "Zg=="},
        {"fo", "Zm8="},
        {"foo", "Zm9v"},
        {"foob", "Zm9vYg=="},
        {"fooba", "Zm9vYmE="},
        {"foobar", "Zm9vYmFy"}, /* RFC 4648 */
        {"dev:", "ZGV2Og=="},
        {"\xff\xfe\xfd", "//79"},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        char text[16];
        unsigned char plain[16];
        size_t n = strlen(rows[i].plain);
        assert_int_equal(str_base64_encode(rows[i].plain, n, text, sizeof text), strlen(rows[i].text));
        assert_string_equal(text, rows[i].text);
        assert_int_equal(str_base64_decode(rows[i].text, strlen(rows[i].text), plain, sizeof plain), (long)n);
        assert_memory_equal(plain, rows[i].plain, n);
    }
    static const char *const bad[] = {
        "Z", "Zg", "Zg=", "Zm9v=", "Zm9v====", "Z===", "Zm 9", "Zm9-", "Zg==Zg==", "=", "===="};
    unsigned char plain[16];
    for (size_t i = 0; i < COUNT(bad); i++)
        if (str_base64_decode(bad[i], strlen(bad[i]), plain, sizeof plain) != -1)
            fail_msg("accepted: %s", bad[i]);
    assert_int_equal(str_base64_decode("Zm9vYmFy", 8, plain, 5), -1); /* no room */
    char small[5];
    assert_int_equal(str_base64_encode("foobar", 6, small, sizeof small), 4); /* cut, never past the end */
    assert_string_equal(small, "Zm9v");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_copy),      cmocka_unit_test(test_numbers), cmocka_unit_test(test_doubles),
        cmocka_unit_test(test_durations), cmocka_unit_test(test_sizes),   cmocka_unit_test(test_rates),
        cmocka_unit_test(test_bools),     cmocka_unit_test(test_formats), cmocka_unit_test(test_distance),
        cmocka_unit_test(test_base64),    cmocka_unit_test(test_plain),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
