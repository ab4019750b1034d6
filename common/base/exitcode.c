/* exitcode - see exitcode.h. */
#include "common/base/exitcode.h"

#include <stddef.h>

static const struct {
    int code;
    enum exit_class class;
    const char *name, *sentence;
} table[] = {
#define X(code, name, class, sentence) {code, EXIT_CLASS_##class, #name, sentence},
#include "common/base/exitcode.def"
#undef X
};

static size_t find(int code)
{
    size_t i = 0;
    while (i < sizeof table / sizeof *table && table[i].code != code)
        i++;
    return i;
}

#define KNOWN(i) ((i) < sizeof table / sizeof *table)

enum exit_class exitcode_class(int code)
{
    size_t i = find(code);
    return KNOWN(i) ? table[i].class : EXIT_CLASS_RETRY;
}

const char *exitcode_name(int code)
{
    size_t i = find(code);
    return KNOWN(i) ? table[i].name : "UNKNOWN";
}

const char *exitcode_sentence(int code)
{
    size_t i = find(code);
    return KNOWN(i) ? table[i].sentence : "unknown exit code";
}
