/* names - the names that Bull gives things. Pure. */
#include "common/queue/queue.h"

#include <stdio.h>
#include <string.h>

#include "common/base/str.h"

#define NAME_MAX_BYTES 255

char *queue_key(const char *prefix, const char *name, const char *suffix, char *dst, size_t size)
{
    snprintf(dst, size, "%s:%s:%s", prefix, name, suffix);
    return dst;
}

char *queue_node_key(const char *prefix, const char *token, char *dst, size_t size)
{
    snprintf(dst, size, "%s:dray:node:%.*s", prefix, (int)strcspn(token, "."), token);
    return dst;
}

char *queue_client_name(const struct queue_options *o, char *dst, size_t size)
{
    char encoded[4 * (NAME_MAX_BYTES / 3 + 1) + 1];
    size_t len = strnlen(o->name, NAME_MAX_BYTES);
    str_base64_encode(o->name, len, encoded, sizeof encoded);
    snprintf(dst, size, "%s:%s:w:%s", o->prefix, encoded, o->token);
    return dst;
}

const char *queue_status_name(enum queue_status s)
{
    static const char *const names[] = {
        [QUEUE_OK] = "ok",
        [QUEUE_DUPLICATE] = "duplicate",
        [QUEUE_SEEN] = "seen",
        [QUEUE_LOST] = "lost",
        [QUEUE_MISSING] = "missing",
        [QUEUE_REFUSED] = "refused",
        [QUEUE_BROKEN] = "broken",
        [QUEUE_UNKNOWN] = "unknown",
        [QUEUE_AWAY] = "away",
        [QUEUE_DEBOUNCED] = "debounced",
        [QUEUE_LOCKED] = "locked",
        [QUEUE_WRONG_STATE] = "wrong state",
        [QUEUE_INVALID] = "invalid",
    };
    return (size_t)s < sizeof names / sizeof *names ? names[s] : "?";
}
