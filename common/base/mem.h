/* mem - allocation with one rule each for small things and for input-sized things.
 *
 * x* never fail: out of memory ends the process with exit 83. Use them for what our own code sizes.
 * mem_try is for what a peer sizes: the caller has checked a cap, and handles NULL (ENOMEM).
 */
#ifndef DRAY_COMMON_BASE_MEM_H
#define DRAY_COMMON_BASE_MEM_H

#include <stddef.h>

/* For a process through which many big buffers flow: what is freed is kept for the next one, up to MEM_KEEP_BYTES at
 * the end of the heap, instead of going back to the kernel and coming again page by page. Called once at its start. */
#define MEM_KEEP_BYTES (16 << 20)
void mem_keep_freed(void);

void *xmalloc(size_t size) __attribute__((malloc, returns_nonnull));
void *xcalloc(size_t n, size_t size) __attribute__((malloc, returns_nonnull));
void *xrealloc(void *p, size_t size) __attribute__((returns_nonnull));
char *xstrdup(const char *s) __attribute__((malloc, returns_nonnull));
char *xstrndup(const char *s, size_t n) __attribute__((malloc, returns_nonnull));
char *xasprintf(const char *fmt, ...) __attribute__((format(printf, 1, 2), returns_nonnull));

void *mem_try(size_t size) __attribute__((malloc));
void *mem_try_resize(void *p, size_t size);

#endif
