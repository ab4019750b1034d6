/* evloop - see evloop.h. */
#include "common/base/evloop.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/fatal.h"
#include "common/base/log.h"

#define FAILURES_MAX 100 /* in a row of calls that libev repeats */
#define PAUSE_US     10000
#define LOOK_S       1.

static unsigned failures; /* libev tells nothing but a text: no place else to count */

/* libev repeats the call when this returns. */
static void on_failure(const char *what)
{
    int error = errno;
    if (++failures == 1)
        log_error("loop_call_failed", "call=%s err=%s", log_q(what), log_q(strerror(error)));
    if (failures >= FAILURES_MAX)
        fatal(EXIT_CODE_OSERR, "the event loop cannot go on: %s: %s", what, strerror(error));
    (void)usleep(PAUSE_US);
}

static void *resize(void *p, long size)
{
    if (size == 0) {
        free(p);
        return NULL;
    }
    void *q = realloc(p, (size_t)size);
    if (q == NULL)
        fatal(EXIT_CODE_NOMEM, "cannot allocate %ld bytes for the event loop", size);
    return q;
}

void evloop_install(void)
{
    ev_set_syserr_cb(on_failure);
    ev_set_allocator(resize);
}

static void on_echo(struct ev_loop *loop, ev_async *w, int revents)
{
    (void)loop, (void)w, (void)revents;
    failures = 0;
}

static void listen_to(struct evloop_guard *g, struct ev_loop *loop)
{
    ev_async_start(loop, &g->echo); /* makes the pipe when there is none that is watched */
    ev_unref(loop);
}

static void be_deaf(struct evloop_guard *g, struct ev_loop *loop)
{
    ev_ref(loop);
    ev_async_stop(loop, &g->echo);
}

static void on_look(struct ev_loop *loop, ev_timer *w, int revents)
{
    (void)revents;
    struct evloop_guard *g = w->data;
    if (ev_async_pending(&g->echo)) {
        log_warn("loop_was_deaf", "remedy=%s", log_q("its wake-up pipe was not watched; it is made anew"));
        be_deaf(g, loop);
        listen_to(g, loop);
    }
    ev_async_send(loop, &g->echo);
}

void evloop_guard_start(struct evloop_guard *g, struct ev_loop *loop)
{
    ev_async_init(&g->echo, on_echo);
    listen_to(g, loop);
    ev_timer_init(&g->look, on_look, LOOK_S, LOOK_S);
    g->look.data = g;
    ev_timer_start(loop, &g->look);
    ev_unref(loop);
}

void evloop_guard_stop(struct evloop_guard *g, struct ev_loop *loop)
{
    if (!ev_is_active(&g->look))
        return;
    be_deaf(g, loop);
    ev_ref(loop);
    ev_timer_stop(loop, &g->look);
}
