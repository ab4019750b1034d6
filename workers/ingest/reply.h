/* reply - the answers to senders, in the form that `ingest.compat` asks for. */
#ifndef DRAY_WORKERS_INGEST_REPLY_H
#define DRAY_WORKERS_INGEST_REPLY_H

#include "workers/ingest/endpoint.h"
#include "workers/ingest/ingest.h"

/* Why a request is sent away with Retry-After: 503, or 429 where others than this process are too slow for what comes. */
enum reply_busy {
    REPLY_BUSY_EVENTS, /* max_internal_queue_size */
    REPLY_BUSY_MEMORY,
    REPLY_BUSY_TIMEOUT,   /* not known to be stored within ack_timeout */
    REPLY_BUSY_NO_WORKER, /* the queue is full because there is no worker */
    REPLY_BUSY_QUARANTINE,
    REPLY_BUSY_SPOOL_FULL, /* neither Redis nor the spool takes anything */
    REPLY_BUSY_DRAINING,
    REPLY_BUSY_NO_DESTINATION,
    REPLY_BUSY_REQUESTS, /* limits.requests; and those below: ingest.backpressure */
    REPLY_BUSY_QUEUE_DEPTH,
    REPLY_BUSY_REDIS_MEMORY,
    REPLY_BUSY_SPOOL,
};

/* 2xx. quarantined events and the fault of the first are told when there are any. */
void reply_ok(struct ingest *g, struct http_request *r, struct source *s, uint32_t accepted,
              uint32_t quarantined, enum event_fault fault);
/* 202: everything is stored or set aside, and not known to be delivered. */
void reply_accepted(struct ingest *g, struct http_request *r, struct source *s, uint32_t accepted);
/* 502: a destination has refused it for good; it stands among the failed. why: any text. */
void reply_rejected(struct ingest *g, struct http_request *r, struct source *s, const char *why);
void reply_error(struct ingest *g, struct http_request *r, struct source *s, int status, const char *text);
void reply_not_allowed(struct ingest *g, struct http_request *r, const char *allow);
/* 429: over sources.rate_limit. */
void reply_rate(struct ingest *g, struct http_request *r, struct source *s, unsigned retry_after_s);
/* OPTIONS: what the path takes; of a preflight, whether this page may (the key, if it is in the query, says of which source;
 * else any). */
void reply_options(struct ingest *g, struct http_request *r, const struct endpoint *e);
void reply_busy(struct ingest *g, struct http_request *r, struct source *s, enum reply_busy why);
/* GET /health. */
void reply_health(struct ingest *g, struct http_request *r);

#endif
