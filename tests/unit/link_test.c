/* link_send against link_recv: the window, big bodies, many at once, death at any moment, orderly ends. */
#include "tests/unit/link_fixture.h"

static void test_nothing_goes_without_credit(void **state)
{
    (void)state;
    fill(0, 1, 1, 10);
    make_sender();
    make_receiver();
    assert_false(link_send_may(sender, 10));
    link_recv_credit(receiver, 0, 0);
    turns(3);
    assert_false(link_send_may(sender, 10));
    assert_int_equal(seen.ready, 0);
    link_recv_credit(receiver, 4, 1000);
    assert_false(link_recv_flushed(receiver));
    turns(3);
    assert_true(link_recv_flushed(receiver));
    assert_int_equal(seen.ready, 1);
    assert_true(link_send_may(sender, 10));
}

static void test_window(void **state)
{
    (void)state;
    fill(0, 6, 1, 400);
    make_sender();
    make_receiver();
    link_recv_credit(receiver, 3, 1000);
    turns(3);
    seen.to_put = 6;
    put_what_fits();
    assert_int_equal(link_send_in_flight(sender), 2); /* bytes close it first */
    assert_int_equal(link_send_bytes_in_flight(sender), 2 * 403);
    turns(3);
    assert_int_equal(seen.received, 2);
    assert_int_equal(link_recv_in_hand(receiver), 2);
    link_recv_credit(receiver, 3, 1u << 20);
    turns(3);
    assert_int_equal(link_send_in_flight(sender), 3); /* now the count */
    link_recv_stored(receiver, batches[0].b.id, false);
    link_recv_stored(receiver, batches[2].b.id, true); /* in any order */
    link_recv_refused(receiver, batches[1].b.id, true, 1500, "redis is away");
    turns(4);
    assert_int_equal(seen.stored, 2);
    assert_int_equal(seen.duplicates, 1);
    assert_int_equal(seen.refused, 1);
    assert_int_equal(seen.received, 6);
    link_recv_credit(receiver, 0, 0);
    for (size_t i = 3; i < 6; i++)
        link_recv_stored(receiver, batches[i].b.id, false);
    turns(4);
    assert_int_equal(seen.stored, 5);
    assert_int_equal(link_send_in_flight(sender), 0);
    assert_int_equal(link_send_bytes_in_flight(sender), 0);
    assert_false(link_send_may(sender, 1));
    each_once(6);
}

static void test_a_batch_over_the_byte_credit_goes_alone(void **state)
{
    (void)state;
    fill(0, 2, 1, 5000);
    make_sender();
    make_receiver();
    link_recv_credit(receiver, 4, 1000);
    turns(3);
    assert_true(link_send_may(sender, 5003));
    link_send_put(sender, &batches[0].b);
    assert_false(link_send_may(sender, 1));
    turns(2);
    link_recv_stored(receiver, batches[0].b.id, false);
    turns(3);
    assert_true(link_send_may(sender, 5003));
}

/* FOLLOW finds its way between batches, however they are cut, and DELIVERED is no answer to anything in flight. */
static void test_follow_and_delivered(void **state)
{
    (void)state;
    char id[ID_SIZE];
    fill(0, 6, 3, 1000000);
    make_sender();
    make_receiver();
    for (size_t i = 0; i < 6; i += 2)
        batches[i].b.flags = MSG_BATCH_TELL;
    seen.answer_at_once = true;
    link_recv_credit(receiver, 6, 64u << 20);
    turns(3);
    for (size_t i = 1; i <= 6; i++) {
        seen.to_put = i;
        put_what_fits();
        turns(1);
        id_new(id);
        assert_true(link_send_follow(sender, id, "events"));
    }
    UNTIL(seen.stored == 6 && seen.delivered == 6);
    each_once(6);
    assert_int_equal(seen.follows, 6);
    assert_string_equal(seen.last.id, id);
    assert_int_equal(seen.last.outcome, MSG_OUTCOME_FAILED);
    assert_int_equal(seen.last.status, 400);
    assert_string_equal(seen.last.why, "no such thing");
    link_send_end(sender);
    assert_false(link_send_follow(sender, id, "events"));
}

