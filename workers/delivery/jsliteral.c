/* jsliteral - JavaScript literals to JSON, in one pass, straight into the output; see jsliteral.h. What turns out to
 * have no text of its own (undefined, the arguments of a Map) is cut off the output again. Recursion is bounded by the
 * depth.
 */
#include "workers/delivery/jsliteral.h"

#include <string.h>

#include "workers/delivery/jsfunction.h"
#include "workers/delivery/jsliteral_int.h"

enum value { VALUE_FAULT = -1, VALUE_WRITTEN, VALUE_UNDEFINED };

static enum value read_value(struct jsliteral *r);

/* ---- objects and arrays */

static int enter(struct jsliteral *r)
{
    if (r->depth == JSLITERAL_DEPTH_MAX)
        return jsliteral_fault_at(r, r->at, "nested too deep");
    r->depth++;
    return 0;
}

/* The array of function sources; at stands behind its bracket. */
static int skip_callbacks(struct jsliteral *r)
{
    const char *why, *where, *stop;

    if (jsliteral_take(r, ']'))
        return jsliteral_puts(r, "[]");
    do {
        stop = jsfunction_skip(r->at, r->end, &why, &where);
        if (stop == NULL)
            return jsliteral_fault_at(r, where, why);
        r->at = stop;
    } while (jsliteral_take(r, ','));
    r->at++; /* the skip ends at a comma or at the bracket */
    return jsliteral_puts(r, "[]");
}

static int read_array(struct jsliteral *r)
{
    size_t n = 0;

    if (enter(r) != 0 || jsliteral_puts(r, "[") != 0)
        return -1;
    if (!jsliteral_take(r, ']')) {
        do {
            enum value v;

            if (n++ > 0 && jsliteral_puts(r, ",") != 0)
                return -1;
            v = read_value(r);
            if (v == VALUE_FAULT || (v == VALUE_UNDEFINED && jsliteral_puts(r, "null") != 0))
                return -1;
        } while (jsliteral_take(r, ','));
        if (jsliteral_need(r, ']', "a comma or ] is expected") != 0)
            return -1;
    }
    r->depth--;
    return jsliteral_puts(r, "]");
}

static enum value read_member(struct jsliteral *r, bool first)
{
    static const char callbacks[] = "\"callbacks\"";
    size_t before = r->out->len, key;
    bool is_callbacks;
    enum value v;

    if (!first && jsliteral_puts(r, ",") != 0)
        return VALUE_FAULT;
    key = r->out->len;
    if (jsliteral_need_string(r) != 0)
        return VALUE_FAULT;
    is_callbacks = r->depth == 1 && r->out->len - key == sizeof(callbacks) - 1 &&
                   memcmp(r->out->data + key, callbacks, sizeof(callbacks) - 1) == 0;
    if (jsliteral_need(r, ':', "a colon is expected") != 0 || jsliteral_puts(r, ":") != 0)
        return VALUE_FAULT;
    if (is_callbacks && jsliteral_take(r, '['))
        return skip_callbacks(r) == 0 ? VALUE_WRITTEN : VALUE_FAULT;
    v = read_value(r);
    if (v == VALUE_UNDEFINED)
        r->out->len = before;
    return v;
}

static int read_object(struct jsliteral *r)
{
    bool first = true;

    if (enter(r) != 0 || jsliteral_puts(r, "{") != 0)
        return -1;
    if (!jsliteral_take(r, '}')) {
        do {
            enum value v = read_member(r, first);

            if (v == VALUE_FAULT)
                return -1;
            first = first && v == VALUE_UNDEFINED;
        } while (jsliteral_take(r, ','));
        if (jsliteral_need(r, '}', "a comma or } is expected") != 0)
            return -1;
    }
    r->depth--;
    return jsliteral_puts(r, "}");
}

/* ---- what serialize-javascript writes for the values that JSON does not have */

