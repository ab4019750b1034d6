/* server_conn - see server_int.h. One connection: its life, its writing, what it waits for.
 *
 * Whatever happens to a connection ends in http_conn_settle(), which looks at the state as a whole: it writes, goes on
 * with what was read, closes or destroys, and sets the watcher and the timer to what is needed now.
 */
#include "common/http/server_int.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/mem.h"
#include "common/base/str.h"

static void flush(struct http_conn *c)
{
    if (c->out.len == 0)
        return;
    while (c->out.len > c->out_at && !c->doomed) {
        ssize_t n = http_conn_send(c, c->out.data + c->out_at, c->out.len - c->out_at);
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

static bool is_shaking(const struct http_conn *c)
{
    return c->stream != NULL && http_stream_shaking(c);
}

static void on_io(struct ev_loop *loop, ev_io *w, int revents)
{
    struct http_conn *c = w->data;
    struct http_server *s = c->server;
    (void)loop;
    if ((revents & EV_ERROR) != 0) { /* cannot be watched */
        http_conn_destroy(c);
        return;
    }
    if (c->stream != NULL && http_stream_shaking(c))
        http_stream_shake(c); /* what comes right behind it is read below, or told of by the socket */
    if ((revents & EV_READ) && (c->events & EV_READ) && !is_shaking(c)) {
        s->corked = c;
        http_input_read(c);
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
    return http_input_may_parse(c) ||
           (c->in_len == 0 && !c->server->paused && c->waiting >= c->server->limits.pipelined);
}

static void watch(struct http_conn *c)
{
    struct http_server *s = c->server;
    int events = (wants_input(c) ? EV_READ : 0) | (c->out.len > 0 ? EV_WRITE : 0);
    if (is_shaking(c))
        events = http_stream_wants_write(c) ? EV_WRITE : EV_READ;
    else if (c->stream != NULL && (events & EV_READ) != 0 && http_stream_pending(c))
        ev_feed_event(s->loop, &c->io, EV_READ);
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
    if (is_shaking(c))
        kind = HTTP_TIMER_HANDSHAKE;
    else if (c->state == HTTP_STATE_LINGER)
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
    if (c->stream != NULL)
        http_stream_close(c);
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
        ssize_t n = http_conn_send(c, b->data, b->len);
        if (n < 0 && errno != EAGAIN && errno != EINTR)
            c->doomed = true;
        done = n < 0 ? 0 : (size_t)n;
    }
    if (done < b->len && buf_append(&c->out, b->data + done, b->len - done) < 0)
        c->doomed = true;
    buf_reset(b);
}

/* Nothing is under way here, as far as the kernel knows. */
static bool is_idle(const struct http_conn *c)
{
    char byte;
    return !c->doomed && c->waiting == 0 && c->state == HTTP_STATE_HEAD && c->in_len == 0 &&
           c->out.len == 0 && !is_shaking(c) && (c->stream == NULL || !http_stream_pending(c)) &&
           recv(c->io.fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) <= 0;
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
        if (before == 0 || !http_input_may_parse(c))
            break;
        s->corked = c;
        http_input_go_on(c);
        http_reply_advance(c, &s->batch);
        s->corked = NULL;
        send_batch(c);
        if (c->in_len == before)
            break;
    }
    s->corked = c;
    if (c->eof && c->state == HTTP_STATE_HEAD && !c->doomed &&
        http_input_may_parse(c)) { /* half a head, and no more will come */
        if (c->in_len > 0)
            http_input_refuse(c, 400);
        else
            c->state = HTTP_STATE_STOP;
    }
    http_reply_advance(c, &s->batch);
    s->corked = NULL;
    send_batch(c);
    if (s->closing_idle && is_idle(c)) {
        c->state = HTTP_STATE_STOP;
        c->linger = true;
    }
    if (!c->doomed && c->state >= HTTP_STATE_STOP && c->waiting == 0 && c->out.len == 0)
        finish(c);
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
    http_stream_free(c);
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
    http_input_forget(c);
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

void http_conn_new(const struct http_listener *l, int fd, const struct sockaddr *sa)
{
    struct http_server *s = l->server;
    struct http_tls *tls = l->tls;
    struct http_conn *c = xcalloc(1, sizeof *c);
    int on = 1;
    c->server = s;
    c->listener = l->number;
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
    if (tls != NULL && http_stream_new(c, tls) < 0) {
        http_conn_destroy(c);
        return;
    }
    watch(c);
    set_timer(c);
}
