/* value - one field of a section: from text, to JSON, compared, freed. The row's type decides everything. */
#include "common/conf/internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/fatal.h"
#include "common/base/mem.h"
#include "common/base/str.h"

#define TEXT_MAX 4096 /* bytes of one value */

static void *field(const struct conf_row *row, void *section)
{
    return (char *)section + row->offset;
}

static const void *field_const(const struct conf_row *row, const void *section)
{
    return (const char *)section + row->offset;
}

/* ---- texts */

const char *conf_value_bad_text(const char *text, size_t len)
{
    const unsigned char *p = (const unsigned char *)text;
    for (size_t i = 0, n; i < len; i += n) {
        n = str_utf8_length(text + i, len - i);
        if (n == 0)
            return "is not UTF-8";
        if (p[i] < 0x20 || p[i] == 0x7f || (p[i] == 0xc2 && p[i + 1] < 0xa0))
            return "holds a control character or a line break";
    }
    return NULL;
}

/* Index of the word in "a|b|c", or -1. */
static int word_index(const char *words, const char *text)
{
    size_t len = strlen(text);
    int i = 0;
    for (const char *w = words;; w += strcspn(w, "|") + 1, i++) {
        if (strcspn(w, "|") == len && strncmp(w, text, len) == 0)
            return i;
        if (w[strcspn(w, "|")] == '\0')
            return -1;
    }
}

int conf_value_word(const struct conf_row *row, const char *text)
{
    return word_index(row->words, text);
}

static const char *word_at(const char *words, int index, size_t *len)
{
    const char *w = words;
    for (int i = 0; i < index; i++)
        w += strcspn(w, "|") + 1;
    *len = strcspn(w, "|");
    return w;
}

/* ---- from text */

static char *limit_text(const struct conf_row *row, uint64_t v, char dst[32])
{
    if (row->type == CONF_TYPE_DURATION)
        return str_format_duration(v, dst, 32);
    if (row->type == CONF_TYPE_SIZE)
        return str_format_size(v, dst, 32);
    snprintf(dst, 32, "%llu", (unsigned long long)v);
    return dst;
}

static int check_range(const struct conf_row *row, uint64_t v, char *why, size_t size)
{
    if (v >= row->min && (row->max == 0 || v <= row->max))
        return 0;
    char low[32], high[32];
    if (row->max == 0)
        snprintf(why, size, "must be at least %s", limit_text(row, row->min, low));
    else
        snprintf(why, size, "must be %s to %s", limit_text(row, row->min, low),
                 limit_text(row, row->max, high));
    return -1;
}

static int set_number(const struct conf_row *row, uint64_t *out, const char *text, bool bare_ms, char *why,
                      size_t size)
{
    static const char *const forms[] = {
        [CONF_TYPE_U64] = "expected a whole number",
        [CONF_TYPE_COUNT] = "expected a whole number or auto",
        [CONF_TYPE_DURATION] = "expected a duration such as 250ms, 30s, 5m, 24h or 7d",
        [CONF_TYPE_SIZE] = "expected a size such as 450KiB, 4MB or 1GiB",
    };
    uint64_t v = 0;
    int bad;
    if (row->type == CONF_TYPE_COUNT && strcmp(text, "auto") == 0) {
        *out = CONF_AUTO;
        return 0;
    }
    if (row->type == CONF_TYPE_DURATION)
        bad = str_parse_duration(text, bare_ms, &v);
    else if (row->type == CONF_TYPE_SIZE)
        bad = str_parse_size(text, &v);
    else
        bad = str_parse_u64(text, &v);
    if (bad < 0 && errno != ERANGE) {
        uint64_t bare;
        if (row->type == CONF_TYPE_DURATION && str_parse_u64(text, &bare) == 0)
            snprintf(why, size, "a duration needs a unit: %sms or %ss", text, text);
        else
            snprintf(why, size, "%s", forms[row->type]);
        return -1;
    }
    if (bad < 0 ||
        v > (uint64_t)INT64_MAX) { /* sums of two limits, and signed counters, stay out of trouble */
        snprintf(why, size, "the number is too big");
        return -1;
    }
    if (check_range(row, v, why, size) < 0)
        return -1;
    *out = v;
    return 0;
}

static int set_enum(const struct conf_row *row, int *out, const char *text, char *why, size_t size)
{
    int i = word_index(row->words, text);
    if (i >= 0) {
        *out = i;
        return 0;
    }
    int n = snprintf(why, size, "expected one of ");
    for (const char *p = row->words; *p != '\0' && (size_t)n < size - 3; p++) {
        if (*p == '|') {
            why[n++] = ',';
            why[n++] = ' ';
        } else {
            why[n++] = *p;
        }
    }
    why[n] = '\0';
    return -1;
}

