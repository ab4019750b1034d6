/* intake_test - the pure parts of the intake's API: rates, origins, hops, the queries of pixels. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "common/base/buf.h"
#include "common/event/json.h"
#include "workers/ingest/cors.h"
#include "workers/ingest/limiter.h"
#include "workers/ingest/pixel.h"
#include "workers/ingest/proxies.h"

static void test_rate(void **state)
{
    (void)state;
    struct limiter l = {0};
    unsigned wait_s = 0;
    assert_false(limiter_on(&l));
    limiter_set(&l, (struct conf_rate){100, 1000}, 1, 5000);
    assert_true(limiter_on(&l));
    assert_true(limiter_take(&l, 60, 5000, &wait_s));
    assert_true(limiter_take(&l, 40, 5000, &wait_s));
    assert_false(limiter_take(&l, 1, 5009, &wait_s)); /* 0.9 of one */
    assert_int_equal(wait_s, 1);
    assert_true(limiter_take(&l, 1, 5010, &wait_s));
    assert_true(limiter_ask(&l, 100, 9000, &wait_s)); /* never more than the burst */
    assert_true(limiter_ask(&l, 1, 8000, &wait_s));   /* a clock that goes back changes nothing */
    assert_true(l.tokens <= 100);
    assert_true(limiter_take(&l, 250, 9000, &wait_s)); /* a full bucket lets anything pass, once */
    assert_false(limiter_take(&l, 1, 9000, &wait_s));
    assert_int_equal(wait_s, 2); /* 150 too many, and one more */
    assert_true(limiter_take(&l, 100, 11500, &wait_s));
    limiter_set(&l, (struct conf_rate){60, 60000}, 1, 11500); /* what is left does not grow by a reload */
    assert_false(limiter_take(&l, 1, 11500, &wait_s));
    limiter_set(&l, (struct conf_rate){0, 0}, 1, 11500);
    assert_false(limiter_on(&l));
    limiter_set(&l, (struct conf_rate){1, 60000}, 16, 11500); /* a share of less than one event */
    assert_true(limiter_take(&l, 1, 11500, &wait_s));
    assert_false(limiter_take(&l, 1, 11500, &wait_s));
    assert_int_equal(wait_s, 960);
    struct limiter fast = {0};
    limiter_set(&fast, (struct conf_rate){10, 100}, 1, 0); /* at least one second's worth */
    assert_true(limiter_take(&fast, 100, 0, &wait_s));
}

