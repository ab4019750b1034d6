/* http_client: classes of failure, reuse, caps, Retry-After, against a small scripted server on the same loop. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <curl/curl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/buf.h"
#include "common/base/list.h"
#include "common/base/sig.h"
#include "common/http/client.h"
#include "common/http/client_answer.h"

/* ---- the server: one script a test; each request is answered by the next piece of it */

struct script {
    const char *answer; /* NULL: never answers */
    size_t filler;      /* bytes of 'x' behind the answer */
    bool close;         /* afterwards */
    bool close_on_accept;
};

struct peer {
    struct list link;
    struct server *server;
    ev_io io;
    struct buf in;
};

struct server {
    struct ev_loop *loop;
    int fd;
    unsigned port;
    ev_io io;
    const struct script *script;
    size_t n_script, next;
    unsigned accepted, requests;
    struct buf last; /* the last request */
    struct list peers;
};

static void close_peer(struct peer *p)
{
    ev_io_stop(p->server->loop, &p->io);
    close(p->io.fd);
    buf_fini(&p->in);
    list_remove(&p->link);
    free(p);
}

static bool whole(const struct buf *b, size_t *len)
{
    const char *end = memmem(b->data, b->len, "\r\n\r\n", 4), *cl;

    if (end == NULL)
        return false;
    cl = memmem(b->data, (size_t)(end - b->data) + 2, "Content-Length:", 15);
    assert_non_null(cl);
    *len = (size_t)(end - b->data) + 4 + strtoul(cl + 15, NULL, 10);
    return b->len >= *len;
}

static void on_peer(struct ev_loop *loop, ev_io *io, int revents)
{
    struct peer *p = io->data;
    struct server *s = p->server;
    char part[65536];
    ssize_t n = read(io->fd, part, sizeof(part));
    size_t len;

    (void)loop, (void)revents;
    if (n <= 0) {
        close_peer(p);
        return;
    }
    assert_int_equal(buf_append(&p->in, part, (size_t)n), 0);
    while (whole(&p->in, &len)) {
        const struct script *step = &s->script[s->next < s->n_script ? s->next : s->n_script - 1];

        s->next++;
        s->requests++;
        buf_reset(&s->last);
        assert_int_equal(buf_append(&s->last, p->in.data, len), 0);
        buf_consume(&p->in, len);
        if (step->answer != NULL)
            assert_int_equal(write(io->fd, step->answer, strlen(step->answer)),
                             (ssize_t)strlen(step->answer));
        memset(part, 'x', sizeof(part));
        for (size_t left = step->filler; left > 0;) {
            ssize_t w = send(io->fd, part, left < sizeof(part) ? left : sizeof(part), MSG_DONTWAIT);

            if (w <= 0)
                break;
            left -= (size_t)w;
        }
        if (step->close) {
            close_peer(p);
            return;
        }
    }
}

static void on_accept(struct ev_loop *loop, ev_io *io, int revents)
{
    struct server *s = io->data;
    struct peer *p;
    int fd = accept(io->fd, NULL, NULL);

    (void)revents;
    assert_true(fd >= 0);
    s->accepted++;
    if (s->script[s->next < s->n_script ? s->next : s->n_script - 1].close_on_accept) {
        close(fd);
        return;
    }
    p = calloc(1, sizeof(*p));
    assert_non_null(p);
    p->server = s;
    buf_init(&p->in, 16u << 20);
    list_push_back(&s->peers, &p->link);
    ev_io_init(&p->io, on_peer, fd, EV_READ);
    p->io.data = p;
    ev_io_start(loop, &p->io);
}

static void server_start(struct server *s, struct ev_loop *loop, const struct script *script, size_t n)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(a);

    memset(s, 0, sizeof(*s));
    s->loop = loop;
    s->script = script;
    s->n_script = n;
    list_init(&s->peers);
    buf_init(&s->last, 16u << 20);
    s->fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(s->fd, (struct sockaddr *)&a, sizeof(a)), 0);
    assert_int_equal(listen(s->fd, 64), 0);
    assert_int_equal(getsockname(s->fd, (struct sockaddr *)&a, &len), 0);
    s->port = ntohs(a.sin_port);
    ev_io_init(&s->io, on_accept, s->fd, EV_READ);
    s->io.data = s;
    ev_io_start(loop, &s->io);
}

static void server_stop(struct server *s)
{
    struct peer *p;

    ev_io_stop(s->loop, &s->io);
    close(s->fd);
    list_foreach(p, &s->peers, struct peer, link) close_peer(p);
    buf_fini(&s->last);
}

/* ---- the calls */

struct seen {
    struct ev_loop *loop;
    unsigned done, wanted;
    enum http_error error;
    int status;
    int64_t retry_after_ms;
    bool reused;
    size_t body_len;
    char body[64], text[128];
};