static int set_text(char **out, const char *text, char *why, size_t size)
{
    size_t len = strlen(text);
    const char *bad = len > TEXT_MAX ? "is longer than 4096 bytes" : conf_value_bad_text(text, len);
    if (bad != NULL) {
        snprintf(why, size, "the value %s", bad);
        return -1;
    }
    free(*out);
    *out = xstrdup(text);
    return 0;
}

static int set_file_text(char **out, const char *text, char *why, size_t size)
{
    if (strlen(text) > CONF_FILE_TEXT_MAX) {
        snprintf(why, size, "the text of the file is longer than 512 KiB");
        return -1;
    }
    for (size_t at = 0, len = strlen(text), n; at < len; at += n) /* it travels as JSON */
        if ((n = str_utf8_length(text + at, len - at)) == 0) {
            snprintf(why, size, "the file is no text (UTF-8)");
            return -1;
        }
    if (*out != NULL)
        explicit_bzero(*out, strlen(*out));
    free(*out);
    *out = xstrdup(text);
    return 0;
}

static int set_ratio(const struct conf_row *row, double *out, const char *text, char *why, size_t size)
{
    double v;
    if (str_parse_double(text, &v) == 0 && v >= (double)row->min &&
        (row->max == 0 || v <= (double)row->max)) {
        *out = v;
        return 0;
    }
    snprintf(why, size, "expected a number from %llu to %llu", (unsigned long long)row->min,
             (unsigned long long)row->max);
    return -1;
}

/* ---- lists of texts */

static void free_words(char **words, bool secret)
{
    for (char **w = words; w != NULL && *w != NULL; w++) {
        if (secret)
            explicit_bzero(*w, strlen(*w));
        free(*w);
    }
    free(words);
}

/* Line breaks and tabs are allowed here: a script for "sh -c" has some. */
static const char *bad_word(const char *word)
{
    if (strlen(word) > TEXT_MAX)
        return "is longer than 4096 bytes";
    for (const char *p = word; *p != '\0';) {
        size_t n = strcspn(p, "\n\t");
        const char *bad = conf_value_bad_text(p, n);
        if (bad != NULL)
            return bad;
        p += n + (p[n] != '\0');
    }
    return NULL;
}

int conf_value_set_words(const struct conf_row *row, void *section, char *const *words, size_t n, char *why,
                         size_t size)
{
    if (n < row->min || n > row->max) {
        snprintf(why, size, n < row->min ? "must not be empty" : "has %zu words; at most %llu are allowed", n,
                 (unsigned long long)row->max);
        return -1;
    }
    for (size_t i = 0; i < n; i++) {
        const char *bad = bad_word(words[i]);
        if (bad != NULL) {
            snprintf(why, size, "word %zu %s", i + 1, bad);
            return -1;
        }
    }
    char **copy = xcalloc(n + 1, sizeof *copy), ***f = field(row, section);
    for (size_t i = 0; i < n; i++)
        copy[i] = xstrdup(words[i]);
    free_words(*f, CONF_IS_HIDDEN(row));
    *f = copy;
    return 0;
}

static int put_map(const struct conf_row *row, char *const *words, bool masked, struct buf *out)
{
    int bad = buf_appendc(out, '{');
    for (size_t i = 0; words[i] != NULL; i++) {
        const char *equals = strchr(words[i], '=');
        const char *value = masked && CONF_IS_HIDDEN(row) ? "***" : equals + 1;
        if (i > 0)
            bad |= buf_appendc(out, ',');
        bad |= buf_put_json(out, words[i], (size_t)(equals - words[i])) | buf_appendc(out, ':') |
               buf_put_json(out, value, strlen(value));
    }
    return bad | buf_appendc(out, '}');
}

static int put_words(const struct conf_row *row, char *const *words, bool masked, struct buf *out)
{
    int bad = buf_appendc(out, '[');
    for (size_t i = 0; words[i] != NULL; i++) {
        size_t len = strlen(words[i]);
        const char *equals = row->type == CONF_TYPE_PAIRS && masked ? strchr(words[i], '=') : NULL;
        if (i > 0)
            bad |= buf_appendc(out, ',');
        if (equals == NULL) {
            bad |= row->type == CONF_TYPE_SECRETS && masked ? buf_puts(out, "\"***\"")
                                                            : buf_put_json(out, words[i], len);
            continue;
        }
        char *safe = xasprintf("%.*s=***", (int)(equals - words[i]), words[i]);
        bad |= buf_put_json(out, safe, strlen(safe));
        free(safe);
    }
    return bad | buf_appendc(out, ']');
}

