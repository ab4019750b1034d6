/* pressure - how full Redis and its queues are: told to the senders of batches, who send requests away where it is too much.
 *
 * Slot 0 of each host looks. What it holds the ticks of it knows already; of the other queues it asks, each two seconds; the
 * memory each two seconds, each second where more than half is used. It says what is over half of where intake would stop, when that has
 * changed, at most once a second, and each five seconds as long as there is something, so that who hears nothing knows that
 * nobody is looking.
 */
#include <stdlib.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/base/str.h"
#include "ipc/link_recv.h"
#include "workers/delivery/delivery.h"

#define ASK_MS   2000
#define AGAIN_MS 5000
#define KNOWN_MS 6000 /* an answer is good for so long */

struct asked { /* of one lane */
    struct delivery *d;
    uint64_t at_ms, jobs;
    bool asking;
};

struct pressure {
    struct asked *lanes;
    bool asking_memory;
    uint64_t memory_asked_ms, counted_ms, said_ms;
    uint32_t memory;
    struct msg_pressure said;
};

static struct pressure *pressure_of(struct delivery *d)
{
    if (d->pressure == NULL) {
        d->pressure = xcalloc(1, sizeof *d->pressure);
        d->pressure->lanes = xcalloc(d->n_lanes + 1, sizeof *d->pressure->lanes);
        for (size_t i = 0; i < d->n_lanes; i++)
            d->pressure->lanes[i].d = d;
    }
    return d->pressure;
}

static void on_memory(bool known, uint64_t used, uint64_t max, void *arg)
{
    struct pressure *p = arg;

    p->asking_memory = false;
    if (known)
        p->memory = max == 0 ? 0 : (uint32_t)(used >= max ? 1000 : (double)used * 1000. / (double)max);
}

static void ask_memory(struct delivery *d, struct pressure *p, uint64_t now_ms)
{
    uint64_t pause = p->memory > 500 ? ASK_MS / 2 : ASK_MS;

    if (child_config(d->child)->ingest.backpressure_redis_memory <= 0)
        p->memory = 0;
    else if (!p->asking_memory && now_ms - p->memory_asked_ms + 100 >= pause) {
        p->asking_memory = true;
        p->memory_asked_ms = now_ms;
        redis_ask_memory(d->redis, on_memory, p);
    }
}

static uint64_t jobs_in(const struct queue_counts *c)
{
    return c->wait + c->paused + c->delayed;
}

static void on_count(enum queue_status s, const struct queue_counts *c, void *arg)
{
    struct asked *a = arg;

    a->asking = false;
    if (s != QUEUE_OK)
        return;
    a->at_ms = clock_mono_ms();
    a->jobs = jobs_in(c);
}

static void ask_counts(struct delivery *d, struct pressure *p, uint64_t now_ms)
{
    if (now_ms - p->counted_ms + 100 < ASK_MS)
        return;
    p->counted_ms = now_ms;
    for (size_t i = 0; i < d->n_lanes; i++) {
        struct lane *l = &d->lanes[i];
        struct asked *a = &p->lanes[i];

        if (l->takeover != NULL || l->counted_ms != 0 || a->asking)
            continue;
        a->asking = true;
        queue_count(l->queue, on_count, a);
    }
}

static uint64_t jobs_of(const struct delivery *d, const struct pressure *p, const struct dest *t,
                        uint64_t now_ms)
{
    uint64_t sum = 0;

    for (size_t i = 0; i < d->n_lanes; i++) {
        const struct lane *l = &d->lanes[i];
        const struct asked *a = &p->lanes[i];

        if (l->dest != t || l->takeover != NULL)
            continue;
        if (l->counted_ms != 0)
            sum += jobs_in(&l->counts);
        else if (a->at_ms != 0 && now_ms - a->at_ms < KNOWN_MS)
            sum += a->jobs;
    }
    return sum;
}

/* Among the deepest. */
static void put(struct msg_pressure *m, const char *name, uint64_t jobs)
{
    uint32_t at = m->n_queues;

    if (at == MSG_PRESSURE_MAX) {
        at = 0;
        for (uint32_t i = 1; i < MSG_PRESSURE_MAX; i++)
            if (m->queues[i].jobs < m->queues[at].jobs)
                at = i;
        if (m->queues[at].jobs >= jobs)
            return;
    } else {
        m->n_queues++;
    }
    str_copy(m->queues[at].name, name, sizeof m->queues[at].name);
    m->queues[at].jobs = jobs;
}

static bool same(const struct msg_pressure *a, const struct msg_pressure *b)
{
    if (a->memory != b->memory || a->n_queues != b->n_queues)
        return false;
    for (uint32_t i = 0; i < a->n_queues; i++)
        if (a->queues[i].jobs != b->queues[i].jobs || strcmp(a->queues[i].name, b->queues[i].name) != 0)
            return false;
    return true;
}

void pressure_second(struct delivery *d)
{
    const struct conf_ingest *c = &child_config(d->child)->ingest;
    uint64_t now_ms = clock_mono_ms();
    struct msg_pressure m = {0};

    if (child_slot(d->child) != 0 || d->draining || list_empty(&d->links) ||
        redis_state(d->redis) != REDIS_READY)
        return;
    struct pressure *p = pressure_of(d);

    ask_memory(d, p, now_ms);
    if (p->memory >= (uint32_t)(c->backpressure_redis_memory * 500.))
        m.memory = p->memory;
    if (c->backpressure_queue_depth > 0) {
        ask_counts(d, p, now_ms);
        for (size_t i = 0; i < d->n_dests; i++) {
            uint64_t jobs = jobs_of(d, p, &d->dests[i], now_ms);

            if (jobs >= c->backpressure_queue_depth / 2 + 1)
                put(&m, d->dests[i].conf->id, jobs);
        }
    }
    bool nothing = m.memory == 0 && m.n_queues == 0;

    if (same(&m, &p->said) && (nothing || now_ms - p->said_ms < AGAIN_MS))
        return;
    p->said = m;
    p->said_ms = now_ms;
    intake_pressure(d, &m);
}

void pressure_link(struct delivery *d, struct link_recv *l)
{
    const struct pressure *p = d->pressure;

    if (p != NULL && (p->said.memory > 0 || p->said.n_queues > 0))
        link_recv_pressure(l, &p->said);
}
