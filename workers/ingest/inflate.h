/* inflate - gzip bodies to text, within a cap and within the memory budget. */
#ifndef DRAY_WORKERS_INGEST_INFLATE_H
#define DRAY_WORKERS_INGEST_INFLATE_H

#include <stddef.h>

#include "common/http/server.h"

enum inflate_result {
    INFLATE_OK,
    INFLATE_BROKEN,  /* not gzip, cut, or wrong check sum */
    INFLATE_TOO_BIG, /* more than max bytes come out */
    INFLATE_NO_ROOM, /* the budget or the machine has no memory for it now */
};

struct inflate;

/* budget is charged with what this holds. */
struct inflate *inflate_new(size_t max, struct http_budget *budget);
void inflate_set_max(struct inflate *z, size_t max);
void inflate_free(struct inflate *z);
/* One or several gzip members. *out belongs to z and is valid until the next call or inflate_done. */
enum inflate_result inflate_gzip(struct inflate *z, const void *in, size_t in_len, const char **out,
                                 size_t *out_len);
/* The text is no longer needed: a big buffer is given back. */
void inflate_done(struct inflate *z);

#endif
