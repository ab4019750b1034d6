/* http_server_test - what the handler sees, the order of answers, clients that go away. */
#include "tests/unit/http_server_fixture.h"

static void test_what_the_handler_sees(void **state)
{
    (void)state;
    static const struct {
        const char *request, *answer;
    } rows[] = {
        {"GET /a%20b?x=1&name=J%C3%BCrg+M&y HTTP/1.1\r\n" H "X-TEST:  v w \t\r\n\r\n",
         "GET /a%20b|J\xc3\xbcrg M|v w|0|0"},
        {"GET http://h/p/q?name=n HTTP/1.1\r\n" H "\r\n", "GET /p/q|n||0|0"},
        {"GET https://h?name=n HTTP/1.1\r\n" H "\r\n", "GET /|n||0|0"},
        {"PUT /?name= HTTP/1.1\r\n" H "Content-Length: 2\r\n\r\nab", "PUT /|||2|3105"},
        {"PUT / HTTP/1.1\r\n" H
         "X-Test: first\r\nx-test: second\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n1\r\nb\r\n0\r\n\r\n",
         "PUT /||first|2|3105"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct client c = client_new();
        client_puts(&c, rows[i].request);
        client_await(&c, 1);
        if (!client_has(&c, rows[i].answer))
            fail_msg("%.*s", (int)c.in.len, c.in.data);
        assert_true(client_has(&c, "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n"));
        assert_true(client_has(&c, "X-Dray: yes\r\n"));
        assert_string_equal(t.last_peer, "127.0.0.1");
        client_end(&c);
    }
}

static void test_head_and_204(void **state)
{
    (void)state;
    struct client c = client_new();
    client_puts(&c, "HEAD / HTTP/1.1\r\n" H "\r\n");
    await((client_read(&c), client_has(&c, "\r\n\r\n")));
    assert_true(client_has(&c, "Content-Length: 12\r\n"));
    assert_memory_equal(c.in.data + c.in.len - 4, "\r\n\r\n", 4);
    buf_reset(&c.in);
    client_puts(&c, "GET /none HTTP/1.1\r\n" H "\r\n");
    assert_int_equal(client_await(&c, 1), 204);
    assert_false(client_has(&c, "Content-Length"));
    client_end(&c);
}

static void test_pipelining(void **state)
{
    (void)state;
    struct buf text;
    buf_init(&text, 1u << 20);
    for (int i = 0; i < 40; i++) /* five times the cap */
        buf_printf(&text, "POST /%d HTTP/1.1\r\n" H "Content-Length: 5\r\n\r\nabcde", i);
    struct client c = client_new();
    client_send(&c, text.data, text.len);
    client_await(&c, 40);
    const char *at = c.in.data;
    for (int i = 0; i < 40; i++) {
        char want[32];
        snprintf(want, sizeof want, "POST /%d|", i);
        at = strstr(at, want);
        assert_non_null(at);
    }
    client_end(&c);
    buf_fini(&text);
}

/* Held requests are answered in the order of the requests, whatever order the handler takes. */
static void test_order(void **state)
{
    (void)state;
    struct client c = client_new();
    for (int i = 0; i < 3; i++)
        client_puts(&c, "GET /hold?name=abc HTTP/1.1\r\n" H "\r\n");
    client_puts(&c, "GET /direct HTTP/1.1\r\n" H "\r\n");
    await(t.requests == 4);
    assert_int_equal(http_server_requests_open(t.server), 3);
    struct http_request *r[3] = {t.held[0], t.held[1], t.held[2]};
    http_reply(r[2], 202, NULL, "", "third", 5);
    http_reply(r[1], 201, NULL, "", "second", 6);
    turn();
    client_read(&c);
    assert_int_equal(c.in.len, 0);
    http_reply(r[0], 200, NULL, "", "first", 5);
    t.n_held = 0;
    client_await(&c, 4);
    const char *first = strstr(c.in.data, "first"), *second = strstr(c.in.data, "second"),
               *third = strstr(c.in.data, "third");
    assert_true(first != NULL && second > first && third > second &&
                strstr(c.in.data, "GET /direct") > third);
    assert_int_equal(http_server_requests_open(t.server), 0);
    client_end(&c);
}

/* Over the cap of unanswered requests nothing more reaches the handler until one is answered. */
static void test_pipeline_cap(void **state)
{
    (void)state;
    struct client c = client_new();
    for (int i = 0; i < 20; i++)
        client_puts(&c, "POST /hold HTTP/1.1\r\n" H "Content-Length: 2\r\n\r\nab");
    for (int i = 0; i < 20; i++)
        turn();
    assert_int_equal(t.n_held, 8);
    unsigned done = 0;
    while (done < 20) {
        await(t.n_held > 0);
        assert_true(t.n_held <= 8);
        struct http_request *r = t.held[0];
        memmove(t.held, t.held + 1, --t.n_held * sizeof *t.held);
        http_reply(r, 200, NULL, "", "x", 1);
        done++;
    }
    client_await(&c, 20);
    client_end(&c);
}

/* A wrong request behind held ones: its answer comes in its turn, and ends the connection. */
static void test_refusal_waits_its_turn(void **state)
{
    (void)state;
    struct client c = client_new();
    client_puts(&c, "GET /hold HTTP/1.1\r\n" H "\r\nnonsense\r\n\r\nGET / HTTP/1.1\r\n" H "\r\n");
    await(t.n_held == 1);
    client_read(&c);
    assert_int_equal(c.in.len, 0);
    http_reply(t.held[0], 200, NULL, "", "x", 1);
    t.n_held = 0;
    assert_int_equal(client_await(&c, 2), 400);
    client_await_eof(&c);
    assert_int_equal(t.requests, 1);
    client_end(&c);
}

static void test_expect_continue(void **state)
{
    (void)state;
    struct client c = client_new();
    client_puts(&c, "POST / HTTP/1.1\r\n" H "Expect: 100-continue\r\nContent-Length: 3\r\n\r\n");
    await((client_read(&c), c.in.len > 0));
    assert_int_equal(c.in.len, 25);
    assert_memory_equal(c.in.data, "HTTP/1.1 100 Continue\r\n\r\n", 25);
    client_puts(&c, "abc");
    client_await(&c, 2);
    /* Behind a held request it waits until that is answered. */
    buf_reset(&c.in);
    client_puts(&c, "GET /hold HTTP/1.1\r\n" H "\r\nPOST / HTTP/1.1\r\n" H
                    "Expect: 100-continue\r\nContent-Length: 3\r\n\r\n");
    await(t.n_held == 1);
    turn();
    client_read(&c);
    assert_int_equal(c.in.len, 0);
    http_reply(t.held[0], 200, NULL, "", "x", 1);
    t.n_held = 0;
    assert_int_equal(client_await(&c, 2), 100);
    client_puts(&c, "abc");
    assert_int_equal(client_await(&c, 3), 200);
    /* With its body behind it there is nothing to wait for. */
    buf_reset(&c.in);
    client_puts(&c, "POST / HTTP/1.1\r\n" H "Expect: 100-continue\r\nContent-Length: 3\r\n\r\nabc");
    assert_int_equal(client_await(&c, 1), 200);
    assert_false(client_has(&c, "100 Continue"));
    client_end(&c);
}

static void test_half_close(void **state)
{
    (void)state;
    struct client c = client_new();
    client_puts(&c, "GET /hold HTTP/1.1\r\n" H "\r\n");
    shutdown(c.fd, SHUT_WR);
    await(t.n_held == 1);
    for (int i = 0; i < 10; i++)
        turn();
    assert_int_equal(t.aborted, 0);
    http_reply(t.held[0], 200, NULL, "", "late", 4);
    t.n_held = 0;
    assert_int_equal(client_await(&c, 1), 200);
    client_await_eof(&c);
    assert_false(c.reset);
    client_end(&c);

    c = client_new(); /* half a head, half a body */
    client_puts(&c, "GET / HTTP/1.1\r\nHo");
    shutdown(c.fd, SHUT_WR);
    assert_int_equal(client_await(&c, 1), 400);
    client_end(&c);
    c = client_new();
    client_puts(&c, "POST / HTTP/1.1\r\n" H "Content-Length: 5\r\n\r\nabc");
    shutdown(c.fd, SHUT_WR);
    assert_int_equal(client_await(&c, 1), 400);
    client_end(&c);
}

static void cut_hard(struct client *c)
{
    struct linger l = {.l_onoff = 1};
    setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &l, sizeof l);
    client_end(c);
}

