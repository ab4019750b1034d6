/* http_server_test - the HTTP layer on real sockets: hostile requests as a table (whole and byte by byte), order,
 * limits, deadlines, aborts. Server and clients share one loop and one thread, so nothing is a matter of timing. */
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
    int last_status;
    char last_peer[64];
} t;

static void answer(struct http_request *r)
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

static void on_request(struct http_request *r, void *arg)
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

static void on_aborted(struct http_request *r, void *arg)
{
    (void)arg;
    t.aborted++;
    assert_ptr_equal(http_request_user(r), &t);
    for (size_t i = 0; i < t.n_held; i++)
        if (t.held[i] == r)
            memmove(&t.held[i], &t.held[i + 1], (--t.n_held - i) * sizeof *t.held);
}

static void on_answered(struct http_request *r, int status, uint64_t duration_us, void *arg)
{
    (void)arg;
    (void)duration_us;
    assert_non_null(http_request_path(r));
    t.answered++;
    t.last_status = status;
}

static const struct http_server_events events = {on_request, on_aborted, on_answered};

static struct http_limits limits(void)
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

static void start(const struct http_limits *l)
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

static int setup(void **state)
{
    (void)state;
    struct http_limits l = limits();
    start(&l);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    http_server_free(t.server);
    assert_int_equal(t.budget.used, 0);
    ev_loop_destroy(t.loop);
    return 0;
}

static void restart(const struct http_limits *l)
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

static void turn(void)
{
    ev_run(t.loop, EVRUN_NOWAIT);
}

static struct client client_new(void)
{
    struct client c = {.fd = addr_connect(&t.here, 1000)};
    assert_true(c.fd >= 0);
    buf_init(&c.in, 64u << 20);
    turn();
    return c;
}

static void client_end(struct client *c)
{
    if (c->fd >= 0)
        close(c->fd);
    c->fd = -1;
    buf_fini(&c->in);
    turn();
    turn();
}

/* Reads what is there. */
static void client_read(struct client *c)
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

static void client_send(struct client *c, const char *p, size_t n)
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

static void client_puts(struct client *c, const char *s)
{
    client_send(c, s, strlen(s));
}

/* Number of whole answers in the input; *status: of the last. Bodies go by Content-Length; HEAD is not counted so. */
static unsigned answers(const struct client *c, int *status)
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
static int client_await(struct client *c, unsigned want)
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

static void client_await_eof(struct client *c)
{
    uint64_t stop = clock_mono_ms() + PATIENCE_MS;
    while (!c->eof) {
        turn();
        client_read(c);
        assert_true(clock_mono_ms() < stop);
    }
}

static bool client_has(const struct client *c, const char *text)
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

/* ---- the table */

#define H "Host: x\r\n"

struct hostile {
    const char *name, *text;
    size_t len; /* 0: strlen */
    int status;
    bool open; /* the connection stays usable */
};

