/* gauge_test - high and low water, and when to come again. */
#include "workers/ingest/gauge.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static void test_does_not_flap(void **state)
{
    (void)state;
    static const struct {
        double value;
        bool on, changed;
    } rows[] = {
        {0, false, false},  {100, false, false}, {101, true, true},  {100, true, false}, {89, true, false},
        {88, false, true},  {99, false, false},  {100.5, true, true}, {500, true, false}, {0, false, true},
    };
    struct gauge g = {0};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        assert_int_equal(gauge_set(&g, rows[i].value, 100, 0.88, (double)i), rows[i].changed);
        assert_int_equal(g.on, rows[i].on);
    }
    assert_true(gauge_set(&g, 101, 100, 0.88, 20));
    assert_true(gauge_set(&g, 101, 0, 0.88, 21)); /* switched off */
    assert_false(g.on);
    assert_false(gauge_set(&g, 1e9, 0, 0.88, 22));
}

static void test_retry_after(void **state)
{
    (void)state;
    struct gauge g = {0};
    /* Falls by 10 a second, and 200 are too many: 20 s, and up to a third more. */
    for (int i = 0; i < 20; i++)
        gauge_set(&g, 1480 - 10 * i, 1000, 0.9, i);
    gauge_set(&g, 1100, 1000, 0.9, 58); /* (1290 - 1100) / 39 a second: slower */
    assert_true(g.rate > 4.8 && g.rate < 10);
    for (int i = 0; i < 60; i++)
        gauge_set(&g, 1100 - i, 1000, 0.9, 59 + i / 10.);
    assert_true(g.rate > 9 && g.rate < 11);
    unsigned least = gauge_retry_after(&g, 65, 0), most = gauge_retry_after(&g, 65, 1023);
    assert_in_range(least, 12, 16);
    assert_in_range(most, least + 3, least + 6);
    /* By 100 every two seconds, asked 50 times a second: between two falls the estimate does not run away. */
    memset(&g, 0, sizeof g);
    for (int i = 0; i < 500; i++) {
        gauge_set(&g, 2000 - 100. * (i / 100), 1000, 0.9, i / 50.);
        if (i > 200)
            assert_in_range(gauge_retry_after(&g, i / 50., 0), 5, 60);
    }
    /* Nothing falls: longer and longer, never over the cap. */
    memset(&g, 0, sizeof g);
    gauge_set(&g, 2000, 1000, 0.9, 100);
    assert_int_equal(gauge_retry_after(&g, 100, 0), GAUGE_RETRY_MIN);
    gauge_set(&g, 2000, 1000, 0.9, 140);
    assert_int_equal(gauge_retry_after(&g, 140, 0), GAUGE_RETRY_MIN + 20);
    assert_int_equal(gauge_retry_after(&g, 1e6, 0), 90);
    assert_in_range(gauge_retry_after(&g, 1e6, 1023), 119, GAUGE_RETRY_MAX);
    for (int i = 0; i < 1000; i++)
        assert_in_range(gauge_retry_after(&g, 100 + i, (uint64_t)i * 7919), GAUGE_RETRY_MIN, GAUGE_RETRY_MAX);
    /* It is not on: another reason made this request too much. */
    memset(&g, 0, sizeof g);
    assert_int_equal(gauge_retry_after(&g, 1e6, 0), GAUGE_RETRY_MIN);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_does_not_flap),
        cmocka_unit_test(test_retry_after),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
