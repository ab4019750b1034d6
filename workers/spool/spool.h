/* spool - store-and-forward on disk while Redis is away: what the files of the spool process share.
 *
 * A batch comes by a link of ingest (inlet.c), is appended to the store and answered once it is synced; a link to each
 * delivery process takes it out again, oldest first (forward.c). While something of an ordered queue is here, all ingest
 * processes send its newer batches here too (queues.c): HOLD tells them, HELD confirms it.
 */
#ifndef DRAY_WORKERS_SPOOL_SPOOL_H
#define DRAY_WORKERS_SPOOL_SPOOL_H

#include <ev.h>

#include "common/base/list.h"
#include "common/base/map.h"
#include "common/conf/conf.h"
#include "common/quarantine/quarantine.h"
#include "ipc/link_recv.h"
#include "ipc/link_send.h"
#include "workers/child.h"
#include "workers/spool/store.h"

struct spool_queue {
    char name[MSG_QUEUE_MAX];
    uint32_t tag;
    bool ordered;
    size_t n;          /* batches here, on disk or on their way to it */
    uint32_t number;   /* of the HOLD in force */
    uint64_t unheeded; /* links that have not confirmed it, one bit each */
    struct list puts;  /* synced, to be answered when that is 0 */
    unsigned pass;     /* forward.c: an older one is not stored yet */
};

struct inlet { /* a link from an ingest process */
    struct list link;
    struct spool *s;
    struct link_recv *recv;
    uint64_t bit;
    struct list puts;
    bool listed, ended;
};

struct outlet { /* a link to a delivery process */
    struct list link;
    struct link_send *send;
    const struct item *alone;
    bool gone;
};

struct spool {
    struct child *child;
    struct ev_loop *loop;
    const struct conf *conf;
    struct store *store; /* NULL: not usable yet */
    bool listed;         /* all files of earlier runs are read */
    bool locked; /* the folder is a predecessor's */
    bool full, draining, ended;
    char unusable[256];
    ev_idle scan;
    ev_timer second, end;
    ev_prepare turn;

    struct map *by_name;
    struct spool_queue **queues; /* by tag */
    size_t n_queues;
    uint32_t last_number;

    struct list inlets;
    uint64_t bits; /* in use */
    size_t n_puts;

    struct list outlets, items; /* items: read back, oldest first */
    size_t n_items, item_bytes;
    unsigned pass;
    bool redis_full; /* as a delivery process has told last */
    double paused_until;
    ev_timer resume;
    bool store_failed; /* the last read: again in a second */
    struct buf record;
    struct quarantine *quarantine;
    uint64_t oldest_ms; /* wall clock: when the oldest item was put */

    struct list wishes; /* flush */
    struct {
        struct metric *taken, *forwarded, *duplicate, *refused, *aside, *damaged, *torn, *bytes, *batches, *fill,
            *oldest;
    } m;
};

/* ---- queues.c */
struct spool_queue *queues_find(struct spool *s, const char *name); /* made when there is none; NULL: too many */
void queues_tune(struct spool *s);                                  /* from the configuration */
/* A batch more; from: of whose link it came (NULL: found on disk). */
void queues_add(struct spool *s, struct spool_queue *q, const struct inlet *from);
void queues_remove(struct spool *s, struct spool_queue *q);
/* A new sender is told of all. */
void queues_list(struct spool *s, struct inlet *l);
void queues_heeded(struct spool *s, struct inlet *l, const char *name, uint32_t number);
void queues_forget(struct spool *s, const struct inlet *l);

/* ---- inlet.c */
void inlet_link(struct spool *s, int batch_fd, int ack_fd);
void inlet_list(struct spool *s); /* the store is usable: senders are told what is here */
void inlet_look(struct spool *s); /* credit, fill */
void inlet_answer(struct spool *s, struct spool_queue *q);
void inlet_leave(struct spool *s);
bool inlet_done(const struct spool *s);

/* ---- forward.c */
void forward_link(struct spool *s, const struct msg_link *m, int batch_fd, int ack_fd);
void forward_pump(struct spool *s);
void forward_second(struct spool *s);
void forward_end(struct spool *s); /* sends nothing more */
size_t forward_in_flight(const struct spool *s);
void forward_held(const struct spool *s);

/* ---- spool.c */
/* A record is done: it counts in its queue no more, wishes may be fulfilled. */
void spool_gone(struct spool *s, struct store_place p, uint32_t tag);

#endif
