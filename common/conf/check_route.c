/* check_route - the rules of the list routes: patterns and conditions are compiled as ingest will compile them, so that
 * a fault is told with its place in the text, before anything runs.
 */
#include "common/conf/internal.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "common/base/str.h"
#include "common/event/filter.h"
#include "common/event/glob.h"

static const char list[] = "routes";

struct subject {
    struct conf_layers *l;
    const struct conf *c;
    const struct conf_route *it;
    size_t i;
    struct pick *pick; /* of all routes */
};

static const struct conf_item *item_of(const struct subject *s, const char *row)
{
    const struct conf_section *section = conf_table_section(list);
    const struct conf_item *const *set = s->l->elements[section - conf_sections];
    bool alias;
    size_t j = (size_t)(conf_table_row(section, row, &alias) - section->rows);
    return set != NULL ? set[s->i * CONF_ROWS_MAX + j] : NULL;
}

/* Moves the place from the beginning of a word to its byte `at`, where the word stands in the file as it is. */
static void move_into(struct conf_place *p, const char *word, size_t at)
{
    const char *line = p->from != NULL ? p->from->text : NULL;
    for (unsigned n = 1; line != NULL && n < p->line; n++)
        if ((line = strchr(line, '\n')) != NULL)
            line++;
    if (line == NULL || p->line == 0 || p->column == 0 || strcspn(line, "\n") < p->column)
        return;
    const char *raw = line + p->column - 1;
    unsigned quote = *raw == '"' || *raw == '\'';
    if (strncmp(raw + quote, word, at) == 0)
        p->column += quote + (unsigned)at;
}

/* Something about one word of a list, from its byte `at` on. */
__attribute__((format(printf, 6, 7))) static void
tell_word(const struct subject *s, bool fault, const char *row, size_t word, size_t at, const char *fmt, ...)
{
    char path[256], what[512];
    const struct conf_item *item = item_of(s, row);
    struct conf_place place = {.from = s->l->main};
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(what, sizeof what, fmt, ap);
    va_end(ap);
    if (conf_check_id(s->it->id) == NULL)
        snprintf(path, sizeof path, "%s[%.100s].%s", list, s->it->id, row);
    else
        snprintf(path, sizeof path, "%s[#%zu].%s", list, s->i + 1, row);
    if (item != NULL && item->kind == CONF_ITEM_LIST) {
        item = item->first;
        for (size_t n = 0; n < word && item != NULL; n++)
            item = item->next;
    }
    if (item != NULL) {
        place = (struct conf_place){.from = item->from, .line = item->line, .column = item->column};
        if (item->text != NULL)
            move_into(&place, item->text, at);
    }
    place.path = path;
    if (fault)
        conf_fault(s->l->r, &place, "%s", what);
    else
        conf_warning(s->l->r, &place, "%s", what);
}

/* The nearest of some names, for "did you mean". */
struct near {
    const char *word, *best;
    unsigned distance;
};

static void weigh(struct near *n, const char *name)
{
    unsigned d = str_distance(n->word, name);
    if (d < n->distance) {
        n->distance = d;
        n->best = name;
    }
}

static struct near near_of(const char *word)
{
    size_t len = strlen(word);
    return (struct near){.word = word, .distance = len < 4 ? 2 : len < 9 ? 3 : 4};
}

static bool compile_all(const struct subject *s, const char *row, char *const *patterns)
{
    bool good = true;
    for (size_t i = 0; patterns[i] != NULL; i++) {
        struct glob g;
        const char *bad = glob_compile(&g, patterns[i]);
        if (bad != NULL)
            tell_word(s, true, row, i, 0, "the pattern %s", bad);
        good &= bad == NULL;
    }
    return good;
}

static void check_sources(const struct subject *s)
{
    char *const *patterns = s->it->match_source;
    if (!compile_all(s, "match.source", patterns))
        return;
    for (size_t i = 0; patterns[i] != NULL; i++) {
        struct near near = near_of(patterns[i]);
        struct glob g;
        bool any = false;
        (void)glob_compile(&g, patterns[i]);
        for (size_t j = 0; j < s->c->n_sources; j++) {
            any |= glob_match(&g, s->c->sources[j].id, strlen(s->c->sources[j].id));
            weigh(&near, s->c->sources[j].id);
        }
        if (any)
            continue;
        if (g.kind == GLOB_EXACT && near.best != NULL)
            tell_word(s, true, "match.source", i, 0, "there is no source of this id; did you mean \"%s\"?",
                      near.best);
        else if (g.kind == GLOB_EXACT)
            tell_word(s, true, "match.source", i, 0, "there is no source of this id");
        else
            tell_word(s, false, "match.source", i, 0, "matches none of the sources");
    }
}

