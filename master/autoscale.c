/* autoscale - see autoscale.h. */
#include "master/autoscale.h"

#include <stdio.h>
#include <string.h>

#include "common/base/str.h"

static uint64_t within(uint64_t n, uint64_t least, uint64_t most)
{
    return n < least ? least : n > most ? most : n;
}

static void say(struct autoscale *a, const struct autoscale_limits *l, const struct autoscale_input *in,
                const char *why)
{
    char age[32], target[32];
    str_format_duration(in->age_ms, age, sizeof age);
    str_format_duration(l->target_ms, target, sizeof target);
    if (in->age_known)
        snprintf(a->word, sizeof a->word, "%s (oldest job waits %s of %s, %.0f%% busy, %u to %u)", why, age,
                 target, in->busy * 100, l->min, l->max);
    else
        snprintf(a->word, sizeof a->word, "%s (%u to %u)", why, l->min, l->max);
}

static unsigned step_up(const struct autoscale_limits *l, const struct autoscale_input *in)
{
    uint64_t times = in->age_ms / (l->target_ms > 0 ? l->target_ms : 1);
    unsigned step = 1;
    if (times >= 10)
        step = in->wanted / 2 > 2 ? in->wanted / 2 : 2;
    else if (times >= 3)
        step = 2;
    return l->max - in->wanted < step ? l->max : in->wanted + step;
}

/* Since when something is so. */
static void since(uint64_t *at, bool is_so, uint64_t now_ms)
{
    if (!is_so)
        *at = 0;
    else if (*at == 0)
        *at = now_ms;
}

static const char *up_reason(struct autoscale *a, const struct autoscale_limits *l,
                             const struct autoscale_input *in, bool *go)
{
    uint64_t every = within(l->target_ms, 1000, AUTOSCALE_UP_MS);
    if (in->wanted >= l->max)
        return "as many as may be";
    if (in->up < in->wanted)
        return "waits for the last ones to be ready";
    if (in->busy < AUTOSCALE_BUSY_UP)
        return "jobs wait, but not for processes: these have little to do";
    if (in->now_ms - a->over_ms < 1000 || (a->changed_ms != 0 && in->now_ms - a->changed_ms < every))
        return "jobs wait: more soon";
    *go = true;
    return "jobs wait";
}

static const char *down_reason(struct autoscale *a, const struct autoscale_limits *l,
                               const struct autoscale_input *in, bool *go)
{
    uint64_t after = within(l->target_ms * AUTOSCALE_DOWN_TARGETS, AUTOSCALE_DOWN_LEAST, AUTOSCALE_DOWN_MS);
    uint64_t from = a->calm_ms > a->changed_ms ? a->calm_ms : a->changed_ms;
    if (in->wanted <= l->min)
        return "as few as may be";
    if (in->now_ms - from < after)
        return "little to do: fewer soon";
    *go = true;
    return "little to do";
}

unsigned autoscale_decide(struct autoscale *a, const struct autoscale_limits *l,
                          const struct autoscale_input *in)
{
    bool over = in->age_known && in->age_ms > l->target_ms, go = false;
    /* With one process less, would the others be at most half busy? */
    bool idle = in->wanted > 1 ? in->busy * in->wanted / (in->wanted - 1) < AUTOSCALE_BUSY_DOWN : true;
    bool calm = in->age_known && in->age_ms <= l->target_ms / 4 && idle;
    unsigned n = in->wanted;
    if (l->max == 0) {
        autoscale_forget(a, "");
        return n;
    }
    if (n < l->min || n > l->max) {
        n = n < l->min ? l->min : l->max;
        a->changed_ms = in->now_ms;
        say(a, l, in, "out of its bounds");
        return n;
    }
    since(&a->over_ms, over && !in->hold, in->now_ms);
    since(&a->calm_ms, calm && !in->hold, in->now_ms);
    if (in->hold) {
        say(a, l, in, "waits until all stands again");
    } else if (!in->age_known) {
        say(a, l, in, "nobody knows how long jobs wait");
    } else if (over) {
        say(a, l, in, up_reason(a, l, in, &go));
        n = go ? step_up(l, in) : n;
    } else if (calm) {
        say(a, l, in, down_reason(a, l, in, &go));
        n = go ? n - 1 : n;
    } else {
        say(a, l, in, "as it should be");
    }
    if (go)
        a->changed_ms = in->now_ms;
    return n;
}

void autoscale_forget(struct autoscale *a, const char *word)
{
    *a = (struct autoscale){0};
    str_copy(a->word, word, sizeof a->word);
}
