/* queue_who - who works on a queue, holds it, or stands by for it, as Redis has it. */
#ifndef DRAY_MASTER_CLI_QUEUE_WHO_H
#define DRAY_MASTER_CLI_QUEUE_WHO_H

#include <jansson.h>

#include "master/cli/queue_look.h"

/* What people call the owner of a token: "alpha delivery.0"; a Bull worker's token as it stands. JSON null for NULL. */
json_t *queue_who_name(struct queue_look *l, const char *token);
/* [{worker, token, address}]: the connections that wait for its jobs, by their names. A Bull worker is "bull", without a
 * token. */
json_t *queue_who_works(struct queue_look *l, const char *name);
/* Of an ordered queue: the token of who processes it (JSON null: nobody). */
json_t *queue_who_holds(struct queue_look *l, const char *name);
/* [{worker, token}]: who shares the partitions of this destination, or stands by for its queue. */
json_t *queue_who_stands_by(struct queue_look *l, const char *name);

#endif
