/* payload: the stored form of a batch, and the body that is posted for it and for what others stored. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "workers/delivery/payload.h"

#define WALL_MS 1795230000123u
#define SENT_AT ",\"sentAt\":\"2026-11-21T03:00:00.123Z\"}"

static void test_write(void **state)
{
    /* two msgpack strings: fixstr {"a":1} and str8 {"b":"\u00e9"} */
    static const unsigned char packed[] = "\xa7{\"a\":1}\xd9\x0e{\"b\":\"\\u00e9\"}";
    static const struct payload_head quoted = {.source = "we\"b"}, plain = {.source = "w"},
                                     web = {.source = "web"};
    struct mpwalk w;
    struct buf out;

    (void)state;
    buf_init(&out, 200);
    mpwalk_init(&w, packed, sizeof(packed) - 1);
    assert_int_equal(payload_write(&out, &quoted, 2, w, NULL), 0);
    assert_string_equal(buf_cstr(&out),
                        "{\"dray\":1,\"source\":\"we\\\"b\",\"batch\":[{\"a\":1},{\"b\":\"\\u00e9\"}]}");
    buf_reset(&out);
    assert_int_equal(payload_write(&out, &plain, 3, w, NULL), -1); /* fewer events than announced */
    assert_int_equal(out.len, 0);
    assert_int_equal(payload_write(&out, &plain, 0, w, NULL), 0);
    assert_string_equal(buf_cstr(&out), "{\"dray\":1,\"source\":\"w\",\"batch\":[]}");
    buf_fini(&out);
    buf_init(&out, 40); /* does not fit */
    assert_int_equal(buf_puts(&out, "before"), 0);
    assert_int_equal(payload_write(&out, &web, 2, w, NULL), -1);
    assert_int_equal(out.len, 6);
    buf_fini(&out);
}

/* What the writer knows of a text is what a reader finds in it. */
static void test_recall(void **state)
{
    static const unsigned char packed[] = "\xa7{\"a\":1}\xd9\x0e{\"b\":\"\\u00e9\"}";
    static const char longest[] = "012345678901234567890123456789012345678901234567890123456789012";
    static const char over[] = "0123456789012345678901234567890123456789012345678901234567890123";
    static const char *const sources[] = {"w", "we\"b", "\xc3\xa9", longest, over};

    (void)state;
    for (size_t i = 0; i < sizeof(sources) / sizeof(sources[0]); i++) {
        struct payload_head head = {.source = sources[i]};
        struct payload_known known;
        struct payload a, b;
        struct mpwalk w;
        struct buf out;
        char why[128];

        buf_init(&out, 1000);
        mpwalk_init(&w, packed, sizeof(packed) - 1);
        assert_int_equal(payload_write(&out, &head, 2, w, &known), 0);
        assert_int_equal(payload_read(&a, out.data, out.len, WALL_MS, why, sizeof(why)), 0);
        assert_int_equal(known.batch_len > 0, sources[i] != over);
        if (known.batch_len > 0) {
            payload_recall(&b, out.data, &known, WALL_MS);
            assert_string_equal(b.source, a.source);
            assert_int_equal(b.n_events, a.n_events);
            assert_int_equal(b.bytes, a.bytes);
            assert_int_equal(b.n_pieces, a.n_pieces);
            for (size_t k = 0; k < a.n_pieces; k++) {
                assert_int_equal(b.pieces[k].len, a.pieces[k].len);
                assert_memory_equal(b.pieces[k].data, a.pieces[k].data, a.pieces[k].len);
            }
            payload_fini(&b);
        }
        payload_fini(&a);
        buf_fini(&out);
    }
}

/* The form that workers of the SDKs 2.x and 3.x do: read back as what they post. */
static void test_write_sdk(void **state)
{
    static const unsigned char packed[] = "\xa7{\"a\":1}\xd9\x0e{\"b\":\"\\u00e9\"}";
    static const struct payload_head head = {
        .source = "web", .write_key = "k\"ey", .id = "b00abc", .wall_ms = WALL_MS - 1000};
    struct mpwalk w;
    struct payload p;
    struct buf out;
    char why[128], body[512] = "";

    (void)state;
    buf_init(&out, 1000);
    mpwalk_init(&w, packed, sizeof(packed) - 1);
    assert_int_equal(payload_write(&out, &head, 2, w, NULL), 0);
    assert_string_equal(
        buf_cstr(&out),
        "{\"version\":3,\"eventData\":\"{\\\"jobId\\\":\\\"b00abc\\\",\\\"description\\\":\\\"dray-b00abc\\\","
        "\\\"request\\\":{\\\"auth\\\":{\\\"username\\\":\\\"k\\\\\\\"ey\\\"},\\\"headers\\\":{\\\"user-agent\\\":"
        "\\\"dray/" DRAY_VERSION
        "\\\"},\\\"data\\\":{\\\"batch\\\":[{\\\"a\\\":1},{\\\"b\\\":\\\"\\\\u00e9\\\"}],"
        "\\\"timestamp\\\":\\\"2026-11-21T02:59:59.123Z\\\",\\\"sentAt\\\":\\\"2026-11-21T02:59:59.123Z\\\"}},"
        "\\\"callbacks\\\":[],\\\"attempts\\\":0}\"}");
    assert_int_equal(payload_read(&p, out.data, out.len, WALL_MS, why, sizeof(why)), 0);
    for (size_t k = 0; k < p.n_pieces; k++)
        strncat(body, p.pieces[k].data, p.pieces[k].len);
    assert_string_equal(
        body, "{\"batch\":[{\"a\":1},{\"b\":\"\\u00e9\"}],"
              "\"timestamp\":\"2026-11-21T02:59:59.123Z\",\"sentAt\":\"2026-11-21T03:00:00.123Z\"}");
    assert_int_equal(p.n_events, 2);
    assert_string_equal(p.sdk->write_key, "k\"ey");
    payload_fini(&p);
    out.max = out.len + 100; /* does not fit a second time */
    assert_int_equal(payload_write(&out, &head, 2, w, NULL), -1);
    assert_int_equal(out.len, out.max - 100);
    buf_fini(&out);
}

