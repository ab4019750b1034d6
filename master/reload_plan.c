/* reload_plan - see reload_plan.h. */
#include "master/reload_plan.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/base/str.h"
#include "master/concern.h"
#include "master/state.h"

#define DUMP_MAX (16u << 20)
#define KEEP_MAX 64

/* Keys that only a restart can change, as overrides that say what they were. */
struct keep {
    json_t *old; /* the configuration in force */
    struct conf_override overrides[KEEP_MAX];
    size_t n;
    struct reload_plan *plan;
};

static json_t *dump(const struct conf *c, bool masked)
{
    struct buf text;
    buf_init(&text, DUMP_MAX);
    json_t *o = conf_dump(c, masked, &text) == 0 ? json_loadb(text.data, text.len, 0, NULL) : NULL;
    if (text.data != NULL && !masked)
        explicit_bzero(text.data, text.len);
    buf_fini(&text);
    return o;
}

/* By "a.b.c"; "list.NAME.b" finds an element by its first member's value. NULL: not there. */
static const json_t *find_path(const json_t *o, const char *path)
{
    char part[96];
    while (o != NULL && *path != '\0') {
        size_t n = strcspn(path, "."), i;
        if (n >= sizeof part)
            return NULL;
        memcpy(part, path, n);
        part[n] = '\0';
        path += n + (path[n] == '.');
        if (!json_is_array(o)) {
            o = json_object_get(o, part);
            continue;
        }
        json_t *element;
        const json_t *found = NULL;
        json_array_foreach(o, i, element)
        {
            void *first = json_object_iter(element);
            const char *name = first != NULL ? json_string_value(json_object_iter_value(first)) : NULL;
            if (name != NULL && strcmp(name, part) == 0)
                found = element;
        }
        o = found;
    }
    return o;
}

static void keep_value(struct keep *k, const struct conf_change *c)
{
    /* Of a list whole: an override knows no single elements. */
    const char *path = strchr(c->key, '[') != NULL ? c->section : c->path;
    const json_t *value = find_path(k->old, path);
    size_t len = strlen(path);
    for (size_t i = 0; i < k->n; i++)
        if (strncmp(k->overrides[i].text, path, len) == 0 && k->overrides[i].text[len] == '=')
            return;
    if (value == NULL || k->n == KEEP_MAX)
        return;
    /* An override is YAML only where a list is wanted: a scalar stands as it is. */
    char *text = json_is_string(value) ? xstrdup(json_string_value(value))
                                       : json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT);
    k->overrides[k->n].origin = "reload";
    k->overrides[k->n++].text = xasprintf("%s=%s", path, text != NULL ? text : "");
    free(text);
}

static void on_restart_key(const struct conf_change *c, void *arg)
{
    struct keep *k = arg;
    if (c->apply != CONF_APPLY_RESTART)
        return;
    json_array_append_new(k->plan->restart, json_string(c->path));
    keep_value(k, c);
}

static bool is_of_sockets(const struct conf_change *c)
{
    return strcmp(c->section, "ingest.listeners") == 0 || strcmp(c->key, "console.address") == 0 ||
           strcmp(c->key, "master.processes.console") == 0;
}

static void on_key(const struct conf_change *c, void *arg)
{
    struct reload_plan *p = arg;
    p->listeners = p->listeners || is_of_sockets(c);
    json_array_append_new(c->apply == CONF_APPLY_LIVE ? p->live : p->roll, json_string(c->path));
    if (c->apply == CONF_APPLY_LIVE)
        return;
    p->kinds |= concern_kinds(c->key);
    if (!concern_is_of_one(c->key))
        p->whole |= concern_kinds(c->key);
}

static void log_warnings(struct buf *lines)
{
    char *save = NULL;
    (void)buf_cstr(lines);
    for (char *line = strtok_r(lines->data, "\n", &save); line != NULL; line = strtok_r(NULL, "\n", &save))
        log_warn("config_warning", "msg=%s", log_q(line));
}

