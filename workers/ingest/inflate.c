/* inflate - see inflate.h.
 *
 * libdeflate wants the whole output buffer beforehand. The length in the gzip trailer is what the sender says, so it
 * is a hint at most: the first buffer is small against the input, and grows by doubling while more comes out.
 */
#include "workers/ingest/inflate.h"

#include <libdeflate.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/fatal.h"
#include "common/base/mem.h"

#define FIRST_MAX  (256u << 10) /* bytes of the first try, whatever the trailer says */
#define KEEP_MAX   (512u << 10) /* a buffer up to this is kept for the next body */
#define GZIP_MIN   18           /* head and trailer */
#define RATIO_MEAN 8            /* of JSON, roughly */

struct inflate {
    struct libdeflate_decompressor *d;
    struct http_budget *budget;
    char *data;
    size_t cap, max;
};

struct inflate *inflate_new(size_t max, struct http_budget *budget)
{
    struct inflate *z = xcalloc(1, sizeof *z);
    z->d = libdeflate_alloc_decompressor();
    if (z->d == NULL)
        fatal(EXIT_CODE_NOMEM, "cannot make a decompressor");
    z->max = max;
    z->budget = budget;
    return z;
}

void inflate_set_max(struct inflate *z, size_t max)
{
    z->max = max;
}

static void drop(struct inflate *z)
{
    free(z->data);
    z->budget->used -= z->cap;
    z->data = NULL;
    z->cap = 0;
}

void inflate_free(struct inflate *z)
{
    if (z == NULL)
        return;
    drop(z);
    libdeflate_free_decompressor(z->d);
    free(z);
}

void inflate_done(struct inflate *z)
{
    if (z->cap > KEEP_MAX || z->cap > z->budget->max / 8)
        drop(z);
}

/* Grows to at least cap, keeping the content. */
static int grow(struct inflate *z, size_t cap)
{
    if (cap <= z->cap)
        return 0;
    size_t more = cap - z->cap;
    if (z->budget->used + more > z->budget->max)
        return -1;
    char *data = mem_try_resize(z->data, cap);
    if (data == NULL)
        return -1;
    z->data = data;
    z->cap = cap;
    z->budget->used += more;
    return 0;
}

static size_t first_guess(const struct inflate *z, const unsigned char *in, size_t len)
{
    const unsigned char *t = in + len - 4;
    size_t said = (size_t)t[0] | (size_t)t[1] << 8 | (size_t)t[2] << 16 | (size_t)t[3] << 24;
    size_t guess = said > 0 && said <= FIRST_MAX ? said : len * RATIO_MEAN;
    if (guess > FIRST_MAX)
        guess = FIRST_MAX > len ? FIRST_MAX : len;
    return guess < z->max ? guess : z->max;
}

enum inflate_result inflate_gzip(struct inflate *z, const void *in, size_t in_len, const char **out,
                                 size_t *out_len)
{
    const unsigned char *at = in;
    size_t left = in_len, made = 0;
    if (left < GZIP_MIN)
        return INFLATE_BROKEN;
    if (grow(z, first_guess(z, in, in_len)) < 0)
        return INFLATE_NO_ROOM;
    while (left > 0) {
        size_t used, n;
        size_t room = (z->cap < z->max ? z->cap : z->max) - made;
        enum libdeflate_result r =
            libdeflate_gzip_decompress_ex(z->d, at, left, z->data + made, room, &used, &n);
        if (r == LIBDEFLATE_INSUFFICIENT_SPACE) {
            if (made + room >= z->max)
                return INFLATE_TOO_BIG;
            if (grow(z, z->cap < z->max / 2 ? z->cap * 2 : z->max) < 0)
                return INFLATE_NO_ROOM;
            continue;
        }
        if (r != LIBDEFLATE_SUCCESS)
            return INFLATE_BROKEN;
        made += n;
        at += used;
        left -= used;
    }
    *out = z->data;
    *out_len = made;
    return INFLATE_OK;
}
