/* upgrade_field - see upgrade_field.h. */
#include "master/upgrade_field.h"

#include <limits.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"
#include "common/base/str.h"

#define WORDS_MAX 64
#define WORD_SIZE 32

/* Words that came from another process' constants: kept for good, since nobody knows who points to them. */
static struct {
    char text[WORDS_MAX][WORD_SIZE];
    size_t n;
} words;

static const char *keep_word(const char *text)
{
    for (size_t i = 0; i < words.n; i++)
        if (strcmp(words.text[i], text) == 0)
            return words.text[i];
    if (words.n == WORDS_MAX || strlen(text) >= WORD_SIZE)
        return "other";
    return memcpy(words.text[words.n++], text, strlen(text) + 1);
}

static json_t *integer(uint64_t n)
{
    return json_integer(n < INT64_MAX ? (json_int_t)n : INT64_MAX);
}

/* ------------------------------------------------------------------ writing */

static json_t *write_list(const char *p, const struct upgrade_field *f, size_t each)
{
    json_t *list = json_array();
    size_t n = f->size / each;
    static const char zero[sizeof(uint64_t)];
    while (n > 0 && memcmp(p + (n - 1) * each, zero, each) == 0)
        n--;
    for (size_t i = 0; i < n; i++) {
        uint64_t v = 0;
        uint32_t u;
        if (each == sizeof u) {
            memcpy(&u, p + i * each, sizeof u);
            v = u;
        } else {
            memcpy(&v, p + i * each, sizeof v);
        }
        json_array_append_new(list, integer(v));
    }
    return list;
}

static json_t *write_one(const char *p, const struct upgrade_field *f)
{
    switch (f->form) {
    case UPGRADE_BOOL:
        return json_boolean(*(const bool *)p);
    case UPGRADE_UINT:
        return integer(*(const uint32_t *)(const void *)p);
    case UPGRADE_U64:
        return integer(*(const uint64_t *)(const void *)p);
    case UPGRADE_INT:
        return json_integer(*(const int *)(const void *)p);
    case UPGRADE_TEXT:
        return upgrade_field_text(p);
    case UPGRADE_WORD:
        return upgrade_field_text(*(const char *const *)(const void *)p);
    case UPGRADE_UINTS:
        return write_list(p, f, sizeof(uint32_t));
    case UPGRADE_U64S:
        return write_list(p, f, sizeof(uint64_t));
    }
    return json_null();
}

void upgrade_field_write(json_t *o, const void *base, const struct upgrade_field *rows, size_t n)
{
    for (size_t i = 0; i < n; i++)
        json_object_set_new(o, rows[i].name, write_one((const char *)base + rows[i].at, &rows[i]));
}

/* ------------------------------------------------------------------ reading */

static int read_number(const json_t *v, int64_t min, uint64_t max, uint64_t *out)
{
    if (!json_is_integer(v))
        return -1;
    json_int_t n = json_integer_value(v);
    if (n < min || (n > 0 && (uint64_t)n > max))
        return -1;
    *out = (uint64_t)n;
    return 0;
}

static int read_list(const json_t *v, char *p, const struct upgrade_field *f, size_t each)
{
    uint64_t n;
    if (!json_is_array(v) || json_array_size(v) > f->size / each)
        return -1;
    for (size_t i = 0; i < json_array_size(v); i++) {
        if (read_number(json_array_get(v, i), 0, each == sizeof n ? INT64_MAX : UINT32_MAX, &n) < 0)
            return -1;
        uint32_t u = (uint32_t)n;
        memcpy(p + i * each, each == sizeof n ? (const void *)&n : (const void *)&u, each);
    }
    return 0;
}

static int read_text(const json_t *v, char *p, const struct upgrade_field *f)
{
    char *text = upgrade_field_untext(v);
    bool fits = text != NULL && str_copy(p, text, f->size) < f->size;
    free(text);
    return fits ? 0 : -1;
}

