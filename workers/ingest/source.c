/* source - see source.h. */
#include "workers/ingest/source.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/map.h"
#include "common/base/mem.h"
#include "workers/ingest/auth.h"
#include "workers/ingest/cors.h"
#include "workers/ingest/seen.h"

struct source_key {
    uint64_t hash; /* keyed: nobody outside can choose or guess one */
    struct source *source;
    char text[AUTH_KEY_MAX]; /* zeros behind it */
};

struct source_table {
    struct source_key *keys; /* n_keys, and one that nobody has */
    size_t n_keys;
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
    s->repeated = metrics_series(m, METRIC_INGEST_DUPLICATES, id, "in_hand", NULL);
    s->seen = metrics_series(m, METRIC_INGEST_DUPLICATES, id, "stored", NULL);
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

static void set_listeners(struct source *s, const struct conf *conf, char *const *ids)
{
    s->everywhere = ids[0] == NULL;
    memset(s->listeners, 0, sizeof s->listeners);
    for (; *ids != NULL; ids++)
        for (size_t i = 0; i < conf->n_listeners && i < CONF_LIST_MAX; i++)
            if (strcmp(conf->listeners[i].id, *ids) == 0)
                s->listeners[i / 8] |= (unsigned char)(1u << i % 8);
}

static void set_key(struct source_key *k, const char *text, struct source *s)
{
    k->hash = map_hash(text, strlen(text));
    k->source = s;
    memset(k->text, 0, sizeof k->text);
    memcpy(k->text, text, strlen(text));
}

static void free_keys(struct source_table *t)
{
    if (t->keys != NULL)
        explicit_bzero(t->keys, (t->n_keys + 1) * sizeof *t->keys);
    free(t->keys);
    t->keys = NULL;
    t->n_keys = 0;
}

void source_table_set(struct source_table *t, const struct conf *conf)
{
    static char *const nothing[] = {NULL};
    struct source *s;
    uint64_t now = clock_mono_ms();
    free_keys(t);
    t->keys = xcalloc(conf->n_sources + 1, sizeof *t->keys);
    list_foreach(s, &t->sources, struct source, link)
    {
        s->cors = nothing; /* what it pointed to goes with the old configuration */
    }
    unsigned share = conf->master.processes_ingest > 1 ? (unsigned)conf->master.processes_ingest : 1;
    for (size_t i = 0; i < conf->n_sources; i++) {
        const struct conf_source *c = &conf->sources[i];
        s = find_id(t, c->id);
        if (s == NULL)
            s = add(t, c->id, conf);
        s->enabled = c->enabled;
        s->ack = c->ack;
        seen_source_key(c->id, c->write_key, s->seen_key);
        s->cors = c->cors;
        set_listeners(s, conf, c->listeners);
        limiter_set(&s->limiter, c->rate_limit, share, now);
        if (c->write_key != NULL && c->write_key[0] != '\0' && strlen(c->write_key) < AUTH_KEY_MAX)
            set_key(&t->keys[t->n_keys++], c->write_key, s);
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
    free_keys(t);
    free(t);
}

struct source *source_find(struct source_table *t, const char *write_key)
{
    char padded[AUTH_KEY_MAX] = {0};
    size_t len = strlen(write_key), at = t->n_keys;
    if (len >= sizeof padded)
        return NULL;
    memcpy(padded, write_key, len);
    uint64_t hash = map_hash(write_key, len);
    for (size_t i = 0; i < t->n_keys; i++) { /* all of them, whatever is found */
        uint64_t differ = hash ^ t->keys[i].hash;
        size_t same = (size_t)(((differ | (0 - differ)) >> 63) - 1); /* all bits where differ is 0 */
        at = (at & ~same) | (i & same);
    }
    const struct source_key *k = &t->keys[at]; /* none: the last, whose text is empty */
    unsigned char differ = 0;
    for (size_t i = 0; i < sizeof padded; i++)
        differ |= (unsigned char)(padded[i] ^ k->text[i]);
    return differ == 0 ? k->source : NULL;
}

bool source_any_allows(const struct source_table *t, const char *origin, unsigned listener)
{
    for (size_t i = 0; i < t->n_keys; i++) {
        const struct source *s = t->keys[i].source;
        if (s->enabled && source_is_on(s, listener) && cors_allows(s->cors, origin))
            return true;
    }
    return false;
}

struct source *source_unknown(struct source_table *t)
{
    return t->unknown;
}

int source_ack(const struct source *s, const struct conf_ingest *all)
{
    return s->ack == CONF_SOURCE_ACK_INHERIT ? all->ack : s->ack - CONF_SOURCE_ACK_OWN;
}

void source_count_seen(struct source_table *t, const char *id, uint32_t n)
{
    struct source *s = find_id(t, id);
    if (s != NULL)
        metric_add(s->seen, n);
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

void source_count_rejected(struct source *s, const char *reason)
{
    metric_add(metrics_series(s->metrics, METRIC_INGEST_REJECTED, s->id, reason, NULL), 1);
}
