/* http_server_limits_test - what the HTTP layer does when there is too much of something: slow clients, memory,
 * connections, descriptors; pausing, draining, the end. */
#include "tests/unit/http_server_fixture.h"

/* An answer that the socket does not take at once; then a client that never reads. */
static void test_slow_reader(void **state)
{
    (void)state;
    struct http_limits l = limits();
    l.body_timeout_ms = 100;
    restart(&l);
    struct client c = client_new();
    client_puts(&c, "GET /big HTTP/1.1\r\n" H "\r\nGET /after HTTP/1.1\r\n" H "\r\n");
    client_await(&c, 2);
    assert_true(c.in.len > 4u << 20);
    client_end(&c);
    c = client_new();
    for (int i = 0; i < 8; i++)
        client_puts(&c, "GET /big HTTP/1.1\r\n" H "\r\n");
    await(http_server_connections(t.server) == 0);
    client_end(&c);
}

static void test_deadlines(void **state)
{
    (void)state;
    struct http_limits l = limits();
    l.header_timeout_ms = 100;
    l.body_timeout_ms = 100;
    l.idle_timeout_ms = 200;
    restart(&l);
    struct client silent = client_new(), head = client_new(), body = client_new(), idle = client_new(),
                  held = client_new();
    client_puts(&body, "POST / HTTP/1.1\r\n" H "Content-Length: 1000\r\n\r\nabc");
    client_puts(&idle, "GET / HTTP/1.1\r\n" H "\r\n");
    client_puts(&held, "GET /hold HTTP/1.1\r\n" H "\r\n");
    client_await(&idle, 1);
    /* One byte now and then does not help. */
    uint64_t stop = clock_mono_ms() + PATIENCE_MS, next = 0;
    client_puts(&head, "GET / HTTP/1.1\r\n" H "X: ");
    while (!head.eof || !body.eof) {
        assert_true(clock_mono_ms() < stop);
        if (clock_mono_ms() >= next) {
            next = clock_mono_ms() + 5;
            (void)send(head.fd, "x", 1, MSG_NOSIGNAL);
            (void)send(body.fd, "x", 1, MSG_NOSIGNAL);
        }
        turn();
        client_read(&head);
        client_read(&body);
    }
    assert_true(client_has(&head, "408 Request Timeout"));
    assert_true(client_has(&body, "408 Request Timeout"));
    client_await_eof(&silent);
    assert_int_equal(silent.in.len, 0);
    size_t len = idle.in.len;
    client_await_eof(&idle);
    assert_int_equal(idle.in.len, len);
    assert_int_equal(t.n_held, 1); /* the wait for an answer is the handler's */
    http_reply(t.held[0], 200, NULL, "", "x", 1);
    t.n_held = 0;
    client_await(&held, 1);
    client_end(&silent);
    client_end(&head);
    client_end(&body);
    client_end(&idle);
    client_end(&held);
}

static void test_budget(void **state)
{
    (void)state;
    t.budget.max = 30000;
    struct client a = client_new(), b = client_new();
    client_puts(&a, "POST /hold HTTP/1.1\r\n" H "Content-Length: 15000\r\n\r\n");
    char piece[15000];
    memset(piece, 'x', sizeof piece);
    client_send(&a, piece, sizeof piece);
    await(t.n_held == 1);
    assert_true(t.budget.used > 15000 && t.budget.used <= 30000);
    client_puts(&b, "POST / HTTP/1.1\r\n" H "Content-Length: 15000\r\n\r\n");
    client_send(&b, piece, sizeof piece);
    assert_int_equal(client_await(&b, 1), 503);
    assert_true(client_has(&b, "Retry-After: 1\r\n"));
    client_end(&b);
    size_t used = t.budget.used, len;
    http_request_drop_body(t.held[0]);
    assert_true(t.budget.used <= used - 15000);
    http_request_body(t.held[0], &len);
    assert_int_equal(len, 0);
    b = client_new();
    client_puts(&b, "POST / HTTP/1.1\r\n" H "Content-Length: 15000\r\n\r\n");
    client_send(&b, piece, sizeof piece);
    assert_int_equal(client_await(&b, 1), 200);
    client_end(&b);
    http_reply(t.held[0], 200, NULL, "", "", 0);
    t.n_held = 0;
    client_await(&a, 1);
    client_end(&a);
    /* Nothing left at all: still an answer. */
    t.budget.max = 10;
    a = client_new();
    client_puts(&a, "GET / HTTP/1.1\r\n" H "\r\n");
    assert_int_equal(client_await(&a, 1), 503);
    client_end(&a);
    a = client_new();
    client_puts(&a, "GET / HTT");
    assert_int_equal(client_await(&a, 1), 503);
    client_end(&a);
}

