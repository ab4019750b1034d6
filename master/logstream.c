/* logstream - see logstream.h. */
#include "master/logstream.h"

#include <ev.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/mem.h"
#include "master/logflood.h"
#include "master/logline.h"
#include "master/logsink.h"
#include "master/state.h"

#define LOOK_S 0.5

struct logstream {
    struct master *master;
    struct logsink_origin origin;
    enum log_level level;
    bool limited; /* by log.flood */
    struct logflood flood;
    struct logrepeat repeat;
    ev_timer look; /* while something is held back */
};

static void tell_repeats(struct logstream *s, bool last)
{
    char tail[160], event[48];
    uint64_t over_ms, n = logrepeat_tell(&s->repeat, clock_mono_ms(), last, &over_ms);
    if (n == 0)
        return;
    int len = snprintf(tail, sizeof tail, "event=repeated of=%s n=%llu ms=%llu",
                       logline_event(s->repeat.line, s->repeat.len, event, sizeof event),
                       (unsigned long long)n, (unsigned long long)over_ms);
    logsink_write(s->master->sink, s->repeat.level, &s->origin, tail, (size_t)len);
}

static void tell_flood(struct logstream *s, bool last)
{
    char tail[96];
    uint64_t over_ms, n = logflood_tell(&s->flood, clock_mono_ms(), last, &over_ms);
    if (n == 0)
        return;
    int len = snprintf(tail, sizeof tail, "event=log_flood dropped=%llu ms=%llu", (unsigned long long)n,
                       (unsigned long long)over_ms);
    logsink_write(s->master->sink, LOGL_WARN, &s->origin, tail, (size_t)len);
}

static void on_look(struct ev_loop *loop, ev_timer *w, int revents)
{
    (void)revents;
    struct logstream *s = w->data;
    tell_repeats(s, false);
    tell_flood(s, false);
    if (s->repeat.held == 0 && s->flood.dropped == 0)
        ev_timer_stop(loop, w);
}

static void look_later(struct logstream *s)
{
    if (!ev_is_active(&s->look))
        ev_timer_start(s->master->loop, &s->look);
}

struct logstream *logstream_new(struct master *m, const struct logsink_origin *o)
{
    struct logstream *s = xcalloc(1, sizeof *s);
    s->master = m;
    s->origin = *o;
    s->level = LOGL_DEBUG;
    s->limited = true;
    ev_timer_init(&s->look, on_look, LOOK_S, LOOK_S);
    s->look.data = s;
    return s;
}

void logstream_free(struct logstream *s)
{
    if (s == NULL)
        return;
    tell_repeats(s, true);
    tell_flood(s, true);
    ev_timer_stop(s->master->loop, &s->look);
    free(s);
}

void logstream_set_level(struct logstream *s, enum log_level level)
{
    s->level = level;
}

void logstream_put(struct logstream *s, enum log_level level, const char *tail, size_t len)
{
    const struct conf_log *c = &s->master->conf->log;
    uint64_t now = clock_mono_ms();
    if (level > s->level)
        return;
    if (logrepeat_is_same(&s->repeat, level, tail, len)) {
        logrepeat_hold(&s->repeat, now);
        look_later(s);
        return;
    }
    if (s->limited &&
        !logflood_take(&s->flood, now, c->flood_rate.count, c->flood_rate.period_ms, c->flood_burst, level)) {
        metric_add(metrics_series(s->master->own, METRIC_LOG_FLOOD_DROPPED, s->origin.kind, NULL), 1);
        look_later(s);
        return;
    }
    tell_repeats(s, true);
    logrepeat_remember(&s->repeat, level, tail, len);
    logsink_write(s->master->sink, level, &s->origin, tail, len);
}

void logstream_put_raw(struct logstream *s, const char *text, size_t len, bool continued)
{
    char tail[LOG_LINE_MAX];
    while (len > 0) {
        size_t used,
            n = (size_t)snprintf(tail, sizeof tail, "event=raw %smsg=", continued ? "continued=yes " : "");
        n += log_quote(tail + n, sizeof tail - n, text, len, &used);
        logstream_put(s, LOGL_WARN, tail, n);
        text += used;
        len -= used;
        continued = true;
    }
}

static void own_line(enum log_level level, const char *line, void *arg)
{
    logstream_put(arg, level, line, strlen(line));
}

void logstream_own(struct logstream *s)
{
    s->limited = false;
    log_to_writer(own_line, s);
}
