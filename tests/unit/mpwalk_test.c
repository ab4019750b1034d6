/* mpwalk: every form of every type, counts against what remains, nesting, and that a failure moves nothing. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "ipc/mpwalk.h"

/* A walker over a copy of exactly these bytes, so that reading past them is seen. */
struct input {
    unsigned char *bytes;
    struct mpwalk w;
};

static struct input input(const char *bytes, size_t len)
{
    struct input in = {.bytes = malloc(len > 0 ? len : 1)};
    assert_non_null(in.bytes);
    memcpy(in.bytes, bytes, len);
    mpwalk_init(&in.w, in.bytes, len);
    return in;
}

#define INPUT(s) input(s, sizeof(s) - 1)

static void test_numbers(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        size_t len;
        int64_t value;
        int u64, u32, i64; /* which readers take it */
    } cases[] = {
        {"\x00", 1, 0, 1, 1, 1},
        {"\x7f", 1, 127, 1, 1, 1},
        {"\xff", 1, -1, 0, 0, 1},
        {"\xe0", 1, -32, 0, 0, 1},
        {"\xcc\xff", 2, 255, 1, 1, 1},
        {"\xcd\x01\x00", 3, 256, 1, 1, 1},
        {"\xce\xff\xff\xff\xff", 5, 4294967295, 1, 1, 1},
        {"\xcf\x00\x00\x00\x01\x00\x00\x00\x00", 9, 4294967296, 1, 0, 1},
        {"\xcf\xff\xff\xff\xff\xff\xff\xff\xff", 9, -1 /* 2^64-1 */, 1, 0, 0},
        {"\xd0\x80", 2, -128, 0, 0, 1},
        {"\xd0\x05", 2, 5, 1, 1, 1},
        {"\xd1\xff\xfe", 3, -2, 0, 0, 1},
        {"\xd2\x80\x00\x00\x00", 5, -2147483648, 0, 0, 1},
        {"\xd3\x80\x00\x00\x00\x00\x00\x00\x00", 9, INT64_MIN, 0, 0, 1},
        {"\xc0", 1, 0, 0, 0, 0},
        {"\xc1", 1, 0, 0, 0, 0},
        {"\xa1x", 2, 0, 0, 0, 0},
        {"\xca\x00\x00\x00\x00", 5, 0, 0, 0, 0},
        {"\xcd\x01", 2, 0, 0, 0, 0},
        {"", 0, 0, 0, 0, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        uint64_t u = 0;
        uint32_t v = 0;
        int64_t s = 0;
        struct input in = input(cases[i].bytes, cases[i].len);
        struct mpwalk begin = in.w, w = begin;
        assert_int_equal(mpwalk_u64(&w, &u), cases[i].u64 ? 0 : -1);
        assert_true(cases[i].u64 ? u == (uint64_t)cases[i].value && mpwalk_done(&w) : w.at == begin.at);
        w = begin;
        assert_int_equal(mpwalk_u32(&w, &v), cases[i].u32 ? 0 : -1);
        assert_true(cases[i].u32 ? v == (uint64_t)cases[i].value && mpwalk_done(&w) : w.at == begin.at);
        w = begin;
        assert_int_equal(mpwalk_i64(&w, &s), cases[i].i64 ? 0 : -1);
        assert_true(cases[i].i64 ? s == cases[i].value && mpwalk_done(&w) : w.at == begin.at);
        free(in.bytes);
    }
}

static void test_counts_against_what_remains(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        size_t len;
        long array, map; /* the count, or -1 */
    } cases[] = {
        {"\x90", 1, 0, -1},
        {"\x92\x00\x00", 3, 2, -1},
        {"\x92\x00", 2, -1, -1},
        {"\xdc\x00\x01\x00", 4, 1, -1},
        {"\xdc\x00\x02\x00", 4, -1, -1},
        {"\xdd\x00\x00\x00\x01\x00", 6, 1, -1},
        {"\xdd\x17\xd7\x84\x00", 5, -1, -1}, /* 400 M */
        {"\xdd\xff\xff\xff\xff\x00", 6, -1, -1},
        {"\x80", 1, -1, 0},
        {"\x81\x00\x00", 3, -1, 1},
        {"\x81\x00", 2, -1, -1},
        {"\xde\x00\x01\x00\x00", 5, -1, 1},
        {"\xdf\x00\x00\x00\x02\x00\x00\x00", 8, -1, -1},
        {"\xdf\xff\xff\xff\xff\x00\x00", 7, -1, -1},
        {"\x01", 1, -1, -1},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        uint32_t n = 0;
        struct input in = input(cases[i].bytes, cases[i].len);
        struct mpwalk w = in.w;
        assert_int_equal(mpwalk_array(&w, &n), cases[i].array < 0 ? -1 : 0);
        assert_true(cases[i].array < 0 ? w.at == in.w.at : n == cases[i].array);
        w = in.w;
        assert_int_equal(mpwalk_map(&w, &n), cases[i].map < 0 ? -1 : 0);
        assert_true(cases[i].map < 0 ? w.at == in.w.at : n == cases[i].map);
        free(in.bytes);
    }
}

