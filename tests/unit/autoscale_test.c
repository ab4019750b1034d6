/* autoscale_test - the policy against a clock: each case is a story of looks, one a second. */
#include "master/autoscale.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#define LENGTH(a) (sizeof(a) / sizeof *(a))

static const struct autoscale_limits limits = {.min = 1, .max = 8, .target_ms = 5000};

struct story {
    struct autoscale a;
    uint64_t now_ms;
    unsigned wanted;
};

static unsigned look(struct story *s, const struct autoscale_limits *l, struct autoscale_input in)
{
    in.now_ms = s->now_ms;
    in.wanted = s->wanted;
    in.up = in.up == 0 ? s->wanted : in.up;
    s->now_ms += 1000;
    return s->wanted = autoscale_decide(&s->a, l, &in);
}

static struct autoscale_input age(uint64_t ms, double busy)
{
    return (struct autoscale_input){.age_known = true, .age_ms = ms, .busy = busy};
}

static void one_look_changes_nothing(void **state)
{
    (void)state;
    static const struct {
        unsigned wanted;
        struct autoscale_input in;
        unsigned min, max, want;
    } cases[] = {
        {2, {.age_known = true, .age_ms = 60000, .busy = 1}, 1, 8, 2}, /* a moment is no backlog */
        {2, {.age_known = true, .age_ms = 0, .busy = 0}, 1, 8, 2},
        {2, {.age_known = false}, 1, 8, 2},
        {2, {.age_known = true, .age_ms = 60000, .busy = 1}, 1, 0, 2}, /* off */
        {2, {.hold = true}, 4, 8, 4},                                  /* out of its bounds: at once */
        {9, {.age_known = false}, 1, 8, 8},
    };
    for (size_t i = 0; i < LENGTH(cases); i++) {
        struct story s = {.now_ms = 1000, .wanted = cases[i].wanted};
        struct autoscale_limits l = {.min = cases[i].min, .max = cases[i].max, .target_ms = 5000};
        assert_int_equal(look(&s, &l, cases[i].in), cases[i].want);
    }
}

/* How many after so many seconds in which nothing changes but what follows from it. */
static void after_a_while(void **state)
{
    (void)state;
    static const struct {
        unsigned wanted, seconds;
        struct autoscale_input in;
        unsigned want;
    } cases[] = {
        {1, 2, {.age_known = true, .age_ms = 6000, .busy = 1}, 2},
        {1, 4, {.age_known = true, .age_ms = 6000, .busy = 1}, 2}, /* a step each three seconds */
        {1, 5, {.age_known = true, .age_ms = 6000, .busy = 1}, 3},
        {1, 60, {.age_known = true, .age_ms = 6000, .busy = 1}, 8},
        {1, 2, {.age_known = true, .age_ms = 15000, .busy = 1}, 3}, /* three times over: two */
        {6,
         2,
         {.age_known = true, .age_ms = 500000, .busy = 1},
         8}, /* half as many again, but no more than max */
        {4, 2, {.age_known = true, .age_ms = 500000, .busy = 1}, 6},
        {1,
         600,
         {.age_known = true, .age_ms = 60000, .busy = 0.01},
         1}, /* they do nothing: more would not help */
        {1, 600, {.age_known = true, .age_ms = 60000, .busy = 1, .hold = true}, 1},
        {1, 600, {.age_known = false, .busy = 1}, 1}, /* Redis is away */
        {4, 600, {.age_known = false, .busy = 0}, 4},
        {1, 600, {.age_known = true, .age_ms = 5000, .busy = 1}, 1}, /* just as wanted */
        {4, 600, {.age_known = true, .age_ms = 1251, .busy = 0}, 4}, /* between the marks */
        {4, 60, {.age_known = true, .age_ms = 1250, .busy = 0}, 4},
        {4, 61, {.age_known = true, .age_ms = 1250, .busy = 0}, 3},
        {4, 120, {.age_known = true, .age_ms = 0, .busy = 0}, 3}, /* one a minute */
        {4, 600, {.age_known = true, .age_ms = 0, .busy = 0}, 1},
        {1, 600, {.age_known = true, .age_ms = 0, .busy = 0}, 1},
        {4, 600, {.age_known = true, .age_ms = 0, .busy = 0.45}, 4}, /* three would be over half busy */
        {4, 600, {.age_known = true, .age_ms = 0, .busy = 0, .hold = true}, 4},
    };
    for (size_t i = 0; i < LENGTH(cases); i++) {
        struct story s = {.now_ms = 1000, .wanted = cases[i].wanted};
        for (unsigned n = 0; n < cases[i].seconds; n++)
            look(&s, &limits, cases[i].in);
        if (s.wanted != cases[i].want)
            print_error("case %zu: %s\n", i, s.a.word);
        assert_int_equal(s.wanted, cases[i].want);
    }
}

