/* server_reply - see server_int.h. Answers: their text, their order, and the one write that sends them.
 *
 * An answer that is first in its connection's order, with nothing else on the way, is written at once. One that has
 * others in front waits as text in its request; those of one read are gathered and leave in one write.
 */
#include "common/http/server_int.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "common/base/clock.h"

static const struct {
    int status;
    const char *text;
} statuses[] = {
    {200, "OK"},
    {201, "Created"},
    {202, "Accepted"},
    {204, "No Content"},
    {206, "Partial Content"},
    {301, "Moved Permanently"},
    {302, "Found"},
    {303, "See Other"},
    {304, "Not Modified"},
    {307, "Temporary Redirect"},
    {308, "Permanent Redirect"},
    {400, "Bad Request"},
    {401, "Unauthorized"},
    {403, "Forbidden"},
    {404, "Not Found"},
    {405, "Method Not Allowed"},
    {408, "Request Timeout"},
    {409, "Conflict"},
    {410, "Gone"},
    {411, "Length Required"},
    {412, "Precondition Failed"},
    {413, "Content Too Large"},
    {414, "URI Too Long"},
    {415, "Unsupported Media Type"},
    {417, "Expectation Failed"},
    {422, "Unprocessable Content"},
    {425, "Too Early"},
    {429, "Too Many Requests"},
    {431, "Request Header Fields Too Large"},
    {500, "Internal Server Error"},
    {501, "Not Implemented"},
    {502, "Bad Gateway"},
    {503, "Service Unavailable"},
    {504, "Gateway Timeout"},
    {505, "HTTP Version Not Supported"},
    {507, "Insufficient Storage"},
};

const char *http_status_text(int status)
{
    for (size_t i = 0; i < sizeof statuses / sizeof *statuses; i++)
        if (statuses[i].status == status)
            return statuses[i].text;
    return "Unknown";
}

static char *put(char *p, const char *s, size_t len)
{
    memcpy(p, s, len);
    return p + len;
}

static char *put_number(char *p, size_t v)
{
    char digits[20];
    size_t n = 0;
    do {
        digits[n++] = (char)('0' + v % 10);
        v /= 10;
    } while (v > 0);
    while (n > 0)
        *p++ = digits[--n];
    return p;
}

#define PUT(p, literal) put(p, literal, sizeof(literal) - 1)

/* On failure (ENOMEM, EMSGSIZE) the connection is doomed: half an answer must not leave. */
void http_reply_render(struct buf *out, const struct http_request *r, int status, const char *type,
                       const char *headers, const void *body, size_t len)
{
    const char *text = http_status_text(status);
    size_t text_len = strlen(text), type_len = type != NULL ? strlen(type) : 0, headers_len = strlen(headers);
    bool bodyless = status < 200 || status == 204 || status == 304;
    if (buf_reserve(out, 192 + text_len + type_len + headers_len + len) < 0) {
        r->conn->doomed = true;
        return;
    }
    char *p = out->data + out->len;
    p = PUT(p, "HTTP/1.1 ");
    p = put_number(p, (size_t)status);
    *p++ = ' ';
    p = put(p, text, text_len);
    if (type_len > 0) {
        p = PUT(p, "\r\nContent-Type: ");
        p = put(p, type, type_len);
    }
    if (!bodyless) {
        p = PUT(p, "\r\nContent-Length: ");
        p = put_number(p, len);
    }
    if (r->closes)
        p = PUT(p, "\r\nConnection: close");
    else if (r->http10)
        p = PUT(p, "\r\nConnection: keep-alive");
    p = PUT(p, "\r\n");
    p = put(p, headers, headers_len);
    p = PUT(p, "\r\n");
    if (len > 0 && !bodyless && !r->head_only)
        p = put(p, body, len);
    out->len = (size_t)(p - out->data);
}

/* Takes a request that is answered out of the order. */
static void retire(struct http_request *r)
{
    struct http_conn *c = r->conn;
    list_remove(&r->link);
    c->waiting--;
    http_request_free(r);
}

void http_reply_advance(struct http_conn *c, struct buf *out)
{
    struct http_request *r;
    while ((r = list_first(&c->requests, struct http_request, link)) != NULL && r->answer != NULL) {
        if (buf_append(out, r->answer, r->answer_len) < 0)
            c->doomed = true;
        retire(r);
    }
    if (r != NULL && r == c->current && r->wants_continue) {
        static const char go_on[] = "HTTP/1.1 100 Continue\r\n\r\n";
        r->wants_continue = false;
        if (r->body_len == 0 && buf_append(out, go_on, sizeof go_on - 1) < 0)
            c->doomed = true;
    }
}

/* The answer is decided: count it, and let go of what is needed no longer. */
static void decide(struct http_request *r, int status)
{
    struct http_server *s = r->conn->server;
    r->answered = true;
    if (r->handed)
        s->open--;
    if (s->events.answered != NULL)
        s->events.answered(r, status, clock_mono_us() - r->began_us, s->arg);
    http_request_drop_body(r);
}

/* Writes what scratch holds; what the socket does not take waits in out. */
static void write_now(struct http_conn *c, const struct buf *b)
{
    ssize_t n = http_conn_send(c, b->data, b->len);
    if (n < 0 && errno != EAGAIN && errno != EINTR) {
        c->doomed = true;
        return;
    }
    size_t done = n < 0 ? 0 : (size_t)n;
    if (done < b->len && buf_append(&c->out, b->data + done, b->len - done) < 0)
        c->doomed = true;
}

void http_reply(struct http_request *r, int status, const char *type, const char *headers, const void *body,
                size_t len)
{
    struct http_conn *c = r->conn;
    struct http_server *s = c->server;
    bool last = r->link.next == &c->requests;
    decide(r, status);
    if (s->draining && last && c->state == HTTP_STATE_HEAD) {
        c->state = HTTP_STATE_STOP;
        c->linger = true; /* the next request may be on its way */
    }
    if (c->state == HTTP_STATE_STOP && last)
        r->closes = true;
    bool first = r->link.prev == &c->requests;
    if (!first) {
        struct buf own;
        buf_init(&own, HTTP_OUT_MAX);
        http_reply_render(&own, r, status, type, headers, body, len);
        r->answer = buf_take(&own, &r->answer_len);
        if (c->doomed)
            http_conn_settle_soon(c);
        return;
    }
    bool at_once = s->corked != c && last && c->out.len == 0 && !c->doomed;
    struct buf *out = at_once ? &s->scratch : s->corked == c ? &s->batch : &c->out;
    http_reply_render(out, r, status, type, headers, body, len);
    retire(r);
    http_reply_advance(c, out);
    if (at_once && !c->doomed)
        write_now(c, &s->scratch);
    buf_reset(&s->scratch);
    if (s->corked == c)
        return;
    if (at_once && !c->doomed && c->out.len == 0 && c->state == HTTP_STATE_HEAD && c->in_len == 0 &&
        (c->events & EV_READ))
        http_timer_arm(c, HTTP_TIMER_IDLE);
    else
        http_conn_settle_soon(c);
}

void http_cut(struct http_request *r)
{
    struct http_conn *c = r->conn;
    r->answered = true;
    if (r->handed)
        c->server->open--;
    retire(r);
    c->doomed = true;
    http_conn_settle_soon(c);
}
