/* told - see told.h. Called by ingest.c. */
#include "workers/ingest/told.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"
#include "common/base/str.h"

#define WHY_SIZE (MSG_QUEUE_MAX + MSG_TEXT_MAX + 4)

struct told {
    struct list link; /* ingest.told, or ingest.untold while nobody follows it */
    char id[ID_SIZE], queue[MSG_QUEUE_MAX];
    struct list parts;
    const struct link_send *by; /* who follows it */
};

void told_begin(struct ingest *g, struct batch *b, struct link_send *l)
{
    waiter_parts_stored(&b->parts);
    if (list_empty(&b->parts))
        return;
    struct told *t = xcalloc(1, sizeof *t);
    memcpy(t->id, b->lb.id, sizeof t->id);
    str_copy(t->queue, b->lb.queue, sizeof t->queue);
    list_insert_between(&t->parts, b->parts.prev, b->parts.next);
    list_init(&b->parts);
    t->by = l;
    list_push_back(&g->told, &t->link);
    if (g->told_by_id == NULL)
        g->told_by_id = map_new();
    map_put(g->told_by_id, t->id, strlen(t->id), t);
}

/* "destination crm answered 400: no such thing", or as the worker put it. */
static void put_why(const char *queue, const char *why, char dst[WHY_SIZE])
{
    char dest[MSG_QUEUE_MAX];
    str_copy(dest, queue, sizeof dest);
    dest[strcspn(dest, "#")] = '\0'; /* behind it stands the partition */
    snprintf(dst, WHY_SIZE, "%s: %s", dest, why[0] != '\0' ? why : "the destination does not take it");
}

void told_delivered(struct ingest *g, const struct msg_delivered *d)
{
    char why[WHY_SIZE] = "";
    struct told *t = g->told_by_id != NULL ? map_remove(g->told_by_id, d->id, strlen(d->id)) : NULL;
    if (t == NULL)
        return; /* two were asked, and the other was faster */
    list_remove(&t->link);
    if (d->outcome == MSG_OUTCOME_FAILED)
        put_why(t->queue, d->why, why);
    waiter_parts_delivered(&t->parts,
                           d->outcome == MSG_OUTCOME_DELIVERED ? WAITER_DONE
                           : d->outcome == MSG_OUTCOME_FAILED  ? WAITER_REJECTED
                                                               : WAITER_ACCEPTED,
                           why);
    free(t);
}

void told_refused(struct ingest *g, struct batch *b, const char *why)
{
    char text[WHY_SIZE];
    (void)g;
    put_why(b->lb.queue, why, text);
    waiter_parts_rejected(&b->parts, text);
}

void told_link_gone(struct ingest *g, const struct link_send *l)
{
    struct told *t;
    list_foreach(t, &g->told, struct told, link)
    {
        if (t->by != l)
            continue;
        list_remove(&t->link);
        list_push_back(&g->untold, &t->link);
    }
}

/* Any link to a worker that stays. */
static struct link_send *follower(const struct ingest *g)
{
    const struct link *l;
    list_foreach(l, &g->links.links, struct link, link)
    {
        if (link_send_open(l->send))
            return l->send;
    }
    return NULL;
}

void told_follow(struct ingest *g)
{
    struct link_send *l = follower(g);
    struct told *t;
    while (l != NULL && (t = list_first(&g->untold, struct told, link)) != NULL) {
        if (!link_send_follow(l, t->id, t->queue))
            return;
        list_remove(&t->link);
        t->by = l;
        list_push_back(&g->told, &t->link);
    }
}
