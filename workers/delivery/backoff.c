/* backoff - how long until the next attempt: dray's own rule (doubling, capped, jittered) and Bull's for jobs that
 * brought their own. Pure: time and chance come in as arguments.
 */
#include "workers/delivery/backoff.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/event/json.h"

uint64_t backoff_delay_ms(const struct backoff *b, uint64_t failures, double random01)
{
    uint64_t n = failures == 0 ? 1 : failures > 64 ? 64 : failures;
    double delay = (double)b->delay_ms;

    if (b->n_schedule > 0)
        delay = (double)b->schedule_ms[n <= b->n_schedule ? n - 1 : b->n_schedule - 1];
    else if (b->exponential)
        delay *= b->bull ? exp2((double)n) - 1 : exp2((double)(n - 1));
    if (!b->bull && b->n_schedule == 0 && b->max_ms > 0 && delay > (double)b->max_ms)
        delay = (double)b->max_ms;
    delay *= 1 - b->jitter + 2 * b->jitter * random01;
    return delay > (double)BACKOFF_LONGEST_MS ? BACKOFF_LONGEST_MS : (uint64_t)llround(delay);
}

static bool number(const struct json_slice *v, uint64_t *out)
{
    char text[32];
    double d;

    if (v->type != JSON_NUMBER || v->len >= sizeof(text))
        return false;
    memcpy(text, v->text, v->len);
    text[v->len] = '\0';
    d = strtod(text, NULL);
    if (!(d >= 0))
        return false;
    *out = d > (double)BACKOFF_LONGEST_MS ? BACKOFF_LONGEST_MS : (uint64_t)d;
    return true;
}

/* {"type":"fixed","delay":1000}, or a bare number, which Bull turns into that. */
static bool parse_backoff(const struct json_slice *v, struct backoff *out)
{
    struct json_slice type, delay;
    char name[16];

    *out = (struct backoff){.bull = true};
    if (v->type == JSON_NUMBER)
        return number(v, &out->delay_ms);
    if (v->type != JSON_OBJECT || !json_find(v, "type", &type) || type.type != JSON_STRING ||
        json_text(&type, name, sizeof(name)) < 0)
        return false;
    if (json_find(v, "delay", &delay) && !number(&delay, &out->delay_ms))
        return false;
    out->exponential = strcmp(name, "exponential") == 0;
    return out->exponential || strcmp(name, "fixed") == 0;
}

void backoff_parse_opts(const char *opts, size_t len, struct backoff_own *out)
{
    struct json_scan scan;
    struct json_slice o, v;

    *out = (struct backoff_own){0};
    json_scan_init(&scan, opts, len);
    if (json_scan_value(&scan, &o) != 0 || json_scan_end(&scan) != 0 || o.type != JSON_OBJECT)
        return;
    if (json_find(&o, "attempts", &v))
        (void)number(&v, &out->attempts);
    if (json_find(&o, "timeout", &v))
        (void)number(&v, &out->timeout_ms);
    if (json_find(&o, "backoff", &v) && v.type != JSON_NULL)
        out->has_backoff = parse_backoff(&v, &out->backoff);
    else
        out->no_backoff = true;
}
