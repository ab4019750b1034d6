/* gate - see gate.h. */
#include "workers/ingest/gate.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/fatal.h"
#include "common/base/mem.h"
#include "common/base/str.h"
#include "workers/ingest/batch.h"

#define COMPANY_PART 4     /* of the time that a round took, at most */
#define COMPANY_MAX  0.005 /* seconds */

void gate_init(struct gate *g, const char *queue, struct gate_step *step)
{
    *g = (struct gate){.step = step};
    str_copy(g->queue, queue, sizeof g->queue);
    list_init(&g->line);
    list_init(&g->lanes);
}

void gate_fini(struct gate *g)
{
    struct batch_lane *lane;
    ASSERT(list_empty(&g->line) && g->out == NULL);
    list_foreach(lane, &g->lanes, struct batch_lane, link)
    {
        free(lane);
    }
}

struct batch_lane *gate_lane(struct gate *g, const char *source)
{
    struct batch_lane *lane;
    list_foreach(lane, &g->lanes, struct batch_lane, link)
    {
        if (lane->source != source)
            continue;
        if (g->lanes.next != &lane->link) { /* an event rarely comes alone */
            list_remove(&lane->link);
            list_push_front(&g->lanes, &lane->link);
        }
        return lane;
    }
    lane = mem_try(sizeof *lane);
    if (lane == NULL)
        return NULL;
    *lane = (struct batch_lane){.source = source, .queue = g->queue, .gate = g};
    list_push_front(&g->lanes, &lane->link);
    return lane;
}

void gate_lane_done(struct batch_lane *lane)
{
    list_remove(&lane->link);
    free(lane);
}

void gate_join(struct gate *g, struct gate_place *p)
{
    p->closed = p->due = false;
    list_push_back(&g->line, &p->link);
}

void gate_close(struct gate *g, struct gate_place *p, size_t events)
{
    g->step->waiting -= events;
    p->closed = true;
    g->n_closed++;
}

struct gate_place *gate_next(const struct gate *g)
{
    struct gate_place *first = list_first(&g->line, struct gate_place, link);
    if (g->out != NULL || first == NULL)
        return NULL;
    /* Closed ones behind an open one wait for it: no company is worth that. */
    return g->n_closed > 0 || first->due ? first : NULL;
}

void gate_go(struct gate *g, struct gate_place *p, size_t events, double now)
{
    struct gate_step *s = g->step;
    ASSERT(gate_first(g, p) && p->closed);
    list_remove(&p->link);
    g->n_closed--;
    g->out = p;
    if (s->out++ == 0) {
        s->began = now;
        s->gone = 0;
    }
    s->gone += events;
}

double gate_company(const struct gate_step *s)
{
    double wait = (s->over - s->began) / COMPANY_PART;
    if (s->waiting >= s->due)
        return 0.;
    return s->over + (wait < COMPANY_MAX ? wait : COMPANY_MAX);
}

void gate_leave(struct gate *g, struct gate_place *p, double now)
{
    if (g->out == p) {
        struct gate_step *s = g->step;
        g->out = NULL;
        if (--s->out == 0) {
            s->over = now;
            s->due = s->gone + s->waiting;
        }
    }
    if (!list_linked(&p->link))
        return;
    list_remove(&p->link);
    g->n_closed -= p->closed;
}

bool gate_first(const struct gate *g, const struct gate_place *p)
{
    return g->out == NULL && g->line.next == &p->link;
}
