/* sdkjob - see sdkjob.h. eventData is unescaped, an old one turned into JSON, and then only looked into: what is posted
 * is a slice of it.
 */
#include "workers/delivery/sdkjob.h"

#include <inttypes.h>
#include <libdeflate.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/mem.h"
#include "workers/delivery/jsliteral.h"

#define NUMBER_MAX UINT32_MAX /* attempts and ms beyond it count as this */

struct explain {
    char *why;
    size_t size;
};

static int refuse(const struct explain *e, const char *why)
{
    snprintf(e->why, e->size, "%s", why);
    return -1;
}

static uint64_t number(const struct json_slice *object, const char *name)
{
    struct json_slice v;
    char text[32];
    double d;

    if (!json_find(object, name, &v) || v.type != JSON_NUMBER || v.len >= sizeof(text))
        return 0;
    memcpy(text, v.text, v.len);
    text[v.len] = '\0';
    d = strtod(text, NULL);
    return !(d > 0) ? 0 : d > (double)NUMBER_MAX ? NUMBER_MAX : (uint64_t)d;
}

static bool is_version(const struct json_slice *v)
{
    char text[8];

    if (v->type != JSON_NUMBER || v->len >= sizeof(text))
        return false;
    memcpy(text, v->text, v->len);
    text[v->len] = '\0';
    return strtod(text, NULL) == SDKJOB_VERSION;
}

/* ---- from eventData to JSON */

static int unescape(struct sdkjob *s, const struct json_slice *event_data, const struct explain *e)
{
    long len;

    if (buf_reserve(&s->text, event_data->len + 1) != 0)
        return refuse(e, "the SDK job is too large, or there is no memory for it");
    len = json_text(event_data, s->text.data, event_data->len + 1);
    if (len < 0)
        return refuse(e, "the SDK job's eventData holds U+0000");
    s->text.len = (size_t)len;
    return 0;
}

static int to_json(struct sdkjob *s, const struct explain *e)
{
    struct jsliteral_fault fault;

    if (jsliteral_to_json(s->text.data, s->text.len, &s->json, &fault) == 0)
        return 0;
    snprintf(e->why, e->size,
             "the SDK job's eventData is not plain data: %s at byte %zu (nothing of it was run)", fault.why,
             fault.at);
    return -1;
}

static int scan(const struct buf *b, struct json_slice *v, const struct explain *e, const char *what)
{
    struct json_scan scan;

    json_scan_init(&scan, b->data, b->len);
    if (json_scan_value(&scan, v) == 0 && json_scan_end(&scan) == 0)
        return 0;
    snprintf(e->why, e->size, "the SDK job's %s is not JSON: %s at byte %zu", what, scan.why,
             (size_t)(scan.where - b->data));
    return -1;
}

/* ---- a batch that became a Buffer */

static int gunzip(struct sdkjob *s, const unsigned char *bytes, size_t n, const struct explain *e)
{
    struct libdeflate_decompressor *z = libdeflate_alloc_decompressor();
    enum libdeflate_result r = z != NULL ? LIBDEFLATE_INSUFFICIENT_SPACE : LIBDEFLATE_BAD_DATA;
    size_t room = n < 4096 ? 65536 : n * 16;

    while (r == LIBDEFLATE_INSUFFICIENT_SPACE) {
        room = room < SDKJOB_TEXT_MAX ? room : SDKJOB_TEXT_MAX;
        if (buf_reserve(&s->plain, room) != 0)
            break;
        r = libdeflate_gzip_decompress(z, bytes, n, s->plain.data, room, &s->plain.len);
        if (room == SDKJOB_TEXT_MAX)
            break;
        room *= 4;
    }
    libdeflate_free_decompressor(z);
    if (r == LIBDEFLATE_SUCCESS)
        return 0;
    s->plain.len = 0;
    return refuse(e, r == LIBDEFLATE_INSUFFICIENT_SPACE ? "the SDK job's Buffer holds more than is allowed"
                                                        : "the SDK job's Buffer is not gzip");
}

static int unpack(struct sdkjob *s, const struct json_slice *list, const struct explain *e)
{
    struct json_iter it = {0};
    struct json_slice v;
    unsigned char *bytes = mem_try(list->len);
    size_t n = 0;
    int rc = 0;

    if (bytes == NULL)
        return refuse(e, "there is no memory for the SDK job");
    while (rc == 0 && json_next_element(list, &it, &v)) {
        unsigned byte = 0;

        for (uint32_t i = 0; i < v.len && byte <= 255; i++)
            byte = v.text[i] >= '0' && v.text[i] <= '9' ? byte * 10 + (unsigned)(v.text[i] - '0') : 256;
        if (byte > 255)
            rc = refuse(e, "the SDK job's Buffer holds what is no byte");
        bytes[n++] = (unsigned char)byte;
    }
    if (rc == 0)
        rc = gunzip(s, bytes, n, e);
    free(bytes);
    return rc;
}

