/* split - a batch that the destination rejects (400, 413) becomes two of half its events, in its place in the queue, until
 * the event that is bad stands alone: that one is failed. In Redis it is one step (common/queue/lua/split.lua).
 *
 * Only batches of dray's own form on dray's own queues: of the jobs of others the ids belong to their programs. A destination
 * that rejects everything (FLOW_REJECTS_ALL in a row) gets its batches whole.
 */
#include <stdlib.h>

#include "common/base/hook.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "workers/delivery/flow/flow_int.h"
#include "workers/delivery/flow/halves.h"

bool flow_divides(const struct job *j, const struct http_answer *a)
{
    const struct dest *t = j->lane->dest;
    char id[HALVES_ID_MAX];
    struct halves h;

    return (a->status == 413 || (a->status == 400 && !t->flow.rejects_all)) && a->error == HTTP_ERROR_NONE &&
           t->d->conf->delivery.split && !t->d->memory && j->lane->takeover == NULL &&
           j->payload.sdk == NULL && j->payload.n_events > 1 && halves_id(j->q.id, 1, id) != NULL &&
           halves_find(j->q.data, j->q.data_len, &h) == 0;
}

void flow_split(struct job *j, queue_done_fn done)
{
    char ids[2][HALVES_ID_MAX], *texts[2];
    struct queue_half halves[2];
    struct halves h;

    (void)halves_find(j->q.data, j->q.data_len, &h); /* it could */
    for (int i = 0; i < 2; i++) {
        texts[i] = xmalloc(j->q.data_len);
        halves[i] = (struct queue_half){.id = halves_id(j->q.id, i, ids[i]),
                                        .data = texts[i],
                                        .len = halves_write(j->q.data, j->q.data_len, &h, i, texts[i])};
    }
    log_info("batch_split", "queue=%s job=%s events=%zu", j->lane->name, log_q(j->q.id), h.events);
    if (lane_ordered(j->lane))
        order_forget_behind(j->lane);
    HOOK_SENT(split_sent);
    queue_split(j->lane->queue, &j->q, halves, done, j);
    free(texts[0]);
    free(texts[1]);
}
