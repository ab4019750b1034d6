/* main - the one entry of the program: a child's kind (`-x KIND -n SLOT`, said by spawn.c alone), a verb of the
 * command line, or what a running master of another release becomes (upgrade_adopt.h). */
#include <stdio.h>
#include <string.h>

#include "common/base/exitcode.h"
#include "common/base/sig.h"
#include "common/base/str.h"
#include "master/cli/cli.h"
#include "master/kinds.h"
#include "master/upgrade_adopt.h"

/* dray -x KIND -n SLOT: becomes the child. */
static int run_child(int argc, char **argv)
{
    uint64_t slot = 0;
    if (argc != 5 || strcmp(argv[3], "-n") != 0 || str_parse_u64(argv[4], &slot) != 0 || slot > 4096) {
        fprintf(stderr, "dray: -x KIND -n SLOT is how the master starts its children; try: dray help\n");
        return EXIT_CODE_USAGE;
    }
    if (strcmp(argv[2], "preflight") == 0)
        return upgrade_preflight_main();
    const struct kind *kind = kind_find(argv[2]);
    if (kind == NULL || kind->entry == NULL) {
        fprintf(stderr, "dray: no such kind of process: %s\n", argv[2]);
        return EXIT_CODE_USAGE;
    }
    return kind->entry((unsigned)slot, argv);
}

int main(int argc, char **argv)
{
    if (upgrade_adopt_wanted())
        return upgrade_adopt_main(argv);
    sig_defaults();
    if (argc >= 2 && strcmp(argv[1], "-x") == 0)
        return run_child(argc, argv);
    return cli_main(argc, argv);
}
