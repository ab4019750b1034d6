/* batch_test - when a batch closes, what is in it, and which link it goes to. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/base/mem.h"
#include "ipc/link_recv.h"
#include "workers/ingest/batch.h"
#include "workers/ingest/links.h"
#include "workers/ingest/ready.h"

#define LINKS 2

static struct ev_loop *loop;
static struct http_budget budget;
static struct batch_set set;
static struct batch_lane lane;
static struct list closed;
static size_t n_closed;

static void on_closed(struct batch *b, void *arg)
{
    (void)arg;
    list_push_back(&closed, &b->link);
    n_closed++;
}

static void make_set(unsigned flush_at, double interval, size_t max_bytes)
{
    struct batch_options o = {flush_at, interval, max_bytes};
    budget = (struct http_budget){0, 64 << 20};
    lane = (struct batch_lane){.source = "web", .queue = "warehouse"};
    list_init(&closed);
    n_closed = 0;
    batch_set_init(&set, loop, &o, &budget, on_closed, NULL);
}

static struct batch *next_closed(void)
{
    struct batch *b = list_first(&closed, struct batch, link);
    if (b != NULL)
        list_remove(&b->link);
    return b;
}

static void free_closed(void)
{
    struct batch *b;
    while ((b = next_closed()) != NULL)
        batch_free(&set, b);
}

static int setup(void **state)
{
    (void)state;
    loop = ev_loop_new(0);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    free_closed();
    batch_set_fini(&set);
    assert_int_equal(budget.used, 0);
    ev_loop_destroy(loop);
    return 0;
}

static const struct event_context context = {.received_ms = 1700000000000ull};

static void add(struct batch_lane *to, const char *json, const char **text, size_t *len)
{
    struct json_scan s;
    struct event e;
    json_scan_init(&s, json, strlen(json));
    assert_int_equal(event_scan(&s, &e), 0);
    struct batch *b = batch_room(&set, to, e.value.len);
    assert_non_null(b);
    assert_int_equal(batch_add(&set, b, &e, &context, text, len), 0);
}

static void add_one(void)
{
    const char *text;
    size_t len;
    add(&lane, "{\"userId\":\"u\",\"messageId\":\"m\"}", &text, &len);
}

static void test_closes_by_count(void **state)
{
    (void)state;
    make_set(3, 10., 1 << 20);
    for (int i = 0; i < 7; i++)
        add_one();
    assert_int_equal(n_closed, 2);
    assert_int_equal(set.events, 7);
    assert_int_equal(set.batches, 3);
    assert_int_equal(lane.closed, 2);
    struct batch *b = next_closed();
    assert_int_equal(b->lb.n_events, 3);
    assert_string_equal(b->lb.queue, "warehouse");
    assert_true(id_valid(b->lb.id, strlen(b->lb.id)));
    batch_free(&set, b);
    assert_int_equal(set.events, 4);
    batch_close_all(&set);
    assert_int_equal(n_closed, 3);
}

static void test_closes_by_bytes(void **state)
{
    (void)state;
    make_set(1000, 10., 1000);
    char big[3000], text[3100];
    const char *at;
    size_t len;
    memset(big, 'x', sizeof big - 1);
    big[sizeof big - 1] = '\0';
    snprintf(text, sizeof text, "{\"userId\":\"%s\"}", big);
    add_one();
    assert_int_equal(n_closed, 0);
    add(&lane, text, &at, &len); /* bigger than a whole batch: a batch of its own */
    assert_int_equal(n_closed, 1);
    add_one();
    assert_int_equal(n_closed, 2);
    struct batch *b = next_closed();
    assert_int_equal(b->lb.n_events, 1);
    batch_free(&set, b);
    b = next_closed();
    assert_int_equal(b->lb.n_events, 1);
    assert_true(b->lb.body.len > 3000);
    batch_free(&set, b);
    batch_close_all(&set);
}

static void test_closes_by_age(void **state)
{
    (void)state;
    make_set(100, 0.01, 1 << 20);
    struct batch_lane other = {.source = "app", .queue = "warehouse"};
    const char *text;
    size_t len;
    add_one();
    add(&other, "{\"userId\":\"u\"}", &text, &len);
    ev_run(loop, 0); /* ends when both timers have done their work */
    assert_int_equal(n_closed, 2);
    free_closed();
    add_one(); /* and again, with the pooled batch */
    ev_run(loop, 0);
    assert_int_equal(n_closed, 3);
    free_closed();
}

static void test_closes_idle_lanes_only(void **state)
{
    (void)state;
    make_set(100, 10., 1 << 20);
    struct batch_lane other = {.source = "app", .queue = "warehouse"};
    const char *text;
    size_t len;
    add_one();
    batch_close_idle(&set);
    assert_int_equal(n_closed, 1);
    add_one();
    add(&other, "{\"userId\":\"u\"}", &text, &len);
    batch_close_idle(&set); /* the first lane has one under way: it gathers on */
    assert_int_equal(n_closed, 2);
    assert_non_null(lane.open);
    assert_null(other.open);
    free_closed();
    batch_close_idle(&set);
    assert_int_equal(n_closed, 3);
    free_closed();
}

