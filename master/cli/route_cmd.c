/* route_cmd - dray route: where events would go by the configuration, and why. Nothing is sent, no instance is asked. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/buf.h"
#include "common/base/mem.h"
#include "common/event/event.h"
#include "common/route/route.h"
#include "master/cli/cli.h"
#include "master/cli/options.h"

#define INPUT_MAX (64u << 20)
#define WHY_MAX   (1u << 16)

static const char usage[] =
    "usage: dray route [--source ID] [--type TYPE] [-o json] [FILE|-]\n\n"
    "Tells for each event in FILE (default: standard input) which destinations it would go to by the\n"
    "routes of the configuration, and of each route why, or why not. Events stand there as JSON, one\n"
    "behind the other, in arrays, or in {\"batch\":[...]} as SDKs send them. Nothing is sent.\n\n"
    "      --source ID     the source they come from (needed when there are several)\n"
    "      --type TYPE     what /v1/TYPE makes of them; else their own type\n\n";

struct asking {
    struct cli o;
    const struct conf *conf;
    struct route_table *table;
    const char *source;
    struct event_context context;
    struct json_slice *slots;
    size_t n; /* events */
};

/* ---- one event */

struct verdict {
    struct event e;
    struct json_slice name; /* of the event */
    enum event_fault fault;
    struct route_set to;
};

static bool goes_to(const struct asking *a, const struct verdict *v, size_t destination)
{
    return a->table == NULL || ROUTE_SET_HAS(&v->to, destination);
}

static void judge(struct asking *a, const struct json_slice *value, struct verdict *v)
{
    struct json_scan s;
    struct route_set of_source, routes;
    *v = (struct verdict){0};
    json_scan_init(&s, value->text, value->len);
    (void)event_scan_picked(&s, &v->e, route_table_pick(a->table), a->slots);
    if (value->type == JSON_OBJECT)
        (void)json_find(value, "event", &v->name);
    v->fault = event_check_scanned(&v->e, &a->context, NULL, 0);
    if (v->fault != EVENT_OK || a->table == NULL)
        return;
    route_source(a->table, a->source, &of_source);
    (void)route_match(a->table, &of_source, &v->e, &a->context, a->slots, &routes, &v->to);
}

/* The value as it stands there; what it is called when there is none. */
static void put_slice(struct buf *out, const struct json_slice *v, const char *none)
{
    if (v->text != NULL)
        (void)buf_append(out, v->text, v->len);
    else
        (void)buf_puts(out, none);
}

static void put_type(const struct asking *a, struct buf *out, const struct verdict *v, const char *none)
{
    if (a->context.type != NULL)
        (void)buf_put_json(out, a->context.type, strlen(a->context.type));
    else
        put_slice(out, &v->e.field[EVENT_TYPE], none);
}

static bool explain(const struct asking *a, const struct verdict *v, size_t i, struct buf *why)
{
    return route_explain(a->table, i, a->source, &v->e, &a->context, a->slots, why);
}

static void put_routes_json(const struct asking *a, struct buf *out, const struct verdict *v)
{
    for (size_t i = 0; a->table != NULL && i < a->conf->n_routes; i++) {
        struct buf why;
        buf_init(&why, WHY_MAX);
        bool wants = explain(a, v, i, &why);
        (void)buf_printf(out, "%s{\"id\":\"%s\",\"wants\":%s,\"why\":", i > 0 ? "," : "",
                         a->conf->routes[i].id, wants ? "true" : "false");
        (void)buf_put_json(out, buf_cstr(&why), why.len);
        (void)buf_appendc(out, '}');
        buf_fini(&why);
    }
}

static void put_json(const struct asking *a, struct buf *out, const struct verdict *v)
{
    const char *comma = "";
    (void)buf_printf(out, "%s{\"source\":\"%s\",\"type\":", a->n > 1 ? ",\n" : "", a->source);
    put_type(a, out, v, "null");
    (void)buf_puts(out, ",\"event\":");
    put_slice(out, &v->name, "null");
    if (v->fault != EVENT_OK) {
        (void)buf_printf(out, ",\"fault\":\"%s\"}", event_fault_name(v->fault));
        return;
    }
    (void)buf_puts(out, ",\"destinations\":[");
    for (size_t i = 0; i < a->conf->n_destinations; i++)
        if (goes_to(a, v, i)) {
            (void)buf_printf(out, "%s\"%s\"", comma, a->conf->destinations[i].id);
            comma = ",";
        }
    (void)buf_puts(out, "],\"routes\":[");
    put_routes_json(a, out, v);
    (void)buf_puts(out, "]}");
}

