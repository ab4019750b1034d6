/* restart_test - the restart policy against the clock. */
#include "common/base/restart.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#define BURST 10

static const struct restart_policy policy = {.min_ms = 100,
                                             .max_ms = 30000,
                                             .healthy_after_ms = 10000,
                                             .jitter = 0.2,
                                             .burst = BURST,
                                             .burst_ms = 10000};

#define MIDDLE 0.5 /* of the jitter: no change */

static void early_deaths_double_up_to_the_cap(void **state)
{
    (void)state;
    static const uint64_t want[] = {100, 200, 400, 800, 1600, 3200, 6400, 12800, 25600, 30000, 30000};
    struct restart r = {0};
    for (size_t i = 0; i < sizeof want / sizeof *want; i++)
        assert_int_equal(restart_delay(&r, &policy, 1000, i % 2 ? 0 : RESTART_PROVEN_MS, false, MIDDLE),
                         want[i]);
}

static void jitter_stays_within_its_share(void **state)
{
    (void)state;
    for (int i = 0; i <= 10; i++) {
        struct restart r = {0};
        uint64_t d = restart_delay(&r, &policy, 0, 0, false, i / 10.);
        assert_in_range(d, 80, 120);
    }
}

static void a_proven_run_starts_again_at_once_and_ends_the_doubling(void **state)
{
    (void)state;
    struct restart r = {0};
    for (int i = 0; i < 5; i++)
        restart_delay(&r, &policy, 0, 0, false, MIDDLE);
    assert_int_equal(restart_delay(&r, &policy, 10000, RESTART_PROVEN_MS + 1, false, MIDDLE), 0);
    assert_int_equal(restart_delay(&r, &policy, 10000, 0, false, MIDDLE), 100);
}

static void killed_from_outside_counts_as_proven_once_ready(void **state)
{
    (void)state;
    struct restart r = {0};
    assert_int_equal(restart_delay(&r, &policy, 1000, 5, true, MIDDLE), 0);
    assert_int_equal(restart_delay(&r, &policy, 1100, 0, true, MIDDLE), 100);
    assert_int_equal(restart_delay(&r, &policy, 1200, 5, false, MIDDLE), 200);
}

static void a_burst_of_proven_deaths_is_spread(void **state)
{
    (void)state;
    struct restart r = {0};
    uint64_t now = 50000;
    for (int i = 0; i < BURST; i++, now += 500)
        assert_int_equal(restart_delay(&r, &policy, now, 1500, false, MIDDLE), 0);
    assert_int_equal(restart_delay(&r, &policy, now, 1500, false, MIDDLE), RESTART_BURST_GAP_MS);
    for (int i = 0; i < 100; i++, now += 1200) /* slower than ten in ten seconds */
        if (i >= BURST)
            assert_int_equal(restart_delay(&r, &policy, now, 1500, false, MIDDLE), 0);
        else
            restart_delay(&r, &policy, now, 1500, false, MIDDLE);
}

static void no_burst_is_no_limit(void **state)
{
    (void)state;
    struct restart r = {0};
    struct restart_policy free_policy = policy;
    free_policy.burst = 0;
    for (int i = 0; i < 3 * RESTART_BURST_MAX; i++)
        assert_int_equal(restart_delay(&r, &free_policy, 1000, 1500, false, MIDDLE), 0);
    free_policy.burst = 10 * RESTART_BURST_MAX; /* more than is remembered: the most that is */
    assert_int_equal(restart_delay(&r, &free_policy, 1000, 1500, false, MIDDLE), RESTART_BURST_GAP_MS);
}

static void healthy_for_long_forgets_the_burst(void **state)
{
    (void)state;
    struct restart r = {0};
    for (int i = 0; i < 15; i++)
        restart_delay(&r, &policy, 1000, 1500, false, MIDDLE);
    assert_int_equal(restart_delay(&r, &policy, 12000, 10000, false, MIDDLE), 0);
    assert_int_equal(restart_delay(&r, &policy, 12001, 1500, false, MIDDLE), 0);
}

static void giving_up_is_off_by_default(void **state)
{
    (void)state;
    struct restart r = {0};
    struct restart_policy p = policy;
    for (int i = 0; i < 1000; i++)
        restart_delay(&r, &p, 0, 0, false, MIDDLE);
    assert_false(restart_gives_up(&r, &p));
    p.give_up = 1000;
    assert_true(restart_gives_up(&r, &p));
    restart_forget(&r);
    assert_false(restart_gives_up(&r, &p));
}

static void the_window_counts_only_its_period(void **state)
{
    (void)state;
    static struct restart_window w;
    for (uint64_t i = 0; i < 20; i++)
        restart_window_add(&w, i * 100);
    assert_false(restart_window_over(&w, 2000, 20, 60000));
    restart_window_add(&w, 2000);
    assert_true(restart_window_over(&w, 2000, 20, 60000));
    assert_false(restart_window_over(&w, 62000, 20, 60000));
    assert_false(restart_window_over(&w, 2000, 0, 60000));
    for (uint64_t i = 0; i < 3 * RESTART_WINDOW_MAX; i++)
        restart_window_add(&w, 100000 + i);
    assert_true(restart_window_over(&w, 103000, RESTART_WINDOW_MAX, 60000));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(early_deaths_double_up_to_the_cap),
        cmocka_unit_test(jitter_stays_within_its_share),
        cmocka_unit_test(a_proven_run_starts_again_at_once_and_ends_the_doubling),
        cmocka_unit_test(killed_from_outside_counts_as_proven_once_ready),
        cmocka_unit_test(a_burst_of_proven_deaths_is_spread),
        cmocka_unit_test(no_burst_is_no_limit),
        cmocka_unit_test(healthy_for_long_forgets_the_burst),
        cmocka_unit_test(giving_up_is_off_by_default),
        cmocka_unit_test(the_window_counts_only_its_period),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
