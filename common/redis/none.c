/* none - the connection of redis.mode: none. It is always ready, and nothing can be sent on it: commands get REDIS_AWAY, as
 * they would while a real one is away. So whoever asks whether work can go on need not know the mode. */
#include "common/redis/internal.h"

#include "common/base/mem.h"

static void on_start(struct ev_loop *loop, ev_timer *w, int events)
{
    (void)loop, (void)events;
    struct redis *r = w->data;
    r->state = REDIS_READY;
    redis_enter(r);
    r->events.ready(r, 0, r->arg);
    redis_leave(r);
}

static void on_prepare(struct ev_loop *loop, ev_prepare *w, int events)
{
    (void)loop, (void)w, (void)events;
}

struct redis *redis_none(struct ev_loop *loop, const struct redis_events *events, void *arg)
{
    struct redis *r = xcalloc(1, sizeof *r);
    r->loop = loop;
    r->events = *events;
    r->arg = arg;
    r->aof = true;
    list_init(&r->pending);
    ev_timer_init(&r->connect_timer, on_start, 0.0, 0.0);
    ev_timer_init(&r->reconnect_timer, on_start, 0.0, 0.0); /* after 0 s: events never come inside the call */
    ev_prepare_init(&r->prepare, on_prepare);
    r->reconnect_timer.data = r;
    redis_watchdog_init(r);
    ev_timer_start(loop, &r->reconnect_timer);
    return r;
}
