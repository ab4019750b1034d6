/* sdkjob: jobs that the real SDKs wrote (tests/interop/fixtures/redis-jobs.jsonl), and hostile ones. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <libdeflate.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/buf.h"
#include "workers/delivery/sdkjob.h"

#define FIXTURES "tests/interop/fixtures/redis-jobs.jsonl"

/* text: the job's data. */
static int read_data(struct sdkjob *s, const char *text, size_t len, char *why, size_t why_size)
{
    struct json_scan scan;
    struct json_slice all, version, event_data;

    json_scan_init(&scan, text, len);
    assert_int_equal(json_scan_value(&scan, &all), 0);
    assert_true(json_find(&all, "eventData", &event_data));
    return sdkjob_read(s, json_find(&all, "version", &version) ? &version : NULL, &event_data, why, why_size);
}

static void test_fixtures(void **state)
{
    static const struct {
        const char *sdk, *agent, *begin, *inside, *end;
        uint64_t attempts;
        size_t n_events;
    } rows[] = {
        {"rudder-sdk-node 3.0.13", "analytics-node/3.0.13", "{\"batch\":[{\"userId\":\"user-1\"",
         "h\xc3\xa9llo \xe2\x9c\x93",
         "\"timestamp\":\"2026-11-21T00:28:51.296Z\",\"sentAt\":\"2026-11-21T00:28:51.296Z\"}", 0, 1},
        {"rudder-sdk-node 3.0.13", "analytics-node/3.0.13", "{\"batch\":[{\"userId\":\"user-1\"",
         "\"type\":\"alias\"", "\"}", 0, 5},
        {"rudder-sdk-node 2.1.11", "analytics-node/2.1.11", "{\"batch\":[{\"userId\":\"user-1\"",
         "\"timestamp\":\"2024-02-03T04:05:06.789Z\"",
         "\"timestamp\":\"2026-11-21T00:28:53.660Z\",\"sentAt\":\"2026-11-21T00:28:53.660Z\"}", 0, 1},
        {"rudder-sdk-node 2.1.11", "analytics-node/2.1.11", "{\"batch\":[",
         "\"url\":\"https://example.com/\"", "\"}", 0, 5},
        {"rudder-sdk-node 1.1.5", "analytics-node/1.1.5", "{\"batch\":[", "h\xc3\xa9llo \xe2\x9c\x93",
         "}],\"sentAt\":\"2026-11-21T00:28:56.054Z\"}", 0, 1},
        {"rudder-sdk-node 1.1.5", "analytics-node/1.1.5", "{\"batch\":[", "\"groupId\":\"g-1\"", "\"}", 0, 5},
        {"hightouch events-sdk-node 1.0.3", "events-sdk-node/1.0.3", "{\"batch\":[", "\"orderId\":\"o-1\"",
         "\"}", 0, 1},
        {"hightouch events-sdk-node 1.0.3", "events-sdk-node/1.0.3", "{\"batch\":[",
         "\"previousId\":\"anon-1\"", "\"}", 0, 5},
        {"rudder-sdk-node 3.0.0 ", "analytics-node/3.0.0", "{\"batch\":[{", "\"messageId\"", "Z\"}", 1, 1},
    };
    FILE *f = fopen(FIXTURES, "r");
    char *line = NULL;
    size_t size = 0, n = 0;
    ssize_t len;

    (void)state;
    assert_non_null(f);
    for (; (len = getline(&line, &size, f)) > 0; n++) {
        struct json_scan scan;
        struct json_slice all, sdk, hash, data;
        struct sdkjob s;
        char why[200], *text = malloc((size_t)len), *body;
        long text_len;

        assert_true(n < sizeof(rows) / sizeof(rows[0]));
        json_scan_init(&scan, line, (size_t)len);
        assert_int_equal(json_scan_value(&scan, &all), 0);
        assert_true(json_find(&all, "sdk", &sdk) && json_find(&all, "hash", &hash) &&
                    json_find(&hash, "data", &data));
        assert_memory_equal(sdk.text + 1, rows[n].sdk, strlen(rows[n].sdk));
        text_len = json_text(&data, text, (size_t)len);
        assert_true(text_len > 0);
        if (read_data(&s, text, (size_t)text_len, why, sizeof(why)) != 0)
            fail_msg("%s: %s", rows[n].sdk, why);
        assert_string_equal(s.write_key, "WRITEKEY123");
        assert_string_equal(s.agent, rows[n].agent);
        assert_int_equal(s.attempts, rows[n].attempts);
        assert_int_equal(s.n_events, rows[n].n_events);
        assert_true(s.bytes >= s.data.len);
        body = strndup(s.data.text, s.data.len);
        if (strncmp(body, rows[n].begin, strlen(rows[n].begin)) != 0 ||
            strstr(body, rows[n].inside) == NULL ||
            strcmp(body + strlen(body) - strlen(rows[n].end), rows[n].end) != 0)
            fail_msg("%s: %s", rows[n].sdk, body);
        assert_true(s.sent_at.text > s.data.text && s.sent_at.text < s.data.text + s.data.len);
        assert_int_equal(s.sent_at.len, 26);
        free(body);
        free(text);
        sdkjob_fini(&s);
    }
    assert_int_equal(n, sizeof(rows) / sizeof(rows[0]));
    free(line);
    fclose(f);
}

