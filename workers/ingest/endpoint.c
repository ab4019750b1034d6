/* endpoint - see endpoint.h. RudderStack's paths (rudder-server f2655fbbe) and Segment's. */
#include "workers/ingest/endpoint.h"

#include <string.h>

#define POST "POST, OPTIONS"
#define GET  "GET, OPTIONS"
#define LOOK "GET, HEAD, OPTIONS"

static const struct endpoint table[] = {
    {"/v1/batch", ENDPOINT_BATCH, POST, NULL, false},
    {"/v1/track", ENDPOINT_EVENT, POST, "track", false},
    {"/v1/identify", ENDPOINT_EVENT, POST, "identify", false},
    {"/v1/page", ENDPOINT_EVENT, POST, "page", false},
    {"/v1/screen", ENDPOINT_EVENT, POST, "screen", false},
    {"/v1/group", ENDPOINT_EVENT, POST, "group", false},
    {"/v1/alias", ENDPOINT_EVENT, POST, "alias", false},
    {"/v1/merge", ENDPOINT_EVENT, POST, "merge", false},
    {"/v1/import", ENDPOINT_BATCH, POST, NULL, false},
    {"/v1/audiencelist", ENDPOINT_EVENT, POST, "audiencelist", false},
    {"/beacon/v1/batch", ENDPOINT_BATCH, POST, NULL, true},
    {"/pixel/v1/track", ENDPOINT_PIXEL, GET, "track", true},
    {"/pixel/v1/page", ENDPOINT_PIXEL, GET, "page", true},
    {"/v1/pixel/track", ENDPOINT_SEGMENT_PIXEL, GET, "track", true},
    {"/v1/pixel/identify", ENDPOINT_SEGMENT_PIXEL, GET, "identify", true},
    {"/v1/pixel/page", ENDPOINT_SEGMENT_PIXEL, GET, "page", true},
    {"/v1/pixel/screen", ENDPOINT_SEGMENT_PIXEL, GET, "screen", true},
    {"/v1/pixel/group", ENDPOINT_SEGMENT_PIXEL, GET, "group", true},
    {"/v1/pixel/alias", ENDPOINT_SEGMENT_PIXEL, GET, "alias", true},
    {"/health", ENDPOINT_HEALTH, LOOK, NULL, false},
    {"/", ENDPOINT_HEALTH, LOOK, NULL, false},
    {"*", ENDPOINT_SERVER, "OPTIONS", NULL, false},
};

const struct endpoint *endpoint_find(const char *path)
{
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        if (strcmp(path, table[i].path) == 0)
            return &table[i];
    return NULL;
}

bool endpoint_allows(const struct endpoint *e, const char *method)
{
    size_t len = strlen(method);
    for (const char *at = e->allow; at != NULL && len > 0; at = strchr(at, ',')) {
        at += strspn(at, ", ");
        if (strncmp(at, method, len) == 0 && (at[len] == ',' || at[len] == '\0'))
            return true;
    }
    return false;
}

const struct endpoint *endpoint_row(size_t i)
{
    return i < sizeof table / sizeof *table ? &table[i] : NULL;
}
