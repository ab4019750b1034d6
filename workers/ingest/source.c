/* source - see source.h. */
#include "workers/ingest/source.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/map.h"
#include "common/base/mem.h"

struct source_table {
    struct map *by_key;
    struct list sources; /* every one that there ever was: batches and requests under way point to them */
    struct source *unknown;
    struct metrics *metrics;
};

static struct source *add(struct source_table *t, const char *id, const struct conf *conf)
{
    struct source *s = xcalloc(1, sizeof *s);
    struct metrics *m = t->metrics;
    list_push_back(&t->sources, &s->link);
    s->id = xstrdup(id);
    s->enabled = true;
    s->metrics = m;
    s->accepted = metrics_series(m, METRIC_INGEST_EVENTS, id, "accepted", NULL);
    s->quarantined = metrics_series(m, METRIC_INGEST_EVENTS, id, "quarantined", NULL);
    s->refused = metrics_series(m, METRIC_INGEST_EVENTS, id, "refused", NULL);
    s->unrouted = metrics_series(m, METRIC_INGEST_EVENTS, id, "unrouted", NULL);
    s->wire_bytes = metrics_series(m, METRIC_INGEST_BYTES, id, "wire", NULL);
    s->body_bytes = metrics_series(m, METRIC_INGEST_BYTES, id, "body", NULL);
    s->duration = metrics_series(m, METRIC_INGEST_DURATION, id, NULL);
    s->lanes = xcalloc(conf->n_destinations, sizeof *s->lanes);
    for (size_t i = 0; i < conf->n_destinations; i++)
        s->lanes[i] = (struct batch_lane){.source = s->id, .queue = conf->destinations[i].id};
    return s;
}

static struct source *find_id(const struct source_table *t, const char *id)
{
    struct source *s;
    list_foreach(s, &t->sources, struct source, link)
    {
        if (strcmp(s->id, id) == 0)
            return s;
    }
    return NULL;
}

void source_table_set(struct source_table *t, const struct conf *conf)
{
    map_free(t->by_key);
    t->by_key = map_new();
    for (size_t i = 0; i < conf->n_sources; i++) {
        const struct conf_source *c = &conf->sources[i];
        struct source *s = find_id(t, c->id);
        if (s == NULL)
            s = add(t, c->id, conf);
        s->enabled = c->enabled;
        s->ack = c->ack;
        if (c->write_key != NULL && c->write_key[0] != '\0')
            map_put(t->by_key, c->write_key, strlen(c->write_key), s);
    }
}

struct source_table *source_table_new(const struct conf *conf, struct metrics *metrics)
{
    struct source_table *t = xcalloc(1, sizeof *t);
    list_init(&t->sources);
    t->metrics = metrics;
    t->unknown = add(t, "", conf);
    source_table_set(t, conf);
    return t;
}

void source_table_free(struct source_table *t)
{
    if (t == NULL)
        return;
    struct source *s;
    while ((s = list_first(&t->sources, struct source, link)) != NULL) {
        list_remove(&s->link);
        free(s->lanes);
        free(s->id);
        free(s);
    }
    map_free(t->by_key);
    free(t);
}

struct source *source_find(struct source_table *t, const char *write_key)
{
    return map_get(t->by_key, write_key, strlen(write_key));
}

struct source *source_unknown(struct source_table *t)
{
    return t->unknown;
}

int source_ack(const struct source *s, const struct conf_ingest *all)
{
    return s->ack == CONF_SOURCE_ACK_INHERIT ? all->ack : s->ack - CONF_SOURCE_ACK_OWN;
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
