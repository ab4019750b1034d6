/* ingest - the HTTP intake process: what its parts share. The parts that know nothing of each other (batch, ready,
 * links, waiter, body, inflate, auth, source) do not include this. */
#ifndef DRAY_WORKERS_INGEST_INGEST_H
#define DRAY_WORKERS_INGEST_INGEST_H

#include <ev.h>

#include "common/base/map.h"
#include "common/conf/conf.h"
#include "common/http/server.h"
#include "common/quarantine/quarantine.h"
#include "workers/child.h"
#include "workers/ingest/batch.h"
#include "workers/ingest/body.h"
#include "workers/ingest/inflate.h"
#include "workers/ingest/links.h"
#include "workers/ingest/proxies.h"
#include "workers/ingest/ready.h"
#include "workers/ingest/routing.h"
#include "workers/ingest/seen.h"
#include "workers/ingest/source.h"
#include "workers/ingest/spooling.h"
#include "workers/ingest/waiter.h"

struct outlet;

struct ingest {
    struct child *child;
    struct ev_loop *loop;
    const struct conf *conf;

    struct http_budget budget; /* ingest.memory: connections, bodies, inflation, batches */
    struct http_server *server;
    struct http_tls **tls; /* of each listener, until they listen */
    struct pressure *pressure;
    struct source_table *sources;
    struct proxies proxies; /* ingest.trusted_proxies */
    struct buf pixel;       /* the event of the image that is being asked for */
    struct outlet *outlets; /* one a destination */
    struct routing routing; /* who gets what; table NULL: everybody everything */
    struct inflate *inflate;
    struct body body; /* of the request that is being read: a request is taken within one call */
    struct batch_set batches;
    struct seen seen;
    struct waiter_set waiters;
    struct ready ready;
    struct link_set links; /* to delivery processes */
    struct spooling spooling;
    struct quarantine *quarantine; /* NULL: could not be opened */
    struct list flushes;           /* flush.c */
    size_t n_flushes;
    struct list aside; /* batches whose way into the quarantine failed: tried again each beat */

    struct list told, untold; /* told.c */
    struct map *told_by_id;

    ev_prepare turn;   /* the end of each turn of the loop */
    ev_timer patience; /* how long reading stands still before requests are sent away */
    ev_timer drain;
    struct list gone_links;
    double last_progress; /* when a batch was last stored or a link last took one (loop time) */
    double drain_deadline, drain_idle_since, drain_idle_until;
    bool listening, paused, shedding, draining, closing_idle, ended;
    bool health_known, healthy;
    struct source *answering; /* whose request is being answered */
    struct {
        struct metric *stored, *duplicate, *returned, *refused, *quarantined, *unremembered;
    } counts;
};

/* A batch needs no place in this process any more: its requests have their part. */
void ingest_batch_done(struct ingest *g, struct batch *b);
/* The link is gone: it is freed once its callbacks are over. */
void ingest_bury(struct ingest *g, struct link_send *send);
/* The quarantine, opened if it was not; NULL (errno) when it cannot be. */
struct quarantine *ingest_quarantine(struct ingest *g);
void ingest_count_quarantined(struct ingest *g, const char *reason);

#endif