/* Bodies far over the pipe: every write is cut somewhere, and nothing is mixed up. */
static void test_big_bodies(void **state)
{
    (void)state;
    fill(0, 12, 7, 1000000);
    make_sender();
    make_receiver();
    seen.answer_at_once = true;
    seen.to_put = 12;
    link_recv_credit(receiver, 4, 64u << 20);
    UNTIL(seen.stored == 12);
    each_once(12);
    assert_int_equal(seen.received, 12);
    assert_true(link_send_alive(sender));
}

/* Many in one turn: the batches leave in one go, their answers come back in one, and the frames stay whole. */
static void test_many_at_once(void **state)
{
    (void)state;
    fill(0, BATCHES, 2, 50);
    make_sender();
    make_receiver();
    seen.answer_at_once = true;
    link_recv_credit(receiver, BATCHES, 64u << 20);
    turns(3);
    seen.to_put = BATCHES;
    put_what_fits();
    turns(6);
    assert_int_equal(seen.stored, BATCHES);
    assert_true(seen.ready < 10); /* told once a read, not once a batch */
    each_once(BATCHES);
}

/* ready puts, the put is answered, the answer makes ready: a chain as long as the work, not as deep. */
static void test_ready_does_not_recurse(void **state)
{
    (void)state;
    fill(0, BATCHES, 1, 10);
    make_sender();
    make_receiver();
    seen.answer_at_once = true;
    seen.to_put = BATCHES;
    link_recv_credit(receiver, 1, 1000);
    UNTIL(seen.stored == BATCHES);
    assert_int_equal(seen.received, BATCHES);
    assert_int_equal(seen.ready, BATCHES + 1);
}

static void test_worker_dies_with_batches_in_hand(void **state)
{
    (void)state;
    fill(0, 5, 1, 3000000);
    make_sender();
    make_receiver();
    link_recv_credit(receiver, 5, 64u << 20);
    turns(2);
    seen.to_put = 5;
    put_what_fits();
    UNTIL(seen.received == 2);
    link_recv_stored(receiver, batches[1].b.id, false);
    link_recv_free(receiver); /* as a death: the answer is in the pipe, the rest is not */
    receiver = NULL;
    UNTIL(seen.sender_gone == 1);
    assert_int_equal(seen.stored, 1);
    assert_int_equal(seen.returned, 4);
    assert_false(seen.clean);
    const size_t order[] = {0, 2, 3, 4};
    assert_memory_equal(seen.order, order, sizeof order);
    each_once(5);
}

/* The write side breaks first (EPIPE) while answers are still in the ack pipe: they count. */
static void test_acks_are_read_to_the_end_after_epipe(void **state)
{
    (void)state;
    fill(0, 4, 1, 100);
    make_sender();
    struct buf acks;
    buf_init(&acks, 1000);
    struct msg m = {.type = MSG_CREDIT, .generation = GENERATION, .u.credit = {4, 1u << 20}};
    assert_int_equal(msg_pack(&acks, &m), 0);
    assert_int_equal(write(ack_pipe[1], acks.data, acks.len), acks.len);
    turns(2);
    link_send_put(sender, &batches[0].b);
    link_send_put(sender, &batches[1].b);
    turns(2);
    fd_close(&batch_pipe[0]);
    link_send_put(sender, &batches[2].b);
    turns(2);
    assert_false(link_send_alive(sender));
    assert_false(link_send_may(sender, 1));
    assert_int_equal(seen.sender_gone, 0);
    buf_reset(&acks);
    m = (struct msg){.type = MSG_STORED, .generation = GENERATION};
    strcpy(m.u.stored.id, batches[1].b.id);
    assert_int_equal(msg_pack(&acks, &m), 0);
    assert_int_equal(write(ack_pipe[1], acks.data, acks.len), acks.len);
    fd_close(&ack_pipe[1]);
    turns(3);
    assert_int_equal(seen.sender_gone, 1);
    assert_int_equal(batches[1].stored, 1);
    assert_int_equal(seen.returned, 2);
    assert_false(seen.clean);
    const size_t order[] = {0, 2};
    assert_memory_equal(seen.order, order, sizeof order);
    each_once(3);
    buf_fini(&acks);
}

