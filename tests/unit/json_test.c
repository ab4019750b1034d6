/* json_test - what the scanner takes and refuses, at every offset of its 16-byte steps, and the walks over it. */
#include "common/event/json.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define TEXT(literal) literal, sizeof(literal) - 1

struct sample {
    const char *text;
    size_t len;
    bool good;
};

static const struct sample samples[] = {
    /* words and scalars */
    {TEXT("null"), true},
    {TEXT("true"), true},
    {TEXT("false"), true},
    {TEXT(" \t\r\n1 \n"), true},
    {TEXT("\"\""), true},
    {TEXT(""), false},
    {TEXT("   "), false},
    {TEXT("nul"), false},
    {TEXT("nulll"), false},
    {TEXT("True"), false},
    {TEXT("NaN"), false},
    {TEXT("Infinity"), false},
    {TEXT("-Infinity"), false},
    {TEXT("undefined"), false},
    {TEXT("'a'"), false},
    {TEXT("1 2"), false},
    {TEXT("\f1"), false},
    {TEXT("\xef\xbb\xbf{}"), false},
    {TEXT("{}\0"), false},
    {TEXT("1//x"), false},
    {TEXT("/**/1"), false},
    /* numbers */
    {TEXT("0"), true},
    {TEXT("-0"), true},
    {TEXT("-0.0e-0"), true},
    {TEXT("1e400"), true},
    {TEXT("1E+2"), true},
    {TEXT("123456789012345678901234567890"), true},
    {TEXT("0.1"), true},
    {TEXT("01"), false},
    {TEXT("-01"), false},
    {TEXT("+1"), false},
    {TEXT(".5"), false},
    {TEXT("1."), false},
    {TEXT("1.e1"), false},
    {TEXT("1e"), false},
    {TEXT("1e+"), false},
    {TEXT("-"), false},
    {TEXT("--1"), false},
    {TEXT("0x10"), false},
    {TEXT("1_000"), false},
    {TEXT("1a"), false},
    {TEXT("1.2.3"), false},
    /* arrays */
    {TEXT("[]"), true},
    {TEXT("[ ]"), true},
    {TEXT("[[],[[]]]"), true},
    {TEXT("[1,2 , 3]"), true},
    {TEXT("["), false},
    {TEXT("]"), false},
    {TEXT("[1"), false},
    {TEXT("[1,"), false},
    {TEXT("[1,]"), false},
    {TEXT("[,1]"), false},
    {TEXT("[,]"), false},
    {TEXT("[1,,2]"), false},
    {TEXT("[1 2]"), false},
    {TEXT("[1}"), false},
    {TEXT("[1]]"), false},
    {TEXT("[\"a\":1]"), false},
    /* objects */
    {TEXT("{}"), true},
    {TEXT("{ }"), true},
    {TEXT("{\"a\":1}"), true},
    {TEXT("{\"a\" : 1 , \"a\":{\"\":[{}]}}"), true},
    {TEXT("{"), false},
    {TEXT("}"), false},
    {TEXT("{\"a\"}"), false},
    {TEXT("{\"a\":}"), false},
    {TEXT("{\"a\":1,}"), false},
    {TEXT("{,\"a\":1}"), false},
    {TEXT("{\"a\":1,,\"b\":2}"), false},
    {TEXT("{\"a\":1 \"b\":2}"), false},
    {TEXT("{\"a\" 1}"), false},
    {TEXT("{\"a\"::1}"), false},
    {TEXT("{a:1}"), false},
    {TEXT("{1:1}"), false},
    {TEXT("{null:1}"), false},
    {TEXT("{\"a\":1]"), false},
    {TEXT("{\"a\":1"), false},
    {TEXT("{\"a"), false},
    {TEXT("{\"a\":\"b}"), false},
    /* strings: escapes */
    {TEXT("\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u0000\\uABcd\""), true},
    {TEXT("\"\\ud83d\\ude80\""), true},
    {TEXT("\"\\ud83d\""), true},
    {TEXT("\"\\ude80x\""), true},
    {TEXT("\"\\ud83d\\ud83d\""), true},
    {TEXT("\"\\a\""), false},
    {TEXT("\"\\x41\""), false},
    {TEXT("\"\\u12\""), false},
    {TEXT("\"\\u123g\""), false},
    {TEXT("\"\\u\""), false},
    {TEXT("\"\\U0041\""), false},
    {TEXT("\"\\\""), false},
    {TEXT("\"\\"), false},
    {TEXT("\"abc"), false},
    {TEXT("\"a\nb\""), false},
    {TEXT("\"a\tb\""), false},
    {TEXT("\"a\0b\""), false},
    {TEXT("\"a\x1f\""), false},
    {TEXT("\"a\x7f\""), true},
    /* strings: UTF-8 */
    {TEXT("\"\xc3\xa9\""), true},
    {TEXT("\"\xe3\x81\x82\xf0\x9f\x9a\x80\""), true},
    {TEXT("\"\xf4\x8f\xbf\xbf\""), true},
    {TEXT("\"\xef\xbf\xbf\""), true},
    {TEXT("\"\x80\""), false},
    {TEXT("\"\xc3\""), false},
    {TEXT("\"\xc3\x28\""), false},
    {TEXT("\"\xc0\xaf\""), false},
    {TEXT("\"\xc1\xbf\""), false},
    {TEXT("\"\xe0\x80\xaf\""), false},
    {TEXT("\"\xe3\x81\""), false},
    {TEXT("\"\xed\xa0\x80\""), false},
    {TEXT("\"\xf0\x80\x80\xaf\""), false},
    {TEXT("\"\xf4\x90\x80\x80\""), false},
    {TEXT("\"\xf5\x80\x80\x80\""), false},
    {TEXT("\"\xff\""), false},
    {TEXT("{\"\xff\":1}"), false},
    {TEXT("\xc3\xa9"), false},
};

