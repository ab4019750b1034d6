/* halves - the stored text of a batch as two of half its events. Pure. */
#ifndef DRAY_WORKERS_DELIVERY_FLOW_HALVES_H
#define DRAY_WORKERS_DELIVERY_FLOW_HALVES_H

#include <stddef.h>

#define HALVES_ID_MAX 160

struct halves {                /* of the text: [0, head) begin, then the events, then [tail, len) */
    size_t head, middle, tail; /* middle: the comma between the halves */
    size_t events, first;      /* all, and of them in the first half */
};

/* Only dray's own form is divided. 0, or -1: it is another program's, or has one event, or none. */
int halves_find(const char *data, size_t len, struct halves *out);
/* Writes one of them; dst has room for len bytes. Returns its length. */
size_t halves_write(const char *data, size_t len, const struct halves *h, int second, char *dst);
/* The id of a half: "b5x.0", "b5x.0.1", ... Returns NULL when it would be too long. */
char *halves_id(const char *id, int second, char dst[HALVES_ID_MAX]);

#endif
