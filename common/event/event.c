/* event - see event.h. event_scan() finds, event_check*() judges, event_write*() copies the text between the cuts.
 *
 * A member is cut by its text alone: with the comma in front of it when a member stays there, else with the one behind.
 * Names that stand there twice are rare and legal: the last counts, and all are cut, by a walk over the members.
 */
#include "common/event/event.h"

#include <errno.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/id.h"
#include "common/event/event_merge.h"
#include "common/event/event_time.h"

static const struct {
    const char *name, *text;
} faults[] = {
    [EVENT_OK] = {"ok", "ok"},
    [EVENT_NOT_OBJECT] = {"not_object", "event is not a valid rudder event"},
    [EVENT_TOO_BIG] = {"too_big", "event size exceeds max limit"},
    [EVENT_NO_USER] = {"no_user", "request neither has anonymousId nor userId"},
    [EVENT_BAD_JSON] = {"bad_json", "invalid json"},
    [EVENT_TOO_MANY] = {"too_many", "too many events in a batch"},
    [EVENT_POISON] = {"poison", "workers died with this event in hand"},
    [EVENT_UNROUTED] = {"unrouted", "no route wants this event"},
};

const char *event_fault_name(enum event_fault f)
{
    return (size_t)f < sizeof faults / sizeof *faults ? faults[f].name : "?";
}

const char *event_fault_text(enum event_fault f)
{
    return (size_t)f < sizeof faults / sizeof *faults ? faults[f].text : "?";
}

static const char *const names[EVENT_FIELDS] = {
    [EVENT_TYPE] = "type",
    [EVENT_MESSAGE_ID] = "messageId",
    [EVENT_USER_ID] = "userId",
    [EVENT_ANONYMOUS_ID] = "anonymousId",
    [EVENT_TIMESTAMP] = "timestamp",
    [EVENT_ORIGINAL_TIMESTAMP] = "originalTimestamp",
    [EVENT_RECEIVED_AT] = "receivedAt",
    [EVENT_REQUEST_IP] = "request_ip",
    [EVENT_WRITE_KEY] = "writeKey",
    [EVENT_SENT_AT] = "sentAt",
    [EVENT_CONTEXT] = "context",
    [EVENT_INTEGRATIONS] = "integrations",
};

/* The field of this key, or EVENT_FIELDS. */
static enum event_field field_of(const struct json_slice *key, bool escaped)
{
    if (escaped) {
        for (unsigned f = 0; f < EVENT_FIELDS; f++)
            if (json_key_is(key, names[f]))
                return (enum event_field)f;
        return EVENT_FIELDS;
    }
    static const unsigned char by_length[20][3] = {
        /* length of the name: the fields of that length, + 1 */
        [4] = {EVENT_TYPE + 1},
        [6] = {EVENT_USER_ID + 1, EVENT_SENT_AT + 1},
        [7] = {EVENT_CONTEXT + 1},
        [8] = {EVENT_WRITE_KEY + 1},
        [9] = {EVENT_MESSAGE_ID + 1, EVENT_TIMESTAMP + 1},
        [10] = {EVENT_RECEIVED_AT + 1, EVENT_REQUEST_IP + 1},
        [11] = {EVENT_ANONYMOUS_ID + 1},
        [12] = {EVENT_INTEGRATIONS + 1},
        [17] = {EVENT_ORIGINAL_TIMESTAMP + 1},
    };
    uint32_t len = key->len - 2;
    if (len >= 20)
        return EVENT_FIELDS;
    for (const unsigned char *f = by_length[len]; *f != 0; f++)
        if (memcmp(key->text + 1, names[*f - 1], len) == 0)
            return (enum event_field)(*f - 1);
    return EVENT_FIELDS;
}

int event_scan(struct json_scan *s, struct event *e)
{
    return event_scan_picked(s, e, NULL, NULL);
}

