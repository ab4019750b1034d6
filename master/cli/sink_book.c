/* sink_book - what came to a sink: counts, distinct messageIds, one JSON line a request.
 *
 * The ids are kept as 128 bits of two hashes in an open table: exact for any practical purpose, and quick enough to be
 * the destination of a benchmark. Events are copied from the body as they came, never built anew.
 */
#include "master/cli/sink_book.h"

#include <libdeflate.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/fatal.h"
#include "common/base/map.h"
#include "common/base/mem.h"
#include "common/event/json.h"

struct key {
    uint64_t a, b; /* 0, 0: free */
};

struct sink_book {
    struct sink_book_counts counts;
    bool distinct;
    struct key *keys;
    size_t n_keys, cap; /* cap is a power of two */
    struct libdeflate_decompressor *inflater;
    char *inflated;
    size_t inflated_cap;
};

struct sink_book *sink_book_new(bool distinct)
{
    struct sink_book *b = xcalloc(1, sizeof(*b));

    b->distinct = distinct;
    return b;
}

void sink_book_free(struct sink_book *b)
{
    if (b == NULL)
        return;
    if (b->inflater != NULL)
        libdeflate_free_decompressor(b->inflater);
    free(b->inflated);
    free(b->keys);
    free(b);
}

/* ---- distinct ids */

static struct key key_of(const struct json_slice *id)
{
    struct key k = {.a = map_hash(id->text, id->len), .b = 0xcbf29ce484222325u};

    for (uint32_t i = 0; i < id->len; i++)
        k.b = (k.b ^ (unsigned char)id->text[i]) * 0x100000001b3u;
    if (k.a == 0 && k.b == 0)
        k.b = 1;
    return k;
}

/* False: it was there. */
static bool put_key(struct key *keys, size_t cap, struct key k)
{
    size_t i = (size_t)k.a & (cap - 1);

    for (; keys[i].a != 0 || keys[i].b != 0; i = (i + 1) & (cap - 1))
        if (keys[i].a == k.a && keys[i].b == k.b)
            return false;
    keys[i] = k;
    return true;
}

static bool is_new(struct sink_book *b, const struct json_slice *id)
{
    if (b->n_keys * 3 >= b->cap * 2) {
        size_t cap = b->cap == 0 ? 4096 : b->cap * 2;
        struct key *keys = mem_try(cap * sizeof(*keys));

        if (keys == NULL)
            fatal(EXIT_CODE_NOMEM, "no memory for %zu message ids; --no-distinct does without", b->n_keys);
        memset(keys, 0, cap * sizeof(*keys));
        for (size_t i = 0; i < b->cap; i++)
            if (b->keys[i].a != 0 || b->keys[i].b != 0)
                (void)put_key(keys, cap, b->keys[i]);
        free(b->keys);
        b->keys = keys;
        b->cap = cap;
    }
    if (!put_key(b->keys, b->cap, key_of(id)))
        return false;
    b->n_keys++;
    return true;
}

/* ---- a request */

/* The body as text; false when it cannot be inflated. */
static bool inflate_body(struct sink_book *b, const char **text, size_t *len)
{
    size_t got;

    if (b->inflater == NULL) {
        b->inflater = libdeflate_alloc_decompressor();
        if (b->inflater == NULL)
            fatal(EXIT_CODE_NOMEM, "no memory for a gzip reader");
    }
    for (size_t cap = b->inflated_cap != 0 ? b->inflated_cap : 65536; cap <= SINK_BOOK_BODY_MAX; cap *= 2) {
        enum libdeflate_result r;

        if (cap > b->inflated_cap) {
            char *p = mem_try_resize(b->inflated, cap);

            if (p == NULL)
                return false;
            b->inflated = p;
            b->inflated_cap = cap;
        }
        r = libdeflate_gzip_decompress(b->inflater, *text, *len, b->inflated, cap, &got);
        if (r == LIBDEFLATE_SUCCESS) {
            *text = b->inflated;
            *len = got;
            return true;
        }
        if (r != LIBDEFLATE_INSUFFICIENT_SPACE)
            return false;
    }
    return false;
}

/* Calls fn for each event: the elements of "batch", else the body itself if it is an object. */
typedef int (*event_fn)(struct sink_book *b, const struct json_slice *event, size_t index, void *arg);

static int each_event(struct sink_book *b, const struct json_slice *body, event_fn fn, void *arg)
{
    struct json_slice batch, event;
    struct json_iter it = {0};
    size_t n = 0;

    if (body->type != JSON_OBJECT)
        return 0;
    if (!json_find(body, "batch", &batch) || batch.type != JSON_ARRAY)
        return fn(b, body, 0, arg);
    while (json_next_element(&batch, &it, &event))
        if (fn(b, &event, n++, arg) != 0)
            return -1;
    return 0;
}

