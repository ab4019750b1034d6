/* http_fuzz - bytes to the HTTP layer through a socket pair, once whole and once in pieces: the answers must be the same
 * bytes, well formed, and nothing may stay behind (memory, budget, connections).
 *
 * The first byte of the input seeds the lengths of the pieces.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/buf.h"
#include "common/http/server_int.h"

#define CHECK(cond)                                                                                          \
    do {                                                                                                     \
        if (!(cond)) {                                                                                       \
            fprintf(stderr, "failed: %s\n", #cond);                                                          \
            abort();                                                                                         \
        }                                                                                                    \
    } while (0)

static unsigned open_requests;
static struct http_request *held[16]; /* answered when nothing else goes on */
static unsigned n_held;

/* The answer says everything that was understood. */
static void on_request(struct http_request *r, void *arg)
{
    const struct http_header *headers;
    size_t len, n = http_request_headers(r, &headers);
    const char *body = http_request_body(r, &len);
    struct buf text;
    char value[32];
    (void)arg;
    buf_init(&text, 1u << 20);
    buf_printf(&text, "%s %s %s\n", http_request_method(r), http_request_path(r), http_request_query(r));
    for (size_t i = 0; i < n; i++) {
        CHECK(strlen(headers[i].value) == headers[i].value_len);
        CHECK(strpbrk(headers[i].value, "\r\n") == NULL && strpbrk(headers[i].name, "\r\n: \t") == NULL);
        buf_printf(&text, "%s=%s\n", headers[i].name, headers[i].value);
    }
    buf_append(&text, body, len);
    (void)http_query_get(http_request_query(r), "a", value, sizeof value);
    if (strcmp(http_request_path(r), "/h") == 0 && n_held < 16) {
        held[n_held++] = r;
        open_requests++;
        http_request_drop_body(r);
    } else {
        http_reply(r, 200, "text/plain", "", text.data, text.len);
    }
    buf_fini(&text);
}

/* The last first: the layer has to put them in order. */
static void answer_held(void)
{
    while (n_held > 0) {
        open_requests--;
        http_reply(held[--n_held], 200, "text/plain", "", "held", 4);
    }
}

static void on_aborted(struct http_request *r, void *arg)
{
    (void)arg;
    for (unsigned i = 0; i < n_held; i++)
        if (held[i] == r) {
            memmove(&held[i], &held[i + 1], (--n_held - i) * sizeof *held);
            open_requests--;
            return;
        }
    CHECK(false); /* it was not open */
}

static void read_answers(int fd, struct buf *out, bool *eof)
{
    char piece[16384];
    ssize_t n;
    while ((n = recv(fd, piece, sizeof piece, MSG_DONTWAIT)) > 0)
        CHECK(buf_append(out, piece, (size_t)n) == 0);
    *eof = n == 0 || errno != EAGAIN;
}

/* drain: in the middle of it the server is told to end. */
static void run(struct ev_loop *loop, const char *p, size_t n, unsigned seed, bool drain, struct buf *out)
{
    size_t whole = n;
    static const struct http_limits limits = {.header_bytes = 2048,
                                              .body_bytes = 4096,
                                              .headers = 10,
                                              .connections = 10,
                                              .header_timeout_ms = 60000,
                                              .body_timeout_ms = 60000,
                                              .idle_timeout_ms = 60000,
                                              .pipelined = 4};
    static const struct http_server_events events = {.request = on_request, .aborted = on_aborted};
    struct http_budget budget = {.max = 1u << 20};
    struct sockaddr unix_peer = {.sa_family = AF_UNIX};
    int pair[2];
    bool eof = false;
    CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) == 0);
    struct http_server *s = http_server_new(loop, &limits, &budget, &events, NULL);
    const struct http_listener l = {.server = s};
    http_conn_new(&l, pair[1], &unix_peer);
    while (n > 0 && !eof) {
        size_t take = n;
        if (seed != 0) { /* mostly a few bytes, sometimes many */
            seed = seed * 1103515245 + 12345;
            take = 1 + (seed >> 16) % ((seed >> 28) % 4 == 0 ? 200 : 4);
            take = take < n ? take : n;
        }
        ssize_t sent = send(pair[0], p, take, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent > 0) {
            p += sent;
            n -= (size_t)sent;
        }
        if (drain && n < whole / 2) {
            http_server_drain(s);
            http_server_close_idle(s);
        }
        if (seed != 0 && (seed >> 20) % 8 == 0) {
            http_server_pause(s, true);
            ev_run(loop, EVRUN_NOWAIT);
            http_server_pause(s, false);
        }
        if (sent <= 0 || (seed >> 24) % 4 == 1)
            answer_held();
        ev_run(loop, EVRUN_NOWAIT);
        read_answers(pair[0], out, &eof);
    }
    shutdown(pair[0], SHUT_WR);
    for (int i = 0; i < 1000 && !eof; i++) {
        answer_held();
        ev_run(loop, EVRUN_NOWAIT);
        read_answers(pair[0], out, &eof);
    }
    CHECK(eof); /* whatever came: behind the client's end comes ours */
    close(pair[0]);
    http_server_free(s);
    CHECK(budget.used == 0);
    CHECK(open_requests == 0);
}

/* Whether "100 Continue" is sent depends on what has arrived by then. */
static void without_continue(struct buf *b)
{
    static const char text[] = "HTTP/1.1 100 Continue\r\n\r\n";
    char *at;
    while (b->len > 0 && (at = memmem(b->data, b->len, text, sizeof text - 1)) != NULL) {
        size_t behind = b->len - (size_t)(at - b->data) - (sizeof text - 1);
        memmove(at, at + sizeof text - 1, behind);
        b->len -= sizeof text - 1;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct ev_loop *loop;
    if (loop == NULL)
        loop = ev_loop_new(EVFLAG_AUTO);
    if (size < 1 || size > 16384)
        return 0;
    const char *text = (const char *)data + 1;
    struct buf whole, pieces;
    buf_init(&whole, 8u << 20);
    buf_init(&pieces, 8u << 20);
    run(loop, text, size - 1, 0, false, &whole);
    run(loop, text, size - 1, data[0] + 1u, true, &pieces);
    buf_reset(&pieces);
    run(loop, text, size - 1, data[0] + 1u, false, &pieces);
    without_continue(&whole);
    without_continue(&pieces);
    CHECK(whole.len == pieces.len && (whole.len == 0 || memcmp(whole.data, pieces.data, whole.len) == 0));
    CHECK(whole.len == 0 || memcmp(whole.data, "HTTP/1.1 ", 9) == 0);
    buf_fini(&whole);
    buf_fini(&pieces);
    return 0;
}
