/* build - trees to a struct conf: each layer says which item sets which row, the last one wins, then every row that
 * was set is converted. Faults are collected, never only the first. */
#include "common/conf/internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"
#include "common/base/str.h"

#define PATH_SIZE 256

static size_t section_index(const struct conf_section *s)
{
    return (size_t)(s - conf_sections);
}

static struct conf_place place_of(const struct conf_item *item, const char *path, bool at_key)
{
    bool key = at_key && item->key_line > 0;
    return (struct conf_place){.from = item->from,
                               .line = key ? item->key_line : item->line,
                               .column = key ? item->key_column : item->column,
                               .path = path};
}

static const char *kind_name(const struct conf_item *item)
{
    return item->kind == CONF_ITEM_MAP ? "a map" : item->kind == CONF_ITEM_LIST ? "a list" : "a value";
}

static void tell_unknown(struct conf_reader *r, const struct conf_item *item, const struct conf_section *s,
                         const char *group, const char *path, const char *key)
{
    struct buf hint;
    buf_init(&hint, 8192);
    conf_table_suggest(s, group, key, &hint);
    struct conf_place at = place_of(item, path, true);
    if (r->skip_unknown)
        conf_warning(r, &at, "unknown to this version; left out");
    else
        conf_fault(r, &at, "unknown key; %s", buf_cstr(&hint));
    buf_fini(&hint);
}

/* A map, or nothing at all ("limits:" with only comments below); anything else is told. */
static bool is_map(struct conf_reader *r, const struct conf_item *item, const char *path)
{
    if (item->kind == CONF_ITEM_MAP)
        return true;
    if (!item->empty) {
        struct conf_place at = place_of(item, path, false);
        conf_fault(r, &at, "expected keys below it, got %s", kind_name(item));
    }
    return false;
}

/* ---- layers: which item sets which row */

struct walk {
    struct conf_reader *r;
    const struct conf_section *section;
    const struct conf_item **set; /* by row */
    struct conf_layers *layers;   /* for lists inside the section; NULL inside a list's element */
    const char *front;            /* of every path in messages: "ingest", "sources[web]" */
};

static void set_row(const struct walk *w, const struct conf_row *row, const struct conf_item *item,
                    bool fresh, const char *full)
{
    const struct conf_item **place = &w->set[row - w->section->rows];
    if (*place != NULL && fresh && (*place)->from == item->from) {
        struct conf_place at = place_of(item, full, true);
        conf_fault(w->r, &at, "set twice, under two names (first: line %u)", (*place)->key_line);
    }
    *place = item;
}

static void walk_map(const struct walk *w, const struct conf_item *map, const char *group)
{
    for (const struct conf_item *item = map->first; item != NULL; item = item->next) {
        char path[PATH_SIZE], full[PATH_SIZE], list[PATH_SIZE];
        const char *dot = group[0] != '\0' ? "." : "";
        bool fits = (size_t)snprintf(path, sizeof path, "%s%s%s", group, dot, item->key) < 100;
        snprintf(full, sizeof full, "%s.%.100s", w->front, path);
        snprintf(list, sizeof list, "%s.%.100s", w->section->name, path);
        bool alias = false;
        const struct conf_row *row =
            fits && strchr(item->key, '.') == NULL ? conf_table_row(w->section, path, &alias) : NULL;
        const struct conf_section *inner = w->layers != NULL ? conf_table_section(list) : NULL;
        if (row != NULL)
            set_row(w, row, item, true, full);
        else if (fits && inner != NULL && CONF_IS_LIST(inner))
            w->layers->list[section_index(inner)] = item;
        else if (fits && strchr(item->key, '.') == NULL && conf_table_is_group(w->section, path)) {
            if (is_map(w->r, item, full))
                walk_map(w, item, path);
        } else
            tell_unknown(w->r, item, w->section, group, full, item->key);
    }
}

static void check_version(struct conf_layers *l, const struct conf_item *item)
{
    if (item->kind == CONF_ITEM_SCALAR && strcmp(item->text, "1") == 0)
        return;
    struct conf_place at = place_of(item, "version", false);
    conf_fault(l->r, &at, "this program reads version 1 of the configuration; write version: 1");
}