static void test_read(void **state)
{
    static const struct {
        const char *data, *body, *source;
        size_t n_events;
    } rows[] = {
        {"{\"dray\":1,\"source\":\"web\",\"batch\":[{\"a\":1},{\"b\": 2}]}",
         "{\"batch\":[{\"a\":1},{\"b\": 2}]" SENT_AT, "web", 2},
        {"{\"dray\":1,\"source\":\"w\\u00e9b\",\"batch\":[]}", "{\"batch\":[]" SENT_AT,
         "w\xc3\xa9"
         "b",
         0},
        /* a Bull client's */
        {"{\"batch\":[ 1 , [2] ],\"timestamp\":\"x\"}", "{\"batch\":[ 1 , [2] ]" SENT_AT, "", 2},
        {"{ \"batch\" : \n[1,[2,{}],3] ,\"source\":\"s\"}", "{\"batch\":[1,[2,{}],3]" SENT_AT, "s", 3},
        {"{\"batch\":[1],\"batch\":[2,3]}", "{\"batch\":[2,3]" SENT_AT, "", 2}, /* the last one counts */
        {"{\"batch\":[1],\"batch\":2}", "{\"batch\":[1],\"batch\":2}", "", 1},
        {"{\"b\\u0061tch\":[1]}", "{\"batch\":[1]" SENT_AT, "", 1},
        {"{}", "{}", "", 1},
        {" {\"to\":\"a@b\"} ", " {\"to\":\"a@b\"} ", "", 1},
        {"{\"batch\":{\"x\":1},\"source\":\"s\"}", "{\"batch\":{\"x\":1},\"source\":\"s\"}", "s", 1},
        {"{\"eventData\":{},\"version\":4}", "{\"eventData\":{},\"version\":4}", "", 1},
        {"{\"dray\":1,\"eventData\":\"x\",\"batch\":[7]}", "{\"batch\":[7]" SENT_AT, "", 1},
        {"{\"eventData\":\"{'request':{'data':{'batch':[1,2]}}}\"}", "{\"batch\":[1,2]" SENT_AT, "", 2},
        {"[1,2]", "[1,2]", "", 1},
        {"\"text\"", "\"text\"", "", 1},
        {"null", "null", "", 1},
        {"{\"dray\":\"1\",\"a\":2}", "{\"dray\":\"1\",\"a\":2}", "", 1},
        {"{\"source\":\"0123456789012345678901234567890123456789012345678901234567890123\"}",
         "{\"source\":\"0123456789012345678901234567890123456789012345678901234567890123\"}", "", 1},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct payload p;
        char why[128], body[512] = "";

        if (payload_read(&p, rows[i].data, strlen(rows[i].data), WALL_MS, why, sizeof(why)) != 0)
            fail_msg("%s: %s", rows[i].data, why);
        for (size_t k = 0; k < p.n_pieces; k++)
            strncat(body, p.pieces[k].data, p.pieces[k].len);
        assert_string_equal(body, rows[i].body);
        assert_int_equal(p.bytes, strlen(body));
        assert_string_equal(p.source, rows[i].source);
        assert_int_equal(p.n_events, rows[i].n_events);
        payload_fini(&p);
    }
}

static void test_refused(void **state)
{
    static const struct {
        const char *data, *why;
    } rows[] = {
        {"", "not JSON"},
        {"{\"batch\":[1,2}", "not JSON"},
        {"{\"batch\":[]} x", "not JSON"},
        {"undefined", "not JSON"},
        {"{\"eventData\":function(){}}", "not JSON"},
        {"{\"dray\":2,\"batch\":[]}", "has form 2"},
        {"{\"version\":4,\"eventData\":\"{}\"}", "of version 4"},
        {"{\"dray\":1e0,\"batch\":[]}", "has form 1e0"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct payload p;
        char why[128] = "";

        assert_int_equal(payload_read(&p, rows[i].data, strlen(rows[i].data), WALL_MS, why, sizeof(why)), -1);
        if (strstr(why, rows[i].why) == NULL)
            fail_msg("%s: %s", rows[i].data, why);
        payload_fini(&p);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_write), cmocka_unit_test(test_recall),
                                       cmocka_unit_test(test_write_sdk), cmocka_unit_test(test_read),
                                       cmocka_unit_test(test_refused)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
