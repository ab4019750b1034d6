/* frame_fuzz: however a stream is cut, and whether bodies are copied or read directly, the same frames come out and
 * the same verdict. The first byte of the input seeds the cuts, the second the cap. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/map.h"
#include "ipc/frame.h"

struct outcome {
    size_t frames, bytes;
    uint64_t hash;
    enum frame_result last;
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void saw(struct outcome *o, const unsigned char *body, size_t len)
{
    o->frames++;
    o->bytes += len;
    o->hash = o->hash * 31 + map_hash(body, len);
}

/* Feeds all of data in pieces of 1 to step bytes; direct: bodies go through frame_reader_room. */
static struct outcome feed(const uint8_t *data, size_t size, size_t max, size_t step, int direct)
{
    struct outcome o = {.last = FRAME_MORE};
    struct frame_reader r;
    frame_reader_init(&r, max);
    for (size_t at = 0; at < size && o.last == FRAME_MORE;) {
        size_t n = step < size - at ? step : size - at, room;
        unsigned char *to = direct ? frame_reader_room(&r, &room) : NULL;
        if (to != NULL) {
            n = n < room ? n : room;
            memcpy(to, data + at, n);
            frame_reader_filled(&r, n);
        }
        uint8_t *exact = malloc(n);
        if (exact == NULL)
            abort();
        memcpy(exact, data + at, n);
        const unsigned char *p = exact, *body;
        size_t left = to != NULL ? 0 : n, len;
        while ((o.last = frame_next(&r, &p, &left, &body, &len)) == FRAME_WHOLE) {
            if (len == 0 || len > max)
                abort();
            saw(&o, body, len);
        }
        if (o.last == FRAME_MORE && left != 0)
            abort();
        free(exact);
        at += n;
        step = step % 13 + 1;
    }
    if (r.body_cap > max)
        abort();
    frame_reader_fini(&r);
    return o;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 3)
        return 0;
    size_t step = data[0] % 64u + 1, max = 1 + 16u * data[1];
    struct outcome whole = feed(data + 2, size - 2, max, size, 0);
    for (int direct = 0; direct < 2; direct++) {
        struct outcome cut = feed(data + 2, size - 2, max, step, direct);
        if (cut.frames != whole.frames || cut.bytes != whole.bytes || cut.hash != whole.hash ||
            cut.last != whole.last)
            abort();
    }
    return 0;
}
