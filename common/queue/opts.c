/* opts - what a job's own options (Bull's, as JSON text) say. Most jobs have none of these; they cost one search. */
#include "common/queue/internal.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

static json_t *load(const char *opts, size_t len, const char *hint)
{
    if (opts == NULL || memmem(opts, len, hint, strlen(hint)) == NULL)
        return NULL;
    json_t *o = json_loadb(opts, len, JSON_ALLOW_NUL, NULL);
    if (json_is_object(o))
        return o;
    json_decref(o);
    return NULL;
}

static bool number_in(const json_t *v, double max, double *out)
{
    if (!json_is_number(v))
        return false;
    *out = floor(json_number_value(v));
    return *out >= 0 && *out <= max;
}

/* true: remove at once; false: keep all; a number: keep so many; {count, age in s}. */
static bool read_keep(const json_t *v, double *count, double *age_ms)
{
    *count = -1;
    *age_ms = 0;
    if (json_is_true(v)) {
        *count = 0;
        return true;
    }
    if (json_is_false(v))
        return true;
    if (number_in(v, 1e12, count))
        return true;
    *count = -1;
    if (!json_is_object(v))
        return json_is_number(v); /* below nothing or beyond counting: all stay */
    if (!number_in(json_object_get(v, "count"), 1e12, count))
        *count = -1;
    if (!number_in(json_object_get(v, "age"), 1e10, age_ms))
        *age_ms = 0;
    *age_ms *= 1000;
    return true;
}

void queue_opts_keep(const char *opts, size_t len, bool failed, char dst[QUEUE_KEEP_SIZE])
{
    static const char *const hints[] = {"removeOn", "stackTraceLimit", "debounce"};
    json_t *o = NULL;
    char own[64] = ",", traces[16] = "";
    double count = -1, age = 0, limit = 0;
    bool debounced;

    dst[0] = '\0';
    for (size_t i = 0; o == NULL && i < sizeof hints / sizeof *hints; i++)
        o = load(opts, len, hints[i]);
    if (o == NULL)
        return;
    debounced = json_is_object(json_object_get(o, "debounce"));
    if (read_keep(json_object_get(o, failed ? "removeOnFail" : "removeOnComplete"), &count, &age))
        snprintf(own, sizeof own, "%.0f,%.0f", count, age);
    if (number_in(json_object_get(o, "stackTraceLimit"), 1000, &limit) && limit > 0)
        snprintf(traces, sizeof traces, "%.0f", limit);
    if (strcmp(own, ",") != 0 || traces[0] != '\0' || debounced)
        snprintf(dst, QUEUE_KEEP_SIZE, "%s,%s,%s", own, traces, debounced ? "d" : "");
    json_decref(o);
}

bool queue_opts_lifo(const char *opts, size_t len)
{
    json_t *o = load(opts, len, "lifo");
    bool lifo = o != NULL && json_is_true(json_object_get(o, "lifo"));
    json_decref(o);
    return lifo;
}
