/* links - the live links to workers, and the choice among them.
 *
 * A batch goes to the link with the fewest bytes in flight, ties in turn. A suspect (a batch that was in hand at two
 * deaths) has a link to itself: it waits until the link is empty, and nothing else goes there until it is answered. */
#ifndef DRAY_WORKERS_INGEST_LINKS_H
#define DRAY_WORKERS_INGEST_LINKS_H

#include <stdbool.h>

#include "common/base/list.h"
#include "ipc/link_send.h"

struct link {
    struct list link;
    struct link_send *send;
    const struct link_batch *alone; /* the suspect that this link is kept for */
};

struct link_set {
    struct list links; /* the one used last stands last */
    size_t n;
};

void links_init(struct link_set *s);
struct link *links_add(struct link_set *s, struct link_send *send);
struct link *links_find(const struct link_set *s, const struct link_send *send);
void links_remove(struct link_set *s, struct link *l); /* send is the caller's */

/* Some link would take a batch now. */
bool links_room(const struct link_set *s);
/* Sends b if some link may take it now. */
bool links_put(struct link_set *s, struct link_batch *b);
/* The same for a suspect; when it must wait, a link is kept for it. */
bool links_put_alone(struct link_set *s, struct link_batch *b);
/* b is not in flight any more: a link kept for it is free. */
void links_forget(struct link_set *s, const struct link_batch *b);

#endif
