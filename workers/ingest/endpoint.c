/* endpoint - see endpoint.h. */
#include "workers/ingest/endpoint.h"

#include <string.h>

static const struct endpoint table[] = {
    {"/v1/batch", ENDPOINT_BATCH, "POST", NULL},          {"/v1/track", ENDPOINT_EVENT, "POST", "track"},
    {"/v1/identify", ENDPOINT_EVENT, "POST", "identify"}, {"/v1/page", ENDPOINT_EVENT, "POST", "page"},
    {"/v1/screen", ENDPOINT_EVENT, "POST", "screen"},     {"/v1/group", ENDPOINT_EVENT, "POST", "group"},
    {"/v1/alias", ENDPOINT_EVENT, "POST", "alias"},       {"/v1/merge", ENDPOINT_EVENT, "POST", "merge"},
    {"/health", ENDPOINT_HEALTH, "GET, HEAD", NULL},      {"/", ENDPOINT_HEALTH, "GET, HEAD", NULL},
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
