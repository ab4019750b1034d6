/* buf - a growing byte buffer with a hard cap.
 *
 * The cap is part of the buffer: no caller can make it grow past what its owner decided. Appending beyond it fails
 * with EMSGSIZE and leaves the content as it was. data[0..len) is readable; pointers into it die at the next append.
 */
#ifndef DRAY_COMMON_BASE_BUF_H
#define DRAY_COMMON_BASE_BUF_H

#include <stdarg.h>
#include <stddef.h>

struct buf {
    char *data;
    size_t len;
    size_t cap; /* allocated */
    size_t max; /* never more than this many bytes */
};

void buf_init(struct buf *b, size_t max);
void buf_fini(struct buf *b); /* frees; the buffer may be used again */

/* 0, or -1 with EMSGSIZE (over max) or ENOMEM. */
int buf_append(struct buf *b, const void *data, size_t len);
int buf_appendc(struct buf *b, char c);
int buf_puts(struct buf *b, const char *s);
int buf_printf(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
int buf_vprintf(struct buf *b, const char *fmt, va_list ap) __attribute__((format(printf, 2, 0)));
/* s as a JSON string with its quotes; bytes are copied as they are but for the escapes JSON demands. */
int buf_put_json(struct buf *b, const char *s, size_t len);
/* Makes room for n more bytes; the caller writes at data + len and adds to len. */
int buf_reserve(struct buf *b, size_t n);
void buf_consume(struct buf *b, size_t n); /* drops the first n bytes */
void buf_reset(struct buf *b);             /* len = 0, memory kept */
/* Adds a NUL behind the content (not counted in len) and returns data; fatal when out of memory. */
const char *buf_cstr(struct buf *b);
/* Gives the memory (malloc'ed, len in *len) to the caller; the buffer is empty afterwards. */
char *buf_take(struct buf *b, size_t *len);

#endif
