/* table - the .def files as data, and the search in them.
 *
 * This file and conf.h are the only ones that include the .def files; everything else walks conf_sections. */
#include "common/conf/internal.h"

#include <stdio.h>
#include <string.h>

#include "common/base/str.h"

#define COUNT(a) (sizeof(a) / sizeof *(a))

#define FIELD_BOOL(f)     f
#define FIELD_U64(f)      f
#define FIELD_COUNT(f)    f
#define FIELD_DURATION(f) f##_ms
#define FIELD_SIZE(f)     f##_bytes
#define FIELD_RATIO(f)    f
#define FIELD_RATE(f)     f
#define FIELD_STRING(f)   f
#define FIELD_SECRET(f)   f
#define FIELD_ENUM(f)     f
#define FIELD_WORDS(f)    f
#define FIELD_PAIRS(f)    f
#define FIELD_SECRETS(f)  f
#define FIELD_MAP(f)      f
#define FIELD_FILE(f)     f
#define FIELD_NAMES(f)    f

#define K(type, field, path, def, min, max, words, apply, help)                                              \
    {CONF_TYPE_##type,                                                                                       \
     offsetof(struct SECTION, FIELD_##type(field)),                                                          \
     path,                                                                                                   \
     def,                                                                                                    \
     min,                                                                                                    \
     max,                                                                                                    \
     words,                                                                                                  \
     CONF_APPLY_##apply,                                                                                     \
     help},

#define SECTION conf_node
static const struct conf_row node_rows[] = {
#include "common/conf/node.def"
};
#undef SECTION
#define SECTION conf_master
static const struct conf_row master_rows[] = {
#include "common/conf/master.def"
};
#undef SECTION
#define SECTION conf_ingest
static const struct conf_row ingest_rows[] = {
#include "common/conf/ingest.def"
};
#undef SECTION
#define SECTION conf_listener
static const struct conf_row listener_rows[] = {
#include "common/conf/listener.def"
};
#undef SECTION
#define SECTION conf_source
static const struct conf_row source_rows[] = {
#include "common/conf/source.def"
};
#undef SECTION
#define SECTION conf_quarantine
static const struct conf_row quarantine_rows[] = {
#include "common/conf/quarantine.def"
};
#undef SECTION
#define SECTION conf_spool
static const struct conf_row spool_rows[] = {
#include "common/conf/spool.def"
};
#undef SECTION
#define SECTION conf_redis
static const struct conf_row redis_rows[] = {
#include "common/conf/redis.def"
};
#undef SECTION
#define SECTION conf_queue
static const struct conf_row queue_rows[] = {
#include "common/conf/queue.def"
};
#undef SECTION
#define SECTION conf_delivery
static const struct conf_row delivery_rows[] = {
#include "common/conf/delivery.def"
};
#undef SECTION
#define SECTION conf_destination
static const struct conf_row destination_rows[] = {
#include "common/conf/destination.def"
};
#undef SECTION
#define SECTION conf_route
static const struct conf_row route_rows[] = {
#include "common/conf/route.def"
};
#undef SECTION
#define SECTION conf_takeover
static const struct conf_row takeover_rows[] = {
#include "common/conf/takeover.def"
};
#undef SECTION
#define SECTION conf_subscription
static const struct conf_row subscription_rows[] = {
#include "common/conf/subscription.def"
};
#undef SECTION
#define SECTION conf_program
static const struct conf_row program_rows[] = {
#include "common/conf/program.def"
};
#undef SECTION
#define SECTION conf_log
static const struct conf_row log_rows[] = {
#include "common/conf/log.def"
};
#undef SECTION
#define SECTION conf_console
static const struct conf_row console_rows[] = {
#include "common/conf/console.def"
};
#undef SECTION
#undef K

#define PLAIN(name)                                                                                          \
    {                                                                                                        \
#name, name##_rows, COUNT(name##_rows), offsetof(struct conf, name), 0, 0                            \
    }
#define LIST(path, one, many)                                                                                \
    {                                                                                                        \
        path, one##_rows, COUNT(one##_rows), offsetof(struct conf, many), offsetof(struct conf, n_##many),   \
            sizeof(struct conf_##one)                                                                        \
    }

const struct conf_section conf_sections[CONF_SECTIONS] = {
    PLAIN(node),
    PLAIN(master),
    PLAIN(ingest),
    LIST("ingest.listeners", listener, listeners),
    LIST("sources", source, sources),
    PLAIN(spool),
    PLAIN(quarantine),
    PLAIN(redis),
    PLAIN(queue),
    PLAIN(delivery),
    LIST("destinations", destination, destinations),
    LIST("routes", route, routes),
    LIST("takeover", takeover, takeovers),
    LIST("subscriptions", subscription, subscriptions),
    LIST("programs", program, programs),
    PLAIN(log),
    PLAIN(console),
};

_Static_assert(COUNT(ingest_rows) < CONF_ROWS_MAX && COUNT(master_rows) < CONF_ROWS_MAX &&
                   COUNT(queue_rows) < CONF_ROWS_MAX && COUNT(redis_rows) < CONF_ROWS_MAX &&
                   COUNT(destination_rows) < CONF_ROWS_MAX && COUNT(program_rows) < CONF_ROWS_MAX &&
                   COUNT(delivery_rows) < CONF_ROWS_MAX,
               "CONF_ROWS_MAX");

static const struct {
    const char *name, *path;
} aliases[] = {
#define A(name, path) {name, path},
#include "common/conf/alias.def"
#undef A
};

const struct conf_section *conf_table_section(const char *name)
{
    for (size_t i = 0; i < CONF_SECTIONS; i++)
        if (strcmp(conf_sections[i].name, name) == 0)
            return &conf_sections[i];
    return NULL;
}

/* The path inside the section that an SDK's name stands for, or NULL. */
static const char *alias_path(const struct conf_section *s, const char *name)
{
    size_t len = strlen(s->name);
    for (size_t i = 0; i < COUNT(aliases); i++)
        if (strcmp(aliases[i].name, name) == 0 && strncmp(aliases[i].path, s->name, len) == 0 &&
            aliases[i].path[len] == '.')
            return aliases[i].path + len + 1;
    return NULL;
}

const struct conf_row *conf_table_row(const struct conf_section *s, const char *path, bool *alias)
{
    const char *real = alias_path(s, path);
    *alias = real != NULL;
    if (real != NULL)
        path = real;
    for (size_t i = 0; i < s->n; i++)
        if (strcmp(s->rows[i].path, path) == 0)
            return &s->rows[i];
    return NULL;
}

bool conf_table_is_group(const struct conf_section *s, const char *path)
{
    size_t len = strlen(path);
    for (size_t i = 0; i < s->n; i++)
        if (strncmp(s->rows[i].path, path, len) == 0 && s->rows[i].path[len] == '.')
            return true;
    return false;
}

/* ---- suggestions */

struct search {
    const char *key;
    char best[64];
    unsigned distance;
    struct buf *known; /* every name at this place */
    char last[64];
};

/* Weighs the first segment of name (names of one group come one after the other). */
static void consider(struct search *s, const char *name)
{
    char word[64];
    size_t len = strcspn(name, ".");
    if (len >= sizeof word)
        return;
    memcpy(word, name, len);
    word[len] = '\0';
    if (strcmp(word, s->last) == 0)
        return;
    str_copy(s->last, word, sizeof s->last);
    (void)buf_printf(s->known, "%s%s", s->known->len > 0 ? ", " : "", word);
    unsigned d = str_distance(s->key, word);
    if (d < s->distance) {
        s->distance = d;
        str_copy(s->best, word, sizeof s->best);
    }
}

static void consider_section(struct search *search, const struct conf_section *s, const char *group)
{
    size_t len = strlen(group);
    for (size_t i = 0; i < s->n; i++) {
        const char *path = s->rows[i].path;
        if (len == 0)
            consider(search, path);
        else if (strncmp(path, group, len) == 0 && path[len] == '.')
            consider(search, path + len + 1);
    }
    size_t name_len = strlen(s->name);
    for (size_t i = 0; len == 0 && i < CONF_SECTIONS; i++)
        if (strncmp(conf_sections[i].name, s->name, name_len) == 0 && conf_sections[i].name[name_len] == '.')
            consider(search, conf_sections[i].name + name_len + 1);
}

/* The full path of a key with this very name somewhere else, or false. */
static bool find_elsewhere(const char *key, char *dst, size_t size)
{
    for (size_t i = 0; i < CONF_SECTIONS; i++) {
        const struct conf_section *s = &conf_sections[i];
        const char *alias = alias_path(s, key);
        for (size_t j = 0; j < s->n; j++) {
            const char *path = s->rows[j].path, *dot = strrchr(path, '.');
            if (strcmp(dot != NULL ? dot + 1 : path, key) == 0 || strcmp(path, key) == 0 ||
                (alias != NULL && strcmp(path, alias) == 0)) {
                snprintf(dst, size, "%s%s.%s", s->name, CONF_IS_LIST(s) ? "[]" : "", path);
                return true;
            }
        }
    }
    return false;
}

void conf_table_suggest(const struct conf_section *s, const char *group, const char *key, struct buf *out)
{
    struct buf known;
    buf_init(&known, 4096);
    struct search search = {.key = key, .distance = 1000, .known = &known};
    if (s != NULL)
        consider_section(&search, s, group);
    for (size_t i = 0; s == NULL && i < CONF_SECTIONS; i++)
        consider(&search, conf_sections[i].name);
    char elsewhere[128];
    size_t len = strlen(key);
    if (search.distance <= (len < 4 ? 1 : len < 9 ? 2 : 3))
        (void)buf_printf(out, "did you mean \"%s\"?", search.best);
    else if (find_elsewhere(key, elsewhere, sizeof elsewhere))
        (void)buf_printf(out, "did you mean \"%s\"?", elsewhere);
    else
        (void)buf_printf(out, "known here: %s", buf_cstr(&known));
    buf_fini(&known);
}
