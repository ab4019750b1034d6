/* source - see source.h. */
#include "workers/ingest/source.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/map.h"
#include "common/base/mem.h"

struct source_table {
    struct map *by_key;
    struct source *sources; /* n of the configuration, then the unknown one */
    size_t n;
};

static void prepare(struct source *s, const char *id, bool enabled, const struct conf *conf,
                    struct metrics *m)
{
    s->id = id;
    s->enabled = enabled;
    s->metrics = m;
    s->accepted = metrics_series(m, METRIC_INGEST_EVENTS, id, "accepted", NULL);
    s->quarantined = metrics_series(m, METRIC_INGEST_EVENTS, id, "quarantined", NULL);
    s->refused = metrics_series(m, METRIC_INGEST_EVENTS, id, "refused", NULL);
    s->wire_bytes = metrics_series(m, METRIC_INGEST_BYTES, id, "wire", NULL);
    s->body_bytes = metrics_series(m, METRIC_INGEST_BYTES, id, "body", NULL);
    s->duration = metrics_series(m, METRIC_INGEST_DURATION, id, NULL);
    s->lanes = xcalloc(conf->n_destinations, sizeof *s->lanes);
    for (size_t i = 0; i < conf->n_destinations; i++)
        s->lanes[i] = (struct batch_lane){.source = id, .queue = conf->destinations[i].id};
}

struct source_table *source_table_new(const struct conf *conf, struct metrics *metrics)
{
    struct source_table *t = xcalloc(1, sizeof *t);
    t->by_key = map_new();
    t->n = conf->n_sources;
    t->sources = xcalloc(t->n + 1, sizeof *t->sources);
    for (size_t i = 0; i < t->n; i++) {
        const struct conf_source *c = &conf->sources[i];
        prepare(&t->sources[i], c->id, c->enabled, conf, metrics);
        if (c->write_key != NULL && c->write_key[0] != '\0')
            map_put(t->by_key, c->write_key, strlen(c->write_key), &t->sources[i]);
    }
    prepare(&t->sources[t->n], "", true, conf, metrics);
    return t;
}

void source_table_free(struct source_table *t)
{
    if (t == NULL)
        return;
    for (size_t i = 0; i <= t->n; i++)
        free(t->sources[i].lanes);
    map_free(t->by_key);
    free(t->sources);
    free(t);
}

struct source *source_find(struct source_table *t, const char *write_key)
{
    return map_get(t->by_key, write_key, strlen(write_key));
}

struct source *source_unknown(struct source_table *t)
{
    return &t->sources[t->n];
}

void source_count_request(struct source *s, int status, uint64_t duration_us)
{
    metric_observe_us(s->duration, duration_us);
    for (int i = 0; i < SOURCE_STATUSES; i++) {
        struct source_status *st = &s->statuses[i];
        if (st->status == 0) {
            char code[12];
            snprintf(code, sizeof code, "%d", status);
            st->status = status;
            st->requests = metrics_series(s->metrics, METRIC_INGEST_REQUESTS, s->id, code, NULL);
        }
        if (st->status == status) {
            metric_add(st->requests, 1);
            return;
        }
    }
}
