/* sink_book - what came to a sink: counts, the distinct events among them, and one JSON line a request.
 *
 * An event counts as taken when its request is answered 2xx; it is known by its messageId. An event that was taken
 * before is a duplicate. Requests that are refused, cut or never answered are counted apart. No I/O.
 */
#ifndef DRAY_MASTER_CLI_SINK_BOOK_H
#define DRAY_MASTER_CLI_SINK_BOOK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/buf.h"

#define SINK_BOOK_BODY_MAX (64u << 20) /* bytes of a body, before and after inflation */

struct sink_book;

struct sink_book_request { /* NULL text: was not there */
    uint64_t wall_ms;
    const char *path, *idempotency_key, *auth, *user_agent, *content_type;
    bool gzip;
    const char *body;
    size_t len;
    int status;          /* of the answer; 0: there will be none */
    const char *outcome; /* "answered", "failed", "hung", "cut" */
};

struct sink_book_counts {
    uint64_t requests, events, distinct, duplicates; /* events: taken */
    uint64_t failed, unanswered;                     /* requests */
    uint64_t malformed;                              /* bodies that are not JSON */
    uint64_t without_id;                             /* events taken that have no messageId */
    uint64_t bytes;                                  /* of bodies, inflated */
};

/* distinct: remember every messageId (24 bytes each). */
struct sink_book *sink_book_new(bool distinct);
void sink_book_free(struct sink_book *b); /* NULL is fine */
/* Counts the request; appends its line to record unless that is NULL. 0, or -1 with errno (the line did not fit: it is
 * counted all the same). */
int sink_book_note(struct sink_book *b, const struct sink_book_request *r, struct buf *record);
const struct sink_book_counts *sink_book_counts(const struct sink_book *b);
/* The counts as a JSON object. */
int sink_book_stats(const struct sink_book *b, struct buf *out);

#endif
