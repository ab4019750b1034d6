/* msg_fuzz: the first byte chooses the direction, the rest is a body. What the parser takes can be packed again, and
 * that comes back as the same bytes; a batch holds exactly the events it announces. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "ipc/frame.h"
#include "ipc/msg.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void walk_events(const struct msg_batch *b)
{
    struct mpwalk w = b->events;
    const char *event;
    uint32_t len;
    for (uint32_t i = 0; i < b->n_events; i++)
        if (mpwalk_bytes(&w, &event, &len) < 0)
            abort();
    if (!mpwalk_done(&w) || !id_valid(b->id, strlen(b->id)))
        abort();
}

/* The shortest forms may differ from what came; what we pack ourselves must be stable. */
static void there_and_back(const struct msg *m, enum msg_dir dir)
{
    struct buf first, second;
    struct msg again;
    const char *why;
    buf_init(&first, 1u << 17);
    buf_init(&second, 1u << 17);
    if (msg_pack(&first, m) < 0)
        abort();
    if (msg_parse((unsigned char *)first.data + FRAME_HEAD, first.len - FRAME_HEAD, dir, &again, &why) < 0)
        abort();
    if (msg_pack(&second, &again) < 0 || first.len != second.len ||
        memcmp(first.data, second.data, first.len) != 0)
        abort();
    buf_fini(&first);
    buf_fini(&second);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct msg m;
    const char *why;
    if (size < 1)
        return 0;
    enum msg_dir dir = (enum msg_dir)(data[0] % 4);
    if (msg_parse(data + 1, size - 1, dir, &m, &why) < 0) {
        if (why == NULL)
            abort();
        return 0;
    }
    if (size - 1 > msg_cap(m.type))
        abort();
    if (m.type == MSG_EVENTS)
        walk_events(&m.u.batch);
    else
        there_and_back(&m, dir);
    return 0;
}
