/* restart - dray restart [KIND]. */
#include "master/cli/cli.h"
#include "master/cli/control.h"

static const char usage[] =
    "usage: dray restart [KIND]\n\n"
    "Replaces the processes of a kind, or of all kinds, one by one; nothing is refused meanwhile.\n\n";

int restart_main(int argc, char **argv)
{
    struct cli o;
    char *words[1];
    size_t n;
    int code = control_arguments(&o, argc, argv, usage, words, 1, &n);
    if (code != CLI_GO_ON)
        return code;
    json_t *request = json_pack("{s:s}", "verb", "restart");
    if (n == 1)
        json_object_set_new(request, "kind", json_string(words[0]));
    return control_tell(&o, request, "restarting; dray status shows how far it is");
}
