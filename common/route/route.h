/* route - which destinations an event goes to: the list `routes` of a configuration, compiled once.
 *
 * Every route that matches adds its destinations; an event goes to each of them once. Sources are judged once a request,
 * the rest once an event, on what event_scan_picked() has found: nothing is parsed again, nothing allocated. Without
 * routes there is no table. Used by ingest and by the command line. Pure.
 */
#ifndef DRAY_COMMON_ROUTE_ROUTE_H
#define DRAY_COMMON_ROUTE_ROUTE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/buf.h"
#include "common/conf/conf.h"

/* A set of routes, or of destinations, by their index in the configuration. */
#define ROUTE_WORDS ((CONF_LIST_MAX + 63) / 64)
struct route_set {
    uint64_t bits[ROUTE_WORDS];
};

#define ROUTE_SET_HAS(s, i) (((s)->bits[(i) / 64] >> ((i) % 64) & 1) != 0)
#define ROUTE_SET_PUT(s, i) ((s)->bits[(i) / 64] |= (uint64_t)1 << ((i) % 64))

struct route_table;
struct event;
struct event_context;
struct json_slice;
struct pick;

/* NULL when conf has no routes. conf must be checked, and outlive the table. */
struct route_table *route_table_new(const struct conf *conf);
void route_table_free(struct route_table *t);
const struct pick *route_table_pick(const struct route_table *t); /* NULL: no field is asked for */

/* The routes that may want events of this source. */
void route_source(const struct route_table *t, const char *source, struct route_set *routes);
/* The destinations of an event, and the routes that want it, of those that route_source gave. c->type is the type when
 * it is not NULL. False: none. */
bool route_match(const struct route_table *t, const struct route_set *of_source, const struct event *e,
                 const struct event_context *c, const struct json_slice *slots, struct route_set *routes,
                 struct route_set *destinations);

/* Why route i wants the event or not, for people: "wants it", "match.type: it is \"page\"", ... */
bool route_explain(const struct route_table *t, size_t i, const char *source, const struct event *e,
                   const struct event_context *c, const struct json_slice *slots, struct buf *why);
/* One line of `dray check`: "web*, type track, event Order *, 2 conditions, 10 % of users -> a, b". */
void route_describe(const struct conf_route *r, struct buf *out);

#endif
