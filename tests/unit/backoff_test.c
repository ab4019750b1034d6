/* backoff: dray's delays and Bull's. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "workers/delivery/backoff.h"

static void test_delays(void **state)
{
    static const struct backoff ours = {
        .exponential = true, .delay_ms = 1000, .max_ms = 600000, .jitter = 0.2};
    static const struct backoff calm = {.exponential = true, .delay_ms = 1000, .max_ms = 600000};
    static const struct backoff fixed = {.delay_ms = 700, .max_ms = 600000};
    static const struct backoff bull = {.exponential = true, .bull = true, .delay_ms = 500};
    static const struct backoff bull_fixed = {.bull = true, .delay_ms = 5000};
    static const struct {
        const struct backoff *b;
        uint64_t failures;
        double chance;
        uint64_t ms;
    } rows[] = {
        {&calm, 1, 0.5, 1000},       {&calm, 2, 0.5, 2000},    {&calm, 5, 0.5, 16000},
        {&calm, 10, 0.5, 512000},    {&calm, 11, 0.5, 600000}, {&calm, 1u << 30, 0.5, 600000},
        {&calm, 0, 0.5, 1000},       {&ours, 1, 0.0, 800},     {&ours, 1, 0.5, 1000},
        {&ours, 1, 0.999999, 1200},  {&ours, 20, 0.0, 480000}, {&fixed, 1, 0.1, 700},
        {&fixed, 9, 0.9, 700},       {&bull, 1, 0.9, 500}, /* Math.round((2^n - 1) * delay) */
        {&bull, 2, 0.9, 1500},       {&bull, 4, 0.9, 7500},    {&bull, 200, 0.9, BACKOFF_LONGEST_MS},
        {&bull_fixed, 3, 0.9, 5000},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        uint64_t ms = backoff_delay_ms(rows[i].b, rows[i].failures, rows[i].chance);

        if (ms != rows[i].ms)
            fail_msg("row %zu: %llu", i, (unsigned long long)ms);
    }
}

static void test_opts(void **state)
{
    static const struct {
        const char *opts;
        uint64_t attempts;
        bool has, exponential;
        uint64_t delay_ms;
    } rows[] = {
        {"{\"attempts\":1,\"delay\":0,\"timestamp\":1795230000000}", 1, false, false, 0},
        {"{\"attempts\":5,\"backoff\":{\"type\":\"exponential\",\"delay\":250}}", 5, true, true, 250},
        {"{\"attempts\":3,\"backoff\":{\"type\":\"fixed\",\"delay\":4000}}", 3, true, false, 4000},
        {"{\"attempts\":3,\"backoff\":4000}", 3, true, false, 4000},
        {"{\"attempts\":3,\"backoff\":{\"type\":\"jitter\",\"delay\":1}}", 3, false, false, 1},
        {"{\"attempts\":3,\"backoff\":{\"delay\":1}}", 3, false, false, 0},
        {"{\"attempts\":3,\"backoff\":{\"type\":\"fixed\"}}", 3, true, false, 0},
        {"{\"attempts\":3,\"backoff\":{\"type\":\"fixed\",\"delay\":\"x\"}}", 3, false, false, 0},
        {"{\"attempts\":-3,\"backoff\":-1}", 0, false, false, 0},
        {"{\"attempts\":1e300,\"backoff\":1e300}", BACKOFF_LONGEST_MS, true, false, BACKOFF_LONGEST_MS},
        {"{\"attempts\":\"3\"}", 0, false, false, 0},
        {"[3]", 0, false, false, 0},
        {"{\"attempts\":3", 0, false, false, 0},
        {"", 0, false, false, 0},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct backoff_own own;

        backoff_parse_opts(rows[i].opts, strlen(rows[i].opts), &own);
        if (own.attempts != rows[i].attempts || own.has_backoff != rows[i].has ||
            (own.has_backoff && (own.backoff.delay_ms != rows[i].delay_ms || !own.backoff.bull ||
                                 own.backoff.exponential != rows[i].exponential)))
            fail_msg("%s", rows[i].opts);
    }
}

static void test_timeout(void **state)
{
    static const struct {
        const char *opts;
        uint64_t ms;
    } rows[] = {
        {"{\"timeout\":250}", 250}, {"{\"timeout\":0}", 0},    {"{\"timeout\":-5}", 0},
        {"{\"timeout\":\"5\"}", 0}, {"{\"timeout\":null}", 0}, {"{}", 0},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct backoff_own own;

        backoff_parse_opts(rows[i].opts, strlen(rows[i].opts), &own);
        if (own.timeout_ms != rows[i].ms)
            fail_msg("%s", rows[i].opts);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_delays), cmocka_unit_test(test_opts),
                                       cmocka_unit_test(test_timeout)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
