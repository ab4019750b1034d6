/* send_input - see send_input.h. */
#include "master/cli/send_input.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/fatal.h"
#include "common/base/id.h"
#include "common/base/mem.h"
#include "common/event/json.h"

#define ID_TEXT_MAX 256

void send_input_init(struct send_input *in, unsigned batch)
{
    *in = (struct send_input){.batch = batch};
    buf_init(&in->line, SEND_INPUT_LINE_MAX);
    list_init(&in->ready);
}

void send_body_free(struct send_body *b)
{
    if (b == NULL)
        return;
    buf_fini(&b->text);
    buf_fini(&b->ids);
    free(b);
}

void send_input_fini(struct send_input *in)
{
    struct send_body *b;
    while ((b = send_input_take(in)) != NULL)
        send_body_free(b);
    send_body_free(in->open);
    buf_fini(&in->line);
}

static struct send_body *new_body(void)
{
    struct send_body *b = xcalloc(1, sizeof *b);
    buf_init(&b->text, SIZE_MAX / 2);
    buf_init(&b->ids, SIZE_MAX / 2);
    return b;
}

static void put(struct buf *b, const void *data, size_t len)
{
    if (buf_append(b, data, len) < 0)
        fatal(EXIT_CODE_NOMEM, "send: no memory for a body of %zu bytes", b->len + len);
}

static void done(struct send_input *in, struct send_body *b)
{
    list_push_back(&in->ready, &b->link);
    in->n_ready++;
}

void send_input_flush(struct send_input *in)
{
    if (in->open == NULL)
        return;
    put(&in->open->text, "]}", 2);
    done(in, in->open);
    in->open = NULL;
}

static bool note_id(struct send_body *b, const struct json_slice *event)
{
    struct json_slice id;
    char text[ID_TEXT_MAX];
    if (event->type != JSON_OBJECT || !json_find(event, "messageId", &id) || json_is_blank(&id) ||
        id.type != JSON_STRING || json_text(&id, text, sizeof text) < 0)
        return false;
    put(&b->ids, text, strlen(text));
    put(&b->ids, "\n", 1);
    return true;
}

static void add_event(struct send_input *in, const struct json_slice *event)
{
    if (in->open != NULL && in->open->text.len + event->len > SEND_INPUT_BODY_MAX)
        send_input_flush(in);
    if (in->open == NULL) {
        in->open = new_body();
        put(&in->open->text, "{\"batch\":[", 10);
    }
    struct send_body *b = in->open;
    if (b->events > 0)
        put(&b->text, ",", 1);
    struct json_slice id;
    if (note_id(b, event) || event->type != JSON_OBJECT || json_find(event, "messageId", &id)) {
        put(&b->text, event->text, event->len);
    } else {
        char uuid[UUID_SIZE];
        struct json_iter it = {0};
        struct json_slice key, value;
        bool empty = !json_next_member(event, &it, &key, &value);
        id_uuid4(uuid);
        put(&b->text, "{\"messageId\":\"", 14);
        put(&b->text, uuid, UUID_SIZE - 1);
        put(&b->text, empty ? "\"" : "\",", empty ? 1 : 2);
        put(&b->text, event->text + 1, event->len - 1);
        put(&b->ids, uuid, UUID_SIZE - 1);
        put(&b->ids, "\n", 1);
    }
    if (++b->events >= in->batch)
        send_input_flush(in);
}

static void add_batch(struct send_input *in, const struct json_slice *whole, const struct json_slice *batch)
{
    struct json_iter it = {0};
    struct json_slice event;
    send_input_flush(in); /* the order of the input stays */
    struct send_body *b = new_body();
    put(&b->text, whole->text, whole->len);
    while (json_next_element(batch, &it, &event)) {
        b->events++;
        note_id(b, &event);
    }
    done(in, b);
}

static void line_done(struct send_input *in)
{
    struct json_scan s;
    struct json_slice value, batch;
    in->lines++;
    size_t blank = 0;
    while (blank < in->line.len && strchr(" \t\r", in->line.data[blank]) != NULL)
        blank++;
    if (blank == in->line.len)
        return;
    json_scan_init(&s, in->line.data, in->line.len);
    if (json_scan_value(&s, &value) < 0 || json_scan_end(&s) < 0) {
        if (in->bad_lines++ == 0) {
            in->first_bad_line = in->lines;
            in->why = s.why;
        }
    } else if (value.type == JSON_OBJECT && json_find(&value, "batch", &batch) && batch.type == JSON_ARRAY) {
        add_batch(in, &value, &batch);
    } else {
        add_event(in, &value);
    }
    buf_reset(&in->line);
}

int send_input_feed(struct send_input *in, const char *data, size_t len)
{
    while (len > 0) {
        const char *newline = memchr(data, '\n', len);
        size_t take = newline != NULL ? (size_t)(newline - data) : len;
        if (buf_append(&in->line, data, take) < 0)
            return -1;
        if (newline == NULL)
            return 0;
        line_done(in);
        buf_reset(&in->line);
        data += take + 1;
        len -= take + 1;
    }
    return 0;
}

void send_input_end(struct send_input *in)
{
    if (in->line.len > 0)
        line_done(in);
    send_input_flush(in);
}

struct send_body *send_input_take(struct send_input *in)
{
    struct send_body *b = list_first(&in->ready, struct send_body, link);
    if (b != NULL) {
        list_remove(&b->link);
        in->n_ready--;
    }
    return b;
}
