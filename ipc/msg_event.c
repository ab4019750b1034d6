/* msg_event - an event written into a batch's body in place: the head of a msgpack bin 32 first, its length afterwards.
 * See msg.h. */
#include "ipc/msg.h"

#include "common/base/fatal.h"

#define BIN32 0xc6

int msg_event_begin(struct buf *body)
{
    static const unsigned char head[MSG_EVENT_HEAD] = {BIN32};
    return buf_append(body, head, sizeof head);
}

void msg_event_end(struct buf *body, size_t start)
{
    ASSERT(start + MSG_EVENT_HEAD <= body->len && body->len - start - MSG_EVENT_HEAD <= UINT32_MAX);
    size_t len = body->len - start - MSG_EVENT_HEAD;
    for (int i = 1; i <= 4; i++)
        body->data[start + (size_t)i] = (char)(len >> (32 - 8 * i));
}
