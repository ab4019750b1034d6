/* flow: what opens a circuit, the budget of retries, adaptive concurrency, halves of a batch, the texts of the fleet. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "common/fleet/fleet.h"
#include "workers/delivery/backoff.h"
#include "workers/delivery/flow/adapt.h"
#include "workers/delivery/flow/circuit.h"
#include "workers/delivery/flow/halves.h"

static const struct circuit_rules rules = {
    .window_ms = 60000, .min_requests = 20, .consecutive = 10, .failure_ratio = 0.5};

/* "+" a success, "-" a failure, "." a second later, "~" a minute. Returns at which failure it opened, 0: never. */
static unsigned run(struct circuit *c, const struct circuit_rules *r, const char *what)
{
    uint64_t now = 1000;
    unsigned bad = 0;
    char why[64];

    circuit_reset(c);
    for (const char *p = what; *p != '\0'; p++) {
        now += *p == '.' ? 1000 : *p == '~' ? 64000 : 1;
        if (*p != '+' && *p != '-')
            continue;
        bad += *p == '-';
        if (circuit_note(c, r, *p == '+', now, why, sizeof(why)))
            return bad;
    }
    return 0;
}

static void test_circuit(void **state)
{
    static const struct circuit_rules shares = {
        .window_ms = 60000, .min_requests = 20, .consecutive = 0, .failure_ratio = 0.5};
    static const struct {
        const struct circuit_rules *r;
        const char *what;
        unsigned at;
    } rows[] = {
        {&rules, "----------", 10},
        {&rules, "---------+---------", 0},
        {&rules, "-.-~-.-~-.-~-.-~-.-", 10},                          /* however far apart */
        {&rules, "++++++++++-+-+-+-+-+-+-+-+-+-+", 0},                /* under a half */
        {&shares, "-+-+-+-+-+-+-+-+-+-+-", 11},                       /* at the 21st: 11 of 21 */
        {&shares, "+++++++++++++++++++++~-+-+-+-+-+-+-+-+-+-+-", 11}, /* the old ones count no more */
        {&shares, "-------------------", 0},                          /* 19 say nothing */
        {&shares, "--------------------", 20},
    };
    struct circuit c;

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        unsigned at = run(&c, rows[i].r, rows[i].what);

        if (at != rows[i].at)
            fail_msg("%s: opened at %u, not at %u", rows[i].what, at, rows[i].at);
    }
    (void)run(&c, &rules, "+++---");
    assert_int_equal(c.bad_since_ms, 1004);
    /* The clock goes far ahead, and back: nothing but the window is lost. */
    char why[64];
    (void)circuit_note(&c, &rules, true, UINT64_MAX / 2, why, sizeof(why));
    assert_int_equal(c.ok + c.bad, 1);
    (void)circuit_note(&c, &rules, true, 1000, why, sizeof(why));
    assert_true(c.ok + c.bad <= 2);
}

static void test_budget(void **state)
{
    struct circuit c;

    (void)state;
    (void)run(&c, &rules, "+++++---");
    assert_true(circuit_may_retry(&c, 2, 100, 0.2, 3));
    assert_true(circuit_may_retry(&c, 19, 100, 0.2, 3));
    assert_false(circuit_may_retry(&c, 20, 100, 0.2, 3));
    assert_true(circuit_may_retry(&c, 2, 2, 0.2, 3));
    assert_false(circuit_may_retry(&c, 3, 5, 0.2, 3));
    (void)run(&c, &rules, "++++++++++++++++++++++-");
    assert_true(circuit_may_retry(&c, 99, 100, 0.2, 3)); /* it is well */
}

static void test_adapt(void **state)
{
    struct adapt a;
    uint64_t now = 0;

    (void)state;
    adapt_init(&a, 8);
    for (int i = 0; i < 200; i++) /* calm and full: it doubles up to the most */
        (void)adapt_note(&a, 10000, false, (unsigned)a.limit, 64, now += 10001);
    assert_int_equal(a.limit, 64);
    for (int i = 0; i < 5; i++)
        (void)adapt_note(&a, 10000, true, 64, 64, now += 10001);
    assert_in_range((unsigned)a.limit, 37, 38); /* 64 * 0.9^5 */
    (void)adapt_note(&a, 10000, false, 64, 64, now += 10001);
    assert_in_range((unsigned)a.limit, 38, 39); /* one more */
    unsigned before = (unsigned)a.limit;
    (void)adapt_note(&a, 10000, false, 3, 64, now += 10001); /* it is not used: no reason for more */
    assert_int_equal(a.limit, before);
    (void)adapt_note(&a, 90000, false, 64, 64, now += 100000); /* slow */
    assert_true(a.limit < before);
    for (int i = 0; i < 1000; i++)
        (void)adapt_note(&a, 10000, true, 64, 64, now += 100000);
    assert_int_equal(a.limit, 1);
    /* Many answers in one round trip are one sign. */
    adapt_init(&a, 100);
    (void)adapt_note(&a, 50000, false, 100, 100, now += 60000);
    for (int i = 0; i < 50; i++)
        (void)adapt_note(&a, 50000, true, 100, 100, now += 10);
    assert_true(a.limit >= 90);
}