static const struct hostile table[] = {
    /* what must work */
    {"get", "GET / HTTP/1.1\r\n" H "\r\n", 0, 200, true},
    {"post", "POST / HTTP/1.1\r\n" H "Content-Length: 3\r\n\r\nabc", 0, 200, true},
    {"chunked", "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", 0, 200,
     true},
    {"chunked, upper case",
     "POST / HTTP/1.1\r\n" H "transfer-encoding: Chunked\r\n\r\nA\r\n0123456789\r\n0\r\n\r\n", 0, 200, true},
    {"chunk extension",
     "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n3;a=b;c=\"d\"\r\nabc\r\n0\r\n\r\n", 0, 200,
     true},
    {"trailer", "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX: y\r\n\r\n", 0,
     200, true},
    {"http/1.0", "GET / HTTP/1.0\r\n\r\n", 0, 200, false},
    {"http/1.0 keep-alive", "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", 0, 200, true},
    {"connection close", "GET / HTTP/1.1\r\n" H "Connection: close\r\n\r\n", 0, 200, false},
    {"connection close in a list", "GET / HTTP/1.1\r\n" H "Connection: x, close\r\n\r\n", 0, 200, false},
    {"empty lines in front", "\r\n\r\nGET / HTTP/1.1\r\n" H "\r\n", 0, 200, true},
    {"absolute form", "GET http://a.example/p?name=q HTTP/1.1\r\n" H "\r\n", 0, 200, true},
    {"absolute form without path", "GET http://a.example?name=q HTTP/1.1\r\n" H "\r\n", 0, 200, true},
    {"options *", "OPTIONS * HTTP/1.1\r\n" H "\r\n", 0, 200, true},
    {"empty header value", "GET / HTTP/1.1\r\n" H "X-Test:\r\n\r\n", 0, 200, true},
    {"white space around a value", "POST / HTTP/1.1\r\n" H "Content-Length: \t 3  \r\n\r\nabc", 0, 200, true},
    {"length 0", "POST / HTTP/1.1\r\n" H "Content-Length: 0\r\n\r\n", 0, 200, true},
    {"high bytes in a value", "GET / HTTP/1.1\r\n" H "X-Test: \xc3\xa9\xff\r\n\r\n", 0, 200, true},
    {"upgrade is passed over", "GET / HTTP/1.1\r\n" H "Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n", 0,
     200, true},
    {"expect in 1.0 is passed over",
     "POST / HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\nabc", 0, 200, false},
    /* framing */
    {"two lengths", "POST / HTTP/1.1\r\n" H "Content-Length: 3\r\nContent-Length: 4\r\n\r\nabc", 0, 400,
     false},
    {"two equal lengths", "POST / HTTP/1.1\r\n" H "Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc", 0, 400,
     false},
    {"length list", "POST / HTTP/1.1\r\n" H "Content-Length: 3, 3\r\n\r\nabc", 0, 400, false},
    {"length and chunked",
     "POST / HTTP/1.1\r\n" H "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 0, 400,
     false},
    {"chunked and length",
     "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n", 0, 400,
     false},
    {"negative length", "POST / HTTP/1.1\r\n" H "Content-Length: -1\r\n\r\n", 0, 400, false},
    {"signed length", "POST / HTTP/1.1\r\n" H "Content-Length: +3\r\n\r\nabc", 0, 400, false},
    {"hex length", "POST / HTTP/1.1\r\n" H "Content-Length: 0x3\r\n\r\nabc", 0, 400, false},
    {"empty length", "POST / HTTP/1.1\r\n" H "Content-Length:\r\n\r\n", 0, 400, false},
    {"length overflow", "POST / HTTP/1.1\r\n" H "Content-Length: 18446744073709551617\r\n\r\na", 0, 400,
     false},
    {"length with text", "POST / HTTP/1.1\r\n" H "Content-Length: 3a\r\n\r\nabc", 0, 400, false},
    {"length over the cap", "POST / HTTP/1.1\r\n" H "Content-Length: 20001\r\n\r\n", 0, 413, false},
    {"length far over the cap", "POST / HTTP/1.1\r\n" H "Content-Length: 9999999999999\r\n\r\n", 0, 413,
     false},
    {"xchunked", "POST / HTTP/1.1\r\n" H "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", 0, 400, false},
    {"chunkedx", "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunkedx\r\n\r\n0\r\n\r\n", 0, 400, false},
    {"identity", "POST / HTTP/1.1\r\n" H "Transfer-Encoding: identity\r\n\r\n0\r\n\r\n", 0, 400, false},
    {"chunked not last", "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n", 0, 400,
     false},
    {"chunked twice", "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n", 0, 400,
     false},
    {"two codings in two lines",
     "POST / HTTP/1.1\r\n" H "Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 0, 400,
     false},
    {"another coding before chunked",
     "POST / HTTP/1.1\r\n" H "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 0, 501, false},
    {"empty coding", "POST / HTTP/1.1\r\n" H "Transfer-Encoding:\r\n\r\n0\r\n\r\n", 0, 400, false},
    {"coding with a vertical tab",
     "POST / HTTP/1.1\r\n" H "Transfer-Encoding: \x0b"
     "chunked\r\n\r\n0\r\n\r\n",
     0, 400, false},
    {"chunked in http/1.0", "POST / HTTP/1.0\r\n" H "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 0, 400,
     false},
    {"space before colon", "POST / HTTP/1.1\r\n" H "Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n", 0, 400,
     false},
    {"tab before colon", "POST / HTTP/1.1\r\n" H "Content-Length\t: 3\r\n\r\nabc", 0, 400, false},
    /* lines */
    {"lone cr", "GET / HTTP/1.1\r\n" H "X: y\rContent-Length: 3\r\n\r\n", 0, 400, false},
    {"lone cr ends a head", "GET / HTTP/1.1\r\n" H "X: y\r\rGET / HTTP/1.1\r\n\r\n", 0, 400, false},
    {"lone cr in the request line", "GET /\r HTTP/1.1\r\n" H "\r\n", 0, 400, false},
    {"cr cr lf", "GET / HTTP/1.1\r\n" H "X: y\r\r\n\r\n", 0, 400, false},
    {"bare lf",
     "GET / HTTP/1.1\n"
     "Host: x\n\n",
     0, 400, false},
    {"one bare lf", "GET / HTTP/1.1\r\n" H "X: y\nZ: 1\r\n\r\n", 0, 400, false},
    {"bare lf ends a head", "GET / HTTP/1.1\r\n" H "X: y\r\n\n", 0, 400, false},
    {"obs-fold", "GET / HTTP/1.1\r\n" H "X: a\r\n b\r\n\r\n", 0, 400, false},
    {"obs-fold by tab", "GET / HTTP/1.1\r\n" H "X: a\r\n\tb\r\n\r\n", 0, 400, false},
    {"fold behind the request line", "GET / HTTP/1.1\r\n X: a\r\n" H "\r\n", 0, 400, false},
    {"nul in a header", "GET / HTTP/1.1\r\n" H "X: a\0b\r\n\r\n", 35, 400, false},
    {"nul in a name", "GET / HTTP/1.1\r\n" H "X\0Y: ab\r\n\r\n", 36, 400, false},
    {"nul in the target", "GET /\0x HTTP/1.1\r\n" H "\r\n", 29, 400, false},
    {"control byte in a value", "GET / HTTP/1.1\r\n" H "X: a\x01\r\n\r\n", 0, 400, false},
    {"del in a value", "GET / HTTP/1.1\r\n" H "X: a\x7f\r\n\r\n", 0, 400, false},
    {"no colon", "GET / HTTP/1.1\r\n" H "nonsense\r\n\r\n", 0, 400, false},
    {"empty name", "GET / HTTP/1.1\r\n" H ": x\r\n\r\n", 0, 400, false},
    {"space in a name", "GET / HTTP/1.1\r\n" H "a b: x\r\n\r\n", 0, 400, false},
    {"high byte in a name", "GET / HTTP/1.1\r\n" H "a\xe9: x\r\n\r\n", 0, 400, false},
    {"bracket in a name", "GET / HTTP/1.1\r\n" H "a[b]: x\r\n\r\n", 0, 400, false},
    {"many empty lines", "\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\nGET / HTTP/1.1\r\n" H "\r\n", 0, 400,
     false},
    /* Host */
    {"no host", "GET / HTTP/1.1\r\n\r\n", 0, 400, false},
    {"two hosts", "GET / HTTP/1.1\r\n" H "Host: y\r\n\r\n", 0, 400, false},
    {"two equal hosts", "GET / HTTP/1.1\r\n" H H "\r\n", 0, 400, false},
    {"host with a space", "GET / HTTP/1.1\r\nHost: a b\r\n\r\n", 0, 400, false},
    {"host with a path", "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", 0, 400, false},
    {"host list", "GET / HTTP/1.1\r\nHost: a, b\r\n\r\n", 0, 400, false},
    /* request line */
    {"preface of HTTP/2.0", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 0, 505, false},
    {"version 2.0", "GET / HTTP/2.0\r\n" H "\r\n", 0, 505, false},
    {"version 0.9", "GET / HTTP/0.9\r\n" H "\r\n", 0, 505, false},
    {"version 1.2", "GET / HTTP/1.2\r\n" H "\r\n", 0, 505, false},
    {"no version", "GET /\r\n\r\n", 0, 400, false},
    {"version nonsense", "GET / HTTX/1.1\r\n" H "\r\n", 0, 400, false},
    {"lower case http", "GET / http/1.1\r\n" H "\r\n", 0, 400, false},
    {"version of two digits", "GET / HTTP/1.11\r\n" H "\r\n", 0, 400, false},
    {"text behind the version", "GET / HTTP/1.1 x\r\n" H "\r\n", 0, 400, false},
    {"method nonsense", "FOO / HTTP/1.1\r\n" H "\r\n", 0, 501, false},
    {"lower case method", "get / HTTP/1.1\r\n" H "\r\n", 0, 501, false},
    {"method with a colon", "GE:T / HTTP/1.1\r\n" H "\r\n", 0, 400, false},
    {"connect", "CONNECT a:443 HTTP/1.1\r\n" H "\r\n", 0, 501, false},
    {"rtsp method", "DESCRIBE / HTTP/1.1\r\n" H "\r\n", 0, 501, false},
    {"leading space", " GET / HTTP/1.1\r\n" H "\r\n", 0, 400, false},
    {"no target", "GET  HTTP/1.1\r\n" H "\r\n", 0, 400, false},
    {"relative target", "GET x HTTP/1.1\r\n" H "\r\n", 0, 400, false},
    {"space in the target", "GET /a b HTTP/1.1\r\n" H "\r\n", 0, 400, false},
    {"tab in the target", "GET /a\tb HTTP/1.1\r\n" H "\r\n", 0, 400, false},
    {"high byte in the target", "GET /\xff HTTP/1.1\r\n" H "\r\n", 0, 400, false},
    {"fragment", "GET /#x HTTP/1.1\r\n" H "\r\n", 0, 400, false},
    {"tls hello", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 15, 400, false},
    {"only garbage", "\x01\x02\x03\r\n\r\n", 0, 400, false},
    /* chunks */
    {"chunk size overflow",
     "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\nabc", 0, 413, false},
    {"chunk over the cap", "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n4E21\r\nabc", 0, 413,
     false},
    {"chunk size of zeros",
     "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n0000000000000000\r\n\r\n", 0, 400, false},
    {"negative chunk", "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n-3\r\nabc\r\n0\r\n\r\n", 0,
     400, false},
    {"chunk size 0x3", "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n0x3\r\nabc\r\n0\r\n\r\n", 0,
     400, false},
    {"empty chunk size", "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n\r\n", 0, 400, false},
    {"chunk size with a space",
     "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n3 \r\nabc\r\n0\r\n\r\n", 0, 400, false},
    {"chunk size ends by lf", "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n3\nabc\r\n0\r\n\r\n",
     0, 400, false},
    {"chunk size ends by cr",
     "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n3\rXabc\r\n0\r\n\r\n", 0, 400, false},
    {"lf in an extension", "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n3;a\nabc\r\n0\r\n\r\n",
     0, 400, false},
    {"chunk longer than its size",
     "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n3\r\nabcd\r\n0\r\n\r\n", 0, 400, false},
    {"chunk ends by lf", "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\n0\r\n\r\n", 0,
     400, false},
    {"trailer folded", "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n0\r\nX: y\r\n z\r\n\r\n", 0,
     400, false},
    {"trailer without colon", "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n0\r\nX\r\n\r\n", 0,
     400, false},
    {"trailer ends by lf", "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n0\r\nX: y\n\r\n", 0,
     400, false},
    {"last line ends by cr", "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n0\r\n\rX", 0, 400,
     false},
    /* Expect */
    {"expect nonsense", "POST / HTTP/1.1\r\n" H "Expect: 200-ok\r\nContent-Length: 3\r\n\r\nabc", 0, 417,
     false},
    {"expect over the cap",
     "POST / HTTP/1.1\r\n" H "Expect: 100-continue\r\nContent-Length: 99999999\r\n\r\n", 0, 413, false},
};

/* Sends the text, checks the answer, and whether the connection goes on with another request or ends. */
static void run_row(const char *name, const char *text, size_t len, int status, bool open, bool bytewise)
{
    struct client c = client_new();
    unsigned requests = t.requests;
    if (bytewise)
        for (size_t i = 0; i < len; i++)
            client_send(&c, text + i, 1);
    else
        client_send(&c, text, len);
    int got = client_await(&c, 1);
    if (got != status)
        fail_msg("%s%s: %d instead of %d", name, bytewise ? ", byte by byte" : "", got, status);
    if (t.requests - requests != (status == 200))
        fail_msg("%s: %u requests reached the handler", name, t.requests - requests);
    if (open) {
        client_puts(&c, "GET /next HTTP/1.1\r\nHost: x\r\n\r\n");
        assert_int_equal(client_await(&c, 2), 200);
        assert_true(client_has(&c, "GET /next|"));
    } else {
        assert_true(client_has(&c, "\r\nConnection: close\r\n"));
        client_await_eof(&c);
        if (c.reset)
            fail_msg("%s: reset", name);
    }
    client_end(&c);
    await(http_server_connections(t.server) == 0);
    assert_int_equal(t.budget.used, 0);
}

static void test_table(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        const struct hostile *h = &table[i];
        size_t len = h->len > 0 ? h->len : strlen(h->text);
        run_row(h->name, h->text, len, h->status, h->open, false);
        run_row(h->name, h->text, len, h->status, h->open, true);
    }
}

