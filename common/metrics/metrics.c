/* metrics - the registry: series by metric and label values, counting, reading. See metrics.h.
 *
 * Label sets are bounded: above METRICS_SERIES_MAX new ones share the series "other", so no sender can make it grow.
 */
#include "common/metrics/metrics.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"
#include "common/base/str.h"
#include "common/metrics/internal.h"

#define NONE_LIST 0
#define FAST_LIST 50, 100, 250, 500, 1000, 2500, 5000, 10000, 25000, 50000, 100000, 250000, 500000, 1000000
#define HTTP_LIST                                                                                            \
    1000, 2500, 5000, 10000, 25000, 50000, 100000, 250000, 500000, 1000000, 2500000, 5000000, 10000000
#define LONG_LIST                                                                                            \
    10000, 50000, 100000, 500000, 1000000, 5000000, 10000000, 30000000, 60000000, 300000000, 600000000,      \
        1800000000, 3600000000, 21600000000, 86400000000

static const uint64_t bounds_NONE[] = {NONE_LIST}, bounds_FAST[] = {FAST_LIST}, bounds_HTTP[] = {HTTP_LIST},
                      bounds_LONG[] = {LONG_LIST};

#define COUNT_OF(a) (sizeof(a) / sizeof *(a))
_Static_assert(COUNT_OF(bounds_FAST) <= METRICS_BUCKETS && COUNT_OF(bounds_HTTP) <= METRICS_BUCKETS &&
                   COUNT_OF(bounds_LONG) <= METRICS_BUCKETS,
               "a bucket set is too long");

static const struct {
    const char *name, *labels, *help;
    enum metric_type type;
    const uint64_t *bounds_us;
    unsigned n_bounds;
} table[METRIC_COUNT] = {
#define X(NAME, TYPE, metric, label_list, set, text)                                                         \
    [METRIC_##NAME] = {.name = (metric),                                                                     \
                       .labels = (label_list),                                                               \
                       .help = (text),                                                                       \
                       .type = METRIC_##TYPE,                                                                \
                       .bounds_us = bounds_##set,                                                            \
                       .n_bounds = COUNT_OF(bounds_##set)},
#include "common/metrics/metrics.def"
#undef X
};

/* The label names of one row, split at the commas once. */
static struct {
    struct metric_info info[METRIC_COUNT];
    char names[METRIC_COUNT][METRICS_LABELS_MAX * 24];
    bool is_split;
} rows;

static void split_row(enum metric_id id)
{
    struct metric_info *info = &rows.info[id];
    *info = (struct metric_info){.name = table[id].name, .type = table[id].type, .help = table[id].help};
    if (info->type == METRIC_HISTOGRAM) {
        info->bounds_us = table[id].bounds_us;
        info->n_bounds = table[id].n_bounds;
    }
    (void)str_copy(rows.names[id], table[id].labels, sizeof rows.names[id]);
    char *save = NULL;
    for (char *name = strtok_r(rows.names[id], ",", &save);
         name != NULL && info->n_labels < METRICS_LABELS_MAX; name = strtok_r(NULL, ",", &save))
        info->label_names[info->n_labels++] = name;
}

const struct metric_info *metrics_info(enum metric_id id)
{
    if (!rows.is_split) {
        for (unsigned i = 0; i < METRIC_COUNT; i++)
            split_row((enum metric_id)i);
        rows.is_split = true;
    }
    return &rows.info[id];
}

const char *metrics_name(enum metric_id id)
{
    return table[id].name;
}

bool metrics_is_gauge(enum metric_type type)
{
    return type == METRIC_GAUGE || type == METRIC_GAUGE_MAX;
}

struct metrics *metrics_new(void)
{
    struct metrics *m = xcalloc(1, sizeof *m);
    for (unsigned i = 0; i < METRIC_COUNT; i++)
        list_init(&m->series[i]);
    m->index = map_new();
    m->sources = map_new();
    return m;
}

void metrics_free(struct metrics *m)
{
    if (m == NULL)
        return;
    metrics_sources_free(m);
    map_free(m->sources);
    map_free(m->index);
    for (unsigned i = 0; i < METRIC_COUNT; i++) {
        struct metric *s;
        list_foreach(s, &m->series[i], struct metric, link) free(s);
    }
    free(m);
}

/* A label value: at most METRICS_LABEL_MAX - 1 bytes, no control bytes, never half a UTF-8 character. */
static void label_copy(char dst[METRICS_LABEL_MAX], const char *src)
{
    size_t len = strlen(src), n = len < METRICS_LABEL_MAX ? len : METRICS_LABEL_MAX - 1;
    if (n < len)
        while (n > 0 && ((unsigned char)src[n] & 0xC0) == 0x80)
            n--;
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)src[i];
        dst[i] = c < 0x20 || c == 0x7f ? '_' : src[i];
    }
    memset(dst + n, 0, METRICS_LABEL_MAX - n);
}

