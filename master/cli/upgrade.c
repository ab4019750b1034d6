/* upgrade - dray upgrade: the running instance becomes another program, in the same pid, with its children kept. */
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "master/cli/cli.h"
#include "master/cli/client.h"

#define WAIT_MS 600000

enum { OPT_BINARY = CLI_OPT_OWN, OPT_NO_WAIT };

static const char usage[] =
    "usage: dray upgrade [--binary PATH] [--no-wait]\n\n"
    "The running instance executes the program that stands now where it was started from, in the same process. No\n"
    "connection is refused, nothing in hand is lost; then its processes are replaced one by one. Before anything is\n"
    "changed the new program must read the state and the configuration; one that cannot, or that dies while it takes\n"
    "over, changes nothing: the old one goes on. Returns when all processes are replaced.\n\n"
    "      --binary PATH      this program instead (for this time)\n"
    "      --no-wait          return as soon as it has begun\n\n";

static bool make_absolute(const char *path, char *dst, size_t size)
{
    char folder[PATH_MAX];
    int n = path[0] == '/'                          ? snprintf(dst, size, "%s", path)
            : getcwd(folder, sizeof folder) != NULL ? snprintf(dst, size, "%s/%s", folder, path)
                                                    : -1;
    return n > 0 && (size_t)n < size;
}

static void print(const struct cli *o, const json_t *answer, bool wait)
{
    size_t i;
    json_t *item;
    if (o->json) {
        json_dumpf(answer, stdout, JSON_COMPACT);
        putchar('\n');
        return;
    }
    if (o->verbosity >= 0 && wait)
        printf("upgraded from %s to %s in %.1f s\n", json_string_value(json_object_get(answer, "from")),
               json_string_value(json_object_get(answer, "to")),
               (double)json_integer_value(json_object_get(answer, "ms")) / 1e3);
    else if (o->verbosity >= 0)
        printf("the upgrade has begun; dray status shows how it goes\n");
    json_array_foreach(json_object_get(answer, "warnings"), i, item)
    {
        fprintf(stderr, "dray: %s\n", json_string_value(item));
    }
}

static int ask(const struct cli *o, const char *binary, bool wait)
{
    struct client c;
    json_t *answer, *request = json_pack("{s:s,s:b}", "verb", "upgrade", "wait", wait);
    if (binary != NULL && json_object_set_new(request, "binary", json_string(binary)) < 0) {
        fprintf(stderr, "dray upgrade: the path is no UTF-8 text\n");
        json_decref(request);
        return EXIT_CODE_USAGE;
    }
    int code = client_connect(o, &c);
    if (code != EXIT_CODE_OK) {
        json_decref(request);
        return code;
    }
    code = client_ask_within(&c, request, WAIT_MS, &answer);
    client_close(&c);
    if (code == EXIT_CODE_TEMP && answer == NULL)
        return code;
    if (code == EXIT_CODE_OK) {
        print(o, answer, wait);
        json_decref(answer);
    }
    return code;
}

int upgrade_main(int argc, char **argv)
{
    static const struct option longs[] = {CLI_LONG_OPTIONS,
                                          {"binary", required_argument, NULL, OPT_BINARY},
                                          {"no-wait", no_argument, NULL, OPT_NO_WAIT},
                                          {0}};
    struct cli o;
    char path[PATH_MAX];
    const char *binary = NULL;
    bool wait = true;
    int opt;
    cli_init(&o);
    while ((opt = getopt_long(argc, argv, CLI_SHORT_OPTIONS, longs, NULL)) != -1) {
        if (opt == OPT_BINARY) {
            binary = optarg;
        } else if (opt == OPT_NO_WAIT) {
            wait = false;
        } else {
            int code = cli_option(&o, opt, usage);
            if (code != CLI_GO_ON)
                return code;
        }
    }
    if (optind < argc)
        return cli_usage(argv[0], "one word too many: %s", argv[optind]);
    if (binary != NULL && !make_absolute(binary, path, sizeof path))
        return cli_usage(argv[0], "--binary: the path is too long");
    return ask(&o, binary != NULL ? path : NULL, wait);
}
