/* options - see options.h. */
#include "master/cli/options.h"

#include "common/base/fatal.h"
#include "common/base/str.h"

static int take(const char *verb, const struct option_row *row)
{
    bool ok = true;
    switch (row->type) {
    case OPTION_FLAG:
        *(bool *)row->to = true;
        break;
    case OPTION_TEXT:
        *(const char **)row->to = optarg;
        break;
    case OPTION_NUMBER:
        ok = str_parse_u64(optarg, row->to) == 0;
        break;
    case OPTION_DURATION:
        ok = str_parse_duration(optarg, false, row->to) == 0;
        break;
    }
    if (!ok)
        return cli_usage(verb, "--%s %s: %s", row->name, optarg,
                         row->type == OPTION_NUMBER ? "expected a whole number"
                                                    : "expected a duration such as 250ms, 30s, 5m or 24h");
    if (row->given != NULL)
        *row->given = true;
    return CLI_GO_ON;
}

int options_read(struct cli *o, int argc, char **argv, const char *usage, const struct option_row *rows,
                 size_t n_rows, char **words, size_t max, size_t *n)
{
    static const struct option shared[] = {CLI_LONG_OPTIONS};
    enum { SHARED = sizeof shared / sizeof *shared };
    struct option longs[OPTIONS_MAX + SHARED + 1] = {0};
    if (n_rows > OPTIONS_MAX)
        panic("%s has more than %d options", argv[0], OPTIONS_MAX);
    for (size_t i = 0; i < n_rows; i++)
        longs[i] =
            (struct option){rows[i].name, rows[i].type == OPTION_FLAG ? no_argument : required_argument, NULL,
                            CLI_OPT_OWN + (int)i};
    for (size_t i = 0; i < SHARED; i++)
        longs[n_rows + i] = shared[i];
    cli_init(o);
    int opt;
    while ((opt = getopt_long(argc, argv, CLI_SHORT_OPTIONS, longs, NULL)) != -1) {
        int code = opt >= CLI_OPT_OWN ? take(argv[0], &rows[opt - CLI_OPT_OWN]) : cli_option(o, opt, usage);
        if (code != CLI_GO_ON)
            return code;
    }
    *n = 0;
    for (int i = optind; i < argc; i++) {
        if (*n == max)
            return cli_usage(argv[0], "one word too many: %s", argv[i]);
        words[(*n)++] = argv[i];
    }
    return CLI_GO_ON;
}
