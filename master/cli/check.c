/* check - dray check: reads a configuration as `run` would and says what would run, or everything that is wrong. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/buf.h"
#include "common/base/cpus.h"
#include "common/base/hook.h"
#include "common/route/route.h"
#include "master/cli/cli.h"
#include "master/cli/control.h"

static const char usage[] =
    "usage: dray check [-c FILE] [--set KEY=VALUE]...\n\n"
    "Reads and checks the configuration without starting anything. -o json prints it whole, as it\n"
    "would be in force, secrets masked. Exit status: 0 good, 78 wrong, 77 not readable.\n\n";

/* The lines of text as an array of strings. */
static json_t *lines(const char *text)
{
    json_t *array = json_array();
    while (*text != '\0') {
        size_t n = strcspn(text, "\n");
        if (n > 0)
            json_array_append_new(array, json_stringn(text, n));
        text += n + (text[n] == '\n');
    }
    return array;
}

static json_t *effective(const struct conf *c)
{
    struct buf text;
    buf_init(&text, 8u << 20);
    json_t *config = conf_dump(c, true, &text) == 0 ? json_loadb(text.data, text.len, 0, NULL) : NULL;
    buf_fini(&text);
    return config != NULL ? config : json_null();
}

static void print_json(enum exitcode code, const struct conf *c, struct buf *errors, struct buf *warnings)
{
    json_t *o = json_pack("{s:b, s:i, s:o, s:o}", "ok", code == EXIT_CODE_OK, "code", (int)code, "errors",
                          lines(buf_cstr(errors)), "warnings", lines(buf_cstr(warnings)));
    if (c != NULL)
        json_object_set_new(o, "config", effective(c));
    json_dumpf(o, stdout, JSON_COMPACT);
    putchar('\n');
    json_decref(o);
}

static void print_summary(const char *path, const struct conf *c)
{
    char redis[512];
    printf("%s: good: %llu ingest on ", path != NULL ? path : "defaults",
           (unsigned long long)c->master.processes_ingest);
    for (size_t i = 0; i < c->n_listeners; i++)
        printf("%s%s", i > 0 ? ", " : "", c->listeners[i].address);
    struct cpus cpus;
    cpus_look(hook_root(""), &cpus);
    printf("; %u delivery", conf_delivery_processes(c, cpus.usable));
    if (c->master.processes_delivery == CONF_AUTO)
        printf(" (auto: %s)", cpus.why);
    printf("; %zu source%s to %zu destination%s; Redis ", c->n_sources, c->n_sources == 1 ? "" : "s",
           c->n_destinations, c->n_destinations == 1 ? "" : "s");
    if (c->redis.mode == CONF_REDIS_MANAGED)
        printf("managed in %s\n", conf_state_path(c, c->redis.managed_dir, redis, sizeof redis));
    else if (c->redis.mode == CONF_REDIS_NONE)
        puts("none: what is not delivered is in memory alone");
    else /* the URL may hold a password: its address is what stands behind the last @ */
        printf("at %s\n", strrchr(c->redis.url, '@') != NULL ? strrchr(c->redis.url, '@') + 1 : c->redis.url);
}

static void print_routes(const struct conf *c)
{
    size_t widest = 0;
    if (c->n_routes == 0 && c->n_destinations > 1)
        puts("routes: none: every source goes to every destination");
    for (size_t i = 0; i < c->n_routes; i++)
        if (strlen(c->routes[i].id) > widest)
            widest = strlen(c->routes[i].id);
    for (size_t i = 0; i < c->n_routes; i++) {
        struct buf text;
        buf_init(&text, 1u << 20);
        route_describe(&c->routes[i], &text);
        printf("route %-*s  %s\n", (int)widest, c->routes[i].id, buf_cstr(&text));
        buf_fini(&text);
    }
    if (c->n_routes > 0)
        printf("unrouted: %s\n", c->ingest.unrouted == CONF_UNROUTED_QUARANTINE ? "quarantine" : "drop");
}

int check_main(int argc, char **argv)
{
    struct cli o;
    size_t n;
    int stop = control_arguments(&o, argc, argv, usage, NULL, 0, &n);
    if (stop != CLI_GO_ON)
        return stop;
    struct buf errors, warnings;
    buf_init(&errors, 1u << 20);
    buf_init(&warnings, 1u << 20);
    struct conf *c = NULL;
    enum exitcode code = conf_load(o.config_path, o.overrides, o.n_overrides, &c, &errors, &warnings);
    if (o.json)
        print_json(code, c, &errors, &warnings);
    else {
        fputs(buf_cstr(&errors), stderr);
        if (o.verbosity >= 0)
            fputs(buf_cstr(&warnings), stderr);
        if (c != NULL && o.verbosity >= 0) {
            print_summary(o.config_path, c);
            print_routes(c);
        }
    }
    conf_free(c);
    buf_fini(&errors);
    buf_fini(&warnings);
    return (int)code;
}
