/* gate_test - of an ordered queue one batch at a time, in the order of arrival, whatever becomes of it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "workers/ingest/batch.h"
#include "workers/ingest/fanout.h"

static struct ev_loop *loop;
static struct http_budget budget;
static struct batch_set set;
static struct gate gate;
static struct gate_step step;
static struct batch *out[64]; /* in the order of going */
static size_t n_out;

static void on_closed(struct batch *b, void *arg)
{
    (void)arg;
    assert_true(n_out < sizeof out / sizeof *out);
    out[n_out++] = b;
}

static void make_set(unsigned flush_at, double interval)
{
    struct batch_options o = {flush_at, interval, 1 << 20};
    budget = (struct http_budget){0, 64 << 20};
    batch_set_init(&set, loop, &o, &budget, on_closed, NULL);
}

static int setup(void **state)
{
    (void)state;
    loop = ev_loop_new(0);
    n_out = 0;
    make_set(100, 10.);
    step = (struct gate_step){0};
    gate_init(&gate, "warehouse#3", &step);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    batch_set_fini(&set);
    gate_fini(&gate);
    assert_int_equal(budget.used, 0);
    ev_loop_destroy(loop);
    return 0;
}

/* An event of a source into a queue. */
static struct batch *add_to(struct gate *g, const char *source)
{
    struct batch_lane *lane = gate_lane(g, source);
    assert_non_null(lane);
    struct batch *b = batch_room(&set, lane, 2);
    assert_non_null(b);
    assert_int_equal(batch_copy(&set, b, "{}", 2), 0);
    return b;
}

static const char web[] = "web", app[] = "app";

static void test_one_at_a_time(void **state)
{
    (void)state;
    struct batch *first = add_to(&gate, web);
    assert_string_equal(first->lb.queue, "warehouse#3");
    assert_string_equal(first->lb.source, "web");
    batch_close_idle(&set);
    assert_int_equal(n_out, 1);
    assert_ptr_equal(out[0], first);
    struct batch *second = add_to(&gate, web);
    batch_close_idle(&set); /* gathers on */
    assert_ptr_equal(add_to(&gate, web), second);
    batch_close(&set, second); /* full, say */
    struct batch *third = add_to(&gate, web);
    assert_ptr_not_equal(third, second);
    assert_int_equal(n_out, 1);
    batch_free(&set, first);
    assert_int_equal(n_out, 2);
    assert_ptr_equal(out[1], second);
    assert_int_equal(second->lb.n_events, 2);
    batch_free(&set, second);
    assert_int_equal(n_out, 2); /* it is neither full nor old: it may have company */
    batch_close_idle(&set);
    assert_ptr_equal(out[2], third);
    batch_free(&set, third);
    assert_int_equal(set.events, 0);
    assert_int_equal(set.batches, 0);
    assert_true(list_empty(&gate.lanes));
}

static void test_other_gates_go_on(void **state)
{
    (void)state;
    struct gate other;
    gate_init(&other, "warehouse#4", &step);
    struct batch *a = add_to(&gate, web), *b = add_to(&other, web);
    assert_ptr_not_equal(a, b);
    batch_close_idle(&set);
    assert_int_equal(n_out, 2);
    struct batch *c = add_to(&gate, web), *d = add_to(&other, web);
    batch_close_all(&set);
    assert_int_equal(n_out, 2);
    batch_free(&set, b);
    assert_int_equal(n_out, 3);
    assert_ptr_equal(out[2], d);
    batch_free(&set, d);
    batch_free(&set, a);
    assert_ptr_equal(out[3], c);
    batch_free(&set, c);
    gate_fini(&other);
}

