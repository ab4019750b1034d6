/* server - see server.h and server_int.h. The listening sockets and what concerns all connections. */
#include "common/http/server.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/fd.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/base/str.h"
#include "common/http/server_int.h"

#define ACCEPT_BURST      64
#define ACCEPT_REST_S     0.1
#define REFUSED_LOG_S     10.0 /* at most one line of refused connections in this time */
#define DEFAULT_HEADERS   100
#define DEFAULT_PIPELINED 16

static void log_refused(struct http_server *s, const struct http_listener *l, const char *why)
{
    double now = ev_now(s->loop);
    if (s->refused_log_at != 0 && now - s->refused_log_at < REFUSED_LOG_S)
        return;
    s->refused_log_at = now;
    log_warn("http_connections_refused", "listener=%s connections=%u reason=%s", log_q(l->name), s->n_conns,
             log_q(why));
}

static const char full[] =
    "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nRetry-After: 1\r\nConnection: close\r\n\r\n";

/* Who came for TLS could not read it. */
static void tell_full(const struct http_listener *l, int fd)
{
    if (l->tls == NULL)
        (void)send(fd, full, sizeof full - 1, MSG_NOSIGNAL | MSG_DONTWAIT);
}

static void watch_listeners(struct http_server *s)
{
    struct http_listener *l;
    if (s->share != NULL)
        http_share_resume(s->share);
    else
        list_foreach(l, &s->listeners, struct http_listener, link) ev_io_start(s->loop, &l->io);
}

static void unwatch_listeners(struct http_server *s)
{
    struct http_listener *l;
    list_foreach(l, &s->listeners, struct http_listener, link) ev_io_stop(s->loop, &l->io);
}

static void on_rested(struct ev_loop *loop, ev_timer *w, int revents)
{
    struct http_server *s = w->data;
    (void)loop, (void)revents;
    if (!s->paused)
        watch_listeners(s);
}

/* Nothing can be taken off the queue now: the listening sockets, which stay readable, are left alone for a moment. */
static void rest(struct http_server *s)
{
    unwatch_listeners(s);
    ev_timer_stop(s->loop, &s->rest_timer);
    ev_timer_set(&s->rest_timer, ACCEPT_REST_S, 0.);
    ev_timer_start(s->loop, &s->rest_timer);
}

/* Out of descriptors: the reserve makes room to take one connection off the queue, tell it and close it, so that nobody
 * waits there for ever. False when nothing was there, or the reserve is lost. */
