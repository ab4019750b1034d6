/* pressure - what fills up: the queues of destinations and Redis' memory, as workers tell, the spool, the requests and the events that
 * are here. Over its high water each sends requests away, with the time after which to come again, until it has fallen to
 * its low water; each with a reason of its own in the metrics, the log and the state that people see.
 */
#ifndef DRAY_WORKERS_INGEST_PRESSURE_H
#define DRAY_WORKERS_INGEST_PRESSURE_H

#include "workers/ingest/gauge.h"
#include "workers/ingest/ingest.h"
#include "workers/ingest/reply.h"

void pressure_start(struct ingest *g);
/* A worker's word (link_send_events.pressure). */
void pressure_told(struct link_send *l, const struct msg_pressure *m, void *arg);
/* Each second. */
void pressure_beat(struct ingest *g);
/* Is a request to be sent away, wherever its events go? Asked before it is looked at. */
bool pressure_refuses(struct ingest *g, enum reply_busy *why);
/* May the events here become so many more? */
bool pressure_has_room(struct ingest *g, size_t more);
/* Is the queue of this destination too deep? */
bool pressure_is_deep(struct ingest *g, size_t destination);
/* Seconds after which who is sent away for this may come again; 0: this is not one of ours. */
unsigned pressure_retry_after(const struct ingest *g, enum reply_busy why);
/* Is Redis or the spool too full for anything? */
bool pressure_is_general(const struct ingest *g);

#endif
