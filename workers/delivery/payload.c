/* payload - a job's data, written and read; see payload.h. Nothing in it is evaluated and nothing is copied: the posted
 * body is a few constant pieces around the text that is stored. Pure.
 */
#include "workers/delivery/payload.h"

#include <errno.h>
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

/* 1: dray's own form; 0: not; -1: a form this version does not know. */
static int form_of(const struct json_slice *object, char *why, size_t why_size)
{
    struct json_slice v;

    if (!json_find(object, "dray", &v) || v.type != JSON_NUMBER)
        return 0;
    if (v.len == 1 && v.text[0] == '0' + PAYLOAD_FORM)
        return 1;
    snprintf(why, why_size, "the job's data has form %.*s; this version knows %d",
             (int)(v.len < 16 ? v.len : 16), v.text, PAYLOAD_FORM);
    return -1;
}

int payload_read(struct payload *p, const char *data, size_t len, uint64_t wall_ms, char *why,
                 size_t why_size)
{
    struct json_scan scan;
    struct json_slice body, batch, source, event;
    struct json_iter it = {0};
    char now[CLOCK_TEXT_SIZE];

    memset(p, 0, sizeof(*p));
    json_scan_init(&scan, data, len);
    if (json_scan_value(&scan, &body) != 0 || json_scan_end(&scan) != 0) {
        snprintf(why, why_size, "the job's data is not JSON: %s at byte %zu", scan.why,
                 (size_t)(scan.where - data));
        return -1;
    }
    p->n_events = 1;
    if (body.type == JSON_OBJECT) {
        if (form_of(&body, why, why_size) < 0)
            return -1;
        if (json_find(&body, "source", &source) && source.type == JSON_STRING &&
            json_text(&source, p->source, sizeof(p->source)) < 0)
            p->source[0] = '\0';
    }
    if (body.type != JSON_OBJECT || !json_find(&body, "batch", &batch) || batch.type != JSON_ARRAY) {
        add_piece(p, data, len);
        return 0;
    }
    p->n_events = 0;
    while (json_next_element(&batch, &it, &event))
        p->n_events++;
    snprintf(p->tail, sizeof(p->tail), ",\"sentAt\":\"%s\"}", clock_format_wall(wall_ms, now));
    add_piece(p, "{\"batch\":", 9);
    add_piece(p, batch.text, batch.len);
    add_piece(p, p->tail, strlen(p->tail));
    return 0;
}
