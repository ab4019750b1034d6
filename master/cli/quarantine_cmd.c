/* quarantine_cmd - dray quarantine VERB: what could not be taken, as it stands on disk. Works beside a running dray (its
 * files are only read, and records marked as removed), and without one; releasing needs an intake. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "master/cli/options.h"
#include "master/cli/quarantine_act.h"
#include "master/cli/table.h"

#define WORDS_MAX 256

static const char usage[] =
    "usage: dray quarantine ls [--source ID] [--reason WORD] [--since 1h] [--limit N] [-o json]\n"
    "       dray quarantine show PLACE... [--raw] [-o json]\n"
    "       dray quarantine release PLACE...|FILTER|--all [--to FILE] [--url URL] [--dry-run] [--yes]\n"
    "       dray quarantine rm PLACE...|FILTER|--all [--dry-run] [--yes]\n\n"
    "Events that could not be taken stand in the quarantine of the host they came to, byte by byte,\n"
    "with the reason: not_object, no_user, too_big, too_many, unrouted, and batches that are poison or refused.\n"
    "ls lists them, show prints them: as text, or in hexadecimal when they are none (--raw: the bytes\n"
    "alone). release posts each to this host's intake as its source, and takes it out when that has\n"
    "it; with --to it is written to FILE instead, a line of JSON each. rm removes for good.\n"
    "FILTER is any of --source, --reason, --since (younger than) and --limit. What acts on more than\n"
    "named places asks first, unless --yes (-y) is given; --dry-run only counts.\n\n";

struct options {
    struct cli cli;
    struct quarantine_want want;
    struct quarantine_act act;
    bool all, raw;
};

static int read_failed(const char *root)
{
    fprintf(stderr, "dray quarantine: %s: %s\n", root, strerror(errno));
    return errno == EACCES ? EXIT_CODE_NOPERM : EXIT_CODE_IOERR;
}

static void list_one(const struct quarantine_record *r, void *arg)
{
    json_array_append_new(arg, quarantine_list_json(r, false));
}

static int ls(const struct options *o, const char *root)
{
    static const char *const columns[] = {"place", "time", "source", "reason", "size_bytes", "start", NULL};
    json_t *rows = json_array();
    if (quarantine_list_each(root, &o->want, list_one, rows) < 0) {
        json_decref(rows);
        return read_failed(root);
    }
    if (o->cli.json) {
        json_dumpf(rows, stdout, JSON_COMPACT);
        putchar('\n');
    } else {
        table_print(stdout, rows, columns);
    }
    json_decref(rows);
    return EXIT_CODE_OK;
}

static void show_one(const struct quarantine_record *r, void *arg)
{
    const struct options *o = arg;
    if (o->raw) {
        fwrite(r->bytes, 1, r->len, stdout);
    } else if (o->cli.json) {
        json_t *j = quarantine_list_json(r, true);
        json_dumpf(j, stdout, JSON_COMPACT);
        putchar('\n');
        json_decref(j);
    } else {
        quarantine_list_print(r);
    }
}

static int show(struct options *o, const char *root)
{
    long n = quarantine_list_each(root, &o->want, show_one, o);
    if (n < 0)
        return read_failed(root);
    if ((size_t)n == o->want.n_places)
        return EXIT_CODE_OK;
    fprintf(stderr, "dray quarantine show: %s; see dray quarantine ls\n",
            n == 0 ? "there is no such record" : "not all of these records are there");
    return EXIT_CODE_FAILURE;
}

/* An act on many needs to be told of which. */
static int check_words(const struct options *o, const char *verb)
{
    bool filter =
        o->want.source != NULL || o->want.reason != NULL || o->want.since_ms > 0 || o->want.limit > 0;
    bool is_ls = strcmp(verb, "ls") == 0, is_show = strcmp(verb, "show") == 0;
    for (size_t i = 0; i < o->want.n_places; i++)
        if (!quarantine_is_place(o->want.places[i]))
            return cli_usage("quarantine", "%s is no place; dray quarantine ls shows them",
                             o->want.places[i]);
    if (is_ls && o->want.n_places > 0)
        return cli_usage("quarantine", "one word too many: %s", o->want.places[0]);
    if (is_show && o->want.n_places == 0)
        return cli_usage("quarantine", "show: a place is needed; dray quarantine ls shows them");
    if (!is_ls && !is_show && o->want.n_places == 0 && !filter && !o->all)
        return cli_usage("quarantine", "%s: places, a filter or --all is needed", verb);
    return CLI_GO_ON;
}

static int run(struct options *o, const char *verb)
{
    char root[4096];
    enum exitcode code;
    struct conf *conf = cli_load_conf(&o->cli, &code);
    if (conf == NULL)
        return (int)code;
    conf_state_path(conf, "quarantine", root, sizeof root);
    o->act.conf = conf;
    o->act.root = root;
    o->act.want = &o->want;
    o->act.json = o->cli.json;
    o->act.quiet = o->cli.verbosity < 0;
    int r;
    if (strcmp(verb, "ls") == 0)
        r = ls(o, root);
    else if (strcmp(verb, "show") == 0)
        r = show(o, root);
    else if (strcmp(verb, "rm") == 0)
        r = quarantine_act_rm(&o->act);
    else
        r = o->act.to != NULL ? quarantine_act_save(&o->act) : quarantine_act_release(&o->act);
    conf_free(conf);
    return r;
}

int quarantine_main(int argc, char **argv)
{
    static char yes[] = "--yes";
    struct options o = {0};
    char *words[WORDS_MAX];
    size_t n;
    const struct option_row rows[] = {
        {"source", OPTION_TEXT, &o.want.source, NULL},
        {"reason", OPTION_TEXT, &o.want.reason, NULL},
        {"since", OPTION_DURATION, &o.want.since_ms, NULL},
        {"limit", OPTION_NUMBER, &o.want.limit, NULL},
        {"all", OPTION_FLAG, &o.all, NULL},
        {"raw", OPTION_FLAG, &o.raw, NULL},
        {"to", OPTION_TEXT, &o.act.to, NULL},
        {"url", OPTION_TEXT, &o.act.url, NULL},
        {"dry-run", OPTION_FLAG, &o.act.dry_run, NULL},
        {"yes", OPTION_FLAG, &o.act.yes, NULL},
    };
    for (int i = 1; i < argc; i++)
        if (strcmp(argv[i], "-y") == 0)
            argv[i] = yes;
    int code =
        options_read(&o.cli, argc, argv, usage, rows, sizeof rows / sizeof *rows, words, WORDS_MAX, &n);
    if (code != CLI_GO_ON)
        return code;
    static const char *const verbs[] = {"ls", "show", "release", "rm"};
    bool known = false;
    for (size_t i = 0; i < sizeof verbs / sizeof *verbs && n > 0; i++)
        known |= strcmp(words[0], verbs[i]) == 0;
    if (!known)
        return n == 0 ? cli_usage(argv[0], "ls, show, release or rm is needed")
                      : cli_usage(argv[0], "ls, show, release or rm is needed, not %s", words[0]);
    o.want.places = words + 1;
    o.want.n_places = n - 1;
    code = check_words(&o, words[0]);
    return code == CLI_GO_ON ? run(&o, words[0]) : code;
}
