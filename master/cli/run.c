/* run - dray run: the master, in the foreground (the only mode). */

#include <string.h>

#include "common/base/buf.h"
#include "common/base/fatal.h"
#include "master/cli/cli.h"
#include "master/master.h"

enum { OPT_TO = CLI_OPT_OWN };

static const char usage[] =
    "usage: dray run [-c FILE] [--to URL] [--set KEY=VALUE]...\n\n"
    "Starts dray in the foreground. Without a file: a Redis of its own (redis-server must be installed), one source\n"
    "with the write key \"dev\", and everything goes to the URL of --to. SIGTERM or Ctrl-C drains and ends; a second\n"
    "one does not wait. SIGHUP reads the file again.\n\n"
    "      --to URL           the one destination (named \"default\")\n\n";

/* destinations=[...] with the URL as a quoted scalar. */
static void add_destination(struct cli *o, struct buf *text, const char *url)
{
    if (buf_puts(text, "destinations=[{id: default, url: ") != 0 ||
        buf_put_json(text, url, strlen(url)) != 0 || buf_puts(text, "}]") != 0)
        fatal(EXIT_CODE_USAGE, "--to: the URL is too long");
    cli_override(o, buf_cstr(text), "--to");
}

int run_main(int argc, char **argv)
{
    static const struct option longs[] = {CLI_LONG_OPTIONS, {"to", required_argument, NULL, OPT_TO}, {0}};
    struct cli o;
    cli_init(&o);
    const char *to = NULL;
    int opt;
    while ((opt = getopt_long(argc, argv, CLI_SHORT_OPTIONS, longs, NULL)) != -1) {
        if (opt == OPT_TO) {
            to = optarg;
            continue;
        }
        int code = cli_option(&o, opt, usage);
        if (code != CLI_GO_ON)
            return code;
    }
    if (optind < argc)
        return cli_usage(argv[0], "one word too many: %s", argv[optind]);
    struct buf destination;
    buf_init(&destination, 16384);
    if (to != NULL)
        add_destination(&o, &destination, to);
    if (o.verbosity != 0)
        cli_override(&o, o.verbosity > 0 ? "log.level=debug" : "log.level=warn",
                     o.verbosity > 0 ? "-v" : "-q");
    struct master_options m = {
        .config_path = o.config_path, .overrides = o.overrides, .n_overrides = o.n_overrides};
    m.argv = o.argv;
    int code = master_run(&m);
    buf_fini(&destination);
    return code;
}
