/* metrics, wire form: a registry as bytes, and the merging of the processes' snapshots.
 *
 * "DM1", u16 groups; a group: text name, u8 type, u8 labels, u8 bounds, u32 series; a series: its label texts and its
 * value (counter u64, gauge f64, histogram u64 count, u64 sum, u64 per bound). Texts are u8 length and bytes, numbers
 * little-endian. Metrics go by name, so that another release's snapshot is readable: unknown ones are skipped.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"
#include "common/metrics/internal.h"

static const char magic[3] = {'D', 'M', '1'};

/* What one process said last. */
struct source {
    uint32_t generation;
    struct metrics *last;
};

/* ---- encoding */

static int put_number(struct buf *out, uint64_t v, unsigned bytes)
{
    unsigned char raw[8];
    for (unsigned i = 0; i < bytes; i++)
        raw[i] = (unsigned char)(v >> (8 * i));
    return buf_append(out, raw, bytes);
}

static int put_text(struct buf *out, const char *s)
{
    size_t len = strlen(s);
    return put_number(out, len, 1) != 0 ? -1 : buf_append(out, s, len);
}

static int put_double(struct buf *out, double v)
{
    uint64_t raw;
    memcpy(&raw, &v, sizeof raw);
    return put_number(out, raw, 8);
}

static int put_series(struct buf *out, const struct metric_info *info, const struct metric *s)
{
    for (unsigned i = 0; i < info->n_labels; i++)
        if (put_text(out, s->labels[i]) != 0)
            return -1;
    if (metrics_is_gauge(info->type))
        return put_double(out, metrics_gauge(s));
    if (put_number(out, s->count, 8) != 0)
        return -1;
    if (info->type != METRIC_HISTOGRAM)
        return 0;
    if (put_number(out, s->sum_us, 8) != 0)
        return -1;
    for (unsigned i = 0; i < info->n_bounds; i++)
        if (put_number(out, s->buckets[i], 8) != 0)
            return -1;
    return 0;
}

static uint32_t count_live(const struct metrics *m, enum metric_id id)
{
    uint32_t n = 0;
    const struct metric *s;
    list_foreach(s, &m->series[id], const struct metric, link) n += metrics_is_live(s);
    return n;
}

static int put_group(struct buf *out, const struct metrics *m, enum metric_id id, uint32_t n)
{
    const struct metric_info *info = metrics_info(id);
    if (put_text(out, info->name) != 0 || put_number(out, info->type, 1) != 0 ||
        put_number(out, info->n_labels, 1) != 0 || put_number(out, info->n_bounds, 1) != 0 ||
        put_number(out, n, 4) != 0)
        return -1;
    const struct metric *s;
    list_foreach(s, &m->series[id], const struct metric,
                 link) if (metrics_is_live(s) && put_series(out, info, s) != 0) return -1;
    return 0;
}

int metrics_encode(const struct metrics *m, struct buf *out)
{
    size_t before = out->len;
    unsigned groups = 0;
    for (unsigned i = 0; i < METRIC_COUNT; i++)
        groups += count_live(m, (enum metric_id)i) > 0;
    int rc = buf_append(out, magic, sizeof magic) != 0 ? -1 : put_number(out, groups, 2);
    for (unsigned i = 0; i < METRIC_COUNT && rc == 0; i++) {
        uint32_t n = count_live(m, (enum metric_id)i);
        if (n > 0)
            rc = put_group(out, m, (enum metric_id)i, n);
    }
    if (rc != 0)
        out->len = before;
    return rc;
}

/* ---- decoding */

struct reader {
    const unsigned char *at, *end;
};

static bool get_number(struct reader *r, unsigned bytes, uint64_t *v)
{
    if ((size_t)(r->end - r->at) < bytes)
        return false;
    *v = 0;
    for (unsigned i = 0; i < bytes; i++)
        *v |= (uint64_t)r->at[i] << (8 * i);
    r->at += bytes;
    return true;
}

static bool get_text(struct reader *r, char *dst, size_t size)
{
    uint64_t len;
    if (!get_number(r, 1, &len) || len >= size || (size_t)(r->end - r->at) < len ||
        memchr(r->at, '\0', len) != NULL)
        return false;
    memcpy(dst, r->at, len);
    dst[len] = '\0';
    r->at += len;
    return true;
}

struct group {
    char name[64];
    int id; /* -1: not known here */
    enum metric_type type;
    unsigned n_labels, n_bounds;
    uint64_t n_series;
};

static int find_metric(const char *name)
{
    for (unsigned i = 0; i < METRIC_COUNT; i++)
        if (strcmp(metrics_name((enum metric_id)i), name) == 0)
            return (int)i;
    return -1;
}

