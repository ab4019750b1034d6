/* cli - the command line: a table of verbs (cli.c), the options that all of them share, and how they say things.
 *
 * stdout is data, stderr is talk. A verb is `int NAME_main(int argc, char **argv)` with argv[0] = its name; what it
 * returns is the exit status. Reads take -o json; every verb takes -h.
 */
#ifndef DRAY_MASTER_CLI_CLI_H
#define DRAY_MASTER_CLI_CLI_H

#include <getopt.h>
#include <stdbool.h>
#include <stddef.h>

#include "common/conf/conf.h"

#define CLI_OVERRIDES_MAX 64

struct cli {
    const char *config_path;                           /* -c, or NULL */
    const char *socket;                                /* -s, or NULL */
    bool json;                                         /* -o json */
    bool wide;                                         /* -o wide: more columns, where there are some */
    int verbosity;                                     /* -v adds one, -q takes one away */
    char **argv;                                       /* of the process */
    struct conf_override overrides[CLI_OVERRIDES_MAX]; /* --set key=value */
    size_t n_overrides;
};

typedef int (*cli_fn)(int argc, char **argv);
struct cli_verb {
    const char *name;
    cli_fn fn;
    const char *help; /* one line */
};

/* The shared options, for getopt_long (':': it stays silent, cli_option says what is wrong). A verb's own long options get numbers from CLI_OPT_OWN on. */
#define CLI_SHORT_OPTIONS ":c:s:o:qvh"
enum { CLI_OPT_SET = 1000, CLI_OPT_OWN = 2000 };
#define CLI_LONG_OPTIONS                                                                                     \
    {"config", required_argument, NULL, 'c'}, {"socket", required_argument, NULL, 's'},                      \
        {"output", required_argument, NULL, 'o'}, {"set", required_argument, NULL, CLI_OPT_SET},             \
        {"quiet", no_argument, NULL, 'q'}, {"verbose", no_argument, NULL, 'v'},                              \
    {                                                                                                        \
        "help", no_argument, NULL, 'h'                                                                       \
    }

/* argv of the process: finds the verb and runs it. */
int cli_main(int argc, char **argv);
/* Starts with what stood before the verb (dray -c FILE status). */
void cli_init(struct cli *o);
/* Takes in one option that getopt_long returned and that the verb does not know itself. CLI_GO_ON, or the exit status
 * to return: -h prints usage (the verb's synopsis and own options; the shared ones are added) to stdout and is OK,
 * anything unknown is EXIT_CODE_USAGE. */
#define CLI_GO_ON (-1)
int cli_option(struct cli *o, int opt, const char *usage);
/* "dray VERB: text" and where help is, on stderr; returns EXIT_CODE_USAGE. */
int cli_usage(const char *verb, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* For "did you mean": is candidate like word, and more so than what was found with *best (CLI_FAR at first)? */
#define CLI_FAR 3
bool cli_is_nearer(const char *word, const char *candidate, unsigned *best);
/* Adds one override; fatal when there are more than CLI_OVERRIDES_MAX. text is borrowed. */
void cli_override(struct cli *o, const char *text, const char *origin);
/* The configuration that the options name (NULL after its errors went to stderr: *code says which exit). */
struct conf *cli_load_conf(const struct cli *o, enum exitcode *code);
/* The path this program can be executed by, whatever became of its file: "/proc/self/exe". */
#define CLI_SELF "/proc/self/exe"

/* The verbs. */
int run_main(int argc, char **argv);
int check_main(int argc, char **argv);
int route_main(int argc, char **argv);
int status_main(int argc, char **argv);
int top_main(int argc, char **argv);
int scale_main(int argc, char **argv);
int restart_main(int argc, char **argv);
int reload_main(int argc, char **argv);
int level_main(int argc, char **argv);
int upgrade_main(int argc, char **argv);
int stop_main(int argc, char **argv);
int quarantine_main(int argc, char **argv);
int flush_main(int argc, char **argv);
int queue_main(int argc, char **argv);
int job_main(int argc, char **argv);
int sink_main(int argc, char **argv);
int send_main(int argc, char **argv);
int demo_main(int argc, char **argv);
int version_main(int argc, char **argv);
int help_main(int argc, char **argv);

#endif
