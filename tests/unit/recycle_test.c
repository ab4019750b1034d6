/* recycle_test - when a process is worn, and which limit says so. */
#include "master/recycle.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#define LENGTH(a) (sizeof(a) / sizeof *(a))

static void limits_vary(void **state)
{
    (void)state;
    static const struct {
        uint64_t limit;
        double jitter, luck;
        bool only_below;
        uint64_t want;
    } cases[] = {
        {1000, 0, 0.9, false, 1000},    {1000, 0.1, 0, false, 900}, {1000, 0.1, 0.5, false, 1000},
        {1000, 0.1, 0.75, false, 1050}, {1000, 0.1, 0, true, 1000}, {1000, 0.1, 0.5, true, 950},
        {0, 0.1, 0.9, false, 0},        {1, 1, 0, false, 1},        {10, 1, 0, false, 1},
    };
    for (size_t i = 0; i < LENGTH(cases); i++)
        assert_int_equal(recycle_limit(cases[i].limit, cases[i].jitter, cases[i].luck, cases[i].only_below),
                         cases[i].want);
}

static void the_reason_is_what_is_furthest_over(void **state)
{
    (void)state;
    static const struct {
        struct recycle_limits l;
        struct recycle_use u;
        enum recycle_reason want;
        uint64_t limit;
    } cases[] = {
        {{0, 0, 0, 0.1}, {1u << 30, 1u << 30, 1u << 30, 0.5}, RECYCLE_NONE, 0}, /* nothing is asked for */
        {{100, 0, 0, 0}, {99, 0, 0, 0.5}, RECYCLE_NONE, 0},
        {{100, 0, 0, 0}, {100, 0, 0, 0.5}, RECYCLE_JOBS, 100},
        {{0, 100, 0, 0}, {0, 100, 0, 0.5}, RECYCLE_AGE, 100},
        {{0, 0, 100, 0}, {0, 0, 100, 0.5}, RECYCLE_RSS, 100},
        {{100, 100, 100, 0}, {150, 120, 110, 0.5}, RECYCLE_JOBS, 100},
        {{100, 100, 100, 0}, {110, 150, 120, 0.5}, RECYCLE_AGE, 100},
        {{100, 100, 100, 0}, {110, 120, 150, 0.5}, RECYCLE_RSS, 100},
        {{100, 0, 0, 0.2}, {80, 0, 0, 0}, RECYCLE_JOBS, 80}, /* each its own */
        {{100, 0, 0, 0.2}, {80, 0, 0, 0.1}, RECYCLE_NONE, 0},
        {{0, 0, 100, 0.2}, {0, 0, 99, 0}, RECYCLE_NONE, 0}, /* of memory never more than was said */
        {{0, 0, 100, 0.2}, {0, 0, 100, 0}, RECYCLE_RSS, 100},
    };
    for (size_t i = 0; i < LENGTH(cases); i++) {
        struct recycle_verdict v = recycle_judge(&cases[i].l, &cases[i].u);
        assert_int_equal(v.reason, cases[i].want);
        assert_int_equal(v.limit, cases[i].limit);
    }
}

/* Processes that begin together and work alike do not reach their limits together. */
static void they_do_not_go_in_step(void **state)
{
    (void)state;
    const struct recycle_limits l = {.max_jobs = 1000, .jitter = 0.1};
    unsigned most = 0;
    for (uint64_t jobs = 1; jobs < 1200; jobs++) {
        unsigned now = 0;
        for (int i = 0; i < 20; i++) {
            struct recycle_use u = {.jobs = jobs, .luck = i / 20.},
                               before = {.jobs = jobs - 1, .luck = i / 20.};
            now += recycle_judge(&l, &u).reason != RECYCLE_NONE &&
                   recycle_judge(&l, &before).reason == RECYCLE_NONE;
        }
        most = now > most ? now : most;
    }
    assert_int_equal(most, 1);
}

static void names(void **state)
{
    (void)state;
    assert_string_equal(recycle_name(RECYCLE_RSS), "max_rss");
    assert_string_equal(recycle_name(RECYCLE_JOBS), "max_jobs");
    assert_string_equal(recycle_name(RECYCLE_AGE), "max_age");
    assert_string_equal(recycle_name(RECYCLE_REASONS), "?");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(limits_vary),
        cmocka_unit_test(the_reason_is_what_is_furthest_over),
        cmocka_unit_test(they_do_not_go_in_step),
        cmocka_unit_test(names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
