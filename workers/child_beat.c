/* child_beat - signs of life: BEAT each beat_ms, and STATS when the metrics have changed.
 *
 * The lag is what an event may have waited: the longest turn of the loop (from its wake-up to its next sleep), or the
 * lateness of the beat itself, which also sees a process that was stopped. Nothing is sent while earlier words still
 * wait in the socket: a master that was stopped must not find an old pile of beats, and the queue stays short.
 */
#include "workers/child_int.h"

#include <string.h>

#include "common/base/clock.h"
#include "common/base/hook.h"
#include "common/base/log.h"

#define STATS_MAX     ((size_t)MSG_PART_MAX * MSG_PARTS_MAX)
#define STATS_PENDING (64u << 10) /* bytes that may wait when a further part is queued */

static void lag_seen(struct child *c, uint64_t us)
{
    if (us > c->beat.lag_us)
        c->beat.lag_us = us;
}

static void on_wake(struct ev_loop *loop, ev_check *w, int revents)
{
    (void)loop, (void)revents;
    struct child *c = w->data;
    c->beat.turn_began_us = clock_mono_us();
}

static void on_sleep(struct ev_loop *loop, ev_prepare *w, int revents)
{
    (void)loop, (void)revents;
    struct child *c = w->data;
    if (c->beat.turn_began_us != 0)
        lag_seen(c, clock_mono_us() - c->beat.turn_began_us);
    c->beat.turn_began_us = 0;
}

/* Sends parts as long as the socket takes them; the rest goes when it has drained. */
static void stats_send(struct child *c)
{
    while (c->stats.next < c->stats.parts && chan_pending(c->chan) <= STATS_PENDING) {
        struct msg m = {.type = MSG_STATS, .generation = c->generation};
        size_t at = (size_t)c->stats.next * MSG_PART_MAX, left = c->stats.bytes.len - at;
        m.u.stats = (struct msg_part){.part = c->stats.next,
                                      .parts = c->stats.parts,
                                      .bytes = c->stats.bytes.data + at,
                                      .len = (uint32_t)(left < MSG_PART_MAX ? left : MSG_PART_MAX)};
        if (chan_send(c->chan, &m, NULL, 0) < 0)
            return;
        c->stats.next++;
    }
}

static void stats_tell(struct child *c)
{
    if (c->stats.next < c->stats.parts)
        return; /* the last snapshot is still on its way */
    struct buf fresh;
    buf_init(&fresh, STATS_MAX);
    if (metrics_encode(c->metrics, &fresh) < 0) {
        log_error("stats_too_big", "max=%zu", STATS_MAX);
        buf_fini(&fresh);
        return;
    }
    struct buf *told = &c->stats.bytes;
    if (fresh.len == 0 || (fresh.len == told->len && memcmp(fresh.data, told->data, fresh.len) == 0)) {
        buf_fini(&fresh);
        return;
    }
    buf_fini(told);
    *told = fresh;
    c->stats.next = 0;
    c->stats.parts = (uint32_t)((fresh.len + MSG_PART_MAX - 1) / MSG_PART_MAX);
    stats_send(c);
}

void child_beat_last(struct child *c)
{
    if (c->ready)
        stats_tell(c);
}

static void beat(struct child *c)
{
    if (chan_pending(c->chan) > 0)
        return;
    struct msg m = {.type = MSG_BEAT, .generation = c->generation};
    m.u.beat.mono_ms = clock_mono_ms();
    m.u.beat.loop_lag_ms = (uint32_t)(c->beat.lag_us / 1000);
    m.u.beat.dropped_logs = log_dropped();
    if (c->kind->beat != NULL)
        c->kind->beat(c, &m.u.beat, c->state);
    if (chan_send(c->chan, &m, NULL, 0) == 0)
        c->beat.lag_us = 0;
    stats_tell(c);
}

static void on_beat(struct ev_loop *loop, ev_timer *w, int revents)
{
    (void)loop, (void)revents;
    struct child *c = w->data;
    uint64_t now = clock_mono_us();
    if (now > c->beat.due_us)
        lag_seen(c, now - c->beat.due_us);
    c->beat.due_us = now + (uint64_t)c->beat_ms * 1000;
    ev_timer_again(loop, w);
    beat(c);
    hook_at_data("beat", c->kind->name, strlen(c->kind->name));
}

void child_beat_start(struct child *c)
{
    buf_init(&c->stats.bytes, STATS_MAX);
    ev_check_init(&c->beat.check, on_wake);
    ev_prepare_init(&c->beat.prepare, on_sleep);
    ev_set_priority(&c->beat.check, EV_MAXPRI);
    ev_set_priority(&c->beat.prepare, EV_MINPRI);
    ev_timer_init(&c->beat.timer, on_beat, 0, c->beat_ms / 1e3);
    c->beat.check.data = c->beat.prepare.data = c->beat.timer.data = c;
    ev_check_start(c->loop, &c->beat.check);
    ev_prepare_start(c->loop, &c->beat.prepare);
    ev_timer_again(c->loop, &c->beat.timer);
    c->beat.due_us = clock_mono_us() + (uint64_t)c->beat_ms * 1000;
    beat(c);
}

void child_beat_again(struct child *c)
{
    if (!c->ready)
        return;
    c->beat.timer.repeat = c->beat_ms / 1e3;
    c->beat.due_us = clock_mono_us() + (uint64_t)c->beat_ms * 1000;
    ev_timer_again(c->loop, &c->beat.timer);
    beat(c);
}

void child_beat_drained(struct child *c)
{
    stats_send(c);
}
