/* The queue without Redis: the verbs of queue.h in memory. Each job ends once, each call is answered once, nothing is answered
 * inside a call. */
#include "common/queue/queue.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/mem.h"

static struct ev_loop *loop;
static struct queue *q;
static bool inside;
static char ends[256];  /* "a+ b-text c! " */
static char taken[256]; /* "a:attempts b:0" */
static unsigned ok, refused, missing, promoted, takes;

struct added {
    const char *id;
    unsigned ended;
};

static void on_end(void *arg, enum queue_end end, const char *text)
{
    struct added *a = arg;
    size_t n = strlen(ends);

    a->ended++;
    snprintf(ends + n, sizeof ends - n, "%s%s%s ", a->id,
             end == QUEUE_END_COMPLETED ? "+"
             : end == QUEUE_END_FAILED  ? "-"
                                        : "!",
             end == QUEUE_END_FAILED ? text : "");
}

static void on_done(enum queue_status s, const char *why, void *arg)
{
    (void)why, (void)arg;
    assert_false(inside);
    ok += s == QUEUE_OK;
    refused += s == QUEUE_REFUSED;
    missing += s == QUEUE_MISSING;
}

static void on_taken(enum queue_status s, const struct queue_job *jobs, size_t n, void *arg)
{
    (void)arg;
    assert_false(inside);
    assert_int_equal(s, QUEUE_OK);
    takes++;
    taken[0] = '\0';
    for (size_t i = 0; i < n; i++) {
        size_t at = strlen(taken);
        snprintf(taken + at, sizeof taken - at, "%s:%d ", jobs[i].id, (int)jobs[i].failures);
        assert_string_equal(jobs[i].data, "data");
        assert_int_equal(jobs[i].data_len, 4);
        assert_string_equal(((struct added *)jobs[i].added)->id, jobs[i].id);
    }
}

static void on_promoted(struct queue *of, uint64_t jobs, void *arg)
{
    (void)arg;
    assert_ptr_equal(of, q);
    assert_true(jobs > 0);
    promoted++;
}

static void turn(void)
{
    inside = false;
    ev_run(loop, EVRUN_NOWAIT);
    inside = true;
}

static void add(struct added *a)
{
    queue_add(q, a->id, "data", 4, on_done, a);
}

static const char *take(unsigned max)
{
    unsigned before = takes;

    queue_take(q, max, on_taken, NULL);
    turn();
    assert_int_equal(takes, before + 1);
    return taken;
}

static void make(bool one_at_a_time)
{
    static const struct queue_tick_events events = {.promoted = on_promoted};
    const struct queue_options o = {
        .prefix = "p", .name = "q", .token = "t", .ended = on_end, .one_at_a_time = one_at_a_time};

    q = queue_new(loop, NULL, &o);
    queue_tick_start(q, &events, NULL);
    inside = true;
}

static int setup(void **state)
{
    (void)state;
    loop = ev_loop_new(EVFLAG_AUTO);
    ends[0] = taken[0] = '\0';
    ok = refused = missing = promoted = takes = 0;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    inside = false;
    queue_free(q);
    ev_loop_destroy(loop);
    return 0;
}

static void test_verbs(void **state)
{
    (void)state;
    struct added a = {"a", 0}, b = {"b", 0}, c = {"c", 0};
    struct queue_job ja = {.id = "a"}, jb = {.id = "b"}, jc = {.id = "c"};

    make(false);
    add(&a);
    add(&b);
    add(&c);
    assert_string_equal(take(2), "a:0 b:0 ");
    assert_int_equal(ok, 3);
    queue_complete(q, &ja, "null", on_done, NULL);
    queue_fail(q, &jb, "no", on_done, NULL);
    queue_complete(q, &jc, "null", on_done, NULL); /* it is not in hand */
    turn();
    assert_string_equal(ends, "a+ b-no ");
    assert_int_equal(ok, 5);
    assert_int_equal(missing, 1);
    assert_string_equal(take(5), "c:0 ");
    queue_hand_back(q, "c", on_done, NULL);
    add(&a);
    assert_string_equal(take(1), "c:0 "); /* before what came later */
    queue_delay(q, &jc, 1, true, "again", on_done, NULL);
    assert_string_equal(take(5), "a:0 ");
    for (int i = 0; i < 1000 && promoted < 2; i++) {
        inside = false;
        ev_run(loop, EVRUN_ONCE);
        inside = true;
    }
    assert_string_equal(take(5), "c:1 ");
    assert_string_equal(take(5), "");
}

static void test_the_same_id_twice(void **state)
{
    (void)state;
    struct added a = {"a", 0}, again = {"a", 0};

    make(false);
    add(&a);
    add(&again);
    turn();
    assert_int_equal(ok, 1);
    assert_int_equal(refused, 1);
    assert_int_equal(again.ended, 0);
}

/* Strict order: what is delayed holds up what is behind it. */
static void test_one_at_a_time(void **state)
{
    (void)state;
    struct added a = {"a", 0}, b = {"b", 0};
    struct queue_job ja = {.id = "a"};

    make(true);
    add(&a);
    add(&b);
    assert_string_equal(take(5), "a:0 ");
    assert_string_equal(take(5), "");
    queue_delay(q, &ja, 20, true, "again", on_done, NULL);
    assert_string_equal(take(5), "");
    promoted = 0;
    for (int i = 0; i < 1000 && promoted == 0; i++) {
        inside = false;
        ev_run(loop, EVRUN_ONCE);
        inside = true;
    }
    assert_string_equal(take(5), "a:1 ");
    queue_complete(q, &ja, "null", on_done, NULL);
    assert_string_equal(take(5), "b:0 ");
}

static void test_closed(void **state)
{
    (void)state;
    struct added a = {"a", 0}, b = {"b", 0}, c = {"c", 0}, d = {"d", 0};
    struct queue_job jb = {.id = "b"};

    make(false);
    add(&a);
    add(&b);
    assert_string_equal(take(2), "a:0 b:0 ");
    queue_delay(q, &jb, 60000, true, "again", on_done, NULL);
    turn();
    ok = 0;
    add(&c);
    inside = false; /* the answer to an add comes before its job's end, even now */
    queue_close(q);
    inside = true;
    assert_int_equal(ok, 1);
    assert_string_equal(ends, "c! b! ");
    add(&d);
    queue_hand_back(q, "a", on_done, NULL);
    assert_string_equal(take(5), "");
    assert_string_equal(ends, "c! b! a! ");
    assert_int_equal(refused, 1);
    assert_int_equal(a.ended + b.ended + c.ended, 3);
    assert_int_equal(d.ended, 0);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {T(test_verbs), T(test_the_same_id_twice), T(test_one_at_a_time),
                                       T(test_closed)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
