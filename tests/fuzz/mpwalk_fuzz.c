/* mpwalk_fuzz: no reader goes past its input or moves when it fails; what mpwalk_skip takes, msgpack-c takes too, and
 * both end at the same byte (its counts are checked by then, so msgpack-c cannot be made to reserve memory). */
#include <msgpack.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "ipc/mpwalk.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int read_one(struct mpwalk *w, unsigned op)
{
    uint32_t n;
    uint64_t u;
    int64_t i;
    bool b;
    const char *s;
    char text[16];
    switch (op % 9) {
    case 0:
        return mpwalk_array(w, &n);
    case 1:
        return mpwalk_map(w, &n);
    case 2:
        return mpwalk_u64(w, &u);
    case 3:
        return mpwalk_u32(w, &n);
    case 4:
        return mpwalk_i64(w, &i);
    case 5:
        return mpwalk_bool(w, &b);
    case 6:
        if (mpwalk_bytes(w, &s, &n) < 0)
            return -1;
        if ((const unsigned char *)s + n != w->at || w->at > w->end)
            abort();
        return 0;
    case 7:
        if (mpwalk_text(w, text, sizeof text) < 0)
            return -1;
        if (strlen(text) >= sizeof text)
            abort();
        return 0;
    default:
        return mpwalk_skip(w);
    }
}

static void against_msgpack(const uint8_t *data, size_t size)
{
    struct mpwalk w;
    mpwalk_init(&w, data, size);
    if (mpwalk_skip(&w) < 0)
        return;
    msgpack_unpacked u;
    size_t at = 0;
    msgpack_unpacked_init(&u);
    if (msgpack_unpack_next(&u, (const char *)data, size, &at) != MSGPACK_UNPACK_SUCCESS ||
        at != (size_t)(w.at - data))
        abort();
    msgpack_unpacked_destroy(&u);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    against_msgpack(data, size);
    struct mpwalk w;
    mpwalk_init(&w, data, size);
    while (!mpwalk_done(&w)) {
        int read = 0;
        for (unsigned op = 0; op < 9 && !read; op++) {
            struct mpwalk before = w;
            read = read_one(&w, op) == 0;
            if (w.at > w.end || (!read && w.at != before.at) || (read && w.at <= before.at))
                abort();
        }
        if (!read)
            break;
    }
    return 0;
}