static void test_copies_are_equal(void **state)
{
    (void)state;
    make_set(100, 10., 1 << 20);
    struct batch_lane other = {.source = "web", .queue = "archive"};
    const char *text;
    size_t len;
    add(&lane, " {\"userId\":\"u\"} ", &text, &len); /* the messageId is made once */
    struct batch *b = batch_room(&set, &other, len);
    assert_int_equal(batch_copy(&set, b, text, len), 0);
    struct buf one, two;
    batch_close_all(&set);
    struct mpwalk w;
    for (int i = 0; i < 2; i++) {
        const char *at;
        uint32_t n;
        b = next_closed();
        mpwalk_init(&w, b->lb.body.data, b->lb.body.len);
        assert_int_equal(mpwalk_bytes(&w, &at, &n), 0);
        assert_true(mpwalk_done(&w));
        struct buf *copy = i == 0 ? &one : &two;
        buf_init(copy, 4096);
        buf_append(copy, at, n);
        batch_free(&set, b);
    }
    assert_int_equal(one.len, two.len);
    assert_memory_equal(one.data, two.data, one.len);
    assert_memory_equal(one.data, "{\"userId\":\"u\",\"messageId\":\"", 27);
    buf_fini(&one);
    buf_fini(&two);
}

/* ---- two workers at the other end of real links */

static struct worker {
    struct link_recv *recv;
    struct link_send *send;
    char ids[16][ID_SIZE];
    uint32_t tries[16];
    int n;
} workers[LINKS];
static struct link_set links;
static struct ready ready;
static int stored, returned;

static void on_batch(struct link_recv *l, const struct msg_batch *b, void *arg)
{
    (void)l;
    struct worker *w = arg;
    assert_true(w->n < 16);
    w->tries[w->n] = b->tries;
    strcpy(w->ids[w->n++], b->id);
}

static void on_recv_gone(struct link_recv *l, int error, const char *why, void *arg)
{
    (void)l, (void)error, (void)why, (void)arg;
}

static void on_stored(struct link_send *l, struct link_batch *lb, bool duplicate, void *arg)
{
    (void)l, (void)duplicate, (void)arg;
    links_forget(&links, lb);
    batch_free(&set, list_entry(lb, struct batch, lb));
    stored++;
}

static void on_send_gone(struct link_send *l, struct list *back, bool clean, void *arg)
{
    (void)clean, (void)arg;
    links_remove(&links, links_find(&links, l));
    while (!list_empty(back)) {
        struct link_batch *lb = list_entry(back->prev, struct link_batch, link);
        list_remove(&lb->link);
        lb->tries++;
        links_forget(&links, lb);
        ready_push_front(&ready, list_entry(lb, struct batch, lb));
        returned++;
    }
    link_send_free(l);
}

static void nothing(struct link_send *l, void *arg)
{
    (void)l, (void)arg;
}

static void make_links(int n)
{
    static const struct link_recv_events recv_events = {.batch = on_batch, .gone = on_recv_gone};
    static const struct link_send_events send_events = {
        .stored = on_stored, .ready = nothing, .gone = on_send_gone};
    stored = returned = 0;
    links_init(&links);
    ready_init(&ready, loop);
    for (int i = 0; i < n; i++) {
        int batches[2], acks[2];
        assert_int_equal(pipe2(batches, O_NONBLOCK | O_CLOEXEC), 0);
        assert_int_equal(pipe2(acks, O_NONBLOCK | O_CLOEXEC), 0);
        workers[i].n = 0;
        workers[i].recv = link_recv_new(loop, batches[0], acks[1], 7, &recv_events, &workers[i]);
        workers[i].send = link_send_new(loop, batches[1], acks[0], (uint32_t)i, 7, &send_events, NULL);
        links_add(&links, workers[i].send);
        link_recv_credit(workers[i].recv, 2, 1 << 20);
    }
}

static void turn(int n)
{
    for (int i = 0; i < n; i++) {
        ready_pump(&ready, &links);
        ev_run(loop, EVRUN_NOWAIT);
    }
}

static void end_links(int n)
{
    for (int i = 0; i < n; i++)
        if (workers[i].recv != NULL)
            link_recv_free(workers[i].recv);
    turn(5);
    struct batch *b;
    while ((b = ready_pop(&ready)) != NULL)
        batch_free(&set, b);
    assert_int_equal(links.n, 0);
    ready_fini(&ready);
}

static void push(int n)
{
    for (int i = 0; i < n; i++) {
        add_one();
        batch_close_all(&set);
        ready_push(&ready, next_closed());
    }
}

static void test_spread_and_credit(void **state)
{
    (void)state;
    make_set(100, 10., 1 << 20);
    make_links(2);
    turn(5);
    push(7);
    turn(10);
    assert_int_equal(workers[0].n, 2); /* as much as credit allows, side by side */
    assert_int_equal(workers[1].n, 2);
    assert_false(links_room(&links));
    link_recv_stored(workers[0].recv, workers[0].ids[0], false);
    link_recv_stored(workers[0].recv, workers[0].ids[1], false);
    turn(10);
    assert_int_equal(stored, 2);
    assert_int_equal(workers[0].n, 4);
    end_links(2);
}

