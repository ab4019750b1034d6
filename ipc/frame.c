/* frame - see frame.h. Called by chan, link_send and link_recv; never reads, never logs.
 *
 * The body's memory is kept from frame to frame up to KEEP_MAX, so that a stream of usual batches costs no
 * allocation, while one giant leaves nothing behind.
 */
#include "ipc/frame.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"

#define MARK     0xce /* msgpack uint32 */
#define KEEP_MAX (256u << 10)

void frame_put_head(unsigned char head[FRAME_HEAD], uint32_t body_len)
{
    head[0] = MARK;
    head[1] = (unsigned char)(body_len >> 24);
    head[2] = (unsigned char)(body_len >> 16);
    head[3] = (unsigned char)(body_len >> 8);
    head[4] = (unsigned char)body_len;
}

void frame_reader_init(struct frame_reader *r, size_t max)
{
    *r = (struct frame_reader){.max = max};
}

void frame_reader_fini(struct frame_reader *r)
{
    free(r->body);
    frame_reader_init(r, r->max);
}

static void next_begin(struct frame_reader *r)
{
    r->head_len = r->body_len = r->body_got = 0;
    r->given = 0;
    if (r->body_cap > KEEP_MAX) {
        free(r->body);
        r->body = NULL;
        r->body_cap = 0;
    }
}

/* Takes what is missing of the head and judges it. 0, or -1 with errno. */
static int head_take(struct frame_reader *r, const unsigned char **data, size_t *left)
{
    size_t n = FRAME_HEAD - r->head_len;
    if (n > *left)
        n = *left;
    if (n > 0) {
        memcpy(r->head + r->head_len, *data, n);
        r->head_len += n;
        *data += n;
        *left -= n;
    }
    if (r->head_len > 0 && r->head[0] != MARK) {
        errno = EPROTO;
        return -1;
    }
    if (r->head_len < FRAME_HEAD)
        return 0;
    uint32_t len =
        (uint32_t)r->head[1] << 24 | (uint32_t)r->head[2] << 16 | (uint32_t)r->head[3] << 8 | r->head[4];
    if (len == 0 || len > r->max) {
        errno = len == 0 ? EPROTO : EMSGSIZE;
        return -1;
    }
    r->body_len = len;
    return 0;
}

static int body_room(struct frame_reader *r)
{
    if (r->body_cap >= r->body_len)
        return 0;
    free(r->body); /* nothing of this frame is in it yet */
    r->body_cap = 0;
    r->body = mem_try(r->body_len);
    if (r->body == NULL) {
        errno = ENOMEM;
        return -1;
    }
    r->body_cap = r->body_len;
    return 0;
}

enum frame_result frame_next(struct frame_reader *r, const unsigned char **data, size_t *left,
                             const unsigned char **body, size_t *len)
{
    if (r->given)
        next_begin(r);
    if (r->body_len == 0 && head_take(r, data, left) < 0)
        return FRAME_BAD;
    if (r->body_len == 0)
        return FRAME_MORE;
    *len = r->body_len;
    if (r->body_got == 0 && *left >= r->body_len) {
        *body = *data;
        *data += r->body_len;
        *left -= r->body_len;
        r->given = 1;
        return FRAME_WHOLE;
    }
    if (r->body_got<r->body_len && * left> 0) {
        if (body_room(r) < 0)
            return FRAME_NO_MEM;
        size_t n = r->body_len - r->body_got;
        if (n > *left)
            n = *left;
        memcpy(r->body + r->body_got, *data, n);
        r->body_got += n;
        *data += n;
        *left -= n;
    }
    if (r->body_got < r->body_len)
        return FRAME_MORE;
    *body = r->body;
    r->given = 1;
    return FRAME_WHOLE;
}

int frame_reader_torn(const struct frame_reader *r)
{
    return r->head_len > 0 && !r->given;
}

unsigned char *frame_reader_room(struct frame_reader *r, size_t *size)
{
    *size = 0;
    if (r->given || r->body_len == 0 || r->body_got == r->body_len || body_room(r) < 0)
        return NULL;
    *size = r->body_len - r->body_got;
    return r->body + r->body_got;
}

void frame_reader_filled(struct frame_reader *r, size_t n)
{
    r->body_got += n;
}