static bool same_words(char *const *a, char *const *b)
{
    for (; *a != NULL && *b != NULL; a++, b++)
        if (strcmp(*a, *b) != 0)
            return false;
    return *a == NULL && *b == NULL;
}

int conf_value_set(const struct conf_row *row, void *section, const char *text, bool bare_ms, char *why,
                   size_t size)
{
    void *f = field(row, section);
    switch (row->type) {
    case CONF_TYPE_BOOL:
        if (str_parse_bool(text, f) == 0)
            return 0;
        snprintf(why, size, "expected true or false");
        return -1;
    case CONF_TYPE_U64:
    case CONF_TYPE_COUNT:
    case CONF_TYPE_DURATION:
    case CONF_TYPE_SIZE:
        return set_number(row, f, text, bare_ms, why, size);
    case CONF_TYPE_RATIO:
        return set_ratio(row, f, text, why, size);
    case CONF_TYPE_RATE: {
        struct conf_rate rate;
        if (str_parse_rate(text, &rate.count, &rate.period_ms) < 0) {
            snprintf(why, size, "expected a count per period such as 100/s or 20/60s");
            return -1;
        }
        *(struct conf_rate *)f = rate;
        return 0;
    }
    case CONF_TYPE_STRING:
    case CONF_TYPE_SECRET:
        return set_text(f, text, why, size);
    case CONF_TYPE_ENUM:
        return set_enum(row, f, text, why, size);
    case CONF_TYPE_FILE:
        return set_file_text(f, text, why, size);
    case CONF_TYPE_WORDS:
    case CONF_TYPE_PAIRS:
    case CONF_TYPE_SECRETS:
    case CONF_TYPE_NAMES:
        snprintf(why, size, "expected a list such as [\"one\", \"two\"]");
        return -1;
    case CONF_TYPE_MAP:
        snprintf(why, size, "expected a map such as { name: value }");
        return -1;
    }
    panic("conf: type %d", row->type);
}

void conf_value_set_default(const struct conf_row *row, void *section)
{
    char why[256];
    if (CONF_IS_WORDS(row)) { /* always empty, whatever must be given */
        char ***f = field(row, section);
        *f = xcalloc(1, sizeof **f);
        return;
    }
    if (conf_value_set(row, section, row->def, false, why, sizeof why) < 0)
        panic("conf: default of %s: %s", row->path, why);
}

/* ---- to JSON */

/* "scheme://user:secret@host" without what stands between the slashes and the @. */
static int put_masked_url(const char *text, struct buf *out)
{
    const char *scheme = strstr(text, "://");
    const char *host = scheme != NULL ? scheme + 3 : text;
    size_t authority = strcspn(host, "/?#");
    const char *at = memrchr(host, '@', authority);
    if (scheme == NULL || at == NULL)
        return buf_put_json(out, text, strlen(text));
    char *safe = xasprintf("%.*s***%s", (int)(host - text), text, at);
    int r = buf_put_json(out, safe, strlen(safe));
    free(safe);
    return r;
}

/* The shortest text that reads back as the same number. */
static int put_ratio(double v, struct buf *out)
{
    char text[40];
    for (int digits = 1; digits <= 17; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, v);
        if (strtod(text, NULL) == v)
            break;
    }
    return buf_puts(out, text);
}

