/* payload - a job's data, written and read; see payload.h. Nothing in it is evaluated, and nothing but an SDK's eventData
 * is copied: the posted body is a few constant pieces around the text that is stored. Pure.
 */
#include "workers/delivery/payload.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"
#include "common/base/str.h"
#include "common/event/json.h"

static int put_batch(struct buf *out, uint32_t n_events, struct mpwalk events)
{
    if (buf_appendc(out, '[') != 0)
        return -1;
    for (uint32_t i = 0; i < n_events; i++) {
        const char *text;
        uint32_t len;

        if (mpwalk_bytes(&events, &text, &len) != 0)
            return -1;
        if ((i > 0 && buf_appendc(out, ',') != 0) || buf_append(out, text, len) != 0)
            return -1;
    }
    return buf_appendc(out, ']');
}

static int write_sdk(struct buf *out, const struct payload_head *head, uint32_t n_events,
                     struct mpwalk events)
{
    struct sdkjob_batch b = {.id = head->id, .write_key = head->write_key, .wall_ms = head->wall_ms};
    struct buf batch;
    int rc;

    buf_init(&batch, out->max);
    rc = put_batch(&batch, n_events, events);
    b.batch = batch.data;
    b.batch_len = batch.len;
    if (rc == 0)
        rc = sdkjob_write(out, &b);
    buf_fini(&batch);
    return rc;
}

int payload_write(struct buf *out, const struct payload_head *head, uint32_t n_events, struct mpwalk events,
                  struct payload_known *known)
{
    struct payload_known k = {.n_events = n_events};
    size_t before = out->len;

    if (known != NULL)
        *known = k;
    if (head->write_key != NULL)
        return write_sdk(out, head, n_events, events);
    if (buf_printf(out, "{\"dray\":%d,\"source\":", PAYLOAD_FORM) == 0 &&
        buf_put_json(out, head->source, strlen(head->source)) == 0 && buf_puts(out, ",\"batch\":") == 0) {
        k.batch_at = out->len;
        if (put_batch(out, n_events, events) == 0) {
            k.batch_len = out->len - k.batch_at;
            if (buf_appendc(out, '}') == 0) {
                if (known != NULL && str_copy(k.source, head->source, sizeof(k.source)) < sizeof(k.source))
                    *known = k;
                return 0;
            }
        }
    }
    out->len = before;
    return -1;
}

static void add_piece(struct payload *p, const void *data, size_t len)
{
    p->pieces[p->n_pieces++] = (struct http_piece){.data = data, .len = len};
    p->bytes += len;
}

static void add_batch(struct payload *p, const char *text, size_t len, uint64_t wall_ms)
{
    char now[CLOCK_TEXT_SIZE];

    snprintf(p->tail, sizeof(p->tail), ",\"sentAt\":\"%s\"}", clock_format_wall(wall_ms, now));
    add_piece(p, "{\"batch\":", 9);
    add_piece(p, text, len);
    add_piece(p, p->tail, strlen(p->tail));
}

/* What one pass over the data finds. Of members of the same name the last one counts. */
struct found {
    struct json_slice form, batch, version, sdk;
    bool has_form, has_batch, has_version, has_sdk;
    size_t n_events;
};

static int scan_batch(struct json_scan *s, struct found *f)
{
    struct json_slice event;
    int r;

    while (isspace((unsigned char)*s->at)) /* peek said that '[' follows */
        s->at++;
    f->batch.text = s->at;
    f->n_events = 0;
    if (json_scan_enter(s, JSON_ARRAY) != 0)
        return -1;
    while ((r = json_scan_element(s)) > 0) {
        if (json_scan_value(s, &event) != 0)
            return -1;
        f->n_events++;
    }
    f->batch.len = (uint32_t)(s->at - f->batch.text);
    f->has_batch = true;
    return r;
}

