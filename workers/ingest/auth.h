/* auth - where a request carries its write key: Basic user, body member or query. Pure. */
#ifndef DRAY_WORKERS_INGEST_AUTH_H
#define DRAY_WORKERS_INGEST_AUTH_H

#include <stdbool.h>
#include <stddef.h>

#define AUTH_KEY_MAX 256 /* bytes of a write key with NUL */

/* The user of an Authorization header's value (may be NULL). False when it is not Basic, broken, too long, or when the
 * user is empty: then another place may hold the key. */
bool auth_basic_user(const char *authorization, char dst[AUTH_KEY_MAX]);

#endif
