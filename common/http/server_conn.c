/* server_conn - see server_int.h. One connection: reading, the way of the bytes through head and body, closing.
 *
 * Bytes are read into the server's one buffer and used from there; only what cannot be used yet (a piece of a head,
 * requests over the cap) is kept with the connection, so one that stands idle costs its struct and nothing else.
 */
#include "common/http/server_int.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/mem.h"
#include "common/base/str.h"

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

static void keep_drop(struct http_conn *c)
{
    free(c->in);
    c->in = NULL;
    c->in_len = 0;
    keep_budget(c, 0);
}

void http_conn_refuse(struct http_conn *c, int status)
{
    static const char retry[] = "Retry-After: 1\r\n";
    struct http_request *r = c->current;
    char body[64];
    c->state = HTTP_STATE_STOP;
    c->linger = true;
    c->current = NULL;
    keep_drop(c);
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
    size_t len = str_copy(body, http_status_text(status), sizeof body - 1);
    body[len++] = '\n';
    http_reply(r, status, "text/plain", status == 503 ? retry : "", body, len);
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
        http_conn_refuse(c, 413);
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
            http_conn_refuse(c, 400);
        return 2;
    }
    long len = http_head_find(c, p, n, &status);
    if (len == 0)
        return 0;
    struct http_request *r = len > 0 ? http_head_parse(c, p, (size_t)len, &status) : NULL;
    if (r == NULL) {
        http_conn_refuse(c, status);
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
        http_conn_refuse(c, status);
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
        http_conn_refuse(c, status);
        return n;
    }
    if (done)
        hand_over(c);
    return (size_t)used;
}

static bool may_parse(const struct http_conn *c)
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
    while (used < n && may_parse(c)) {
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
static void use_kept(struct http_conn *c)
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
        http_conn_refuse(c, 503);
    else if (used == 0 && c->in_len > n && may_parse(c))
        use_kept(c);
}