static void check_halves(const char *text, const char *first, const char *second)
{
    struct halves h;
    char out[256];
    size_t n;

    assert_int_equal(halves_find(text, strlen(text), &h), 0);
    n = halves_write(text, strlen(text), &h, 0, out);
    assert_int_equal(n, strlen(first));
    assert_memory_equal(out, first, n);
    n = halves_write(text, strlen(text), &h, 1, out);
    assert_int_equal(n, strlen(second));
    assert_memory_equal(out, second, n);
}

static void test_halves(void **state)
{
    static const char *const not [] = {
        "{\"dray\":1,\"source\":\"s\",\"batch\":[{}]}",
        "{\"dray\":1,\"source\":\"s\",\"batch\":[]}",
        "{\"dray\":2,\"batch\":[{},{}]}",
        "{\"batch\":[{},{}]}",
        "{\"dray\":1,\"batch\":{}}",
        "[1,2]",
        "{\"dray\":1,\"batch\":[{},{}",
        "",
    };
    struct halves h;
    char id[HALVES_ID_MAX], longest[HALVES_ID_MAX];

    (void)state;
    check_halves("{\"dray\":1,\"source\":\"s\",\"batch\":[{\"a\":[1,2]},{\"b\":\"],[\"}]}",
                 "{\"dray\":1,\"source\":\"s\",\"batch\":[{\"a\":[1,2]}]}",
                 "{\"dray\":1,\"source\":\"s\",\"batch\":[{\"b\":\"],[\"}]}");
    check_halves("{\"dray\":1,\"batch\":[ 1 , 2 , 3 ],\"x\":4}", "{\"dray\":1,\"batch\":[ 1 , 2 ],\"x\":4}",
                 "{\"dray\":1,\"batch\":[ 3 ],\"x\":4}");
    for (size_t i = 0; i < sizeof(not ) / sizeof(not [0]); i++)
        if (halves_find(not [i], strlen(not [i]), &h) == 0)
            fail_msg("%s", not [i]);
    assert_string_equal(halves_id("b1", 0, id), "b1.0");
    assert_string_equal(halves_id("b1.0", 1, id), "b1.0.1");
    memset(longest, 'b', sizeof(longest));
    longest[HALVES_ID_MAX - 1] = '\0';
    assert_null(halves_id(longest, 0, id));
}

static void test_schedule(void **state)
{
    static const uint64_t ms[] = {5000, 300000, 1800000};
    const struct backoff b = {
        .exponential = true, .delay_ms = 1000, .max_ms = 2000, .schedule_ms = ms, .n_schedule = 3};

    (void)state;
    assert_int_equal(backoff_delay_ms(&b, 1, 0.5), 5000);
    assert_int_equal(backoff_delay_ms(&b, 2, 0.5), 300000);
    assert_int_equal(backoff_delay_ms(&b, 3, 0.5), 1800000);
    assert_int_equal(backoff_delay_ms(&b, 9, 0.5), 1800000);
}

static void test_views(void **state)
{
    static const char *const bad[] = {"",
                                      "d",
                                      "d open",
                                      "d open x 0 0 0 0 0 0 -",
                                      "d ajar 0 0 0 0 0 0 0 -",
                                      " open 0 0 0 0 0 0 0 -",
                                      "d open 0 0 0 0 0 0 -1 -"};
    char text[200] = "crm open 1 2 3 4 5 70 6 answered 503: oh no";
    struct fleet_view v;

    (void)state;
    assert_true(fleet_view_parse(text, &v));
    assert_string_equal(v.dest, "crm");
    assert_int_equal(v.state, FLEET_OPEN);
    assert_int_equal(v.left_ms, 1);
    assert_int_equal(v.pause_ms, 2);
    assert_int_equal(v.ramp_ms, 3);
    assert_int_equal(v.opens, 4);
    assert_int_equal(v.failing_ms, 5);
    assert_int_equal(v.percent, 70);
    assert_int_equal(v.change, 6);
    assert_string_equal(v.why, "answered 503: oh no");
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        snprintf(text, sizeof(text), "%s", bad[i]);
        if (fleet_view_parse(text, &v))
            fail_msg("%s", bad[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_circuit), cmocka_unit_test(test_budget),   cmocka_unit_test(test_adapt),
        cmocka_unit_test(test_halves),  cmocka_unit_test(test_schedule), cmocka_unit_test(test_views),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
