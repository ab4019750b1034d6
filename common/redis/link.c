/* link - hiredis' hooks on libev.
 *
 * Commands of one loop turn are written together at its end (ev_prepare calls redis_link_flush), without asking epoll
 * for writability first; only what the socket did not take waits for it.
 */
#include "common/redis/internal.h"

#include <stdlib.h>
#include <sys/socket.h>

#include "common/base/hook.h"

#include "common/base/mem.h"

/* A descriptor that cannot be watched is no connection: hiredis finds its end at the next read. */
static void heed_error(const struct redis_link *l, int events)
{
    if ((events & EV_ERROR) != 0)
        (void)shutdown(l->ac->c.fd, SHUT_RDWR);
}

static void on_readable(struct ev_loop *loop, ev_io *w, int events)
{
    (void)loop;
    struct redis_link *l = w->data;
    heed_error(l, events);
    redisAsyncHandleRead(l->ac);
}

static void on_writable(struct ev_loop *loop, ev_io *w, int events)
{
    (void)loop;
    struct redis_link *l = w->data;
    heed_error(l, events);
    l->flushing = true;
    redisAsyncHandleWrite(l->ac);
    HOOK_WRITTEN();
}

static void add_read(void *arg)
{
    struct redis_link *l = arg;
    ev_io_start(l->loop, &l->readable);
}

static void del_read(void *arg)
{
    struct redis_link *l = arg;
    ev_io_stop(l->loop, &l->readable);
}

static void add_write(void *arg)
{
    struct redis_link *l = arg;
    if (l->flushing || !(l->ac->c.flags & REDIS_CONNECTED)) {
        l->flushing = false;
        ev_io_start(l->loop, &l->writable);
    } else if (!ev_is_active(&l->writable)) {
        l->dirty = true;
    }
}

static void del_write(void *arg)
{
    struct redis_link *l = arg;
    l->flushing = false;
    ev_io_stop(l->loop, &l->writable);
}

static void cleanup(void *arg)
{
    struct redis_link *l = arg;
    ev_io_stop(l->loop, &l->readable);
    ev_io_stop(l->loop, &l->writable);
    free(l);
}

struct redis_link *redis_link_new(struct ev_loop *loop, redisAsyncContext *ac)
{
    struct redis_link *l = xcalloc(1, sizeof *l);
    l->loop = loop;
    l->ac = ac;
    ev_io_init(&l->readable, on_readable, ac->c.fd, EV_READ);
    ev_io_init(&l->writable, on_writable, ac->c.fd, EV_WRITE);
    l->readable.data = l->writable.data = l;
    ac->ev.data = l;
    ac->ev.addRead = add_read;
    ac->ev.delRead = del_read;
    ac->ev.addWrite = add_write;
    ac->ev.delWrite = del_write;
    ac->ev.cleanup = cleanup;
    return l;
}

void redis_link_flush(struct redis_link *l)
{
    if (!l->dirty)
        return;
    l->dirty = false;
    l->flushing = true;
    redisAsyncHandleWrite(l->ac); /* l may be gone now */
    HOOK_WRITTEN();
}