static void put_text(const struct asking *a, struct buf *out, const struct verdict *v)
{
    const char *comma = " -> ";
    (void)buf_printf(out, "%zu: ", a->n);
    put_type(a, out, v, "without type");
    if (v->name.text != NULL) {
        (void)buf_appendc(out, ' ');
        put_slice(out, &v->name, "");
    }
    (void)buf_printf(out, " of %s", a->source);
    if (v->fault != EVENT_OK) {
        (void)buf_printf(out, ": not taken: %s\n", event_fault_name(v->fault));
        return;
    }
    for (size_t i = 0; i < a->conf->n_destinations; i++)
        if (goes_to(a, v, i)) {
            (void)buf_printf(out, "%s%s", comma, a->conf->destinations[i].id);
            comma = ", ";
        }
    (void)buf_printf(out, "%s%s\n", *comma == ' ' ? " -> nowhere" : "",
                     a->table == NULL ? " (there are no routes)" : "");
    for (size_t i = 0; a->table != NULL && i < a->conf->n_routes; i++) {
        (void)buf_printf(out, "   %-20s ", a->conf->routes[i].id);
        (void)explain(a, v, i, out);
        (void)buf_appendc(out, '\n');
    }
}

static void take(struct asking *a, const struct json_slice *value)
{
    struct verdict v;
    struct buf out;
    buf_init(&out, 2 * INPUT_MAX);
    judge(a, value, &v);
    a->n++;
    if (a->o.json)
        put_json(a, &out, &v);
    else
        put_text(a, &out, &v);
    fwrite(out.data, 1, out.len, stdout);
    buf_fini(&out);
}

/* ---- the input */

static void take_all(struct asking *a, const struct json_slice *value)
{
    struct json_slice list = *value, element;
    struct json_iter it = {0};
    if (value->type == JSON_OBJECT && (!json_find(value, "batch", &list) || list.type != JSON_ARRAY))
        list = *value;
    if (list.type != JSON_ARRAY) {
        take(a, &list);
        return;
    }
    while (json_next_element(&list, &it, &element))
        take(a, &element);
}

static int read_all(FILE *in, struct buf *out)
{
    char piece[65536];
    size_t n;
    while ((n = fread(piece, 1, sizeof piece, in)) > 0)
        if (buf_append(out, piece, n) < 0)
            return -1;
    if (!ferror(in))
        return 0;
    errno = EIO;
    return -1;
}

static unsigned line_of(const char *text, const char *where)
{
    unsigned line = 1;
    for (; text < where; text++)
        line += *text == '\n';
    return line;
}

static int judge_all(struct asking *a, const struct buf *text)
{
    struct json_scan s;
    struct json_slice value;
    json_scan_init(&s, text->len > 0 ? text->data : "", text->len);
    while (json_scan_end(&s) < 0) {
        s.why = NULL; /* there is more, which is right here */
        if (json_scan_value(&s, &value) < 0) {
            fprintf(stderr, "dray route: line %u: not JSON: %s\n",
                    line_of(text->data, s.where != NULL ? s.where : text->data), s.why);
            return EXIT_CODE_FAILURE;
        }
        take_all(a, &value);
    }
    return EXIT_CODE_OK;
}

static int open_and_judge(struct asking *a, const char *path)
{
    bool standard = path == NULL || strcmp(path, "-") == 0;
    FILE *in = standard ? stdin : fopen(path, "re");
    struct buf text;
    int code = EXIT_CODE_IOERR;
    buf_init(&text, INPUT_MAX);
    if (in == NULL || read_all(in, &text) < 0)
        fprintf(stderr, "dray route: %s: %s\n", standard ? "standard input" : path,
                errno == EMSGSIZE ? "longer than 64 MiB" : strerror(errno));
    else
        code = judge_all(a, &text);
    if (in != NULL && !standard)
        fclose(in);
    buf_fini(&text);
    return code;
}

/* The source that was named, or the only one. */
static const char *find_source(const struct conf *c, const char *id)
{
    if (id == NULL && c->n_sources == 1)
        return c->sources[0].id;
    if (id != NULL && conf_find_source(c, id) != NULL)
        return id;
    fprintf(stderr,
            id == NULL ? "dray route: --source is needed; there are"
                       : "dray route: there is no source %s; there are",
            id);
    for (size_t i = 0; i < c->n_sources; i++)
        fprintf(stderr, "%s %s", i > 0 ? "," : "", c->sources[i].id);
    fputc('\n', stderr);
    return NULL;
}

int route_main(int argc, char **argv)
{
    struct asking a = {0};
    char *path = NULL;
    const char *source = NULL;
    const struct option_row rows[] = {{"source", OPTION_TEXT, &source, NULL},
                                      {"type", OPTION_TEXT, &a.context.type, NULL}};
    size_t n;
    int stop = options_read(&a.o, argc, argv, usage, rows, sizeof rows / sizeof *rows, &path, 1, &n);
    if (stop != CLI_GO_ON)
        return stop;
    enum exitcode code;
    struct conf *c = cli_load_conf(&a.o, &code);
    if (c == NULL)
        return (int)code;
    a.conf = c;
    a.context.max_bytes = c->ingest.limits_event_bytes;
    a.source = find_source(c, source);
    int result = EXIT_CODE_USAGE;
    if (a.source != NULL) {
        a.table = route_table_new(c);
        a.slots = xcalloc(PICK_FIELDS_MAX, sizeof *a.slots);
        if (a.o.json)
            putchar('[');
        result = open_and_judge(&a, path);
        if (a.o.json)
            puts("]");
        free(a.slots);
        route_table_free(a.table);
    }
    conf_free(c);
    return result;
}