static void test_reset_while_held(void **state)
{
    (void)state;
    struct client c = client_new();
    client_puts(&c, "GET /hold HTTP/1.1\r\n" H "\r\nGET /hold HTTP/1.1\r\n" H "\r\n");
    await(t.n_held == 2);
    cut_hard(&c);
    await(t.aborted == 2);
    assert_int_equal(t.n_held, 0);
    assert_int_equal(http_server_requests_open(t.server), 0);
    assert_int_equal(http_server_connections(t.server), 0);

    c = client_new(); /* the same with a connection that ends behind the request */
    client_puts(&c, "GET /hold HTTP/1.1\r\n" H "Connection: close\r\n\r\n");
    await(t.n_held == 1);
    cut_hard(&c);
    await(t.aborted == 3);

    c = client_new(); /* in the middle of a body: the handler never hears of it */
    client_puts(&c, "POST / HTTP/1.1\r\n" H "Content-Length: 5\r\n\r\nabc");
    unsigned before = t.requests;
    cut_hard(&c);
    await(http_server_connections(t.server) == 0);
    assert_int_equal(t.requests, before);
    assert_int_equal(t.aborted, 3);
}

static void test_cut(void **state)
{
    (void)state;
    struct client c = client_new();
    client_puts(&c,
                "GET /hold HTTP/1.1\r\n" H "\r\nGET /cut HTTP/1.1\r\n" H "\r\nGET / HTTP/1.1\r\n" H "\r\n");
    client_await_eof(&c);
    assert_int_equal(c.in.len, 0);
    assert_int_equal(t.requests, 2);
    assert_int_equal(t.aborted, 1);
    client_end(&c);
    c = client_new();
    client_puts(&c, "GET /hold HTTP/1.1\r\n" H "\r\n");
    await(t.n_held == 1);
    http_cut(t.held[0]);
    t.n_held = 0;
    client_await_eof(&c);
    assert_int_equal(t.aborted, 1);
    assert_int_equal(http_server_requests_open(t.server), 0);
    client_end(&c);
}

