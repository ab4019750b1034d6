/* logflood - see logflood.h. */
#include "master/logflood.h"

#include <string.h>

#include "common/base/str.h"
#include "master/logline.h"

bool logflood_take(struct logflood *f, uint64_t now_ms, uint64_t count, uint64_t per_ms, uint64_t burst,
                   enum log_level level)
{
    if (count == 0 || per_ms == 0)
        return true;
    double most = (double)burst, rate = (double)count / (double)per_ms;
    f->tokens = f->last_ms == 0 ? most : f->tokens + (double)(now_ms - f->last_ms) * rate;
    f->tokens = f->tokens > most ? most : f->tokens;
    f->last_ms = now_ms;
    if (f->tokens >= (level <= LOGL_ERROR ? 1 - most : 1)) {
        f->tokens--;
        return true;
    }
    if (f->dropped++ == 0)
        f->since_ms = now_ms;
    return false;
}

uint64_t logflood_tell(struct logflood *f, uint64_t now_ms, bool last, uint64_t *over_ms)
{
    uint64_t n = f->dropped;
    *over_ms = now_ms - f->since_ms;
    if (n == 0 || (!last && *over_ms < LOGFLOOD_TELL_MS))
        return 0;
    f->dropped = 0;
    return n;
}

bool logrepeat_is_exempt(const char *tail, size_t len)
{
    static const char *const events[] = {"child_", "signal", "reload",  "upgrade", "start",
                                         "stop",   "scale",  "dump_",   "log_",    "level",
                                         "jobs_",  "health", "degraded"};
    char event[48];
    logline_event(tail, len, event, sizeof event);
    for (size_t i = 0; i < sizeof events / sizeof *events; i++)
        if (str_starts(event, events[i]))
            return true;
    return false;
}

bool logrepeat_is_same(const struct logrepeat *r, enum log_level level, const char *tail, size_t len)
{
    return level > LOGL_CRIT && r->len == len && r->level == level && memcmp(r->line, tail, len) == 0;
}

void logrepeat_hold(struct logrepeat *r, uint64_t now_ms)
{
    if (r->held++ > 0)
        return;
    r->since_ms = now_ms;
    r->due_ms = now_ms + (r->told ? LOGREPEAT_NEXT_MS : LOGREPEAT_FIRST_MS);
}

void logrepeat_remember(struct logrepeat *r, enum log_level level, const char *tail, size_t len)
{
    r->level = level;
    r->told = false;
    r->len = len <= sizeof r->line && !logrepeat_is_exempt(tail, len) ? len : 0;
    memcpy(r->line, tail, r->len);
}

uint64_t logrepeat_tell(struct logrepeat *r, uint64_t now_ms, bool last, uint64_t *over_ms)
{
    uint64_t n = r->held;
    *over_ms = now_ms - r->since_ms;
    if (n == 0 || (!last && now_ms < r->due_ms))
        return 0;
    r->held = 0;
    r->told = true;
    return n;
}
