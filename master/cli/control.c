/* control - see control.h. */
#include "master/cli/control.h"

#include <stdio.h>

#include "master/cli/client.h"
#include "master/cli/options.h"

int control_arguments(struct cli *o, int argc, char **argv, const char *usage, char **words, size_t max,
                      size_t *n)
{
    return options_read(o, argc, argv, usage, NULL, 0, words, max, n);
}

static void print_list(const json_t *answer, const char *key, const char *intro)
{
    size_t i;
    json_t *item;
    json_array_foreach(json_object_get(answer, key), i, item)
    {
        if (json_is_string(item))
            fprintf(stderr, "dray: %s%s\n", intro, json_string_value(item));
    }
}

int control_tell(const struct cli *o, json_t *request, const char *done)
{
    json_t *answer;
    int code = client_request(o, request, &answer);
    if (code != EXIT_CODE_OK)
        return code;
    if (o->json) {
        json_dumpf(answer, stdout, JSON_COMPACT);
        putchar('\n');
    } else {
        const char *message = json_string_value(json_object_get(answer, "message"));
        if (o->verbosity >= 0)
            printf("%s\n", message != NULL ? message : done);
        print_list(answer, "warnings", "");
        print_list(answer, "restart", "needs a restart of dray to take effect: ");
    }
    json_decref(answer);
    return EXIT_CODE_OK;
}
