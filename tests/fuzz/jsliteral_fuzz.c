/* jsliteral_fuzz - whatever is taken as data comes out as JSON, within the bound; a fault names a place in the text and
 * leaves the output as it was; and what is JSON already is taken. */
#include <stdlib.h>
#include <string.h>

#include "common/event/json.h"
#include "workers/delivery/jsfunction.h"
#include "workers/delivery/jsliteral.h"

#define MAX 65536

#define CHECK(cond)                                                                                          \
    do {                                                                                                     \
        if (!(cond))                                                                                         \
            abort();                                                                                         \
    } while (0)

static const char *scan(const char *text, size_t len)
{
    struct json_scan s;
    struct json_slice v;
    json_scan_init(&s, text, len);
    if (json_scan_value(&s, &v) == 0)
        (void)json_scan_end(&s);
    return s.why;
}

static void check_skip(const char *text, size_t len)
{
    const char *why = NULL, *where = NULL, *stop = jsfunction_skip(text, text + len, &why, &where);
    if (stop != NULL)
        CHECK(stop > text && stop < text + len && (*stop == ',' || *stop == ']'));
    else
        CHECK(why != NULL && where >= text && where <= text + len);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *text = (const char *)data, *why;
    struct jsliteral_fault fault;
    struct buf out;
    buf_init(&out, MAX);
    CHECK(buf_puts(&out, "before") == 0);
    bool taken = jsliteral_to_json(text, size, &out, &fault) == 0;
    CHECK(out.len <= MAX && memcmp(out.data, "before", 6) == 0);
    if (taken) {
        why = scan(out.data + 6, out.len - 6);
        CHECK(why == NULL || strcmp(why, "string is not UTF-8") == 0); /* the caller sees to that */
    } else {
        CHECK(out.len == 6 && fault.why != NULL && fault.at <= size);
        if (size < MAX / 8 && scan(text, size) == NULL)
            CHECK(memmem(text, size, "callbacks", 9) != NULL);
    }
    buf_fini(&out);
    check_skip(text, size);
    return 0;
}
