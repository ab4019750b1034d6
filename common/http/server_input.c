/* server_input - see server_int.h. The way of the bytes of one connection through head and body to the handler.
 *
 * Bytes are read into the server's one buffer and used from there; only what cannot be used yet (a piece of a head,
 * requests over the cap) is kept with the connection, so one that stands idle costs its struct and nothing else.
 */
#include "common/http/server_int.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/mem.h"

static void keep_budget(struct http_conn *c, uint32_t cap)
{
    c->server->budget->used -= c->in_cap;
    c->server->budget->used += cap;
    c->in_cap = cap;
}

/* Keeps p[0..n) behind what is kept already. */
static int keep(struct http_conn *c, const char *p, size_t n)
{
    size_t need = c->in_len + n;
    if (need > c->in_cap) {
        size_t cap = c->in_cap > 0 ? c->in_cap : 128;
        while (cap < need)
            cap *= 2;
        if (c->server->budget->used + cap - c->in_cap > c->server->budget->max)
            return -1;
        char *in = mem_try_resize(c->in, cap);
        if (in == NULL)
            return -1;
        c->in = in;
        keep_budget(c, (uint32_t)cap);
    }
    memcpy(c->in + c->in_len, p, n);
    c->in_len = (uint32_t)need;
    return 0;
}

void http_input_forget(struct http_conn *c)
{
    free(c->in);
    c->in = NULL;
    c->in_len = 0;
    keep_budget(c, 0);
}

void http_input_refuse(struct http_conn *c, int status)
{
    char body[64];
    snprintf(body, sizeof body, "%s\n", http_status_text(status));
    http_input_refuse_text(c, status, body);
}

void http_input_refuse_text(struct http_conn *c, int status, const char *text)
{
    static const char retry[] = "Retry-After: 1\r\n";
    struct http_request *r = c->current;
    c->state = HTTP_STATE_STOP;
    c->linger = true;
    c->current = NULL;
    http_input_forget(c);
    if (r == NULL) {
        r = http_request_new(c, 0, 1);
        if (r == NULL) { /* an answer is owed even over the budget; it is a few bytes */
            r = xcalloc(1, sizeof *r);
            r->conn = c;
            r->method = r->path = r->query = "";
        }
        r->began_us = clock_mono_us();
        list_push_back(&c->requests, &r->link);
        c->waiting++;
    }
    r->closes = true;
    http_reply(r, status, "text/plain", status == 503 ? retry : "", text, strlen(text));
}

/* The current request is complete: to the handler. */
static void hand_over(struct http_conn *c)
{
    struct http_server *s = c->server;
    struct http_request *r = c->current;
    c->current = NULL;
    c->state = r->closes ? HTTP_STATE_STOP : HTTP_STATE_HEAD;
    r->handed = true;
    s->open++;
    http_timer_arm(c, HTTP_TIMER_NONE);
    s->events.request(r, s->arg);
}

/* A head was parsed: what kind of body follows? */
static void begin_body(struct http_conn *c, struct http_request *r)
{
    c->line = c->searched = 0;
    c->blank_lines = 0;
    c->fresh = false;
    c->current = r;
    list_push_back(&c->requests, &r->link);
    c->waiting++;
    http_timer_arm(c, HTTP_TIMER_NONE);
    if (r->body_want > c->server->limits.body_bytes) {
        http_input_refuse(c, 413);
    } else if (r->chunked) {
        c->chunk = (struct http_chunk){0};
        c->state = HTTP_STATE_CHUNKED;
    } else if (r->body_want > 0) {
        c->state = HTTP_STATE_LENGTH;
    } else {
        hand_over(c);
    }
}

/* Uses bytes of a head; the number used, 0 when more are needed. */
static size_t use_head(struct http_conn *c, const char *p, size_t n)
{
    int status = 0;
    if (c->line == 0 && n >= 2 && p[0] == '\r' && p[1] == '\n') {
        c->searched = 0;
        if (++c->blank_lines > HTTP_BLANK_MAX)
            http_input_refuse(c, 400);
        return 2;
    }
    long len = http_head_find(c, p, n, &status);
    if (len == 0)
        return 0;
    struct http_request *r = len > 0 ? http_head_parse(c, p, (size_t)len, &status) : NULL;
    if (r == NULL) {
        http_input_refuse(c, status);
        return n;
    }
    begin_body(c, r);
    return (size_t)len;
}

static size_t use_length(struct http_conn *c, const char *p, size_t n)
{
    struct http_request *r = c->current;
    size_t left = (size_t)r->body_want - r->body_len, take = n < left ? n : left;
    int status = http_body_reserve(r, take);
    if (status != 0) {
        http_input_refuse(c, status);
        return n;
    }
    memcpy(r->body + r->body_len, p, take);
    r->body_len += take;
    if (take == left)
        hand_over(c);
    return take;
}

