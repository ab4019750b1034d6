/* route - see route.h. */
#include "common/route/route.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/fatal.h"
#include "common/base/mem.h"
#include "common/event/event.h"
#include "common/event/filter.h"
#include "common/event/glob.h"

#define KEY_MAX 512

struct globs {
    struct glob *list;
    size_t n; /* 0: everything */
};

struct route {
    const struct conf_route *conf;
    struct globs source, type, event;
    struct filter **where;
    size_t n_where;
    struct route_set to;
    uint64_t salt;   /* each route takes other users */
    uint64_t sample; /* of 2^32 */
};

struct route_table {
    const struct conf *conf;
    struct route *routes;
    size_t n;
    struct pick *pick;
    int event; /* slot of the event's name; -1: nobody asks for it */
};

#define SAMPLE_ALL ((uint64_t)1 << 32)

static struct globs compile_globs(char *const *patterns)
{
    struct globs g = {0};
    while (patterns[g.n] != NULL)
        g.n++;
    g.list = xcalloc(g.n + 1, sizeof *g.list);
    for (size_t i = 0; i < g.n; i++)
        if (glob_compile(&g.list[i], patterns[i]) != NULL)
            panic("route: pattern %s was not checked", patterns[i]);
    return g;
}

static uint64_t hash(uint64_t h, const char *text)
{
    for (; *text != '\0'; text++)
        h = (h ^ (unsigned char)*text) * 0x100000001b3u;
    h ^= h >> 33; /* the end of MurmurHash3: every bit of the text decides every bit of the hash */
    h *= 0xff51afd7ed558ccdu;
    h ^= h >> 33;
    h *= 0xc4ceb9fe1a85ec53u;
    return h ^ h >> 33;
}

static void compile(struct route_table *t, struct route *r, const struct conf_route *conf)
{
    static const char *const event[] = {"event"};
    r->conf = conf;
    r->source = compile_globs(conf->match_source);
    r->type = compile_globs(conf->match_type);
    r->event = compile_globs(conf->match_event);
    if (r->event.n > 0)
        t->event = pick_add(t->pick, event, 1);
    while (conf->match_where[r->n_where] != NULL)
        r->n_where++;
    r->where = xcalloc(r->n_where + 1, sizeof(struct filter *));
    for (size_t i = 0; i < r->n_where; i++) {
        struct filter_fault fault;
        r->where[i] = filter_compile(conf->match_where[i], t->pick, &fault);
        if (r->where[i] == NULL)
            panic("route: condition %s was not checked", conf->match_where[i]);
    }
    for (char *const *to = conf->to; *to != NULL; to++) {
        const struct conf_destination *d = conf_find_destination(t->conf, *to);
        if (d != NULL)
            ROUTE_SET_PUT(&r->to, (size_t)(d - t->conf->destinations));
    }
    r->salt = hash(0xcbf29ce484222325u, conf->id);
    r->sample = (uint64_t)(conf->sample * (double)SAMPLE_ALL);
}

struct route_table *route_table_new(const struct conf *conf)
{
    if (conf->n_routes == 0)
        return NULL;
    struct route_table *t = xcalloc(1, sizeof *t);
    t->conf = conf;
    t->pick = pick_new();
    t->n = conf->n_routes;
    t->event = -1;
    t->routes = xcalloc(t->n, sizeof *t->routes);
    for (size_t i = 0; i < t->n; i++)
        compile(t, &t->routes[i], &conf->routes[i]);
    return t;
}

void route_table_free(struct route_table *t)
{
    if (t == NULL)
        return;
    for (size_t i = 0; i < t->n; i++) {
        struct route *r = &t->routes[i];
        for (size_t j = 0; j < r->n_where; j++)
            filter_free(r->where[j]);
        free(r->where);
        free(r->source.list);
        free(r->type.list);
        free(r->event.list);
    }
    pick_free(t->pick);
    free(t->routes);
    free(t);
}

const struct pick *route_table_pick(const struct route_table *t)
{
    return t != NULL && pick_slots(t->pick) > 0 ? t->pick : NULL;
}

/* ---- the parts of a route */

static bool wants_source(const struct route *r, const char *source)
{
    for (size_t i = 0; i < r->source.n; i++)
        if (glob_match(&r->source.list[i], source, strlen(source)))
            return true;
    return r->source.n == 0;
}

static bool wants_type(const struct route *r, const struct event *e, const struct event_context *c)
{
    for (size_t i = 0; i < r->type.n; i++)
        if (c->type != NULL ? glob_match(&r->type.list[i], c->type, strlen(c->type))
                            : glob_match_json(&r->type.list[i], &e->field[EVENT_TYPE]))
            return true;
    return r->type.n == 0;
}

