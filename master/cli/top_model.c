/* top_model - see top_model.h. */
#include "master/cli/top_model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"
#include "common/base/str.h"

static const char *const keys[TOP_COLUMNS] = {
    [TOP_PID] = "pid",       [TOP_UPTIME] = "uptime_ms", [TOP_RESTARTS] = "restarts",
    [TOP_RSS] = "rss_bytes", [TOP_LAG] = "loop_lag_ms",  [TOP_IN_HAND] = "in_hand"};

void top_model_init(struct top_model *m)
{
    *m = (struct top_model){0};
}

void top_model_fini(struct top_model *m)
{
    json_decref(m->now);
    json_decref(m->before);
    free(m->rows);
    top_model_init(m);
}

static double number(const json_t *o, const char *key)
{
    return json_number_value(json_object_get(o, key));
}

static const char *text(const json_t *o, const char *key)
{
    const char *s = json_string_value(json_object_get(o, key));
    return s != NULL ? s : "";
}

static double per_second(const struct top_model *m, const json_t *now, const json_t *before, const char *key)
{
    double d = number(now, key) - number(before, key);
    return m->seconds <= 0 || before == NULL || json_object_get(now, key) == NULL || d < 0 ? -1
                                                                                           : d / m->seconds;
}

double top_model_rate(const struct top_model *m, const char *object, const char *key)
{
    return per_second(m, json_object_get(m->now, object), json_object_get(m->before, object), key);
}

static const json_t *find(const json_t *list, const char *key, const json_t *value)
{
    size_t i;
    json_t *o;
    json_array_foreach(list, i, o)
    {
        if (json_equal(json_object_get(o, key), value))
            return o;
    }
    return NULL;
}

double top_model_queue_rate(const struct top_model *m, const char *queue)
{
    json_t *name = json_string(queue);
    const json_t *now = find(json_object_get(m->now, "queues"), "name", name),
                 *before = find(json_object_get(m->before, "queues"), "name", name);
    json_decref(name);
    return per_second(m, now, before, "delivered_events");
}

/* The same process, not only the same place. */
static double cpu_percent(const struct top_model *m, const json_t *process)
{
    const json_t *before =
        find(json_object_get(m->before, "processes"), "pid", json_object_get(process, "pid"));
    double rate = number(process, "pid") > 0 ? per_second(m, process, before, "cpu_ms") : 0;
    return rate < 0 ? -1 : rate / 10;
}

static void fill_rates(struct top_model *m)
{
    const json_t *p;
    size_t i;
    m->rates = (struct top_rates){.accepted = top_model_rate(m, "ingest", "accepted_events"),
                                  .requests = top_model_rate(m, "ingest", "requests"),
                                  .bytes = top_model_rate(m, "ingest", "bytes"),
                                  .delivered = top_model_rate(m, "delivery", "delivered_events"),
                                  .completed = top_model_rate(m, "delivery", "completed_jobs"),
                                  .failed = top_model_rate(m, "delivery", "failed_jobs"),
                                  .retried = top_model_rate(m, "delivery", "retried_jobs"),
                                  .cpu_percent = m->seconds > 0 ? 0 : -1};
    json_array_foreach(json_object_get(m->now, "processes"), i, p)
    {
        double cpu = cpu_percent(m, p);
        m->rates.cpu_percent += m->seconds > 0 && cpu > 0 ? cpu : 0;
    }
}

void top_model_take(struct top_model *m, json_t *status)
{
    json_decref(m->before);
    m->before = m->now;
    m->now = status;
    bool same = m->before != NULL &&
                json_equal(json_object_get(m->now, "node"), json_object_get(m->before, "node")) &&
                json_equal(json_object_get(m->now, "run"), json_object_get(m->before, "run"));
    m->seconds = same ? (number(m->now, "clock_ms") - number(m->before, "clock_ms")) / 1e3 : 0;
    fill_rates(m);
}

/* ------------------------------------------------------------------ the list */

static bool contains(const char *hay, const char *needle)
{
    return strcasestr(hay, needle) != NULL;
}

