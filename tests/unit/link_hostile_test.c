/* One half of a batch link against a peer played byte by byte: torn, old, lying, deaf. */
#include "tests/unit/link_fixture.h"

static void write_batch_pipe(const void *data, size_t len)
{
    assert_int_equal(write(batch_pipe[1], data, len), len);
}

static size_t frame_of(size_t i, uint32_t generation, unsigned char *dst)
{
    const struct link_batch *b = &batches[i].b;
    size_t head_len;
    assert_int_equal(msg_pack_batch_head(dst, &head_len, generation, b->id, b->tries, b->source, b->queue,
                                         b->order_key, b->flags, b->n_events, b->body.len),
                     0);
    memcpy(dst + head_len, b->body.data, b->body.len);
    return head_len + b->body.len;
}

static void test_torn_tail_and_dead_acks(void **state)
{
    (void)state;
    fill(0, 3, 1, 1000);
    unsigned char frame[2000];
    make_receiver();
    link_recv_credit(receiver, 4, 64u << 20);
    turns(2);
    size_t len = frame_of(0, GENERATION, frame);
    write_batch_pipe(frame, len);
    turns(2);
    assert_int_equal(seen.received, 1);
    fd_close(&ack_pipe[0]); /* nobody reads answers: EPIPE, which ends nothing yet */
    link_recv_stored(receiver, batches[0].b.id, false);
    turns(2);
    assert_true(link_recv_flushed(receiver));
    assert_int_equal(seen.receiver_gone, 0);
    write_batch_pipe(frame, frame_of(1, GENERATION, frame));
    write_batch_pipe(frame, frame_of(2, GENERATION, frame) - 1);
    fd_close(&batch_pipe[1]);
    turns(3);
    assert_int_equal(seen.received, 2);
    assert_int_equal(batches[2].received, 0);
    assert_int_equal(seen.receiver_gone, 1);
    assert_int_equal(seen.error, 0);
    assert_string_equal(seen.why, "closed in the middle of a batch");
}

static void test_old_generation_is_dropped_silently(void **state)
{
    (void)state;
    fill(0, 2, 1, 100);
    unsigned char frame[1000];
    make_receiver();
    link_recv_credit(receiver, 4, 1000);
    write_batch_pipe(frame, frame_of(0, GENERATION - 1, frame));
    write_batch_pipe(frame, frame_of(1, GENERATION, frame));
    turns(3);
    assert_int_equal(seen.received, 1);
    assert_int_equal(batches[1].received, 1);
    assert_int_equal(link_recv_in_hand(receiver), 1);
}

static void test_old_generation_of_answers(void **state)
{
    (void)state;
    make_sender();
    for (uint32_t generation = GENERATION - 1; generation <= GENERATION; generation++) {
        struct buf acks;
        buf_init(&acks, 1000);
        struct msg m = {.type = MSG_CREDIT, .generation = generation, .u.credit = {4, 1u << 20}};
        assert_int_equal(msg_pack(&acks, &m), 0);
        assert_int_equal(write(ack_pipe[1], acks.data, acks.len), acks.len);
        buf_fini(&acks);
        turns(2);
        assert_int_equal(link_send_may(sender, 1), generation == GENERATION);
        assert_int_equal(seen.sender_gone, 0);
    }
    fd_close(&ack_pipe[1]);
}

static void test_receiver_refuses_lies(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        size_t len;
        int error;
        const char *why;
    } cases[] = {
        {"\xce\x00\x00\x00\x00", 5, EPROTO, "a broken frame"},
        {"\xce\x00\x80\x00\x01", 5, EPROTO, "a frame over the cap"},
        {"\xce\xff\xff\xff\xff", 5, EPROTO, "a frame over the cap"},
        {"\x91", 1, EPROTO, "a broken frame"},
        {"\xce\x00\x00\x00\x05\xdd\x17\xd7\x84\x00", 10, EPROTO, "not an array of two or more"},
        {"\xce\x00\x00\x00\x05\x94\x30\x07\x01\x01", 10, EPROTO, "wrong direction"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        make_receiver();
        link_recv_credit(receiver, 4, 1000);
        write_batch_pipe(cases[i].bytes, cases[i].len);
        turns(3);
        assert_int_equal(seen.receiver_gone, 1);
        assert_int_equal(seen.error, cases[i].error);
        assert_string_equal(seen.why, cases[i].why);
        teardown(state);
        assert_int_equal(setup(state), 0);
    }
    /* More than was granted would be memory without a bound. */
    fill(0, 3, 1, 100);
    unsigned char frame[1000];
    make_receiver();
    link_recv_credit(receiver, 2, 1000);
    for (size_t i = 0; i < 3; i++)
        write_batch_pipe(frame, frame_of(i, GENERATION, frame));
    turns(3);
    assert_int_equal(seen.received, 2);
    assert_string_equal(seen.why, "more batches than were granted");
}

