/* glob - see glob.h. Most patterns are a plain text, or one with a * behind it: these are compared and nothing else. */
#include "common/event/glob.h"

#include <string.h>

#include "common/base/str.h"

const char *glob_compile(struct glob *g, const char *pattern)
{
    size_t len = strlen(pattern), n = 0;
    if (len == 0)
        return "must not be empty; * is any text";
    if (len >= sizeof g->text)
        return "is longer than 255 bytes";
    *g = (struct glob){.kind = GLOB_EXACT};
    for (size_t i = 0; i < len; i++) {
        bool last = i + 1 == len;
        if (pattern[i] == '\\' && last)
            return "ends with a backslash; write \\\\ for one";
        if (pattern[i] == '\\')
            i++;
        else if (pattern[i] == '*' && last)
            g->kind = n == 0 ? GLOB_ANY : GLOB_PREFIX;
        else if (pattern[i] == '*' || pattern[i] == '?')
            g->kind = GLOB_GENERAL;
        if (g->kind == GLOB_GENERAL)
            break;
        if (g->kind == GLOB_EXACT)
            g->text[n++] = pattern[i];
    }
    if (g->kind == GLOB_GENERAL) {
        memcpy(g->text, pattern, len);
        n = len;
    }
    g->len = n;
    return NULL;
}

/* Bytes of the character at p. */
static size_t step(const char *p, const char *end)
{
    size_t n = str_utf8_length(p, (size_t)(end - p));
    return n > 0 ? n : 1;
}

static bool match_general(const char *p, const char *p_end, const char *t, const char *t_end)
{
    const char *star = NULL, *retry = NULL; /* behind the last *; where it is tried to end */
    while (t < t_end) {
        if (p < p_end && *p == '*') {
            star = ++p;
            retry = t;
            continue;
        }
        if (p < p_end && *p == '?') {
            p++;
            t += step(t, t_end);
            continue;
        }
        bool escaped = p < p_end && *p == '\\';
        if (p < p_end && p[escaped] == *t) {
            p += 1 + escaped;
            t++;
            continue;
        }
        if (star == NULL)
            return false;
        p = star;
        retry += step(retry, t_end);
        t = retry;
    }
    while (p < p_end && *p == '*')
        p++;
    return p == p_end;
}

bool glob_match(const struct glob *g, const char *text, size_t len)
{
    switch (g->kind) {
    case GLOB_ANY:
        return true;
    case GLOB_EXACT:
        return len == g->len && memcmp(text, g->text, len) == 0;
    case GLOB_PREFIX:
        return len >= g->len && memcmp(text, g->text, g->len) == 0;
    case GLOB_GENERAL:
        return len <= GLOB_TEXT_MAX && match_general(g->text, g->text + g->len, text, text + len);
    }
    return false;
}

bool glob_match_json(const struct glob *g, const struct json_slice *value)
{
    char plain[GLOB_TEXT_MAX + 1];
    if (value->text == NULL || value->type != JSON_STRING)
        return false;
    if (g->kind == GLOB_ANY)
        return true;
    if (memchr(value->text, '\\', value->len) == NULL)
        return glob_match(g, value->text + 1, value->len - 2);
    long n = json_text(value, plain, sizeof plain);
    return n >= 0 && glob_match(g, plain, (size_t)n);
}
