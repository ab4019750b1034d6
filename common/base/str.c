/* str - see str.h. */
#include "common/base/str.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

size_t str_copy(char *dst, const char *src, size_t size)
{
    size_t len = strlen(src);
    if (size > 0) {
        size_t n = len < size - 1 ? len : size - 1;
        memcpy(dst, src, n);
        dst[n] = '\0';
    }
    return len;
}

bool str_starts(const char *s, const char *prefix)
{
    return strncmp(s, prefix, strlen(prefix)) == 0;
}

bool str_ends(const char *s, const char *suffix)
{
    size_t n = strlen(s), m = strlen(suffix);
    return n >= m && strcmp(s + n - m, suffix) == 0;
}

size_t str_utf8_length(const char *text, size_t left)
{
    const unsigned char *p = (const unsigned char *)text;
    if (p[0] < 0x80)
        return 1;
    size_t n = p[0] >= 0xc2 && p[0] < 0xe0   ? 2
               : p[0] >= 0xe0 && p[0] < 0xf0 ? 3
               : p[0] >= 0xf0 && p[0] < 0xf5 ? 4
                                             : 0;
    if (n == 0 || n > left)
        return 0;
    for (size_t i = 1; i < n; i++)
        if ((p[i] & 0xc0) != 0x80)
            return 0;
    if ((p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] > 0x9f) || (p[0] == 0xf0 && p[1] < 0x90) ||
        (p[0] == 0xf4 && p[1] > 0x8f))
        return 0;
    return n;
}

bool str_is_plain(const char *s, size_t len)
{
    const unsigned char *p = (const unsigned char *)s;
    for (size_t i = 0, n; i < len; i += n) {
        n = str_utf8_length(s + i, len - i);
        if (n == 0 || p[i] < 0x20 || p[i] == 0x7f || (p[i] == 0xc2 && p[i + 1] < 0xa0))
            return false;
    }
    return true;
}

static int fail(int code)
{
    errno = code;
    return -1;
}

/* Reads the digits at *s; leaves *s behind them. */
static int take_digits(const char **s, uint64_t *out)
{
    if (!isdigit((unsigned char)**s))
        return fail(EINVAL);
    uint64_t v = 0;
    for (; isdigit((unsigned char)**s); (*s)++)
        if (__builtin_mul_overflow(v, 10, &v) || __builtin_add_overflow(v, (uint64_t)(**s - '0'), &v))
            return fail(ERANGE);
    *out = v;
    return 0;
}

int str_parse_u64(const char *s, uint64_t *out)
{
    if (take_digits(&s, out) < 0)
        return -1;
    return *s == '\0' ? 0 : fail(EINVAL);
}

int str_parse_i64(const char *s, int64_t *out)
{
    bool negative = *s == '-';
    uint64_t v;
    if (str_parse_u64(s + negative, &v) < 0)
        return -1;
    if (v > (uint64_t)INT64_MAX)
        return fail(ERANGE);
    *out = negative ? -(int64_t)v : (int64_t)v;
    return 0;
}

int str_parse_double(const char *s, double *out)
{
    if (!isdigit((unsigned char)*s) && *s != '-' && *s != '.')
        return fail(EINVAL);
    char *end;
    errno = 0;
    double v = strtod(s, &end);
    if (*end != '\0' || end == s)
        return fail(EINVAL);
    if (!isfinite(v))
        return fail(ERANGE);
    *out = v;
    return 0;
}

struct unit {
    const char *name;
    uint64_t factor;
};

