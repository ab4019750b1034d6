/* level - dray level [LEVEL]: how much the running instance logs, for all, a kind or one process. */
#include <limits.h>
#include <stdio.h>

#include "master/cli/cli.h"
#include "master/cli/client.h"
#include "master/cli/control.h"
#include "master/cli/options.h"
#include "master/cli/table.h"

static const char usage[] =
    "usage: dray level [crit|error|warn|info|debug|file] [--kind KIND [--slot N]] [--for DURATION]\n\n"
    "Changes how much is logged, at once and without a reload; without a level it tells what is in force.\n"
    "It stays until the time is over, dray level file, a reload or a restart of dray; then log.level counts again.\n\n"
    "      --kind KIND            of these processes alone (delivery, ingest, master ...)\n"
    "      --slot N               of this one of them\n"
    "      --for DURATION         for so long (5m)\n";

static void print_levels(const json_t *answer)
{
    size_t i;
    json_t *row;
    char left[64];
    printf("log.level is %s\n", json_string_value(json_object_get(answer, "log_level")));
    json_array_foreach(json_object_get(answer, "levels"), i, row)
    {
        const char *kind = json_string_value(json_object_get(row, "kind"));
        const json_t *slot = json_object_get(row, "slot"), *left_ms = json_object_get(row, "left_ms");
        printf("%s", kind != NULL ? kind : "all");
        if (json_is_integer(slot))
            printf(".%lld", (long long)json_integer_value(slot));
        printf(": %s", json_string_value(json_object_get(row, "level")));
        if (left_ms != NULL)
            printf(", for %s more", table_format("left_ms", left_ms, left, sizeof left));
        putchar('\n');
    }
}

int level_main(int argc, char **argv)
{
    struct cli o;
    const char *kind = NULL;
    uint64_t slot = 0, for_ms = 0;
    bool has_slot = false;
    char *words[1];
    size_t n;
    const struct option_row rows[] = {{"kind", OPTION_TEXT, &kind, NULL},
                                      {"slot", OPTION_NUMBER, &slot, &has_slot},
                                      {"for", OPTION_DURATION, &for_ms, NULL}};
    int code = options_read(&o, argc, argv, usage, rows, sizeof rows / sizeof *rows, words, 1, &n);
    if (code != CLI_GO_ON)
        return code;
    if (n == 0 && (kind != NULL || has_slot || for_ms != 0))
        return cli_usage(argv[0], "which level?");
    if ((has_slot && kind == NULL) || slot > INT_MAX)
        return cli_usage(argv[0], "--slot is one of a --kind");
    json_t *request = json_pack("{s:s}", "verb", "level"), *answer;
    if (n > 0)
        json_object_set_new(request, "level", json_string(words[0]));
    if (kind != NULL)
        json_object_set_new(request, "kind", json_string(kind));
    if (has_slot)
        json_object_set_new(request, "slot", json_integer((json_int_t)slot));
    if (for_ms != 0)
        json_object_set_new(request, "for_ms", json_integer((json_int_t)for_ms));
    if ((code = client_request(&o, request, &answer)) != EXIT_CODE_OK)
        return code;
    if (o.json) {
        json_dumpf(answer, stdout, JSON_COMPACT);
        putchar('\n');
    } else if (o.verbosity >= 0) {
        print_levels(answer);
    }
    json_decref(answer);
    return EXIT_CODE_OK;
}