/* While something of the destination is out, what is young waits for company at every gate. */
static void test_gates_keep_step(void **state)
{
    (void)state;
    struct gate other, foreign;
    struct gate_step foreign_step = {0};
    gate_init(&other, "warehouse#4", &step);
    gate_init(&foreign, "archive#4", &foreign_step);
    struct batch *a = add_to(&gate, web);
    batch_close_idle(&set);
    assert_int_equal(n_out, 1);
    struct batch *b = add_to(&other, web), *c = add_to(&foreign, web), *d = add_to(&gate, web);
    batch_close_idle(&set);
    assert_int_equal(n_out, 2);
    assert_ptr_equal(out[1], c);
    batch_free(&set, a);
    batch_close_idle(&set);
    assert_int_equal(n_out, 4); /* together */
    assert_int_equal(step.out, 2);
    batch_give_way(&set, b);
    assert_int_equal(step.out, 1);
    batch_free(&set, b);
    batch_free(&set, d);
    batch_free(&set, c);
    assert_int_equal(step.out, 0);
    assert_int_equal(foreign_step.out, 0);
    gate_fini(&other);
    gate_fini(&foreign);
}

/* Those whose events went in the last round send again: the next one waits for them, but not for long. */
static void test_a_round_waits_for_company(void **state)
{
    (void)state;
    step = (struct gate_step){.began = ev_now(loop) - 0.1, .over = ev_now(loop), .due = 2};
    struct batch *b = add_to(&gate, web);
    batch_close_idle(&set);
    assert_int_equal(n_out, 0);
    add_to(&gate, web);
    batch_close_idle(&set); /* all are back */
    assert_int_equal(n_out, 1);
    assert_int_equal(b->lb.n_events, 2);
    batch_free(&set, b);
    step.began -= 0.1;
    step.due = 9;
    b = add_to(&gate, web);
    batch_close_idle(&set);
    assert_int_equal(n_out, 1);
    ev_run(loop, EVRUN_ONCE); /* the timer: the others do not come */
    batch_close_idle(&set);
    assert_int_equal(n_out, 2);
    batch_free(&set, b);
}

/* Two sources, one queue: what was opened first goes first, though the other was full before. */
static void test_sources_share_the_order(void **state)
{
    (void)state;
    struct batch *busy = add_to(&gate, web);
    batch_close_idle(&set);
    struct batch *first = add_to(&gate, app), *second = add_to(&gate, web);
    batch_close(&set, second);
    struct batch *third = add_to(&gate, web);
    assert_ptr_equal(add_to(&gate, app), first);
    batch_free(&set, busy);
    assert_int_equal(n_out, 2);
    assert_ptr_equal(out[1], first);
    assert_int_equal(first->lb.n_events, 2);
    assert_string_equal(first->lb.source, "app");
    batch_free(&set, first);
    assert_ptr_equal(out[2], second);
    batch_free(&set, second);
    assert_int_equal(n_out, 3);
    batch_close(&set, third);
    assert_ptr_equal(out[3], third);
    batch_free(&set, third);
}

/* Nothing is out, the second is full before the first: both go, in their order. */
static void test_a_full_one_pushes_the_first(void **state)
{
    (void)state;
    struct batch *first = add_to(&gate, app), *second = add_to(&gate, web);
    batch_close(&set, second);
    assert_int_equal(n_out, 1);
    assert_ptr_equal(out[0], first);
    batch_free(&set, first);
    assert_ptr_equal(out[1], second);
    batch_free(&set, second);
}

static void test_age(void **state)
{
    (void)state;
    batch_set_fini(&set);
    make_set(100, 0.01);
    struct batch *first = add_to(&gate, web);
    ev_run(loop, 0); /* ends when the timer has nothing left to do */
    assert_int_equal(n_out, 1);
    struct batch *late = add_to(&gate, web), *later = add_to(&gate, app);
    ev_run(loop, 0);
    assert_int_equal(n_out, 1);
    assert_ptr_equal(add_to(&gate, web), late); /* old, and still gathering */
    batch_free(&set, first);
    assert_int_equal(n_out, 2); /* at once */
    assert_ptr_equal(out[1], late);
    assert_int_equal(late->lb.n_events, 2);
    batch_free(&set, late);
    assert_ptr_equal(out[2], later);
    struct batch *young = add_to(&gate, web);
    batch_free(&set, later);
    assert_int_equal(n_out, 3);
    ev_run(loop, 0);
    assert_ptr_equal(out[3], young);
    batch_free(&set, young);
    add_to(&gate, app); /* the teardown frees it */
}

