/* cors - see cors.h. Fetch standard, "CORS protocol"; the lines are those of rudder-server f2655fbbe (rs/cors). */
#include "workers/ingest/cors.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#define ORIGIN_MAX  280
#define WANTED_MAX  480
#define MAX_AGE     "600" /* seconds a browser may keep the answer to a preflight */
#define TOKEN_CHARS "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789!#$%&'*+-.^_`|~"

/* A host "*.example.com" against "www.example.com": the star is one label or more, and no port. */
static bool matches(const char *pattern, const char *origin)
{
    const char *star = strstr(pattern, "://*.");
    if (star == NULL)
        return strcasecmp(pattern, origin) == 0;
    size_t front = (size_t)(star - pattern) + 3, back = strlen(pattern) - front - 1, len = strlen(origin);
    return len > front + back && strncasecmp(pattern, origin, front) == 0 &&
           strcasecmp(pattern + front + 1, origin + len - back) == 0 && origin[front] != '.' &&
           memchr(origin + front, ':', len - back - front) == NULL;
}

bool cors_allows(char *const *origins, const char *origin)
{
    if (origin[0] == '\0' || strlen(origin) > ORIGIN_MAX)
        return false;
    if (origins[0] == NULL)
        return true;
    for (; *origins != NULL; origins++)
        if (strcmp(*origins, "*") == 0 || matches(*origins, origin))
            return true;
    return false;
}

void cors_answer(const char *origin, bool allowed, char dst[CORS_HEADERS_MAX])
{
    if (allowed)
        snprintf(
            dst, CORS_HEADERS_MAX,
            "Vary: Origin\r\nAccess-Control-Allow-Origin: %s\r\nAccess-Control-Allow-Credentials: true\r\n"
            "Access-Control-Expose-Headers: Retry-After\r\n",
            origin);
    else
        snprintf(dst, CORS_HEADERS_MAX, "Vary: Origin\r\n");
}

/* What was asked for, if it is a list of header names; else what senders of events have. */
static const char *headers_of(const char *wanted)
{
    if (wanted == NULL || wanted[0] == '\0' || strlen(wanted) > WANTED_MAX ||
        wanted[strspn(wanted, TOKEN_CHARS ", ")] != '\0')
        return "Authorization, Content-Type, Content-Encoding, AnonymousId";
    return wanted;
}

void cors_preflight(const char *origin, bool allowed, const char *methods, const char *wanted,
                    char dst[CORS_HEADERS_MAX])
{
    static const char vary[] =
        "Vary: Origin, Access-Control-Request-Method, Access-Control-Request-Headers\r\n";
    if (allowed)
        snprintf(dst, CORS_HEADERS_MAX,
                 "%sAccess-Control-Allow-Origin: %s\r\nAccess-Control-Allow-Credentials: true\r\n"
                 "Access-Control-Allow-Methods: %s\r\nAccess-Control-Allow-Headers: %s\r\n"
                 "Access-Control-Max-Age: " MAX_AGE "\r\n",
                 vary, origin, methods, headers_of(wanted));
    else
        snprintf(dst, CORS_HEADERS_MAX, "%s", vary);
}
