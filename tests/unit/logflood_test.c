/* logflood_test - rate, burst and reserve of a child's lines; equal lines in a row; the clock is the test's. */
#include "master/logflood.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static unsigned passing(struct logflood *f, uint64_t now, unsigned n, enum log_level level)
{
    unsigned passed = 0;
    for (unsigned i = 0; i < n; i++)
        passed += logflood_take(f, now, 100, 1000, 50, level);
    return passed;
}

static void a_burst_and_then_the_rate(void **state)
{
    (void)state;
    struct logflood f = {0};
    uint64_t over;
    assert_int_equal(passing(&f, 1000, 80, LOGL_INFO), 50);
    assert_int_equal(f.dropped, 30);
    assert_int_equal(logflood_tell(&f, 1000 + LOGFLOOD_TELL_MS - 1, false, &over), 0);
    assert_int_equal(passing(&f, 1100, 80, LOGL_WARN), 10);
    assert_int_equal(passing(&f, 6000, 80, LOGL_INFO), 50); /* no more than the burst is saved up */
    assert_int_equal(logflood_tell(&f, 6000, false, &over), 30 + 70 + 30);
    assert_int_equal(over, 5000);
    assert_int_equal(logflood_tell(&f, 60000, true, &over), 0);
}

static void errors_go_on_longer(void **state)
{
    (void)state;
    struct logflood f = {0};
    assert_int_equal(passing(&f, 1000, 60, LOGL_INFO), 50);
    assert_int_equal(passing(&f, 1000, 30, LOGL_ERROR), 30);
    assert_int_equal(passing(&f, 1000, 30, LOGL_CRIT), 20);
    assert_int_equal(passing(&f, 1500, 10, LOGL_INFO), 0); /* that is paid back first */
    assert_int_equal(passing(&f, 2500, 100, LOGL_INFO), 50);
}

static void no_rate_no_limit(void **state)
{
    (void)state;
    struct logflood f = {0};
    for (int i = 0; i < 100000; i++)
        assert_true(logflood_take(&f, 1, 0, 0, 1, LOGL_DEBUG));
    assert_int_equal(f.dropped, 0);
}

static void what_is_left_is_told_at_the_end(void **state)
{
    (void)state;
    struct logflood f = {0};
    uint64_t over;
    (void)passing(&f, 1000, 51, LOGL_INFO);
    assert_int_equal(logflood_tell(&f, 1001, false, &over), 0);
    assert_int_equal(logflood_tell(&f, 1001, true, &over), 1);
}

/* True: it was held back. */
static bool say(struct logrepeat *r, uint64_t now, enum log_level level, const char *tail)
{
    if (logrepeat_is_same(r, level, tail, strlen(tail))) {
        logrepeat_hold(r, now);
        return true;
    }
    logrepeat_remember(r, level, tail, strlen(tail));
    return false;
}

static void equal_lines_are_counted(void **state)
{
    (void)state;
    struct logrepeat r = {0};
    uint64_t over;
    assert_false(say(&r, 0, LOGL_WARN, "event=redis_down why=\"x\""));
    assert_true(say(&r, 100, LOGL_WARN, "event=redis_down why=\"x\""));
    assert_true(say(&r, 200, LOGL_WARN, "event=redis_down why=\"x\""));
    assert_int_equal(logrepeat_tell(&r, 100 + LOGREPEAT_FIRST_MS - 1, false, &over), 0);
    assert_int_equal(logrepeat_tell(&r, 100 + LOGREPEAT_FIRST_MS, false, &over), 2);
    assert_int_equal(over, LOGREPEAT_FIRST_MS);
    assert_true(say(&r, 2000, LOGL_WARN, "event=redis_down why=\"x\""));
    assert_int_equal(logrepeat_tell(&r, 2000 + LOGREPEAT_FIRST_MS, false, &over),
                     0); /* the second time: less often */
    assert_int_equal(logrepeat_tell(&r, 2000 + LOGREPEAT_NEXT_MS, false, &over), 1);
    assert_true(say(&r, 9000, LOGL_WARN, "event=redis_down why=\"x\""));
    assert_int_equal(logrepeat_tell(&r, 9000, true, &over), 1); /* another line comes */
    assert_false(say(&r, 9000, LOGL_WARN, "event=redis_down why=\"y\""));
    assert_false(say(&r, 9000, LOGL_INFO, "event=redis_down why=\"y\""));
}

static void what_is_never_held_back(void **state)
{
    (void)state;
    static const char *const tails[] = {"event=child_died child_pid=1", "event=signal signal=SIGHUP",
                                        "event=reload epoch=2", "event=dump_process x=1",
                                        "event=log_dropped n=3"};
    struct logrepeat r = {0};
    for (size_t i = 0; i < sizeof tails / sizeof *tails; i++)
        for (int k = 0; k < 3; k++)
            assert_false(say(&r, 0, LOGL_INFO, tails[i]));
    for (int k = 0; k < 3; k++)
        assert_false(say(&r, 0, LOGL_CRIT, "event=redis_unfit why=1"));
    assert_false(say(&r, 0, LOGL_INFO, "event=redis_up"));
    assert_true(say(&r, 0, LOGL_INFO, "event=redis_up"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_burst_and_then_the_rate), cmocka_unit_test(errors_go_on_longer),
        cmocka_unit_test(no_rate_no_limit),          cmocka_unit_test(what_is_left_is_told_at_the_end),
        cmocka_unit_test(equal_lines_are_counted),   cmocka_unit_test(what_is_never_held_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