static bool passes(const struct top_row *r, const char *filter)
{
    static const char *const fields[] = {"kind", "state"};
    char pid[24];
    if (filter[0] == '\0')
        return true;
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
        size_t n = strlen(fields[i]);
        if (strncmp(filter, fields[i], n) == 0 && filter[n] == ':')
            return str_starts(text(r->process, fields[i]), filter + n + 1);
    }
    snprintf(pid, sizeof pid, "%.0f", r->value[TOP_PID]);
    return contains(r->who, filter) || contains(text(r->process, "name"), filter) ||
           contains(text(r->process, "state"), filter) || contains(text(r->process, "doing"), filter) ||
           contains(pid, filter);
}

static struct {
    enum top_column by;
    bool reverse;
} order; /* of the sort under way: qsort passes nothing on */

static int by_place(const struct top_row *a, const struct top_row *b)
{
    double x = number(a->process, "slot"), y = number(b->process, "slot");
    return a->kind != b->kind ? (a->kind < b->kind ? -1 : 1) : (x > y) - (x < y);
}

static int compare(const void *left, const void *right)
{
    const struct top_row *a = left, *b = right;
    int d;
    if (order.by == TOP_NAME)
        d = by_place(a, b);
    else if (order.by == TOP_STATE || order.by == TOP_DOING)
        d = strcmp(text(a->process, order.by == TOP_STATE ? "state" : "doing"),
                   text(b->process, order.by == TOP_STATE ? "state" : "doing"));
    else
        d = (a->value[order.by] < b->value[order.by]) - (a->value[order.by] > b->value[order.by]);
    d = order.reverse ? -d : d;
    return d != 0 ? d : by_place(a, b);
}

static size_t kind_number(const json_t *processes, const json_t *kind)
{
    size_t i;
    json_t *p;
    json_array_foreach(processes, i, p)
    {
        if (json_equal(json_object_get(p, "kind"), kind))
            return i;
    }
    return i;
}

void top_model_arrange(struct top_model *m, enum top_column sort, bool reverse, const char *filter)
{
    const json_t *processes = json_object_get(m->now, "processes"), *p;
    size_t i;
    free(m->rows);
    m->rows = xcalloc(json_array_size(processes) + 1, sizeof *m->rows);
    m->n = 0;
    json_array_foreach(processes, i, p)
    {
        struct top_row *r = &m->rows[m->n];
        *r = (struct top_row){.process = p, .kind = kind_number(processes, json_object_get(p, "kind"))};
        if (strcmp(text(p, "kind"), "master") == 0)
            str_copy(r->who, "master", sizeof r->who);
        else
            snprintf(r->who, sizeof r->who, "%.32s.%.0f", text(p, "kind"), number(p, "slot"));
        for (int c = 0; c < TOP_COLUMNS; c++)
            r->value[c] = keys[c] != NULL ? number(p, keys[c]) : 0;
        r->value[TOP_CPU] = cpu_percent(m, p);
        m->n += passes(r, filter);
    }
    order.by = sort;
    order.reverse = reverse;
    qsort(m->rows, m->n, sizeof *m->rows, compare);
}

/* ------------------------------------------------------------------ for programs */

static void put_rate(json_t *o, const char *key, double rate)
{
    json_object_set_new(o, key, rate < 0 ? json_null() : json_real(rate));
}

json_t *top_model_json(const struct top_model *m)
{
    json_t *o = json_deep_copy(m->now), *rates = json_object(), *p;
    size_t i;
    put_rate(rates, "accepted_events", m->rates.accepted);
    put_rate(rates, "requests", m->rates.requests);
    put_rate(rates, "ingest_bytes", m->rates.bytes);
    put_rate(rates, "delivered_events", m->rates.delivered);
    put_rate(rates, "completed_jobs", m->rates.completed);
    put_rate(rates, "failed_jobs", m->rates.failed);
    put_rate(rates, "retried_jobs", m->rates.retried);
    put_rate(rates, "cpu_percent", m->rates.cpu_percent);
    json_object_set_new(rates, "seconds", json_real(m->seconds));
    json_array_foreach(json_object_get(o, "processes"), i, p)
    {
        put_rate(p, "cpu_percent", cpu_percent(m, p));
    }
    json_object_set_new(o, "rates", rates);
    return o;
}