static bool scan(const char *text, size_t len)
{
    char *exact = malloc(len > 0 ? len : 1); /* so that a read past the end is seen */
    memcpy(exact, text, len);
    struct json_scan s;
    struct json_slice v;
    json_scan_init(&s, exact, len);
    bool good = json_scan_value(&s, &v) == 0 && json_scan_end(&s) == 0;
    if (good)
        assert_null(s.why);
    else
        assert_true(s.why != NULL && s.where >= exact && s.where <= exact + len);
    free(exact);
    return good;
}

static void test_grammar(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof samples / sizeof *samples; i++)
        if (scan(samples[i].text, samples[i].len) != samples[i].good)
            fail_msg("sample %zu: %s", i, samples[i].text);
}

/* The same inside a document, behind 0 to 40 bytes of string and of white space: every place in a 16-byte step. */
static void test_grammar_at_every_offset(void **state)
{
    (void)state;
    char text[512];
    for (size_t i = 0; i < sizeof samples / sizeof *samples; i++) {
        for (int pad = 0; pad < 40; pad++) {
            int head = snprintf(text, sizeof text, "[\"%.*s\",%*s", pad,
                                "0123456789012345678901234567890123456789", pad, "");
            memcpy(text + head, samples[i].text, samples[i].len);
            size_t len = (size_t)head + samples[i].len;
            text[len++] = ']';
            if (scan(text, len) != samples[i].good)
                fail_msg("sample %zu behind %d bytes: %s", i, pad, samples[i].text);
        }
    }
}

static void test_every_prefix_is_refused(void **state)
{
    (void)state;
    static const char whole[] =
        "{\"a\":[1,2.5e3,{\"b\":null,\"c\":\"\\u00e9\xc3\xa9 and more than sixteen bytes\"},true,false]}";
    for (size_t len = 0; len < sizeof whole - 1; len++)
        assert_false(scan(whole, len));
    assert_true(scan(whole, sizeof whole - 1));
}

static void test_bad_byte_anywhere_in_a_long_string(void **state)
{
    (void)state;
    static const char bad[] = {'\x00', '\x01', '\x1f', '\n', '\x80', '\xc0', '\xff'};
    for (size_t len = 1; len < 70; len++)
        for (size_t at = 0; at < len; at++)
            for (size_t b = 0; b < sizeof bad; b++) {
                char text[80];
                memset(text, 'x', sizeof text);
                text[0] = '"';
                text[1 + at] = bad[b];
                text[1 + len] = '"';
                assert_false(scan(text, len + 2));
                text[1 + at] = 'y';
                assert_true(scan(text, len + 2));
            }
}

static void test_depth(void **state)
{
    (void)state;
    char text[6 * JSON_DEPTH_MAX];
    for (int objects = 0; objects < 2; objects++)
        for (size_t depth = JSON_DEPTH_MAX - 1; depth <= JSON_DEPTH_MAX + 1; depth++) {
            size_t n = 0;
            for (size_t i = 0; i < depth; i++) {
                if (objects && i + 1 < depth) {
                    memcpy(text + n, "{\"\":", 4);
                    n += 4;
                } else {
                    text[n++] = '[';
                }
            }
            for (size_t i = depth; i-- > 0;)
                text[n++] = objects && i + 1 < depth ? '}' : ']';
            assert_int_equal(scan(text, n), depth <= JSON_DEPTH_MAX);
        }
    memset(text, '[', sizeof text);
    assert_false(scan(text, sizeof text));
}