/* The peer sends no more. What it has asked for is still answered. */
static void take_eof(struct http_conn *c)
{
    c->eof = true;
    if (c->state == HTTP_STATE_LENGTH || c->state == HTTP_STATE_CHUNKED)
        http_conn_refuse(c, 400);
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

static void on_readable(struct http_conn *c)
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
    ssize_t n = n_iov == 1 ? read(c->io.fd, s->read_buf, HTTP_READ_SIZE) : readv(c->io.fd, iov, n_iov);
    if (n < 0) {
        c->doomed |= errno != EAGAIN && errno != EINTR;
    } else if (n == 0) {
        take_eof(c);
    } else {
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

static void flush(struct http_conn *c)
{
    if (c->out.len == 0)
        return;
    while (c->out.len > c->out_at && !c->doomed) {
        ssize_t n = send(c->io.fd, c->out.data + c->out_at, c->out.len - c->out_at, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            c->doomed |= errno != EAGAIN;
            return;
        }
        c->out_at += (size_t)n;
        if (c->timer_kind == HTTP_TIMER_WRITE) /* it reads: a new deadline */
            http_timer_arm(c, HTTP_TIMER_NONE);
    }
    buf_fini(&c->out);
    c->out_at = 0;
}

static void on_io(struct ev_loop *loop, ev_io *w, int revents)
{
    struct http_conn *c = w->data;
    struct http_server *s = c->server;
    (void)loop;
    if ((revents & EV_READ) && (c->events & EV_READ)) {
        s->corked = c;
        on_readable(c);
        s->corked = NULL;
    }
    http_conn_settle(c);
}

static bool wants_input(const struct http_conn *c)
{
    if (c->eof)
        return false;
    if (c->state >= HTTP_STATE_STOP)
        return c->drop_left > 0;
    /* Bytes that are kept while nothing may be parsed mean: enough. */
    return may_parse(c) ||
           (c->in_len == 0 && !c->server->paused && c->waiting >= c->server->limits.pipelined);
}

static void watch(struct http_conn *c)
{
    struct http_server *s = c->server;
    int events = (wants_input(c) ? EV_READ : 0) | (c->out.len > 0 ? EV_WRITE : 0);
    if (events == c->events)
        return;
    ev_io_stop(s->loop, &c->io);
    c->events = events;
    if (events != 0) {
        ev_io_set(&c->io, c->io.fd, events);
        ev_io_start(s->loop, &c->io);
    }
}

static void set_timer(struct http_conn *c)
{
    bool reading = (c->events & EV_READ) != 0;
    unsigned kind = HTTP_TIMER_NONE;
    if (c->state == HTTP_STATE_LINGER)
        kind = HTTP_TIMER_LINGER;
    else if (c->out.len > 0)
        kind = HTTP_TIMER_WRITE;
    else if (c->server->paused)
        kind = HTTP_TIMER_NONE; /* the wait is ours */
    else if (c->current != NULL)
        kind = HTTP_TIMER_BODY;
    else if (c->state == HTTP_STATE_HEAD && reading && (c->in_len > 0 || c->fresh))
        kind = HTTP_TIMER_HEADER;
    else if (c->waiting == 0 && c->state == HTTP_STATE_HEAD)
        kind = HTTP_TIMER_IDLE;
    http_timer_arm(c, kind);
}

/* Everything that was asked is answered and written, and nothing more will be parsed. */
static void finish(struct http_conn *c)
{
    if (c->state != HTTP_STATE_LINGER && c->linger && !c->eof) {
        c->state = HTTP_STATE_LINGER;
        if (shutdown(c->io.fd, SHUT_WR) < 0)
            c->doomed = true;
    } else if (c->state != HTTP_STATE_LINGER || c->eof || c->drop_left == 0) {
        c->doomed = true;
    }
}

/* What the answers of one read have gathered: one write, the rest to out. */
static void send_batch(struct http_conn *c)
{
    struct buf *b = &c->server->batch;
    size_t done = 0;
    if (b->len == 0)
        return;
    if (c->out.len == 0 && !c->doomed) {
        ssize_t n = send(c->io.fd, b->data, b->len, MSG_NOSIGNAL);
        if (n < 0 && errno != EAGAIN && errno != EINTR)
            c->doomed = true;
        done = n < 0 ? 0 : (size_t)n;
    }
    if (done < b->len && buf_append(&c->out, b->data + done, b->len - done) < 0)
        c->doomed = true;
    buf_reset(b);
}

void http_conn_settle(struct http_conn *c)
{
    struct http_server *s = c->server;
    if (list_linked(&c->soon))
        list_remove(&c->soon);
    send_batch(c);
    for (;;) {
        flush(c);
        uint32_t before = c->in_len;
        if (before == 0 || !may_parse(c))
            break;
        s->corked = c;
        use_kept(c);
        http_reply_advance(c, &s->batch);
        s->corked = NULL;
        send_batch(c);
        if (c->in_len == before)
            break;
    }
    s->corked = c;
    if (c->eof && c->state == HTTP_STATE_HEAD && !c->doomed &&
        may_parse(c)) { /* half a head, and no more will come */
        if (c->in_len > 0)
            http_conn_refuse(c, 400);
        else
            c->state = HTTP_STATE_STOP;
    }
    http_reply_advance(c, &s->batch);
    s->corked = NULL;
    send_batch(c);
    if (!c->doomed && c->state >= HTTP_STATE_STOP && c->waiting == 0 && c->out.len == 0)
        finish(c);
    if (!c->doomed && s->draining && c->waiting == 0 && c->state == HTTP_STATE_HEAD && c->in_len == 0 &&
        c->out.len == 0)
        c->doomed = true;
    if (c->doomed) {
        http_conn_destroy(c);
        return;
    }
    watch(c);
    set_timer(c);
}

void http_conn_settle_soon(struct http_conn *c)
{
    struct http_server *s = c->server;
    if (list_linked(&c->soon))
        return;
    list_push_back(&s->soon, &c->soon);
    if (!ev_is_active(&s->soon_timer)) {
        ev_timer_set(&s->soon_timer, 0., 0.);
        ev_timer_start(s->loop, &s->soon_timer);
    }
}

void http_conn_destroy(struct http_conn *c)
{
    struct http_server *s = c->server;
    struct http_request *r;
    ev_io_stop(s->loop, &c->io);
    close(c->io.fd);
    http_timer_arm(c, HTTP_TIMER_NONE);
    if (list_linked(&c->soon))
        list_remove(&c->soon);
    list_remove(&c->all);
    s->n_conns--;
    while ((r = list_first(&c->requests, struct http_request, link)) != NULL) {
        list_remove(&r->link);
        if (r->handed && !r->answered) {
            s->open--;
            if (s->events.aborted != NULL)
                s->events.aborted(r, s->arg);
        }
        http_request_free(r);
    }
    keep_drop(c);
    buf_fini(&c->out);
    free(c);
}

static void name_peer(const struct sockaddr *sa, char *dst, size_t size)
{
    if (sa->sa_family == AF_INET) {
        inet_ntop(AF_INET, &((const struct sockaddr_in *)(const void *)sa)->sin_addr, dst, (socklen_t)size);
    } else if (sa->sa_family == AF_INET6) {
        const struct in6_addr *a = &((const struct sockaddr_in6 *)(const void *)sa)->sin6_addr;
        if (IN6_IS_ADDR_V4MAPPED(a))
            inet_ntop(AF_INET, &a->s6_addr[12], dst, (socklen_t)size);
        else
            inet_ntop(AF_INET6, a, dst, (socklen_t)size);
    } else {
        str_copy(dst, "unix", size);
    }
}

void http_conn_new(struct http_server *s, int fd, const struct sockaddr *sa)
{
    struct http_conn *c = xcalloc(1, sizeof *c);
    int on = 1;
    c->server = s;
    c->fresh = true;
    c->drop_left = HTTP_LINGER_BYTES;
    c->timer_kind = HTTP_TIMER_NONE;
    list_init(&c->requests);
    list_init(&c->soon);
    list_init(&c->timer);
    list_push_back(&s->conns, &c->all);
    s->n_conns++;
    buf_init(&c->out, HTTP_OUT_MAX);
    name_peer(sa, c->peer, sizeof c->peer);
    if (sa->sa_family != AF_UNIX)
        (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    ev_io_init(&c->io, on_io, fd, 0);
    c->io.data = c;
    watch(c);
    set_timer(c);
}
