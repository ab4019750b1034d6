/* status - dray status: one page about the running instance. The exit status follows LSB: 0 it runs, 3 it does not,
 * 4 that cannot be told. */
#include <stdio.h>
#include <string.h>

#include "master/cli/cli.h"
#include "master/cli/client.h"
#include "master/cli/control.h"
#include "master/cli/table.h"

#define DOING_MAX 1024

static const char usage[] = "usage: dray status [-o json]\n\n"
                            "Exit status: 0 running, 3 not running, 4 unknown.\n\n";

static const char *const process_keys[] = {"kind",      "slot",     "generation", "pid",         "state",
                                           "uptime_ms", "restarts", "rss_bytes",  "loop_lag_ms", NULL};

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

static void print_page(const json_t *s)
{
    const char *state = json_string_value(json_object_get(s, "state"));
    const char *version = json_string_value(json_object_get(s, "version"));
    const char *node = json_string_value(json_object_get(s, "name"));
    char uptime[64];
    table_format("uptime_ms", json_object_get(s, "uptime_ms"), uptime, sizeof uptime);
    printf("dray %s%s%s: %s, up %s\n\n", version != NULL ? version : "?", node != NULL ? " on " : "",
           node != NULL ? node : "", state != NULL ? state : "?", uptime);
    json_t *processes = grouped(json_object_get(s, "processes"));
    table_print(stdout, processes, process_keys);
    print_doing(processes);
    json_decref(processes);
    if (json_object_size(json_object_get(s, "ingest")) > 0) {
        printf("\nINGEST\n");
        table_print_pairs(stdout, json_object_get(s, "ingest"));
    }
    if (json_array_size(json_object_get(s, "queues")) > 0) {
        putchar('\n');
        table_print(stdout, json_object_get(s, "queues"), NULL);
    }
    size_t i;
    json_t *alarm;
    json_array_foreach(json_object_get(s, "alarms"), i, alarm)
    {
        printf("%salarm: %s\n", i == 0 ? "\n" : "", json_is_string(alarm) ? json_string_value(alarm) : "?");
    }
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
        print_page(answer);
    }
    json_decref(answer);
    return EXIT_CODE_OK;
}