/* The string last written, without its quotes. */
static bool is_iso_date(const char *s, size_t len)
{
    static const char shape[] = "0000-00-00T00:00:00.000Z", longer[] = "+000000-00-00T00:00:00.000Z";
    const char *want = len == sizeof(shape) - 1 ? shape : longer;

    if (len != strlen(want))
        return false;
    for (size_t i = 0; i < len; i++)
        if (want[i] == '0'   ? !jsliteral_is_digit(s[i])
            : want[i] == '+' ? s[i] != '+' && s[i] != '-'
                             : s[i] != want[i])
            return false;
    return true;
}

static bool is_integer(const char *s, size_t len)
{
    if (len > 0 && *s == '-')
        s++, len--;
    if (len == 0 || (*s == '0' && len > 1))
        return false;
    while (len > 0 && jsliteral_is_digit(*s))
        s++, len--;
    return len == 0;
}

static int read_date(struct jsliteral *r)
{
    const char *start = r->at;
    size_t before = r->out->len;

    if (jsliteral_need_string(r) != 0)
        return -1;
    if (!is_iso_date(r->out->data + before + 1, r->out->len - before - 2))
        return jsliteral_fault_at(r, start, "not a date in ISO form");
    return 0;
}

static int read_bigint(struct jsliteral *r)
{
    const char *start = r->at;
    size_t before = r->out->len, len;

    if (jsliteral_need_string(r) != 0)
        return -1;
    len = r->out->len - before - 2;
    if (!is_integer(r->out->data + before + 1, len))
        return jsliteral_fault_at(r, start, "not an integer");
    memmove(r->out->data + before, r->out->data + before + 1, len);
    r->out->len = before + len;
    return 0;
}

static int read_regexp(struct jsliteral *r)
{
    size_t before = r->out->len;

    if (jsliteral_need_string(r) != 0 || (jsliteral_take(r, ',') && jsliteral_need_string(r) != 0))
        return -1;
    r->out->len = before;
    return jsliteral_puts(r, "{}");
}

/* Map and Set: one array, of which JSON keeps nothing. */
static int read_collection(struct jsliteral *r)
{
    size_t before = r->out->len;

    if (jsliteral_need(r, '[', "an array is expected") != 0 || read_array(r) != 0)
        return -1;
    r->out->len = before;
    return jsliteral_puts(r, "{}");
}

static int pad(struct jsliteral *r, uint32_t *n, uint32_t upto)
{
    while (*n < upto)
        if (jsliteral_puts(r, (*n)++ > 0 ? ",null" : "null") != 0)
            return -1;
    return 0;
}

static int read_index(struct jsliteral *r, uint32_t *out)
{
    const char *start = r->at;

    *out = 0;
    while (r->at < r->end && jsliteral_is_digit(*r->at) && *out <= JSLITERAL_SPARSE_MAX)
        *out = *out * 10 + (uint32_t)(*r->at++ - '0');
    if (r->at == start || (r->at - start > 1 && *start == '0'))
        return jsliteral_fault_at(r, start, "bad index of an array");
    if (*out > JSLITERAL_SPARSE_MAX)
        return jsliteral_fault_at(r, start, "array with holes is too long");
    return 0;
}

/* {"1":"b","length":3}: indices rising, the length last, as JSON.stringify orders them. */
static int read_sparse(struct jsliteral *r)
{
    uint32_t n = 0, index;

    if (enter(r) != 0 || jsliteral_need(r, '{', "an object is expected") != 0 || jsliteral_puts(r, "[") != 0)
        return -1;
    for (;;) {
        enum value v;

        if (jsliteral_need(r, '"', "an index or the length is expected") != 0)
            return -1;
        if (jsliteral_take_word(r, "length"))
            break;
        if (read_index(r, &index) != 0 || jsliteral_need(r, '"', "bad index of an array") != 0 ||
            jsliteral_need(r, ':', "a colon is expected") != 0)
            return -1;
        if (index < n)
            return jsliteral_fault_at(r, r->at, "indices are not in order");
        if (pad(r, &n, index) != 0 || (n++ > 0 && jsliteral_puts(r, ",") != 0))
            return -1;
        v = read_value(r);
        if (v == VALUE_FAULT || (v == VALUE_UNDEFINED && jsliteral_puts(r, "null") != 0) ||
            jsliteral_need(r, ',', "a comma is expected") != 0)
            return -1;
    }
    if (jsliteral_need(r, '"', "bad index of an array") != 0 ||
        jsliteral_need(r, ':', "a colon is expected") != 0)
        return -1;
    jsliteral_space(r);
    if (read_index(r, &index) != 0)
        return -1;
    if (index < n)
        return jsliteral_fault_at(r, r->at, "the length is less than the elements");
    if (pad(r, &n, index) != 0 || jsliteral_need(r, '}', "} is expected") != 0)
        return -1;
    r->depth--;
    return jsliteral_puts(r, "]");
}

