/* server_share - see server_int.h. Several processes accept on the same listening sockets, and one connection wakes one of
 * them.
 *
 * libev watches without EPOLLEXCLUSIVE, which would wake all. So a thread waits for connections, with EPOLLEXCLUSIVE, wakes
 * the loop, and waits until that has accepted; then it stands last in the kernel's line of those who wait, so that connections
 * go round. What a process was woken for and does not take (it hangs, or reads nothing for want of memory) another finds
 * when it looks by itself, twice a second.
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "common/base/fd.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/http/server_int.h"

#define BURST   4   /* connections at a time: the next ones are for the others */
#define LOOK_MS 500 /* by itself */
#define FDS_MAX 64

struct http_share {
    struct http_server *server;
    pthread_t thread;
    int epoll_fd;
    int said_fd, go_fd; /* of the thread, that somebody has come; of the loop, that it may go on, or end */
    int fds[FDS_MAX];
    int n_fds;
    atomic_bool stop;
    bool owed; /* the thread waits for the loop */
    ev_io said;
};

static bool enter_line(const struct http_share *h)
{
    bool ok = true;
    for (int i = 0; i < h->n_fds; i++) {
        struct epoll_event e = {.events = EPOLLIN | EPOLLEXCLUSIVE, .data.fd = h->fds[i]};
        ok = epoll_ctl(h->epoll_fd, EPOLL_CTL_ADD, h->fds[i], &e) == 0 && ok;
    }
    return ok;
}

static void leave_line(const struct http_share *h)
{
    for (int i = 0; i < h->n_fds; i++)
        (void)epoll_ctl(h->epoll_fd, EPOLL_CTL_DEL, h->fds[i], NULL);
}

static void say(int fd)
{
    static const uint64_t one = 1;
    while (write(fd, &one, sizeof one) < 0 && errno == EINTR)
        ;
}

static void hear(int fd)
{
    uint64_t n;
    while (read(fd, &n, sizeof n) < 0 && errno == EINTR)
        ;
}

static void *run(void *arg)
{
    struct http_share *h = arg;
    while (!atomic_load(&h->stop)) {
        struct epoll_event e[FDS_MAX + 1];
        (void)enter_line(h);
        int n = epoll_wait(h->epoll_fd, e, FDS_MAX + 1, LOOK_MS);
        leave_line(h);
        if (atomic_load(&h->stop))
            break;
        if (n > 0) {
            say(h->said_fd);
            hear(h->go_fd);
        } else if (n < 0 && errno != EINTR) {
            usleep(LOOK_MS * 1000);
        }
    }
    return NULL;
}

static void accept_now(struct http_share *h)
{
    struct http_server *s = h->server;
    struct http_listener *l;
    list_foreach(l, &s->listeners, struct http_listener, link) http_server_accept(l, BURST);
    /* Out of memory or descriptors: the others may have some. */
    if (ev_is_active(&s->rest_timer))
        return;
    h->owed = false;
    say(h->go_fd);
}

static void on_said(struct ev_loop *loop, ev_io *w, int revents)
{
    struct http_share *h = w->data;
    (void)loop, (void)revents;
    hear(h->said_fd);
    h->owed = true;
    if (!h->server->paused && !ev_is_active(&h->server->rest_timer))
        accept_now(h);
}

void http_share_resume(struct http_share *h)
{
    if (h->owed)
        accept_now(h);
}

static int open_fds(struct http_share *h)
{
    struct epoll_event e = {.events = EPOLLIN, .data.fd = -1};
    h->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    h->said_fd = eventfd(0, EFD_CLOEXEC);
    h->go_fd = eventfd(0, EFD_CLOEXEC);
    if (h->epoll_fd < 0 || h->said_fd < 0 || h->go_fd < 0 || !enter_line(h))
        return -1;
    leave_line(h);
    /* Wakes the thread too, at its end. */
    return epoll_ctl(h->epoll_fd, EPOLL_CTL_ADD, h->go_fd, &e);
}

static void close_fds(struct http_share *h)
{
    fd_close(&h->epoll_fd);
    fd_close(&h->said_fd);
    fd_close(&h->go_fd);
    free(h);
}

struct http_share *http_share_new(struct http_server *s)
{
    struct http_share *h = xcalloc(1, sizeof *h);
    struct http_listener *l;
    sigset_t all, before;
    h->server = s;
    h->epoll_fd = h->said_fd = h->go_fd = -1;
    list_foreach(l, &s->listeners, struct http_listener, link) if (h->n_fds < FDS_MAX) h->fds[h->n_fds++] =
        l->io.fd;
    int error = open_fds(h) < 0 ? errno : 0;
    if (error == 0) {
        sigfillset(&all);
        pthread_sigmask(SIG_SETMASK, &all, &before); /* signals belong to the loop's thread */
        error = pthread_create(&h->thread, NULL, run, h);
        pthread_sigmask(SIG_SETMASK, &before, NULL);
    }
    if (error != 0) {
        log_warn("http_share_failed", "error=%s", log_q(strerror(error)));
        close_fds(h);
        return NULL;
    }
    ev_io_init(&h->said, on_said, h->said_fd, EV_READ);
    h->said.data = h;
    ev_io_start(s->loop, &h->said);
    return h;
}

void http_share_free(struct http_share *h)
{
    if (h == NULL)
        return;
    ev_io_stop(h->server->loop, &h->said);
    atomic_store(&h->stop, true);
    say(h->go_fd);
    pthread_join(h->thread, NULL);
    close_fds(h);
}
