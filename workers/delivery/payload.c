/* payload - a job's data, written and read; see payload.h. Nothing in it is evaluated and nothing is copied: the posted
 * body is a few constant pieces around the text that is stored. Pure.
 */
#include "workers/delivery/payload.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "common/event/json.h"

int payload_write(struct buf *out, const char *source, uint32_t n_events, struct mpwalk events)
{
    size_t before = out->len;

    if (buf_printf(out, "{\"dray\":%d,\"source\":", PAYLOAD_FORM) != 0 ||
        buf_put_json(out, source, strlen(source)) != 0 || buf_puts(out, ",\"batch\":[") != 0)
        goto undo;
    for (uint32_t i = 0; i < n_events; i++) {
        const char *text;
        uint32_t len;

        if (mpwalk_bytes(&events, &text, &len) != 0)
            goto undo;
        if ((i > 0 && buf_appendc(out, ',') != 0) || buf_append(out, text, len) != 0)
            goto undo;
    }
    if (buf_puts(out, "]}") == 0)
        return 0;
undo:
    out->len = before;
    return -1;
}

static void add_piece(struct payload *p, const void *data, size_t len)
{
    p->pieces[p->n_pieces++] = (struct http_piece){.data = data, .len = len};
    p->bytes += len;
}

/* What one pass over the data finds. Of members of the same name the last one counts. */
struct found {
    struct json_slice form, batch;
    bool has_form, has_batch;
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
        } else if (json_key_is(&key, "source") &&
                   (value.type != JSON_STRING || json_text(&value, p->source, sizeof(p->source)) < 0)) {
            p->source[0] = '\0';
        }
    }
    return r;
}

int payload_read(struct payload *p, const char *data, size_t len, uint64_t wall_ms, char *why,
                 size_t why_size)
{
    struct json_scan scan;
    struct json_slice value;
    struct found f = {0};
    char now[CLOCK_TEXT_SIZE];
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
    p->n_events = f.has_batch ? f.n_events : 1;
    if (!f.has_batch) {
        add_piece(p, data, len);
        return 0;
    }
    snprintf(p->tail, sizeof(p->tail), ",\"sentAt\":\"%s\"}", clock_format_wall(wall_ms, now));
    add_piece(p, "{\"batch\":", 9);
    add_piece(p, f.batch.text, f.batch.len);
    add_piece(p, p->tail, strlen(p->tail));
    return 0;
}
