/* event - the checks on one customer event, and the few fields that are added to its text.
 *
 * The text that arrived is kept byte for byte; a member that must be removed is cut out with its comma, a member that
 * must be added is written in front of the closing brace. Rules of the checks: rudder-server f2655fbbe and the
 * RudderStack Node SDK 3.0.13 (looseValidate). Pure but for the randomness of a new messageId.
 */
#ifndef DRAY_COMMON_EVENT_EVENT_H
#define DRAY_COMMON_EVENT_EVENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/buf.h"
#include "common/event/json.h"
#include "common/event/pick.h"

enum event_fault {
    EVENT_OK,
    EVENT_NOT_OBJECT, /* "event is not a valid rudder event" */
    EVENT_TOO_BIG,    /* over limits.event */
    EVENT_NO_USER,    /* "request neither has anonymousId nor userId" */
    EVENT_BAD_JSON,
    EVENT_TOO_MANY, /* behind limits.events_per_batch */
    EVENT_POISON,   /* three workers died with it in hand */
    EVENT_UNROUTED, /* no route wants it, and ingest.unrouted is quarantine */
};
const char *
event_fault_name(enum event_fault f); /* "not_object" ... : the reason in metrics and quarantine */
const char *
event_fault_text(enum event_fault f); /* the sentence of the answer (rudder-server's where it has one) */

/* Its texts need no escapes in JSON. */
struct event_context {
    const char *type;     /* forced by the endpoint ("track"), or NULL inside a batch */
    uint64_t received_ms; /* wall clock */
    const char *
        received_at; /* the same as text (clock_format_wall), made once a request; NULL: made here for each event */
    const char *request_ip; /* NULL: not known */
    size_t max_bytes;       /* limits.event; 0: no limit */
    /* What stood beside `batch` and holds for each event in it; text NULL: nothing. The first two are objects that fit
     * (event_merge.h), the third is a time that event_time_parse takes. */
    struct json_slice context, integrations, sent_at;
    uint64_t sent_ms; /* the third */
    size_t grow;      /* bytes that an event may grow by the first two */
};

/* The members of an event that mean something here. */
enum event_field {
    EVENT_TYPE,
    EVENT_MESSAGE_ID,
    EVENT_USER_ID,
    EVENT_ANONYMOUS_ID,
    EVENT_TIMESTAMP,
    EVENT_ORIGINAL_TIMESTAMP,
    EVENT_RECEIVED_AT,
    EVENT_REQUEST_IP,
    EVENT_WRITE_KEY,
    EVENT_SENT_AT,
    EVENT_CONTEXT,
    EVENT_INTEGRATIONS,
    EVENT_FIELDS
};

/* What one pass over an event's text has found. All slices point into that text. */
struct event {
    struct json_slice value;               /* the event, whatever its type */
    struct json_slice field[EVENT_FIELDS]; /* the last of that name; text NULL: absent */
    const char *key[EVENT_FIELDS];         /* where its name begins */
    unsigned members;                      /* of the object */
    bool repeated;                         /* one of the fields stands there more than once */
};

/* Validates the next value of the input and indexes it, in the same pass. 0, or -1 with s->why set. */
int event_scan(struct json_scan *s, struct event *e);
/* The same, and the fields that p asks for (NULL: none) into its slots (pick_slots(p) of them); text NULL: absent. */
int event_scan_picked(struct json_scan *s, struct event *e, const struct pick *p, struct json_slice *slots);
/* The order key (userId, else anonymousId; a string's content, the text of anything else) is copied to key
 * (terminated; "" when it does not fit). key may be NULL: not wanted. */
enum event_fault event_check_scanned(const struct event *e, const struct event_context *c, char *key,
                                     size_t key_size);
/* Appends the event as it is stored: its own text less writeKey, with type forced where the endpoint says so, and, where
 * they are absent or blank, messageId (a new uuid), receivedAt, request_ip, originalTimestamp (= timestamp, else
 * receivedAt), timestamp (receivedAt - (sentAt - originalTimestamp), so that the sender's clock does not matter), and what
 * c has of the batch: sentAt, and the members of context and integrations that its own ones lack. Only for what event_check_scanned passed. 0, or -1 with EMSGSIZE or ENOMEM (out as it was). */
int event_write_scanned(const struct event *e, const struct event_context *c, struct buf *out);

/* The same on one value that was validated before, at the price of a second pass. */
enum event_fault event_check(const struct json_slice *value, const struct event_context *c, char *key,
                             size_t key_size);
int event_write(const struct json_slice *value, const struct event_context *c, struct buf *out);

#endif
