/* turn: the length of a turn is from the wake to the next sleep, whatever it was spent on; the worst since the start stays,
 * that of the last minute passes; the part that took longest is named. */
#include "master/turn.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/clock.h"
#include "common/base/log.h"

static uint64_t now_us = 1000000000;
static struct turn turn;
static unsigned long long told;

static uint64_t fake_now(void)
{
    return now_us;
}

static void on_line(enum log_level level, const char *line, void *arg)
{
    (void)level, (void)arg;
    if (strstr(line, "event=slow_turn") != NULL)
        told++;
}

/* What one turn does: so much of the clock passes in each of two parts, and in what prepares the sleep. */
static struct work {
    uint64_t first, second, before_sleep;
} work;

static void on_timer(struct ev_loop *loop, ev_timer *w, int revents)
{
    (void)loop, (void)w, (void)revents;
    now_us += work.first;
    turn_part(&turn, "first");
    now_us += work.second;
    turn_part(&turn, "second");
}

static void on_prepare(struct ev_loop *loop, ev_prepare *w, int revents)
{
    (void)loop, (void)w, (void)revents;
    now_us += work.before_sleep;
}

static uint64_t sleep_us; /* how long the next sleep takes */

static void on_sleeping(struct ev_loop *loop)
{
    (void)loop;
}

static void on_woken(struct ev_loop *loop)
{
    (void)loop;
    now_us += sleep_us;
    sleep_us = 0;
}

static struct ev_loop *begin(void)
{
    struct ev_loop *loop = ev_loop_new(0);
    ev_set_loop_release_cb(loop, on_sleeping, on_woken);
    clock_replace(fake_now, NULL);
    turn_start(&turn, loop);
    return loop;
}

static void one_turn(struct ev_loop *loop, struct work how)
{
    ev_timer t;
    work = how;
    ev_timer_init(&t, on_timer, 0., 0.);
    ev_timer_start(loop, &t);
    ev_run(loop, EVRUN_ONCE);
    ev_run(loop, EVRUN_NOWAIT); /* its prepare ends the turn */
    work = (struct work){0};
}

static void sleep_for(struct ev_loop *loop, uint64_t seconds)
{
    sleep_us = seconds * 1000000;
    one_turn(loop, (struct work){0});
}

static void test_turns(void **state)
{
    (void)state;
    struct ev_loop *loop = begin();
    ev_prepare prepare;
    log_to_writer(on_line, NULL);
    ev_prepare_init(&prepare, on_prepare);
    ev_prepare_start(loop, &prepare);
    one_turn(loop, (struct work){10000, 2000, 0});
    assert_int_equal(turn.worst_us, 12000);
    assert_string_equal(turn.worst_part, "first");
    one_turn(loop, (struct work){1000, 9000, 5000}); /* what prepares the sleep counts */
    assert_int_equal(turn.worst_us, 15000);
    assert_string_equal(turn.worst_part, "second");
    assert_int_equal(told, 0);
    sleep_for(loop, 10); /* a long sleep is no turn */
    one_turn(loop, (struct work){1000, 0, 0});
    assert_int_equal(turn.worst_us, 15000);
    one_turn(loop, (struct work){0, 0, 51000});
    assert_int_equal(turn.worst_us, 51000);
    assert_string_equal(turn.worst_part, "other");
    assert_int_equal(told, 1);
    one_turn(loop, (struct work){0, 0, 51000}); /* not at every one */
    assert_int_equal(told, 1);
    turn_stop(&turn, loop);
    ev_prepare_stop(loop, &prepare);
    ev_loop_destroy(loop);
    log_to_stderr();
    clock_replace(NULL, NULL);
}

static void test_minute(void **state)
{
    (void)state;
    struct ev_loop *loop = begin();
    one_turn(loop, (struct work){30000, 0, 0});
    sleep_for(loop, 20);
    one_turn(loop, (struct work){20000, 0, 0});
    assert_int_equal(turn_minute_us(&turn), 30000);
    sleep_for(loop, 41);
    assert_int_equal(turn_minute_us(&turn), 20000);
    one_turn(loop, (struct work){3000, 0, 0});
    assert_int_equal(turn_minute_us(&turn), 20000);
    sleep_for(loop, 30);
    assert_int_equal(turn_minute_us(&turn), 3000);
    sleep_for(loop, 3600);
    assert_int_equal(turn_minute_us(&turn), 0);
    assert_int_equal(turn.worst_us, 30000);
    turn_stop(&turn, loop);
    ev_loop_destroy(loop);
    clock_replace(NULL, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_turns), cmocka_unit_test(test_minute)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