static void on_done(struct http_call *call, const struct http_answer *a, void *arg)
{
    struct seen *s = arg;

    (void)call;
    s->done++;
    s->error = a->error;
    s->status = a->status;
    s->retry_after_ms = a->retry_after_ms;
    s->reused = a->reused;
    s->body_len = a->body_len;
    snprintf(s->text, sizeof(s->text), "%s", a->text);
    memcpy(s->body, a->body, a->body_len < sizeof(s->body) ? a->body_len : sizeof(s->body));
    if (s->done >= s->wanted)
        ev_break(s->loop, EVBREAK_ALL);
}

static const struct http_piece small[] = {{"{\"batch\":", 9}, {"[1,2]", 5}, {"", 0}, {"}", 1}};
static const char *const headers[] = {"Content-Type: application/json", "Idempotency-Key: b1", NULL};

static struct http_client *client(struct ev_loop *loop, uint64_t timeout_ms)
{
    const struct http_client_options o = {
        .connect_timeout_ms = 2000, .timeout_ms = timeout_ms, .response_max = 16, .connections_max = 8};

    return http_client_new(loop, &o);
}

static void post_one(struct ev_loop *loop, struct http_client *c, const char *url,
                     const struct http_piece *pieces, size_t n, struct seen *s)
{
    const struct http_call_options o = {.url = url, .headers = headers, .pieces = pieces, .n_pieces = n};

    *s = (struct seen){.loop = loop, .wanted = 1};
    assert_non_null(http_client_post(c, &o, on_done, s));
    assert_int_equal(s->done, 0);
    ev_run(loop, 0);
    assert_int_equal(s->done, 1);
    assert_int_equal(http_client_running(c), 0);
}

static void run_script(const struct script *script, size_t n, uint64_t timeout_ms, struct seen *s)
{
    struct ev_loop *loop = ev_loop_new(0);
    struct http_client *c = client(loop, timeout_ms);
    struct server srv;
    char url[64];

    server_start(&srv, loop, script, n);
    snprintf(url, sizeof(url), "http://127.0.0.1:%u/v1/batch", srv.port);
    post_one(loop, c, url, small, 4, s);
    http_client_free(c);
    server_stop(&srv);
    ev_loop_destroy(loop);
}