static void test_orderly_leave(void **state)
{
    (void)state;
    fill(0, 8, 1, 200000);
    make_sender();
    make_receiver();
    link_recv_credit(receiver, 4, 64u << 20);
    turns(2);
    seen.to_put = 8;
    put_what_fits();
    link_recv_leave(receiver);
    link_recv_credit(receiver, 4, 64u << 20); /* too late: it leaves */
    UNTIL(seen.ends == 1);
    assert_int_equal(seen.received, 4);
    assert_false(link_send_alive(sender));
    for (size_t i = 0; i < 4; i++)
        link_recv_stored(receiver, batches[i].b.id, false);
    UNTIL(link_recv_flushed(receiver));
    link_recv_free(receiver);
    receiver = NULL;
    UNTIL(seen.sender_gone == 1);
    assert_true(seen.clean);
    assert_int_equal(seen.stored, 4);
    assert_int_equal(seen.put, 4);
}

static void test_sender_ends(void **state)
{
    (void)state;
    fill(0, 2, 3, 2000000);
    make_sender();
    make_receiver();
    seen.answer_at_once = true;
    link_recv_credit(receiver, 4, 64u << 20);
    turns(2);
    seen.to_put = 2;
    put_what_fits();
    link_send_end(sender);
    link_send_end(sender);
    UNTIL(seen.ends == 1 && seen.stored == 2);
    assert_int_equal(seen.received, 2);
    assert_int_equal(seen.receiver_gone, 0);
}

/* A sender that closes without END is a plain end of the stream. */
static void test_sender_goes(void **state)
{
    (void)state;
    fill(0, 2, 1, 70000);
    make_sender();
    make_receiver();
    link_recv_credit(receiver, 4, 64u << 20);
    turns(2);
    link_send_put(sender, &batches[0].b);
    turns(1);
    UNTIL(seen.received == 1);
    link_recv_stored(receiver, batches[0].b.id, false);
    UNTIL(seen.stored == 1);
    link_send_free(sender);
    sender = NULL;
    turns(3);
    assert_int_equal(seen.receiver_gone, 1);
    assert_int_equal(seen.error, 0);
    assert_string_equal(seen.why, "closed");
}

static void test_freed_in_its_events(void **state)
{
    (void)state;
    fill(0, 2, 1, 100);
    make_sender();
    make_receiver();
    seen.free_at_batch = true;
    link_recv_credit(receiver, 4, 1000);
    seen.to_put = 2;
    UNTIL(seen.sender_gone == 1);
    assert_int_equal(seen.received, 1);
    assert_int_equal(seen.returned, 2);
    teardown(state);
    assert_int_equal(setup(state), 0);
    fill(0, 1, 1, 100);
    make_sender();
    make_receiver();
    seen.answer_at_once = seen.free_at_stored = true;
    link_recv_credit(receiver, 4, 1000);
    seen.to_put = 1;
    UNTIL(seen.stored == 1 && seen.receiver_gone == 1);
    assert_null(sender);
}

/* What was unsent, or still in the pipe, was not in the worker's hand. */
static void test_which_batches_were_read(void **state)
{
    (void)state;
    unsigned in_hand = 0, in_pipe = 0;
    fill(0, 8, 3, 100000);
    make_sender();
    make_receiver();
    link_recv_credit(receiver, 8, 64u << 20);
    turns(3);
    seen.to_put = 8;
    put_what_fits();
    UNTIL(seen.received > 0);
    turns(1); /* the pipe is filled again */
    link_recv_free(receiver);
    receiver = NULL;
    UNTIL(seen.sender_gone == 1);
    assert_int_equal(seen.returned, 8);
    for (size_t i = 0; i < 8; i++) {
        assert_int_equal(batches[i].b.was_read, batches[i].received);
        in_hand += batches[i].b.was_read;
        in_pipe += !batches[i].b.was_read;
    }
    assert_true(in_hand > 0 && in_pipe > 1);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    sig_defaults();
    log_set_level(LOGL_CRIT); /* broken links are told at warn: wanted here, and many */
    const struct CMUnitTest tests[] = {
        T(test_nothing_goes_without_credit),
        T(test_window),
        T(test_a_batch_over_the_byte_credit_goes_alone),
        T(test_follow_and_delivered),
        T(test_big_bodies),
        T(test_many_at_once),
        T(test_ready_does_not_recurse),
        T(test_worker_dies_with_batches_in_hand),
        T(test_acks_are_read_to_the_end_after_epipe),
        T(test_which_batches_were_read),
        T(test_orderly_leave),
        T(test_sender_ends),
        T(test_sender_goes),
        T(test_freed_in_its_events),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
