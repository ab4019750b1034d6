/* http_server_fixture - the HTTP layer and its clients on real sockets, in one loop and one thread, so that nothing is a
 * matter of timing. For http_server_test.c, http_server_syntax_test.c and http_server_limits_test.c. */
#ifndef DRAY_TESTS_UNIT_HTTP_SERVER_FIXTURE_H
#define DRAY_TESTS_UNIT_HTTP_SERVER_FIXTURE_H

#include "common/http/server.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/base/addr.h"
#include "common/base/buf.h"
#include "common/base/clock.h"

#define BODY_MAX    20000
#define HEADER_MAX  4096
#define HELD_MAX    64
#define PATIENCE_MS 5000

static struct {
    struct ev_loop *loop;
    struct http_server *server;
    struct http_budget budget;
    struct addr here;
    struct http_request *held[HELD_MAX];
    size_t n_held;
    unsigned requests, aborted, answered;
    unsigned handshakes[HTTP_HANDSHAKES];
    int last_status;
    char last_peer[64];
} t;

static inline void answer(struct http_request *r)
{
    char text[8192], name[64] = "";
    size_t len;
    const char *body = http_request_body(r, &len);
    unsigned sum = 0;
    for (size_t i = 0; i < len; i++)
        sum = sum * 31 + (unsigned char)body[i];
    http_query_get(http_request_query(r), "name", name, sizeof name);
    const char *x = http_request_header(r, "x-test");
    int n = snprintf(text, sizeof text, "%s %s|%s|%s|%zu|%u", http_request_method(r), http_request_path(r),
                     name, x != NULL ? x : "", len, sum);
    http_reply(r, 200, "text/plain", "X-Dray: yes\r\n", text, (size_t)n);
}

static inline void on_request(struct http_request *r, void *arg)
{
    (void)arg;
    t.requests++;
    snprintf(t.last_peer, sizeof t.last_peer, "%s", http_request_peer(r));
    if (strcmp(http_request_path(r), "/hold") == 0) {
        assert_true(t.n_held < HELD_MAX);
        t.held[t.n_held++] = r;
        http_request_set_user(r, &t);
    } else if (strcmp(http_request_path(r), "/cut") == 0) {
        http_cut(r);
    } else if (strcmp(http_request_path(r), "/big") == 0) {
        char *big = calloc(1, 4u << 20);
        http_reply(r, 200, NULL, "", big, 4u << 20);
        free(big);
    } else if (strcmp(http_request_path(r), "/none") == 0) {
        http_reply(r, 204, NULL, "", NULL, 0);
    } else {
        answer(r);
    }
}

static inline void on_aborted(struct http_request *r, void *arg)
{
    (void)arg;
    t.aborted++;
    assert_ptr_equal(http_request_user(r), &t);
    for (size_t i = 0; i < t.n_held; i++)
        if (t.held[i] == r)
            memmove(&t.held[i], &t.held[i + 1], (--t.n_held - i) * sizeof *t.held);
}

static inline void on_answered(struct http_request *r, int status, uint64_t duration_us, void *arg)
{
    (void)arg;
    (void)duration_us;
    assert_non_null(http_request_path(r));
    t.answered++;
    t.last_status = status;
}

static inline void on_handshake(const char *listener, enum http_handshake result, uint64_t duration_us,
                                void *arg)
{
    (void)arg, (void)duration_us;
    assert_string_equal(listener, "test");
    t.handshakes[result]++;
}

static const struct http_server_events events = {on_request, on_aborted, on_answered, on_handshake};

static inline struct http_limits limits(void)
{
    return (struct http_limits){.header_bytes = HEADER_MAX,
                                .body_bytes = BODY_MAX,
                                .headers = 20,
                                .connections = 200,
                                .header_timeout_ms = 60000,
                                .body_timeout_ms = 60000,
                                .idle_timeout_ms = 60000,
                                .pipelined = 8};
}

static inline void start(const struct http_limits *l)
{
    struct addr a;
    memset(&t, 0, sizeof t);
    t.budget.max = 1u << 20;
    t.loop = ev_loop_new(EVFLAG_AUTO);
    t.server = http_server_new(t.loop, l, &t.budget, &events, NULL);
    assert_int_equal(addr_parse("127.0.0.1:0", &a), 0);
    int fd = addr_listen(&a, 512, 0);
    assert_true(fd >= 0);
    t.here.len = sizeof t.here.sa;
    assert_int_equal(getsockname(fd, (struct sockaddr *)&t.here.sa, &t.here.len), 0);
    assert_int_equal(http_server_listen(t.server, fd, "test"), 0);
}

