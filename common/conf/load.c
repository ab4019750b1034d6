/* load - a configuration from its layers: defaults, file, environment, command line. */
#include "common/conf/internal.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/fd.h"
#include "common/base/mem.h"
#include "common/base/str.h"

#define LAYERS_MAX 1024 /* texts that one load may read: the file, variables, options */

extern char **environ;

struct load {
    struct conf_reader r;
    struct conf_layers layers;
    struct conf_origin origins[LAYERS_MAX];
    struct conf_item *trees[LAYERS_MAX];
    size_t n_origins, n_trees;
    char *names[LAYERS_MAX]; /* what the origins own */
    size_t n_names;
    char *file_text, *folder;
};

/* A text of its own; NULL (told): too many. */
static struct conf_origin *new_origin(struct load *l, const char *name, const char *text)
{
    if (l->n_origins == LAYERS_MAX) {
        conf_fault(&l->r, &(struct conf_place){.from = &l->origins[0], .path = ""}, "too many overrides");
        return NULL;
    }
    struct conf_origin *o = &l->origins[l->n_origins++];
    *o = (struct conf_origin){.name = name, .text = text, .len = text != NULL ? strlen(text) : 0};
    return o;
}

static struct conf_item *keep(struct load *l, struct conf_item *tree)
{
    if (tree != NULL)
        l->trees[l->n_trees++] = tree;
    return tree;
}

/* ---- the file */

static void warn_of_mode(struct load *l, const struct conf_place *at, const char *path)
{
    struct stat st;
    if (stat(path, &st) < 0)
        return;
    if ((st.st_mode & (S_IWGRP | S_IWOTH)) != 0)
        conf_warning(&l->r, at, "the file can be changed by others (mode %04o); chmod go-w it",
                     (unsigned)st.st_mode & 07777);
    if (st.st_uid != 0 && st.st_uid != geteuid())
        conf_warning(&l->r, at, "the file belongs to another user (uid %u)", (unsigned)st.st_uid);
}

static void read_file(struct load *l, const char *path)
{
    struct conf_origin *o = new_origin(l, path, NULL);
    struct conf_place at = {.from = o, .path = ""};
    size_t len;
    l->layers.main = o;
    if (fd_read_file(path, CONF_FILE_MAX, &l->file_text, &len) < 0) {
        int error = errno;
        l->r.denied += error == EACCES || error == EPERM;
        conf_fault(&l->r, &at, "cannot read the configuration: %s",
                   error == EFBIG ? "the file is bigger than 1 MiB" : strerror(error));
        return;
    }
    o->text = l->file_text;
    o->len = len;
    const char *slash = strrchr(path, '/');
    l->folder = slash == NULL ? xstrdup(".") : xstrndup(path, slash == path ? 1 : (size_t)(slash - path));
    l->r.folder = l->folder;
    warn_of_mode(l, &at, path);
    const struct conf_item *root = keep(l, conf_yaml_parse(&l->r, o));
    if (root != NULL)
        conf_build_layer(&l->layers, root);
}

/* ---- overrides: "path" and a text, which is YAML only where a list is wanted */

static void override(struct load *l, const char *name, const char *path, const char *text)
{
    struct conf_origin *o = new_origin(l, name, NULL);
    if (o == NULL)
        return;
    const struct conf_section *s = conf_table_section(path);
    struct conf_item *item;
    if (s != NULL && CONF_IS_LIST(s)) {
        o->text = text;
        o->len = strlen(text);
        item = conf_yaml_parse(&l->r, o);
        o->text = NULL; /* one line that its user has before his eyes; it may hold keys */
    } else {
        item = conf_item_scalar(text, o);
        const char *dot = strrchr(path, '.');
        item->key = xstrdup(dot != NULL ? dot + 1 : path);
    }
    if (keep(l, item) != NULL)
        conf_build_override(&l->layers, path, item);
}

static char *own(struct load *l, char *text)
{
    if (l->n_names < LAYERS_MAX)
        return l->names[l->n_names++] = text;
    free(text);
    return NULL;
}

/* "QUEUE__LOCK_DURATION" to "queue.lock_duration"; NULL: not one of ours. A variable without "__" is ours only when it
 * is a whole section's name: others (DRAY_REDIS_PORT of a container host) may share the front. */
static char *variable_path(const char *name, size_t len)
{
    char *path = xstrndup(name, len), *out = path;
    bool deep = false;
    for (const char *p = path; *p != '\0'; p++) {
        if (p[0] == '_' && p[1] == '_') {
            *out++ = '.';
            p++;
            deep = true;
        } else if (islower((unsigned char)*p)) {
            deep = false;
            out = path;
            break;
        } else {
            *out++ = (char)tolower((unsigned char)*p);
        }
    }
    *out = '\0';
    if (deep || conf_table_section(path) != NULL)
        return path;
    free(path);
    return NULL;
}

