/* mem - see mem.h. */
#include "common/base/mem.h"

#include <malloc.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/fatal.h"

#define MMAP_BYTES (4 << 20) /* what is bigger is mapped, and goes back at once */

void mem_keep_freed(void)
{
    (void)mallopt(M_TRIM_THRESHOLD, MEM_KEEP_BYTES);
    (void)mallopt(M_MMAP_THRESHOLD, MMAP_BYTES);
}

static void *need(void *p, size_t size)
{
    if (p == NULL)
        fatal(EXIT_CODE_NOMEM, "cannot allocate %zu bytes", size);
    return p;
}

void *xmalloc(size_t size)
{
    return need(malloc(size > 0 ? size : 1), size);
}

void *xcalloc(size_t n, size_t size)
{
    return need(calloc(n > 0 ? n : 1, size > 0 ? size : 1), n * size);
}

void *xrealloc(void *p, size_t size)
{
    return need(realloc(p, size > 0 ? size : 1), size);
}

char *xstrdup(const char *s)
{
    return need(strdup(s), strlen(s));
}

char *xstrndup(const char *s, size_t n)
{
    return need(strndup(s, n), n);
}

char *xasprintf(const char *fmt, ...)
{
    char *out = NULL;
    va_list ap;
    va_start(ap, fmt);
    int n = vasprintf(&out, fmt, ap);
    va_end(ap);
    return need(n < 0 ? NULL : out, 0);
}

void *mem_try(size_t size)
{
    return malloc(size > 0 ? size : 1);
}

void *mem_try_resize(void *p, size_t size)
{
    return realloc(p, size > 0 ? size : 1);
}