static int read_call(struct jsliteral *r, int (*argument)(struct jsliteral *))
{
    if (jsliteral_need(r, '(', "( is expected") != 0 || enter(r) != 0)
        return -1;
    jsliteral_space(r);
    if (argument(r) != 0)
        return -1;
    r->depth--;
    return jsliteral_need(r, ')', ") is expected");
}

static int read_word(struct jsliteral *r)
{
    static const struct {
        const char *word;
        int (*argument)(struct jsliteral *);
    } calls[] = {{"Date", read_date},      {"URL", jsliteral_need_string}, {"RegExp", read_regexp},
                 {"Map", read_collection}, {"Set", read_collection},       {NULL, NULL}};
    const char *start = r->at;

    if (jsliteral_take_word(r, "true"))
        return jsliteral_puts(r, "true");
    if (jsliteral_take_word(r, "false"))
        return jsliteral_puts(r, "false");
    if (jsliteral_take_word(r, "null") || jsliteral_take_word(r, "NaN") || jsliteral_take_word(r, "Infinity"))
        return jsliteral_puts(r, "null");
    if (jsliteral_take_word(r, "BigInt"))
        return read_call(r, read_bigint);
    if (jsliteral_take_word(r, "Array.prototype.slice.call"))
        return read_call(r, read_sparse);
    if (jsliteral_take_word(r, "new")) {
        jsliteral_space(r);
        for (size_t i = 0; calls[i].word != NULL; i++)
            if (jsliteral_take_word(r, calls[i].word))
                return read_call(r, calls[i].argument);
    }
    return jsliteral_fault_at(r, start, "not plain data");
}

static enum value read_value(struct jsliteral *r)
{
    int rc;

    jsliteral_space(r);
    if (r->at == r->end)
        return (enum value)jsliteral_fault_at(r, r->at, "a value is missing");
    if (jsliteral_take_word(r, "undefined"))
        return VALUE_UNDEFINED;
    switch (*r->at) {
    case '{':
        r->at++;
        rc = read_object(r);
        break;
    case '[':
        r->at++;
        rc = read_array(r);
        break;
    case '"':
    case '\'':
        rc = jsliteral_string(r);
        break;
    default:
        rc = *r->at == '-' || jsliteral_is_digit(*r->at) ? jsliteral_number(r) : read_word(r);
    }
    return rc == 0 ? VALUE_WRITTEN : VALUE_FAULT;
}

int jsliteral_to_json(const char *text, size_t len, struct buf *out, struct jsliteral_fault *fault)
{
    struct jsliteral r = {.text = text, .at = text, .end = text + len, .out = out, .fault = fault};
    size_t before = out->len;
    enum value v;

    *fault = (struct jsliteral_fault){0};
    v = read_value(&r);
    jsliteral_space(&r);
    if (v == VALUE_UNDEFINED)
        (void)jsliteral_fault_at(&r, text, "undefined is no data");
    else if (v == VALUE_WRITTEN && r.at != r.end)
        (void)jsliteral_fault_at(&r, r.at, "text behind the data");
    if (fault->why == NULL)
        return 0;
    out->len = before;
    return -1;
}
