/* flow_int - what the files of flow/ share; nobody else includes it. */
#ifndef DRAY_WORKERS_DELIVERY_FLOW_FLOW_INT_H
#define DRAY_WORKERS_DELIVERY_FLOW_FLOW_INT_H

#include "workers/delivery/delivery.h"

#define FLOW_REJECTS_ALL 24 /* 400 in a row without a success: nothing is divided any more */

/* ---- rate.c: tokens, where a destination has a rate, of its configuration or learnt */
void rate_start(struct dest *t);
void rate_tune(struct dest *t);
void rate_refused(struct dest *t, uint64_t now_ms);
void rate_taken(struct dest *t, uint64_t now_ms);

#endif