/* Requests that are made: caps on the head. */
static void test_caps(void **state)
{
    (void)state;
    static const struct {
        const char *name, *before, *repeated, *after;
        unsigned times;
        int status;
    } rows[] = {
        {"uri at the cap of the head", "GET /", "x", " HTTP/1.1\r\n" H "\r\n", 4000, 200},
        {"uri too long", "GET /", "x", " HTTP/1.1\r\n" H "\r\n", 5000, 414},
        {"uri without end", "GET /", "x", "", 300000, 414},
        {"huge header", "GET / HTTP/1.1\r\n" H "X: ", "y", "\r\n\r\n", 5000, 431},
        {"header without end", "GET / HTTP/1.1\r\n" H "X: ", "y", "", 300000, 431},
        {"many short headers", "GET / HTTP/1.1\r\n" H, "X: y\r\n", "\r\n", 19, 200},
        {"too many headers", "GET / HTTP/1.1\r\n" H, "X: y\r\n", "\r\n", 20, 431},
        {"headers without end", "GET / HTTP/1.1\r\n" H, "X: y\r\n", "", 100000, 431},
        {"method without end", "", "G", "", 10000, 414},
        {"chunk extension flood", "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n3;", "x", "",
         100000, 431},
        {"chunk extensions by the way", "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n",
         "1;abcdefghi\r\nx\r\n", "", 500, 431},
        {"trailer flood", "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n0\r\n", "X: y\r\n",
         "\r\n", 2000, 431},
        {"tiny chunks", "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n", "1\r\nx\r\n",
         "0\r\n\r\n", 5000, 200},
        {"chunks over the cap", "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n",
         "5\r\nabcde\r\n", "0\r\n\r\n", 4001, 413},
        {"body at the cap", "POST / HTTP/1.1\r\n" H "Content-Length: 20000\r\n\r\n", "x", "", 20000, 200},
        {"body over the cap, all sent", "POST / HTTP/1.1\r\n" H "Content-Length: 3000000\r\n\r\n", "x", "",
         3000000, 413},
    };
    struct buf text;
    buf_init(&text, 8u << 20);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        buf_reset(&text);
        buf_puts(&text, rows[i].before);
        for (unsigned n = 0; n < rows[i].times; n++)
            buf_puts(&text, rows[i].repeated);
        buf_puts(&text, rows[i].after);
        run_row(rows[i].name, text.data, text.len, rows[i].status, rows[i].status == 200, false);
        if (text.len < 10000)
            run_row(rows[i].name, text.data, text.len, rows[i].status, rows[i].status == 200, true);
    }
    buf_fini(&text);
}

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
    struct client idle = client_new(), busy = client_new(), half = client_new();
    client_puts(&idle, "GET / HTTP/1.1\r\n" H "\r\n");
    client_await(&idle, 1);
    client_puts(&busy, "GET /hold HTTP/1.1\r\n" H "\r\n");
    client_puts(&half, "POST / HTTP/1.1\r\n" H "Content-Length: 5\r\n\r\nab");
    await(t.n_held == 1);
    http_server_drain(t.server);
    client_await_eof(&idle);
    assert_int_equal(addr_connect(&t.here, 1000), -1);
    for (int i = 0; i < 10; i++)
        turn();
    assert_int_equal(http_server_connections(t.server), 2);
    http_reply(t.held[0], 200, NULL, "", "x", 1);
    t.n_held = 0;
    assert_int_equal(client_await(&busy, 1), 200);
    assert_true(client_has(&busy, "Connection: close\r\n"));
    client_await_eof(&busy);
    client_puts(&half, "cde");
    assert_int_equal(client_await(&half, 1), 200);
    assert_true(client_has(&half, "Connection: close\r\n"));
    client_await_eof(&half);
    client_end(&idle);
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

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_table),
        T(test_caps),
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
        T(test_slow_reader),
        T(test_deadlines),
        T(test_budget),
        T(test_announced_length_is_not_charged),
        T(test_too_many_connections),
        T(test_out_of_descriptors),
        T(test_pause),
        T(test_drain),
        T(test_free_with_everything_open),
        T(test_answered_is_told),
        cmocka_unit_test(test_query),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