static int scan_members(struct json_scan *s, struct payload *p, struct found *f)
{
    struct json_slice key, value;
    int r;

    if (json_scan_enter(s, JSON_OBJECT) != 0)
        return -1;
    while ((r = json_scan_member(s, &key)) > 0) {
        bool is_batch = json_key_is(&key, "batch");

        if (is_batch && json_scan_peek(s, JSON_ARRAY)) {
            if (scan_batch(s, f) != 0)
                return -1;
            continue;
        }
        if (json_scan_value(s, &value) != 0)
            return -1;
        if (is_batch) {
            f->has_batch = false;
        } else if (json_key_is(&key, "dray")) {
            f->form = value;
            f->has_form = value.type == JSON_NUMBER;
        } else if (json_key_is(&key, "version")) {
            f->version = value;
            f->has_version = true;
        } else if (json_key_is(&key, "eventData")) {
            f->sdk = value;
            f->has_sdk = value.type == JSON_STRING;
        } else if (json_key_is(&key, "source") &&
                   (value.type != JSON_STRING || json_text(&value, p->source, sizeof(p->source)) < 0)) {
            p->source[0] = '\0';
        }
    }
    return r;
}

/* The SDK's request.data, with sentAt as of now. */
static int read_sdk(struct payload *p, const struct found *f, uint64_t wall_ms, char *why, size_t why_size)
{
    char now[CLOCK_TEXT_SIZE];
    const struct json_slice *data, *sent;
    const char *end;

    p->sdk = mem_try(sizeof(*p->sdk));
    if (p->sdk == NULL) {
        snprintf(why, why_size, "there is no memory for the SDK job");
        return -1;
    }
    if (sdkjob_read(p->sdk, f->has_version ? &f->version : NULL, &f->sdk, why, why_size) != 0)
        return -1;
    data = &p->sdk->data;
    sent = &p->sdk->sent_at;
    end = data->text + data->len;
    p->n_events = p->sdk->n_events;
    if (!json_find(data, "batch", &p->events) || p->events.type != JSON_ARRAY)
        p->events.text = NULL;
    clock_format_wall(wall_ms, now);
    if (sent->text != NULL) {
        snprintf(p->tail, sizeof(p->tail), "\"%s\"", now);
        add_piece(p, data->text, (size_t)(sent->text - data->text));
        add_piece(p, p->tail, strlen(p->tail));
        add_piece(p, sent->text + sent->len, (size_t)(end - sent->text) - sent->len);
    } else { /* there is a batch before it */
        snprintf(p->tail, sizeof(p->tail), ",\"sentAt\":\"%s\"}", now);
        add_piece(p, data->text, data->len - 1);
        add_piece(p, p->tail, strlen(p->tail));
    }
    return 0;
}

int payload_read(struct payload *p, const char *data, size_t len, uint64_t wall_ms, char *why,
                 size_t why_size)
{
    struct json_scan scan;
    struct json_slice value;
    struct found f = {0};
    int bad;

    memset(p, 0, sizeof(*p));
    json_scan_init(&scan, data, len);
    bad = json_scan_peek(&scan, JSON_OBJECT) ? scan_members(&scan, p, &f) : json_scan_value(&scan, &value);
    if (bad != 0 || json_scan_end(&scan) != 0) {
        snprintf(why, why_size, "the job's data is not JSON: %s at byte %zu", scan.why,
                 (size_t)(scan.where - data));
        return -1;
    }
    if (f.has_form && (f.form.len != 1 || f.form.text[0] != '0' + PAYLOAD_FORM)) {
        snprintf(why, why_size, "the job's data has form %.*s; this version knows %d",
                 (int)(f.form.len < 16 ? f.form.len : 16), f.form.text, PAYLOAD_FORM);
        return -1;
    }
    if (f.has_sdk && !f.has_form)
        return read_sdk(p, &f, wall_ms, why, why_size);
    p->n_events = f.has_batch ? f.n_events : 1;
    p->events = (struct json_slice){
        .text = f.has_batch ? f.batch.text : NULL, .len = f.batch.len, .type = JSON_ARRAY};
    if (f.has_batch)
        add_batch(p, f.batch.text, f.batch.len, wall_ms);
    else
        add_piece(p, data, len);
    return 0;
}

void payload_recall(struct payload *p, const char *data, const struct payload_known *k, uint64_t wall_ms)
{
    memset(p, 0, sizeof(*p));
    memcpy(p->source, k->source, sizeof(p->source));
    p->n_events = k->n_events;
    p->events =
        (struct json_slice){.text = data + k->batch_at, .len = (uint32_t)k->batch_len, .type = JSON_ARRAY};
    add_batch(p, data + k->batch_at, k->batch_len, wall_ms);
}

void payload_fini(struct payload *p)
{
    if (p->sdk == NULL)
        return;
    sdkjob_fini(p->sdk);
    free(p->sdk);
    p->sdk = NULL;
}