static void test_answered_is_told(void **state)
{
    (void)state;
    struct client c = client_new();
    client_puts(&c, "GET / HTTP/1.1\r\n" H "\r\nnonsense\r\n\r\n");
    client_await(&c, 2);
    assert_int_equal(t.answered, 2);
    assert_int_equal(t.last_status, 400);
    client_end(&c);
}

static void test_query(void **state)
{
    (void)state;
    static const struct {
        const char *query, *name, *value; /* NULL: not there */
    } rows[] = {
        {"a=1&b=2", "b", "2"},  {"a=1&b=2", "c", NULL}, {"a", "a", ""},
        {"a=", "a", ""},        {"", "a", NULL},        {"&&a=1", "a", "1"},
        {"a=x=y", "a", "x=y"},  {"%61=1", "a", "1"},    {"a=%", "a", "%"},
        {"a=%4", "a", "%4"},    {"a=%zz", "a", "%zz"},  {"a=+%2B", "a", " +"},
        {"ab=1&a=2", "a", "2"}, {"a=%00", "a", NULL},   {"a=0123456789", "a", NULL},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char value[10] = "";
        bool found = http_query_get(rows[i].query, rows[i].name, value, sizeof value);
        if (found != (rows[i].value != NULL) || (found && strcmp(value, rows[i].value) != 0))
            fail_msg("%s of %s: %s", rows[i].name, rows[i].query, value);
    }
}

static void test_query_pairs(void **state)
{
    (void)state;
    static const struct {
        const char *query, *pairs;
    } rows[] = {
        {"", ""},
        {"&&", ""},
        {"a=1&b=2", "a=1;b=2;"},
        {"a", "a=;"},
        {"a&b=", "a=;b=;"},
        {"=1", "=1;"},
        {"&a=b=c&", "a=b=c;"},
        {"%61+b=%3d%26", "a b==&;"},
        {"toolonganame=1&b=2", "=;b=2;"},
        {"a=toolongavalue&b=2", "=;b=2;"},
        {"a=%", "a=%;"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char name[8], value[8], got[256] = "";
        const char *q = rows[i].query;
        while (http_query_next(&q, name, sizeof name, value, sizeof value))
            snprintf(got + strlen(got), sizeof got - strlen(got), "%s=%s;", name, value);
        assert_string_equal(got, rows[i].pairs);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_what_the_handler_sees),
        T(test_head_and_204),
        T(test_pipelining),
        T(test_order),
        T(test_pipeline_cap),
        T(test_refusal_waits_its_turn),
        T(test_expect_continue),
        T(test_half_close),
        T(test_reset_while_held),
        T(test_cut),
        T(test_answered_is_told),
        cmocka_unit_test(test_query),
        cmocka_unit_test(test_query_pairs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
