/* waiter_test - a request is answered once, when its last part is done, has failed, or its time is up. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "workers/ingest/waiter.h"

static struct {
    int calls;
    enum waiter_outcome last;
    struct waiter *who;
} seen;

static void answer(struct waiter *w, enum waiter_outcome outcome, void *arg)
{
    (void)arg;
    assert_non_null(w->request);
    seen.calls++;
    seen.last = outcome;
    seen.who = w;
}

static struct ev_loop *loop;
static struct waiter_set set;
static char requests[8]; /* stand-ins: a waiter never looks into its request */

static struct http_request *request(int i)
{
    return (struct http_request *)(void *)&requests[i];
}

static int setup(void **state)
{
    (void)state;
    memset(&seen, 0, sizeof seen);
    loop = ev_loop_new(0);
    waiter_set_init(&set, loop, 30, answer, NULL);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    waiter_set_fini(&set);
    ev_loop_destroy(loop);
    return 0;
}

static void test_one_part(void **state)
{
    (void)state;
    struct list parts;
    list_init(&parts);
    struct waiter *w = waiter_new(&set, request(0), NULL);
    waiter_join(w, &parts);
    waiter_join(w, &parts); /* its next event in the same batch */
    waiter_sealed(w);
    assert_int_equal(seen.calls, 0);
    waiter_parts_done(&parts, false);
    assert_int_equal(seen.calls, 1);
    assert_int_equal(seen.last, WAITER_DONE);
    assert_true(list_empty(&parts));
}

static void test_no_part(void **state)
{
    (void)state;
    waiter_sealed(waiter_new(&set, request(0), NULL));
    assert_int_equal(seen.calls, 1);
    assert_int_equal(seen.last, WAITER_DONE);
}

/* A part that is done while others are still being added does not answer. */
static void test_early_part(void **state)
{
    (void)state;
    struct list parts;
    list_init(&parts);
    struct waiter *w = waiter_new(&set, request(0), NULL);
    waiter_join(w, &parts);
    waiter_parts_done(&parts, false);
    assert_int_equal(seen.calls, 0);
    waiter_sealed(w);
    assert_int_equal(seen.calls, 1);
}

static void test_many_parts_and_requests(void **state)
{
    (void)state;
    struct list parts[5];
    for (int i = 0; i < 5; i++)
        list_init(&parts[i]);
    struct waiter *a = waiter_new(&set, request(0), NULL), *b = waiter_new(&set, request(1), NULL);
    for (int i = 0; i < 5; i++)
        waiter_join(a, &parts[i]);
    waiter_join(b, &parts[4]);
    waiter_hold(b); /* the quarantine */
    waiter_sealed(a);
    waiter_sealed(b);
    for (int i = 0; i < 4; i++)
        waiter_parts_done(&parts[i], false);
    assert_int_equal(seen.calls, 0);
    waiter_parts_done(&parts[4], false);
    assert_int_equal(seen.calls, 1);
    waiter_release(b, false);
    assert_int_equal(seen.calls, 2);
    assert_int_equal(seen.last, WAITER_DONE);
}

static void test_failure_answers_at_once(void **state)
{
    (void)state;
    struct list parts;
    list_init(&parts);
    struct waiter *w = waiter_new(&set, request(0), NULL);
    waiter_join(w, &parts);
    waiter_hold(w);
    waiter_release(w, true);
    assert_int_equal(seen.calls, 1);
    assert_int_equal(seen.last, WAITER_FAILED);
    waiter_sealed(w);
    waiter_parts_done(&parts, false); /* the part goes on, unanswered */
    assert_int_equal(seen.calls, 1);
}

static void test_time_out(void **state)
{
    (void)state;
    struct list parts;
    list_init(&parts);
    struct waiter *w = waiter_new(&set, request(0), NULL);
    waiter_join(w, &parts);
    waiter_sealed(w);
    struct waiter *kept = w;
    while (seen.calls == 0)
        ev_run(loop, EVRUN_ONCE);
    assert_int_equal(seen.last, WAITER_TIMEOUT);
    assert_ptr_equal(seen.who, kept);
    assert_null(kept->request);
    waiter_parts_done(&parts, false);
    assert_int_equal(seen.calls, 1);
}

static void test_client_gone(void **state)
{
    (void)state;
    struct list parts;
    list_init(&parts);
    struct waiter *w = waiter_new(&set, request(0), NULL);
    waiter_join(w, &parts);
    waiter_sealed(w);
    waiter_aborted(w);
    waiter_aborted(w);
    waiter_answer_all(&set, WAITER_DRAIN);
    waiter_parts_done(&parts, false);
    assert_int_equal(seen.calls, 0);
}

static void test_answer_all(void **state)
{
    (void)state;
    struct list parts;
    list_init(&parts);
    for (int i = 0; i < 3; i++) {
        struct waiter *w = waiter_new(&set, request(i), NULL);
        waiter_join(w, &parts);
        waiter_sealed(w);
    }
    waiter_answer_all(&set, WAITER_DRAIN);
    assert_int_equal(seen.calls, 3);
    assert_int_equal(seen.last, WAITER_DRAIN);
    waiter_parts_done(&parts, false);
    assert_int_equal(seen.calls, 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_one_part, setup, teardown),
        cmocka_unit_test_setup_teardown(test_no_part, setup, teardown),
        cmocka_unit_test_setup_teardown(test_early_part, setup, teardown),
        cmocka_unit_test_setup_teardown(test_many_parts_and_requests, setup, teardown),
        cmocka_unit_test_setup_teardown(test_failure_answers_at_once, setup, teardown),
        cmocka_unit_test_setup_teardown(test_time_out, setup, teardown),
        cmocka_unit_test_setup_teardown(test_client_gone, setup, teardown),
        cmocka_unit_test_setup_teardown(test_answer_all, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
