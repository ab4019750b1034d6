/* home - before a queue is worked on: do Redis and this configuration agree about how?
 *
 * Mode and number of partitions stand in Redis, written by the first who came. Who is configured otherwise would break
 * the order that the others keep, so it ends with exit 78 and says what to do. Asked on each connection: a Redis that was
 * emptied meanwhile learns them again.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "common/base/log.h"
#include "workers/delivery/delivery.h"

static enum queue_mode mode_of(const struct home *h)
{
    return h->mode == CONF_MODE_KEY      ? QUEUE_MODE_KEY
           : h->mode == CONF_MODE_STRICT ? QUEUE_MODE_STRICT
                                         : QUEUE_MODE_SHARED;
}

static void refuse(const struct home *h, const struct queue_protocol *found)
{
    char text[512];

    if (found->verdict == QUEUE_PROTOCOL_NEWER)
        snprintf(text, sizeof(text),
                 "its queue in Redis has format %" PRIu64
                 ", this version knows up to %d: run the newer dray here too",
                 found->format, QUEUE_PROTOCOL_FORMAT);
    else if (found->verdict == QUEUE_PROTOCOL_OCCUPIED)
        snprintf(text, sizeof(text),
                 "configured as key with %u partitions, but the undivided queue in Redis still holds %" PRIu64
                 " jobs: let them be delivered with ordering: none first",
                 h->n_lanes, found->jobs);
    else
        snprintf(text, sizeof(text),
                 "configured as %s with %u partitions, but Redis says %s with %" PRIu64
                 ": configure it alike on all hosts, or drain it and run dray queue repartition %s",
                 conf_mode_name(h->mode), h->n_lanes, found->mode, found->partitions, h->name);
    log_crit("queue_protocol", "queue=%s why=%s", h->name, log_q(text));
    child_exit(h->d->child, EXIT_CODE_CONFIG);
}

static void on_checked(enum queue_status s, const char *why, const struct queue_protocol *found, void *arg)
{
    struct home *h = arg;
    struct delivery *d = h->d;

    h->asking = false;
    if ((s == QUEUE_BROKEN || s == QUEUE_REFUSED) && !h->refused_said)
        log_error("queue_protocol", "queue=%s why=%s remedy=%s", h->name, log_q(why),
                  log_q("nothing is stored or delivered before Redis lets its keys be used"));
    h->refused_said |= s == QUEUE_BROKEN || s == QUEUE_REFUSED;
    if (s != QUEUE_OK)
        return; /* the next second asks again */
    h->refused_said = false;
    if (found->verdict != QUEUE_PROTOCOL_AGREES) {
        refuse(h, found);
        return;
    }
    d->n_agreed += !h->agreed;
    h->agreed = true;
    if (!home_agreed(d))
        return;
    delivery_ready(d);
    share_second(d);
    intake_pump(d);
    for (size_t i = 0; i < d->n_lanes; i++)
        claim_wake(&d->lanes[i]);
}

void home_check(struct delivery *d)
{
    if (d->n_homes == 0 || d->memory)
        delivery_ready(d);
    if (d->memory) { /* nobody else has a say in it */
        d->n_agreed = d->n_homes;
        return;
    }
    for (size_t i = 0; i < d->n_homes; i++) {
        struct home *h = &d->homes[i];

        if (h->asking || redis_state(d->redis) != REDIS_READY)
            continue;
        h->asking = true;
        queue_protocol_check(home_queue(h), mode_of(h), h->n_lanes, on_checked, h);
    }
}

void home_pause(struct delivery *d, const char *queue, bool paused)
{
    for (size_t i = 0; i < d->n_homes; i++) {
        struct home *h = &d->homes[i];

        if (strcmp(h->name, queue) != 0 || h->paused == paused)
            continue;
        log_info(paused ? "queue_paused" : "queue_resumed", "queue=%s", h->name);
        h->paused = paused;
        if (paused && h->mode != CONF_MODE_SHARED)
            share_pause(h);
        for (unsigned k = 0; !paused && k < h->n_lanes; k++)
            claim_wake(&h->lanes[k]);
    }
    share_second(d);
}

bool home_agreed(const struct delivery *d)
{
    return d->n_agreed == d->n_homes;
}
