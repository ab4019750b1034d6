/* links - see links.h. */
#include "workers/ingest/links.h"

#include <stdlib.h>

#include "common/base/mem.h"

void links_init(struct link_set *s)
{
    list_init(&s->links);
    s->n = 0;
}

struct link *links_add(struct link_set *s, struct link_send *send)
{
    struct link *l = xcalloc(1, sizeof *l);
    l->send = send;
    list_push_back(&s->links, &l->link);
    s->n++;
    return l;
}

struct link *links_find(const struct link_set *s, const struct link_send *send)
{
    struct link *l;
    list_foreach(l, &s->links, struct link, link)
    {
        if (l->send == send)
            return l;
    }
    return NULL;
}

void links_remove(struct link_set *s, struct link *l)
{
    list_remove(&l->link);
    s->n--;
    free(l);
}

bool links_room(const struct link_set *s)
{
    const struct link *l;
    list_foreach(l, &s->links, struct link, link)
    {
        if (l->alone == NULL && link_send_may(l->send, 1))
            return true;
    }
    return false;
}

static void use(struct link_set *s, struct link *l, struct link_batch *b)
{
    list_remove(&l->link); /* ties go to the others first */
    list_push_back(&s->links, &l->link);
    link_send_put(l->send, b);
}

bool links_put(struct link_set *s, struct link_batch *b)
{
    struct link *l, *best = NULL;
    list_foreach(l, &s->links, struct link, link)
    {
        if (l->alone == NULL && link_send_may(l->send, b->body.len) &&
            (best == NULL || link_send_bytes_in_flight(l->send) < link_send_bytes_in_flight(best->send)))
            best = l;
    }
    if (best == NULL)
        return false;
    use(s, best, b);
    return true;
}

static struct link *keep(const struct link_set *s, const struct link_batch *b)
{
    struct link *l, *best = NULL;
    list_foreach(l, &s->links, struct link, link)
    {
        if (l->alone == b && link_send_open(l->send))
            return l;
        if (l->alone == b) /* its worker leaves, or takes nothing for now: there may be a better one */
            l->alone = NULL;
    }
    list_foreach(l, &s->links, struct link, link)
    {
        if (l->alone == NULL && link_send_open(l->send) &&
            (best == NULL || link_send_in_flight(l->send) < link_send_in_flight(best->send)))
            best = l;
    }
    if (best != NULL)
        best->alone = b;
    return best;
}

bool links_put_alone(struct link_set *s, struct link_batch *b)
{
    struct link *l = keep(s, b);
    if (l == NULL || link_send_in_flight(l->send) > 0 || !link_send_may(l->send, b->body.len))
        return false;
    use(s, l, b);
    return true;
}

void links_forget(struct link_set *s, const struct link_batch *b)
{
    struct link *l;
    list_foreach(l, &s->links, struct link, link)
    {
        if (l->alone == b)
            l->alone = NULL;
    }
}
