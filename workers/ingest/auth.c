/* auth - see auth.h. */
#include "workers/ingest/auth.h"

#include <string.h>
#include <strings.h>

#include "common/base/str.h"

bool auth_basic_user(const char *authorization, char dst[AUTH_KEY_MAX])
{
    if (authorization == NULL || strncasecmp(authorization, "Basic ", 6) != 0)
        return false;
    const char *text = authorization + 6;
    text += strspn(text, " ");
    size_t len = strlen(text);
    unsigned char clear[2 * AUTH_KEY_MAX];
    if (len > sizeof clear / 3 * 4)
        return false;
    long n = str_base64_decode(text, len, clear, sizeof clear);
    if (n <= 0)
        return false;
    const unsigned char *colon = memchr(clear, ':', (size_t)n);
    size_t user = colon != NULL ? (size_t)(colon - clear) : (size_t)n;
    if (user == 0 || user >= AUTH_KEY_MAX || memchr(clear, '\0', user) != NULL)
        return false;
    memcpy(dst, clear, user);
    dst[user] = '\0';
    return true;
}
