/* event_test - what is taken, which text is stored, and that every stored text is valid JSON again. */
#include "common/event/event.h"
#include "common/event/event_time.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/id.h"

#define NOW_MS   1795229501123ull /* 2026-11-21T02:51:41.123Z */
#define NOW_TEXT "2026-11-21T02:51:41.123Z"

static struct json_slice whole(const char *text)
{
    struct json_scan s;
    struct json_slice v;
    json_scan_init(&s, text, strlen(text));
    assert_int_equal(json_scan_value(&s, &v), 0);
    return v;
}

static void test_check(void **state)
{
    (void)state;
    static const struct {
        const char *event, *type, *key;
        enum event_fault fault;
    } rows[] = {
        {"null", NULL, "", EVENT_NOT_OBJECT},
        {"[]", NULL, "", EVENT_NOT_OBJECT},
        {"\"x\"", NULL, "", EVENT_NOT_OBJECT},
        {"7", "track", "", EVENT_NOT_OBJECT},
        {"{}", NULL, "", EVENT_NO_USER},
        {"{\"userId\":\"u1\"}", NULL, "u1", EVENT_OK},
        {"{\"anonymousId\":\"a1\"}", NULL, "a1", EVENT_OK},
        {"{\"anonymousId\":\"a1\",\"userId\":\"u1\"}", NULL, "u1", EVENT_OK},
        {"{\"anonymousId\":\"a1\",\"userId\":\"\"}", NULL, "a1", EVENT_OK},
        {"{\"anonymousId\":\"a1\",\"userId\":null}", NULL, "a1", EVENT_OK},
        {"{\"anonymousId\":\" \",\"userId\":null}", NULL, "", EVENT_NO_USER},
        {"{\"userId\":\"\",\"anonymousId\":\"\\t\"}", NULL, "", EVENT_NO_USER},
        {"{\"userId\":42}", NULL, "42", EVENT_OK},
        {"{\"userId\":0}", NULL, "0", EVENT_OK},
        {"{\"userId\":false}", NULL, "false", EVENT_OK},
        {"{\"userId\":{\"a\":1}}", NULL, "{\"a\":1}", EVENT_OK},
        {"{\"\\u0075serId\":\"esc\"}", NULL, "esc", EVENT_OK},
        {"{\"userId\":\"u\\u0031\"}", NULL, "u1", EVENT_OK},
        {"{\"userId\":\"one\",\"userId\":\"two\"}", NULL, "two", EVENT_OK},
        {"{\"userId\":\"one\",\"userId\":\"\"}", NULL, "", EVENT_NO_USER},
        {"{\"userId\":\"0123456789abcdef\"}", NULL, "", EVENT_OK}, /* does not fit in the key of this test */
        {"{\"userId\":\"a\\u0000b\"}", NULL, "", EVENT_OK},
        {"{\"context\":{\"userId\":\"u1\"}}", NULL, "", EVENT_NO_USER},
        {"{\"type\":\"extract\"}", NULL, "", EVENT_OK},
        {"{\"type\":\"extract\"}", "track", "", EVENT_NO_USER},
        {"{\"userId\":\"u\",\"x\":\"0123456789012345678901234567890123456789\"}", NULL, "", EVENT_TOO_BIG},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct event_context c = {.type = rows[i].type, .max_bytes = 60};
        struct json_slice v = whole(rows[i].event);
        char key[16] = "untouched";
        if (event_check(&v, &c, key, sizeof key) != rows[i].fault || strcmp(key, rows[i].key) != 0)
            fail_msg("%s: fault %s key %s", rows[i].event,
                     event_fault_name(event_check(&v, &c, key, sizeof key)), key);
    }
    for (int f = EVENT_OK; f <= EVENT_POISON; f++) {
        assert_string_not_equal(event_fault_name((enum event_fault)f), "?");
        assert_string_not_equal(event_fault_text((enum event_fault)f), "?");
    }
}

