/* yaml - a strict subset of YAML, through the events of libfyaml: block and flow maps, lists, scalars, comments.
 *
 * Anchors, aliases, tags, merge keys, keys that are no plain words, a second document and duplicate keys are refused
 * with their place. Depth and number of items are capped. Nothing is typed here: every scalar is its text. */
#include "common/conf/internal.h"

#include <libfyaml.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"

struct reading {
    struct conf_reader *r;
    const struct conf_origin *from;
    struct fy_parser *parser;
    unsigned items;
    bool broken;  /* the text cannot be followed any further */
    bool refused; /* something was told, but reading goes on */
};

static void fault_at(struct reading *in, const struct fy_mark *mark, const char *what)
{
    struct conf_place at = {.from = in->from, .path = ""};
    if (mark != NULL) {
        at.line = (unsigned)mark->line + 1;
        at.column = (unsigned)mark->column + 1;
    }
    conf_fault(in->r, &at, "%s", what);
    in->refused = true;
}

static struct fy_event *next_event(struct reading *in)
{
    struct fy_event *e = fy_parser_parse(in->parser);
    if (e == NULL)
        in->broken = true;
    return e;
}

/* What libfyaml has to say about a text that it cannot read; at least one fault. */
static void tell_syntax(struct reading *in, struct fy_diag *diag)
{
    void *it = NULL;
    const struct fy_diag_error *e;
    bool told = false;
    while ((e = fy_diag_errors_iterate(diag, &it)) != NULL) {
        struct conf_place at = {.from = in->from, .path = ""};
        at.line = e->line > 0 ? (unsigned)e->line : 0;
        at.column = e->column > 0 ? (unsigned)e->column : 0;
        bool comma = e->msg != NULL && strstr(e->msg, "missing comma") != NULL;
        conf_fault(in->r, &at, "%s%s", e->msg != NULL ? e->msg : "not valid YAML",
                   comma ? " (inside { } and [ ] a value with ${...} needs quotes)" : "");
        told = true;
    }
    if (!told)
        fault_at(in, NULL, "not valid YAML");
    in->refused = true;
}

static void check_decoration(struct reading *in, struct fy_event *e)
{
    if (e->type == FYET_ALIAS) {
        fault_at(in, fy_event_start_mark(e), "aliases (*name) are not supported; write the value out");
        return;
    }
    if (fy_event_get_anchor_token(e) != NULL)
        fault_at(in, fy_event_start_mark(e), "anchors (&name) are not supported; write the value out");
    if (fy_event_get_tag_token(e) != NULL)
        fault_at(in, fy_event_start_mark(e), "tags (!name) are not supported; the key decides the type");
}

static bool is_empty(struct fy_event *e, const char *text)
{
    if (e->scalar.value != NULL && fy_token_scalar_style(e->scalar.value) != FYSS_PLAIN)
        return false;
    return text[0] == '\0' || strcmp(text, "~") == 0 || strcmp(text, "null") == 0;
}

static struct conf_item *read_node(struct reading *in, struct fy_event *e, unsigned depth);

static char *scalar_text(struct fy_event *e)
{
    size_t len = 0;
    const char *text = e->scalar.value != NULL ? fy_token_get_text(e->scalar.value, &len) : NULL;
    return text != NULL ? xstrndup(text, len) : xstrdup("");
}

/* The key of the next pair, or NULL at the end of the map (or when reading ended). A key that is refused is "". */
static char *read_key(struct reading *in, struct fy_mark *mark, unsigned depth)
{
    struct fy_event *e = next_event(in);
    if (e == NULL)
        return NULL;
    if (e->type == FYET_MAPPING_END) {
        fy_parser_event_free(in->parser, e);
        return NULL;
    }
    const struct fy_mark *start = fy_event_start_mark(e);
    *mark = start != NULL ? *start : (struct fy_mark){0};
    if (e->type != FYET_SCALAR) {
        fault_at(in, start, "a key must be a plain word");
        conf_item_free(read_node(in, e, depth + 1));
        return in->broken ? NULL : xstrdup("");
    }
    check_decoration(in, e);
    char *key = scalar_text(e);
    if (strcmp(key, "<<") == 0) {
        fault_at(in, mark, "merge keys (<<) are not supported; write the values out");
        key[0] = '\0';
    }
    fy_parser_event_free(in->parser, e);
    return key;
}

static void read_map(struct reading *in, struct conf_item *map, unsigned depth)
{
    struct conf_item **end = &map->first;
    struct fy_mark mark;
    char *key;
    while ((key = read_key(in, &mark, depth)) != NULL) {
        struct fy_event *e = next_event(in);
        struct conf_item *value = e != NULL ? read_node(in, e, depth + 1) : NULL;
        if (value == NULL) {
            free(key);
            return;
        }
        if (key[0] != '\0' && conf_item_find(map, key) != NULL) {
            char *what = xasprintf("\"%s\" stands here for the second time (first: line %u)", key,
                                   conf_item_find(map, key)->key_line);
            fault_at(in, &mark, what);
            free(what);
            key[0] = '\0';
        }
        value->key = key;
        value->key_line = (unsigned)mark.line + 1;
        value->key_column = (unsigned)mark.column + 1;
        if (key[0] == '\0') { /* told already */
            conf_item_free(value);
            continue;
        }
        *end = value;
        end = &value->next;
    }
}

