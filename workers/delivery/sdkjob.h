/* sdkjob - the jobs that the SDKs of RudderStack and Hightouch keep in Redis, read and written. Pure.
 *
 *   3.x        {"version":3,"eventData":"JSON"}
 *   1.x, 2.x, Hightouch    {"eventData":"JavaScript literal"}: read as data, see jsliteral.h
 *   both ways  {"version":3,"eventData":"JSON"} with an empty array `callbacks` inside: workers of 2.x and 3.x do it
 * eventData holds request.auth.username (the write key), request.data (what is posted) and attempts (failures so far).
 * What 3.0.0 made of a batch when it tried again, {"type":"Buffer","data":[31,139,...]}, is the batch gzipped: unpacked.
 */
#ifndef DRAY_WORKERS_DELIVERY_SDKJOB_H
#define DRAY_WORKERS_DELIVERY_SDKJOB_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/buf.h"
#include "common/event/json.h"

#define SDKJOB_VERSION   3
#define SDKJOB_TEXT_MAX  (16u << 20) /* of eventData, of its JSON, of what comes out of a Buffer: each */
#define SDKJOB_KEY_MAX   256
#define SDKJOB_AGENT_MAX 128

struct sdkjob {
    char write_key[SDKJOB_KEY_MAX]; /* "" when there is none */
    char
        agent[SDKJOB_AGENT_MAX]; /* user-agent of the request; "" when there is none that a header can hold */
    uint64_t attempts;           /* that failed; 0 when it does not say */
    uint64_t timeout_ms;         /* 0: none */
    struct json_slice data;      /* the object that is posted */
    struct json_slice sent_at;   /* in it; text NULL: none */
    size_t n_events;             /* of its batch; 1 when it has none */
    size_t bytes;                /* memory that is held */
    struct buf text, json, plain; /* what the slices point into */
};

/* version: NULL when the job has none. event_data: a string. 0, or -1 and a sentence in why; sdkjob_fini either way. */
int sdkjob_read(struct sdkjob *s, const struct json_slice *version, const struct json_slice *event_data,
                char *why, size_t why_size);
void sdkjob_fini(struct sdkjob *s);

struct sdkjob_batch {
    const char *id;        /* of the job */
    const char *write_key; /* of its source */
    const char *batch;     /* JSON array */
    size_t batch_len;
    uint64_t wall_ms;
};

/* Appends the form for both ways. 0, or -1 (EMSGSIZE, ENOMEM) with out as it was. */
int sdkjob_write(struct buf *out, const struct sdkjob_batch *b);

#endif
