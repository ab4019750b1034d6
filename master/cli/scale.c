/* scale - dray scale KIND N. */
#include <stdio.h>

#include "common/base/str.h"
#include "master/cli/cli.h"
#include "master/cli/control.h"

static const char usage[] =
    "usage: dray scale KIND N\n\n"
    "Changes the number of processes of a kind (delivery, ingest) until the next reload.\n"
    "Those that are too many finish what they have in hand first.\n\n";

int scale_main(int argc, char **argv)
{
    struct cli o;
    char *words[2];
    size_t n;
    int code = control_arguments(&o, argc, argv, usage, words, 2, &n);
    if (code != CLI_GO_ON)
        return code;
    uint64_t count;
    if (n != 2)
        return cli_usage(argv[0], "a kind and a number are needed");
    if (str_parse_u64(words[1], &count) != 0 || count > 1000)
        return cli_usage(argv[0], "%s is not a number of processes", words[1]);
    char done[128];
    snprintf(done, sizeof done, "%s: %u wanted", words[0], (unsigned)count);
    return control_tell(
        &o, json_pack("{s:s, s:s, s:I}", "verb", "scale", "kind", words[0], "n", (json_int_t)count), done);
}
