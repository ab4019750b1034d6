/* restart - dray restart [KIND [NAME]]. */
#include "master/cli/cli.h"
#include "master/cli/control.h"

static const char usage[] =
    "usage: dray restart [KIND [NAME]]\n\n"
    "Replaces the processes of a kind, or of all kinds, one by one; nothing is refused meanwhile.\n"
    "dray restart program NAME ends one program of the configuration and starts it anew.\n\n";

int restart_main(int argc, char **argv)
{
    struct cli o;
    char *words[2];
    size_t n;
    int code = control_arguments(&o, argc, argv, usage, words, 2, &n);
    if (code != CLI_GO_ON)
        return code;
    json_t *request = json_pack("{s:s}", "verb", "restart");
    if (n >= 1)
        json_object_set_new(request, "kind", json_string(words[0]));
    if (n == 2)
        json_object_set_new(request, "name", json_string(words[1]));
    return control_tell(&o, request, "restarting; dray status shows how far it is");
}
