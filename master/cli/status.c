/* status - dray status: one page about the running instance. The exit status follows LSB: 0 it runs, 3 it does not,
 * 4 that cannot be told. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "master/cli/cli.h"
#include "master/cli/client.h"
#include "master/cli/control.h"
#include "master/cli/table.h"

#define DOING_MAX 1024

static const char usage[] = "usage: dray status [-o wide|json]\n\n"
                            "CPU is the average since the process started; dray top shows what is used now.\n"
                            "Exit status: 0 running, 3 not running, 4 unknown.\n\n";

static const char *const process_keys[] = {"process",   "pid",    "state",   "uptime_ms",  "restarts", "cpu",
                                           "rss_bytes", "lag_ms", "in_hand", "last_death", NULL};
static const char *const wide_keys[] = {"process",   "name",    "generation", "pid",        "state",
                                        "uptime_ms", "boot_ms", "restarts",   "cpu",        "cpu_ms",
                                        "rss_bytes", "lag_ms",  "in_hand",    "last_death", NULL};
static const char *const queue_keys[] = {"name",   "wait",      "active",           "delayed", "paused",
                                         "failed", "oldest_ms", "delivered_events", NULL};

static const char *const route_keys[] = {"route", "destination", "events", NULL};
static json_int_t slot_of(const json_t *row)
{
    return json_integer_value(json_object_get(row, "slot"));
}

/* In front of the first of its kind that has a higher slot. */
static void insert_by_slot(json_t *out, size_t from, json_t *row)
{
    size_t at = from;
    while (at < json_array_size(out) && slot_of(json_array_get(out, at)) <= slot_of(row))
        at++;
    json_array_insert(out, at, row);
}

/* The same rows with each kind's together, by slot. */
static json_t *grouped(const json_t *processes)
{
    json_t *out = json_array(), *first, *row;
    size_t i, k;
    json_array_foreach(processes, i, first)
    {
        const json_t *kind = json_object_get(first, "kind");
        for (k = 0; k < i && !json_equal(json_object_get(json_array_get(processes, k), "kind"), kind);)
            k++;
        if (k < i)
            continue; /* shown with the first of its kind */
        size_t from = json_array_size(out);
        json_array_foreach(processes, k, row)
        {
            if (json_equal(json_object_get(row, "kind"), kind))
                insert_by_slot(out, from, row);
        }
    }
    return out;
}

/* A line for each process that says what it does. */
static void print_doing(const json_t *processes)
{
    const json_t *row;
    size_t i, n = 0;
    json_array_foreach(processes, i, row)
    {
        const char *kind = json_string_value(json_object_get(row, "kind"));
        const json_t *doing = json_object_get(row, "doing");
        char text[DOING_MAX];
        if (kind == NULL || json_string_length(doing) == 0)
            continue;
        printf("%s%s.%lld: %s\n", n++ == 0 ? "\nDOING\n" : "", kind, (long long)slot_of(row),
               table_format("doing", doing, text, sizeof text));
    }
}

/* A death is worth a word for so long. */
#define RECENT_MS 3600000

static void add_death(json_t *row, const json_t *p)
{
    const json_t *ago = json_object_get(p, "last_death_ms_ago");
    const char *reason = json_string_value(json_object_get(p, "last_death"));
    char text[64], both[160];
    if (reason == NULL || strcmp(reason, "asked") == 0 || json_integer_value(ago) > RECENT_MS)
        return;
    snprintf(both, sizeof both, "%s %s ago", reason, table_format("ms_ago_ms", ago, text, sizeof text));
    json_object_set_new(row, "last_death", json_string(both));
}

/* A program has its name; how long it has been there, and how often it came again, is told of itself, not of its keeper. */
static void add_program(json_t *row, const json_t *p)
{
    const json_t *program = json_object_get(p, "program");
    const char *name = json_string_value(json_object_get(p, "name"));
    char text[80];
    if (name == NULL)
        return;
    snprintf(text, sizeof text, "program.%lld %.14s", (long long)slot_of(p), name);
    json_object_set_new(row, "process", json_string(text));
    if (program == NULL)
        return;
    json_object_set(row, "uptime_ms", json_object_get(program, "uptime_ms"));
    json_object_set_new(row, "restarts",
                        json_integer(json_integer_value(json_object_get(p, "restarts")) +
                                     json_integer_value(json_object_get(program, "restarts"))));
}

/* What the table shows of each process. */
static json_t *rows_of(const json_t *processes)
{
    json_t *out = json_array(), *p;
    size_t i;
    json_array_foreach(processes, i, p)
    {
        json_t *row = json_copy(p);
        const char *kind = json_string_value(json_object_get(p, "kind"));
        json_int_t cpu = json_integer_value(json_object_get(p, "cpu_ms")),
                   up = json_integer_value(json_object_get(p, "uptime_ms"));
        char text[80];
        json_object_del(row, "last_death");
        snprintf(text, sizeof text, "%.40s.%lld", kind != NULL ? kind : "?", (long long)slot_of(p));
        json_object_set_new(row, "process",
                            json_string(kind != NULL && strcmp(kind, "master") == 0 ? kind : text));
        snprintf(text, sizeof text, "%.1f%%", up > 0 ? 100.0 * (double)cpu / (double)up : 0.0);
        json_object_set_new(row, "cpu", json_string(text));
        json_object_set(row, "lag_ms", json_object_get(p, "loop_lag_ms"));
        add_death(row, p);
        add_program(row, p);
        json_array_append_new(out, row);
    }
    return out;
}