static void test_read(void **state)
{
    static const struct {
        const char *data, *key, *agent;
        uint64_t attempts, timeout_ms;
    } rows[] = {
        {"{\"version\":3,\"eventData\":\"{\\\"request\\\":{\\\"auth\\\":{\\\"username\\\":\\\"k\\\\u00e9\\\"},"
         "\\\"timeout\\\":2500,\\\"data\\\":{\\\"batch\\\":[]}},\\\"attempts\\\":7,\\\"callbacks\\\":[]}\"}",
         "k\xc3\xa9", "", 7, 2500},
        {"{\"version\":3.0,\"eventData\":\"{\\\"request\\\":{\\\"data\\\":{\\\"batch\\\":[]}},\\\"attempts\\\":-1}\"}",
         "", "", 0, 0},
        {"{\"eventData\":\"{'attempts':1e99,'request':{'timeout':'5','headers':{'user-agent':'a\\\\nb'},'data':{'batch':[]}}}\"}",
         "", "", UINT32_MAX, 0},
        {"{\"eventData\":\"{'request':{'headers':{'user-agent':'x/1'},'data':{'batch':[]}},'callbacks':[()=>{}]}\"}",
         "", "x/1", 0, 0},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct sdkjob s;
        char why[200];

        if (read_data(&s, rows[i].data, strlen(rows[i].data), why, sizeof(why)) != 0)
            fail_msg("%s: %s", rows[i].data, why);
        assert_string_equal(s.write_key, rows[i].key);
        assert_string_equal(s.agent, rows[i].agent);
        assert_int_equal(s.attempts, rows[i].attempts);
        assert_int_equal(s.timeout_ms, rows[i].timeout_ms);
        assert_null(s.sent_at.text);
        sdkjob_fini(&s);
    }
}

#define BUFFER(list)                                                                                                 \
    "{\"version\":3,\"eventData\":\"{\\\"request\\\":{\\\"data\\\":{\\\"type\\\":\\\"Buffer\\\",\\\"data\\\":[" list \
    "]}}}\"}"

