/* reload - dray reload: the running instance reads its file again; any error leaves the old configuration. */
#include "master/cli/cli.h"
#include "master/cli/control.h"

static const char usage[] =
    "usage: dray reload\n\n"
    "The running instance reads its configuration again. A file with any error is refused whole.\n"
    "Processes that must be replaced are replaced one by one.\n\n";

int reload_main(int argc, char **argv)
{
    struct cli o;
    size_t n;
    int code = control_arguments(&o, argc, argv, usage, NULL, 0, &n);
    return code != CLI_GO_ON ? code : control_tell(&o, json_pack("{s:s}", "verb", "reload"), "reloaded");
}