int event_scan_picked(struct json_scan *s, struct event *e, const struct pick *p, struct json_slice *slots)
{
    memset(e, 0, sizeof *e);
    if (p != NULL)
        memset(slots, 0, pick_slots(p) * sizeof *slots);
    if (!json_scan_peek(s, JSON_OBJECT))
        return json_scan_value(s, &e->value);
    const char *start = s->at;
    struct json_slice key, value;
    int r;
    if (json_scan_enter(s, JSON_OBJECT) < 0)
        return -1;
    while ((r = json_scan_member(s, &key)) > 0) {
        bool escaped = s->key_escaped;
        unsigned place = p != NULL ? pick_child(p, 0, &key, escaped) : 0;
        if ((place == 0 ? json_scan_value(s, &value) : pick_scan_value(s, p, place, &value, slots)) < 0)
            return -1;
        e->members++;
        enum event_field f = field_of(&key, escaped);
        if (f == EVENT_FIELDS)
            continue;
        e->repeated |= e->field[f].text != NULL;
        e->field[f] = value;
        e->key[f] = key.text;
    }
    if (r < 0)
        return -1;
    e->value = (struct json_slice){start, (uint32_t)(s->at - start), JSON_OBJECT};
    return 0;
}

static bool given(const struct event *e, enum event_field f)
{
    const struct json_slice *v = &e->field[f];
    if (v->text == NULL)
        return false;
    /* nearly always a string that begins with a plain character */
    if (v->type == JSON_STRING && v->text[1] > ' ' && v->text[1] != '"' && v->text[1] != '\\')
        return true;
    return !json_is_blank(v);
}

static void copy_key(const struct json_slice *id, char *key, size_t size)
{
    if (key == NULL)
        return;
    if (id->type == JSON_STRING) {
        if (json_text(id, key, size) < 0)
            *key = '\0';
    } else if (id->len < size) {
        memcpy(key, id->text, id->len);
        key[id->len] = '\0';
    }
}

/* rudder-server: an "extract" event needs no user. */
static bool needs_user(const struct event *e, const struct event_context *c)
{
    const struct json_slice *type = &e->field[EVENT_TYPE];
    char text[16];
    if (c->type != NULL)
        return strcmp(c->type, "extract") != 0;
    return type->text == NULL || type->type != JSON_STRING || json_text(type, text, sizeof text) < 0 ||
           strcmp(text, "extract") != 0;
}

enum event_fault event_check_scanned(const struct event *e, const struct event_context *c, char *key,
                                     size_t key_size)
{
    if (key != NULL)
        *key = '\0';
    if (e->value.type != JSON_OBJECT)
        return EVENT_NOT_OBJECT;
    if (c->max_bytes > 0 && e->value.len + c->grow > c->max_bytes)
        return EVENT_TOO_BIG;
    if (given(e, EVENT_USER_ID))
        copy_key(&e->field[EVENT_USER_ID], key, key_size);
    else if (given(e, EVENT_ANONYMOUS_ID))
        copy_key(&e->field[EVENT_ANONYMOUS_ID], key, key_size);
    else if (needs_user(e, c))
        return EVENT_NO_USER;
    return EVENT_OK;
}

/* Which fields are cut, and which are written anew: a bit for each. */
#define BIT(f) (1u << (f))
struct plan {
    unsigned cut, add;
};

/* What is neither object nor null is the sender's own affair. */
static bool may_merge(const struct event *e, enum event_field f)
{
    const struct json_slice *own = &e->field[f];
    return own->text == NULL || own->type == JSON_OBJECT || own->type == JSON_NULL;
}

static bool type_differs(const struct event *e, const char *type)
{
    const struct json_slice *own = &e->field[EVENT_TYPE];
    char text[32];
    return own->text == NULL || own->type != JSON_STRING || json_text(own, text, sizeof text) < 0 ||
           strcmp(text, type) != 0;
}

static unsigned lacks(const struct event *e, enum event_field f)
{
    return given(e, f) ? 0 : BIT(f);
}

static struct plan plan_make(const struct event *e, const struct event_context *c)
{
    unsigned add = lacks(e, EVENT_MESSAGE_ID) | lacks(e, EVENT_ORIGINAL_TIMESTAMP) |
                   lacks(e, EVENT_RECEIVED_AT) | lacks(e, EVENT_TIMESTAMP);
    if (c->request_ip != NULL)
        add |= lacks(e, EVENT_REQUEST_IP);
    if (c->type != NULL && type_differs(e, c->type))
        add |= BIT(EVENT_TYPE);
    if (c->sent_at.text != NULL)
        add |= lacks(e, EVENT_SENT_AT);
    if (c->context.text != NULL && may_merge(e, EVENT_CONTEXT))
        add |= BIT(EVENT_CONTEXT);
    if (c->integrations.text != NULL && may_merge(e, EVENT_INTEGRATIONS))
        add |= BIT(EVENT_INTEGRATIONS);
    unsigned cut = 0;
    for (unsigned left = add | BIT(EVENT_WRITE_KEY); left != 0; left &= left - 1)
        if (e->field[__builtin_ctz(left)].text != NULL)
            cut |= left & -left;
    return (struct plan){cut, add};
}