static const struct event_context inside = {.received_ms = NOW_MS};
static const struct event_context from_ip = {
    .received_ms = NOW_MS, .received_at = NOW_TEXT, .request_ip = "203.0.113.9"};
static const struct event_context track = {.type = "track", .received_ms = NOW_MS};

#define FULL  "\"messageId\":\"m\",\"receivedAt\":\"r\",\"originalTimestamp\":\"o\",\"timestamp\":\"t\""
#define LATE  ",\"timestamp\":\"" NOW_TEXT "\"" /* nothing better is known */
#define ADDED "\"receivedAt\":\"" NOW_TEXT "\""

static const struct {
    const char *in;
    const struct event_context *c;
    const char *out;
} writes[] = {
    /* nothing to do: byte for byte */
    {"{" FULL "}", &inside, "{" FULL "}"},
    {"{ \"a\" : 1.50e+1 ,\n" FULL "\t}", &inside, "{ \"a\" : 1.50e+1 ,\n" FULL "\t}"},
    /* added in front of the brace */
    {"{\"messageId\":\"m\",\"originalTimestamp\":\"o\"}", &inside,
     "{\"messageId\":\"m\",\"originalTimestamp\":\"o\"," ADDED LATE "}"},
    {"{\"messageId\":\"m\",\"originalTimestamp\":\"o\" }", &inside,
     "{\"messageId\":\"m\",\"originalTimestamp\":\"o\" ," ADDED LATE "}"},
    {"{\"messageId\":\"m\",\"receivedAt\":\"r\",\"timestamp\":\"t\"}", &inside,
     "{\"messageId\":\"m\",\"receivedAt\":\"r\",\"timestamp\":\"t\",\"originalTimestamp\":\"t\"}"},
    {"{\"messageId\":\"m\",\"receivedAt\":\"r\",\"timestamp\":17}", &inside,
     "{\"messageId\":\"m\",\"receivedAt\":\"r\",\"timestamp\":17,\"originalTimestamp\":17}"},
    {"{\"messageId\":\"m\",\"receivedAt\":\"r\",\"timestamp\":{}}", &inside,
     "{\"messageId\":\"m\",\"receivedAt\":\"r\",\"timestamp\":{},\"originalTimestamp\":\"r\"}"},
    {"{\"messageId\":\"m\",\"receivedAt\":\"r\"}", &inside,
     "{\"messageId\":\"m\",\"receivedAt\":\"r\",\"originalTimestamp\":\"r\"" LATE "}"},
    {"{\"messageId\":\"m\"}", &inside,
     "{\"messageId\":\"m\"," ADDED ",\"originalTimestamp\":\"" NOW_TEXT "\"" LATE "}"},
    {"{" FULL "}", &from_ip, "{" FULL ",\"request_ip\":\"203.0.113.9\"}"},
    {"{" FULL ",\"request_ip\":\"10.1.1.1\"}", &from_ip, "{" FULL ",\"request_ip\":\"10.1.1.1\"}"},
    {"{\"request_ip\":\"\"," FULL "}", &from_ip, "{" FULL ",\"request_ip\":\"203.0.113.9\"}"},
    {"{\"request_ip\":\"\"," FULL "}", &inside, "{\"request_ip\":\"\"," FULL "}"},
    /* writeKey is cut with its comma: first, middle, last, alone, twice, under an escaped name */
    {"{\"writeKey\":\"k\"," FULL "}", &inside, "{" FULL "}"},
    {"{\"a\":1,\"writeKey\":\"k\"," FULL "}", &inside, "{\"a\":1," FULL "}"},
    {"{" FULL ",\"writeKey\":\"k\"}", &inside, "{" FULL "}"},
    {"{" FULL " , \"writeKey\" : {\"x\":[1,2]} }", &inside, "{" FULL "  }"},
    {"{ \"writeKey\":\"k\" , " FULL "}", &inside, "{  " FULL "}"},
    {"{\"writeKey\":1,\"a\":2,\"writeKey\":3," FULL ",\"writeKey\":4}", &inside, "{\"a\":2," FULL "}"},
    {"{\"writeKey\":1,\"writeKey\":3," FULL "}", &inside, "{" FULL "}"},
    {"{" FULL ",\"\\u0077riteKey\":\"k\"}", &inside, "{" FULL "}"},
    {"{" FULL ",\"writeKey\":1,\"\\u0077riteKey\":\"k\"}", &inside, "{" FULL "}"},
    {"{" FULL ",\"properties\":{\"writeKey\":1}}", &inside, "{" FULL ",\"properties\":{\"writeKey\":1}}"},
    {"{" FULL ",\"writekey\":1}", &inside, "{" FULL ",\"writekey\":1}"},
    /* blank is replaced */
    {"{\"messageId\":\"m\",\"receivedAt\":null,\"originalTimestamp\":\"\"}", &inside,
     "{\"messageId\":\"m\"," ADDED ",\"originalTimestamp\":\"" NOW_TEXT "\"" LATE "}"},
    {"{\"receivedAt\":\"  \",\"originalTimestamp\":\"\",\"messageId\":\"m\"}", &inside,
     "{\"messageId\":\"m\"," ADDED ",\"originalTimestamp\":\"" NOW_TEXT "\"" LATE "}"},
    {"{\"receivedAt\":\"x\",\"receivedAt\":\"\",\"originalTimestamp\":\"o\",\"messageId\":\"m\"}", &inside,
     "{\"originalTimestamp\":\"o\",\"messageId\":\"m\"," ADDED LATE "}"},
    {"{\"receivedAt\":\"\",\"receivedAt\":\"x\",\"originalTimestamp\":\"o\",\"messageId\":\"m\"}", &inside,
     "{\"receivedAt\":\"\",\"receivedAt\":\"x\",\"originalTimestamp\":\"o\",\"messageId\":\"m\"" LATE "}"},
    {"{\"messageId\":7,\"receivedAt\":\"r\",\"originalTimestamp\":\"o\"}", &inside,
     "{\"messageId\":7,\"receivedAt\":\"r\",\"originalTimestamp\":\"o\"" LATE "}"},
    /* the type of a verb endpoint */
    {"{" FULL "}", &track, "{" FULL ",\"type\":\"track\"}"},
    {"{\"type\":\"track\"," FULL "}", &track, "{\"type\":\"track\"," FULL "}"},
    {"{\"type\":\"page\"," FULL "}", &track, "{" FULL ",\"type\":\"track\"}"},
    {"{\"type\":7," FULL "}", &track, "{" FULL ",\"type\":\"track\"}"},
    {"{\"type\":\"page\",\"a\":1,\"type\":\"group\"," FULL "}", &track,
     "{\"a\":1," FULL ",\"type\":\"track\"}"},
    {"{\"type\":\"page\"," FULL "}", &inside, "{\"type\":\"page\"," FULL "}"},
};