static inline int setup(void **state)
{
    (void)state;
    struct http_limits l = limits();
    start(&l);
    return 0;
}

static inline int teardown(void **state)
{
    (void)state;
    http_server_free(t.server);
    assert_int_equal(t.budget.used, 0);
    ev_loop_destroy(t.loop);
    return 0;
}

static inline void restart(const struct http_limits *l)
{
    teardown(NULL);
    start(l);
}

/* ---- a client */

struct client {
    int fd;
    bool eof, reset;
    struct buf in;
};

static inline void turn(void)
{
    ev_run(t.loop, EVRUN_NOWAIT);
}

static inline struct client client_new(void)
{
    struct client c = {.fd = addr_connect(&t.here, 1000)};
    assert_true(c.fd >= 0);
    buf_init(&c.in, 64u << 20);
    turn();
    return c;
}

static inline void client_end(struct client *c)
{
    if (c->fd >= 0)
        close(c->fd);
    c->fd = -1;
    buf_fini(&c->in);
    turn();
    turn();
}

/* Reads what is there. */
static inline void client_read(struct client *c)
{
    for (;;) {
        assert_int_equal(buf_reserve(&c->in, 65536), 0);
        ssize_t n = recv(c->fd, c->in.data + c->in.len, 65536, MSG_DONTWAIT);
        if (n > 0) {
            c->in.len += (size_t)n;
            continue;
        }
        if (n == 0)
            c->eof = true;
        else if (errno != EAGAIN)
            c->eof = c->reset = true;
        return;
    }
}

static inline void client_send(struct client *c, const char *p, size_t n)
{
    uint64_t stop = clock_mono_ms() + PATIENCE_MS;
    while (n > 0) {
        ssize_t k = send(c->fd, p, n, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (k < 0 && errno == EAGAIN) {
            turn();
            assert_true(clock_mono_ms() < stop);
            continue;
        }
        if (k < 0)
            return; /* the server has closed: the answer tells */
        p += k;
        n -= (size_t)k;
    }
    turn();
}

static inline void client_puts(struct client *c, const char *s)
{
    client_send(c, s, strlen(s));
}

/* Number of whole answers in the input; *status: of the last. Bodies go by Content-Length; HEAD is not counted so. */
static inline unsigned answers(const struct client *c, int *status)
{
    unsigned n = 0;
    const char *p = c->in.data, *end = p + c->in.len;
    while (end - p > 12) {
        const char *body = memmem(p, (size_t)(end - p), "\r\n\r\n", 4);
        if (body == NULL)
            break;
        body += 4;
        const char *length = memmem(p, (size_t)(body - p), "Content-Length: ", 16);
        size_t len = length != NULL ? strtoul(length + 16, NULL, 10) : 0;
        if ((size_t)(end - body) < len)
            break;
        *status = atoi(p + 9);
        n++;
        p = body + len;
    }
    return n;
}

/* Turns the loop until the client has that many answers. */
static inline int client_await(struct client *c, unsigned want)
{
    uint64_t stop = clock_mono_ms() + PATIENCE_MS;
    int status = 0;
    for (;;) {
        turn();
        client_read(c);
        unsigned n = answers(c, &status);
        if (n >= want)
            return status;
        if (c->eof || clock_mono_ms() > stop)
            fail_msg("%u of %u answers%s: %.*s", n, want, c->eof ? ", then the end" : "", (int)c->in.len,
                     c->in.data);
    }
}

static inline void client_await_eof(struct client *c)
{
    uint64_t stop = clock_mono_ms() + PATIENCE_MS;
    while (!c->eof) {
        turn();
        client_read(c);
        assert_true(clock_mono_ms() < stop);
    }
}

static inline bool client_has(const struct client *c, const char *text)
{
    return memmem(c->in.data, c->in.len, text, strlen(text)) != NULL;
}

#define await(cond)                                                                                          \
    do {                                                                                                     \
        uint64_t stop_ = clock_mono_ms() + PATIENCE_MS;                                                      \
        while (!(cond)) {                                                                                    \
            turn();                                                                                          \
            if (clock_mono_ms() > stop_)                                                                     \
                fail_msg("never: %s", #cond);                                                                \
        }                                                                                                    \
    } while (0)

#define H "Host: x\r\n"

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

#endif
