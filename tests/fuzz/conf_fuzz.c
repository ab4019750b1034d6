/* conf_fuzz - any bytes as a configuration file, and as a dump. What is accepted must survive the way to a child and
 * back unchanged. Nothing is read from elsewhere: ${...} is not expanded. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/buf.h"
#include "common/base/mem.h"
#include "common/conf/conf.h"
#include "common/conf/internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
const char *__lsan_default_suppressions(void);

/* libfyaml 0.7.12 loses a buffer of 1 KiB at some syntax errors; what is ours is still checked. */
const char *__lsan_default_suppressions(void)
{
    return "leak:libfyaml.so";
}

static void round_trip(const struct conf *c)
{
    struct buf first, second, errors;
    buf_init(&first, 1 << 24);
    buf_init(&second, 1 << 24);
    buf_init(&errors, 1 << 20);
    struct conf *again;
    if (conf_dump(c, false, &first) < 0 || conf_parse_dump(first.data, first.len, &again, &errors) < 0 ||
        conf_dump(again, false, &second) < 0 || first.len != second.len ||
        memcmp(first.data, second.data, first.len) != 0)
        abort();
    conf_free(again);
    buf_fini(&first);
    buf_fini(&second);
    buf_fini(&errors);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct buf errors, warnings;
    buf_init(&errors, 1 << 20);
    buf_init(&warnings, 1 << 20);
    struct conf_reader r = {.errors = &errors, .warnings = &warnings};
    char *text = xmalloc(size + 1);
    if (size > 0)
        memcpy(text, data, size);
    text[size] = '\0';
    struct conf_origin from = {.name = "file", .text = text, .len = size};
    struct conf_layers *l = xcalloc(1, sizeof *l);
    l->r = &r;
    l->main = &from;
    struct conf_item *root = conf_yaml_parse(&r, &from);
    if (root != NULL) {
        conf_build_layer(l, root);
        struct conf *c = conf_build(l);
        conf_check(l, c);
        if (r.faults == 0)
            round_trip(c);
        else if (errors.len == 0)
            abort();
        conf_free(c);
    }
    conf_build_end(l);
    free(l);
    conf_item_free(root);
    struct conf *c;
    if (conf_parse_dump(text, size, &c, &errors) == 0) {
        round_trip(c);
        conf_free(c);
    }
    free(text);
    buf_fini(&errors);
    buf_fini(&warnings);
    return 0;
}
