/* json_fuzz - the scanner against jansson: they must agree on what is JSON, but for the named differences below; and
 * what was taken once can be walked, entered and written as an event without a read outside the text. */
/* jansson has names of types that are ours too. */
/* clang-format off */
#define JSON_NULL JANSSON_NULL
#define JSON_FALSE JANSSON_FALSE
#define JSON_TRUE JANSSON_TRUE
#define JSON_STRING JANSSON_STRING
#define JSON_ARRAY JANSSON_ARRAY
#define JSON_OBJECT JANSSON_OBJECT
#include <jansson.h>
#undef JSON_NULL
#undef JSON_FALSE
#undef JSON_TRUE
#undef JSON_STRING
#undef JSON_ARRAY
#undef JSON_OBJECT
/* clang-format on */
#include <stdlib.h>
#include <string.h>

#include "common/event/event.h"
#include "common/event/json.h"

#define CHECK(cond)                                                                                          \
    do {                                                                                                     \
        if (!(cond))                                                                                         \
            abort();                                                                                         \
    } while (0)

/* Where jansson is right to refuse and so are we to take: its limits are of its representation, not of the grammar. */
static bool known_difference(const json_error_t *e, const char *why)
{
    switch (json_error_code(e)) {
    case json_error_numeric_overflow: /* 1e400, long integers */
    case json_error_null_byte_in_key: /* "\u0000" in a name */
        return why == NULL;
    case json_error_invalid_syntax: /* a lone surrogate escape */
        return why == NULL && strstr(e->text, "invalid Unicode") != NULL;
    default:
        return false;
    }
}

static void walk(const struct json_slice *v, unsigned depth)
{
    struct json_iter it = {0};
    struct json_slice key, in;
    char text[64];
    CHECK(depth <= JSON_DEPTH_MAX);
    (void)json_is_blank(v);
    if (v->type == JSON_STRING)
        (void)json_text(v, text, sizeof text);
    if (v->type == JSON_OBJECT)
        while (json_next_member(v, &it, &key, &in)) {
            CHECK(key.text > v->text && in.text + in.len < v->text + v->len);
            (void)json_key_is(&key, "userId");
            walk(&in, depth + 1);
        }
    if (v->type == JSON_ARRAY)
        while (json_next_element(v, &it, &in)) {
            CHECK(in.text > v->text && in.text + in.len < v->text + v->len);
            walk(&in, depth + 1);
        }
}

/* The pull form must agree with the whole form. */
static bool pull(struct json_scan *s)
{
    struct json_slice key, v;
    int r;
    if (json_scan_peek(s, JSON_OBJECT)) {
        if (json_scan_enter(s, JSON_OBJECT) < 0)
            return false;
        while ((r = json_scan_member(s, &key)) > 0)
            if (!pull(s))
                return false;
        return r == 0;
    }
    if (json_scan_peek(s, JSON_ARRAY)) {
        if (json_scan_enter(s, JSON_ARRAY) < 0)
            return false;
        while ((r = json_scan_element(s)) > 0)
            if (!pull(s))
                return false;
        return r == 0;
    }
    return json_scan_value(s, &v) == 0;
}

static void check_event(const char *text, size_t len, const char *type)
{
    struct event_context c = {.type = type, .received_ms = 1795229501123, .request_ip = "203.0.113.9"};
    struct json_scan s;
    struct event e;
    char key[32];
    json_scan_init(&s, text, len);
    CHECK(event_scan(&s, &e) == 0);
    enum event_fault f = event_check_scanned(&e, &c, key, sizeof key);
    CHECK(memchr(key, '\0', sizeof key) != NULL);
    CHECK((f == EVENT_NOT_OBJECT) == (e.value.type != JSON_OBJECT));
    if (e.value.type != JSON_OBJECT)
        return;
    struct buf out;
    struct json_slice v, field;
    buf_init(&out, 1u << 24);
    CHECK(event_write_scanned(&e, &c, &out) == 0);
    json_scan_init(&s, out.data, out.len);
    CHECK(json_scan_value(&s, &v) == 0 && json_scan_end(&s) == 0);
    CHECK(!json_find(&v, "writeKey", &field));
    CHECK(json_find(&v, "messageId", &field) && !json_is_blank(&field));
    CHECK(json_find(&v, "receivedAt", &field) && !json_is_blank(&field));
    CHECK(json_find(&v, "originalTimestamp", &field) && !json_is_blank(&field));
    CHECK(json_find(&v, "request_ip", &field) && !json_is_blank(&field));
    if (type != NULL)
        CHECK(json_find(&v, "type", &field) && json_text(&field, key, sizeof key) > 0 &&
              strcmp(key, type) == 0);
    buf_fini(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *text = (const char *)data;
    struct json_scan s;
    struct json_slice v = {0};
    json_error_t error;
    json_scan_init(&s, text, size);
    bool ours = json_scan_value(&s, &v) == 0 && json_scan_end(&s) == 0;
    CHECK(ours == (s.why == NULL));
    CHECK(ours || (s.where >= text && s.where <= text + size));
    json_t *theirs = json_loadb(text, size, JSON_DECODE_ANY | JSON_ALLOW_NUL, &error);
    bool too_deep = s.why != NULL && strcmp(s.why, "nested too deep") == 0;
    bool nul_behind =
        theirs != NULL && memchr(text, 0, size) != NULL; /* jansson takes a NUL byte for the end */
    if (ours != (theirs != NULL) && !too_deep && !nul_behind)
        CHECK(theirs == NULL && known_difference(&error, s.why));
    json_decref(theirs);

    json_scan_init(&s, text, size);
    CHECK((pull(&s) && json_scan_end(&s) == 0) == ours);
    if (ours) {
        walk(&v, 1);
        check_event(text, size, NULL);
        check_event(text, size, "track");
    }
    return 0;
}
