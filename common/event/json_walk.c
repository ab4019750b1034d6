/* json_walk - see json.h. Going through text that the scanner has validated, and reading its strings. */
#include "common/event/json.h"

#include <string.h>

bool json_next_member(const struct json_slice *object, struct json_iter *it, struct json_slice *key,
                      struct json_slice *value)
{
    struct json_scan s;
    json_scan_init(&s, object->text, object->len);
    if (it->at == NULL) {
        if (json_scan_enter(&s, JSON_OBJECT) < 0)
            return false;
    } else {
        s.at = it->at;
        s.depth = 1;
    }
    if (json_scan_member(&s, key) <= 0 || json_scan_value(&s, value) < 0)
        return false;
    it->at = s.at;
    return true;
}

bool json_next_element(const struct json_slice *array, struct json_iter *it, struct json_slice *value)
{
    struct json_scan s;
    json_scan_init(&s, array->text, array->len);
    if (it->at == NULL) {
        if (json_scan_enter(&s, JSON_ARRAY) < 0)
            return false;
    } else {
        s.at = it->at;
        s.depth = 1;
    }
    if (json_scan_element(&s) <= 0 || json_scan_value(&s, value) < 0)
        return false;
    it->at = s.at;
    return true;
}

static unsigned hex4(const char *p)
{
    unsigned v = 0;
    for (int i = 0; i < 4; i++) {
        unsigned c = (unsigned char)p[i];
        v = v << 4 | (c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10);
    }
    return v;
}

static size_t put_utf8(unsigned c, char dst[4])
{
    if (c < 0x80) {
        dst[0] = (char)c;
        return 1;
    }
    if (c < 0x800) {
        dst[0] = (char)(0xc0 | c >> 6);
        dst[1] = (char)(0x80 | (c & 63));
        return 2;
    }
    if (c < 0x10000) {
        dst[0] = (char)(0xe0 | c >> 12);
        dst[1] = (char)(0x80 | (c >> 6 & 63));
        dst[2] = (char)(0x80 | (c & 63));
        return 3;
    }
    dst[0] = (char)(0xf0 | c >> 18);
    dst[1] = (char)(0x80 | (c >> 12 & 63));
    dst[2] = (char)(0x80 | (c >> 6 & 63));
    dst[3] = (char)(0x80 | (c & 63));
    return 4;
}

/* The code point of the escape at *p (a backslash); *p goes behind it. */
static unsigned take_escape(const char **p, const char *end)
{
    static const char from[] = "bfnrt", to[] = "\b\f\n\r\t";
    const char *e = *p + 1;
    if (*e != 'u') {
        *p = e + 1;
        const char *at = strchr(from, *e);
        return (unsigned char)(at != NULL ? to[at - from] : *e);
    }
    unsigned c = hex4(e + 1);
    *p = e + 5;
    if (c < 0xd800 || c > 0xdfff)
        return c;
    if (c < 0xdc00 && end - *p >= 6 && (*p)[0] == '\\' && (*p)[1] == 'u') {
        unsigned low = hex4(*p + 2);
        if (low >= 0xdc00 && low <= 0xdfff) {
            *p += 6;
            return 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00);
        }
    }
    return 0xfffd;
}

/* The next character of a string's content as UTF-8 bytes; a plain byte is handed on as it is. */
static size_t take_char(const char **p, const char *end, char dst[4])
{
    if (**p == '\\')
        return put_utf8(take_escape(p, end), dst);
    dst[0] = *(*p)++;
    return 1;
}

bool json_key_is(const struct json_slice *key, const char *name)
{
    size_t len = strlen(name);
    const char *p = key->text + 1, *end = key->text + key->len - 1;
    if (memchr(p, '\\', (size_t)(end - p)) == NULL)
        return (size_t)(end - p) == len && memcmp(p, name, len) == 0;
    const char *name_end = name + len;
    while (p < end) {
        char c[4];
        size_t n = take_char(&p, end, c);
        if ((size_t)(name_end - name) < n || memcmp(name, c, n) != 0)
            return false;
        name += n;
    }
    return name == name_end;
}

/* Goes over what text has in common with the string. Returns how much that is; *p: behind it, *rest: the bytes of the
 * character at which they part (0: the string has ended). */
static size_t common_part(const char **p, const char *end, const char *text, size_t len, char c[4],
                          size_t *rest)
{
    size_t n = 0;
    *rest = 0;
    while (*p < end) {
        size_t k = take_char(p, end, c);
        *rest = k;
        if (len - n < k || memcmp(text + n, c, k) != 0)
            return n;
        n += k;
        *rest = 0;
    }
    return n;
}

int json_compare(const struct json_slice *string, const char *text, size_t len)
{
    const char *p = string->text + 1, *end = string->text + string->len - 1;
    char c[4];
    size_t rest, n = common_part(&p, end, text, len, c, &rest), left = len - n;
    if (rest == 0)
        return left == 0 ? 0 : -1;
    int r = memcmp(c, text + n, rest < left ? rest : left);
    return r != 0 ? r : 1;
}

bool json_starts(const struct json_slice *string, const char *text, size_t len)
{
    const char *p = string->text + 1, *end = string->text + string->len - 1;
    char c[4];
    size_t rest, n = common_part(&p, end, text, len, c, &rest), left = len - n;
    return left == 0 || (rest >= left && memcmp(c, text + n, left) == 0);
}

bool json_ends(const struct json_slice *string, const char *text, size_t len)
{
    const char *p = string->text + 1, *end = string->text + string->len - 1;
    size_t raw = (size_t)(end - p), n = 0, at = 0;
    char c[4];
    if (memchr(p, '\\', raw) == NULL)
        return raw >= len && memcmp(end - len, text, len) == 0;
    for (const char *q = p; q < end;)
        n += take_char(&q, end, c);
    if (n < len)
        return false;
    while (p < end) {
        size_t k = take_char(&p, end, c);
        for (size_t i = 0; i < k; i++, at++)
            if (at >= n - len && text[at - (n - len)] != c[i])
                return false;
    }
    return true;
}

bool json_find(const struct json_slice *object, const char *name, struct json_slice *value)
{
    struct json_iter it = {0};
    struct json_slice key, v;
    bool found = false;
    while (json_next_member(object, &it, &key, &v))
        if (json_key_is(&key, name)) {
            *value = v;
            found = true;
        }
    return found;
}

long json_text(const struct json_slice *string, char *dst, size_t size)
{
    const char *p = string->text + 1, *end = string->text + string->len - 1;
    size_t n = 0;
    while (p < end) {
        char c[4];
        size_t k = take_char(&p, end, c);
        if (n + k >= size || (k == 1 && c[0] == '\0'))
            return -1;
        memcpy(dst + n, c, k);
        n += k;
    }
    if (n >= size)
        return -1;
    dst[n] = '\0';
    return (long)n;
}

bool json_is_blank(const struct json_slice *value)
{
    if (value->type != JSON_STRING)
        return value->type == JSON_NULL;
    const char *p = value->text + 1, *end = value->text + value->len - 1;
    while (p < end) {
        char c[4];
        size_t n = take_char(&p, end, c);
        if (n != 1 || strchr(" \t\n\r\f\v", c[0]) == NULL || c[0] == '\0')
            return false;
    }
    return true;
}