static int count_event(struct sink_book *b, const struct json_slice *event, size_t index, void *arg)
{
    struct json_slice id;

    (void)index, (void)arg;
    b->counts.events++;
    if (!b->distinct)
        return 0;
    if (event->type != JSON_OBJECT || !json_find(event, "messageId", &id) || id.type != JSON_STRING)
        b->counts.without_id++;
    else if (is_new(b, &id))
        b->counts.distinct++;
    else
        b->counts.duplicates++;
    return 0;
}

static int write_event(struct sink_book *b, const struct json_slice *event, size_t index, void *arg)
{
    struct buf *out = arg;

    (void)b;
    if (index > 0 && buf_appendc(out, ',') != 0)
        return -1;
    /* A line feed between tokens would end the line; inside strings JSON has none. */
    for (uint32_t at = 0; at < event->len;) {
        uint32_t n = 0;

        while (at + n < event->len && event->text[at + n] != '\n' && event->text[at + n] != '\r')
            n++;
        if (buf_append(out, event->text + at, n) != 0)
            return -1;
        at += n;
        if (at < event->len) {
            if (buf_appendc(out, ' ') != 0)
                return -1;
            at++;
        }
    }
    return 0;
}

static int write_text(struct buf *out, const char *name, const char *value)
{
    if (value == NULL)
        return buf_printf(out, ",\"%s\":null", name);
    if (buf_printf(out, ",\"%s\":", name) != 0)
        return -1;
    return buf_put_json(out, value, strlen(value));
}

static int write_line(struct sink_book *b, const struct sink_book_request *r, const struct json_slice *body,
                      size_t len, struct buf *out)
{
    char ts[CLOCK_TEXT_SIZE];
    struct json_slice sent_at;

    if (buf_printf(out, "{\"ts\":\"%s\",\"status\":%d", clock_format_wall(r->wall_ms, ts), r->status) != 0 ||
        write_text(out, "outcome", r->outcome) != 0 || write_text(out, "path", r->path) != 0 ||
        write_text(out, "idempotency_key", r->idempotency_key) != 0 ||
        write_text(out, "auth", r->auth) != 0 || write_text(out, "user_agent", r->user_agent) != 0 ||
        write_text(out, "content_type", r->content_type) != 0 || buf_printf(out, ",\"bytes\":%zu", len) != 0)
        return -1;
    if (body == NULL)
        return buf_puts(out, ",\"malformed\":true,\"events\":[]}\n");
    if (body->type == JSON_OBJECT && json_find(body, "sentAt", &sent_at) && sent_at.type == JSON_STRING &&
        (buf_puts(out, ",\"sent_at\":") != 0 || buf_append(out, sent_at.text, sent_at.len) != 0))
        return -1;
    if (buf_puts(out, ",\"events\":[") != 0 || each_event(b, body, write_event, out) != 0)
        return -1;
    return buf_puts(out, "]}\n");
}

int sink_book_note(struct sink_book *b, const struct sink_book_request *r, struct buf *record)
{
    struct json_scan scan;
    struct json_slice body;
    const char *text = r->body;
    size_t len = r->len, before;
    bool ok = !r->gzip || inflate_body(b, &text, &len);

    b->counts.requests++;
    b->counts.bytes += len;
    if (ok) {
        json_scan_init(&scan, text, len);
        ok = json_scan_value(&scan, &body) == 0 && json_scan_end(&scan) == 0;
    }
    if (!ok)
        b->counts.malformed++;
    if (r->status == 0)
        b->counts.unanswered++;
    else if (r->status < 200 || r->status > 299)
        b->counts.failed++;
    else if (ok)
        (void)each_event(b, &body, count_event, NULL);
    if (record == NULL)
        return 0;
    before = record->len;
    if (write_line(b, r, ok ? &body : NULL, len, record) == 0)
        return 0;
    record->len = before;
    return -1;
}

const struct sink_book_counts *sink_book_counts(const struct sink_book *b)
{
    return &b->counts;
}

int sink_book_stats(const struct sink_book *b, struct buf *out)
{
    const struct sink_book_counts *c = &b->counts;

    return buf_printf(out,
                      "{\"requests\":%" PRIu64 ",\"events\":%" PRIu64 ",\"distinct\":%" PRIu64
                      ",\"duplicates\":%" PRIu64 ",\"failed\":%" PRIu64 ",\"unanswered\":%" PRIu64
                      ",\"malformed\":%" PRIu64 ",\"without_id\":%" PRIu64 ",\"bytes\":%" PRIu64 "}\n",
                      c->requests, c->events, c->distinct, c->duplicates, c->failed, c->unanswered,
                      c->malformed, c->without_id, c->bytes);
}
