/* msg_event - what is written into a batch in place: an event (the head of a msgpack bin 32 first, its length
 * afterwards), and the fields behind the events. See msg.h. */
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

int msg_tail_begin(struct buf *tail)
{
    ASSERT(tail->len == 0);
    return msg_event_begin(tail);
}

void msg_tail_end(struct buf *tail)
{
    msg_event_end(tail, 0);
}