static bool shed(struct http_server *s, const struct http_listener *l)
{
    int code = errno;
    fd_close(&s->reserve_fd);
    int fd = accept4(l->io.fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    bool taken = fd >= 0, is_dry = fd < 0 && errno != EAGAIN;
    if (taken)
        tell_full(l, fd);
    fd_close(&fd);
    s->reserve_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (is_dry || s->reserve_fd < 0)
        rest(s);
    log_refused(s, l, strerror(code));
    return taken && s->reserve_fd >= 0;
}

/* Over limits.connections: the longest idle connection makes room, else the new one is told. */
static bool make_room(struct http_server *s, const struct http_listener *l, int fd)
{
    struct http_conn *idle = list_first(&s->timers[HTTP_TIMER_IDLE], struct http_conn, timer);
    if (idle != NULL && !list_linked(&idle->soon)) {
        http_conn_destroy(idle);
        return true;
    }
    tell_full(l, fd);
    close(fd);
    log_refused(s, l, "limits.connections");
    return false;
}

void http_server_accept(struct http_listener *l, int most)
{
    struct http_server *s = l->server;
    for (int i = 0; i < most; i++) {
        struct sockaddr_storage sa = {0};
        socklen_t len = sizeof sa;
        int fd = accept4(l->io.fd, (struct sockaddr *)&sa, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0) {
            if (s->n_conns < s->limits.connections || make_room(s, l, fd))
                http_conn_new(l, fd, (struct sockaddr *)&sa);
        } else if (errno == EMFILE || errno == ENFILE) {
            if (!shed(s, l))
                return;
        } else if (errno == ENOBUFS || errno == ENOMEM) {
            log_refused(s, l, strerror(errno));
            rest(s);
            return;
        } else if (errno != ECONNABORTED && errno != EINTR && errno != EPROTO) {
            return;
        }
    }
}

static void on_accept(struct ev_loop *loop, ev_io *w, int revents)
{
    struct http_listener *l = w->data;
    (void)loop;
    if ((revents & EV_ERROR) != 0) /* it could not be watched: tried again in a moment */
        rest(l->server);
    else
        http_server_accept(l, ACCEPT_BURST);
}

static void on_soon(struct ev_loop *loop, ev_timer *w, int revents)
{
    struct http_server *s = w->data;
    struct list now;
    (void)loop;
    (void)revents;
    if (list_empty(&s->soon))
        return;
    /* Those that are here now; what settling adds waits for the next turn. */
    list_insert_between(&now, s->soon.prev, &s->soon);
    list_remove(&s->soon);
    struct http_conn *c;
    while ((c = list_first(&now, struct http_conn, soon)) != NULL)
        http_conn_settle(c);
}

struct http_server *http_server_new(struct ev_loop *loop, const struct http_limits *limits,
                                    struct http_budget *budget, const struct http_server_events *events,
                                    void *arg)
{
    struct http_server *s = xcalloc(1, sizeof *s);
    s->loop = loop;
    s->limits = *limits;
    s->budget = budget;
    s->events = *events;
    s->arg = arg;
    if (s->limits.headers == 0)
        s->limits.headers = DEFAULT_HEADERS;
    if (s->limits.pipelined == 0)
        s->limits.pipelined = DEFAULT_PIPELINED;
    list_init(&s->listeners);
    list_init(&s->conns);
    list_init(&s->soon);
    http_timer_init(s);
    ev_timer_init(&s->soon_timer, on_soon, 0., 0.);
    s->soon_timer.data = s;
    ev_timer_init(&s->rest_timer, on_rested, 0., 0.);
    s->rest_timer.data = s;
    s->reserve_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    buf_init(&s->batch, HTTP_OUT_MAX);
    buf_init(&s->scratch, HTTP_OUT_MAX);
    s->spans = xcalloc(s->limits.headers, sizeof *s->spans);
    s->read_buf = xmalloc(HTTP_READ_SIZE);
    return s;
}

void http_server_set_limits(struct http_server *s, const struct http_limits *limits)
{
    unsigned headers = s->limits.headers, pipelined = s->limits.pipelined;
    s->limits = *limits;
    s->limits.headers = headers;
    s->limits.pipelined = pipelined;
    http_timer_change(s);
}

static void close_listeners(struct http_server *s)
{
    http_share_free(s->share);
    s->share = NULL;
    struct http_listener *l;
    list_foreach(l, &s->listeners, struct http_listener, link)
    {
        ev_io_stop(s->loop, &l->io);
        close(l->io.fd);
        list_remove(&l->link);
        http_tls_unref(l->tls);
        free(l);
    }
}

void http_server_free(struct http_server *s)
{
    if (s == NULL)
        return;
    close_listeners(s);
    struct http_conn *c;
    while ((c = list_first(&s->conns, struct http_conn, all)) != NULL)
        http_conn_destroy(c);
    ev_timer_stop(s->loop, &s->timer);
    ev_timer_stop(s->loop, &s->soon_timer);
    ev_timer_stop(s->loop, &s->rest_timer);
    ev_timer_stop(s->loop, &s->rate_timer);
    fd_close(&s->reserve_fd);
    buf_fini(&s->batch);
    buf_fini(&s->scratch);
    free(s->spans);
    free(s->read_buf);
    free(s);
}

int http_server_listen(struct http_server *s, int fd, const char *name)
{
    if (fd_set_nonblock(fd) < 0 || fd_set_cloexec(fd, true) < 0)
        return -1;
    struct http_listener *l = xcalloc(1, sizeof *l);
    l->server = s;
    l->number = s->n_listeners++;
    str_copy(l->name, name, sizeof l->name);
    list_push_back(&s->listeners, &l->link);
    ev_io_init(&l->io, on_accept, fd, EV_READ);
    l->io.data = l;
    if (!s->paused)
        ev_io_start(s->loop, &l->io);
    return 0;
}

void http_server_share(struct http_server *s, bool shared)
{
    if (shared == (s->share != NULL) || list_empty(&s->listeners))
        return;
    if (shared) {
        s->share = http_share_new(s);
        if (s->share != NULL)
            unwatch_listeners(s);
        return;
    }
    http_share_free(s->share);
    s->share = NULL;
    if (!s->paused)
        watch_listeners(s);
}

void http_server_set_tls(struct http_server *s, unsigned number, struct http_tls *tls)
{
    struct http_listener *l;
    list_foreach(l, &s->listeners, struct http_listener, link)
    {
        if (number-- == 0) {
            http_tls_unref(l->tls);
            l->tls = tls;
            return;
        }
    }
    http_tls_unref(tls); /* draining: nobody comes any more */
}

void http_server_drain(struct http_server *s)
{
    close_listeners(s);
    s->draining = true;
}

void http_server_close_idle(struct http_server *s)
{
    struct http_conn *c;
    s->closing_idle = true;
    list_foreach(c, &s->conns, struct http_conn, all) if (c->waiting == 0) http_conn_settle_soon(c);
}

void http_server_pause(struct http_server *s, bool paused)
{
    if (s->paused == paused)
        return;
    s->paused = paused;
    if (paused)
        unwatch_listeners(s);
    else if (!ev_is_active(&s->rest_timer))
        watch_listeners(s);
    struct http_conn *c;
    list_foreach(c, &s->conns, struct http_conn, all) http_conn_settle_soon(c);
}

unsigned http_server_connections(const struct http_server *s)
{
    return s->n_conns;
}

unsigned http_server_requests_open(const struct http_server *s)
{
    return s->open;
}

unsigned http_server_requests_partial(const struct http_server *s)
{
    const struct http_conn *c;
    unsigned n = 0;
    list_foreach(c, &s->conns, struct http_conn, all) n +=
        c->current != NULL || c->in_len > 0 || (c->stream != NULL && http_stream_shaking(c));
    return n;
}
