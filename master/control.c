/* control - see control.h. What a child says is a hint: nothing here makes the master panic; a message that does not
 * fit ends the channel, and with it the child. */
#include "master/control.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/base/log.h"
#include "common/base/str.h"
#include "master/flush.h"
#include "master/health.h"
#include "master/listen.h"
#include "master/loglevel.h"
#include "master/pause.h"
#include "master/peer.h"
#include "master/reap.h"
#include "master/reload.h"
#include "master/sd.h"
#include "master/state.h"

typedef const char *(*handler_fn)(struct slot *s, const struct msg *m); /* NULL, or why the child must go */

static const char *on_hello(struct slot *s, const struct msg *m)
{
    const struct master *ma = s->master;
    const struct msg_hello *h = &m->u.hello;
    if (h->proto_min > MSG_PROTO_MAX || h->proto_max < MSG_PROTO_MIN)
        return "no common protocol version";
    if (strcmp(h->kind, s->kind->name) != 0 || h->slot != s->index || (pid_t)h->pid != s->pid)
        return "it is not what was started";
    struct msg c = {.type = MSG_CONFIG, .generation = s->generation};
    struct msg_config *o = &c.u.config;
    o->epoch = ma->epoch;
    o->length = ma->conf_len;
    memcpy(o->sha256, ma->conf_sha256, sizeof o->sha256);
    o->listeners = (uint32_t)listen_fds_for(ma->listen, s->kind->listen, NULL, 0);
    str_copy(o->node, ma->node, sizeof o->node);
    o->run = ma->run;
    o->beat_ms = (uint32_t)ma->conf->master.health_beat_ms;
    o->hang_ms = (uint32_t)ma->conf->master.health_hang_ms;
    o->drain_ms = (uint32_t)ma->conf->master.drain_ms;
    if (chan_send(s->chan, &c, &ma->conf_fd, 1) < 0)
        return "it does not read";
    s->epoch = ma->epoch;
    pause_tell(s);
    loglevel_tell(s);
    return NULL;
}

static const char *on_ready(struct slot *s, const struct msg *m)
{
    (void)m;
    slot_event(s, SLOT_EV_READY);
    return NULL;
}

#define LAG_WARN_MS 1000
#define LAG_OVER_MS 500 /* under it an episode is over */

static void look_at_lag(struct slot *s)
{
    uint32_t lag = s->beat.loop_lag_ms; /* the longest since the beat before */
    metric_observe_us(metrics_series(s->master->own, METRIC_LOOP_LAG, s->kind->name, NULL), lag * 1000ull);
    if (lag > LAG_WARN_MS && !s->lag_told)
        log_warn("child_lags", "child_kind=%s child_slot=%u child_gen=%u child_pid=%d lag_ms=%u in_hand=%u",
                 s->kind->name, s->index, s->generation, (int)s->pid, lag, s->beat.in_hand);
    s->lag_told = lag > (s->lag_told ? LAG_OVER_MS : LAG_WARN_MS);
}

static const char *on_beat(struct slot *s, const struct msg *m)
{
    s->beat = m->u.beat;
    look_at_lag(s);
    slot_event(s, SLOT_EV_BEAT);
    return NULL;
}

static const char *on_extend(struct slot *s, const struct msg *m)
{
    s->extend_ms = m->u.extend.ms;
    log_info("child_extends", "child_kind=%s child_slot=%u child_gen=%u ms=%u why=%s", s->kind->name,
             s->index, s->generation, m->u.extend.ms, log_q(m->u.extend.why));
    sd_extend(s->master, m->u.extend.ms);
    slot_event(s, SLOT_EV_EXTEND);
    return NULL;
}

static const char *on_stats(struct slot *s, const struct msg *m)
{
    const struct msg_part *p = &m->u.stats;
    if (p->part == 0) {
        buf_reset(&s->stats);
        s->stats_parts = 0;
    }
    if (p->part != s->stats_parts || buf_append(&s->stats, p->bytes, p->len) < 0)
        return "parts of its metrics are out of order";
    s->stats_parts++;
    if (s->stats_parts < p->parts)
        return NULL;
    char who[80];
    snprintf(who, sizeof who, "%s.%u.%u", s->kind->name, s->index, s->generation);
    if (metrics_merge(s->master->sum, who, s->generation, s->stats.data, s->stats.len) < 0)
        return "its metrics are malformed";
    return NULL;
}