static void test_refused(void **state)
{
    static const struct {
        const char *data, *why;
    } rows[] = {
        {"{\"version\":2,\"eventData\":\"{}\"}", "is of version 2; known are 3 and"},
        {"{\"version\":\"3\",\"eventData\":\"{}\"}", "is of version \"3\""},
        {"{\"version\":null,\"eventData\":\"{}\"}", "is of version null"},
        {"{\"version\":3,\"eventData\":\"{'request':{}}\"}", "eventData is not JSON"},
        {"{\"version\":3,\"eventData\":\"new Date(\\\"2024-02-03T04:05:06.789Z\\\")\"}",
         "eventData is not JSON"},
        {"{\"eventData\":\"(function(){process.exit()})()\"}",
         "not plain data: not plain data at byte 0 (nothing of it was run)"},
        {"{\"eventData\":\"{'request':{'data':{'batch':[require('x')]}}}\"}", "at byte 29"},
        {"{\"eventData\":\"\\u0000\"}", "U+0000"},
        {"{\"eventData\":\"\"}", "a value is missing"},
        {"{\"eventData\":\"[]\"}", "holds no request"},
        {"{\"eventData\":\"{'request':1}\"}", "holds no request"},
        {"{\"eventData\":\"{'request':{}}\"}", "holds no request"},
        {"{\"eventData\":\"{'request':{'data':[]}}\"}", "request.data is no object"},
        {"{\"eventData\":\"{'request':{'data':{}}}\"}", "holds no batch"},
        {"{\"eventData\":\"{'request':{'data':{'batch':{}}}}\"}", "holds no batch"},
        {BUFFER(""), "is not gzip"},
        {BUFFER("31,139,8,0"), "is not gzip"},
        {BUFFER("31,256"), "what is no byte"},
        {BUFFER("31,-1"), "what is no byte"},
        {BUFFER("31,[]"), "what is no byte"},
        {BUFFER("31,1.5"), "what is no byte"},
        /* gzip of "[]", of "not", of nothing */
        {BUFFER("31,139,8,0,0,0,0,0,0,3,139,142,5,0,41,187,76,13,2,0,0,0"), "request.data is no object"},
        {BUFFER("31,139,8,0,0,0,0,0,2,3,203,203,47,1,0,117,253,5,8,3,0,0,0"), "Buffer is not JSON"},
    };
    char key[600];

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct sdkjob s;
        char why[200] = "";

        if (read_data(&s, rows[i].data, strlen(rows[i].data), why, sizeof(why)) == 0)
            fail_msg("%s: taken", rows[i].data);
        if (strstr(why, rows[i].why) == NULL)
            fail_msg("%s: %s", rows[i].data, why);
        sdkjob_fini(&s);
    }
    snprintf(key, sizeof(key),
             "{\"eventData\":\"{'request':{'auth':{'username':'%0300d'},'data':{'batch':[]}}}\"}", 0);
    struct sdkjob s;
    char why[200];
    assert_int_equal(read_data(&s, key, strlen(key), why, sizeof(why)), -1);
    assert_string_equal(why, "the SDK job's write key is too long");
    sdkjob_fini(&s);
}

/* Few bytes that would become many. */
static void test_bomb(void **state)
{
    enum { PLAIN = SDKJOB_TEXT_MAX + 1 };
    struct libdeflate_compressor *z = libdeflate_alloc_compressor(6);
    unsigned char *plain = malloc(PLAIN), *packed = malloc(PLAIN);
    struct sdkjob s;
    struct buf data;
    char why[200];
    size_t n;

    (void)state;
    assert_true(z != NULL && plain != NULL && packed != NULL);
    memset(plain, ' ', PLAIN);
    n = libdeflate_gzip_compress(z, plain, PLAIN, packed, PLAIN);
    assert_true(n > 0 && n < 100000);
    buf_init(&data, 1 << 20);
    assert_int_equal(buf_puts(&data, "{\"eventData\":\"{'request':{'data':{'type':'Buffer','data':["), 0);
    for (size_t i = 0; i < n; i++)
        assert_int_equal(buf_printf(&data, "%s%d", i > 0 ? "," : "", packed[i]), 0);
    assert_int_equal(buf_puts(&data, "]}}}\"}"), 0);
    assert_int_equal(read_data(&s, data.data, data.len, why, sizeof(why)), -1);
    assert_string_equal(why, "the SDK job's Buffer holds more than is allowed");
    sdkjob_fini(&s);
    buf_fini(&data);
    free(plain);
    free(packed);
    libdeflate_free_compressor(z);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_fixtures), cmocka_unit_test(test_read),
                                       cmocka_unit_test(test_refused), cmocka_unit_test(test_bomb)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
