/* link_send against link_recv over real pipes in one loop: the window, torn and broken streams, death at any moment.
 * The ledger of every test: a batch is stored, refused or returned, exactly once. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <ev.h>
#include <fcntl.h>
#include <unistd.h>

#include "common/base/fd.h"
#include "common/base/log.h"
#include "common/base/sig.h"
#include "ipc/frame.h"
#include "ipc/link_recv.h"
#include "ipc/link_send.h"

#define GENERATION 7
#define BATCHES    400

static struct ev_loop *loop;
static int batch_pipe[2], ack_pipe[2];
static struct link_send *sender;
static struct link_recv *receiver;

static struct batch {
    struct link_batch b;
    unsigned stored, refused, returned, received;
} batches[BATCHES];

static struct seen {
    unsigned stored, duplicates, refused, returned, ready, sender_gone, received, ends, receiver_gone;
    bool clean;
    int error;
    char why[80];
    size_t order[BATCHES]; /* numbers of the returned, as they came */
    bool answer_at_once, free_at_batch, free_at_stored;
    size_t to_put, put; /* ready puts batches [put, to_put) */
} seen;

static struct batch *owner(struct link_batch *b)
{
    return list_entry(b, struct batch, b);
}

static void on_stored(struct link_send *l, struct link_batch *b, bool duplicate, void *arg)
{
    (void)arg;
    assert_ptr_equal(l, sender);
    assert_null(b->on);
    owner(b)->stored++;
    seen.stored++;
    seen.duplicates += duplicate;
    if (seen.free_at_stored) {
        link_send_free(l);
        sender = NULL;
    }
}

static void on_refused(struct link_send *l, struct link_batch *b, bool temporary, uint32_t retry_after_ms,
                       const char *why, void *arg)
{
    (void)l, (void)arg;
    assert_true(temporary);
    assert_int_equal(retry_after_ms, 1500);
    assert_string_equal(why, "redis is away");
    owner(b)->refused++;
    seen.refused++;
}

static void put_what_fits(void)
{
    while (seen.put < seen.to_put && link_send_may(sender, batches[seen.put].b.body.len))
        link_send_put(sender, &batches[seen.put++].b);
}

static void on_ready(struct link_send *l, void *arg)
{
    (void)l, (void)arg;
    seen.ready++;
    put_what_fits();
}

static void on_sender_gone(struct link_send *l, struct list *returned, bool clean, void *arg)
{
    (void)l, (void)arg;
    seen.sender_gone++;
    seen.clean = clean;
    struct link_batch *b;
    while ((b = list_first(returned, struct link_batch, link)) != NULL) {
        list_remove(&b->link);
        owner(b)->returned++;
        seen.order[seen.returned++] = (size_t)(owner(b) - batches);
    }
    link_send_free(l);
    sender = NULL;
}

static void on_batch(struct link_recv *l, const struct msg_batch *b, void *arg)
{
    (void)arg;
    seen.received++;
    size_t i;
    for (i = 0; i < BATCHES && strcmp(batches[i].b.id, b->id) != 0; i++)
        ;
    assert_true(i < BATCHES);
    batches[i].received++;
    assert_int_equal(b->tries, batches[i].b.tries);
    assert_string_equal(b->source, "web");
    assert_string_equal(b->order_key, "");
    struct mpwalk w = b->events;
    const char *event;
    uint32_t len;
    for (uint32_t k = 0; k < b->n_events; k++) {
        assert_int_equal(mpwalk_bytes(&w, &event, &len), 0);
        assert_int_equal(event[0], 'A' + (int)(i % 26));
        assert_int_equal(event[len - 1], 'A' + (int)(i % 26));
    }
    if (seen.free_at_batch) {
        link_recv_free(l);
        receiver = NULL;
    } else if (seen.answer_at_once) {
        link_recv_stored(l, b->id, false);
    }
}

static void on_end(struct link_recv *l, void *arg)
{
    (void)l, (void)arg;
    seen.ends++;
}

static void on_receiver_gone(struct link_recv *l, int error, const char *why, void *arg)
{
    (void)arg;
    seen.receiver_gone++;
    seen.error = error;
    snprintf(seen.why, sizeof seen.why, "%s", why);
    link_recv_free(l);
    receiver = NULL;
}

