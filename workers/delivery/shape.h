/* shape - how the requests to one destination look, where that is more than a batch as JSON: more headers, ndjson, gzip,
 * signatures. A destination without any of it has no shape, and costs nothing. */
#ifndef DRAY_WORKERS_DELIVERY_SHAPE_H
#define DRAY_WORKERS_DELIVERY_SHAPE_H

#include "common/base/buf.h"
#include "common/conf/conf.h"
#include "common/http/client.h"
#include "workers/delivery/payload.h"

#define SHAPE_HEADERS_MAX (64 + 8) /* header lines of a request: those of the configuration, and dray's own */

struct shape;

/* What one request adds; the lines and pieces point into it. Zeroed before its first use. */
struct shape_made {
    struct buf body, lines;
    struct http_piece piece;
};

/* NULL: nothing of it. Keeps c and d. */
struct shape *shape_new(const struct conf *c, const struct conf_destination *d);
void shape_free(struct shape *s);
bool shape_by_event(const struct shape *s); /* each event in a request of its own */
/* Changes the request: o->pieces is what would be posted, headers (room for SHAPE_HEADERS_MAX and a NULL) holds the n
 * lines that are there, the first of them Content-Type and User-Agent. events: the array that it carries, or NULL.
 * key: the line Idempotency-Key. m stands until the call is done. 0, or -1 and a sentence in why. */
int shape_dress(struct shape *s, struct shape_made *m, struct http_call_options *o, const char **headers,
                size_t n, const struct json_slice *events, const char *key, uint64_t wall_ms, char *why,
                size_t size);
void shape_made_fini(struct shape_made *m);

#endif
