/* opts - what a job's own options (Bull's, as JSON text) say. Most jobs have none of these; they cost one search. */
#include "common/queue/internal.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/event/json.h"

/* Is there something of one of these names in the options? Then o is the object. */
static bool load(const char *opts, size_t len, const char *const *hints, size_t n, struct json_slice *o)
{
    struct json_scan scan;
    size_t i = 0;

    while (opts != NULL && i < n && memmem(opts, len, hints[i], strlen(hints[i])) == NULL)
        i++;
    if (opts == NULL || i == n)
        return false;
    json_scan_init(&scan, opts, len);
    return json_scan_value(&scan, o) == 0 && json_scan_end(&scan) == 0 && o->type == JSON_OBJECT;
}

static bool number_in(const struct json_slice *v, double max, double *out)
{
    char text[64];

    if (v->type != JSON_NUMBER || v->len >= sizeof text)
        return false;
    memcpy(text, v->text, v->len);
    text[v->len] = '\0';
    *out = floor(strtod(text, NULL));
    return *out >= 0 && *out <= max;
}

/* true: remove at once; false: keep all; a number: keep so many; {count, age in s}. */
static bool read_keep(const struct json_slice *v, double *count, double *age_ms)
{
    struct json_slice part;

    *count = -1;
    *age_ms = 0;
    if (v->type == JSON_TRUE) {
        *count = 0;
        return true;
    }
    if (v->type == JSON_FALSE)
        return true;
    if (number_in(v, 1e12, count))
        return true;
    *count = -1;
    if (v->type != JSON_OBJECT)
        return v->type == JSON_NUMBER; /* below nothing or beyond counting: all stay */
    if (!json_find(v, "count", &part) || !number_in(&part, 1e12, count))
        *count = -1;
    if (!json_find(v, "age", &part) || !number_in(&part, 1e10, age_ms))
        *age_ms = 0;
    *age_ms *= 1000;
    return true;
}

void queue_opts_keep(const char *opts, size_t len, bool failed, char dst[QUEUE_KEEP_SIZE])
{
    static const char *const hints[] = {"removeOn", "stackTraceLimit", "debounce"};
    struct json_slice o, v;
    char own[64] = ",", traces[16] = "";
    double count = -1, age = 0, limit = 0;
    bool debounced;

    dst[0] = '\0';
    if (!load(opts, len, hints, sizeof hints / sizeof *hints, &o))
        return;
    debounced = json_find(&o, "debounce", &v) && v.type == JSON_OBJECT;
    if (json_find(&o, failed ? "removeOnFail" : "removeOnComplete", &v) && read_keep(&v, &count, &age))
        snprintf(own, sizeof own, "%.0f,%.0f", count, age);
    if (json_find(&o, "stackTraceLimit", &v) && number_in(&v, 1000, &limit) && limit > 0)
        snprintf(traces, sizeof traces, "%.0f", limit);
    if (strcmp(own, ",") != 0 || traces[0] != '\0' || debounced)
        snprintf(dst, QUEUE_KEEP_SIZE, "%s,%s,%s", own, traces, debounced ? "d" : "");
}

bool queue_opts_lifo(const char *opts, size_t len)
{
    static const char *const hint = "lifo";
    struct json_slice o, v;

    return load(opts, len, &hint, 1, &o) && json_find(&o, "lifo", &v) && v.type == JSON_TRUE;
}
