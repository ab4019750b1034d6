/* alone - see alone.h. The same states and the same words as the scripts, by this process' clock. */
#include "common/fleet/alone.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/map.h"
#include "common/base/mem.h"
#include "common/base/str.h"

#define BURST 2 /* tokens that may be used at once */

struct place {
    char *dest;
    enum fleet_state state;
    uint64_t due_ms, opens, since_ms, closed_ms, paused_ms; /* monotonic */
    unsigned percent;
    char why[FLEET_WHY_MAX];
    double next_ms; /* when the next token is there */
};

struct fleet_alone {
    struct map *places;
    uint64_t changes;
};

struct fleet_alone *fleet_alone_new(void)
{
    struct fleet_alone *a = xcalloc(1, sizeof *a);
    a->places = map_new();
    return a;
}

void fleet_alone_free(struct fleet_alone *a)
{
    if (a == NULL)
        return;
    size_t it = 0, len;
    const void *key;
    void *value;
    while (map_next(a->places, &it, &key, &len, &value)) {
        free(((struct place *)value)->dest);
        free(value);
    }
    map_free(a->places);
    free(a);
}

static struct place *place_of(struct fleet_alone *a, const char *dest)
{
    struct place *p = map_get(a->places, dest, strlen(dest));
    if (p != NULL)
        return p;
    p = xcalloc(1, sizeof *p);
    p->dest = xstrdup(dest);
    map_put(a->places, p->dest, strlen(dest), p);
    return p;
}

static void open_for(struct place *p, const struct fleet_rules *r, const char *why, uint64_t now_ms)
{
    uint64_t ms = r->open_min_ms;
    for (uint64_t i = 1; i < p->opens && ms < r->open_max_ms; i++)
        ms *= 2;
    p->state = FLEET_OPEN;
    p->due_ms = now_ms + (ms < r->open_max_ms ? ms : r->open_max_ms);
    str_copy(p->why, why, sizeof p->why);
}

static uint64_t number(const char *text)
{
    uint64_t n = 0;
    return str_parse_u64(text, &n) == 0 ? n : 0;
}

static int fail(struct place *p, const struct fleet_rules *r, const char *why, uint64_t now_ms)
{
    uint64_t failing_ms = now_ms - p->since_ms;
    unsigned done = r->disable_ms > 0
                        ? (unsigned)(failing_ms >= r->disable_ms ? 100 : 100 * failing_ms / r->disable_ms)
                        : 0;
    unsigned step = done >= 100 ? 100 : done >= 90 ? 90 : done >= 70 ? 70 : done >= 50 ? 50 : 0;
    int granted = 1;
    p->opens++;
    open_for(p, r, why, now_ms);
    if (step > p->percent) {
        p->percent = step;
        granted = (int)step;
    }
    if (step == 100)
        p->state = FLEET_DISABLED;
    return granted;
}

/* 1 and more: done; 0: not now. */
static int act(struct place *p, const struct fleet_rules *r, const char *op, const char *const *words,
               uint64_t now_ms)
{
    bool probing = p->state == FLEET_PROBING;
    if (strcmp(op, "pause") == 0) {
        uint64_t until_ms = now_ms + number(words[0]);
        if (until_ms <= p->paused_ms)
            return 0;
        p->paused_ms = until_ms;
        return 1;
    }
    if (strcmp(op, "open") == 0 && p->state == FLEET_CLOSED) {
        bool again = p->closed_ms > 0 && now_ms - p->closed_ms < r->ramp_ms;
        p->opens = again ? p->opens + 1 : 1;
        if (p->since_ms == 0)
            p->since_ms = now_ms - number(words[1]);
        open_for(p, r, words[0], now_ms);
        return 1;
    }
    if (strcmp(op, "probe") == 0 && (p->state == FLEET_OPEN || probing) && now_ms >= p->due_ms) {
        p->state = FLEET_PROBING;
        p->due_ms = now_ms + number(words[0]);
        return 1;
    }
    if (strcmp(op, "unprobe") == 0 && probing) {
        p->state = FLEET_OPEN;
        p->due_ms = now_ms;
        return 1;
    }
    if (strcmp(op, "ok") == 0 && probing) {
        p->state = FLEET_CLOSED;
        p->closed_ms = now_ms;
        p->due_ms = p->since_ms = p->percent = 0;
        return 1;
    }
    if (strcmp(op, "bad") == 0 && probing)
        return fail(p, r, words[0], now_ms);
    if (strcmp(op, "disable") == 0 && p->state != FLEET_DISABLED) {
        p->state = FLEET_DISABLED;
        str_copy(p->why, words[0], sizeof p->why);
        return 1;
    }
    return 0;
}

int fleet_alone_ask(struct fleet_alone *a, const struct fleet_rules *r, const char *dest, const char *op,
                    const char *const *words, struct fleet_view *out)
{
    struct place *p = place_of(a, dest);
    uint64_t now_ms = clock_mono_ms(), end_ms;
    int granted = act(p, r, op, words, now_ms);
    a->changes += granted > 0;
    end_ms = p->closed_ms + r->ramp_ms;
    *out = (struct fleet_view){
        .dest = p->dest,
        .state = p->state,
        .left_ms = p->due_ms > now_ms ? p->due_ms - now_ms : 0,
        .pause_ms = p->paused_ms > now_ms ? p->paused_ms - now_ms : 0,
        .ramp_ms = p->state == FLEET_CLOSED && p->closed_ms > 0 && end_ms > now_ms ? end_ms - now_ms : 0,
        .opens = p->opens,
        .failing_ms = p->since_ms > 0 ? now_ms - p->since_ms : 0,
        .percent = p->percent,
        .change = a->changes,
        .why = p->why[0] != '\0' ? p->why : "-",
    };
    return granted;
}

int fleet_alone_tokens(struct fleet_alone *a, const char *dest, const struct fleet_wish *w,
                       uint64_t *retry_ms, uint64_t *rate)
{
    struct place *p = place_of(a, dest);
    double now_ms = (double)clock_mono_us() / 1e3, gap_ms, n;
    *retry_ms = *rate = 0;
    if (w->rate <= 0)
        return (int)w->want;
    gap_ms = 1e3 / w->rate;
    *rate = (uint64_t)(w->rate * 1e3);
    if (p->next_ms < now_ms - (BURST - 1) * gap_ms)
        p->next_ms = now_ms - (BURST - 1) * gap_ms;
    if (now_ms < p->next_ms) {
        *retry_ms = (uint64_t)(p->next_ms - now_ms) + 1;
        return 0;
    }
    n = (now_ms - p->next_ms) / gap_ms + 1;
    n = n < w->want ? n : w->want;
    p->next_ms += (double)(int)n * gap_ms;
    return (int)n;
}
