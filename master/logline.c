/* logline - see logline.h. */
#include "master/logline.h"

#include <string.h>

#include "common/base/str.h"

static int hex_digit(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

bool logline_next(const char **p, const char *end, struct logline_pair *out)
{
    const char *at = *p;
    while (at < end && *at == ' ')
        at++;
    *out = (struct logline_pair){.key = at};
    while (at < end && *at != '=' && *at != ' ')
        at++;
    out->key_len = (size_t)(at - out->key);
    if (at < end && *at == '=')
        at++;
    out->quoted = at < end && *at == '"';
    out->value = at += out->quoted;
    if (out->quoted) {
        while (at < end && *at != '"')
            at += *at == '\\' && at + 1 < end ? 2 : 1;
        out->value_len = (size_t)(at - out->value);
        at += at < end;
    } else {
        while (at < end && *at != ' ')
            at++;
        out->value_len = (size_t)(at - out->value);
    }
    *p = at;
    return out->key_len > 0;
}

size_t logline_value(const struct logline_pair *pair, char *dst, size_t size)
{
    const char *p = pair->value, *end = p + pair->value_len;
    size_t n = 0;
    while (p < end && n < size) {
        char c = *p++;
        if (pair->quoted && c == '\\' && p < end) {
            c = *p++;
            if (c == 'n') {
                c = '\n';
            } else if (c == 'x' && end - p >= 2 && hex_digit(p[0]) >= 0 && hex_digit(p[1]) >= 0) {
                c = (char)(hex_digit(p[0]) * 16 + hex_digit(p[1]));
                p += 2;
            }
        }
        dst[n++] = c;
    }
    return n;
}

static bool key_is_valid(const char *key, size_t len)
{
    static const char *const ours[] = {"ts", "level", "kind", "slot", "gen", "pid"};
    for (size_t i = 0; i < sizeof ours / sizeof *ours; i++)
        if (strlen(ours[i]) == len && memcmp(ours[i], key, len) == 0)
            return false;
    for (size_t i = 0; i < len; i++) {
        char c = key[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
        if (!letter && (i == 0 || !((c >= '0' && c <= '9') || c == '.')))
            return false;
    }
    return len > 0;
}

/* The end of the value at p, or NULL: an open quote, a quote where none belongs. */
static const char *value_end(const char *p, const char *end)
{
    if (p < end && *p == '"') {
        for (p++; p < end && *p != '"'; p++)
            if (*p == '\\' && ++p == end)
                return NULL;
        return p < end ? p + 1 : NULL;
    }
    while (p < end && *p != ' ' && *p != '"')
        p++;
    return p < end && *p == '"' ? NULL : p;
}

bool logline_is_valid(const char *tail, size_t len)
{
    const char *p = tail, *end = tail + len;
    if (len < 7 || memcmp(tail, "event=", 6) != 0 || tail[6] == ' ' || tail[6] == '"' ||
        !str_is_plain(tail, len))
        return false;
    while (p < end) {
        const char *key = p;
        while (p < end && *p != '=' && *p != ' ')
            p++;
        if (p == end || *p != '=' || !key_is_valid(key, (size_t)(p - key)) ||
            (p = value_end(p + 1, end)) == NULL)
            return false;
        if (p < end && *p++ != ' ')
            return false;
    }
    return true;
}

char *logline_event(const char *tail, size_t len, char *dst, size_t size)
{
    struct logline_pair pair;
    const char *p = tail;
    str_copy(dst, "?", size);
    if (logline_next(&p, tail + len, &pair) && pair.key_len == 5 && memcmp(pair.key, "event", 5) == 0 &&
        pair.value_len > 0) {
        size_t n = pair.value_len < size - 1 ? pair.value_len : size - 1;
        memcpy(dst, pair.value, n);
        dst[n] = '\0';
    }
    return dst;
}