static const struct unit time_units[] = {
    {"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}, {"d", 86400000},
};

static const struct unit size_units[] = {
    {"KiB", 1u << 10},   {"MiB", 1u << 20},     {"GiB", 1u << 30},
    {"TiB", 1ull << 40}, {"KB", 1000},          {"MB", 1000000},
    {"GB", 1000000000},  {"TB", 1000000000000}, {"B", 1},
};

/* The factor of the unit word at *s (letters only), or 0. */
static uint64_t take_unit(const char **s, const struct unit *units, size_t n)
{
    size_t len = 0;
    while (isalpha((unsigned char)(*s)[len]))
        len++;
    for (size_t i = 0; i < n; i++)
        if (strlen(units[i].name) == len && strncmp(units[i].name, *s, len) == 0) {
            *s += len;
            return units[i].factor;
        }
    return 0;
}

#define COUNT(a) (sizeof(a) / sizeof *(a))

int str_parse_duration(const char *s, bool bare_ms, uint64_t *ms_out)
{
    uint64_t total = 0;
    if (*s == '\0')
        return fail(EINVAL);
    while (*s != '\0') {
        uint64_t v;
        if (take_digits(&s, &v) < 0)
            return -1;
        uint64_t factor = take_unit(&s, time_units, COUNT(time_units));
        if (factor == 0) {
            if (*s != '\0' || total != 0 || (v != 0 && !bare_ms))
                return fail(EINVAL);
            factor = 1;
        }
        if (__builtin_mul_overflow(v, factor, &v) || __builtin_add_overflow(total, v, &total))
            return fail(ERANGE);
    }
    *ms_out = total;
    return 0;
}

int str_parse_size(const char *s, uint64_t *bytes_out)
{
    uint64_t v;
    if (take_digits(&s, &v) < 0)
        return -1;
    uint64_t factor = *s == '\0' ? 1 : take_unit(&s, size_units, COUNT(size_units));
    if (factor == 0 || *s != '\0')
        return fail(EINVAL);
    if (__builtin_mul_overflow(v, factor, bytes_out))
        return fail(ERANGE);
    return 0;
}

int str_parse_rate(const char *s, uint64_t *count_out, uint64_t *period_ms_out)
{
    *count_out = *period_ms_out = 0;
    if (*s == '\0')
        return 0;
    uint64_t count, ms;
    if (take_digits(&s, &count) < 0)
        return -1;
    if (*s++ != '/')
        return fail(EINVAL);
    char period[32];
    if ((size_t)snprintf(period, sizeof period, "%s%s", isdigit((unsigned char)*s) ? "" : "1", s) >=
            sizeof period ||
        str_parse_duration(period, false, &ms) < 0 || ms == 0)
        return fail(EINVAL);
    *count_out = count;
    *period_ms_out = ms;
    return 0;
}

int str_parse_bool(const char *s, bool *out)
{
    static const char *const words[] = {"false", "true", "no", "yes", "off", "on"};
    for (size_t i = 0; i < COUNT(words); i++)
        if (strcmp(s, words[i]) == 0) {
            *out = (i & 1) != 0;
            return 0;
        }
    return fail(EINVAL);
}

char *str_format_duration(uint64_t ms, char *dst, size_t size)
{
    static const struct unit units[] = {
        {"d", 86400000}, {"h", 3600000}, {"m", 60000}, {"s", 1000}, {"ms", 1}};
    size_t n = 0;
    dst[0] = '\0';
    for (size_t i = 0; i < COUNT(units) && n < size; i++) {
        if (ms >= units[i].factor)
            n += (size_t)snprintf(dst + n, size - n, "%llu%s", (unsigned long long)(ms / units[i].factor),
                                  units[i].name);
        ms %= units[i].factor;
    }
    if (dst[0] == '\0')
        str_copy(dst, "0s", size);
    return dst;
}

char *str_format_size(uint64_t bytes, char *dst, size_t size)
{
    static const struct unit units[] = {
        {"TiB", 1ull << 40}, {"GiB", 1u << 30}, {"MiB", 1u << 20}, {"KiB", 1u << 10}};
    for (size_t i = 0; i < COUNT(units); i++)
        if (bytes >= units[i].factor && bytes % units[i].factor == 0) {
            snprintf(dst, size, "%llu%s", (unsigned long long)(bytes / units[i].factor), units[i].name);
            return dst;
        }
    snprintf(dst, size, "%lluB", (unsigned long long)bytes);
    return dst;
}

unsigned str_distance(const char *a, const char *b)
{
    enum { MAX = 63 };
    size_t n = strlen(a), m = strlen(b);
    if (n > MAX || m > MAX)
        return MAX;
    unsigned d[MAX + 1][MAX + 1];
    for (size_t i = 0; i <= n; i++)
        d[i][0] = (unsigned)i;
    for (size_t j = 0; j <= m; j++)
        d[0][j] = (unsigned)j;
    for (size_t i = 1; i <= n; i++)
        for (size_t j = 1; j <= m; j++) {
            unsigned best = d[i - 1][j - 1] + (a[i - 1] != b[j - 1]);
            if (d[i - 1][j] + 1 < best)
                best = d[i - 1][j] + 1;
            if (d[i][j - 1] + 1 < best)
                best = d[i][j - 1] + 1;
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] && d[i - 2][j - 2] + 1 < best)
                best = d[i - 2][j - 2] + 1;
            d[i][j] = best;
        }
    return d[n][m];
}

static int base64_value(unsigned char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

long str_base64_decode(const char *src, size_t len, unsigned char *dst, size_t size)
{
    size_t padding = 0, n = 0;
    while (padding < 2 && len > 0 && src[len - 1] == '=') {
        len--;
        padding++;
    }
    if ((len + padding) % 4 != 0 || len % 4 == 1 || len / 4 * 3 + 3 > size)
        return fail(EINVAL);
    uint32_t bits = 0;
    for (size_t i = 0; i < len; i++) {
        int v = base64_value((unsigned char)src[i]);
        if (v < 0)
            return fail(EINVAL);
        bits = bits << 6 | (uint32_t)v;
        if (i % 4 == 3) {
            dst[n++] = (unsigned char)(bits >> 16);
            dst[n++] = (unsigned char)(bits >> 8);
            dst[n++] = (unsigned char)bits;
        }
    }
    if (len % 4 == 2) {
        dst[n++] = (unsigned char)(bits >> 4);
    } else if (len % 4 == 3) {
        dst[n++] = (unsigned char)(bits >> 10);
        dst[n++] = (unsigned char)(bits >> 2);
    }
    return (long)n;
}

size_t str_base64_encode(const void *src, size_t len, char *dst, size_t size)
{
    static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const unsigned char *p = src;
    size_t n = 0;
    for (size_t i = 0; i < len && n + 4 < size; i += 3) {
        uint32_t v =
            (uint32_t)p[i] << 16 | (i + 1 < len ? (uint32_t)p[i + 1] << 8 : 0) | (i + 2 < len ? p[i + 2] : 0);
        dst[n++] = alphabet[v >> 18];
        dst[n++] = alphabet[v >> 12 & 63];
        dst[n++] = i + 1 < len ? alphabet[v >> 6 & 63] : '=';
        dst[n++] = i + 2 < len ? alphabet[v & 63] : '=';
    }
    dst[n] = '\0';
    return n;
}