static const struct link_send_events send_events = {on_stored, on_refused, on_ready, on_sender_gone};
static const struct link_recv_events recv_events = {on_batch, on_end, on_receiver_gone};

static void make_sender(void)
{
    sender = link_send_new(loop, batch_pipe[1], ack_pipe[0], 2, GENERATION, &send_events, NULL);
    batch_pipe[1] = ack_pipe[0] = -1;
}

static void make_receiver(void)
{
    receiver = link_recv_new(loop, batch_pipe[0], ack_pipe[1], GENERATION, &recv_events, NULL);
    batch_pipe[0] = ack_pipe[1] = -1;
}

static int setup(void **state)
{
    (void)state;
    memset(&seen, 0, sizeof seen);
    memset(batches, 0, sizeof batches);
    loop = ev_loop_new(EVFLAG_AUTO);
    return loop == NULL || pipe2(batch_pipe, O_CLOEXEC | O_NONBLOCK) < 0 ||
                   pipe2(ack_pipe, O_CLOEXEC | O_NONBLOCK) < 0
               ? -1
               : 0;
}

static int teardown(void **state)
{
    (void)state;
    link_recv_free(receiver);
    receiver = NULL;
    for (int i = 0; i < 2; i++) {
        fd_close(&batch_pipe[i]);
        fd_close(&ack_pipe[i]);
    }
    for (int i = 0; i < 20 && sender != NULL; i++)
        ev_run(loop, EVRUN_NOWAIT);
    assert_null(sender);
    for (size_t i = 0; i < BATCHES; i++)
        buf_fini(&batches[i].b.body);
    ev_loop_destroy(loop);
    return 0;
}

/* n batches from number `from` on, each of `events` events of `size` bytes. */
static void fill(size_t from, size_t n, uint32_t events, size_t size)
{
    char *event = malloc(size);
    assert_non_null(event);
    for (size_t i = from; i < from + n; i++) {
        struct link_batch *b = &batches[i].b;
        memset(event, 'A' + (int)(i % 26), size);
        id_new(b->id);
        b->source = "web";
        b->queue = "events";
        b->order_key = "";
        b->n_events = events;
        buf_init(&b->body, LINK_BODY_MAX);
        for (uint32_t k = 0; k < events; k++)
            assert_int_equal(msg_pack_event(&b->body, event, size), 0);
    }
    free(event);
}

static void turns(int n)
{
    while (n-- > 0)
        ev_run(loop, EVRUN_NOWAIT);
}

/* Turns until the condition holds. */
#define UNTIL(cond)                                                                                          \
    do {                                                                                                     \
        int turns_left = 20000;                                                                              \
        while (!(cond) && turns_left-- > 0)                                                                  \
            turns(1);                                                                                        \
        assert_true(cond);                                                                                   \
    } while (0)

static void each_once(size_t n)
{
    for (size_t i = 0; i < n; i++)
        assert_int_equal(batches[i].stored + batches[i].refused + batches[i].returned, 1);
}

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

static void write_batch_pipe(const void *data, size_t len)
{
    assert_int_equal(write(batch_pipe[1], data, len), len);
}

static size_t frame_of(size_t i, uint32_t generation, unsigned char *dst)
{
    const struct link_batch *b = &batches[i].b;
    size_t head_len;
    assert_int_equal(msg_pack_batch_head(dst, &head_len, generation, b->id, b->tries, b->source, b->queue,
                                         b->order_key, b->n_events, b->body.len),
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
        T(test_nothing_goes_without_credit),
        T(test_window),
        T(test_a_batch_over_the_byte_credit_goes_alone),
        T(test_big_bodies),
        T(test_many_at_once),
        T(test_ready_does_not_recurse),
        T(test_worker_dies_with_batches_in_hand),
        T(test_acks_are_read_to_the_end_after_epipe),
        T(test_orderly_leave),
        T(test_sender_ends),
        T(test_sender_goes),
        T(test_torn_tail_and_dead_acks),
        T(test_old_generation_is_dropped_silently),
        T(test_old_generation_of_answers),
        T(test_receiver_refuses_lies),
        T(test_broken_acks_return_everything),
        T(test_answer_before_the_batch_left),
        T(test_freed_in_its_events),
        T(test_unread_answers_stop_the_reading),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
