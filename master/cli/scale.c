/* scale - dray scale KIND N|+N|-N|auto: asks for a number of processes and waits until they stand. */
#include <ctype.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/str.h"
#include "master/cli/cli.h"
#include "master/cli/client.h"
#include "master/cli/options.h"

#define POLL_MS 100

static const char usage[] =
    "usage: dray scale KIND N|+N|-N|auto [--no-wait] [--timeout DURATION]\n\n"
    "Changes the number of processes of a kind (delivery, ingest, console). It holds until\n"
    "`dray scale KIND auto`, or a reload that changes processes.KIND; meanwhile master.autoscale\n"
    "rests. Those that are too many finish what they have in hand first, the highest slots go.\n"
    "Returns when the new ones are ready and the others are gone.\n\n"
    "      --no-wait            return at once\n"
    "      --timeout DURATION   how long to wait (default: a boot and a drain)\n\n";

struct goal {
    const char *kind;
    json_int_t wanted; /* processes */
};

/* What the instance says of a kind. */
static const json_t *entry(const json_t *status, const char *kind)
{
    size_t i;
    const json_t *row;
    json_array_foreach(json_object_get(status, "scale"), i, row)
    {
        const char *name = json_string_value(json_object_get(row, "kind"));
        if (name != NULL && strcmp(name, kind) == 0)
            return row;
    }
    return NULL;
}

static json_int_t field(const json_t *row, const char *name)
{
    return json_integer_value(json_object_get(row, name));
}

/* CLI_GO_ON: not yet. */
static int look(const json_t *status, const struct goal *g)
{
    const json_t *row = entry(status, g->kind);
    if (row == NULL || field(row, "failed") > 0) {
        fprintf(stderr, "dray: %s: a process cannot work; see the log (event=slot_failed)\n", g->kind);
        return EXIT_CODE_FAILURE;
    }
    if (field(row, "wanted") != g->wanted &&
        strcmp(json_string_value(json_object_get(row, "by")), "hand") == 0) {
        fprintf(stderr, "dray: %s: somebody else asked for %lld meanwhile\n", g->kind,
                (long long)field(row, "wanted"));
        return EXIT_CODE_FAILURE;
    }
    if (field(row, "up") == field(row, "wanted") && field(row, "present") == field(row, "wanted"))
        return EXIT_CODE_OK;
    return CLI_GO_ON;
}

static int wait_until(struct client *c, const struct goal *g, uint64_t timeout_ms)
{
    uint64_t until_ms = clock_mono_ms() + timeout_ms;
    for (;;) {
        json_t *status;
        int code = client_ask(c, json_pack("{s:s}", "verb", "status"), &status);
        if (code != EXIT_CODE_OK)
            return code;
        code = look(status, g);
        json_decref(status);
        if (code != CLI_GO_ON)
            return code;
        if (clock_mono_ms() >= until_ms)
            break;
        (void)poll(NULL, 0, POLL_MS);
    }
    fprintf(stderr, "dray: %s: not yet as wanted; dray status shows how far it is\n", g->kind);
    return EXIT_CODE_TEMP;
}

/* "-1" would be read as an option: it is taken out of argv first. */
static const char *take_negative(int *argc, char **argv)
{
    for (int i = 1; i < *argc; i++) {
        if (argv[i][0] != '-' || !isdigit((unsigned char)argv[i][1]))
            continue;
        const char *word = argv[i];
        memmove(argv + i, argv + i + 1, (size_t)(*argc - i) * sizeof *argv); /* with the NULL */
        (*argc)--;
        return word;
    }
    return NULL;
}

/* The request for a word; NULL: it is none. */
static json_t *request_for(const char *kind, const char *word)
{
    uint64_t n;
    bool more = word[0] == '+', fewer = word[0] == '-';
    if (strcmp(word, "auto") == 0)
        return json_pack("{s:s, s:s, s:b}", "verb", "scale", "kind", kind, "auto", 1);
    if (str_parse_u64(word + (more || fewer), &n) != 0 || n > 1000)
        return NULL;
    if (more || fewer)
        return json_pack("{s:s, s:s, s:I}", "verb", "scale", "kind", kind, "by",
                         fewer ? -(json_int_t)n : (json_int_t)n);
    return json_pack("{s:s, s:s, s:I}", "verb", "scale", "kind", kind, "n", (json_int_t)n);
}

static int scale(const struct cli *o, json_t *request, const char *kind, bool wait, uint64_t timeout_ms)
{
    struct client c;
    json_t *answer;
    int code = client_connect(o, &c);
    if (code != EXIT_CODE_OK) {
        json_decref(request);
        return code;
    }
    code = client_ask(&c, request, &answer);
    if (code == EXIT_CODE_OK) {
        struct goal g = {.kind = kind, .wanted = json_integer_value(json_object_get(answer, "wanted"))};
        uint64_t patience =
            timeout_ms != 0 ? timeout_ms : (uint64_t)json_integer_value(json_object_get(answer, "wait_ms"));
        json_decref(answer);
        if (wait)
            code = wait_until(&c, &g, patience);
        if (code == EXIT_CODE_OK && o->json)
            printf("{\"ok\":true,\"kind\":\"%s\",\"wanted\":%lld}\n", kind, (long long)g.wanted);
        else if (code == EXIT_CODE_OK && o->verbosity >= 0)
            printf("%s: %lld %s\n", kind, (long long)g.wanted, wait ? "up" : "wanted");
    }
    client_close(&c);
    return code;
}

int scale_main(int argc, char **argv)
{
    struct cli o;
    char *words[2];
    size_t n;
    bool no_wait = false;
    uint64_t timeout_ms = 0;
    const struct option_row rows[] = {{"no-wait", OPTION_FLAG, &no_wait, NULL},
                                      {"timeout", OPTION_DURATION, &timeout_ms, NULL}};
    const char *word = take_negative(&argc, argv);
    int code = options_read(&o, argc, argv, usage, rows, sizeof rows / sizeof *rows, words,
                            word != NULL ? 1 : 2, &n);
    if (code != CLI_GO_ON)
        return code;
    if (word == NULL && n == 2)
        word = words[1];
    if (n == 0 || word == NULL)
        return cli_usage(argv[0], "a kind and a number are needed");
    json_t *request = request_for(words[0], word);
    if (request == NULL)
        return cli_usage(argv[0], "%s is not a number of processes (N, +N, -N or auto)", word);
    return scale(&o, request, words[0], !no_wait, timeout_ms);
}
