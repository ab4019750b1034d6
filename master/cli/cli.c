/* cli - see cli.h. TABLE of verbs; the options before the verb and the shared ones behind it. */
#include "master/cli/cli.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "common/base/fatal.h"
#include "common/base/str.h"
#include "common/base/version.h"

/* table: verbs */
static const struct cli_verb verbs[] = {
    {"run", run_main, "start dray in the foreground"},
    {"check", check_main, "read and check a configuration"},
    {"route", route_main, "where events would go by the routes, and why"},
    {"status", status_main, "what the running instance is doing"},
    {"top", top_main, "what it does, on the whole screen, refreshed"},
    {"scale", scale_main, "change the number of processes of a kind"},
    {"restart", restart_main, "replace the processes one by one"},
    {"reload", reload_main, "read the configuration again"},
    {"level", level_main, "how much is logged, for all or one process, for a while"},
    {"upgrade", upgrade_main, "run another program in the same pid, children kept"},
    {"stop", stop_main, "drain and end the running instance"},
    {"queue", queue_main, "look at the queues, pause, retry, clean them"},
    {"job", job_main, "add a job, look at one, retry, promote, remove it"},
    {"quarantine", quarantine_main, "look at what could not be taken, release it, remove it"},
    {"flush", flush_main, "return once everything accepted before is settled"},
    {"sink", sink_main, "a destination for trials and tests"},
    {"send", send_main, "post events from a file or standard input"},
    {"demo", demo_main, "the whole way in a few seconds, with a worker killed on the way"},
    {"version", version_main, "which dray this is"},
    {"help", help_main, "this text, or that of a verb"},
};
#define N_VERBS (sizeof verbs / sizeof *verbs)

static const char shared_help[] =
    "Shared options:\n"
    "  -c, --config FILE      the configuration (finds the running instance by its run_dir)\n"
    "  -s, --socket SOCKET    the running instance's control socket\n"
    "      --set KEY=VALUE    set one key of the configuration (may be repeated)\n"
    "  -o, --output FORMAT    table (default), wide or json\n"
    "  -q, --quiet            say less     -v, --verbose  say more\n"
    "  -h, --help             this text\n";

static struct {
    struct cli before; /* the options in front of the verb */
    char **words;      /* what getopt is reading */
} state;

static const struct cli_verb *find_verb(const char *name)
{
    for (size_t i = 0; i < N_VERBS; i++)
        if (strcmp(verbs[i].name, name) == 0)
            return &verbs[i];
    return NULL;
}

static void print_verbs(FILE *to)
{
    fprintf(to, "usage: dray [-c FILE] [-s SOCKET] [-o table|json] VERB [options]\n\n");
    for (size_t i = 0; i < N_VERBS; i++)
        fprintf(to, "  %-8s  %s\n", verbs[i].name, verbs[i].help);
    fprintf(to, "\ndray help VERB tells more. Try first: dray demo\n");
}

bool cli_is_nearer(const char *word, const char *candidate, unsigned *best)
{
    unsigned d = str_distance(word, candidate);
    if (d >= *best || d >= strlen(word))
        return false;
    *best = d;
    return true;
}

static int unknown_verb(const char *name)
{
    const char *nearest = NULL;
    unsigned best = CLI_FAR;
    for (size_t i = 0; i < N_VERBS; i++)
        if (cli_is_nearer(name, verbs[i].name, &best))
            nearest = verbs[i].name;
    fprintf(stderr, "dray: no such verb: %s%s%s%s; try: dray help\n", name,
            nearest != NULL ? " (did you mean " : "", nearest != NULL ? nearest : "",
            nearest != NULL ? "?)" : "");
    return EXIT_CODE_USAGE;
}

int cli_usage(const char *verb, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    fprintf(stderr, "dray %s: ", verb);
    vfprintf(stderr, fmt, ap);
    fprintf(stderr, "; try: dray %s --help\n", verb);
    va_end(ap);
    return EXIT_CODE_USAGE;
}

void cli_init(struct cli *o)
{
    *o = state.before;
}

void cli_override(struct cli *o, const char *text, const char *origin)
{
    if (o->n_overrides == CLI_OVERRIDES_MAX)
        fatal(EXIT_CODE_USAGE, "more than %d settings on the command line; put them into a file",
              CLI_OVERRIDES_MAX);
    o->overrides[o->n_overrides++] = (struct conf_override){.text = text, .origin = origin};
}