static void assert_written(const char *in, const struct event_context *c, struct buf *out)
{
    struct json_slice v = whole(in);
    buf_reset(out);
    assert_int_equal(buf_puts(out, "before"), 0);
    if (event_write(&v, c, out) < 0)
        fail_msg("not written: %s", in);
    assert_memory_equal(out->data, "before", 6);
    buf_consume(out, 6);
    struct json_slice again = whole(buf_cstr(out)); /* valid, and all of it */
    assert_int_equal(again.len, out->len);
}

static void test_write(void **state)
{
    (void)state;
    struct buf out;
    buf_init(&out, 65536);
    for (size_t i = 0; i < sizeof writes / sizeof *writes; i++) {
        assert_written(writes[i].in, writes[i].c, &out);
        if (strcmp(buf_cstr(&out), writes[i].out) != 0)
            fail_msg("%s\n  gave %s\n  not  %s", writes[i].in, buf_cstr(&out), writes[i].out);
    }
    buf_fini(&out);
}

/* What stands beside `batch`, and the sender's clock. */
static const struct {
    const char *in, *context, *sent_at, *out;
} merges[] = {
    {"{" FULL "}", NULL, "\"s\"", "{" FULL ",\"sentAt\":\"s\"}"},
    {"{" FULL ",\"sentAt\":\"own\"}", NULL, "\"s\"", "{" FULL ",\"sentAt\":\"own\"}"},
    {"{" FULL "}", "{\"a\":[1]}", NULL, "{" FULL ",\"context\":{\"a\":[1]}}"},
    {"{" FULL ",\"context\":null}", "{\"a\":1}", NULL, "{" FULL ",\"context\":{\"a\":1}}"},
    {"{" FULL ",\"context\":\"x\"}", "{\"a\":1}", NULL, "{" FULL ",\"context\":\"x\"}"},
    {"{\"context\":{}," FULL "}", "{\"a\":1,\"b\":2}", NULL, "{" FULL ",\"context\":{\"a\":1,\"b\":2}}"},
    {"{\"context\":{ \"b\" : {\"a\":9} }," FULL "}", "{\"a\":1,\"b\":2}", NULL,
     "{" FULL ",\"context\":{ \"b\" : {\"a\":9} ,\"a\":1}}"},
    {"{\"context\":{\"\\u0061\":0}," FULL "}", "{\"a\":1,\"\\u0062\":2}", NULL,
     "{" FULL ",\"context\":{\"\\u0061\":0,\"\\u0062\":2}}"},
    {"{\"context\":{\"a\":0},\"context\":{\"b\":0}," FULL "}", "{\"a\":1}", NULL,
     "{" FULL ",\"context\":{\"b\":0,\"a\":1}}"},
    {"{" FULL "}", "{}", NULL, "{" FULL ",\"context\":{}}"},
    {"{\"context\":{\"x\":1}}", "{\"x\":2}", NULL, NULL},
};

