/* link_fixture - both halves of a batch link over real pipes in one loop, for link_test.c and link_hostile_test.c.
 * The ledger of every test: a batch is stored, refused or returned, exactly once. */
#ifndef DRAY_TESTS_UNIT_LINK_FIXTURE_H
#define DRAY_TESTS_UNIT_LINK_FIXTURE_H

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
    unsigned delivered, follows;
    struct msg_delivered last;
    size_t to_put, put; /* ready puts batches [put, to_put) */
} seen;

static inline struct batch *owner(struct link_batch *b)
{
    return list_entry(b, struct batch, b);
}

static inline void on_stored(struct link_send *l, struct link_batch *b, bool duplicate, void *arg)
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

static inline void on_refused(struct link_send *l, struct link_batch *b, bool temporary,
                              uint32_t retry_after_ms, const char *why, void *arg)
{
    (void)l, (void)arg;
    assert_true(temporary);
    assert_int_equal(retry_after_ms, 1500);
    assert_string_equal(why, "redis is away");
    owner(b)->refused++;
    seen.refused++;
}

static inline void put_what_fits(void)
{
    while (seen.put < seen.to_put && link_send_may(sender, batches[seen.put].b.body.len))
        link_send_put(sender, &batches[seen.put++].b);
}

static inline void on_ready(struct link_send *l, void *arg)
{
    (void)l, (void)arg;
    seen.ready++;
    put_what_fits();
}

static inline void on_sender_gone(struct link_send *l, struct list *returned, bool clean, void *arg)
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

static inline void on_batch(struct link_recv *l, const struct msg_batch *b, void *arg)
{
    (void)arg;
    seen.received++;
    size_t i;
    for (i = 0; i < BATCHES && strcmp(batches[i].b.id, b->id) != 0; i++)
        ;
    assert_true(i < BATCHES);
    batches[i].received++;
    assert_int_equal(b->tries, batches[i].b.tries);
    assert_int_equal(b->flags, batches[i].b.flags);
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

static inline void on_end(struct link_recv *l, void *arg)
{
    (void)l, (void)arg;
    seen.ends++;
}

static inline void on_receiver_gone(struct link_recv *l, int error, const char *why, void *arg)
{
    (void)arg;
    seen.receiver_gone++;
    seen.error = error;
    snprintf(seen.why, sizeof seen.why, "%s", why);
    link_recv_free(l);
    receiver = NULL;
}

static inline void on_delivered(struct link_send *l, const struct msg_delivered *d, void *arg)
{
    (void)l, (void)arg;
    seen.delivered++;
    seen.last = *d;
}

static inline void on_follow(struct link_recv *l, const struct msg_follow *f, void *arg)
{
    (void)arg;
    seen.follows++;
    assert_string_equal(f->queue, "events");
    link_recv_delivered(l, f->id, MSG_OUTCOME_FAILED, 400, "no such thing");
}

static const struct link_send_events send_events = {.stored = on_stored,
                                                    .refused = on_refused,
                                                    .ready = on_ready,
                                                    .gone = on_sender_gone,
                                                    .delivered = on_delivered};
static const struct link_recv_events recv_events = {
    .batch = on_batch, .end = on_end, .gone = on_receiver_gone, .follow = on_follow};

static inline void make_sender(void)
{
    sender = link_send_new(loop, batch_pipe[1], ack_pipe[0], 2, GENERATION, &send_events, NULL);
    batch_pipe[1] = ack_pipe[0] = -1;
}

static inline void make_receiver(void)
{
    receiver = link_recv_new(loop, batch_pipe[0], ack_pipe[1], GENERATION, &recv_events, NULL);
    batch_pipe[0] = ack_pipe[1] = -1;
}

static inline int setup(void **state)
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

static inline int teardown(void **state)
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
static inline void fill(size_t from, size_t n, uint32_t events, size_t size)
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

static inline void turns(int n)
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

static inline void each_once(size_t n)
{
    for (size_t i = 0; i < n; i++)
        assert_int_equal(batches[i].stored + batches[i].refused + batches[i].returned, 1);
}

#endif
