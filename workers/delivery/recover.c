/* recover - after a lost connection: jobs that a take moved and locked, and whose answer never came.
 *
 * They bear our token and nobody knows them. The connection layer has ended the old connection before it says READY, so
 * nothing sent there can still run; everything under our token that is not in hand is handed back. Until then nothing is
 * taken.
 */
#include <inttypes.h>
#include <stdlib.h>

#include "common/base/hook.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "workers/delivery/delivery.h"

static void on_released(enum queue_status s, uint64_t jobs, void *arg)
{
    struct lane *l = arg;

    l->recovering = false;
    if (s != QUEUE_OK)
        return; /* the next second, or the next connection */
    l->take_lost = false;
    HOOK_POINT(recovered);
    if (jobs > 0)
        log_info("jobs_recovered", "queue=%s jobs=%" PRIu64, l->name, jobs);
    claim_wake(l);
}

static void release_strays(struct lane *l)
{
    const char **ids = xcalloc(l->dest->d->jobs + 1, sizeof(*ids));
    struct job *j;
    size_t n = 0;

    list_foreach(j, &l->jobs, struct job, link) ids[n++] = j->q.id;
    l->recovering = true;
    queue_release_strays(l->queue, ids, n, on_released, l);
    free(ids);
}

void recover_start(struct delivery *d)
{
    if (redis_state(d->redis) != REDIS_READY)
        return;
    for (size_t i = 0; i < d->n_lanes; i++)
        if (d->lanes[i].take_lost && !d->lanes[i].recovering)
            release_strays(&d->lanes[i]);
}