static size_t use_chunked(struct http_conn *c, const char *p, size_t n)
{
    bool done;
    int status;
    long used = http_body_chunked(c, c->current, p, n, &done, &status);
    if (used < 0) {
        http_input_refuse(c, status);
        return n;
    }
    if (done)
        hand_over(c);
    return (size_t)used;
}

bool http_input_may_parse(const struct http_conn *c)
{
    const struct http_server *s = c->server;
    if (c->doomed || s->paused || c->state >= HTTP_STATE_STOP)
        return false;
    return c->state != HTTP_STATE_HEAD ||
           (c->waiting < s->limits.pipelined && c->out.len + s->batch.len < HTTP_OUT_HIGH);
}

/* Goes on with p[0..n); the number of bytes used. Behind the end of parsing all are. */
static size_t use(struct http_conn *c, const char *p, size_t n)
{
    size_t used = 0;
    while (used < n && http_input_may_parse(c)) {
        size_t now = c->state == HTTP_STATE_HEAD     ? use_head(c, p + used, n - used)
                     : c->state == HTTP_STATE_LENGTH ? use_length(c, p + used, n - used)
                                                     : use_chunked(c, p + used, n - used);
        if (now == 0)
            break;
        used += now;
    }
    return c->state >= HTTP_STATE_STOP || c->doomed ? n : used;
}

/* Goes on with what is kept. */
void http_input_go_on(struct http_conn *c)
{
    char *in = c->in; /* a refusal lets go of it, so it is held here meanwhile */
    uint32_t len = c->in_len, cap = c->in_cap;
    c->in = NULL;
    c->in_len = c->in_cap = 0;
    size_t used = use(c, in, len);
    if (c->state >= HTTP_STATE_STOP || c->doomed || used == len) {
        free(in);
        c->server->budget->used -= cap;
        return;
    }
    memmove(in, in + used, len - used);
    c->in = in;
    c->in_len = len - (uint32_t)used;
    c->in_cap = cap;
}

static void take_input(struct http_conn *c, const char *p, size_t n)
{
    size_t used = 0;
    if (c->in_len == 0)
        used = use(c, p, n);
    if (used < n && keep(c, p + used, n - used) < 0)
        http_input_refuse(c, 503);
    else if (used == 0 && c->in_len > n && http_input_may_parse(c))
        http_input_go_on(c);
}

/* The peer sends no more. What it has asked for is still answered. */
static void take_eof(struct http_conn *c)
{
    c->eof = true;
    if (c->state == HTTP_STATE_LENGTH || c->state == HTTP_STATE_CHUNKED)
        http_input_refuse(c, 400);
    else if (c->state == HTTP_STATE_HEAD && c->in_len == 0)
        c->state = HTTP_STATE_STOP;
}

static void drop_input(struct http_conn *c)
{
    ssize_t n = read(c->io.fd, c->server->read_buf, HTTP_READ_SIZE);
    if (n == 0)
        c->eof = true;
    else if (n < 0)
        c->doomed |= errno != EAGAIN && errno != EINTR;
    else
        c->drop_left -= c->drop_left < (size_t)n ? c->drop_left : (uint32_t)n;
}

void http_input_read(struct http_conn *c)
{
    struct http_server *s = c->server;
    struct http_request *r = c->current;
    struct iovec iov[2];
    int n_iov = 0;
    size_t direct = 0;
    if (c->state >= HTTP_STATE_STOP) {
        drop_input(c);
        return;
    }
    /* A long body goes straight to its place. */
    if (c->state == HTTP_STATE_LENGTH && c->in_len == 0 && r->body_cap > r->body_len + 1) {
        direct = r->body_cap - 1 - r->body_len;
        if (direct > r->body_want - r->body_len)
            direct = (size_t)(r->body_want - r->body_len);
        if (direct > 0)
            iov[n_iov++] = (struct iovec){r->body + r->body_len, direct};
    }
    iov[n_iov++] = (struct iovec){s->read_buf, HTTP_READ_SIZE};
    ssize_t n = c->stream != NULL ? http_stream_read(c, iov[0].iov_base, iov[0].iov_len)
                : n_iov == 1      ? read(c->io.fd, s->read_buf, HTTP_READ_SIZE)
                                  : readv(c->io.fd, iov, n_iov);
    if (n < 0) {
        c->doomed |= errno != EAGAIN && errno != EINTR;
    } else if (n == 0) {
        take_eof(c);
    } else {
        if (c->fresh) { /* header_timeout begins with the first byte */
            c->fresh = false;
            http_timer_arm(c, HTTP_TIMER_NONE);
        }
        size_t placed = (size_t)n < direct ? (size_t)n : direct;
        if (placed > 0) {
            r->body_len += placed;
            if (r->body_len == r->body_want)
                hand_over(c);
        }
        if ((size_t)n > placed)
            take_input(c, s->read_buf, (size_t)n - placed);
    }
}