static void test_request_is_what_was_asked(void **state)
{
    static const struct script script[] = {{.answer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"}};
    struct ev_loop *loop = ev_loop_new(0);
    struct http_client *c = client(loop, 5000);
    struct server srv;
    struct seen s;
    char url[64];
    const char *text;

    (void)state;
    server_start(&srv, loop, script, 1);
    snprintf(url, sizeof(url), "http://127.0.0.1:%u/v1/batch?a=b", srv.port);
    setenv("http_proxy", "http://127.0.0.1:1", 1);
    post_one(loop, c, url, small, 4, &s);
    unsetenv("http_proxy");
    assert_int_equal(s.error, HTTP_ERROR_NONE);
    assert_int_equal(s.status, 200);
    assert_int_equal(s.body_len, 2);
    assert_false(s.reused);
    text = buf_cstr(&srv.last);
    assert_ptr_equal(strstr(text, "POST /v1/batch?a=b HTTP/1.1\r\n"), text);
    assert_non_null(strstr(text, "Content-Type: application/json\r\n"));
    assert_non_null(strstr(text, "Idempotency-Key: b1\r\n"));
    assert_null(strstr(text, "Expect"));
    assert_non_null(strstr(text, "\r\n\r\n{\"batch\":[1,2]}"));
    /* again, on the same connection */
    post_one(loop, c, url, small, 4, &s);
    assert_true(s.reused);
    assert_int_equal(srv.accepted, 1);
    http_client_free(c);
    server_stop(&srv);
    ev_loop_destroy(loop);
}

static void test_classes(void **state)
{
    static const struct {
        struct script script;
        uint64_t timeout_ms;
        enum http_error error;
        int status;
        int64_t retry_after_ms;
        size_t body_len;
    } rows[] = {
        {{.answer = "HTTP/1.1 204 No Content\r\n\r\n"}, 5000, HTTP_ERROR_NONE, 204, -1, 0},
        {{.answer = "HTTP/1.1 503 S\r\nRetry-After: 7\r\nContent-Length: 0\r\n\r\n"},
         5000,
         HTTP_ERROR_NONE,
         503,
         7000,
         0},
        {{.answer = "HTTP/1.1 302 F\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n"},
         5000,
         HTTP_ERROR_NONE,
         302,
         -1,
         0},
        {{.answer = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n1"},
         5000,
         HTTP_ERROR_NONE,
         200,
         -1,
         1},
        {{.answer = NULL}, 150, HTTP_ERROR_TIMEOUT, 0, -1, 0},
        {{.answer = NULL, .close = true}, 5000, HTTP_ERROR_CUT, 0, -1, 0},
        {{.answer = "HTTP/1.1 20", .close = true}, 5000, HTTP_ERROR_CUT, 0, -1, 0},
        {{.close_on_accept = true}, 5000, HTTP_ERROR_CUT, 0, -1, 0},
        {{.answer = "SSH-2.0-OpenSSH_9.2\r\n", .close = true}, 5000, HTTP_ERROR_PROTOCOL, 0, -1, 0},
        /* The status came; the rest of the answer was cut, or dribbles for ever: nobody knows. */
        {{.answer = "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n12345", .close = true},
         5000,
         HTTP_ERROR_CUT,
         0,
         -1,
         5},
        {{.answer = "HTTP/1.1 500 E\r\nContent-Length: 100\r\n\r\n12345"}, 150, HTTP_ERROR_TIMEOUT, 0, -1, 5},
        /* Longer than is kept; longer than is read. */
        {{.answer = "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n", .filler = 1000},
         5000,
         HTTP_ERROR_NONE,
         200,
         -1,
         16},
        {{.answer = "HTTP/1.1 400 OK\r\n\r\n", .filler = 1u << 20, .close = true},
         5000,
         HTTP_ERROR_NONE,
         400,
         -1,
         16},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct seen s;

        run_script(&rows[i].script, 1, rows[i].timeout_ms, &s);
        if (s.error != rows[i].error || s.status != rows[i].status)
            fail_msg("row %zu: error %s status %d text %s", i, http_error_name(s.error), s.status, s.text);
        assert_int_equal(s.retry_after_ms, rows[i].retry_after_ms);
        assert_int_equal(s.body_len, rows[i].body_len);
        assert_true((s.text[0] != '\0') == (s.error != HTTP_ERROR_NONE));
    }
}

static void test_nobody_there(void **state)
{
    static const struct {
        const char *url;
        enum http_error error;
    } rows[] = {
        {"http://127.0.0.1:1/", HTTP_ERROR_CONNECT},
        {"http://does-not-exist.invalid/", HTTP_ERROR_DNS},
        {"ftp://127.0.0.1/", HTTP_ERROR_PROTOCOL},
        {"http://[", HTTP_ERROR_OTHER},
    };
    struct ev_loop *loop = ev_loop_new(0);
    struct http_client *c = client(loop, 5000);

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct seen s;

        post_one(loop, c, rows[i].url, small, 4, &s);
        if (s.error != rows[i].error)
            fail_msg("%s: %s %s", rows[i].url, http_error_name(s.error), s.text);
        assert_int_equal(s.status, 0);
    }
    http_client_free(c);
    ev_loop_destroy(loop);
}

static void test_plain_text_server_under_https(void **state)
{
    static const struct script script[] = {{.answer = "HTTP/1.1 200 OK\r\n\r\n", .close = true}};
    struct ev_loop *loop = ev_loop_new(0);
    struct http_client *c = client(loop, 300);
    struct server srv;
    struct seen s;
    char url[64];

    (void)state;
    server_start(&srv, loop, script, 1);
    ev_io_stop(loop, &srv.io);
    snprintf(url, sizeof(url), "https://127.0.0.1:%u/", srv.port);
    post_one(loop, c, url, small, 4, &s); /* the handshake is never answered */
    assert_int_equal(s.error, HTTP_ERROR_TIMEOUT);
    http_client_free(c);
    server_stop(&srv);
    ev_loop_destroy(loop);
}

/* A big body goes out piece by piece, and once more when the idle connection turns out to be dead. */
static void test_big_body(void **state)
{
    static const struct script script[] = {
        {.answer = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"},
        {.answer = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", .close = true},
        {.answer = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"},
    };
    enum { BIG = 3000001 };
    struct ev_loop *loop = ev_loop_new(0);
    struct http_client *c = client(loop, 10000);
    struct server srv;
    struct seen s;
    char url[64], *big = malloc(BIG);
    struct http_piece pieces[] = {{"{", 1}, {big, BIG}, {"", 0}, {"}", 1}};
    const char *body;

    (void)state;
    for (size_t i = 0; i < BIG; i++)
        big[i] = (char)('a' + i % 23);
    server_start(&srv, loop, script, 3);
    snprintf(url, sizeof(url), "http://127.0.0.1:%u/", srv.port);
    for (int i = 0; i < 3; i++) {
        post_one(loop, c, url, pieces, 4, &s);
        assert_int_equal(s.error, HTTP_ERROR_NONE);
        body = memmem(srv.last.data, srv.last.len, "\r\n\r\n", 4);
        assert_non_null(body);
        body += 4;
        assert_int_equal(srv.last.len - (size_t)(body - srv.last.data), BIG + 2);
        assert_int_equal(body[0], '{');
        assert_memory_equal(body + 1, big, BIG);
        assert_int_equal(body[BIG + 1], '}');
    }
    assert_int_equal(srv.accepted, 2);
    http_client_free(c);
    server_stop(&srv);
    ev_loop_destroy(loop);
    free(big);
}

static void test_many_and_cancel(void **state)
{
    static const struct script answering[] = {{.answer = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"}};
    static const struct script silent[] = {{.answer = NULL}};
    struct ev_loop *loop = ev_loop_new(0);
    struct http_client *c = client(loop, 10000);
    struct server srv, mute;
    struct seen s = {.loop = loop, .wanted = 50}, never = {.loop = loop, .wanted = 1};
    char url[64], mute_url[64];
    const struct http_call_options o = {.url = url, .headers = headers, .pieces = small, .n_pieces = 4};
    const struct http_call_options m = {.url = mute_url, .headers = headers, .pieces = small, .n_pieces = 4};
    struct http_call *hung, *unsent;

    (void)state;
    server_start(&srv, loop, answering, 1);
    server_start(&mute, loop, silent, 1);
    snprintf(url, sizeof(url), "http://127.0.0.1:%u/", srv.port);
    snprintf(mute_url, sizeof(mute_url), "http://127.0.0.1:%u/", mute.port);
    hung = http_client_post(c, &m, on_done, &never);
    for (int i = 0; i < 50; i++)
        http_client_post(c, &o, on_done, &s);
    assert_int_equal(http_client_running(c), 51);
    ev_run(loop, 0);
    assert_int_equal(s.done, 50);
    assert_in_range(srv.accepted, 1, 8);
    unsent = http_client_post(c, &o, on_done, &never);
    http_call_cancel(unsent);
    assert_int_equal(http_client_running(c), 1);
    http_call_cancel(hung);
    assert_int_equal(http_client_running(c), 0);
    (void)http_client_post(c, &m, on_done, &never); /* freed while it runs */
    ev_run(loop, EVRUN_NOWAIT);
    http_client_free(c);
    assert_int_equal(never.done, 0);
    server_stop(&srv);
    server_stop(&mute);
    ev_loop_destroy(loop);
}

static void test_retry_after(void **state)
{
    static const struct {
        const char *value;
        int64_t ms;
    } rows[] = {
        {" 120\r\n", 120000},
        {"0", 0},
        {"1.5", 1500},
        {"  2 \r\n", 2000},
        {"", -1},
        {"\r\n", -1},
        {"-5", -1},
        {"soon", -1},
        {"0x10", -1},
        {"12s", -1},
        {"1e9999", -1},
        {"nan", -1},
        {"99999999999999999999", (int64_t)1e12},
        {" Sat, 21 Nov 2026 03:00:10 GMT\r\n", 10000},
        {"Saturday, 21-Nov-26 03:00:10 GMT", 10000},
        {"Sat Nov 21 03:00:10 2026", 10000},
        {"Sat, 21 Nov 2026 02:00:00 GMT", 0},
        {"Sat, 21 Nov 2026 03:00:10 GMT and a very long text behind it that goes on", -1},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        int64_t ms = http_client_answer_retry_after(rows[i].value, strlen(rows[i].value), 1795230000000u);

        if (ms != rows[i].ms)
            fail_msg("'%s' gives %lld", rows[i].value, (long long)ms);
    }
}

static void test_error_names(void **state)
{
    (void)state;
    assert_string_equal(http_error_name(HTTP_ERROR_CONNECT), "connect");
    assert_string_equal(http_error_name(HTTP_ERROR_CUT), "cut");
    assert_string_equal(http_error_name((enum http_error)99), "?");
    assert_int_equal(http_client_answer_class(CURLE_PEER_FAILED_VERIFICATION), HTTP_ERROR_TLS);
    assert_int_equal(http_client_answer_class(CURLE_SEND_ERROR), HTTP_ERROR_CUT);
    assert_int_equal(http_client_answer_class(CURLE_OUT_OF_MEMORY), HTTP_ERROR_OTHER);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_request_is_what_was_asked),
        cmocka_unit_test(test_classes),
        cmocka_unit_test(test_nobody_there),
        cmocka_unit_test(test_plain_text_server_under_https),
        cmocka_unit_test(test_big_body),
        cmocka_unit_test(test_many_and_cancel),
        cmocka_unit_test(test_retry_after),
        cmocka_unit_test(test_error_names),
    };

    sig_defaults();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
