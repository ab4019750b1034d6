/* chan: messages and descriptors over a real socketpair; a peer that does not read, that lies, that dies. */
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
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/fd.h"
#include "ipc/chan.h"
#include "ipc/fdpass.h"
#include "ipc/frame.h"

static struct ev_loop *loop;
static int sock[2];
static struct chan *chan; /* on sock[0] */

static struct seen {
    unsigned messages, gone, drained;
    enum msg_type types[256];
    int error, fds[8];
    size_t n_fds;
    char why[80];
    uint32_t last_number;
    bool free_at_message, free_at_gone;
} seen;

static void on_message(struct chan *c, const struct msg *m, const int *fds, size_t n_fds, void *arg)
{
    (void)arg;
    if (seen.messages < 256)
        seen.types[seen.messages] = m->type;
    seen.messages++;
    if (m->type == MSG_LEVEL)
        seen.last_number = m->generation;
    for (size_t i = 0; i < n_fds; i++)
        seen.fds[seen.n_fds++] = fds[i];
    if (seen.free_at_message) {
        chan_free(c);
        chan = NULL;
    }
}

static void on_gone(struct chan *c, int error, const char *why, void *arg)
{
    (void)arg;
    seen.gone++;
    seen.error = error;
    snprintf(seen.why, sizeof seen.why, "%s", why);
    if (seen.free_at_gone) {
        chan_free(c);
        chan = NULL;
    }
}

static void on_drained(struct chan *c, void *arg)
{
    (void)c, (void)arg;
    seen.drained++;
}

static const struct chan_events events = {.message = on_message, .gone = on_gone, .drained = on_drained};

static int setup(void **state)
{
    (void)state;
    memset(&seen, 0, sizeof seen);
    loop = ev_loop_new(EVFLAG_AUTO);
    if (loop == NULL || socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, sock) < 0)
        return -1;
    chan = chan_new(loop, sock[0], MSG_DIR_MC, &events, NULL);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    chan_free(chan);
    chan = NULL;
    fd_close(&sock[1]);
    for (size_t i = 0; i < seen.n_fds; i++)
        close(seen.fds[i]);
    ev_loop_destroy(loop);
    return 0;
}

static void turns(int n)
{
    while (n-- > 0)
        ev_run(loop, EVRUN_NOWAIT);
}

static size_t packed(const struct msg *m, char *dst, size_t size)
{
    struct buf b;
    buf_init(&b, size);
    assert_int_equal(msg_pack(&b, m), 0);
    memcpy(dst, b.data, b.len);
    size_t len = b.len;
    buf_fini(&b);
    return len;
}

static const struct msg link_msg = {
    .type = MSG_LINK, .generation = 3, .u.link = {.role = MSG_LINK_SENDER, .peer_kind = "delivery"}};

static void test_byte_by_byte(void **state)
{
    (void)state;
    char bytes[128];
    size_t len = packed(&(struct msg){.type = MSG_DRAIN, .u.drain = {5, "why"}}, bytes, sizeof bytes);
    len += packed(&(struct msg){.type = MSG_STOP}, bytes + len, sizeof bytes - len);
    for (size_t i = 0; i < len; i++) {
        assert_int_equal(write(sock[1], bytes + i, 1), 1);
        turns(1);
    }
    assert_int_equal(seen.messages, 2);
    assert_int_equal(seen.types[0], MSG_DRAIN);
    assert_int_equal(seen.types[1], MSG_STOP);
    assert_int_equal(seen.gone, 0);
}

static void test_descriptors_belong_to_their_message(void **state)
{
    (void)state;
    char before[64], link[128], after[64], bytes[256];
    size_t n_before = packed(&(struct msg){.type = MSG_LEVEL, .u.level.level = 1}, before, sizeof before);
    size_t n_link = packed(&link_msg, link, sizeof link);
    size_t n_after = packed(&(struct msg){.type = MSG_STOP}, after, sizeof after);
    int p[2];
    assert_int_equal(pipe2(p, O_CLOEXEC), 0);
    /* All in the socket before one read: the kernel glues what stands in front of descriptors to them. */
    assert_int_equal(write(sock[1], before, n_before), n_before);
    assert_int_equal(fdpass_send(sock[1], link, n_link, p, 2), n_link);
    memcpy(bytes, after, n_after);
    assert_int_equal(write(sock[1], bytes, n_after), n_after);
    turns(4);
    assert_int_equal(seen.messages, 3);
    assert_int_equal(seen.types[1], MSG_LINK);
    assert_int_equal(seen.n_fds, 2);
    assert_int_equal(write(seen.fds[1], "x", 1), 1);
    assert_int_equal(read(p[0], bytes, 1), 1);
    close(p[0]);
    close(p[1]);
}