void conf_build_layer(struct conf_layers *l, const struct conf_item *root)
{
    if (!is_map(l->r, root, ""))
        return;
    for (const struct conf_item *item = root->first; item != NULL; item = item->next) {
        const struct conf_section *s = strchr(item->key, '.') == NULL ? conf_table_section(item->key) : NULL;
        if (strcmp(item->key, "version") == 0)
            check_version(l, item);
        else if (s == NULL)
            tell_unknown(l->r, item, NULL, "", item->key, item->key);
        else if (CONF_IS_LIST(s))
            l->list[section_index(s)] = item;
        else if (is_map(l->r, item, item->key))
            walk_map(&(struct walk){l->r, s, l->set[section_index(s)], l, s->name}, item, "");
    }
}

void conf_build_override(struct conf_layers *l, const char *path, const struct conf_item *value)
{
    const struct conf_section *s = conf_table_section(path);
    if (s != NULL && CONF_IS_LIST(s)) {
        l->list[section_index(s)] = value;
        return;
    }
    char name[PATH_SIZE];
    size_t len = strcspn(path, ".");
    struct conf_place at = place_of(value, path, false);
    snprintf(name, sizeof name, "%.*s", (int)(len < 100 ? len : 100), path);
    s = conf_table_section(name);
    if (s == NULL) {
        tell_unknown(l->r, value, NULL, "", path, name);
        return;
    }
    if (CONF_IS_LIST(s) || path[len] == '\0') {
        conf_fault(l->r, &at, "%s",
                   CONF_IS_LIST(s) ? "is a list; give the whole list as YAML, such as [{id: a}]"
                                   : "is a section; name one of its keys");
        return;
    }
    bool alias;
    const struct conf_row *row = conf_table_row(s, path + len + 1, &alias);
    if (row == NULL && conf_table_is_group(s, path + len + 1)) {
        conf_fault(l->r, &at, "is a group of keys; name one of them");
        return;
    }
    if (row == NULL) {
        char group[PATH_SIZE];
        const char *last = strrchr(path, '.');
        snprintf(group, sizeof group, "%.*s", last > path + len ? (int)(last - path - (long)len - 1) : 0,
                 path + len + 1);
        bool known = group[0] == '\0' || conf_table_is_group(s, group);
        tell_unknown(l->r, value, s, known ? group : "", path, last + 1);
        return;
    }
    set_row(&(struct walk){.r = l->r, .section = s, .set = l->set[section_index(s)]}, row, value, false,
            path);
}

/* ---- values */

static bool is_sdk_name(const struct conf_section *s, const struct conf_item *item)
{
    bool alias = false;
    if (item->key != NULL)
        (void)conf_table_row(s, item->key, &alias);
    return alias;
}

static bool has_no_value(struct conf_layers *l, const struct conf_item *item, const struct conf_place *at)
{
    if (item->empty)
        conf_fault(l->r, at, "has no value; write one (\"\" is the empty text), or remove the line");
    return item->empty;
}

static void free_texts(char **words, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        explicit_bzero(words[i], strlen(words[i]));
        free(words[i]);
    }
    free(words);
}

/* One word; of NAME=value the value is what may stand elsewhere. NULL after a fault. */
static char *expand_word(struct conf_layers *l, const struct conf_row *row, const struct conf_place *at,
                         const char *text)
{
    bool expanded;
    const char *equals = row->type == CONF_TYPE_PAIRS ? strchr(text, '=') : NULL;
    if (equals == NULL)
        return conf_secret_expand(l->r, at, text, &expanded);
    char *value = conf_secret_expand(l->r, at, equals + 1, &expanded);
    char *whole = value != NULL ? xasprintf("%.*s=%s", (int)(equals - text), text, value) : NULL;
    if (value != NULL)
        explicit_bzero(value, strlen(value));
    free(value);
    return whole;
}

