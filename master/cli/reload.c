/* reload - dray reload: the running instance reads its file again, and this returns when what it says is in force. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "master/cli/cli.h"
#include "master/cli/client.h"
#include "master/cli/options.h"

#define FOR_EVER_MS (7ull * 24 * 3600 * 1000)

static const char usage[] =
    "usage: dray reload [--no-wait | --dry-run] [--timeout DURATION] [-o json]\n\n"
    "The running instance reads its configuration again. A file with any error is refused whole (exit\n"
    "78). What can be told to the running processes is told; processes that must be replaced are\n"
    "replaced one by one, the new one ready before the old one drains. Returns when all of that is\n"
    "done, and says what was done, and which keys only a restart of dray can change. When a process does not\n"
    "come up with the new configuration, the one before it is put back in force (exit: as that\n"
    "process' own). Asked while it starts or reloads, it reloads once more afterwards.\n\n"
    "      --no-wait            only ask\n"
    "      --dry-run            say what would change, and how; do nothing\n"
    "      --timeout DURATION   wait no longer (exit 75; the reload goes on); default: as long as it takes\n\n";

/* "intro a, b, c" on one line, if there is any. */
static void print_names(FILE *to, const char *intro, const json_t *list, const char *end)
{
    size_t i;
    json_t *item;
    if (json_array_size(list) == 0)
        return;
    fputs(intro, to);
    json_array_foreach(list, i, item)
    {
        fprintf(to, "%s%s", i > 0 ? ", " : "", json_is_string(item) ? json_string_value(item) : "?");
    }
    fputs(end, to);
}

static void print_done(const json_t *a)
{
    const char *result = json_string_value(json_object_get(a, "result"));
    long long epoch = (long long)json_integer_value(json_object_get(a, "epoch"));
    if (result != NULL && strcmp(result, "asked") == 0) {
        printf("asked; dray status shows how far it is\n");
    } else if (result != NULL && strcmp(result, "unchanged") == 0) {
        printf("nothing has changed: generation %lld stays in force\n", epoch);
    } else {
        printf("generation %lld is in force\n", epoch);
        print_names(stdout, "told:     ", json_object_get(a, "live"), "\n");
        print_names(stdout, "replaced: ", json_object_get(a, "kinds"), "");
        print_names(stdout, " (for ", json_object_get(a, "roll"), ")");
        if (json_array_size(json_object_get(a, "kinds")) + json_array_size(json_object_get(a, "roll")) > 0)
            putchar('\n');
    }
}

/* A value on one line; lists are not written out. */
static void print_value(const json_t *v)
{
    char *text = json_is_string(v) ? NULL : json_dumps(v, JSON_ENCODE_ANY | JSON_COMPACT);
    if (json_is_array(v))
        printf("%zu entries", json_array_size(v));
    else
        fputs(text != NULL ? text : json_string_value(v), stdout);
    free(text);
}

static void print_changes(const json_t *a)
{
    size_t i;
    json_t *c;
    const json_t *changes = json_object_get(a, "changes");
    if (json_array_size(changes) == 0)
        printf("nothing would change\n");
    json_array_foreach(changes, i, c)
    {
        const char *key = json_string_value(json_object_get(c, "key"));
        const char *apply = json_string_value(json_object_get(c, "apply"));
        printf("%-8s %s: ", apply != NULL ? apply : "?", key != NULL ? key : "?");
        print_value(json_object_get(c, "old"));
        printf(" -> ");
        print_value(json_object_get(c, "new"));
        print_names(stdout, " (replaces ", json_object_get(c, "kinds"), ")");
        putchar('\n');
    }
}

static int print_answer(const struct cli *o, const json_t *a, bool dry_run)
{
    int code = json_is_true(json_object_get(a, "ok")) ? EXIT_CODE_OK
                                                      : (int)json_integer_value(json_object_get(a, "code"));
    const char *error = json_string_value(json_object_get(a, "error"));
    if (o->json) {
        json_dumpf(a, stdout, JSON_COMPACT);
        putchar('\n');
        return code;
    }
    if (error != NULL)
        fprintf(stderr, "%s%s", error, error[0] != '\0' && error[strlen(error) - 1] == '\n' ? "" : "\n");
    else if (dry_run)
        print_changes(a);
    else if (o->verbosity >= 0)
        print_done(a);
    print_names(stderr, "dray: needs a restart of dray to take effect: ", json_object_get(a, "restart"),
                "\n");
    print_names(stderr, "dray: not up: ", json_object_get(a, "down"), "\n");
    return code;
}

int reload_main(int argc, char **argv)
{
    bool no_wait = false, dry_run = false;
    uint64_t timeout_ms = FOR_EVER_MS;
    const struct option_row rows[] = {
        {"no-wait", OPTION_FLAG, &no_wait, NULL},
        {"dry-run", OPTION_FLAG, &dry_run, NULL},
        {"timeout", OPTION_DURATION, &timeout_ms, NULL},
    };
    struct cli o;
    struct client c;
    size_t n;
    json_t *answer = NULL;
    int code = options_read(&o, argc, argv, usage, rows, sizeof rows / sizeof *rows, NULL, 0, &n);
    if (code != CLI_GO_ON)
        return code;
    if (no_wait && dry_run)
        return cli_usage(argv[0], "--no-wait and --dry-run exclude each other");
    if ((code = client_connect(&o, &c)) != EXIT_CODE_OK)
        return code;
    json_t *request = json_pack("{s:s, s:b, s:b}", "verb", "reload", "wait", !no_wait, "dry_run", dry_run);
    code = client_ask_whole(&c, request, timeout_ms, &answer);
    if (code == EXIT_CODE_OK)
        code = print_answer(&o, answer, dry_run);
    else if (code == EXIT_CODE_TEMP)
        fprintf(stderr, "dray: the reload is still under way; dray status shows how far it is\n");
    json_decref(answer);
    client_close(&c);
    return code;
}