static void test_of_the_batch(void **state)
{
    (void)state;
    struct buf out;
    buf_init(&out, 65536);
    for (size_t i = 0; i < sizeof merges / sizeof *merges; i++) {
        struct event_context c = {.received_ms = NOW_MS};
        if (merges[i].context != NULL)
            c.context = whole(merges[i].context);
        if (merges[i].sent_at != NULL)
            c.sent_at = whole(merges[i].sent_at);
        assert_written(merges[i].in, &c, &out);
        if (merges[i].out != NULL && strcmp(buf_cstr(&out), merges[i].out) != 0)
            fail_msg("%s\n  gave %s\n  not  %s", merges[i].in, buf_cstr(&out), merges[i].out);
        struct json_slice v = whole(merges[i].in);
        c.max_bytes = v.len + 10;
        c.grow = 10;
        assert_int_not_equal(event_check(&v, &c, (char[8]){0}, 8), EVENT_TOO_BIG);
        c.grow = 11;
        assert_int_equal(event_check(&v, &c, (char[8]){0}, 8), EVENT_TOO_BIG);
    }
    buf_fini(&out);
}

static void test_timestamp(void **state)
{
    (void)state;
    static const struct {
        const char *received, *sent, *original, *batch_sent, *out;
    } rows[] = {
        {"", "", "", NULL, NOW_TEXT},
        {"2024-05-05T05:05:05Z", "2020-01-01T00:00:10Z", "2020-01-01T00:00:00Z", NULL,
         "2024-05-05T05:04:55.000Z"},
        {"2024-05-05T05:05:05.250Z", "2020-01-01T01:00:00+01:00", "2020-01-01T00:00:00.125Z", NULL,
         "2024-05-05T05:05:05.375Z"},
        {"2024-05-05T05:05:05Z", "", "2020-01-01T00:00:00Z", NULL, "2020-01-01T00:00:00.000Z"},
        {"2024-05-05T05:05:05Z", "", "2020-01-01T00:00:00Z", "\"2020-01-01T00:00:01Z\"",
         "2024-05-05T05:05:04.000Z"},
        {"2024-05-05T05:05:05Z", "2020-01-01T00:00:00Z", "", NULL, "2024-05-05T05:05:05.000Z"},
        {"2024-05-05T05:05:05Z", "soon", "2020-01-01T00:00:00Z", NULL, "2020-01-01T00:00:00.000Z"},
        {"2024-05-05T05:05:05Z", "9999-01-01T00:00:00Z", "1970-01-01T00:00:00Z", NULL,
         "2024-05-05T05:05:05.000Z"},
    };
    struct buf out;
    buf_init(&out, 65536);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char in[512], text[64];
        struct event_context c = {.received_ms = NOW_MS};
        struct json_slice field, v;
        snprintf(in, sizeof in,
                 "{\"messageId\":\"m\",\"receivedAt\":\"%s\",\"sentAt\":\"%s\",\"originalTimestamp\":\"%s\"}",
                 rows[i].received, rows[i].sent, rows[i].original);
        if (rows[i].batch_sent != NULL) {
            c.sent_at = whole(rows[i].batch_sent);
            assert_int_equal(event_time_parse(&c.sent_at, &c.sent_ms), 0);
        }
        assert_written(in, &c, &out);
        v = whole(buf_cstr(&out));
        assert_true(json_find(&v, "timestamp", &field));
        assert_true(json_text(&field, text, sizeof text) > 0);
        if (strcmp(text, rows[i].out) != 0)
            fail_msg("%s\n  gave %s", in, text);
    }
    buf_fini(&out);
}