static void a_small_target_is_judged_faster(void **state)
{
    (void)state;
    struct autoscale_limits l = {.min = 1, .max = 3, .target_ms = 300};
    struct story s = {.now_ms = 1000, .wanted = 1};
    for (int i = 0; i < 3; i++)
        look(&s, &l, age(400, 1));
    assert_int_equal(s.wanted, 3);
    for (int i = 0; i < 5; i++)
        assert_int_equal(look(&s, &l, age(0, 0)), 3);
    assert_int_equal(look(&s, &l, age(0, 0)), 2); /* 12 times 300 ms, but no less than 5 s */
}

static void the_last_step_must_be_up_first(void **state)
{
    (void)state;
    struct story s = {.now_ms = 1000, .wanted = 1};
    struct autoscale_input in = age(6000, 1);
    look(&s, &limits, in);
    assert_int_equal(look(&s, &limits, in), 2);
    in.up = 1;
    for (int i = 0; i < 100; i++)
        assert_int_equal(look(&s, &limits, in), 2);
    assert_string_equal(s.a.word,
                        "waits for the last ones to be ready (oldest job waits 6s of 5s, 100% busy, 1 to 8)");
    in.up = 2;
    assert_int_equal(look(&s, &limits, in), 3);
}

static void a_moment_over_the_mark_begins_the_minute_anew(void **state)
{
    (void)state;
    struct story s = {.now_ms = 1000, .wanted = 4};
    for (int round = 0; round < 5; round++) {
        for (int i = 0; i < 59; i++)
            assert_int_equal(look(&s, &limits, age(0, 0)), 4);
        assert_int_equal(look(&s, &limits, round % 2 ? age(2000, 0) : (struct autoscale_input){.hold = true}),
                         4);
    }
}

static void no_see_saw_after_a_step_up(void **state)
{
    (void)state;
    struct story s = {.now_ms = 1000, .wanted = 1};
    for (int i = 0; i < 2; i++)
        look(&s, &limits, age(6000, 1));
    assert_int_equal(s.wanted, 2);
    for (int i = 0; i < 59; i++)
        assert_int_equal(look(&s, &limits, age(0, 0)), 2);
}

static void forgetting_begins_anew(void **state)
{
    (void)state;
    struct story s = {.now_ms = 1000, .wanted = 4};
    for (int i = 0; i < 59; i++)
        look(&s, &limits, age(0, 0));
    autoscale_forget(&s.a, "by hand");
    assert_string_equal(s.a.word, "by hand");
    for (int i = 0; i < 60; i++)
        assert_int_equal(look(&s, &limits, age(0, 0)), 4);
}

static void words_for_people(void **state)
{
    (void)state;
    struct story s = {.now_ms = 1000, .wanted = 4};
    look(&s, &limits, (struct autoscale_input){0});
    assert_string_equal(s.a.word, "nobody knows how long jobs wait (1 to 8)");
    look(&s, &limits, age(2500, 0.256));
    assert_string_equal(s.a.word, "as it should be (oldest job waits 2s500ms of 5s, 26% busy, 1 to 8)");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_look_changes_nothing),
        cmocka_unit_test(after_a_while),
        cmocka_unit_test(a_small_target_is_judged_faster),
        cmocka_unit_test(the_last_step_must_be_up_first),
        cmocka_unit_test(a_moment_over_the_mark_begins_the_minute_anew),
        cmocka_unit_test(no_see_saw_after_a_step_up),
        cmocka_unit_test(forgetting_begins_anew),
        cmocka_unit_test(words_for_people),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
