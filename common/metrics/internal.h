/* metrics, inner view: the registry's structures, shared by registry, wire form and rendering. */
#ifndef DRAY_COMMON_METRICS_INTERNAL_H
#define DRAY_COMMON_METRICS_INTERNAL_H

#include <stdbool.h>

#include "common/base/list.h"
#include "common/base/map.h"
#include "common/metrics/metrics.h"

struct metric_info {
    const char *name;
    enum metric_type type;
    const char *label_names[METRICS_LABELS_MAX];
    unsigned n_labels;
    const uint64_t *bounds_us; /* ascending; NULL but for histograms */
    unsigned n_bounds;
    const char *help;
};

/* Counts of all processes stand in one place; a gauge has this process' own value and the merged ones apart, because a
 * merge replaces the latter only. */
struct metric {
    struct list link; /* in metrics.series[id] */
    enum metric_id id;
    char labels[METRICS_LABELS_MAX][METRICS_LABEL_MAX];
    uint64_t count; /* counter; histogram: observations */
    uint64_t sum_us;
    double own, merged;
    bool is_own, is_merged;
    uint64_t buckets[]; /* per bound, not cumulative; what is above the last bound is in count alone */
};

struct metrics {
    struct list series[METRIC_COUNT];
    struct map *index;
    size_t n_series;
    struct map *sources; /* who -> struct source, of a merged registry */
};

/* The table's row, labels split. */
const struct metric_info *metrics_info(enum metric_id id);
struct metric *metrics_find_or_make(struct metrics *m, enum metric_id id, const char *const *labels,
                                    unsigned n);
bool metrics_is_gauge(enum metric_type type);
/* Has it a value to show? */
bool metrics_is_live(const struct metric *s);
double metrics_gauge(const struct metric *s);
void metrics_sources_free(struct metrics *m);

#endif
