/* jsliteral: the JavaScript literals of the SDKs' old jobs as JSON, and everything that is no data refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/event/json.h"
#include "workers/delivery/jsfunction.h"
#include "workers/delivery/jsliteral.h"

#define MAX 4096

static void check_text(const char *text, const char *wanted)
{
    struct jsliteral_fault fault;
    struct json_scan scan;
    struct json_slice v;
    struct buf out;

    buf_init(&out, MAX);
    assert_int_equal(buf_puts(&out, "<"), 0);
    if (jsliteral_to_json(text, strlen(text), &out, &fault) != 0)
        fail_msg("%s: byte %zu: %s", text, fault.at, fault.why);
    json_scan_init(&scan, out.data + 1, out.len - 1);
    if (json_scan_value(&scan, &v) != 0 || json_scan_end(&scan) != 0)
        fail_msg("%s: not JSON: %s", text, buf_cstr(&out));
    assert_string_equal(buf_cstr(&out) + 1, wanted);
    buf_fini(&out);
}

static void test_values(void **state)
{
    static const struct {
        const char *text, *json;
    } rows[] = {
        {"{}", "{}"},
        {" [ 1 , -2.5e+10 , 0 , -0.5E-3 , 123456789012345678901234567890 ] ",
         "[1,-2.5e+10,0,-0.5E-3,123456789012345678901234567890]"},
        {"{\"a\":true,\"b\":false,\"c\":null}", "{\"a\":true,\"b\":false,\"c\":null}"},
        {"[Infinity,-Infinity,NaN,-0]", "[null,null,null,-0]"},
        {"{\"a\":undefined,\"b\":1}", "{\"b\":1}"},
        {"{\"a\":1,\"b\":undefined}", "{\"a\":1}"},
        {"{\"a\":undefined,\"b\":undefined}", "{}"},
        {"{\"z\":0,\"a\":undefined,\"b\":2}", "{\"z\":0,\"b\":2}"},
        {"[undefined,1,undefined]", "[null,1,null]"},
        {"{\"a\":{\"b\":undefined}}", "{\"a\":{}}"},
        {"new Date(\"2024-02-03T04:05:06.789Z\")", "\"2024-02-03T04:05:06.789Z\""},
        {"new Date( '+012024-02-03T04:05:06.789Z' )", "\"+012024-02-03T04:05:06.789Z\""},
        {"[new Date(\"-000001-02-03T04:05:06.789Z\")]", "[\"-000001-02-03T04:05:06.789Z\"]"},
        {"new URL(\"https:\\u002F\\u002Fexample.com\\u002F\")", "\"https://example.com/\""},
        {"{\"r\":new RegExp(\"a\\\\/\\u003C\", \"gi\"),\"s\":new RegExp(\"x\", \"\")}",
         "{\"r\":{},\"s\":{}}"},
        {"{\"m\":new Map([[\"k\",{\"v\":[new Date(\"2024-02-03T04:05:06.789Z\")]}]]),\"n\":1}",
         "{\"m\":{},\"n\":1}"},
        {"[new Set([1,\"b\",undefined]),new Set([]),new Map([])]", "[{},{},{}]"},
        {"[BigInt(\"-123456789012345678901234567890\"),BigInt(\"0\")]",
         "[-123456789012345678901234567890,0]"},
        {"Array.prototype.slice.call({\"length\":0})", "[]"},
        {"Array.prototype.slice.call({\"length\":2})", "[null,null]"},
        {"[Array.prototype.slice.call({\"1\":\"b\",\"3\":undefined,\"length\":5}),1]",
         "[[null,\"b\",null,null,null],1]"},
        {"{\"Array.prototype.slice.call\":\"new Date()\"}",
         "{\"Array.prototype.slice.call\":\"new Date()\"}"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        check_text(rows[i].text, rows[i].json);
}

static void test_strings(void **state)
{
    static const struct {
        const char *text, *json;
    } rows[] = {
        {"\"\"", "\"\""},
        {"''", "\"\""},
        {"'it\\'s \"quoted\"'", "\"it's \\\"quoted\\\"\""},
        {"\"it's \\\"quoted\\\"\"", "\"it's \\\"quoted\\\"\""},
        {"\"\\b\\f\\n\\r\\t\\v\\0\"", "\"\\u0008\\u000c\\u000a\\u000d\\u0009\\u000b\\u0000\""},
        {"\"\\x41\\xe9\\x00\\x22\\x5c\"", "\"A\xc3\xa9\\u0000\\\"\\\\\""},
        {"\"\\u0041\\u00e9\\u20ac\\u{1F600}\\u{41}\\u{000000041}\"", "\"A\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80"
                                                                     "AA\""},
        {"\"\\ud83d\\ude00\\ud83d\\u{de00}\"", "\"\\ud83d\\ude00\\ud83d\\ude00\""},
        {"\"\\u2028\\u2029\\u003Cscript\\u003E\\u002F\"", "\"\xe2\x80\xa8\xe2\x80\xa9<script>/\""},
        {"\"a\\\nb\\\r\nc\\\rd\\\xe2\x80\xa8"
         "e\"",
         "\"abcde\""},
        {"\"\\q\\/\\$\\\xc3\xa9\\\xe2\x82\xac\"", "\"q/$\xc3\xa9\xe2\x82\xac\""},
        {"\"tab\there \x01 \x7f\"", "\"tab\\u0009here \\u0001 \x7f\""},
        {"\"h\xc3\xa9llo \xe2\x9c\x93\"", "\"h\xc3\xa9llo \xe2\x9c\x93\""},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        check_text(rows[i].text, rows[i].json);
}

/* Every row stands in {"callbacks":[ROW, ROW],"attempts":3}: what is behind it must be found. */
static void test_functions(void **state)
{
    static const char *const rows[] = {
        "function () { }",
        "() => {}",
        "function noop() {}",
        "async function* f(a, [b, c], {d} = {}) { yield a, b; }",
        "x => x + 1",
        "async ({a, b}, ...c) => [a, b]",
        "function () { return \"]}\\\"'`,\"; }",
        "function () { return ']}\\'\\\n,'; }",
        "() => `a ${ b[`]}${'}'}`] } ]} \\` \\${ , `",
        "() => { // ] } ' \" ` /*\n return 1 }",
        "() => { /* ] } ' \" ` // */ return 1 }",
        "() => /[\\]/'\"]}\\/(]/gi.test(a)",
        "() => { return /'/.test(x) / 2 / y }",
        "() => { if (x) /}'/.exec(y); else /]'/.exec(z) }",
        "() => { a = b / c; d = e[0] / f(1) / 2; g = 1 / 2 }",
        "() => { while (i--) i++ / 2; /'/.test(i) }",
        "() => { const o = {a: /'/, b: 1 / 2}; return o.return / 2 }",
        "() => { {} /'/.test(a) }",
        "() => [{a() { return 1 }, get b() { return /,/ }}, ...c]",
        "function () { return typeof /'/ }",
        "() => a?.b ?? (c ? d : /[/]/)",
        "function \\u0061() { var \\u{62} = 1 }",
        "class A { #x = 1; static y = /'/; z() { return this.#x / 2 } }",
        "(err) => {\r\n  if (err) throw err;\n}",
        "() => { <!-- x\n }",
        "\xe2\x82\xac => 1",
        "undefined",
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char text[512];

        snprintf(text, sizeof(text), "{\"callbacks\":[%s,%s],\"attempts\":3}", rows[i], rows[i]);
        check_text(text, "{\"callbacks\":[],\"attempts\":3}");
    }
    check_text("{\"callbacks\":[ ],\"attempts\":3}", "{\"callbacks\":[],\"attempts\":3}");
    check_text("{\"callbacks\" : [a] }", "{\"callbacks\":[]}");
    check_text("{\"callbacks\":7}", "{\"callbacks\":7}");
    check_text("{\"x\":{\"callbacks\":[1]}}", "{\"x\":{\"callbacks\":[1]}}"); /* data of that name */
}

