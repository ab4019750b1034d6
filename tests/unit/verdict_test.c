/* verdict: every class of answer, what spends a job, Retry-After, and the words that are kept. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "workers/delivery/verdict.h"

static const struct verdict_rules rules = {
    .max_attempts = 10,
    .retry_window_ms = 86400000,
    .retry_after_max_ms = 3600000,
    .backoff = {.exponential = true, .delay_ms = 1000, .max_ms = 600000, .jitter = 0.2},
};

static struct verdict judge(const struct http_answer *a, uint64_t failures, uint64_t age_ms, const char *opts)
{
    struct verdict_case c = {.answer = a,
                             .failures = failures,
                             .age_ms = age_ms,
                             .opts = opts,
                             .opts_len = strlen(opts),
                             .random01 = 0.5};
    struct verdict v;

    verdict_give(&rules, &c, &v);
    return v;
}

static void test_statuses(void **state)
{
    static const struct {
        int from, to;
        enum verdict_action action;
    } rows[] = {
        {200, 299, VERDICT_DONE},  {300, 399, VERDICT_RETRY}, {400, 407, VERDICT_FAIL},
        {408, 408, VERDICT_RETRY}, {409, 424, VERDICT_FAIL},  {425, 425, VERDICT_RETRY},
        {426, 428, VERDICT_FAIL},  {429, 429, VERDICT_RETRY}, {430, 499, VERDICT_FAIL},
        {500, 500, VERDICT_RETRY}, {501, 501, VERDICT_FAIL},  {502, 599, VERDICT_RETRY},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        for (int s = rows[i].from; s <= rows[i].to; s++) {
            struct http_answer a = {.status = s, .retry_after_ms = -1, .body = ""};
            struct verdict v = judge(&a, 0, 0, "{}");
            char class[4] = {(char)('0' + s / 100), 'x', 'x', 0};

            if (v.action != rows[i].action)
                fail_msg("status %d", s);
            assert_string_equal(v.code_class, class);
            assert_string_equal(v.outcome, v.action == VERDICT_DONE   ? "ok"
                                           : v.action == VERDICT_FAIL ? "fail"
                                                                      : "retry");
            assert_false(v.spent);
            assert_int_equal(v.delay_ms, v.action == VERDICT_RETRY ? 1000 : 0);
        }
}

static void test_network(void **state)
{
    static const struct {
        enum http_error error;
        const char *outcome;
    } rows[] = {
        {HTTP_ERROR_CONNECT, "connect"}, {HTTP_ERROR_DNS, "dns"}, {HTTP_ERROR_TLS, "tls"},
        {HTTP_ERROR_TIMEOUT, "timeout"}, {HTTP_ERROR_CUT, "cut"}, {HTTP_ERROR_PROTOCOL, "retry"},
        {HTTP_ERROR_OTHER, "retry"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct http_answer a = {.error = rows[i].error, .retry_after_ms = -1, .body = ""};
        struct verdict v = judge(&a, 3, 0, "{}");

        assert_int_equal(v.action, VERDICT_RETRY);
        assert_string_equal(v.outcome, rows[i].outcome);
        assert_string_equal(v.code_class, "");
        assert_int_equal(v.delay_ms, 8000);
    }
}

static void test_spent(void **state)
{
    static const struct {
        uint64_t failures, age_ms;
        const char *opts;
        enum verdict_action action;
        uint64_t delay_ms;
    } rows[] = {
        {8, 86400000, "{}", VERDICT_RETRY, 256000}, /* attempts left */
        {9, 86399999, "{}", VERDICT_RETRY, 512000}, /* time left */
        {500, 1000, "{}", VERDICT_RETRY, 600000},   /* time left */
        {9, 86400000, "{}", VERDICT_FAIL, 0},       /* both spent */
        {9, 86400000, "{\"attempts\":1}", VERDICT_FAIL, 0},
        {0, 0, "{\"attempts\":1,\"delay\":0}", VERDICT_RETRY, 1000}, /* what Bull always stores */
        {1, 0, "{\"attempts\":3}", VERDICT_RETRY, 0},                /* Bull without backoff: at once */
        {1, 0, "{\"attempts\":3,\"backoff\":{\"type\":\"mine\",\"delay\":5}}", VERDICT_RETRY, 2000},
        {2, 0, "{\"attempts\":3}", VERDICT_FAIL, 0}, /* a Bull client's own limit */
        {30, 1u << 31, "{\"attempts\":50}", VERDICT_RETRY, 0},
        {1, 0, "{\"attempts\":3,\"backoff\":{\"type\":\"exponential\",\"delay\":100}}", VERDICT_RETRY, 300},
        {1, 0, "{\"attempts\":3,\"backoff\":0}", VERDICT_RETRY, 0},
        {1, 0, "{\"attempts\":1,\"backoff\":7}", VERDICT_RETRY, 2000},
        {1, 0, "rubbish", VERDICT_RETRY, 2000},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct http_answer a = {.status = 500, .retry_after_ms = -1, .body = ""};
        struct verdict v = judge(&a, rows[i].failures, rows[i].age_ms, rows[i].opts);

        if (v.action != rows[i].action || v.delay_ms != rows[i].delay_ms)
            fail_msg("row %zu: action %d delay %llu", i, v.action, (unsigned long long)v.delay_ms);
        assert_int_equal(v.spent, v.action == VERDICT_FAIL);
    }
}