static const char *on_unlink(struct slot *s, const struct msg *m)
{
    peer_unlinked(
        s,
        m->u.unlink.peer_generation); /* the tick introduces: a peer that is dying is not up any more then */
    return NULL;
}

static const char *on_drained(struct slot *s, const struct msg *m)
{
    log_info("child_drained", "child_kind=%s child_slot=%u child_gen=%u left=%u", s->kind->name, s->index,
             s->generation, m->u.drained.left);
    s->left = m->u.drained.left;
    return NULL;
}

static const char *on_note(struct slot *s, const struct msg *m)
{
    str_copy(s->note, m->u.note.text, sizeof s->note);
    return NULL;
}

static const char *on_program(struct slot *s, const struct msg *m)
{
    bool changed = s->program.ready != m->u.program.ready || s->program.degraded != m->u.program.degraded;
    s->program = m->u.program;
    if (changed)
        health_changed(s->master);
    return NULL;
}

static const char *on_reaped(struct slot *s, const struct msg *m)
{
    reap_done(s->master, &m->u.reaped);
    return NULL;
}

static const char *on_flushed(struct slot *s, const struct msg *m)
{
    flush_said(s, m->u.flushed.id);
    return NULL;
}

static const char *on_reloaded(struct slot *s, const struct msg *m)
{
    reload_answered(s, &m->u.reloaded);
    return NULL;
}

static const struct {
    enum msg_type type;
    handler_fn fn;
} handlers[] = {
    {MSG_HELLO, on_hello},     {MSG_READY, on_ready},     {MSG_BEAT, on_beat},
    {MSG_EXTEND, on_extend},   {MSG_STATS, on_stats},     {MSG_UNLINK, on_unlink},
    {MSG_DRAINED, on_drained}, {MSG_REAPED, on_reaped},   {MSG_PROGRAM, on_program},
    {MSG_NOTE, on_note},       {MSG_FLUSHED, on_flushed}, {MSG_RELOADED, on_reloaded},
};

static void refuse(struct slot *s, const char *why)
{
    log_error("child_refused", "child_kind=%s child_slot=%u child_gen=%u child_pid=%d why=%s", s->kind->name,
              s->index, s->generation, (int)s->pid, log_q(why));
    slot_event(s, SLOT_EV_EOF);
}

static void on_message(struct chan *c, const struct msg *m, const int *fds, size_t n_fds, void *arg)
{
    (void)c;
    struct slot *s = arg;
    for (size_t i = 0; i < n_fds; i++) /* no child has any to give */
        close(fds[i]);
    if (m->generation != s->generation && m->type != MSG_HELLO) {
        refuse(s, "wrong generation");
        return;
    }
    for (size_t i = 0; i < sizeof handlers / sizeof *handlers; i++)
        if (handlers[i].type == m->type) {
            const char *why = handlers[i].fn(s, m);
            if (why != NULL)
                refuse(s, why);
            return;
        }
    refuse(s, "a message that is not for the master");
}

static void on_gone(struct chan *c, int error, const char *why, void *arg)
{
    (void)c;
    struct slot *s = arg;
    /* A reset only says that it ended with words of ours unread: how it ended comes from the kernel. */
    if (error != 0 && error != ECONNRESET && error != EPIPE)
        log_error("control_broken", "child_kind=%s child_slot=%u child_gen=%u child_pid=%d err=%s why=%s",
                  s->kind->name, s->index, s->generation, (int)s->pid, log_q(strerror(error)), log_q(why));
    slot_event(s, SLOT_EV_EOF);
}

static void on_written(struct chan *c, void *arg)
{
    (void)c;
    health_push(arg);
}

struct chan *control_open(struct slot *s, int fd)
{
    static const struct chan_events events = {.message = on_message, .gone = on_gone, .drained = on_written};
    return chan_new(s->master->loop, fd, MSG_DIR_CM, &events, s);
}

void control_close(struct slot *s)
{
    chan_free(s->chan);
    s->chan = NULL;
}