static void test_refused(void **state)
{
    static const struct {
        const char *text;
        size_t at;
        const char *why;
    } rows[] = {
        {"", 0, "a value is missing"},
        {"undefined", 0, "undefined is no data"},
        {"{} {}", 3, "text behind"},
        {"{\"a\":1", 6, "a comma or }"},
        {"{\"a\":1,}", 7, "a string in quotes"},
        {"{a:1}", 1, "a string in quotes"},
        {"{\"a\" 1}", 5, "a colon"},
        {"[1,,2]", 3, "not plain data"},
        {"[1,]", 3, "not plain data"},
        {"[1 2]", 3, "a comma or ]"},
        {"{\"a\":process.exit(1)}", 5, "not plain data"},
        {"{\"a\":require(\"fs\")}", 5, "not plain data"},
        {"{\"a\":function () {}}", 5, "not plain data"},
        {"{\"a\":() => {}}", 5, "not plain data"},
        {"{\"a\":1+1}", 6, "a comma or }"},
        {"{\"a\":\"b\"+\"c\"}", 8, "a comma or }"},
        {"{\"a\":`b`}", 5, "not plain data"},
        {"{\"a\":/b/}", 5, "not plain data"},
        {"/* c */{}", 0, "not plain data"},
        {"{get a(){return 1}}", 1, "a string in quotes"},
        {"{[\"a\"]:1}", 1, "a string in quotes"},
        {"{...b}", 1, "a string in quotes"},
        {"new Date()", 9, "a string in quotes"},
        {"new Date(0)", 9, "a string in quotes"},
        {"new Date(\"today\")", 9, "not a date"},
        {"new Date(\"2024-02-03T04:05:06.789Z\", 1)", 35, ") is expected"},
        {"new Date(\"2024-02-03T04:05:06.789\\x5a1\")", 9, "not a date"},
        {"new Datex(\"2024-02-03T04:05:06.789Z\")", 0, "not plain data"},
        {"new Function(\"x\")", 0, "not plain data"},
        {"newDate(\"2024-02-03T04:05:06.789Z\")", 0, "not plain data"},
        {"new Map({})", 8, "an array"},
        {"new Set([process])", 9, "not plain data"},
        {"new RegExp(\"a\", x)", 16, "a string in quotes"},
        {"BigInt(\"1.5\")", 7, "not an integer"},
        {"BigInt(\"01\")", 7, "not an integer"},
        {"BigInt(\"\")", 7, "not an integer"},
        {"BigInt(\"-\")", 7, "not an integer"},
        {"BigInt(12)", 7, "a string in quotes"},
        {"Array.prototype.slice.call([1])", 27, "an object"},
        {"Array.prototype.slice.call({\"length\":4294967295})", 37, "too long"},
        {"Array.prototype.slice.call({\"99999999999\":1,\"length\":1})", 29, "too long"},
        {"Array.prototype.slice.call({\"1\":1,\"0\":1,\"length\":2})", 38, "not in order"},
        {"Array.prototype.slice.call({\"1\":1,\"length\":1})", 44, "less than"},
        {"Array.prototype.slice.call({\"01\":1,\"length\":2})", 29, "bad index"},
        {"Array.prototype.slice.call({\"a\":1,\"length\":2})", 29, "bad index"},
        {"Array.prototype.slice.call({\"0\":1})", 33, "a comma"},
        {"01", 0, "bad number"},
        {"0x10", 0, "bad number"},
        {"1n", 0, "bad number"},
        {"1.", 0, "bad number"},
        {".5", 0, "not plain data"},
        {"+1", 0, "not plain data"},
        {"1e", 0, "bad number"},
        {"-", 0, "bad number"},
        {"-x", 0, "bad number"},
        {"\"abc", 0, "string has no end"},
        {"\"abc\\", 4, "string has no end"},
        {"'abc\"", 0, "string has no end"},
        {"\"a\nb\"", 0, "string has no end"},
        {"\"\\x4\"", 1, "bad escape"},
        {"\"\\u004\"", 1, "bad escape"},
        {"\"\\u{110000}\"", 1, "bad escape"},
        {"\"\\u{}\"", 1, "bad escape"},
        {"\"\\u{41\"", 1, "bad escape"},
        {"\"\\1\"", 1, "octal"},
        {"\"\\01\"", 1, "octal"},
        {"nullx", 0, "not plain data"},
        {"{\"callbacks\":[function () { ]}", 28, "unbalanced"},
        {"{\"callbacks\":[function () { }", 14, "no end"},
        {"{\"callbacks\":[,a]}", 14, "missing"},
        {"{\"callbacks\":[a,]}", 16, "missing"},
        {"{\"callbacks\":[() => 'a]}", 20, "string in a function"},
        {"{\"callbacks\":[() => 'a\n'],\"attempts\":0}", 20, "string in a function"},
        {"{\"callbacks\":[() => `${a`]}", 24, "template in a function"},
        {"{\"callbacks\":[() => /a]}", 20, "regular expression"},
        {"{\"callbacks\":[() => /* ]}", 20, "comment in a function"},
        {"{\"callbacks\":[}]}", 14, "unbalanced"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct jsliteral_fault fault;
        struct buf out;

        buf_init(&out, MAX);
        assert_int_equal(buf_puts(&out, "before"), 0);
        if (jsliteral_to_json(rows[i].text, strlen(rows[i].text), &out, &fault) == 0)
            fail_msg("%s: taken as %s", rows[i].text, buf_cstr(&out));
        if (fault.at != rows[i].at || strstr(fault.why, rows[i].why) == NULL)
            fail_msg("%s: byte %zu: %s", rows[i].text, fault.at, fault.why);
        assert_string_equal(buf_cstr(&out), "before");
        buf_fini(&out);
    }
}

static void test_bounds(void **state)
{
    enum { DEEP = 100000 };
    char *text = malloc(2 * DEEP + 64);
    struct jsliteral_fault fault;
    struct buf out;

    (void)state;
    assert_non_null(text);
    buf_init(&out, 1000000);
    memset(text, '[', DEEP);
    memset(text + DEEP, ']', DEEP);
    assert_int_equal(jsliteral_to_json(text, 2 * DEEP, &out, &fault), -1);
    assert_string_equal(fault.why, "nested too deep");
    assert_int_equal(
        jsliteral_to_json(text + DEEP - JSLITERAL_DEPTH_MAX, 2 * JSLITERAL_DEPTH_MAX, &out, &fault), 0);
    assert_int_equal(
        jsliteral_to_json(text + DEEP - JSLITERAL_DEPTH_MAX - 1, 2 * JSLITERAL_DEPTH_MAX + 2, &out, &fault),
        -1);
    memcpy(text, "{\"callbacks\":[", 14);
    memset(text + 14, '(', DEEP);
    assert_int_equal(jsliteral_to_json(text, DEEP, &out, &fault), -1);
    assert_string_equal(fault.why, "function is nested too deep");
    assert_int_equal(fault.at, 14 + JSFUNCTION_DEPTH_MAX);
    buf_fini(&out);
    buf_init(&out, 100); /* 20 bytes that would be 120 */
    assert_int_equal(jsliteral_to_json("\"\t\t\t\t\t\t\t\t\t\t\t\t\t\t\t\t\t\t\"", 20, &out, &fault), -1);
    assert_string_equal(fault.why, "its JSON is larger than allowed");
    assert_int_equal(out.len, 0);
    buf_fini(&out);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_values), cmocka_unit_test(test_strings),
                                       cmocka_unit_test(test_functions), cmocka_unit_test(test_refused),
                                       cmocka_unit_test(test_bounds)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
