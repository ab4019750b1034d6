/* job_fuzz - whatever stands in a job's data: what is read comes out as a body of the stated length, of pieces that can be
 * read; a body made of JSON is JSON; what is refused has a reason; and a batch that was read, unpacked and written again is
 * the same batch. */
#include <stdlib.h>
#include <string.h>

#include "common/base/buf.h"
#include "common/event/json.h"
#include "ipc/mpwalk.h"
#include "workers/delivery/payload.h"
#include "workers/delivery/seen.h"

#define MAX (1u << 20)

#define CHECK(cond)                                                                                          \
    do {                                                                                                     \
        if (!(cond))                                                                                         \
            abort();                                                                                         \
    } while (0)

static bool is_json(const char *text, size_t len)
{
    struct json_scan s;
    struct json_slice v;
    json_scan_init(&s, text, len);
    return json_scan_value(&s, &v) == 0 && json_scan_end(&s) == 0;
}

static bool every_other(const void *arg, size_t i)
{
    (void)arg;
    return i % 2 == 1;
}

/* The events as they are stored, some left out. */
static void check_events(const char *batch, size_t len)
{
    struct buf events, digests, left, out;
    struct payload_head head = {
        .source = "web", .id = "b0000000000000000000000000", .wall_ms = 1795229501123};
    struct mpwalk w;
    struct payload p;
    char why[256];
    buf_init(&events, MAX);
    buf_init(&digests, MAX);
    buf_init(&left, MAX);
    buf_init(&out, MAX);
    if (seen_unpack(batch, len, &events) == 0 && events.len > 0) {
        uint32_t n = 0;
        const char *text;
        uint32_t text_len;
        mpwalk_init(&w, events.data, events.len);
        for (struct mpwalk count = w; !mpwalk_done(&count); n++)
            CHECK(mpwalk_bytes(&count, &text, &text_len) == 0);
        for (uint32_t i = 0; i < n; i++)
            CHECK(buf_append(&digests, "digest......", 12) == 0);
        long kept = n > 0 ? seen_leave_out(w, n, &digests, every_other, NULL, &left) : 0;
        CHECK(kept == (long)(n + 1) / 2 && digests.len == (size_t)kept * 12);
        mpwalk_init(&w, left.data, left.len);
        if (kept > 0 && payload_write(&out, &head, (uint32_t)kept, w, NULL) == 0) {
            CHECK(payload_read(&p, out.data, out.len, 1795229501123, why, sizeof why) == 0);
            CHECK(p.n_events == (size_t)kept && strcmp(p.source, "web") == 0);
            payload_fini(&p);
        }
    }
    buf_fini(&events);
    buf_fini(&digests);
    buf_fini(&left);
    buf_fini(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *text = (const char *)data;
    struct payload p;
    char why[256] = "";
    int r = payload_read(&p, text, size, 1795229501123, why, sizeof why);
    CHECK(memchr(why, '\0', sizeof why) != NULL && (r == 0 || why[0] != '\0'));
    if (r == 0) {
        struct buf body;
        size_t bytes = 0;
        buf_init(&body, 64u << 20);
        CHECK(p.n_pieces <= PAYLOAD_PIECES_MAX);
        for (size_t i = 0; i < p.n_pieces; i++) {
            bytes += p.pieces[i].len;
            CHECK(buf_append(&body, p.pieces[i].data, p.pieces[i].len) == 0);
        }
        CHECK(bytes == p.bytes && memchr(p.source, '\0', sizeof p.source) != NULL);
        CHECK(is_json(body.data, body.len));
        buf_fini(&body);
    }
    payload_fini(&p);
    struct json_scan s;
    struct json_slice v, batch;
    json_scan_init(&s, text, size);
    if (json_scan_value(&s, &v) == 0 && v.type == JSON_OBJECT && json_find(&v, "batch", &batch) &&
        batch.type == JSON_ARRAY)
        check_events(batch.text, batch.len);
    return 0;
}