static struct json_slice whole(const char *text)
{
    struct json_scan s;
    struct json_slice v;
    json_scan_init(&s, text, strlen(text));
    assert_int_equal(json_scan_value(&s, &v), 0);
    return v;
}

/* The pull form on the shape of a batch; depth counts through what was entered. */
static void test_enter(void **state)
{
    (void)state;
    static const char text[] = " { \"batch\" : [ {\"a\":1} , null,[] ] , \"x\":{}, \"sentAt\":\"t\" } ";
    struct json_scan s;
    struct json_slice key, v;
    json_scan_init(&s, text, strlen(text));
    assert_true(json_scan_peek(&s, JSON_OBJECT));
    assert_int_equal(json_scan_enter(&s, JSON_OBJECT), 0);
    assert_int_equal(json_scan_member(&s, &key), 1);
    assert_true(json_key_is(&key, "batch"));
    assert_int_equal(json_scan_enter(&s, JSON_ARRAY), 0);
    for (int i = 0; i < 3; i++) {
        static const enum json_type types[] = {JSON_OBJECT, JSON_NULL, JSON_ARRAY};
        assert_int_equal(json_scan_element(&s), 1);
        assert_int_equal(json_scan_value(&s, &v), 0);
        assert_int_equal(v.type, types[i]);
    }
    assert_int_equal(json_scan_element(&s), 0);
    assert_int_equal(json_scan_member(&s, &key), 1);
    assert_int_equal(json_scan_enter(&s, JSON_OBJECT), 0);
    assert_int_equal(json_scan_member(&s, &key), 0);
    assert_int_equal(json_scan_member(&s, &key), 1);
    assert_int_equal(json_scan_value(&s, &v), 0);
    assert_int_equal(json_scan_member(&s, &key), 0);
    assert_int_equal(json_scan_end(&s), 0);
    assert_int_equal(s.depth, 0);
}

static void test_enter_faults(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "[1,]",    "[,1]",      "[1 2]", "[1",       "[",     "[1}", "[}", "{\"a\":1,}", "{\"a\":1 \"b\":2}",
        "{\"a\"}", "{\"a\" 1}", "{,}",   "{\"a\":1", "{1:1}", "{",   "7",  "\"x\"",      ""};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct json_scan s;
        struct json_slice key, v;
        enum json_type kind = bad[i][0] == '{' ? JSON_OBJECT : JSON_ARRAY;
        json_scan_init(&s, bad[i], strlen(bad[i]));
        int r = json_scan_enter(&s, kind);
        for (int n = 0; r >= 0 && n < 10; n++) {
            r = kind == JSON_OBJECT ? json_scan_member(&s, &key) : json_scan_element(&s);
            if (r == 0)
                break;
            if (r > 0)
                r = json_scan_value(&s, &v);
        }
        if (r >= 0)
            fail_msg("taken: %s", bad[i]);
        assert_non_null(s.why);
        assert_int_equal(json_scan_value(&s, &v), -1); /* a fault stays */
        assert_int_equal(json_scan_element(&s), -1);
        assert_int_equal(json_scan_end(&s), -1);
    }
}

static void test_entered_containers_count_as_depth(void **state)
{
    (void)state;
    char text[JSON_DEPTH_MAX + 2];
    memset(text, '[', sizeof text);
    struct json_scan s;
    struct json_slice v;
    json_scan_init(&s, text, sizeof text);
    for (int i = 0; i < JSON_DEPTH_MAX; i++)
        assert_int_equal(json_scan_enter(&s, JSON_ARRAY), 0);
    assert_int_equal(json_scan_enter(&s, JSON_ARRAY), -1);
    assert_string_equal(s.why, "nested too deep");
    json_scan_init(&s, text, sizeof text);
    for (int i = 0; i < JSON_DEPTH_MAX; i++)
        assert_int_equal(json_scan_enter(&s, JSON_ARRAY), 0);
    assert_int_equal(json_scan_value(&s, &v), -1);
    assert_string_equal(s.why, "nested too deep");
}