static void read_list(struct reading *in, struct conf_item *list, unsigned depth)
{
    struct conf_item **end = &list->first;
    for (;;) {
        struct fy_event *e = next_event(in);
        if (e == NULL)
            return;
        if (e->type == FYET_SEQUENCE_END) {
            fy_parser_event_free(in->parser, e);
            return;
        }
        struct conf_item *value = read_node(in, e, depth + 1);
        if (value == NULL)
            return;
        *end = value;
        end = &value->next;
    }
}

/* The node that begins with e, which is freed. NULL: reading ended. */
static struct conf_item *read_node(struct reading *in, struct fy_event *e, unsigned depth)
{
    const struct fy_mark *mark = fy_event_start_mark(e);
    if (depth > CONF_DEPTH_MAX || ++in->items > CONF_ITEMS_MAX) {
        fault_at(in, mark, depth > CONF_DEPTH_MAX ? "nested too deeply" : "too many values");
        in->broken = true;
        fy_parser_event_free(in->parser, e);
        return NULL;
    }
    struct conf_item *item = xcalloc(1, sizeof *item);
    item->from = in->from;
    if (mark != NULL) {
        item->line = (unsigned)mark->line + 1;
        item->column = (unsigned)mark->column + 1;
    }
    check_decoration(in, e);
    enum fy_event_type type = e->type;
    item->kind = CONF_ITEM_SCALAR;
    if (type == FYET_SCALAR) {
        enum fy_scalar_style style =
            e->scalar.value != NULL ? fy_token_scalar_style(e->scalar.value) : FYSS_PLAIN;
        if ((style == FYSS_SINGLE_QUOTED || style == FYSS_DOUBLE_QUOTED) && item->column > 1)
            item->column--; /* the mark stands behind the quote */
        item->text = scalar_text(e);
        item->empty = is_empty(e, item->text);
    } else {
        item->text = xstrdup("");
    }
    fy_parser_event_free(in->parser, e);
    if (type == FYET_MAPPING_START) {
        item->kind = CONF_ITEM_MAP;
        read_map(in, item, depth);
    } else if (type == FYET_SEQUENCE_START) {
        item->kind = CONF_ITEM_LIST;
        read_list(in, item, depth);
    }
    return item;
}

static struct conf_item *read_stream(struct reading *in)
{
    struct conf_item *root = NULL;
    struct fy_event *e;
    bool seen = false;
    while (!in->broken && (e = next_event(in)) != NULL) {
        enum fy_event_type type = e->type;
        if (type == FYET_MAPPING_START || type == FYET_SEQUENCE_START || type == FYET_SCALAR ||
            type == FYET_ALIAS) {
            root = read_node(in, e, 0);
            continue;
        }
        if (type == FYET_DOCUMENT_START && seen) {
            fault_at(in, fy_event_start_mark(e), "a second document begins here; one file is one document");
            in->broken = true;
        }
        seen = seen || type == FYET_DOCUMENT_START;
        fy_parser_event_free(in->parser, e);
        if (type == FYET_STREAM_END)
            return root;
    }
    return root;
}

/* libfyaml is only given what is text, ends with NUL, and is no bigger than the cap. */
static bool is_text(struct reading *in)
{
    unsigned line = 1;
    const char *p = in->from->text, *end = p + in->from->len;
    for (;;) {
        const char *newline = memchr(p, '\n', (size_t)(end - p));
        size_t len = newline != NULL ? (size_t)(newline - p) : (size_t)(end - p);
        if (len > 0 && p[len - 1] == '\r')
            len--;
        size_t from = 0; /* tabs are YAML's own business */
        const char *bad = NULL;
        for (size_t i = 0; i <= len && bad == NULL; i++)
            if (i == len || p[i] == '\t') {
                bad = conf_value_bad_text(p + from, i - from);
                from = i + 1;
            }
        if (bad != NULL) {
            struct conf_place at = {.from = in->from, .line = line, .path = "", .secret = true};
            conf_fault(in->r, &at, "the line %s", bad);
            return false;
        }
        if (newline == NULL)
            return true;
        p = newline + 1;
        line++;
    }
}

struct conf_item *conf_yaml_parse(struct conf_reader *r, const struct conf_origin *from)
{
    struct reading in = {.r = r, .from = from};
    if (!is_text(&in))
        return NULL;
    struct fy_diag_cfg diag_cfg;
    fy_diag_cfg_default(&diag_cfg);
    diag_cfg.fp = NULL;
    struct fy_diag *diag = fy_diag_create(&diag_cfg);
    struct fy_parse_cfg cfg = {.flags = FYPCF_COLLECT_DIAG | FYPCF_JSON_NONE | FYPCF_DISABLE_RECYCLING,
                               .diag = diag};
    if (diag != NULL)
        fy_diag_set_collect_errors(diag, true);
    in.parser = diag != NULL ? fy_parser_create(&cfg) : NULL;
    struct conf_item *root = NULL;
    if (in.parser == NULL || fy_parser_set_string(in.parser, from->text, from->len) != 0) {
        fault_at(&in, NULL, "cannot be read (out of memory?)");
    } else {
        root = read_stream(&in);
        if (in.broken && (!in.refused || fy_diag_got_error(diag)))
            tell_syntax(&in, diag);
    }
    if (in.parser != NULL)
        fy_parser_destroy(in.parser);
    if (diag != NULL)
        fy_diag_destroy(diag);
    if (in.broken) {
        conf_item_free(root);
        root = NULL;
    }
    return root;
}