/* A length that is announced and not sent costs nothing. */
static void test_announced_length_is_not_charged(void **state)
{
    (void)state;
    struct client c[20];
    for (int i = 0; i < 20; i++) {
        c[i] = client_new();
        client_puts(&c[i], "POST / HTTP/1.1\r\n" H "Content-Length: 20000\r\n\r\n");
    }
    for (int i = 0; i < 20; i++)
        turn();
    assert_int_equal(http_server_connections(t.server), 20);
    assert_true(t.budget.used < 20000);
    for (int i = 0; i < 20; i++)
        client_end(&c[i]);
}

static void test_too_many_connections(void **state)
{
    (void)state;
    struct http_limits l = limits();
    l.connections = 3;
    restart(&l);
    struct client c[3], more;
    for (int i = 0; i < 3; i++) {
        c[i] = client_new();
        client_puts(&c[i], "GET /hold HTTP/1.1\r\n" H "\r\n");
    }
    await(t.n_held == 3);
    more = client_new();
    assert_int_equal(client_await(&more, 1), 503);
    client_await_eof(&more);
    client_end(&more);
    /* An idle one makes room. */
    http_reply(t.held[1], 200, NULL, "", "x", 1);
    t.held[1] = t.held[2];
    t.n_held = 2;
    client_await(&c[1], 1);
    more = client_new();
    client_puts(&more, "GET / HTTP/1.1\r\n" H "\r\n");
    assert_int_equal(client_await(&more, 1), 200);
    client_await_eof(&c[1]);
    client_end(&more);
    for (int i = 0; i < 3; i++)
        client_end(&c[i]);
}

