/* client_socket - joins libcurl's multi_socket interface to libev: one ev_io a socket, one ev_timer for all.
 *
 * libcurl says which sockets it wants watched and when it wants to be called; we call it back from the loop and then
 * collect what has finished. Nothing here knows requests.
 */
#include "common/http/client_impl.h"

#include <stdlib.h>

#include "common/base/hook.h"

#include "common/base/mem.h"

struct watched {
    struct list link;
    struct http_client *client;
    ev_io io;
};

static void act(struct http_client *c, curl_socket_t fd, int mask)
{
    int running;

    (void)curl_multi_socket_action(c->multi, fd, mask, &running);
    if (running > 0)
        HOOK_POINT(post_sent);
    http_client_collect(c);
}

static void on_io(struct ev_loop *loop, ev_io *io, int revents)
{
    const struct watched *w = io->data;

    (void)loop;
    act(w->client, io->fd,
        ((revents & EV_ERROR) ? CURL_CSELECT_ERR : 0) | ((revents & EV_READ) ? CURL_CSELECT_IN : 0) |
            ((revents & EV_WRITE) ? CURL_CSELECT_OUT : 0));
}

static void on_timer(struct ev_loop *loop, ev_timer *t, int revents)
{
    (void)loop, (void)revents;
    act(t->data, CURL_SOCKET_TIMEOUT, 0);
}

static void forget(struct watched *w)
{
    ev_io_stop(w->client->loop, &w->io);
    list_remove(&w->link);
    free(w);
}

static int want_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *socket_arg)
{
    struct http_client *c = arg;
    struct watched *w = socket_arg;
    int events = 0;

    (void)easy;
    if (what == CURL_POLL_REMOVE) {
        if (w != NULL) {
            (void)curl_multi_assign(c->multi, fd, NULL);
            forget(w);
        }
        return 0;
    }
    if (what == CURL_POLL_IN || what == CURL_POLL_INOUT)
        events |= EV_READ;
    if (what == CURL_POLL_OUT || what == CURL_POLL_INOUT)
        events |= EV_WRITE;
    if (w == NULL) {
        w = xcalloc(1, sizeof(*w));
        w->client = c;
        list_push_back(&c->sockets, &w->link);
        ev_io_init(&w->io, on_io, fd, events);
        w->io.data = w;
        (void)curl_multi_assign(c->multi, fd, w);
    } else {
        ev_io_stop(c->loop, &w->io);
        ev_io_set(&w->io, fd, events);
    }
    ev_io_start(c->loop, &w->io);
    return 0;
}

static int want_timer(CURLM *multi, long timeout_ms, void *arg)
{
    struct http_client *c = arg;

    (void)multi;
    ev_timer_stop(c->loop, &c->timer);
    if (timeout_ms < 0)
        return 0;
    /* libev counts from the start of the loop's turn, libcurl from now. */
    if (timeout_ms > 0)
        ev_now_update(c->loop);
    ev_timer_set(&c->timer, (double)timeout_ms / 1000.0, 0.);
    ev_timer_start(c->loop, &c->timer);
    return 0;
}

void http_client_socket_start(struct http_client *c)
{
    ev_timer_init(&c->timer, on_timer, 0., 0.);
    c->timer.data = c;
    curl_multi_setopt(c->multi, CURLMOPT_SOCKETFUNCTION, want_socket);
    curl_multi_setopt(c->multi, CURLMOPT_SOCKETDATA, c);
    curl_multi_setopt(c->multi, CURLMOPT_TIMERFUNCTION, want_timer);
    curl_multi_setopt(c->multi, CURLMOPT_TIMERDATA, c);
}

void http_client_socket_stop(struct http_client *c)
{
    struct watched *w;

    ev_timer_stop(c->loop, &c->timer);
    curl_multi_setopt(c->multi, CURLMOPT_SOCKETFUNCTION, NULL);
    curl_multi_setopt(c->multi, CURLMOPT_TIMERFUNCTION, NULL);
    list_foreach(w, &c->sockets, struct watched, link) forget(w);
}
