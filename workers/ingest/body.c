/* body - see body.h. */
#include "workers/ingest/body.h"

#include <stdlib.h>

#include "common/base/mem.h"

#define KEEP_EVENTS 512 /* room for so many is kept for the next request */
#define BATCH_DEPTH 2   /* containers around an event of a batch */

const char body_invalid[] = "invalid json";

void body_init(struct body *b, size_t max_events)
{
    *b = (struct body){.max_events = max_events};
}

void body_fini(struct body *b)
{
    free(b->events);
    free(b->slots);
    *b = (struct body){.max_events = b->max_events, .pick = b->pick};
}

void body_set_pick(struct body *b, const struct pick *pick)
{
    body_fini(b);
    b->pick = pick;
}

const struct json_slice *body_slots(const struct body *b, size_t place)
{
    return b->pick != NULL ? &b->slots[place * pick_slots(b->pick)] : NULL;
}

void body_done(struct body *b)
{
    if (b->cap > KEEP_EVENTS)
        body_fini(b);
}

static void forget_events(struct body *b)
{
    b->n = b->surplus_len = b->n_surplus = 0;
    b->surplus = NULL;
}

static void start(struct body *b, struct json_scan *s, const char *text, size_t len)
{
    forget_events(b);
    b->write_key.len = b->context.len = b->integrations.len = b->sent_at.len = 0;
    json_scan_init(s, text, len);
}

static struct event *next_event(struct body *b)
{
    if (b->n == b->cap) {
        b->cap = b->cap > 0 ? b->cap * 2 : 64; /* below 2 * max_events */
        b->events = xrealloc(b->events, b->cap * sizeof *b->events);
        if (b->pick != NULL)
            b->slots = xrealloc(b->slots, b->cap * pick_slots(b->pick) * sizeof *b->slots);
    }
    return &b->events[b->n];
}

static int scan_event(struct body *b, struct json_scan *s)
{
    struct event *e = next_event(b);
    if (b->pick == NULL)
        return event_scan(s, e);
    return event_scan_picked(s, e, b->pick, &b->slots[b->n * pick_slots(b->pick)]);
}

static int scan_surplus(struct body *b, struct json_scan *s)
{
    struct json_slice value;
    if (json_scan_value(s, &value) < 0)
        return -1;
    if (b->n_surplus++ == 0)
        b->surplus = value.text;
    b->surplus_len = (size_t)(value.text + value.len - b->surplus);
    return 0;
}

static int scan_elements(struct body *b, struct json_scan *s)
{
    int r;
    forget_events(b);
    if (json_scan_enter(s, JSON_ARRAY) < 0)
        return -1;
    while ((r = json_scan_element(s)) > 0) {
        if (b->n >= b->max_events) {
            if (scan_surplus(b, s) < 0)
                return -1;
            continue;
        }
        if (scan_event(b, s) < 0)
            return -1;
        b->n++;
    }
    return r;
}

static void keep_member(struct body *b, const struct json_slice *key, const struct json_slice *value)
{
    if (json_key_is(key, "writeKey"))
        b->write_key = *value;
    else if (json_key_is(key, "context"))
        b->context = *value;
    else if (json_key_is(key, "integrations"))
        b->integrations = *value;
    else if (json_key_is(key, "sentAt"))
        b->sent_at = *value;
}

static int scan_members(struct body *b, struct json_scan *s)
{
    struct json_slice key, value;
    int r;
    if (json_scan_enter(s, JSON_OBJECT) < 0)
        return -1;
    while ((r = json_scan_member(s, &key)) > 0) {
        bool batch = json_key_is(&key, "batch");
        if (batch && json_scan_peek(s, JSON_ARRAY)) {
            if (scan_elements(b, s) < 0)
                return -1;
            continue;
        }
        if (json_scan_value(s, &value) < 0)
            return -1;
        if (batch)
            forget_events(b); /* not an array: as good as none */
        else
            keep_member(b, &key, &value);
    }
    return r;
}

const char *body_scan_batch(struct body *b, const char *text, size_t len)
{
    struct json_scan s;
    start(b, &s, text, len);
    if (scan_members(b, &s) < 0 || json_scan_end(&s) < 0)
        return body_invalid;
    return b->n == 0 ? "empty batch payload" : NULL;
}

const char *body_scan_event(struct body *b, const char *text, size_t len)
{
    struct json_scan s;
    start(b, &s, text, len);
    s.depth = BATCH_DEPTH; /* it is stored and sent on as a batch, and must be readable there */
    const struct event *e;
    if (scan_event(b, &s) < 0 || json_scan_end(&s) < 0)
        return body_invalid;
    e = &b->events[0];
    b->n = 1;
    if (e->value.type == JSON_OBJECT && e->field[EVENT_WRITE_KEY].text != NULL)
        b->write_key = e->field[EVENT_WRITE_KEY];
    return NULL;
}