static void test_a_drain_flushes_in_order(void **state)
{
    (void)state;
    batch_set_fini(&set);
    make_set(2, 0.01);
    size_t events = 0;
    for (int i = 0; i < 9; i++) {
        add_to(&gate, i % 3 == 0 ? app : web);
        if (i == 4)
            ev_run(loop, 0);
    }
    struct batch *order[16];
    size_t n = 0;
    order[n++] = out[0];
    for (struct list *at = gate.line.next; at != &gate.line; at = at->next)
        order[n++] = list_entry(at, struct batch, place.link);
    batch_close_all(&set);
    assert_true(list_empty(&set.open) && list_empty(&set.late));
    assert_int_equal(n_out, 1);
    for (size_t i = 0; i < n; i++) {
        assert_int_equal(n_out, i + 1);
        assert_ptr_equal(out[i], order[i]);
        events += out[i]->lb.n_events;
        batch_free(&set, out[i]);
    }
    assert_int_equal(n_out, n);
    assert_int_equal(events, 9);
    assert_int_equal(set.batches, 0);
}

/* Set aside: the others go on at once; its own end, later, moves nobody. */
static void test_giving_way(void **state)
{
    (void)state;
    struct batch *poison = add_to(&gate, web);
    batch_close_idle(&set);
    struct batch *second = add_to(&gate, web);
    batch_close(&set, second);
    struct batch *third = add_to(&gate, app);
    batch_close(&set, third);
    batch_give_way(&set, poison);
    assert_int_equal(n_out, 2);
    assert_ptr_equal(out[1], second);
    batch_give_way(&set, poison);
    batch_free(&set, poison);
    assert_int_equal(n_out, 2);
    batch_free(&set, second);
    assert_ptr_equal(out[2], third);
    batch_free(&set, third);
    struct batch_lane plain = {.source = web, .queue = "archive"};
    struct batch *b = batch_room(&set, &plain, 2);
    assert_int_equal(batch_copy(&set, b, "{}", 2), 0);
    batch_close(&set, b);
    batch_give_way(&set, b);
    assert_int_equal(n_out, 4);
    batch_free(&set, b);
}

static void test_lanes_go_with_their_batches(void **state)
{
    (void)state;
    static char names[40][16];
    for (int i = 0; i < 40; i++) {
        snprintf(names[i], sizeof names[i], "s%d", i);
        add_to(&gate, names[i]);
    }
    for (int i = 0; i < 40; i++) {
        assert_ptr_equal(gate_lane(&gate, names[i])->source, names[i]);
        assert_ptr_equal(list_first(&gate.lanes, struct batch_lane, link)->source, names[i]);
    }
    batch_close_all(&set);
    for (size_t i = 0; i < 40; i++) {
        assert_string_equal(out[i]->lb.source, names[i]);
        batch_free(&set, out[i]);
    }
    assert_true(list_empty(&gate.lanes));
    assert_true(list_empty(&gate.line));
}

/* What is in Redis was divided by these: they never change. */
static void test_partitions_are_stable(void **state)
{
    (void)state;
    static const struct {
        const char *key;
        unsigned of_16, of_5, of_256;
    } rows[] = {
        {"", 0, 0, 0},    {"123456789", 3, 0, 131}, /* CRC-32C 0xe3069283 */
        {"ann", 0, 2, 0}, {"u1", 12, 1, 76},        {"ümlaut", 6, 0, 54},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        assert_int_equal(fanout_partition(rows[i].key, 1), 0);
        assert_int_equal(fanout_partition(rows[i].key, 16), rows[i].of_16);
        assert_int_equal(fanout_partition(rows[i].key, 5), rows[i].of_5);
        assert_int_equal(fanout_partition(rows[i].key, 256), rows[i].of_256);
    }
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(test_one_at_a_time),
        T(test_other_gates_go_on),
        T(test_gates_keep_step), T(test_a_round_waits_for_company),
        T(test_sources_share_the_order),
        T(test_a_full_one_pushes_the_first),
        T(test_age),
        T(test_a_drain_flushes_in_order),
        T(test_giving_way),
        T(test_lanes_go_with_their_batches),
        T(test_partitions_are_stable),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
