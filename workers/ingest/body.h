/* body - the events in the text of a request, validated and indexed in one pass. Pure.
 *
 * Slices point into the text. Members beside `batch` that mean nothing here are validated and left alone. */
#ifndef DRAY_WORKERS_INGEST_BODY_H
#define DRAY_WORKERS_INGEST_BODY_H

#include <stdbool.h>
#include <stddef.h>

#include "common/event/event.h"

struct body {
    size_t max_events;
    struct event *events; /* elements of `batch`, or the one event */
    size_t n, cap;
    const struct pick *pick;  /* fields that routes ask for; NULL: none */
    struct json_slice *slots; /* of each event pick_slots(pick); of the capacity of events */
    const char *surplus; /* text of the elements behind max_events, commas between them */
    size_t surplus_len, n_surplus;
    struct json_slice write_key;                      /* len 0: there is none */
    struct json_slice context, integrations, sent_at; /* beside `batch`, of any type; len 0: there is none */
};

void body_init(struct body *b, size_t max_events);
void body_fini(struct body *b);
/* Other fields from now on. */
void body_set_pick(struct body *b, const struct pick *pick);
/* The slots of the event at this place; NULL without a pick. */
const struct json_slice *body_slots(const struct body *b, size_t place);
extern const char body_invalid[]; /* "invalid json" */
/* {"batch":[...],...}. NULL, or the text of the answer: body_invalid, "empty batch payload". The last member of a
 * name counts. */
const char *body_scan_batch(struct body *b, const char *text, size_t len);
/* One event. NULL, or body_invalid. */
const char *body_scan_event(struct body *b, const char *text, size_t len);
/* The text is no longer needed: what an unusually big request took is given back. */
void body_done(struct body *b);

#endif