static void test_sent_descriptors_are_copies(void **state)
{
    (void)state;
    struct chan *peer = chan_new(loop, dup(sock[1]), MSG_DIR_CM, &events, NULL);
    int p[2];
    assert_int_equal(pipe2(p, O_CLOEXEC), 0);
    assert_int_equal(chan_send(peer, &link_msg, p, 1), -1);
    assert_int_equal(errno, EINVAL);
    for (uint32_t i = 0; i < 3; i++) {
        assert_int_equal(chan_send(peer, &(struct msg){.type = MSG_LEVEL, .generation = i}, NULL, 0), 0);
        assert_int_equal(chan_send(peer, &link_msg, p, 2), 0);
    }
    close(p[1]);
    turns(8);
    assert_int_equal(seen.messages, 6);
    assert_int_equal(seen.n_fds, 6);
    assert_int_equal(write(seen.fds[5], "y", 1), 1);
    chan_free(peer);
    close(p[0]);
}

/* The queue keeps order and descriptors while the peer does not read, refuses what is too much, and says when it is
 * empty again. */
static void test_a_peer_that_does_not_read(void **state)
{
    (void)state;
    struct chan *peer = chan_new(loop, dup(sock[1]), MSG_DIR_CM, &events, NULL);
    int p[2];
    assert_int_equal(pipe2(p, O_CLOEXEC), 0);
    static char json[30000];
    memset(json, 'j', sizeof json);
    struct msg m = {.type = MSG_HEALTH, .u.health = {true, json, sizeof json}};
    unsigned sent = 0, links = 0;
    while (chan_send(peer, &m, NULL, 0) == 0) {
        sent++;
        if (chan_pending(peer) > 0 && links < 3) {
            assert_int_equal(chan_send(peer, &link_msg, p, 2), 0);
            links++;
        }
        assert_true(sent < 200);
    }
    assert_int_equal(errno, ENOBUFS);
    assert_true(chan_pending(peer) > CHAN_OUT_MAX - 33000 && chan_pending(peer) <= CHAN_OUT_MAX);
    close(p[0]);
    close(p[1]);
    turns(60);
    assert_int_equal(seen.messages, sent + links);
    assert_int_equal(seen.n_fds, 2 * links);
    assert_int_equal(chan_pending(peer), 0);
    assert_int_equal(seen.drained, 1);
    chan_free(peer);
}

static void test_queued_descriptors_die_with_the_channel(void **state)
{
    (void)state;
    int fds[64], p[2];
    size_t before = fd_census(fds, 64);
    struct chan *peer = chan_new(loop, dup(sock[1]), MSG_DIR_CM, &events, NULL);
    assert_int_equal(pipe2(p, O_CLOEXEC), 0);
    static char json[30000];
    struct msg m = {.type = MSG_HEALTH, .u.health = {true, json, sizeof json}};
    while (chan_pending(peer) == 0)
        assert_int_equal(chan_send(peer, &m, NULL, 0), 0);
    assert_int_equal(chan_send(peer, &link_msg, p, 2), 0);
    close(p[0]);
    close(p[1]);
    chan_free(peer);
    assert_int_equal(fd_census(fds, 64), before);
}

static void test_lies_end_the_channel(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        size_t len;
        const char *why;
    } cases[] = {
        {"\xce\x00\x00\x00\x00", 5, "a broken frame"},
        {"\xce\x00\x01\x00\x01", 5, "a frame over the cap"},
        {"\xce\xff\xff\xff\xff", 5, "a frame over the cap"},
        {"GET / HTTP/1.1", 14, "a broken frame"},
        {"\xce\x00\x00\x00\x05\xdd\x17\xd7\x84\x00", 10, "not an array of two or more"},
        {"\xce\x00\x00\x00\x04\x93\x03\x01\x01", 9, "wrong direction"},
        {"\xce\x00\x00\x00\x03\x92\x63\x01", 8, "unknown type"},
        {"\xce\x00\x00\x00\x0d\x97\x06\x00\x00\x00\xa6ingest\x00", 17, NULL}, /* not whole: no verdict yet */
        {"\xce\x00\x00\x00\x0e\x97\x06\x00\x00\x00\xa6ingest\x00\x00", 19,
         "a message without its descriptors"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_equal(write(sock[1], cases[i].bytes, cases[i].len), cases[i].len);
        turns(2);
        assert_int_equal(seen.messages, 0);
        assert_int_equal(seen.gone, cases[i].why != NULL);
        if (cases[i].why != NULL) {
            assert_int_equal(seen.error, EPROTO);
            assert_string_equal(seen.why, cases[i].why);
            turns(2);
            assert_int_equal(seen.gone, 1);
            assert_int_equal(chan_send(chan, &(struct msg){.type = MSG_READY}, NULL, 0), -1);
            assert_int_equal(errno, EPIPE);
        }
        teardown(state);
        assert_int_equal(setup(state), 0);
    }
}

