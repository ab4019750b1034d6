/* metrics - counters, gauges and histograms with closed label sets (metrics.def), merged over the host's processes.
 *
 * A process counts into its own registry and sends a snapshot each second; the master merges the snapshots (what a
 * dead process had counted is kept) and hands the sum to the console, which renders it for Prometheus.
 */
#ifndef DRAY_COMMON_METRICS_METRICS_H
#define DRAY_COMMON_METRICS_METRICS_H

#include <stddef.h>
#include <stdint.h>

#include "common/base/buf.h"

#define METRICS_LABELS_MAX 3
#define METRICS_LABEL_MAX  64
#define METRICS_SERIES_MAX 2000 /* further label sets are counted in the series "other" */
#define METRICS_BUCKETS    16

enum metric_type { METRIC_COUNTER, METRIC_SECONDS, METRIC_GAUGE, METRIC_GAUGE_MAX, METRIC_HISTOGRAM };

enum metric_id {
#define X(NAME, type, name, labels, buckets, help) METRIC_##NAME,
#include "common/metrics/metrics.def"
#undef X
    METRIC_COUNT
};

struct metrics;
struct metric; /* one series; stays valid as long as its registry */

struct metrics *metrics_new(void);
void metrics_free(struct metrics *m);

/* Finds or makes a series; label values in the table's order, NULL-ended; a missing one is "", a long one is cut.
 * Look it up once, count often. */
struct metric *metrics_series(struct metrics *m, enum metric_id id, ...) __attribute__((sentinel));
void metric_add(struct metric *s, uint64_t n); /* counter; microseconds for a SECONDS counter */
void metric_set(struct metric *s, double v);   /* gauge; for a SECONDS counter the seconds so far */
void metric_unset(struct metric *s);           /* gauge: this process has nothing to say about it any more */
void metric_observe_us(struct metric *s, uint64_t us); /* histogram of seconds */
uint64_t metric_count(const struct metric *s);         /* a counter's value, a histogram's observations */

/* The whole registry as bytes. */
int metrics_encode(const struct metrics *m, struct buf *out);
/* Replaces what `who` (a slot: any text) said before by this snapshot; generation tells a successor, whose counters
 * begin at nothing, from the same process. All counts are checked; -1 with EPROTO leaves the registry as it was. */
int metrics_merge(struct metrics *sum, const char *who, uint32_t generation, const void *bytes, size_t len);
/* `who` is gone for good: its gauges vanish, its counters stay in the sum. */
void metrics_forget(struct metrics *sum, const char *who);
/* A registry with what every process said last, for a successor of this process: counts go on where they were. carry_in
 * adds to an empty one; all counts are checked; -1 with EPROTO leaves it as it was. */
int metrics_carry_out(const struct metrics *m, struct buf *out);
int metrics_carry_in(struct metrics *m, const void *bytes, size_t len);
/* Sum over all series of id whose labels match ("" and a missing one match any); of a histogram the observations, of a
 * SECONDS counter the seconds. */
double metrics_value(const struct metrics *m, enum metric_id id, ...) __attribute__((sentinel));
/* Visits the series of id that have a value, in the order they were made. */
typedef void (*metrics_visit_fn)(const char *const labels[METRICS_LABELS_MAX], double value, void *arg);
void metrics_visit(const struct metrics *m, enum metric_id id, metrics_visit_fn fn, void *arg);
/* Prometheus text exposition format 0.0.4. */
int metrics_render(const struct metrics *m, struct buf *out);

const char *metrics_name(enum metric_id id);

#endif