/* One entry of a MAP, as name=value. NULL after a fault. */
static char *expand_entry(struct conf_layers *l, const struct conf_row *row, const struct conf_place *at,
                          const struct conf_item *entry)
{
    bool expanded;
    if (strchr(entry->key, '=') != NULL) {
        conf_fault(l->r, at, "a name in this map must not hold \"=\"");
        return NULL;
    }
    char *value = conf_secret_expand(l->r, at, entry->text, &expanded);
    if (value == NULL)
        return NULL;
    char *whole = NULL;
    if (row->words[0] != '\0' && conf_value_word(row, value) < 0)
        conf_fault(l->r, at, "%s: expected one of %s", entry->key, row->words);
    else
        whole = xasprintf("%s=%s", entry->key, value);
    explicit_bzero(value, strlen(value));
    free(value);
    return whole;
}

/* WORDS, PAIRS, SECRETS: a list of single values; MAP: a map of them. Each fault is told where its word stands. */
static bool convert_words(struct conf_layers *l, const struct conf_row *row, const struct conf_item *item,
                          void *base, const char *path)
{
    struct conf_place at = place_of(item, path, false);
    at.secret = CONF_IS_HIDDEN(row);
    char why[256];
    size_t n = 0, most = 0;
    bool map = row->type == CONF_TYPE_MAP;
    bool single = row->type == CONF_TYPE_NAMES && item->kind == CONF_ITEM_SCALAR;
    const struct conf_item *first = single ? item : item->first;
    if (item->kind != (map ? CONF_ITEM_MAP : CONF_ITEM_LIST) && !single) {
        conf_fault(l->r, &at,
                   map ? "expected a map such as { name: value }, got %s"
                       : "expected a list such as [\"one\", \"two\"], got %s",
                   kind_name(item));
        return false;
    }
    for (const struct conf_item *word = first; word != NULL; word = single ? NULL : word->next)
        most++;
    char **words = xcalloc(most + 1, sizeof *words);
    bool ok = true;
    for (const struct conf_item *word = first; word != NULL; word = single ? NULL : word->next) {
        struct conf_place here = place_of(word, path, false);
        here.secret = CONF_IS_HIDDEN(row);
        if (word->kind != CONF_ITEM_SCALAR) {
            conf_fault(l->r, &here, "expected a text in this %s, got %s", map ? "map" : "list",
                       kind_name(word));
            ok = false;
        } else if (has_no_value(l, word, &here)) {
            ok = false;
        } else if ((words[n] = map ? expand_entry(l, row, &here, word)
                                   : expand_word(l, row, &here, word->text)) == NULL) {
            ok = false;
        } else {
            n++;
        }
    }
    if (ok && conf_value_set_words(row, base, words, n, why, sizeof why) != 0) {
        conf_fault(l->r, &at, "%s", why);
        ok = false;
    }
    free_texts(words, n);
    return ok;
}

/* Returns false after a fault. */
static bool convert(struct conf_layers *l, const struct conf_section *s, const struct conf_row *row,
                    const struct conf_item *item, void *base, const char *front)
{
    char path[PATH_SIZE], why[256];
    snprintf(path, sizeof path, "%s.%s", front, row->path);
    struct conf_place at = place_of(item, path, false);
    at.secret = row->type != CONF_TYPE_FILE && CONF_IS_HIDDEN(row); /* a path may be shown */
    if (CONF_IS_WORDS(row))
        return convert_words(l, row, item, base, path);
    if (item->kind != CONF_ITEM_SCALAR) {
        conf_fault(l->r, &at, "expected a value, got %s", kind_name(item));
        return false;
    }
    if (has_no_value(l, item, &at))
        return false;
    bool expanded;
    char *text = conf_secret_expand(l->r, &at, item->text, &expanded);
    if (text != NULL && row->type == CONF_TYPE_FILE && l->r->expand) {
        char *path_of = text;
        text = conf_secret_read(l->r, &at, path_of);
        free(path_of);
        expanded = true;
        at.secret = true;
    }
    if (text == NULL)
        return false;
    bool ok = conf_value_set(row, base, text, is_sdk_name(s, item), why, sizeof why) == 0;
    if (!ok) {
        struct buf shown; /* never what stands elsewhere, never a secret */
        buf_init(&shown, 512);
        if (!at.secret && (conf_value_bad_text(item->text, strlen(item->text)) != NULL ||
                           buf_put_json(&shown, item->text, strlen(item->text)) < 0))
            buf_reset(&shown);
        conf_fault(l->r, &at, "%s%s%s", why, shown.len > 0 ? (expanded ? "; this is " : ", got ") : "",
                   buf_cstr(&shown));
        buf_fini(&shown);
    }
    explicit_bzero(text, strlen(text));
    free(text);
    return ok;
}

