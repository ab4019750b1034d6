/* buf - see buf.h. */
#include "common/base/buf.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/fatal.h"
#include "common/base/mem.h"

#define BUF_FIRST 256

void buf_init(struct buf *b, size_t max)
{
    *b = (struct buf){.max = max};
}

void buf_fini(struct buf *b)
{
    free(b->data);
    buf_init(b, b->max);
}

int buf_reserve(struct buf *b, size_t n)
{
    if (n > b->max - b->len) { /* first: buf_cstr may have made cap one more than max */
        errno = EMSGSIZE;
        return -1;
    }
    if (n <= b->cap - b->len)
        return 0;
    size_t cap = b->cap > 0 ? b->cap : BUF_FIRST;
    while (cap < b->len + n)
        cap += cap / 2 + 1;
    if (cap > b->max)
        cap = b->max;
    char *data = mem_try_resize(b->data, cap);
    if (data == NULL)
        return -1;
    b->data = data;
    b->cap = cap;
    return 0;
}

int buf_append(struct buf *b, const void *data, size_t len)
{
    if (len == 0)
        return 0;
    if (buf_reserve(b, len) < 0)
        return -1;
    memcpy(b->data + b->len, data, len);
    b->len += len;
    return 0;
}

int buf_appendc(struct buf *b, char c)
{
    return buf_append(b, &c, 1);
}

int buf_puts(struct buf *b, const char *s)
{
    return buf_append(b, s, strlen(s));
}

int buf_vprintf(struct buf *b, const char *fmt, va_list ap)
{
    va_list again;
    va_copy(again, ap);
    int n = vsnprintf(NULL, 0, fmt, again);
    va_end(again);
    if (n < 0)
        return -1;
    if (buf_reserve(b, (size_t)n + 1) < 0) /* vsnprintf writes a NUL behind */
        return -1;
    vsnprintf(b->data + b->len, (size_t)n + 1, fmt, ap);
    b->len += (size_t)n;
    return 0;
}

int buf_printf(struct buf *b, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    int r = buf_vprintf(b, fmt, ap);
    va_end(ap);
    return r;
}

/* Length of the first stretch of bytes that need no escape. */
static size_t plain_bytes(const char *s, size_t len)
{
    size_t n = 0;
    while (n < len && (unsigned char)s[n] >= 0x20 && s[n] != '"' && s[n] != '\\')
        n++;
    return n;
}

int buf_put_json(struct buf *b, const char *s, size_t len)
{
    static const char hex[] = "0123456789abcdef";
    size_t start = b->len;
    int bad = buf_appendc(b, '"');
    while (len > 0 && bad == 0) {
        size_t n = plain_bytes(s, len);
        bad = buf_append(b, s, n);
        if (n < len && bad == 0) {
            unsigned char c = (unsigned char)s[n++];
            if (c == '"' || c == '\\')
                bad = buf_append(b, (const char[]){'\\', (char)c}, 2);
            else
                bad = buf_append(b, (const char[]){'\\', 'u', '0', '0', hex[c >> 4], hex[c & 15]}, 6);
        }
        s += n;
        len -= n;
    }
    if (bad != 0 || buf_appendc(b, '"') < 0) {
        b->len = start;
        return -1;
    }
    return 0;
}

void buf_consume(struct buf *b, size_t n)
{
    ASSERT(n <= b->len);
    if (n == 0)
        return;
    b->len -= n;
    memmove(b->data, b->data + n, b->len);
}

void buf_reset(struct buf *b)
{
    b->len = 0;
}

const char *buf_cstr(struct buf *b)
{
    if (b->len == b->cap) {
        b->data = xrealloc(b->data, b->cap + 1);
        b->cap++;
    }
    b->data[b->len] = '\0';
    return b->data;
}

char *buf_take(struct buf *b, size_t *len)
{
    char *data = b->data;
    *len = b->len;
    buf_init(b, b->max);
    return data;
}