/* Without descriptors new connections are closed, nothing spins, and the old ones go on. */
static void test_out_of_descriptors(void **state)
{
    (void)state;
    struct rlimit before, low;
    struct client old = client_new(), fresh[4];
    int socks[4];
    for (int i = 0; i < 4; i++) /* the clients' own descriptors are taken before the limit falls */
        socks[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    getrlimit(RLIMIT_NOFILE, &before);
    int next = dup(0);
    close(next);
    low = before;
    low.rlim_cur = (rlim_t)next;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
    for (int i = 0; i < 4; i++) {
        fresh[i] = (struct client){.fd = socks[i]};
        buf_init(&fresh[i].in, 1u << 20);
        assert_int_equal(connect(socks[i], (struct sockaddr *)&t.here.sa, t.here.len), 0);
        client_await_eof(&fresh[i]);
    }
    client_puts(&old, "GET / HTTP/1.1\r\n" H "\r\n");
    assert_int_equal(client_await(&old, 1), 200);
    setrlimit(RLIMIT_NOFILE, &before);
    for (int i = 0; i < 4; i++)
        client_end(&fresh[i]);
    client_end(&old);
    old = client_new();
    client_puts(&old, "GET / HTTP/1.1\r\n" H "\r\n");
    assert_int_equal(client_await(&old, 1), 200);
    client_end(&old);
}

static void test_pause(void **state)
{
    (void)state;
    struct client c = client_new();
    http_server_pause(t.server, true);
    client_puts(&c, "GET / HTTP/1.1\r\n" H "\r\n");
    for (int i = 0; i < 20; i++)
        turn();
    assert_int_equal(t.requests, 0);
    struct client other = client_new();
    for (int i = 0; i < 20; i++)
        turn();
    assert_int_equal(http_server_connections(t.server), 1);
    http_server_pause(t.server, false);
    assert_int_equal(client_await(&c, 1), 200);
    client_puts(&other, "GET / HTTP/1.1\r\n" H "\r\n");
    assert_int_equal(client_await(&other, 1), 200);
    client_end(&c);
    client_end(&other);
}

static void test_drain(void **state)
{
    (void)state;
    struct client idle = client_new(), busy = client_new(), half = client_new(), late = client_new(),
                  here = client_new();
    client_puts(&idle, "GET / HTTP/1.1\r\n" H "\r\n");
    client_await(&idle, 1);
    client_puts(&late, "GET / HTTP/1.1\r\n" H "\r\n");
    client_await(&late, 1);
    client_puts(&busy, "GET /hold HTTP/1.1\r\n" H "\r\n");
    client_puts(&half, "POST / HTTP/1.1\r\n" H "Content-Length: 5\r\n\r\nab");
    await(t.n_held == 1);
    http_server_drain(t.server);
    assert_int_equal(addr_connect(&t.here, 1000), -1);
    for (int i = 0; i < 10; i++)
        turn();
    assert_int_equal(http_server_connections(t.server), 5);
    assert_int_equal(http_server_requests_partial(t.server), 1);
    client_puts(&late, "GET / HTTP/1.1\r\n" H "\r\n"); /* it was on its way */
    assert_int_equal(client_await(&late, 2), 200);
    assert_true(client_has(&late, "Connection: close\r\n"));
    client_await_eof(&late);
    client_end(&late);
    client_puts(&here, "GET / HTTP/1.1\r\n" H "\r\n"); /* and this one is here, and not read yet */
    http_server_close_idle(t.server);
    client_await_eof(&idle);
    assert_int_equal(client_await(&here, 1), 200);
    assert_true(client_has(&here, "Connection: close\r\n"));
    client_await_eof(&here);
    client_end(&here);
    client_puts(&idle, "GET / HTTP/1.1\r\n" H "\r\n"); /* after the end: no RST */
    for (int i = 0; i < 10; i++)
        turn();
    client_await_eof(&idle);
    client_end(&idle);
    await(http_server_connections(t.server) == 2);
    http_reply(t.held[0], 200, NULL, "", "x", 1);
    t.n_held = 0;
    assert_int_equal(client_await(&busy, 1), 200);
    assert_true(client_has(&busy, "Connection: close\r\n"));
    client_await_eof(&busy);
    client_puts(&half, "cde");
    assert_int_equal(client_await(&half, 1), 200);
    assert_true(client_has(&half, "Connection: close\r\n"));
    client_await_eof(&half);
    client_end(&busy);
    client_end(&half);
    assert_int_equal(http_server_connections(t.server), 0);
}

static void test_free_with_everything_open(void **state)
{
    (void)state;
    struct client c[4];
    for (int i = 0; i < 4; i++)
        c[i] = client_new();
    client_puts(&c[0],
                "GET /hold HTTP/1.1\r\n" H "\r\nGET /hold HTTP/1.1\r\n" H "\r\nGET / HTTP/1.1\r\n" H "\r\n");
    client_puts(&c[1], "GET / HT");
    client_puts(&c[2], "POST / HTTP/1.1\r\n" H "Content-Length: 5\r\n\r\nab");
    client_puts(&c[3], "nonsense\r\n\r\n");
    await(t.n_held == 2);
    http_server_free(t.server);
    t.server = NULL;
    assert_int_equal(t.aborted, 2);
    assert_int_equal(t.budget.used, 0);
    for (int i = 0; i < 4; i++) {
        close(c[i].fd);
        buf_fini(&c[i].in);
    }
}

/* A trickle keeps no connection: neither of a head nor of a body, and a fast one is not touched. */
static void test_minimum_rate(void **state)
{
    (void)state;
    struct http_limits l = limits();
    l.min_rate = 100000;
    l.rate_grace_ms = 100;
    restart(&l);
    struct client head = client_new(), body = client_new(), chunks = client_new(), mute = client_new();
    client_puts(&head, "GET / HTTP/1.1\r\nHost: x\r\n");
    client_puts(&body, "POST / HTTP/1.1\r\n" H "Content-Length: 20000\r\n\r\nabc");
    client_puts(&chunks, "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n");
    uint64_t stop = clock_mono_ms() + PATIENCE_MS;
    while (t.answered < 3) {
        turn();
        client_send(&body, "x", 1);
        assert_true(clock_mono_ms() < stop);
    }
    assert_int_equal(client_await(&head, 1), 408);
    assert_int_equal(client_await(&body, 1), 408);
    assert_int_equal(client_await(&chunks, 1), 408);
    assert_int_equal(t.requests, 0);
    client_puts(&mute,
                "GET / HTTP/1.1\r\n" H "\r\n"); /* it had sent nothing: that is header_timeout's matter */
    assert_int_equal(client_await(&mute, 1), 200);
    client_end(&head);
    client_end(&body);
    client_end(&chunks);
    client_end(&mute);
    l.min_rate = 0;
    restart(&l);
    struct client slow = client_new();
    client_puts(&slow, "GET / HTTP/1.1\r\n");
    uint64_t until = clock_mono_ms() + 300;
    while (clock_mono_ms() < until)
        turn();
    client_puts(&slow, H "\r\n");
    assert_int_equal(client_await(&slow, 1), 200);
    client_end(&slow);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_slow_reader),
        T(test_deadlines),
        T(test_budget),
        T(test_announced_length_is_not_charged),
        T(test_too_many_connections),
        T(test_out_of_descriptors),
        T(test_pause),
        T(test_drain),
        T(test_minimum_rate),
        T(test_free_with_everything_open),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