struct metric_key {
    uint32_t id;
    char labels[METRICS_LABELS_MAX][METRICS_LABEL_MAX];
};

struct metric *metrics_find_or_make(struct metrics *m, enum metric_id id, const char *const *labels,
                                    unsigned n)
{
    const struct metric_info *info = metrics_info(id);
    struct metric_key key;
    memset(&key, 0, sizeof key);
    key.id = id;
    for (unsigned i = 0; i < info->n_labels; i++)
        label_copy(key.labels[i], i < n ? labels[i] : "");
    struct metric *s = map_get(m->index, &key, sizeof key);
    if (s != NULL)
        return s;
    if (m->n_series >= METRICS_SERIES_MAX && info->n_labels > 0) {
        for (unsigned i = 0; i < info->n_labels; i++)
            label_copy(key.labels[i], "other");
        s = map_get(m->index, &key, sizeof key);
        if (s != NULL)
            return s;
    }
    s = xcalloc(1, sizeof *s + info->n_bounds * sizeof s->buckets[0]);
    s->id = id;
    memcpy(s->labels, key.labels, sizeof s->labels);
    list_push_back(&m->series[id], &s->link);
    (void)map_put(m->index, &key, sizeof key, s);
    m->n_series++;
    return s;
}

/* Reads the NULL-ended label values of a variadic call; returns how many. */
static unsigned labels_read(va_list ap, const char *labels[METRICS_LABELS_MAX])
{
    unsigned n = 0;
    while (n < METRICS_LABELS_MAX && (labels[n] = va_arg(ap, const char *)) != NULL)
        n++;
    return n;
}

struct metric *metrics_series(struct metrics *m, enum metric_id id, ...)
{
    const char *labels[METRICS_LABELS_MAX];
    va_list ap;
    va_start(ap, id);
    unsigned n = labels_read(ap, labels);
    va_end(ap);
    return metrics_find_or_make(m, id, labels, n);
}

void metric_add(struct metric *s, uint64_t n)
{
    s->count += n;
}

void metric_set(struct metric *s, double v)
{
    if (table[s->id].type == METRIC_SECONDS) {
        s->count = v > 0 ? (uint64_t)(v * 1e6 + 0.5) : 0;
        return;
    }
    s->own = v;
    s->is_own = true;
}

void metric_unset(struct metric *s)
{
    s->own = 0;
    s->is_own = false;
}

void metric_observe_us(struct metric *s, uint64_t us)
{
    const struct metric_info *info = metrics_info(s->id);
    s->count++;
    s->sum_us += us;
    for (unsigned i = 0; i < info->n_bounds; i++)
        if (us <= info->bounds_us[i]) {
            s->buckets[i]++;
            return;
        }
}

uint64_t metric_count(const struct metric *s)
{
    return s->count;
}

bool metrics_is_live(const struct metric *s)
{
    return !metrics_is_gauge(table[s->id].type) || s->is_own || s->is_merged;
}

double metrics_gauge(const struct metric *s)
{
    if (table[s->id].type == METRIC_GAUGE_MAX && s->is_own && s->is_merged)
        return s->own > s->merged ? s->own : s->merged;
    return s->own + s->merged;
}

static double value_of(const struct metric *s)
{
    if (metrics_is_gauge(table[s->id].type))
        return metrics_gauge(s);
    return table[s->id].type == METRIC_SECONDS ? (double)s->count / 1e6 : (double)s->count;
}

double metrics_value(const struct metrics *m, enum metric_id id, ...)
{
    const char *labels[METRICS_LABELS_MAX];
    va_list ap;
    va_start(ap, id);
    unsigned n = labels_read(ap, labels);
    va_end(ap);
    double sum = 0;
    const struct metric *s;
    list_foreach(s, &m->series[id], const struct metric, link)
    {
        bool matches = metrics_is_live(s);
        for (unsigned i = 0; i < n && matches; i++)
            matches = labels[i][0] == '\0' || strcmp(labels[i], s->labels[i]) == 0;
        if (matches)
            sum += value_of(s);
    }
    return sum;
}

void metrics_visit(const struct metrics *m, enum metric_id id, metrics_visit_fn fn, void *arg)
{
    const struct metric_info *info = metrics_info(id);
    const struct metric *s;
    list_foreach(s, &m->series[id], const struct metric, link)
    {
        if (!metrics_is_live(s))
            continue;
        const char *labels[METRICS_LABELS_MAX] = {NULL};
        for (unsigned i = 0; i < info->n_labels; i++)
            labels[i] = s->labels[i];
        fn(labels, value_of(s), arg);
    }
}