static bool get_group(struct reader *r, struct group *g)
{
    uint64_t type, labels, bounds;
    if (!get_text(r, g->name, sizeof g->name) || !get_number(r, 1, &type) || !get_number(r, 1, &labels) ||
        !get_number(r, 1, &bounds) || !get_number(r, 4, &g->n_series))
        return false;
    if (type > METRIC_HISTOGRAM || labels > METRICS_LABELS_MAX || bounds > METRICS_BUCKETS ||
        (bounds > 0 && type != METRIC_HISTOGRAM))
        return false;
    /* A series takes a byte for each label and 8 for its value. */
    if (g->n_series > (size_t)(r->end - r->at) / (labels + 8))
        return false;
    g->type = (enum metric_type)type;
    g->n_labels = (unsigned)labels;
    g->n_bounds = (unsigned)bounds;
    g->id = find_metric(g->name);
    if (g->id < 0)
        return true;
    const struct metric_info *info = metrics_info((enum metric_id)g->id);
    if (info->type != g->type || info->n_labels != g->n_labels || info->n_bounds != g->n_bounds)
        g->id = -1; /* the same name with another meaning: another release */
    return true;
}

static bool get_series(struct reader *r, const struct group *g, struct metrics *into)
{
    char labels[METRICS_LABELS_MAX][METRICS_LABEL_MAX];
    const char *pointers[METRICS_LABELS_MAX];
    for (unsigned i = 0; i < g->n_labels; i++) {
        if (!get_text(r, labels[i], sizeof labels[i]))
            return false;
        pointers[i] = labels[i];
    }
    uint64_t value, sum = 0, buckets[METRICS_BUCKETS] = {0};
    if (!get_number(r, 8, &value) || (g->type == METRIC_HISTOGRAM && !get_number(r, 8, &sum)))
        return false;
    for (unsigned i = 0; i < g->n_bounds; i++)
        if (!get_number(r, 8, &buckets[i]))
            return false;
    if (g->id < 0)
        return true;
    struct metric *s = metrics_find_or_make(into, (enum metric_id)g->id, pointers, g->n_labels);
    if (metrics_is_gauge(g->type)) {
        memcpy(&s->own, &value, sizeof s->own);
        s->is_own = true;
        return true;
    }
    s->count += value;
    s->sum_us += sum;
    for (unsigned i = 0; i < g->n_bounds; i++)
        s->buckets[i] += buckets[i];
    return true;
}

static struct metrics *decode(const void *bytes, size_t len)
{
    struct reader r = {bytes, (const unsigned char *)bytes + len};
    uint64_t groups;
    if (len < sizeof magic || memcmp(bytes, magic, sizeof magic) != 0)
        return NULL;
    r.at += sizeof magic;
    if (!get_number(&r, 2, &groups))
        return NULL;
    struct metrics *m = metrics_new();
    bool good = true;
    for (uint64_t i = 0; i < groups && good; i++) {
        struct group g;
        good = get_group(&r, &g);
        for (uint64_t k = 0; good && k < g.n_series; k++)
            good = get_series(&r, &g, m);
    }
    if (good && r.at == r.end)
        return m;
    metrics_free(m);
    return NULL;
}

/* ---- merging */

/* Adds (or takes back) one snapshot's counters. Unsigned arithmetic wraps, so taking back is exact. */
static void apply_counters(struct metrics *sum, const struct metrics *part, bool add)
{
    for (unsigned i = 0; i < METRIC_COUNT; i++) {
        const struct metric_info *info = metrics_info((enum metric_id)i);
        const struct metric *p;
        if (metrics_is_gauge(info->type))
            continue;
        list_foreach(p, &part->series[i], const struct metric, link)
        {
            const char *labels[METRICS_LABELS_MAX];
            for (unsigned k = 0; k < info->n_labels; k++)
                labels[k] = p->labels[k];
            struct metric *s = metrics_find_or_make(sum, (enum metric_id)i, labels, info->n_labels);
            s->count += add ? p->count : 0 - p->count;
            s->sum_us += add ? p->sum_us : 0 - p->sum_us;
            for (unsigned k = 0; k < info->n_bounds; k++)
                s->buckets[k] += add ? p->buckets[k] : 0 - p->buckets[k];
        }
    }
}

static void merge_gauge(struct metrics *sum, const struct metric *p)
{
    const struct metric_info *info = metrics_info(p->id);
    const char *labels[METRICS_LABELS_MAX];
    for (unsigned k = 0; k < info->n_labels; k++)
        labels[k] = p->labels[k];
    struct metric *s = metrics_find_or_make(sum, p->id, labels, info->n_labels);
    double v = metrics_gauge(p);
    if (info->type == METRIC_GAUGE)
        s->merged += v;
    else if (!s->is_merged || v > s->merged)
        s->merged = v;
    s->is_merged = true;
}

