/* request - one POST of events, from its head to its answer or to its waiter. */
#ifndef DRAY_WORKERS_INGEST_REQUEST_H
#define DRAY_WORKERS_INGEST_REQUEST_H

#include "workers/ingest/endpoint.h"
#include "workers/ingest/ingest.h"

/* Answers r, or leaves it to a waiter. */
void request_handle(struct ingest *g, struct http_request *r, const struct endpoint *e);

#endif
