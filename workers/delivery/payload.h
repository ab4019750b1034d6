/* payload - a job's data, written and read: the stored form of a batch, and the body that is posted. Pure.
 *
 * Stored by dray: {"dray":1,"source":"web","batch":[e1,e2]}; the field dray is the number of the form. With job_format:
 * rudder_sdk_v3 the form of sdkjob.h instead. Read are both, the jobs of the SDKs, any other JSON object with an array
 * `batch` (a Bull client's), which is delivered the same way; any other JSON is posted as it stands.
 */
#ifndef DRAY_WORKERS_DELIVERY_PAYLOAD_H
#define DRAY_WORKERS_DELIVERY_PAYLOAD_H

#include <stdbool.h>

#include "common/base/buf.h"
#include "common/base/clock.h"
#include "common/http/client.h"
#include "ipc/mpwalk.h"
#include "workers/delivery/sdkjob.h"

#define PAYLOAD_FORM       1
#define PAYLOAD_SOURCE_MAX 64
#define PAYLOAD_PIECES_MAX 4

struct payload_head {
    const char *source;
    const char *write_key; /* of the source: the SDK's form; NULL: dray's own */
    const char *id;        /* of the job; this and what follows only for the SDK's form */
    uint64_t wall_ms;
};

/* What the writer of a stored form knows of it, so that nobody need look for it again. */
struct payload_known {
    char source[PAYLOAD_SOURCE_MAX];
    size_t batch_at, batch_len; /* the array in the text; len 0: nothing is known */
    size_t n_events;
};

/* Appends the stored form of a batch. events: as in struct msg_batch. known may be NULL. 0, or -1
 * (EMSGSIZE, ENOMEM, EPROTO). */
int payload_write(struct buf *out, const struct payload_head *head, uint32_t n_events, struct mpwalk events,
                  struct payload_known *known);

struct payload {
    char source[PAYLOAD_SOURCE_MAX]; /* "" when the data names none */
    size_t n_events;                 /* 1 for what is not a batch */
    struct http_piece pieces[PAYLOAD_PIECES_MAX];
    size_t n_pieces, bytes;
    char tail[sizeof(",\"sentAt\":\"\"}") + CLOCK_TEXT_SIZE];
    struct json_slice events; /* the array in the data; text NULL: it is not a batch */
    struct sdkjob *sdk;       /* NULL: it is not a job of an SDK */
};

/* Makes the body out of data, without copying it unless it is an SDK's: p and data must stay where they are while the
 * pieces are used. 0, or -1 and a sentence in why; payload_fini either way. */
int payload_read(struct payload *p, const char *data, size_t len, uint64_t wall_ms, char *why,
                 size_t why_size);
/* The same for data that payload_write has made in this process; k->batch_len is not 0. */
void payload_recall(struct payload *p, const char *data, const struct payload_known *k, uint64_t wall_ms);
void payload_fini(struct payload *p);

#endif
