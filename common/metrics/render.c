/* metrics, rendering: Prometheus text exposition format 0.0.4. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/metrics/internal.h"

static const char *type_name(enum metric_type type)
{
    switch (type) {
    case METRIC_COUNTER:
    case METRIC_SECONDS:
        return "counter";
    case METRIC_GAUGE:
    case METRIC_GAUGE_MAX:
        return "gauge";
    case METRIC_HISTOGRAM:
        return "histogram";
    }
    return "untyped";
}

/* The shortest form that reads back as the same number. */
static int put_double(struct buf *out, double v)
{
    if (isnan(v))
        return buf_puts(out, "NaN");
    if (isinf(v))
        return buf_puts(out, v > 0 ? "+Inf" : "-Inf");
    char text[40];
    (void)snprintf(text, sizeof text, "%.15g", v);
    if (strtod(text, NULL) < v || strtod(text, NULL) > v)
        (void)snprintf(text, sizeof text, "%.17g", v);
    return buf_puts(out, text);
}

static int put_escaped(struct buf *out, const char *s)
{
    for (; *s != '\0'; s++) {
        int rc = *s == '\\' || *s == '"' ? buf_printf(out, "\\%c", *s) : buf_appendc(out, *s);
        if (rc != 0)
            return -1;
    }
    return 0;
}

/* name suffix {labels, le="bound"} and a space; le is NULL or the text of a bound. */
static int put_name(struct buf *out, const struct metric_info *info, const struct metric *s,
                    const char *suffix, const char *le)
{
    if (buf_puts(out, info->name) != 0 || buf_puts(out, suffix) != 0)
        return -1;
    char sep = '{';
    for (unsigned i = 0; i < info->n_labels; i++, sep = ',')
        if (buf_printf(out, "%c%s=\"", sep, info->label_names[i]) != 0 ||
            put_escaped(out, s->labels[i]) != 0 || buf_appendc(out, '"') != 0)
            return -1;
    if (le != NULL) {
        if (buf_printf(out, "%cle=\"%s\"", sep, le) != 0)
            return -1;
        sep = ',';
    }
    return buf_puts(out, sep == '{' ? " " : "} ");
}

static int put_count(struct buf *out, uint64_t n)
{
    return buf_printf(out, "%llu\n", (unsigned long long)n);
}

static int put_histogram(struct buf *out, const struct metric_info *info, const struct metric *s)
{
    uint64_t below = 0;
    for (unsigned i = 0; i < info->n_bounds; i++) {
        char le[32];
        (void)snprintf(le, sizeof le, "%g", (double)info->bounds_us[i] / 1e6);
        below += s->buckets[i];
        if (put_name(out, info, s, "_bucket", le) != 0 || put_count(out, below) != 0)
            return -1;
    }
    if (put_name(out, info, s, "_bucket", "+Inf") != 0 || put_count(out, s->count) != 0 ||
        put_name(out, info, s, "_sum", NULL) != 0 || put_double(out, (double)s->sum_us / 1e6) != 0 ||
        buf_appendc(out, '\n') != 0 || put_name(out, info, s, "_count", NULL) != 0)
        return -1;
    return put_count(out, s->count);
}

static int put_series(struct buf *out, const struct metric_info *info, const struct metric *s)
{
    if (info->type == METRIC_HISTOGRAM)
        return put_histogram(out, info, s);
    if (put_name(out, info, s, "", NULL) != 0)
        return -1;
    if (info->type == METRIC_COUNTER)
        return put_count(out, s->count);
    double v = info->type == METRIC_SECONDS ? (double)s->count / 1e6 : metrics_gauge(s);
    return put_double(out, v) != 0 ? -1 : buf_appendc(out, '\n');
}

int metrics_render(const struct metrics *m, struct buf *out)
{
    size_t before = out->len;
    for (unsigned i = 0; i < METRIC_COUNT; i++) {
        const struct metric_info *info = metrics_info((enum metric_id)i);
        const struct metric *s;
        bool is_headed = false;
        list_foreach(s, &m->series[i], const struct metric, link)
        {
            if (!metrics_is_live(s))
                continue;
            int rc = 0;
            if (!is_headed)
                rc = buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", info->name, info->help, info->name,
                                type_name(info->type));
            is_headed = true;
            if (rc != 0 || put_series(out, info, s) != 0) {
                out->len = before;
                return -1;
            }
        }
    }
    return 0;
}