static void check_types(const struct subject *s)
{
    static const char *const known[] = {"track", "identify", "page",  "screen",
                                        "group", "alias",    "merge", "extract"};
    char *const *patterns = s->it->match_type;
    if (!compile_all(s, "match.type", patterns))
        return;
    for (size_t i = 0; patterns[i] != NULL; i++) {
        struct near near = near_of(patterns[i]);
        for (size_t j = 0; j < sizeof known / sizeof *known; j++)
            weigh(&near, known[j]);
        if (near.best != NULL && near.distance > 0 && strpbrk(patterns[i], "*?\\") == NULL)
            tell_word(s, false, "match.type", i, 0, "no SDK has this type; did you mean \"%s\"?", near.best);
    }
}

static void check_events(const struct subject *s)
{
    static const char *const event[] = {"event"};
    if (s->it->match_event[0] != NULL && compile_all(s, "match.event", s->it->match_event))
        (void)pick_add(s->pick, event, 1);
}

static void check_where(const struct subject *s)
{
    for (size_t i = 0; s->it->match_where[i] != NULL; i++) {
        struct filter_fault fault;
        struct filter *f = filter_compile(s->it->match_where[i], s->pick, &fault);
        if (f == NULL)
            tell_word(s, true, "match.where", i, fault.at, "%s", fault.why);
        filter_free(f);
    }
}

static void check_to(const struct subject *s)
{
    char *const *to = s->it->to;
    if (to[0] == NULL)
        conf_check_tell(s->l, list, s->it->id, s->i, "to", "must name at least one destination");
    for (size_t i = 0; to[i] != NULL; i++) {
        struct near near = near_of(to[i]);
        for (size_t j = 0; j < s->c->n_destinations; j++)
            weigh(&near, s->c->destinations[j].id);
        if (conf_find_destination(s->c, to[i]) != NULL)
            continue;
        if (near.best != NULL)
            tell_word(s, true, "to", i, 0, "there is no destination of this id; did you mean \"%s\"?",
                      near.best);
        else
            tell_word(s, true, "to", i, 0, "there is no destination of this id");
    }
}

static void check_id(const struct subject *s)
{
    conf_check_tell(s->l, list, s->it->id, s->i, "id", conf_check_id(s->it->id));
    for (size_t j = 0; j < s->i; j++)
        if (strcmp(s->c->routes[j].id, s->it->id) == 0)
            conf_check_tell(s->l, list, s->it->id, s->i, "id", "another route has the same id");
}

static bool is_named(const struct conf *c, const char *destination)
{
    for (size_t i = 0; i < c->n_routes; i++)
        for (char *const *to = c->routes[i].to; *to != NULL; to++)
            if (strcmp(*to, destination) == 0)
                return true;
    return false;
}

static void warn_unreached(struct conf_layers *l, const struct conf *c)
{
    for (size_t i = 0; i < c->n_destinations && c->n_routes > 0; i++) {
        char path[128];
        snprintf(path, sizeof path, "destinations[%.100s]", c->destinations[i].id);
        if (!is_named(c, c->destinations[i].id))
            conf_warning(l->r, &(struct conf_place){.from = l->main, .path = path},
                         "no route leads to it: it gets no events");
    }
}

void conf_check_routes(struct conf_layers *l, const struct conf *c)
{
    struct pick *pick = pick_new();
    for (size_t i = 0; i < c->n_routes; i++) {
        const struct subject s = {l, c, &c->routes[i], i, pick};
        check_id(&s);
        check_sources(&s);
        check_types(&s);
        check_events(&s);
        check_where(&s);
        check_to(&s);
    }
    if (l->r->faults == 0)
        warn_unreached(l, c);
    pick_free(pick);
}