static void test_times(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t ms; /* -1: none */
    } rows[] = {
        {"\"1970-01-01T00:00:00Z\"", 0},
        {"\"2026-11-21T02:51:41.123Z\"", (int64_t)NOW_MS},
        {"\"2026-11-21t02:51:41.123999z\"", (int64_t)NOW_MS},
        {"\"2026-11-21 02:51:41,123Z\"", (int64_t)NOW_MS},
        {"\"2026-11-21T08:21:41.123+05:30\"", (int64_t)NOW_MS},
        {"\"2026-11-20T18:51:41.123-0800\"", (int64_t)NOW_MS},
        {"\"2024-02-29T00:00Z\"", 1709164800000},
        {"\"2000-03-01T00:00:00Z\"", 951868800000},
        {"\"1969-12-31T23:59:59Z\"", -1},
        {"\"2023-02-29T00:00:00Z\"", -1},
        {"\"2100-02-29T00:00:00Z\"", -1},
        {"\"2026-13-01T00:00:00Z\"", -1},
        {"\"2026-00-01T00:00:00Z\"", -1},
        {"\"2026-01-00T00:00:00Z\"", -1},
        {"\"2026-01-01T24:00:00Z\"", -1},
        {"\"2026-01-01T00:60:00Z\"", -1},
        {"\"2026-01-01T00:00:00\"", -1},
        {"\"2026-01-01T00:00:00.Z\"", 1767225600000},
        {"\"2026-01-01T00:00:00+1:00\"", -1},
        {"\"2026-01-01T00:00:00+24:00\"", -1},
        {"\"2026-01-01\"", -1},
        {"\"2026-1-01T00:00:00.000Z\"", -1},
        {"\"20 6-01-01T00:00:00Z\"", -1},
        {"\"\"", -1},
        {"\"now\"", -1},
        {"1767225600000", -1},
        {"null", -1},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct json_slice v = whole(rows[i].text);
        uint64_t ms = 7;
        int r = event_time_parse(&v, &ms);
        if (r != (rows[i].ms < 0 ? -1 : 0) || (r == 0 && (int64_t)ms != rows[i].ms))
            fail_msg("%s: %d %llu", rows[i].text, r, (unsigned long long)ms);
    }
}