static int open_buffer(struct sdkjob *s, const struct explain *e)
{
    struct json_slice type, list;
    char name[8];

    if (!json_find(&s->data, "type", &type) || type.type != JSON_STRING ||
        json_text(&type, name, sizeof(name)) < 0 || strcmp(name, "Buffer") != 0 ||
        !json_find(&s->data, "data", &list) || list.type != JSON_ARRAY)
        return 0;
    return unpack(s, &list, e) != 0 || scan(&s->plain, &s->data, e, "Buffer") != 0 ? -1 : 0;
}

/* ---- what it says */

static void read_agent(struct sdkjob *s, const struct json_slice *request)
{
    struct json_slice headers, agent;

    if (!json_find(request, "headers", &headers) || headers.type != JSON_OBJECT ||
        !json_find(&headers, "user-agent", &agent) || agent.type != JSON_STRING ||
        json_text(&agent, s->agent, sizeof(s->agent)) < 0)
        s->agent[0] = '\0';
    for (const char *p = s->agent; *p != '\0'; p++)
        if (*p < 0x20 || *p > 0x7e)
            s->agent[0] = '\0';
}

static int read_key(struct sdkjob *s, const struct json_slice *request, const struct explain *e)
{
    struct json_slice auth, name;

    if (!json_find(request, "auth", &auth) || auth.type != JSON_OBJECT ||
        !json_find(&auth, "username", &name) || name.type != JSON_STRING)
        return 0;
    return json_text(&name, s->write_key, sizeof(s->write_key)) < 0
               ? refuse(e, "the SDK job's write key is too long")
               : 0;
}

static int read_data(struct sdkjob *s, const struct explain *e)
{
    struct json_slice batch, event;
    struct json_iter it = {0};

    if (s->data.type != JSON_OBJECT || open_buffer(s, e) != 0 || s->data.type != JSON_OBJECT)
        return e->why[0] != '\0' ? -1 : refuse(e, "the SDK job's request.data is no object");
    if (!json_find(&s->data, "batch", &batch) || batch.type != JSON_ARRAY)
        return refuse(e, "the SDK job holds no batch");
    while (json_next_element(&batch, &it, &event))
        s->n_events++;
    if (!json_find(&s->data, "sentAt", &s->sent_at))
        s->sent_at = (struct json_slice){0};
    return 0;
}

int sdkjob_read(struct sdkjob *s, const struct json_slice *version, const struct json_slice *event_data,
                char *why, size_t why_size)
{
    const struct explain e = {why, why_size};
    struct json_slice all, request;

    *s = (struct sdkjob){0};
    why[0] = '\0';
    buf_init(&s->text, SDKJOB_TEXT_MAX);
    buf_init(&s->json, SDKJOB_TEXT_MAX);
    buf_init(&s->plain, SDKJOB_TEXT_MAX);
    if (version != NULL && !is_version(version)) {
        snprintf(why, why_size, "the SDK job is of version %.*s; known are %d and the form without a version",
                 (int)(version->len < 16 ? version->len : 16), version->text, SDKJOB_VERSION);
        return -1;
    }
    if (unescape(s, event_data, &e) != 0 || (version == NULL && to_json(s, &e) != 0) ||
        scan(version == NULL ? &s->json : &s->text, &all, &e, "eventData") != 0)
        return -1;
    if (version == NULL)
        buf_fini(&s->text);
    if (all.type != JSON_OBJECT || !json_find(&all, "request", &request) || request.type != JSON_OBJECT ||
        !json_find(&request, "data", &s->data))
        return refuse(&e, "the SDK job holds no request");
    s->attempts = number(&all, "attempts");
    s->timeout_ms = number(&request, "timeout");
    read_agent(s, &request);
    if (read_key(s, &request, &e) != 0 || read_data(s, &e) != 0)
        return -1;
    s->bytes = s->text.cap + s->json.cap + s->plain.cap;
    return 0;
}

void sdkjob_fini(struct sdkjob *s)
{
    buf_fini(&s->text);
    buf_fini(&s->json);
    buf_fini(&s->plain);
}

/* ---- written */

int sdkjob_write(struct buf *out, const struct sdkjob_batch *b)
{
    size_t before = out->len;
    char now[CLOCK_TEXT_SIZE];
    struct buf text;
    int rc;

    clock_format_wall(b->wall_ms, now);
    buf_init(&text, out->max);
    rc = buf_printf(&text,
                    "{\"jobId\":\"%s\",\"description\":\"dray-%s\",\"request\":{\"auth\":{\"username\":",
                    b->id, b->id) != 0 ||
         buf_put_json(&text, b->write_key, strlen(b->write_key)) != 0 ||
         buf_puts(&text, "},\"headers\":{\"user-agent\":\"dray/" DRAY_VERSION "\"},\"data\":{\"batch\":") !=
             0 ||
         buf_append(&text, b->batch, b->batch_len) != 0 ||
         buf_printf(&text, ",\"timestamp\":\"%s\",\"sentAt\":\"%s\"}},\"callbacks\":[],\"attempts\":0}", now,
                    now) != 0 ||
         buf_printf(out, "{\"version\":%d,\"eventData\":", SDKJOB_VERSION) != 0 ||
         buf_put_json(out, text.data, text.len) != 0 || buf_appendc(out, '}') != 0;
    buf_fini(&text);
    if (rc != 0)
        out->len = before;
    return rc != 0 ? -1 : 0;
}