static bool wants_event(const struct route_table *t, const struct route *r, const struct json_slice *slots)
{
    for (size_t i = 0; i < r->event.n; i++)
        if (glob_match_json(&r->event.list[i], &slots[t->event]))
            return true;
    return r->event.n == 0;
}

/* The first condition that does not hold, or n_where. */
static size_t failing(const struct route *r, const struct json_slice *slots)
{
    size_t i = 0;
    while (i < r->n_where && filter_match(r->where[i], slots))
        i++;
    return i;
}

static bool wants_user(const struct route *r, const struct event *e, const struct event_context *c)
{
    char key[KEY_MAX];
    if (r->sample >= SAMPLE_ALL)
        return true;
    (void)event_check_scanned(e, c, key, sizeof key);
    return (uint32_t)hash(r->salt, key) < r->sample;
}

/* ---- */

void route_source(const struct route_table *t, const char *source, struct route_set *routes)
{
    *routes = (struct route_set){0};
    for (size_t i = 0; i < t->n; i++)
        if (wants_source(&t->routes[i], source))
            ROUTE_SET_PUT(routes, i);
}

bool route_match(const struct route_table *t, const struct route_set *of_source, const struct event *e,
                 const struct event_context *c, const struct json_slice *slots, struct route_set *routes,
                 struct route_set *destinations)
{
    bool any = false;
    *routes = *destinations = (struct route_set){0};
    for (size_t w = 0; w * 64 < t->n; w++)
        for (uint64_t left = of_source->bits[w]; left != 0; left &= left - 1) {
            size_t i = w * 64 + (size_t)__builtin_ctzll(left);
            const struct route *r = &t->routes[i];
            if (!wants_type(r, e, c) || !wants_event(t, r, slots) || failing(r, slots) < r->n_where ||
                !wants_user(r, e, c))
                continue;
            any = true;
            ROUTE_SET_PUT(routes, i);
            for (size_t d = 0; d < ROUTE_WORDS; d++)
                destinations->bits[d] |= r->to.bits[d];
        }
    return any;
}

/* ---- for people */

static void put_field(struct buf *out, const struct json_slice *v)
{
    if (v->text == NULL)
        (void)buf_puts(out, "it has none");
    else
        (void)buf_printf(out, "it is %.*s%s", (int)(v->len < 80 ? v->len : 80), v->text,
                         v->len > 80 ? "..." : "");
}

bool route_explain(const struct route_table *t, size_t i, const char *source, const struct event *e,
                   const struct event_context *c, const struct json_slice *slots, struct buf *why)
{
    const struct route *r = &t->routes[i];
    size_t condition = failing(r, slots);
    if (!wants_source(r, source)) {
        (void)buf_printf(why, "match.source: it is \"%s\"", source);
    } else if (!wants_type(r, e, c)) {
        (void)buf_puts(why, "match.type: ");
        if (c->type != NULL)
            (void)buf_printf(why, "it is \"%s\"", c->type);
        else
            put_field(why, &e->field[EVENT_TYPE]);
    } else if (!wants_event(t, r, slots)) {
        (void)buf_puts(why, "match.event: ");
        put_field(why, &slots[t->event]);
    } else if (condition < r->n_where) {
        (void)buf_printf(why, "match.where: %s", r->conf->match_where[condition]);
    } else if (!wants_user(r, e, c)) {
        (void)buf_puts(why, "sample: the user is not among those");
    } else {
        (void)buf_puts(why, "wants it");
        return true;
    }
    return false;
}

static void put_words(struct buf *out, const char *what, char *const *words)
{
    for (size_t i = 0; words[i] != NULL; i++)
        (void)buf_printf(out, "%s%s", i > 0 ? " or " : what, words[i]);
}

void route_describe(const struct conf_route *r, struct buf *out)
{
    if (r->match_source[0] == NULL)
        (void)buf_puts(out, "every source");
    put_words(out, "source ", r->match_source);
    put_words(out, ", type ", r->match_type);
    put_words(out, ", event ", r->match_event);
    for (char *const *w = r->match_where; *w != NULL; w++)
        (void)buf_printf(out, "%s(%s)", w == r->match_where ? ", where " : " and ", *w);
    if (r->sample < 1)
        (void)buf_printf(out, ", %g %% of users", r->sample * 100);
    for (size_t i = 0; r->to[i] != NULL; i++)
        (void)buf_printf(out, "%s%s", i > 0 ? ", " : " -> ", r->to[i]);
}