static bool is_space(char c)
{
    return c == ' ' || c == '\n' || c == '\r' || c == '\t';
}

/* Copies from *at up to the member (its name at `name`, its value's end at `end`), and moves *at behind it. */
static int cut_member(struct buf *out, const char **at, const char *name, const char *end)
{
    const char *from = name;
    while (from > *at && is_space(from[-1]))
        from--;
    if (from > *at && from[-1] == ',') {
        from--;
    } else { /* nothing stays in front of it: the comma behind it goes */
        from = name;
        while (is_space(*end))
            end++;
        if (*end == ',')
            end++;
    }
    int r = buf_append(out, *at, (size_t)(from - *at));
    *at = end;
    return r;
}

/* Copies the event up to its closing brace, without what is cut. Returns the number of members left, or -1. */
static long write_kept(const struct event *e, const struct plan *p, struct buf *out)
{
    const char *at = e->value.text, *close = e->value.text + e->value.len - 1;
    long left = e->members;
    if (e->repeated) {
        struct json_iter it = {0};
        struct json_slice key, value;
        while (json_next_member(&e->value, &it, &key, &value)) {
            enum event_field f = field_of(&key, memchr(key.text, '\\', key.len) != NULL);
            if (f == EVENT_FIELDS || (p->cut & BIT(f)) == 0)
                continue;
            left--;
            if (cut_member(out, &at, key.text, value.text + value.len) < 0)
                return -1;
        }
    } else {
        for (unsigned cut = p->cut; cut != 0;) { /* the next one in the order of the text; there are few */
            unsigned next = (unsigned)__builtin_ctz(cut);
            for (unsigned more = cut; more != 0; more &= more - 1)
                if (e->key[__builtin_ctz(more)] < e->key[next])
                    next = (unsigned)__builtin_ctz(more);
            cut &= ~BIT(next);
            left--;
            if (cut_member(out, &at, e->key[next], e->field[next].text + e->field[next].len) < 0)
                return -1;
        }
    }
    return buf_append(out, at, (size_t)(close - at)) < 0 ? -1 : left;
}

static char *put(char *at, const void *text, size_t len)
{
    memcpy(at, text, len);
    return at + len;
}

/* One added member; the value is a text of ours to be quoted (value_len 0), or JSON. Neither it nor the names need
 * escapes. */
static int add_member(struct buf *out, long *members, enum event_field f, const char *value, size_t value_len)
{
    size_t name = strlen(names[f]);
    bool quoted = value_len == 0;
    if (quoted)
        value_len = strlen(value);
    if (buf_reserve(out, name + value_len + 6) < 0)
        return -1;
    char *at = out->data + out->len;
    at = put(at, ",\"", 2);
    if ((*members)++ == 0) { /* the first needs no comma */
        at[-2] = '"';
        at--;
    }
    at = put(put(at, names[f], name), "\":\"", 3);
    at = put(quoted ? at : at - 1, value, value_len);
    if (quoted)
        *at++ = '"';
    out->len = (size_t)(at - out->data);
    return 0;
}

static int add_merged(const struct event *e, struct buf *out, long *members, enum event_field f,
                      const struct json_slice *common)
{
    const struct json_slice *own = &e->field[f];
    if (own->type != JSON_OBJECT || own->text == NULL)
        return add_member(out, members, f, common->text, common->len);
    if (add_member(out, members, f, "{", 1) < 0)
        return -1;
    out->len--; /* the brace was for the name's sake */
    return event_merge_write(own, common, out);
}

/* The time of a field, as it stands or as it is added; false: not known. */
static bool time_of(const struct event *e, enum event_field f, uint64_t *ms)
{
    return e->field[f].text != NULL && event_time_parse(&e->field[f], ms) == 0;
}

/* rudder-server f2655fbbe, enhanceWithTimeFields: what the sender's clock says, moved to ours. */
static int add_timestamp(const struct event *e, const struct event_context *c, struct buf *out, long *members)
{
    uint64_t received, sent, original;
    char text[CLOCK_TEXT_SIZE];
    if (!time_of(e, EVENT_RECEIVED_AT, &received))
        received = c->received_ms;
    if (!time_of(e, EVENT_ORIGINAL_TIMESTAMP, &original))
        original = sent = received;
    else if (!time_of(e, EVENT_SENT_AT, &sent))
        sent = c->sent_at.text != NULL ? c->sent_ms : received;
    int64_t ms = (int64_t)(received - (sent - original));
    return add_member(out, members, EVENT_TIMESTAMP,
                      clock_format_wall(ms < 0 ? received : (uint64_t)ms, text), 0);
}

