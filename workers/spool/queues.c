/* queues - of which queues batches are here, and who knows it.
 *
 * An ordered queue that gets its first batch is held: every other ingest process is told, and that batch is answered
 * only when all of them have confirmed that they send later ones here too; else one could overtake it. The sender itself
 * knows. When the last one is gone all are told. A queue that the configuration does not know counts as ordered.
 */
#include <string.h>

#include "common/base/mem.h"
#include "common/base/str.h"
#include "workers/spool/spool.h"

#define QUEUES_MAX (1u << 20)

static bool is_ordered(const struct conf *c, const char *name)
{
    size_t len = strcspn(name, "#");
    for (size_t i = 0; i < c->n_destinations; i++) {
        const struct conf_destination *d = &c->destinations[i];
        if (strlen(d->id) == len && memcmp(d->id, name, len) == 0)
            return conf_destination_mode(c, d) != CONF_MODE_SHARED;
    }
    return true;
}

struct spool_queue *queues_find(struct spool *s, const char *name)
{
    struct spool_queue *q = map_get(s->by_name, name, strlen(name));
    if (q != NULL || s->n_queues == QUEUES_MAX)
        return q;
    q = xcalloc(1, sizeof *q);
    str_copy(q->name, name, sizeof q->name);
    q->tag = (uint32_t)s->n_queues;
    q->ordered = is_ordered(s->conf, name);
    list_init(&q->puts);
    s->queues = xrealloc(s->queues, (s->n_queues + 1) * sizeof(struct spool_queue *));
    s->queues[s->n_queues++] = q;
    map_put(s->by_name, name, strlen(name), q);
    return q;
}

void queues_tune(struct spool *s)
{
    for (size_t i = 0; i < s->n_queues; i++)
        if (s->queues[i]->n == 0)
            s->queues[i]->ordered = is_ordered(s->conf, s->queues[i]->name);
}

void queues_add(struct spool *s, struct spool_queue *q, const struct inlet *from)
{
    struct inlet *l;
    if (q->n++ > 0 || !q->ordered)
        return;
    q->number = ++s->last_number;
    q->unheeded = 0;
    list_foreach(l, &s->inlets, struct inlet, link)
    {
        if (l == from || !l->listed || l->ended)
            continue;
        link_recv_hold(l->recv, q->name, true, q->number);
        q->unheeded |= l->bit;
    }
}

void queues_remove(struct spool *s, struct spool_queue *q)
{
    struct inlet *l;
    if (--q->n > 0 || !q->ordered)
        return;
    q->unheeded = 0;
    list_foreach(l, &s->inlets, struct inlet, link) if (l->listed)
        link_recv_hold(l->recv, q->name, false, q->number);
}

void queues_list(struct spool *s, struct inlet *l)
{
    for (size_t i = 0; i < s->n_queues; i++)
        if (s->queues[i]->n > 0 && s->queues[i]->ordered)
            link_recv_hold(l->recv, s->queues[i]->name, true, s->queues[i]->number);
    l->listed = true;
}

static void heeded(struct spool *s, struct spool_queue *q, uint64_t bit)
{
    if ((q->unheeded & bit) == 0)
        return;
    q->unheeded &= ~bit;
    if (q->unheeded == 0)
        inlet_answer(s, q);
}

void queues_heeded(struct spool *s, struct inlet *l, const char *name, uint32_t number)
{
    struct spool_queue *q = map_get(s->by_name, name, strlen(name));
    if (q != NULL && q->number == number)
        heeded(s, q, l->bit);
}

void queues_forget(struct spool *s, const struct inlet *l)
{
    for (size_t i = 0; i < s->n_queues; i++)
        heeded(s, s->queues[i], l->bit);
}