static void test_origins(void **state)
{
    (void)state;
    static char *const all[] = {NULL}, *const star[] = {"*", NULL}, *const none[] = {"none", NULL};
    static char *const some[] = {"https://a.example", "https://*.b.example:8443", "null", NULL};
    static const struct {
        char *const *list;
        const char *origin;
        bool allowed;
    } rows[] = {
        {all, "https://x", true},
        {all, "", false},
        {star, "null", true},
        {none, "null", false},
        {none, "https://none", false},
        {some, "https://A.example", true},
        {some, "null", true},
        {some, "https://a.example:443", false},
        {some, "https://a.example/", false},
        {some, "https://x.b.example:8443", true},
        {some, "https://x.b.example", false},
        {some, "https://x:1.b.example:8443", false},
        {some, "https://b.example:8443", false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (cors_allows(rows[i].list, rows[i].origin) != rows[i].allowed)
            fail_msg("%s", rows[i].origin);
    char lines[CORS_HEADERS_MAX], wanted[600];
    memset(wanted, 'x', sizeof wanted - 1);
    wanted[sizeof wanted - 1] = '\0';
    static const char *const odd[] = {"a\tb", "a;b", "a:b", ""};
    for (size_t i = 0; i < sizeof odd / sizeof *odd; i++) {
        cors_preflight("https://x", true, "POST", odd[i], lines);
        assert_non_null(strstr(lines, "Access-Control-Allow-Headers: Authorization, Content-Type,"));
    }
    cors_preflight("https://x", true, "POST", wanted, lines);
    assert_non_null(strstr(lines, "Access-Control-Allow-Headers: Authorization, Content-Type,"));
    wanted[480] = '\0'; /* the longest of everything fits */
    char origin[281];
    memset(origin, 'o', sizeof origin - 1);
    origin[sizeof origin - 1] = '\0';
    assert_true(cors_allows(all, origin));
    cors_preflight(origin, true, "POST, OPTIONS", wanted, lines);
    if (strcmp(lines + strlen(lines) - 29, "Access-Control-Max-Age: 600\r\n") != 0)
        fail_msg("cut: %s", lines);
}

static void test_hops(void **state)
{
    (void)state;
    static char *const words[] = {"unix", "10.0.0.0/8", "2001:db8::/32", NULL};
    struct proxies p = {0};
    char ip[CIDR_TEXT_SIZE];
    assert_false(proxies_any(&p));
    assert_null(proxies_sender(&p, "unix", NULL, 0, ip));
    proxies_set(&p, words);
    assert_true(proxies_any(&p));
    static const struct {
        const char *peer, *first, *second, *ip;
    } rows[] = {
        {"unix", "192.0.2.1", NULL, "192.0.2.1"},
        {"unix", "", NULL, NULL},
        {"unix", "rubbish", NULL, NULL},
        {"10.1.1.1", "6.6.6.6", "192.0.2.1, 10.0.0.2", "192.0.2.1"}, /* two lines are one list */
        {"10.1.1.1", "192.0.2.1", "10.0.0.2", "192.0.2.1"},
        {"10.1.1.1", "192.0.2.1", "", "192.0.2.1"},
        {"2001:db8::1", "192.0.2.1", NULL, "192.0.2.1"},
        {"192.0.2.7", "192.0.2.1", NULL, "192.0.2.7"},
        {"10.1.1.1", NULL, NULL, "10.1.1.1"},
        {"10.1.1.1", "[2001:db9::1", NULL, "10.1.1.1"},
        {"10.1.1.1", "[]", NULL, "10.1.1.1"},
        {"10.1.1.1", "[1.2.3.4]", NULL, "10.1.1.1"},
        {"10.1.1.1", ":", NULL, "10.1.1.1"},
        {"10.1.1.1", ",,,", NULL, "10.1.1.1"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct http_header headers[2] = {{"X-Forwarded-For", rows[i].first, 0},
                                         {"x-forwarded-for", rows[i].second, 0}};
        size_t n = rows[i].first == NULL ? 0 : rows[i].second == NULL ? 1 : 2;
        for (size_t j = 0; j < n; j++)
            headers[j].value_len = strlen(headers[j].value);
        const char *got = proxies_sender(&p, rows[i].peer, headers, n, ip);
        if ((got == NULL) != (rows[i].ip == NULL) || (got != NULL && strcmp(got, rows[i].ip) != 0))
            fail_msg("row %zu: %s", i, got);
    }
    proxies_fini(&p);
}

static void test_pixel(void **state)
{
    (void)state;
    static const struct {
        const char *query, *type;
        bool segment;
        const char *out; /* NULL: no event */
    } rows[] = {
        {"", "page", true, "{}"},
        {"a=1", "page", true, "{\"a\":\"1\"}"},
        {"a.b=1&a.c.d=2&x=%22&a.c.e=", "page", true,
         "{\"a\":{\"b\":\"1\",\"c\":{\"d\":\"2\",\"e\":\"\"}},\"x\":\"\\\"\"}"},
        {"a=1&a.b=2", "page", true, "{\"a\":{\"b\":\"2\"}}"},
        {"a.b=2&a=1", "page", true, "{\"a\":{\"b\":\"2\"}}"},
        {"a..b=1&.a=1&a.=1&=1&&&b", "page", true, "{\"b\":\"\"}"},
        {"ab=1&a=2&ab.c=3", "page", true, "{\"ab\":{\"c\":\"3\"},\"a\":\"2\"}"},
        {"a.0=x&a.99999999=y", "page", true, "{\"a\":{\"0\":\"x\",\"99999999\":\"y\"}}"},
        {"a=%00b&c=\xff\xc3", "page", true, "{\"a\":\"\",\"c\":\"\xef\xbf\xbd\xef\xbf\xbd\"}"},
        {"a.b.c.d.e.f.g.h.i.j.k.l.m.n.o.p=1&a.b.c.d.e.f.g.h.i.j.k.l.m.n.o.p.q=2", "page", true,
         "{\"a\":{\"b\":{\"c\":{\"d\":{\"e\":{\"f\":{\"g\":{\"h\":{\"i\":{\"j\":{\"k\":{\"l\":{\"m\":{\"n\":{\"o\":{"
         "\"p\":\"1\"}}}}}}}}}}}}}}}}"},
        {"data=e30", "page", true, "{}"},
        {"data=", "page", true, NULL},
        {"data=***", "page", true, NULL},
        {"userId=u&event=", "track", false, NULL},
        {"name=", "track", false,
         "{\"name\":\"\",\"channel\":\"web\",\"integrations\":{\"All\":true},\"originalTimestamp\":\"now\",\"sentAt\":\"now\"}"},
        {"integrations=x&sentAt=y&channel=&originalTimestamp=z", "page", false,
         "{\"integrations\":\"x\",\"sentAt\":\"y\",\"channel\":\"\",\"originalTimestamp\":\"z\"}"},
    };
    struct buf out;
    buf_init(&out, PIXEL_TEXT_MAX);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        buf_reset(&out);
        const char *wanted = rows[i].out;
        int r = pixel_write(rows[i].query, rows[i].type, rows[i].segment, "now", &out);
        if ((r == 0) != (wanted != NULL) || (wanted != NULL && strcmp(buf_cstr(&out), wanted) != 0))
            fail_msg("%s gave %d %s", rows[i].query, r, buf_cstr(&out));
    }
    char query[8192] = ""; /* as long as a request line may be, of every kind */
    static const char *const pieces[] = {"a&", "a.b.c=%ff&", "=&", "data=aaaa&", "%", "&&&&", "a=\x80", "."};
    for (size_t i = 0; i < sizeof pieces / sizeof *pieces; i++) {
        size_t n = 0, len = strlen(pieces[i]);
        for (; n + len < sizeof query; n += len)
            memcpy(query + n, pieces[i], len);
        query[n] = '\0';
        for (int segment = 0; segment < 2; segment++) {
            struct json_scan s;
            struct json_slice v;
            buf_reset(&out);
            if (pixel_write(query, "page", segment, "now", &out) < 0 ||
                (segment && strstr(pieces[i], "data") != NULL))
                continue;
            json_scan_init(&s, out.data, out.len);
            assert_int_equal(json_scan_value(&s, &v), 0);
            assert_int_equal(json_scan_end(&s), 0);
        }
    }
    buf_fini(&out);
    assert_memory_equal(pixel_gif, "GIF89a", 6);
    assert_int_equal(pixel_gif[PIXEL_GIF_SIZE - 1], ';');
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_rate), cmocka_unit_test(test_origins),
                                       cmocka_unit_test(test_hops), cmocka_unit_test(test_pixel)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
