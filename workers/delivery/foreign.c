/* foreign - warns of Bull workers on a queue that is processed in order: they take jobs without asking for the lease, and
 * then no order holds. Whoever holds a lease looks at the connections' names every half minute.
 */
#include <string.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "workers/delivery/clients.h"
#include "workers/delivery/delivery.h"

#define EVERY_MS 30000

/* Connections of workers on this queue that are none of dray's. */
static unsigned count(const struct lane *l, const char *text, size_t len)
{
    char name[768];
    const char *at = text, *mark;
    struct clients_line c;
    unsigned n = 0;
    size_t own;

    queue_client_name(&l->options, name, sizeof(name));
    mark = strstr(name, CLIENTS_MARK);
    own = mark != NULL ? (size_t)(mark - name) : strlen(name);
    while (clients_next(&at, text + len, &c))
        n += c.name_len >= own && memcmp(c.name, name, own) == 0 &&
             (c.name_len < own + 3 || memcmp(c.name + own, CLIENTS_MARK, 3) != 0);
    return n;
}

static void on_clients(enum redis_status status, const struct redisReply *reply, void *arg)
{
    const struct delivery *d = arg;
    size_t len = 0;
    const char *text = status == REDIS_OK ? redis_reply_text(reply, &len) : NULL;

    for (size_t i = 0; text != NULL && i < d->n_lanes; i++) {
        unsigned n = d->lanes[i].order.held ? count(&d->lanes[i], text, len) : 0;

        if (n > 0)
            log_warn("foreign_workers", "queue=%s connections=%u remedy=%s", d->lanes[i].name, n,
                     log_q("other Bull workers take jobs of this ordered queue: end them, or its order is "
                           "lost"));
    }
}

void foreign_second(struct delivery *d)
{
    uint64_t now_ms = clock_mono_ms();
    bool held = false;

    for (size_t i = 0; i < d->n_lanes; i++)
        held |= d->lanes[i].order.held;
    if (!held || redis_state(d->redis) != REDIS_READY ||
        (d->foreign_looked_ms != 0 && now_ms - d->foreign_looked_ms < EVERY_MS))
        return;
    d->foreign_looked_ms = now_ms;
    redis_commandf(d->redis, on_clients, d, "CLIENT LIST");
}