static void test_write_message_id(void **state)
{
    (void)state;
    static const char *const without[] = {"{}", "{\"messageId\":\"\"}", "{\"messageId\":\" \"}",
                                          "{\"a\":1,\"messageId\":null}",
                                          "{\"writeKey\":1,\"messageId\":\"\",\"type\":2}"};
    struct buf out;
    buf_init(&out, 65536);
    char first[UUID_SIZE] = "", id[UUID_SIZE];
    for (size_t i = 0; i < sizeof without / sizeof *without; i++) {
        assert_written(without[i], &track, &out);
        struct json_slice v = whole(buf_cstr(&out)), field;
        assert_true(json_find(&v, "messageId", &field));
        assert_int_equal(json_text(&field, id, sizeof id), UUID_SIZE - 1);
        assert_int_equal(id[14], '4');
        assert_string_not_equal(id, first);
        strcpy(first, id);
        assert_true(json_find(&v, "type", &field));
        assert_memory_equal(field.text, "\"track\"", 7);
        assert_false(json_find(&v, "writeKey", &field));
        struct json_iter it = {0};
        struct json_slice key;
        int ids = 0;
        while (json_next_member(&v, &it, &key, &field))
            ids += json_key_is(&key, "messageId");
        assert_int_equal(ids, 1);
    }
    buf_fini(&out);
}

static void test_write_without_room(void **state)
{
    (void)state;
    static const char in[] = "{\"writeKey\":\"k\",\"userId\":\"u\"}";
    struct json_slice v = whole(in);
    struct buf out;
    buf_init(&out, 4096);
    assert_int_equal(event_write(&v, &from_ip, &out), 0);
    size_t need = out.len;
    buf_fini(&out);
    for (size_t max = 0; max < need; max++) {
        buf_init(&out, max);
        errno = 0;
        assert_int_equal(event_write(&v, &from_ip, &out), -1);
        assert_int_equal(errno, EMSGSIZE);
        assert_int_equal(out.len, 0);
        buf_fini(&out);
    }
    struct json_slice number = whole("7");
    buf_init(&out, 100);
    assert_int_equal(event_write(&number, &inside, &out), -1);
    assert_int_equal(out.len, 0);
}

/* One pass over a batch, as ingest makes it. */
static void test_scan_in_a_batch(void **state)
{
    (void)state;
    static const char text[] =
        "{\"batch\":[{\"userId\":\"a\",\"context\":{\"x\":[1,{\"userId\":\"no\"}]}}, null ,{\"userId\":\"b\"},{}]}";
    static const enum event_fault faults[] = {EVENT_OK, EVENT_NOT_OBJECT, EVENT_OK, EVENT_NO_USER};
    static const char *const keys[] = {"a", "", "b", ""};
    struct json_scan s;
    struct json_slice name;
    struct event e;
    char key[16];
    json_scan_init(&s, text, strlen(text));
    assert_int_equal(json_scan_enter(&s, JSON_OBJECT), 0);
    assert_int_equal(json_scan_member(&s, &name), 1);
    assert_int_equal(json_scan_enter(&s, JSON_ARRAY), 0);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(json_scan_element(&s), 1);
        assert_int_equal(event_scan(&s, &e), 0);
        assert_int_equal(event_check_scanned(&e, &inside, key, sizeof key), faults[i]);
        assert_string_equal(key, keys[i]);
    }
    assert_int_equal(json_scan_element(&s), 0);
    assert_int_equal(json_scan_member(&s, &name), 0);
    assert_int_equal(json_scan_end(&s), 0);

    static const char *const broken[] = {"{\"a\":1,}", "{\"a\" 1}", "{\"a\":tru}", "{", "", "[1,]"};
    for (size_t i = 0; i < sizeof broken / sizeof *broken; i++) {
        json_scan_init(&s, broken[i], strlen(broken[i]));
        assert_int_equal(event_scan(&s, &e), -1);
        assert_non_null(s.why);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_check),
        cmocka_unit_test(test_write),
        cmocka_unit_test(test_of_the_batch),
        cmocka_unit_test(test_timestamp),
        cmocka_unit_test(test_times),
        cmocka_unit_test(test_write_message_id),
        cmocka_unit_test(test_write_without_room),
        cmocka_unit_test(test_scan_in_a_batch),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