static void test_broken_acks_return_everything(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        size_t len;
    } cases[] = {
        {"\xce\x00\x00\x00\x00", 5},
        {"\xce\x00\x00\x10\x01", 5}, /* 4097 */
        {"\xce\xff\xff\xff\xff", 5},
        {"hello", 5},
        {"\xce\x00\x00\x00\x05\x94\x20\x07\x01\x01", 10}, /* a batch, from a worker */
        {"\xce\x00\x00\x00\x1e\x94\x31\x07\xb9"
         "b0123456789abcdefghjkmnpqr\xc2",
         35}, /* an id it never had */
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        fill(0, 3, 1, 100);
        make_sender();
        struct buf acks;
        buf_init(&acks, 1000);
        struct msg m = {.type = MSG_CREDIT, .generation = GENERATION, .u.credit = {4, 1u << 20}};
        assert_int_equal(msg_pack(&acks, &m), 0);
        assert_int_equal(write(ack_pipe[1], acks.data, acks.len), acks.len);
        buf_fini(&acks);
        turns(2);
        seen.to_put = 3;
        put_what_fits();
        turns(2);
        assert_int_equal(write(ack_pipe[1], cases[i].bytes, cases[i].len), cases[i].len);
        turns(2);
        assert_int_equal(seen.sender_gone, 1);
        assert_int_equal(seen.returned, 3);
        assert_false(seen.clean);
        each_once(3);
        char drop[4096];
        while (read(batch_pipe[0], drop, sizeof drop) > 0)
            ;
        assert_int_equal(read(batch_pipe[0], drop, sizeof drop), 0); /* the worker sees the end too */
        teardown(state);
        assert_int_equal(setup(state), 0);
    }
}

/* An answer to a batch that has not left yet is a lie as well. */
static void test_answer_before_the_batch_left(void **state)
{
    (void)state;
    fill(0, 3, 1, 4000000);
    make_sender();
    struct buf acks;
    buf_init(&acks, 1000);
    struct msg m = {.type = MSG_CREDIT, .generation = GENERATION, .u.credit = {4, 64u << 20}};
    assert_int_equal(msg_pack(&acks, &m), 0);
    assert_int_equal(write(ack_pipe[1], acks.data, acks.len), acks.len);
    turns(2);
    seen.to_put = 3;
    put_what_fits();
    turns(2);
    buf_reset(&acks);
    m = (struct msg){.type = MSG_STORED, .generation = GENERATION};
    strcpy(m.u.stored.id, batches[2].b.id);
    assert_int_equal(msg_pack(&acks, &m), 0);
    assert_int_equal(write(ack_pipe[1], acks.data, acks.len), acks.len);
    turns(2);
    assert_int_equal(seen.sender_gone, 1);
    assert_int_equal(seen.returned, 3);
    each_once(3);
    buf_fini(&acks);
}

/* Nobody reads the answers: the receiver stops taking batches instead of gathering answers without a bound. */
static void test_unread_answers_stop_the_reading(void **state)
{
    (void)state;
    fill(0, 1, 1, 10);
    unsigned char frame[1000];
    make_receiver();
    seen.answer_at_once = true;
    link_recv_credit(receiver, 4, 1000);
    size_t len = frame_of(0, GENERATION, frame), before = 0, still = 0;
    for (int i = 0; i < 200000 && still < 20; i++) {
        while (write(batch_pipe[1], frame, len) == (ssize_t)len)
            ;
        turns(1);
        still = seen.received == before ? still + 1 : 0;
        before = seen.received;
    }
    assert_int_equal(still, 20);
    assert_false(link_recv_flushed(receiver));
    char drop[65536];
    while (read(ack_pipe[0], drop, sizeof drop) > 0)
        turns(1);
    turns(2);
    assert_true(seen.received > before);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    sig_defaults();
    log_set_level(LOGL_CRIT); /* broken links are told at warn: wanted here, and many */
    const struct CMUnitTest tests[] = {
        T(test_torn_tail_and_dead_acks),         T(test_old_generation_is_dropped_silently),
        T(test_old_generation_of_answers),       T(test_receiver_refuses_lies),
        T(test_broken_acks_return_everything),   T(test_answer_before_the_batch_left),
        T(test_unread_answers_stop_the_reading),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