static void test_walk(void **state)
{
    (void)state;
    struct json_slice o = whole("{\"a\":1,\"\\u0062\":[true,\"x\"], \"a\" :\"last\"}"), key, v;
    struct json_iter it = {0};
    int n = 0;
    while (json_next_member(&o, &it, &key, &v))
        n++;
    assert_int_equal(n, 3);
    assert_false(json_next_member(&o, &it, &key, &v));
    assert_true(json_find(&o, "a", &v));
    assert_int_equal(v.len, 6);
    assert_memory_equal(v.text, "\"last\"", 6);
    assert_true(json_find(&o, "b", &v));
    assert_int_equal(v.type, JSON_ARRAY);
    struct json_slice e;
    struct json_iter in = {0};
    assert_true(json_next_element(&v, &in, &e));
    assert_int_equal(e.type, JSON_TRUE);
    assert_true(json_next_element(&v, &in, &e));
    assert_int_equal(e.type, JSON_STRING);
    assert_false(json_next_element(&v, &in, &e));
    assert_false(json_find(&o, "c", &v));
    o = whole("{}");
    assert_false(json_find(&o, "", &v));
    o = whole("[]");
    it = (struct json_iter){0};
    assert_false(json_next_element(&o, &it, &v));
    assert_false(json_next_member(&o, &it, &key, &v));
}

static void test_keys(void **state)
{
    (void)state;
    static const struct {
        const char *key, *name;
        bool same;
    } rows[] = {
        {"\"\"", "", true},
        {"\"a\"", "a", true},
        {"\"a\"", "ab", false},
        {"\"ab\"", "a", false},
        {"\"\\u0061\"", "a", true},
        {"\"\\u0061\"", "ab", false},
        {"\"\\u00e9\"", "\xc3\xa9", true},
        {"\"\\ud83d\\ude80\"", "\xf0\x9f\x9a\x80", true},
        {"\"\\/\\n\"", "/\n", true},
        {"\"a\\u0000\"", "a", false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct json_slice k = whole(rows[i].key);
        if (json_key_is(&k, rows[i].name) != rows[i].same)
            fail_msg("%s is %s", rows[i].key, rows[i].name);
    }
}

static void test_string(void **state)
{
    (void)state;
    static const struct {
        const char *json, *content;
    } rows[] = {
        {"\"\"", ""},
        {"\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"", "\"\\/\b\f\n\r\t"},
        {"\"\\u0041\\u00e9\\u3042\"", "A\xc3\xa9\xe3\x81\x82"},
        {"\"\\uD83D\\uDE80\"", "\xf0\x9f\x9a\x80"},
        {"\"\\ud83d\"", "\xef\xbf\xbd"},
        {"\"\\ud83dx\"", "\xef\xbf\xbdx"},
        {"\"\\ude80\\ud83d\"", "\xef\xbf\xbd\xef\xbf\xbd"},
        {"\"\\ud83d\\u0041\"", "\xef\xbf\xbd"
                               "A"},
        {"\"\\udbff\\udfff\"", "\xf4\x8f\xbf\xbf"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct json_slice v = whole(rows[i].json);
        char out[64];
        size_t len = strlen(rows[i].content);
        assert_int_equal(json_text(&v, out, sizeof out), len);
        assert_string_equal(out, rows[i].content);
        assert_int_equal(json_text(&v, out, len + 1), len);
        if (len > 0)
            assert_int_equal(json_text(&v, out, len), -1);
    }
    struct json_slice nul = whole("\"a\\u0000b\"");
    char out[16];
    assert_int_equal(json_text(&nul, out, sizeof out), -1);
}

static void test_blank(void **state)
{
    (void)state;
    static const char *const blank[] = {"null", "\"\"", "\" \"", "\" \\t\\n\\r\\f \\u0020\""};
    static const char *const full[] = {"0",  "false", "\"x\"",       "\" x \"",
                                       "{}", "[]",    "\"\\u0000\"", "\"\xc2\xa0\""};
    for (size_t i = 0; i < sizeof blank / sizeof *blank; i++) {
        struct json_slice v = whole(blank[i]);
        assert_true(json_is_blank(&v));
    }
    for (size_t i = 0; i < sizeof full / sizeof *full; i++) {
        struct json_slice v = whole(full[i]);
        assert_false(json_is_blank(&v));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_grammar),
        cmocka_unit_test(test_grammar_at_every_offset),
        cmocka_unit_test(test_every_prefix_is_refused),
        cmocka_unit_test(test_bad_byte_anywhere_in_a_long_string),
        cmocka_unit_test(test_depth),
        cmocka_unit_test(test_enter),
        cmocka_unit_test(test_enter_faults),
        cmocka_unit_test(test_entered_containers_count_as_depth),
        cmocka_unit_test(test_walk),
        cmocka_unit_test(test_keys),
        cmocka_unit_test(test_string),
        cmocka_unit_test(test_blank),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