static int read_word(const json_t *v, char *p)
{
    const char *word = NULL;
    if (!json_is_null(v) && !json_is_string(v))
        return -1;
    if (json_is_string(v))
        word = keep_word(json_string_value(v));
    memcpy(p, &word, sizeof word);
    return 0;
}

static int read_one(const json_t *v, char *p, const struct upgrade_field *f)
{
    uint64_t n;
    switch (f->form) {
    case UPGRADE_BOOL:
        if (!json_is_boolean(v))
            return -1;
        *(bool *)p = json_is_true(v);
        return 0;
    case UPGRADE_UINT:
        if (read_number(v, 0, UINT32_MAX, &n) < 0)
            return -1;
        *(uint32_t *)(void *)p = (uint32_t)n;
        return 0;
    case UPGRADE_U64:
        return read_number(v, 0, INT64_MAX, (uint64_t *)(void *)p);
    case UPGRADE_INT:
        if (read_number(v, INT_MIN, INT_MAX, &n) < 0)
            return -1;
        *(int *)(void *)p = (int)(int64_t)n;
        return 0;
    case UPGRADE_TEXT:
        return read_text(v, p, f);
    case UPGRADE_WORD:
        return read_word(v, p);
    case UPGRADE_UINTS:
        return read_list(v, p, f, sizeof(uint32_t));
    case UPGRADE_U64S:
        return read_list(v, p, f, sizeof(uint64_t));
    }
    return -1;
}

int upgrade_field_read(const json_t *o, void *base, const struct upgrade_field *rows, size_t n,
                       const char **bad)
{
    for (size_t i = 0; i < n; i++) {
        const json_t *v = json_object_get(o, rows[i].name);
        if (v != NULL && read_one(v, (char *)base + rows[i].at, &rows[i]) < 0) {
            *bad = rows[i].name;
            return -1;
        }
    }
    return 0;
}

/* ------------------------------------------------------------------ bytes */

json_t *upgrade_field_hex(const void *data, size_t len)
{
    static const char digits[] = "0123456789abcdef";
    const unsigned char *p = data;
    char *text = xmalloc(2 * len + 1);
    for (size_t i = 0; i < len; i++) {
        text[2 * i] = digits[p[i] >> 4];
        text[2 * i + 1] = digits[p[i] & 15];
    }
    json_t *o = json_stringn_nocheck(text, 2 * len);
    free(text);
    return o;
}

static int digit(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

int upgrade_field_unhex(const json_t *o, struct buf *out)
{
    if (o == NULL)
        return 0;
    const char *text = json_string_value(o);
    size_t len = json_string_length(o);
    if (text == NULL || len % 2 != 0 || (len > 0 && buf_reserve(out, len / 2) < 0))
        return -1;
    for (size_t i = 0; i < len; i += 2) {
        int high = digit(text[i]), low = digit(text[i + 1]);
        if (high < 0 || low < 0)
            return -1;
        out->data[out->len++] = (char)(high << 4 | low);
    }
    return 0;
}

json_t *upgrade_field_text(const char *text)
{
    if (text == NULL)
        return json_null();
    json_t *o = json_string(text);
    return o != NULL ? o : json_pack("{s:o}", "hex", upgrade_field_hex(text, strlen(text)));
}

char *upgrade_field_untext(const json_t *o)
{
    struct buf raw;
    if (json_is_string(o))
        return json_string_length(o) == strlen(json_string_value(o)) ? xstrdup(json_string_value(o)) : NULL;
    if (!json_is_object(o) || json_object_get(o, "hex") == NULL)
        return NULL;
    buf_init(&raw, 1u << 20);
    char *text = NULL;
    if (upgrade_field_unhex(json_object_get(o, "hex"), &raw) == 0 &&
        (raw.len == 0 || memchr(raw.data, '\0', raw.len) == NULL))
        text = xstrdup(buf_cstr(&raw));
    buf_fini(&raw);
    return text;
}
