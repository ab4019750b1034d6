/* seen - see seen.h. */
#include "workers/delivery/seen.h"

#include <errno.h>
#include <string.h>

#include "common/event/json.h"
#include "ipc/msg.h"

int seen_unpack(const char *array, size_t len, struct buf *events)
{
    struct json_slice all = {.text = array, .len = (uint32_t)len, .type = JSON_ARRAY}, event;
    struct json_iter it = {0};

    while (json_next_element(&all, &it, &event))
        if (msg_pack_event(events, event.text, event.len) != 0)
            return -1;
    return 0;
}

static bool is_none(const char *digest)
{
    static const char none[MSG_SEEN_ID];

    return memcmp(digest, none, MSG_SEEN_ID) == 0;
}

long seen_leave_out(struct mpwalk events, uint32_t n_events, struct buf *digests, seen_has_fn has,
                    const void *arg, struct buf *left)
{
    size_t judged = 0, kept = 0, n = digests->len / MSG_SEEN_ID;
    struct buf stay;
    long rc = -1;

    buf_init(&stay, digests->len);
    for (uint32_t i = 0; i < n_events; i++) {
        const char *text, *digest = digests->data + i * MSG_SEEN_ID;
        uint32_t len;

        if (i >= n || mpwalk_bytes(&events, &text, &len) != 0) {
            errno = EPROTO;
            goto out;
        }
        if (!is_none(digest) && has(arg, judged++))
            continue;
        if (msg_pack_event(left, text, len) != 0 || buf_append(&stay, digest, MSG_SEEN_ID) != 0)
            goto out;
        kept++;
    }
    if (kept > 0)
        memcpy(digests->data, stay.data, stay.len);
    digests->len = stay.len;
    rc = (long)kept;
out:
    buf_fini(&stay);
    return rc;
}