static void build_section(struct conf_layers *l, const struct conf_section *s,
                          const struct conf_item *const *set, void *base, const char *front)
{
    for (size_t i = 0; i < s->n; i++) {
        conf_value_set_default(&s->rows[i], base);
        if (set[i] != NULL && !convert(l, s, &s->rows[i], set[i], base, front))
            l->wrong[section_index(s)][i] = true;
    }
}

static void build_element(struct conf_layers *l, const struct conf_section *s, const struct conf_item *item,
                          size_t index, const struct conf_item **set, void *base)
{
    const struct conf_item *id = item->kind == CONF_ITEM_MAP ? conf_item_find(item, "id") : NULL;
    char front[PATH_SIZE];
    if (id != NULL && id->kind == CONF_ITEM_SCALAR && conf_check_id(id->text) == NULL)
        snprintf(front, sizeof front, "%s[%s]", s->name, id->text);
    else
        snprintf(front, sizeof front, "%s[#%zu]", s->name, index + 1);
    struct conf_place at = place_of(item, front, false);
    if (item->kind == CONF_ITEM_MAP)
        walk_map(&(struct walk){l->r, s, set, NULL, front}, item, "");
    else {
        conf_fault(l->r, &at, "expected a map such as { id: name, ... }, got %s", kind_name(item));
        memset(l->wrong[section_index(s)], true, sizeof l->wrong[0]);
    }
    set[CONF_ROW_ELEMENT] = item;
    build_section(l, s, set, base, front);
}

static void build_list(struct conf_layers *l, const struct conf_section *s, const struct conf_item *list,
                       struct conf *c)
{
    size_t n = 0;
    for (const struct conf_item *item = list->first; item != NULL; item = item->next)
        n++;
    struct conf_place at = place_of(list, s->name, false);
    if (list->kind != CONF_ITEM_LIST && !list->empty)
        conf_fault(l->r, &at, "expected a list, got %s", kind_name(list));
    if (list->kind != CONF_ITEM_LIST)
        return;
    if (n > CONF_LIST_MAX) {
        conf_fault(l->r, &at, "has %zu elements; at most %d are allowed", n, CONF_LIST_MAX);
        return;
    }
    char *elements = xcalloc(n, s->size);
    memcpy((char *)c + s->offset, &elements, sizeof elements);
    memcpy((char *)c + s->n_offset, &n, sizeof n);
    const struct conf_item **places = xcalloc(n * CONF_ROWS_MAX, sizeof *places);
    l->elements[section_index(s)] = places;
    size_t i = 0;
    for (const struct conf_item *item = list->first; item != NULL; item = item->next, i++)
        build_element(l, s, item, i, places + i * CONF_ROWS_MAX, elements + i * s->size);
}

struct conf *conf_build(struct conf_layers *l)
{
    struct conf *c = xcalloc(1, sizeof *c);
    for (size_t i = 0; i < CONF_SECTIONS; i++) {
        const struct conf_section *s = &conf_sections[i];
        if (!CONF_IS_LIST(s))
            build_section(l, s, l->set[i], (char *)c + s->offset, s->name);
        else if (l->list[i] != NULL)
            build_list(l, s, l->list[i], c);
    }
    return c;
}

void conf_build_end(struct conf_layers *l)
{
    for (size_t i = 0; i < CONF_SECTIONS; i++)
        free(l->elements[i]);
}