static void test_retry_after(void **state)
{
    static const struct {
        int status;
        int64_t retry_after_ms;
        uint64_t pause_ms, delay_ms;
    } rows[] = {
        {429, 30000, 30000, 30000}, {503, 100, 100, 1000},
        {503, 0, 0, 1000},          {503, 7200000, 3600000, 3600000},
        {429, -1, 0, 1000},         {301, 5000, 5000, 5000},
        {200, 5000, 0, 0},          {400, 5000, 0, 0},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct http_answer a = {
            .status = rows[i].status, .retry_after_ms = rows[i].retry_after_ms, .body = ""};
        struct verdict v = judge(&a, 0, 0, "{}");

        if (v.pause_ms != rows[i].pause_ms || v.delay_ms != rows[i].delay_ms)
            fail_msg("row %zu: pause %llu delay %llu", i, (unsigned long long)v.pause_ms,
                     (unsigned long long)v.delay_ms);
    }
}

static void check_reason(int status, enum http_error error, const char *text, const char *body, bool spent,
                         const char *want)
{
    struct http_answer a = {.status = status, .error = error, .body = body, .body_len = strlen(body)};
    struct verdict v = {.spent = spent};
    struct buf out;

    snprintf(a.text, sizeof(a.text), "%s", text);
    buf_init(&out, 1u << 16);
    assert_int_equal(verdict_reason(&v, &a, &out), 0);
    assert_string_equal(buf_cstr(&out), want);
    buf_fini(&out);
}

static void test_reasons(void **state)
{
    (void)state;
    check_reason(400, HTTP_ERROR_NONE, "", "bad\x01 \xff k\xc3\xa9y\n", false,
                 "the destination answered 400: bad\xef\xbf\xbd \xef\xbf\xbd k\xc3\xa9y\n");
    check_reason(500, HTTP_ERROR_NONE, "", "", true,
                 "the destination answered 500; attempts and time for them are spent");
    check_reason(302, HTTP_ERROR_NONE, "", "", false,
                 "the destination answered 302 (redirects are not followed)");
    check_reason(410, HTTP_ERROR_NONE, "", "x", false, "the destination is gone for good: it answered 410");
    check_reason(0, HTTP_ERROR_CONNECT, "Connection refused", "", false,
                 "no answer (connect): Connection refused");
    check_reason(
        404, HTTP_ERROR_NONE, "", "\xed\xa0\x80|\xc0\xaf|\xf0\x9f\x98\x80|\xe2\x82", false,
        "the destination answered 404: \xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd|\xef\xbf\xbd\xef\xbf\xbd|\xf0\x9f\x98\x80"
        "|\xef\xbf\xbd\xef\xbf\xbd");
}

static void test_value(void **state)
{
    struct http_answer a = {.status = 200, .duration_us = 12345, .body = "o\"k\xff", .body_len = 4};
    struct buf out;

    (void)state;
    buf_init(&out, 1000);
    assert_int_equal(verdict_value(&a, &out), 0);
    assert_string_equal(buf_cstr(&out), "{\"status\":200,\"ms\":12,\"body\":\"o\\\"k\xef\xbf\xbd\"}");
    buf_reset(&out);
    a.body_len = 0;
    assert_int_equal(verdict_value(&a, &out), 0);
    assert_string_equal(buf_cstr(&out), "{\"status\":200,\"ms\":12}");
    buf_fini(&out);
    buf_init(&out, 20);
    a.body_len = 4;
    assert_int_equal(verdict_value(&a, &out), -1);
    buf_fini(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_statuses),    cmocka_unit_test(test_network), cmocka_unit_test(test_spent),
        cmocka_unit_test(test_retry_after), cmocka_unit_test(test_reasons), cmocka_unit_test(test_value),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
