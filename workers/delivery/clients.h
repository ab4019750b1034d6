/* clients - reads the answer of CLIENT LIST: who is connected to Redis, and for which worker's token. Pure. */
#ifndef DRAY_WORKERS_DELIVERY_CLIENTS_H
#define DRAY_WORKERS_DELIVERY_CLIENTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CLIENTS_MARK ":w:" /* what stands before the token in a connection's name */

struct clients_line {
    uint64_t id;
    const char *name; /* inside the text, not terminated */
    size_t name_len;
};

/* The next line of *at..end; false at the end. Lines that cannot be read are passed over. */
bool clients_next(const char **at, const char *end, struct clients_line *out);
/* Does the connection belong to the process that locks with this token? */
bool clients_is_of(const struct clients_line *c, const char *token);

#endif
