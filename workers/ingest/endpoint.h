/* endpoint - the table of routes. */
#ifndef DRAY_WORKERS_INGEST_ENDPOINT_H
#define DRAY_WORKERS_INGEST_ENDPOINT_H

#include <stdbool.h>
#include <stddef.h>

enum endpoint_kind {
    ENDPOINT_BATCH,
    ENDPOINT_EVENT,
    ENDPOINT_PIXEL, /* RudderStack's: an event in the query, an image as the answer */
    ENDPOINT_SEGMENT_PIXEL,
    ENDPOINT_HEALTH,
    ENDPOINT_SERVER /* the whole of it: OPTIONS alone */
};

struct endpoint {
    const char *path;
    enum endpoint_kind kind;
    const char *allow; /* methods, as the Allow header has them */
    const char *type;  /* of one event: forced on it */
    bool key_in_query; /* its senders cannot set headers */
};

static inline bool endpoint_is_pixel(const struct endpoint *e)
{
    return e->kind == ENDPOINT_PIXEL || e->kind == ENDPOINT_SEGMENT_PIXEL;
}
/* NULL: 404. */
const struct endpoint *endpoint_find(const char *path);
bool endpoint_allows(const struct endpoint *e, const char *method);
/* The rows in their order; NULL behind the last one. */
const struct endpoint *endpoint_row(size_t i);

#endif
