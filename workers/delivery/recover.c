/* recover - after a lost connection: jobs that a take moved and locked, and whose answer never came.
 *
 * They bear our token and nobody knows them. First the old connection is ended if Redis still holds it (what it had sent
 * could still run), then everything under our token that is not in hand is handed back. Until then nothing is taken.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/log.h"
#include "common/base/mem.h"
#include "workers/delivery/clients.h"
#include "workers/delivery/delivery.h"

static void on_released(enum queue_status s, uint64_t jobs, void *arg)
{
    struct dest *t = arg;

    t->recovering = false;
    if (s != QUEUE_OK)
        return; /* the next second, or the next connection */
    t->take_lost = false;
    if (jobs > 0)
        log_info("jobs_recovered", "queue=%s jobs=%" PRIu64, t->conf->id, jobs);
    claim_wake(t);
}

static void release_strays(struct dest *t)
{
    const char **ids = xcalloc(t->d->jobs + 1, sizeof(*ids));
    struct job *j;
    size_t n = 0;

    list_foreach(j, &t->jobs, struct job, link) ids[n++] = j->q.id;
    queue_release_strays(t->queue, ids, n, on_released, t);
    free(ids);
}

static void on_clients(enum redis_status status, const struct redisReply *reply, void *arg)
{
    struct delivery *d = arg;
    size_t len = 0;
    const char *text = status == REDIS_OK ? redis_reply_text(reply, &len) : NULL, *at = text;
    struct clients_line c;

    while (text != NULL && clients_next(&at, text + len, &c))
        if (c.name_len == strlen(d->client_name) && memcmp(c.name, d->client_name, c.name_len) == 0 &&
            (int64_t)c.id != redis_client_id(d->redis))
            redis_commandf(d->redis, NULL, NULL, "CLIENT KILL ID %" PRIu64, c.id);
    for (size_t i = 0; i < d->n_dests; i++) {
        struct dest *t = &d->dests[i];

        if (!t->recovering)
            continue;
        if (status == REDIS_OK || status == REDIS_ERROR)
            release_strays(t);
        else
            t->recovering = false;
    }
}

void recover_start(struct delivery *d)
{
    bool wanted = false;

    if (redis_state(d->redis) != REDIS_READY)
        return;
    for (size_t i = 0; i < d->n_dests; i++) {
        struct dest *t = &d->dests[i];

        if (t->take_lost && !t->recovering)
            wanted = t->recovering = true;
    }
    if (wanted)
        redis_commandf(d->redis, on_clients, d, "CLIENT LIST");
}