/* What an event takes over from its batch. */
static int write_of_batch(const struct event *e, const struct event_context *c, const struct plan *p,
                          struct buf *out, long *members)
{
    if ((p->add & BIT(EVENT_SENT_AT)) != 0 &&
        add_member(out, members, EVENT_SENT_AT, c->sent_at.text, c->sent_at.len) < 0)
        return -1;
    if ((p->add & BIT(EVENT_CONTEXT)) != 0 && add_merged(e, out, members, EVENT_CONTEXT, &c->context) < 0)
        return -1;
    return (p->add & BIT(EVENT_INTEGRATIONS)) != 0
               ? add_merged(e, out, members, EVENT_INTEGRATIONS, &c->integrations)
               : 0;
}

static int add_original(const struct event *e, const struct plan *p, struct buf *out, long *members,
                        const char *received)
{
    const struct json_slice *original = NULL, *timestamp = &e->field[EVENT_TIMESTAMP];
    if (given(e, EVENT_TIMESTAMP) && (timestamp->type == JSON_STRING || timestamp->type == JSON_NUMBER))
        original = timestamp;
    else if ((p->add & BIT(EVENT_RECEIVED_AT)) == 0)
        original = &e->field[EVENT_RECEIVED_AT];
    return original != NULL
               ? add_member(out, members, EVENT_ORIGINAL_TIMESTAMP, original->text, original->len)
               : add_member(out, members, EVENT_ORIGINAL_TIMESTAMP, received, 0);
}

static int write_added(const struct event *e, const struct event_context *c, const struct plan *p,
                       struct buf *out, long members)
{
    char uuid[UUID_SIZE], made[CLOCK_TEXT_SIZE];
    const char *received = c->received_at;
    if ((p->add & BIT(EVENT_TYPE)) != 0 && add_member(out, &members, EVENT_TYPE, c->type, 0) < 0)
        return -1;
    if ((p->add & BIT(EVENT_MESSAGE_ID)) != 0) {
        id_uuid4(uuid);
        if (add_member(out, &members, EVENT_MESSAGE_ID, uuid, 0) < 0)
            return -1;
    }
    if (received == NULL)
        received = clock_format_wall(c->received_ms, made);
    if ((p->add & BIT(EVENT_RECEIVED_AT)) != 0 &&
        add_member(out, &members, EVENT_RECEIVED_AT, received, 0) < 0)
        return -1;
    if ((p->add & BIT(EVENT_REQUEST_IP)) != 0 &&
        add_member(out, &members, EVENT_REQUEST_IP, c->request_ip, 0) < 0)
        return -1;
    if ((p->add & BIT(EVENT_ORIGINAL_TIMESTAMP)) != 0 && add_original(e, p, out, &members, received) < 0)
        return -1;
    if ((p->add & BIT(EVENT_TIMESTAMP)) != 0 && add_timestamp(e, c, out, &members) < 0)
        return -1;
    return write_of_batch(e, c, p, out, &members);
}

int event_write_scanned(const struct event *e, const struct event_context *c, struct buf *out)
{
    size_t start = out->len;
    if (e->value.type != JSON_OBJECT) {
        errno = EINVAL;
        return -1;
    }
    struct plan plan = plan_make(e, c);
    long left = write_kept(e, &plan, out);
    if (left < 0 || write_added(e, c, &plan, out, left) < 0 || buf_appendc(out, '}') < 0) {
        out->len = start;
        return -1;
    }
    return 0;
}

enum event_fault event_check(const struct json_slice *value, const struct event_context *c, char *key,
                             size_t key_size)
{
    struct json_scan s;
    struct event e;
    *key = '\0';
    json_scan_init(&s, value->text, value->len);
    return event_scan(&s, &e) < 0 ? EVENT_BAD_JSON : event_check_scanned(&e, c, key, key_size);
}

int event_write(const struct json_slice *value, const struct event_context *c, struct buf *out)
{
    struct json_scan s;
    struct event e;
    json_scan_init(&s, value->text, value->len);
    if (event_scan(&s, &e) < 0) {
        errno = EINVAL;
        return -1;
    }
    return event_write_scanned(&e, c, out);
}
