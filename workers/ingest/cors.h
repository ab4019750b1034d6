/* cors - which web pages may send: is an Origin on a source's list, and the header lines that say so. Pure.
 *
 * Header lines as rudder-server has them: the origin is echoed, credentials are allowed, any header may be sent. */
#ifndef DRAY_WORKERS_INGEST_CORS_H
#define DRAY_WORKERS_INGEST_CORS_H

#include <stdbool.h>
#include <stddef.h>

#define CORS_HEADERS_MAX 1024 /* room for what cors_answer and cors_preflight write */

/* origins: the words of sources.cors, NULL-ended; none at all: every origin. */
bool cors_allows(char *const *origins, const char *origin);
/* The lines of an answer to a request that has an Origin. dst is a text. */
void cors_answer(const char *origin, bool allowed, char dst[CORS_HEADERS_MAX]);
/* The lines of the answer to a preflight; methods: those of the path; wanted: Access-Control-Request-Headers, or NULL. */
void cors_preflight(const char *origin, bool allowed, const char *methods, const char *wanted,
                    char dst[CORS_HEADERS_MAX]);

#endif
