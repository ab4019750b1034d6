/* reply - see reply.h. */
#include "workers/program/reply.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define NUMBER_MAX 20 /* digits and sign of a length */

/* The end of the first line: the index of its CR, 0 when the line is not whole yet, -1 when it cannot be one. */
static ssize_t line_end(const char *data, size_t len)
{
    const char *lf = memchr(data, '\n', len < REPLY_MAX ? len : REPLY_MAX);
    if (lf == NULL) {
        if (len < REPLY_MAX)
            return 0;
        errno = EMSGSIZE;
        return -1;
    }
    if (lf - data < 2 || lf[-1] != '\r') {
        errno = EPROTO;
        return -1;
    }
    return lf - data - 1;
}

static int parse_length(const char *text, size_t len, long *out)
{
    char number[NUMBER_MAX + 1], *end;
    if (len == 0 || len > NUMBER_MAX) {
        errno = EPROTO;
        return -1;
    }
    memcpy(number, text, len);
    number[len] = '\0';
    errno = 0;
    *out = strtol(number, &end, 10);
    if (end != number + len || errno != 0 || *out < -1) {
        errno = EPROTO;
        return -1;
    }
    return 0;
}

static ssize_t parse_bulk(const char *data, size_t len, size_t cr, struct reply *out)
{
    long n;
    if (parse_length(data + 1, cr - 1, &n) != 0)
        return -1;
    if (n > REPLY_MAX) {
        errno = EMSGSIZE;
        return -1;
    }
    if (n < 0) {
        *out = (struct reply){.type = REPLY_NULL, .text = data, .len = 0};
        return (ssize_t)(cr + 2);
    }
    size_t body = cr + 2, whole = body + (size_t)n + 2;
    if (len < whole)
        return 0;
    if (memcmp(data + body + n, "\r\n", 2) != 0) {
        errno = EPROTO;
        return -1;
    }
    *out = (struct reply){.type = REPLY_BULK, .text = data + body, .len = (size_t)n};
    return (ssize_t)whole;
}

ssize_t reply_parse(const char *data, size_t len, struct reply *out)
{
    if (len == 0)
        return 0;
    ssize_t cr = line_end(data, len);
    if (cr <= 0)
        return cr;
    switch (data[0]) {
    case '+':
        out->type = REPLY_STATUS;
        break;
    case '-':
        out->type = REPLY_ERROR;
        break;
    case ':':
        out->type = REPLY_INTEGER;
        break;
    case '$':
        return parse_bulk(data, len, (size_t)cr, out);
    default:
        errno = EPROTO;
        return -1;
    }
    out->text = data + 1;
    out->len = (size_t)cr - 1;
    return cr + 2;
}

bool reply_is(const struct reply *r, enum reply_type type, const char *word)
{
    size_t n = strlen(word);
    return r->type == type && r->len >= n && memcmp(r->text, word, n) == 0;
}

long long reply_info(const struct reply *r, const char *name)
{
    size_t n = strlen(name), at = 0;
    while (at < r->len) {
        const char *line = r->text + at, *lf = memchr(line, '\n', r->len - at);
        size_t len = lf != NULL ? (size_t)(lf - line) : r->len - at;
        long value;
        size_t digits = len > 0 && line[len - 1] == '\r' ? len - 1 : len;
        if (digits > n + 1 && memcmp(line, name, n) == 0 && line[n] == ':' &&
            parse_length(line + n + 1, digits - n - 1, &value) == 0)
            return value;
        at += len + 1;
    }
    return -1;
}
