/* clients - reads the answer of CLIENT LIST (Redis 7.0): one line a connection, "id=7 addr=... name=x:w:TOKEN ...".
 * Pure.
 */
#include "workers/delivery/clients.h"

#include <string.h>

/* The value of " key=" in the line; false when it is not there. */
static bool field(const char *line, const char *end, const char *key, const char **value, size_t *len)
{
    size_t key_len = strlen(key);

    for (const char *p = line; p < end;) {
        const char *stop = memchr(p, ' ', (size_t)(end - p));

        if (stop == NULL)
            stop = end;
        if ((size_t)(stop - p) >= key_len && memcmp(p, key, key_len) == 0) {
            *value = p + key_len;
            *len = (size_t)(stop - p) - key_len;
            return true;
        }
        p = stop + 1;
    }
    return false;
}

static bool number(const char *text, size_t len, uint64_t *out)
{
    if (len == 0 || len > 19)
        return false;
    *out = 0;
    for (size_t i = 0; i < len; i++) {
        if (text[i] < '0' || text[i] > '9')
            return false;
        *out = *out * 10 + (uint64_t)(text[i] - '0');
    }
    return true;
}

bool clients_next(const char **at, const char *end, struct clients_line *out)
{
    while (*at < end) {
        const char *line = *at, *stop = memchr(line, '\n', (size_t)(end - line)), *id;
        size_t id_len;

        if (stop == NULL)
            stop = end;
        *at = stop < end ? stop + 1 : end;
        if (field(line, stop, "id=", &id, &id_len) && number(id, id_len, &out->id) &&
            field(line, stop, "name=", &out->name, &out->name_len))
            return true;
    }
    return false;
}

bool clients_is_of(const struct clients_line *c, const char *token)
{
    size_t mark = strlen(CLIENTS_MARK), len = strlen(token);

    return c->name_len >= mark + len && memcmp(c->name + c->name_len - len, token, len) == 0 &&
           memcmp(c->name + c->name_len - len - mark, CLIENTS_MARK, mark) == 0;
}