static void read_environment(struct load *l)
{
    for (char **v = environ; *v != NULL; v++) {
        if (!str_starts(*v, "DRAY_"))
            continue;
        const char *equals = strchr(*v, '=');
        if (equals == NULL)
            continue;
        const char *front = *v + strlen("DRAY_");
        char *path = variable_path(front, (size_t)(equals - front));
        char *name = path != NULL ? own(l, xstrndup(*v, (size_t)(equals - *v))) : NULL;
        if (name != NULL)
            override(l, name, path, equals + 1);
        free(path);
    }
}

static void read_override(struct load *l, const struct conf_override *o)
{
    const char *equals = strchr(o->text, '=');
    if (equals == NULL || equals == o->text) {
        struct conf_origin *origin = new_origin(l, o->origin, NULL);
        if (origin != NULL)
            conf_fault(&l->r, &(struct conf_place){.from = origin, .path = ""},
                       "expected key=value, such as queue.lock_duration=45s");
        return;
    }
    char *path = xstrndup(o->text, (size_t)(equals - o->text));
    override(l, o->origin, path, equals + 1);
    free(path);
}

/* ---- what stands in when nothing was said */

static void add_missing(struct load *l, bool have_file)
{
    static const char listener[] = "[{id: public, address: \"127.0.0.1:8080\"}]";
    static const char source[] = "[{id: dev, write_key: dev}]";
    size_t listeners = (size_t)(conf_table_section("ingest.listeners") - conf_sections);
    size_t sources = (size_t)(conf_table_section("sources") - conf_sections);
    if (l->layers.list[listeners] == NULL || l->layers.list[listeners]->empty)
        override(l, "default", "ingest.listeners", listener);
    if (!have_file && l->layers.list[sources] == NULL)
        override(l, "default", "sources", source);
}

static void end(struct load *l)
{
    conf_build_end(&l->layers);
    for (size_t i = 0; i < l->n_trees; i++)
        conf_item_free(l->trees[i]);
    for (size_t i = 0; i < l->n_names; i++)
        free(l->names[i]);
    if (l->file_text != NULL)
        explicit_bzero(l->file_text, strlen(l->file_text));
    free(l->file_text);
    free(l->folder);
    free(l);
}

enum exitcode conf_load(const char *path, const struct conf_override *overrides, size_t n_overrides,
                        struct conf **out, struct buf *errors, struct buf *warnings)
{
    struct load *l = xcalloc(1, sizeof *l);
    l->r = (struct conf_reader){.errors = errors, .warnings = warnings, .expand = true};
    l->layers.r = &l->r;
    if (path != NULL)
        read_file(l, path);
    else
        l->layers.main = new_origin(l, "configuration", NULL);
    read_environment(l);
    for (size_t i = 0; i < n_overrides; i++)
        read_override(l, &overrides[i]);
    add_missing(l, path != NULL);
    struct conf *c = conf_build(&l->layers);
    if (path == NULL || l->n_trees > 0) /* not about a file that could not be read */
        conf_check(&l->layers, c);
    unsigned faults = l->r.faults, denied = l->r.denied;
    end(l);
    *out = NULL;
    if (faults > 0) {
        conf_free(c);
        return denied == faults ? EXIT_CODE_NOPERM : EXIT_CODE_CONFIG;
    }
    conf_add_local_listener(c);
    *out = c;
    return EXIT_CODE_OK;
}

static int parse_dump(const char *text, size_t len, bool skip_unknown, struct conf **out, struct buf *errors)
{
    struct conf_origin from = {.name = "configuration"};
    struct conf_reader r = {.errors = errors, .warnings = errors, .skip_unknown = skip_unknown};
    struct conf_layers *layers = xcalloc(1, sizeof *layers);
    layers->r = &r;
    layers->main = &from;
    struct conf_item *root = conf_json_parse(text, len, &from, errors);
    *out = NULL;
    if (root != NULL) {
        conf_build_layer(layers, root);
        *out = conf_build(layers);
    }
    if (r.faults > 0) {
        conf_free(*out);
        *out = NULL;
    }
    conf_build_end(layers);
    free(layers);
    conf_item_free(root);
    return *out != NULL ? 0 : -1;
}

int conf_parse_dump(const char *text, size_t len, struct conf **out, struct buf *errors)
{
    return parse_dump(text, len, false, out, errors);
}

int conf_parse_old_dump(const char *text, size_t len, struct conf **out, struct buf *errors)
{
    return parse_dump(text, len, true, out, errors);
}