static void test_bytes_and_text(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        size_t len;
        const char *text; /* NULL: bytes refused */
        int as_text;      /* into 4 bytes */
    } cases[] = {
        {"\xa0", 1, "", 1},
        {"\xa3"
         "abc",
         4, "abc", 1},
        {"\xa4"
         "abcd",
         5, "abcd", 0},
        {"\xd9\x02hi", 4, "hi", 1},
        {"\xda\x00\x02hi", 5, "hi", 1},
        {"\xdb\x00\x00\x00\x02hi", 7, "hi", 1},
        {"\xc4\x02hi", 4, "hi", 1},
        {"\xc5\x00\x02hi", 5, "hi", 1},
        {"\xc6\x00\x00\x00\x02hi", 7, "hi", 1},
        {"\xa2h\0", 3, "h\0", 0},
        {"\xa3hi", 3, NULL, 0},
        {"\xdb\xff\xff\xff\xffhi", 7, NULL, 0},
        {"\xc6\x00\x00\x00\x03hi", 7, NULL, 0},
        {"\xd4\x01x", 3, NULL, 0}, /* ext is no text */
        {"\x05", 1, NULL, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *s;
        uint32_t len;
        char text[4];
        struct input in = input(cases[i].bytes, cases[i].len);
        struct mpwalk w = in.w;
        assert_int_equal(mpwalk_bytes(&w, &s, &len), cases[i].text == NULL ? -1 : 0);
        if (cases[i].text != NULL)
            assert_memory_equal(s, cases[i].text, len);
        else
            assert_ptr_equal(w.at, in.w.at);
        w = in.w;
        assert_int_equal(mpwalk_text(&w, text, sizeof text), cases[i].as_text ? 0 : -1);
        if (cases[i].as_text)
            assert_string_equal(text, cases[i].text);
        else
            assert_ptr_equal(w.at, in.w.at);
        free(in.bytes);
    }
}

static void test_bool(void **state)
{
    (void)state;
    struct input in = INPUT("\xc3\xc2\x01");
    bool v = false;
    assert_int_equal(mpwalk_bool(&in.w, &v), 0);
    assert_true(v);
    assert_int_equal(mpwalk_bool(&in.w, &v), 0);
    assert_false(v);
    assert_int_equal(mpwalk_bool(&in.w, &v), -1);
    free(in.bytes);
}

static void test_skip(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        size_t len;
        size_t skipped; /* 0: refused */
    } cases[] = {
        {"\x01\x02", 2, 1},
        {"\xc0", 1, 1},
        {"\xc1", 1, 0},
        {"\x93\x01\xa1x\x90\x07", 6, 5},
        {"\x82\xa1k\x01\xa1l\x92\x01\x02", 9, 9},
        {"\xca\x00\x00\x00\x00", 5, 5},
        {"\xcb\x00\x00\x00\x00\x00\x00\x00", 8, 0},
        {"\xcb\x00\x00\x00\x00\x00\x00\x00\x00", 9, 9},
        {"\xd4\x01x", 3, 3},
        {"\xd8\x01xxxxxxxxxxxxxxx", 17, 0},
        {"\xd8\x01xxxxxxxxxxxxxxxx", 18, 18},
        {"\xc7\x02\x01xx", 5, 5},
        {"\xc8\x00\x02\x01xx", 6, 6},
        {"\xc9\x00\x00\x00\x03\x01xx", 8, 0},
        {"\x92\x01", 2, 0},
        {"\x81\x01", 2, 0},
        {"\x92\x92\x01\x02", 4, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct input in = input(cases[i].bytes, cases[i].len);
        struct mpwalk w = in.w;
        assert_int_equal(mpwalk_skip(&w), cases[i].skipped == 0 ? -1 : 0);
        assert_int_equal(w.at - in.w.at, cases[i].skipped);
        free(in.bytes);
    }
}

static void test_nesting(void **state)
{
    (void)state;
    static char deep[1000001];
    for (size_t depth = 1; depth <= 1000000; depth = depth < 40 ? depth + 1 : depth * 5) {
        memset(deep, 0x91, depth);
        deep[depth] = '\0';
        struct input in = input(deep, depth + 1);
        assert_int_equal(mpwalk_skip(&in.w), depth < MPWALK_DEPTH_MAX ? 0 : -1);
        free(in.bytes);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_numbers),        cmocka_unit_test(test_counts_against_what_remains),
        cmocka_unit_test(test_bytes_and_text), cmocka_unit_test(test_bool),
        cmocka_unit_test(test_skip),           cmocka_unit_test(test_nesting),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