static void print_errors(const json_t *errors, size_t most)
{
    size_t i;
    json_t *e;
    json_array_foreach(errors, i, e)
    {
        char ago[64], line[DOING_MAX];
        const char *kind = json_string_value(json_object_get(e, "kind")),
                   *event = json_string_value(json_object_get(e, "event")),
                   *text = json_string_value(json_object_get(e, "text"));
        if (i == most || kind == NULL || event == NULL)
            break;
        table_format("ago_ms", json_object_get(e, "ms_ago"), ago, sizeof ago);
        if (strcmp(kind, "master") == 0)
            snprintf(line, sizeof line, "%8s ago  master %s %s", ago, event, text != NULL ? text : "");
        else
            snprintf(line, sizeof line, "%8s ago  %s.%lld %s %s", ago, kind, (long long)slot_of(e), event,
                     text != NULL ? text : "");
        table_make_printable(line);
        printf("%s%s\n", i == 0 ? "\nLAST ERRORS\n" : "", line);
    }
}

static bool has_colours(void)
{
    const char *no = getenv("NO_COLOR"), *term = getenv("TERM");
    return isatty(STDOUT_FILENO) && (no == NULL || no[0] == '\0') && term != NULL &&
           strcmp(term, "dumb") != 0;
}

static void print_headline(const json_t *s, bool colours)
{
    const char *state = json_string_value(json_object_get(s, "state"));
    const char *version = json_string_value(json_object_get(s, "version"));
    const char *node = json_string_value(json_object_get(s, "name"));
    const json_t *master = json_array_get(json_object_get(s, "processes"), 0);
    char uptime[64];
    state = state != NULL ? state : "?";
    table_format("uptime_ms", json_object_get(s, "uptime_ms"), uptime, sizeof uptime);
    printf("dray %s%s%s: %s%s%s, up %s, pid %lld, epoch %lld%s\n", version != NULL ? version : "?",
           node != NULL ? " on " : "", node != NULL ? node : "",
           !colours                         ? ""
           : strcmp(state, "ok") == 0       ? "\x1b[32m"
           : strcmp(state, "degraded") == 0 ? "\x1b[31m"
                                            : "\x1b[33m",
           state, colours ? "\x1b[0m" : "", uptime,
           (long long)json_integer_value(json_object_get(master, "pid")),
           (long long)json_integer_value(json_object_get(s, "epoch")),
           json_is_true(json_object_get(s, "rolling")) ? ", replacing processes" : "");
}

static void print_page(const json_t *s, bool wide)
{
    bool colours = has_colours();
    size_t i;
    json_t *alarm;
    print_headline(s, colours);
    json_array_foreach(json_object_get(s, "alarms"), i, alarm)
    {
        printf("%salarm: %s%s\n", colours ? "\x1b[31m" : "",
               json_is_string(alarm) ? json_string_value(alarm) : "?", colours ? "\x1b[0m" : "");
    }
    putchar('\n');
    json_t *processes = grouped(json_object_get(s, "processes")), *rows = rows_of(processes), *row;
    const char *keys[16];
    size_t n = 0;
    bool died = false;
    json_array_foreach(rows, i, row)
    {
        died = died || json_object_get(row, "last_death") != NULL;
    }
    for (const char *const *key = wide ? wide_keys : process_keys; *key != NULL; key++)
        if (died || strcmp(*key, "last_death") != 0)
            keys[n++] = *key;
    keys[n] = NULL;
    table_print(stdout, rows, keys);
    print_doing(processes);
    json_decref(rows);
    json_decref(processes);
    if (json_object_size(json_object_get(s, "ingest")) > 0) {
        printf("\nINGEST\n");
        table_print_pairs(stdout, json_object_get(s, "ingest"));
    }
    if (json_array_size(json_object_get(s, "routes")) > 0) {
        putchar('\n');
        table_print(stdout, json_object_get(s, "routes"), route_keys);
    }
    const json_t *spool = json_object_get(s, "spool");
    if (spool != NULL && (wide || json_integer_value(json_object_get(spool, "batches")) > 0)) {
        printf("\nSPOOL\n");
        table_print_pairs(stdout, spool);
    }
    if (json_array_size(json_object_get(s, "queues")) > 0) {
        putchar('\n');
        table_print(stdout, json_object_get(s, "queues"), wide ? NULL : queue_keys);
    }
    print_errors(json_object_get(s, "errors"), wide ? 32 : 3);
}

int status_main(int argc, char **argv)
{
    struct cli o;
    size_t n;
    json_t *answer;
    int code = control_arguments(&o, argc, argv, usage, NULL, 0, &n);
    if (code != CLI_GO_ON)
        return code;
    code = client_request(&o, json_pack("{s:s}", "verb", "status"), &answer);
    if (code == EXIT_CODE_NOT_RUNNING)
        return code;
    if (code != EXIT_CODE_OK)
        return EXIT_CODE_UNREACHABLE;
    if (o.json) {
        json_dumpf(answer, stdout, JSON_COMPACT);
        putchar('\n');
    } else {
        print_page(answer, o.wide);
    }
    json_decref(answer);
    return EXIT_CODE_OK;
}