static enum exitcode load(const struct master *m, const struct keep *k, struct conf **out, struct buf *errors)
{
    const struct master_options *o = m->options;
    struct buf warnings;
    size_t n = o->n_overrides + k->n;
    struct conf_override *all = xcalloc(n + 1, sizeof *all);
    for (size_t i = 0; i < o->n_overrides; i++)
        all[i] = o->overrides[i];
    for (size_t i = 0; i < k->n; i++)
        all[o->n_overrides + i] = k->overrides[i];
    buf_init(&warnings, 1u << 20);
    enum exitcode code = conf_load(o->config_path, all, n, out, errors, &warnings);
    if (code == EXIT_CODE_OK)
        conf_programs_keep_places(*out, m->conf);
    if (code == EXIT_CODE_OK && (*out)->node.name[0] == '\0') { /* the host's, found at the start */
        free((*out)->node.name);
        (*out)->node.name = xstrdup(m->conf->node.name);
    }
    if (code == EXIT_CODE_OK && k->plan != NULL && k->n == 0)
        log_warnings(&warnings);
    buf_fini(&warnings);
    free(all);
    return code;
}

enum exitcode reload_plan_read(const struct master *m, struct reload_plan *p, struct buf *errors)
{
    struct keep k = {.plan = p};
    *p = (struct reload_plan){.live = json_array(), .roll = json_array(), .restart = json_array()};
    enum exitcode code = load(m, &k, &p->conf, errors);
    if (code == EXIT_CODE_OK) {
        k.old = dump(m->conf, false);
        conf_diff(m->conf, p->conf, on_restart_key, &k);
        if (k.n > 0) { /* checked again: rules may join an old value and a new one */
            conf_free(p->conf);
            code = load(m, &k, &p->conf, errors);
        }
        json_decref(k.old);
    }
    for (size_t i = 0; i < k.n; i++)
        free((char *)(uintptr_t)k.overrides[i].text);
    if (code == EXIT_CODE_OK)
        conf_diff(m->conf, p->conf, on_key, p);
    else
        reload_plan_fini(p);
    return code;
}

void reload_plan_fini(struct reload_plan *p)
{
    conf_free(p->conf);
    json_decref(p->live);
    json_decref(p->roll);
    json_decref(p->restart);
    *p = (struct reload_plan){0};
}

bool reload_plan_is_empty(const struct reload_plan *p)
{
    return json_array_size(p->live) == 0 && json_array_size(p->roll) == 0;
}

json_t *reload_plan_kinds(unsigned set)
{
    json_t *list = json_array();
    for (int i = 0; i < KIND_COUNT; i++)
        if ((set & CONCERN_BIT(i)) != 0)
            json_array_append_new(list, json_string(kinds[i].name));
    return list;
}

/* ------------------------------------------------------------------ looking without doing */

struct preview {
    json_t *old, *fresh, *list;
};

static void on_preview(const struct conf_change *c, void *arg)
{
    static const char *const names[] = {
        [CONF_APPLY_LIVE] = "live", [CONF_APPLY_ROLL] = "roll", [CONF_APPLY_RESTART] = "restart"};
    struct preview *v = arg;
    json_t *o = json_pack("{s:s, s:s}", "key", c->path, "apply", names[c->apply]);
    json_t *old = (json_t *)(uintptr_t)find_path(v->old, c->path),
           *fresh = (json_t *)(uintptr_t)find_path(v->fresh, c->path);
    if (c->apply == CONF_APPLY_ROLL)
        json_object_set_new(o, "kinds", reload_plan_kinds(concern_kinds(c->key)));
    json_object_set(o, "old", old != NULL ? old : json_null());
    json_object_set(o, "new", fresh != NULL ? fresh : json_null());
    json_array_append_new(v->list, o);
}

json_t *reload_plan_preview(const struct master *m, struct buf *errors, enum exitcode *code)
{
    struct keep none = {0};
    struct conf *fresh = NULL;
    struct preview v = {.list = json_array()};
    *code = load(m, &none, &fresh, errors);
    if (*code == EXIT_CODE_OK) {
        v.old = dump(m->conf, true);
        v.fresh = dump(fresh, true);
        conf_diff(m->conf, fresh, on_preview, &v);
    }
    json_decref(v.old);
    json_decref(v.fresh);
    conf_free(fresh);
    return v.list;
}