static void test_suspect_travels_alone(void **state)
{
    (void)state;
    make_set(100, 10., 1 << 20);
    make_links(2);
    turn(5);
    push(2);
    turn(10);
    push(3);
    struct batch *suspect = list_entry(ready.fifo.next->next, struct batch, link);
    list_remove(&suspect->link);
    suspect->lb.tries = READY_SUSPECT;
    ready_push(&ready, suspect); /* behind two others */
    turn(10);
    int alone = workers[0].n == 1 ? 0 : 1; /* one link is kept free for it, the other takes the rest */
    assert_int_equal(workers[alone].n, 1);
    assert_int_equal(workers[!alone].n, 2);
    link_recv_stored(workers[alone].recv, workers[alone].ids[0], false);
    turn(10);
    assert_int_equal(workers[alone].n, 2); /* now it goes, and nothing with it */
    assert_string_equal(workers[alone].ids[1], suspect->lb.id);
    assert_int_equal(workers[alone].tries[1], READY_SUSPECT);
    link_recv_stored(workers[alone].recv, workers[alone].ids[1], false);
    turn(10);
    assert_int_equal(workers[alone].n, 3); /* free for everybody again */
    end_links(2);
}

/* The worker whose link is kept for a suspect leaves, or loses its Redis: another one gets it. */
static void test_suspect_is_not_tied_to_a_closed_link(void **state)
{
    (void)state;
    for (int leaves = 0; leaves < 2; leaves++) {
        make_set(100, 10., 1 << 20);
        make_links(2);
        turn(5);
        push(2);
        turn(10);
        push(1);
        struct batch *suspect = ready_pop(&ready);
        suspect->lb.tries = READY_SUSPECT;
        ready_push(&ready, suspect);
        turn(10); /* both have one in flight: it waits for one of them */
        const struct link *kept = links_find(&links, workers[0].send);
        int shut = kept->alone == &suspect->lb ? 0 : 1;
        if (leaves)
            link_recv_leave(workers[shut].recv);
        else
            link_recv_credit(workers[shut].recv, 0, 0);
        turn(5);
        link_recv_stored(workers[!shut].recv, workers[!shut].ids[0], false);
        turn(10);
        assert_int_equal(workers[!shut].n, 2);
        assert_string_equal(workers[!shut].ids[1], suspect->lb.id);
        end_links(2);
        batch_set_fini(&set);
    }
    make_set(100, 10., 1 << 20); /* for the teardown */
}

static void test_returned_in_order(void **state)
{
    (void)state;
    make_set(100, 10., 1 << 20);
    make_links(2);
    turn(5);
    push(4);
    turn(10);
    char first[ID_SIZE], second[ID_SIZE];
    strcpy(first, workers[0].ids[0]);
    strcpy(second, workers[0].ids[1]);
    link_recv_free(workers[0].recv); /* the worker dies */
    workers[0].recv = NULL;
    turn(10);
    assert_int_equal(returned, 2);
    link_recv_stored(workers[1].recv, workers[1].ids[0], false);
    link_recv_stored(workers[1].recv, workers[1].ids[1], false);
    turn(10);
    assert_int_equal(workers[1].n, 4);
    assert_string_equal(workers[1].ids[2], first);
    assert_string_equal(workers[1].ids[3], second);
    assert_int_equal(workers[1].tries[2], 1);
    end_links(2);
}

static void test_parked(void **state)
{
    (void)state;
    make_set(100, 10., 1 << 20);
    make_links(1);
    turn(5);
    push(2);
    struct batch *late = ready_pop(&ready), *soon = ready_pop(&ready);
    ready_park(&ready, late, 60000);
    ready_park(&ready, soon, 5);
    turn(3);
    while (workers[0].n == 0) {
        ready_pump(&ready, &links);
        ev_run(loop, EVRUN_ONCE);
    }
    assert_string_equal(workers[0].ids[0], soon->lb.id);
    ready_unpark(&ready);
    turn(5);
    assert_int_equal(workers[0].n, 2);
    assert_string_equal(workers[0].ids[1], late->lb.id);
    end_links(1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_closes_by_count, setup, teardown),
        cmocka_unit_test_setup_teardown(test_closes_by_bytes, setup, teardown),
        cmocka_unit_test_setup_teardown(test_closes_by_age, setup, teardown),
        cmocka_unit_test_setup_teardown(test_closes_idle_lanes_only, setup, teardown),
        cmocka_unit_test_setup_teardown(test_copies_are_equal, setup, teardown),
        cmocka_unit_test_setup_teardown(test_spread_and_credit, setup, teardown),
        cmocka_unit_test_setup_teardown(test_suspect_travels_alone, setup, teardown),
        cmocka_unit_test_setup_teardown(test_suspect_is_not_tied_to_a_closed_link, setup, teardown),
        cmocka_unit_test_setup_teardown(test_returned_in_order, setup, teardown),
        cmocka_unit_test_setup_teardown(test_parked, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
