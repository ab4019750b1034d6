/* routing - which destinations the events of the request at hand go to; used by request.c and fanout.c.
 *
 * Without routes there is nothing here but one NULL: every event goes everywhere. With routes each good event is judged
 * once, before room is asked for, and what was found stands here until the next request.
 */
#ifndef DRAY_WORKERS_INGEST_ROUTING_H
#define DRAY_WORKERS_INGEST_ROUTING_H

#include "common/event/event.h"
#include "common/metrics/metrics.h"
#include "common/route/route.h"

struct body;
struct source;

struct routing {
    struct route_table *table; /* NULL: no routes */
    const struct conf *conf;
    struct metrics *metrics;
    struct routing_series *series; /* of each route and destination */

    struct route_set of_source; /* of the request at hand */
    bool common; /* its batch has members that its events are given where they have none of their own */
    struct json_slice of_batch[PICK_FIELDS_MAX]; /* the fields of these */
    struct route_set *sets;                      /* of its events, as they stand in the body */
    size_t cap;
    size_t copies, bytes; /* of its good events, at all destinations: events, and their text */
    uint32_t *copies_to;  /* by destination */
    uint32_t *wanted_by;  /* by route */

    uint64_t unrouted, told; /* since the start; when it was last said in the log */
    double told_at;
};

void routing_init(struct routing *r, const struct conf *conf, struct metrics *metrics);
/* Other routes from now on. NULL: there are none any more, or none yet. */
void routing_set(struct routing *r, const struct conf *conf);
void routing_fini(struct routing *r);

/* A request of this source with n elements begins. Only with a table, as all below. */
void routing_begin(struct routing *r, const char *source, size_t n, const struct event_context *c);
/* Judges the event at this place, which is good. False: no route wants it. */
bool routing_judge(struct routing *r, size_t place, const struct event *e, const struct event_context *c,
                   const struct json_slice *slots);
/* Is it wanted by none (and was judged)? */
bool routing_is_unrouted(const struct routing *r, size_t place);
/* The events of the request have been taken: they count. */
void routing_count(struct routing *r);
/* n events were dropped or set aside because no route wants them; said in the log now and then (now: loop time). */
void routing_count_unrouted(struct routing *r, size_t n);
void routing_beat(struct routing *r, double now);

#endif