int conf_value_put(const struct conf_row *row, const void *section, bool masked, struct buf *out)
{
    const void *f = field_const(row, section);
    char text[64];
    switch (row->type) {
    case CONF_TYPE_BOOL:
        return buf_puts(out, *(const bool *)f ? "true" : "false");
    case CONF_TYPE_COUNT:
        if (*(const uint64_t *)f == CONF_AUTO)
            return buf_puts(out, "\"auto\"");
        return buf_printf(out, "%llu", *(const unsigned long long *)f);
    case CONF_TYPE_U64:
        return buf_printf(out, "%llu", *(const unsigned long long *)f);
    case CONF_TYPE_DURATION:
        return buf_printf(out, "\"%s\"", str_format_duration(*(const uint64_t *)f, text, sizeof text));
    case CONF_TYPE_SIZE:
        return buf_printf(out, "\"%s\"", str_format_size(*(const uint64_t *)f, text, sizeof text));
    case CONF_TYPE_RATIO:
        return put_ratio(*(const double *)f, out);
    case CONF_TYPE_RATE: {
        const struct conf_rate *rate = f;
        if (rate->period_ms == 0)
            return buf_puts(out, "\"\"");
        return buf_printf(out, "\"%llu/%s\"", (unsigned long long)rate->count,
                          str_format_duration(rate->period_ms, text, sizeof text));
    }
    case CONF_TYPE_FILE:
    case CONF_TYPE_SECRET: {
        const char *s = *(char *const *)f;
        return masked && s[0] != '\0' ? buf_puts(out, "\"***\"") : buf_put_json(out, s, strlen(s));
    }
    case CONF_TYPE_STRING: {
        const char *s = *(char *const *)f;
        return masked ? put_masked_url(s, out) : buf_put_json(out, s, strlen(s));
    }
    case CONF_TYPE_ENUM: {
        size_t len;
        const char *word = word_at(row->words, *(const int *)f, &len);
        return buf_put_json(out, word, len);
    }
    case CONF_TYPE_MAP:
        return put_map(row, *(char **const *)f, masked, out);
    case CONF_TYPE_WORDS:
    case CONF_TYPE_PAIRS:
    case CONF_TYPE_SECRETS:
    case CONF_TYPE_NAMES:
        return put_words(row, *(char **const *)f, masked, out);
    }
    panic("conf: type %d", row->type);
}

bool conf_value_equal(const struct conf_row *row, const void *a, const void *b)
{
    const void *x = field_const(row, a), *y = field_const(row, b);
    switch (row->type) {
    case CONF_TYPE_BOOL:
        return *(const bool *)x == *(const bool *)y;
    case CONF_TYPE_U64:
    case CONF_TYPE_COUNT:
    case CONF_TYPE_DURATION:
    case CONF_TYPE_SIZE:
        return *(const uint64_t *)x == *(const uint64_t *)y;
    case CONF_TYPE_RATIO:
        return *(const double *)x == *(const double *)y;
    case CONF_TYPE_RATE: {
        const struct conf_rate *r = x, *s = y;
        return r->count == s->count && r->period_ms == s->period_ms;
    }
    case CONF_TYPE_STRING:
    case CONF_TYPE_SECRET:
    case CONF_TYPE_FILE:
        return strcmp(*(char *const *)x, *(char *const *)y) == 0;
    case CONF_TYPE_ENUM:
        return *(const int *)x == *(const int *)y;
    case CONF_TYPE_WORDS:
    case CONF_TYPE_PAIRS:
    case CONF_TYPE_SECRETS:
    case CONF_TYPE_MAP:
    case CONF_TYPE_NAMES:
        return same_words(*(char **const *)x, *(char **const *)y);
    }
    panic("conf: type %d", row->type);
}

static size_t size_of(enum conf_type type)
{
    switch (type) {
    case CONF_TYPE_BOOL:
        return sizeof(bool);
    case CONF_TYPE_U64:
    case CONF_TYPE_COUNT:
    case CONF_TYPE_DURATION:
    case CONF_TYPE_SIZE:
        return sizeof(uint64_t);
    case CONF_TYPE_RATIO:
        return sizeof(double);
    case CONF_TYPE_RATE:
        return sizeof(struct conf_rate);
    case CONF_TYPE_STRING:
    case CONF_TYPE_SECRET:
    case CONF_TYPE_FILE:
        return sizeof(char *);
    case CONF_TYPE_WORDS:
    case CONF_TYPE_PAIRS:
    case CONF_TYPE_SECRETS:
    case CONF_TYPE_MAP:
    case CONF_TYPE_NAMES:
        return sizeof(char **);
    case CONF_TYPE_ENUM:
        return sizeof(int);
    }
    return 0;
}

void conf_value_swap(const struct conf_row *row, void *a, void *b)
{
    char t[sizeof(struct conf_rate)];
    size_t n = size_of(row->type);
    memcpy(t, field(row, a), n);
    memcpy(field(row, a), field(row, b), n);
    memcpy(field(row, b), t, n);
}

void conf_value_free(const struct conf_row *row, void *section)
{
    if (CONF_IS_WORDS(row)) {
        char ***words = field(row, section);
        free_words(*words, CONF_IS_HIDDEN(row));
        *words = NULL;
    }
    if (row->type == CONF_TYPE_STRING || row->type == CONF_TYPE_SECRET || row->type == CONF_TYPE_FILE) {
        char **text = field(row, section);
        if (*text != NULL && CONF_IS_HIDDEN(row))
            explicit_bzero(*text, strlen(*text));
        free(*text);
        *text = NULL;
    }
}