/* Gauges are built anew from what every process said last: no rounding adds up, and what nobody says vanishes. */
static void rebuild_gauges(struct metrics *sum)
{
    for (unsigned i = 0; i < METRIC_COUNT; i++) {
        struct metric *s;
        if (!metrics_is_gauge(metrics_info((enum metric_id)i)->type))
            continue;
        list_foreach(s, &sum->series[i], struct metric, link)
        {
            s->merged = 0;
            s->is_merged = false;
        }
        size_t it = 0, key_len;
        const void *key;
        void *value;
        while (map_next(sum->sources, &it, &key, &key_len, &value)) {
            const struct source *source = value;
            const struct metric *p;
            list_foreach(p, &source->last->series[i], const struct metric, link) if (metrics_is_live(p))
                merge_gauge(sum, p);
        }
    }
}

int metrics_merge(struct metrics *sum, const char *who, uint32_t generation, const void *bytes, size_t len)
{
    struct metrics *fresh = decode(bytes, len);
    if (fresh == NULL) {
        errno = EPROTO;
        return -1;
    }
    struct source *source = map_get(sum->sources, who, strlen(who));
    if (source == NULL) {
        source = xcalloc(1, sizeof *source);
        (void)map_put(sum->sources, who, strlen(who), source);
    } else {
        if (source->generation == generation)
            apply_counters(sum, source->last, false);
        metrics_free(source->last);
    }
    source->generation = generation;
    source->last = fresh;
    apply_counters(sum, fresh, true);
    rebuild_gauges(sum);
    return 0;
}

static void source_free(struct source *source)
{
    metrics_free(source->last);
    free(source);
}

void metrics_forget(struct metrics *sum, const char *who)
{
    struct source *source = map_remove(sum->sources, who, strlen(who));
    if (source == NULL)
        return;
    source_free(source);
    rebuild_gauges(sum);
}

void metrics_sources_free(struct metrics *m)
{
    size_t it = 0, key_len;
    const void *key;
    void *value;
    while (map_next(m->sources, &it, &key, &key_len, &value))
        source_free(value);
}

/* ---- carrying over: "DC1", u32 length and the registry, u16 sources; a source: text who, u32 generation, u32 length
 * and its last snapshot */

static const char carry_magic[3] = {'D', 'C', '1'};

static int put_registry(struct buf *out, const struct metrics *m)
{
    size_t at = out->len;
    if (put_number(out, 0, 4) != 0 || metrics_encode(m, out) != 0)
        return -1;
    uint64_t len = out->len - at - 4;
    for (unsigned i = 0; i < 4; i++)
        out->data[at + i] = (char)(len >> (8 * i));
    return 0;
}

int metrics_carry_out(const struct metrics *m, struct buf *out)
{
    size_t it = 0, key_len, n = 0;
    const void *key;
    void *value;
    while (map_next(m->sources, &it, &key, &key_len, &value))
        n++;
    if (buf_append(out, carry_magic, sizeof carry_magic) != 0 || put_registry(out, m) != 0 ||
        put_number(out, n, 2) != 0)
        return -1;
    it = 0;
    while (map_next(m->sources, &it, &key, &key_len, &value)) {
        const struct source *source = value;
        if (put_number(out, key_len, 1) != 0 || buf_append(out, key, key_len) != 0 ||
            put_number(out, source->generation, 4) != 0 || put_registry(out, source->last) != 0)
            return -1;
    }
    return 0;
}

static struct metrics *get_registry(struct reader *r)
{
    uint64_t len;
    if (!get_number(r, 4, &len) || len > (size_t)(r->end - r->at))
        return NULL;
    struct metrics *m = decode(r->at, len);
    r->at += len;
    return m;
}

static bool get_source(struct reader *r, struct metrics *into)
{
    char who[256];
    uint64_t generation;
    struct metrics *last;
    if (!get_text(r, who, sizeof who) || !get_number(r, 4, &generation) || (last = get_registry(r)) == NULL)
        return false;
    if (map_get(into->sources, who, strlen(who)) != NULL) {
        metrics_free(last);
        return false;
    }
    struct source *source = xcalloc(1, sizeof *source);
    source->generation = (uint32_t)generation;
    source->last = last;
    (void)map_put(into->sources, who, strlen(who), source);
    return true;
}

int metrics_carry_in(struct metrics *m, const void *bytes, size_t len)
{
    struct reader r = {bytes, (const unsigned char *)bytes + len};
    struct metrics *all = NULL, *with = metrics_new();
    uint64_t n;
    bool good = len >= sizeof carry_magic && memcmp(bytes, carry_magic, sizeof carry_magic) == 0;
    r.at += good ? sizeof carry_magic : 0;
    good = good && (all = get_registry(&r)) != NULL && get_number(&r, 2, &n);
    for (uint64_t i = 0; good && i < n; i++)
        good = get_source(&r, with);
    good = good && r.at == r.end;
    if (good) {
        struct map *empty = m->sources;
        m->sources = with->sources;
        with->sources = empty;
        apply_counters(m, all, true);
        rebuild_gauges(m);
    }
    metrics_free(all);
    metrics_free(with);
    if (!good)
        errno = EPROTO;
    return good ? 0 : -1;
}