static void test_descriptors_nobody_asked_for(void **state)
{
    (void)state;
    char bytes[64];
    size_t len = packed(&(struct msg){.type = MSG_STOP}, bytes, sizeof bytes);
    assert_int_equal(fdpass_send(sock[1], bytes, len, sock, 1), len);
    turns(1);
    assert_int_equal(seen.gone, 1);
    assert_string_equal(seen.why, "descriptors that belong to no message");
}

static void test_end_and_torn_end(void **state)
{
    (void)state;
    char bytes[64];
    size_t len = packed(&(struct msg){.type = MSG_STOP}, bytes, sizeof bytes);
    assert_int_equal(write(sock[1], bytes, len), len);
    assert_int_equal(write(sock[1], bytes, 3), 3);
    fd_close(&sock[1]);
    chan_drain_input(chan); /* the last words, without the loop */
    assert_int_equal(seen.messages, 1);
    assert_int_equal(seen.gone, 1);
    assert_int_equal(seen.error, 0);
    assert_string_equal(seen.why, "closed in the middle of a message");
}

/* A write that finds the peer dead must not swallow what the peer had said before. */
static void test_last_words_after_epipe(void **state)
{
    (void)state;
    char bytes[64];
    size_t len = packed(&(struct msg){.type = MSG_STOP}, bytes, sizeof bytes);
    assert_int_equal(write(sock[1], bytes, len), len);
    fd_close(&sock[1]);
    assert_int_equal(chan_send(chan, &(struct msg){.type = MSG_READY}, NULL, 0), -1);
    assert_int_equal(errno, EPIPE);
    assert_int_equal(seen.gone, 0);
    turns(2);
    assert_int_equal(seen.messages, 1);
    assert_int_equal(seen.gone, 1);
}

static void test_freed_in_its_events(void **state)
{
    (void)state;
    char bytes[64];
    size_t len = packed(&(struct msg){.type = MSG_STOP}, bytes, sizeof bytes);
    len += packed(&(struct msg){.type = MSG_STOP}, bytes + len, sizeof bytes - len);
    seen.free_at_message = true;
    assert_int_equal(write(sock[1], bytes, len), len);
    turns(2);
    assert_int_equal(seen.messages, 1);
    assert_null(chan);
    teardown(state);
    assert_int_equal(setup(state), 0);
    seen.free_at_gone = true;
    fd_close(&sock[1]);
    turns(2);
    assert_int_equal(seen.gone, 1);
    assert_null(chan);
}

/* One busy peer does not keep the loop: a turn reads a bounded amount. */
static void test_reading_is_bounded_per_turn(void **state)
{
    (void)state;
    char bytes[64];
    size_t len = packed(&(struct msg){.type = MSG_STOP}, bytes, sizeof bytes);
    int size = 8 << 20;
    (void)setsockopt(sock[1], SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof size);
    static char many[64u << 10];
    size_t n = 0;
    for (; n + len <= sizeof many; n += len)
        memcpy(many + n, bytes, len);
    size_t sent = 0;
    ssize_t w;
    while (sent < 4u << 20 && (w = write(sock[1], many, n)) == (ssize_t)n)
        sent += n;
    turns(1);
    assert_true(seen.messages > 0 && seen.messages <= (256u << 10) / len + 1);
    while (seen.messages < sent / len && seen.gone == 0)
        turns(1);
    assert_int_equal(seen.gone, 0);
}

static void test_flush_waits_only_so_long(void **state)
{
    (void)state;
    struct chan *peer = chan_new(loop, dup(sock[1]), MSG_DIR_CM, &events, NULL);
    static char json[30000];
    struct msg m = {.type = MSG_HEALTH, .u.health = {true, json, sizeof json}};
    while (chan_pending(peer) == 0)
        assert_int_equal(chan_send(peer, &m, NULL, 0), 0);
    chan_flush(peer, 20);
    assert_true(chan_pending(peer) > 0);
    char sink[4096];
    while (chan_pending(peer) > 0) {
        while (read(sock[0], sink, sizeof sink) > 0)
            ;
        chan_flush(peer, 20);
    }
    chan_free(peer);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(test_byte_by_byte),
        T(test_descriptors_belong_to_their_message),
        T(test_sent_descriptors_are_copies),
        T(test_a_peer_that_does_not_read),
        T(test_queued_descriptors_die_with_the_channel),
        T(test_lies_end_the_channel),
        T(test_descriptors_nobody_asked_for),
        T(test_end_and_torn_end),
        T(test_last_words_after_epipe),
        T(test_freed_in_its_events),
        T(test_reading_is_bounded_per_turn),
        T(test_flush_waits_only_so_long),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