/* getopt's complaint, in one line. The verb is known from its usage ("usage: dray VERB ..."). */
static int wrong_option(int opt, const char *usage)
{
    char verb[32] = "";
    (void)sscanf(usage, "usage: dray %31[a-z]", verb);
    const char *word = state.words != NULL && optind > 0 ? state.words[optind - 1] : "",
               *space = verb[0] != '\0' ? " " : "";
    char name[4] = {'-', (char)optopt, '\0'};
    fprintf(stderr, "dray%s%s: %s %s; try: dray%s%s --help\n", space, verb,
            str_starts(word, "--") ? word : name, opt == ':' ? "needs a value" : "is no option here", space,
            verb);
    return EXIT_CODE_USAGE;
}

int cli_option(struct cli *o, int opt, const char *usage)
{
    switch (opt) {
    case 'c':
        o->config_path = optarg;
        return CLI_GO_ON;
    case 's':
        o->socket = optarg;
        return CLI_GO_ON;
    case CLI_OPT_SET:
        cli_override(o, optarg, "--set");
        return CLI_GO_ON;
    case 'q':
        o->verbosity--;
        return CLI_GO_ON;
    case 'v':
        o->verbosity++;
        return CLI_GO_ON;
    case 'o':
        if (strcmp(optarg, "json") != 0 && strcmp(optarg, "table") != 0 && strcmp(optarg, "wide") != 0) {
            fprintf(stderr, "dray: -o %s: table, wide or json\n", optarg);
            return EXIT_CODE_USAGE;
        }
        o->json = strcmp(optarg, "json") == 0;
        o->wide = strcmp(optarg, "wide") == 0;
        return CLI_GO_ON;
    case 'h':
        fputs(usage, stdout);
        fputs(shared_help, stdout);
        return EXIT_CODE_OK;
    default:
        return wrong_option(opt, usage);
    }
}

struct conf *cli_load_conf(const struct cli *o, enum exitcode *code)
{
    struct buf errors, warnings;
    buf_init(&errors, 1u << 20);
    buf_init(&warnings, 1u << 20);
    struct conf *c = NULL;
    *code = conf_load(o->config_path, o->overrides, o->n_overrides, &c, &errors, &warnings);
    if (*code != EXIT_CODE_OK)
        fputs(buf_cstr(&errors), stderr);
    buf_fini(&errors);
    buf_fini(&warnings);
    return c;
}

int cli_main(int argc, char **argv)
{
    static const struct option longs[] = {CLI_LONG_OPTIONS, {"version", no_argument, NULL, 'V'}, {0}};
    state.before.argv = state.words = argv;
    int opt;
    while ((opt = getopt_long(argc, argv, "+" CLI_SHORT_OPTIONS "V", longs, NULL)) != -1) {
        if (opt == 'V') {
            char *version[] = {"version", NULL};
            optind = 0;
            return version_main(1, version);
        }
        if (opt == 'h') {
            print_verbs(stdout);
            return EXIT_CODE_OK;
        }
        int code = cli_option(&state.before, opt, "");
        if (code != CLI_GO_ON)
            return code;
    }
    if (optind == argc) {
        print_verbs(stderr);
        return EXIT_CODE_USAGE;
    }
    char **rest = argv + optind;
    int n = argc - optind;
    const struct cli_verb *verb = find_verb(rest[0]);
    if (verb == NULL)
        return unknown_verb(rest[0]);
    optind = 0; /* glibc: getopt starts anew, for the verb's own arguments */
    state.words = rest;
    return verb->fn(n, rest);
}

int help_main(int argc, char **argv)
{
    const char *of = argc > 1 ? argv[1] : NULL;
    if (of == NULL || strcmp(of, "-h") == 0 || strcmp(of, "--help") == 0) {
        print_verbs(stdout);
        return EXIT_CODE_OK;
    }
    const struct cli_verb *verb = find_verb(of);
    if (verb == NULL)
        return unknown_verb(of);
    if (verb->fn == help_main) {
        print_verbs(stdout);
        return EXIT_CODE_OK;
    }
    char option[] = "--help", *args[] = {argv[1], option, NULL};
    optind = 0;
    return verb->fn(2, args);
}

int version_main(int argc, char **argv)
{
    static const struct option longs[] = {CLI_LONG_OPTIONS, {0}};
    struct cli o;
    cli_init(&o);
    int opt;
    while ((opt = getopt_long(argc, argv, CLI_SHORT_OPTIONS, longs, NULL)) != -1) {
        int code = cli_option(&o, opt, "usage: dray version [-o json]\n\n");
        if (code != CLI_GO_ON)
            return code;
    }
    if (optind < argc)
        return cli_usage(argv[0], "one word too many: %s", argv[optind]);
    printf(o.json ? "{\"version\":\"%s\"}\n" : "dray %s\n", version_text());
    return EXIT_CODE_OK;
}
