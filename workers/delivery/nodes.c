/* nodes - what people call the hosts. A token names a node by its uuid; <prefix>:dray:node:<uuid> in Redis is its
 * node.name, written by each delivery process and gone a week after the last one wrote it. Read for status alone: nothing
 * is decided by it, and a name that cannot be read is shown as the uuid's beginning.
 */
#include <stdio.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/str.h"
#include "common/queue/partition.h"
#include "workers/delivery/delivery.h"

#define SAY_EVERY_MS 3600000
#define LIFE_S       "604800"
#define ASK_EVERY_MS 60000

void nodes_second(struct delivery *d)
{
    char key[QUEUE_PREFIX_SIZE + 64];
    uint64_t now_ms = clock_mono_ms();

    if (d->memory || redis_state(d->redis) != REDIS_READY || d->conf->node.name[0] == '\0' ||
        (d->node_said_ms != 0 && now_ms - d->node_said_ms < SAY_EVERY_MS))
        return;
    d->node_said_ms = now_ms;
    const char *argv[] = {"SET",
                          queue_node_key(d->conf->queue.prefix, child_token(d->child), key, sizeof(key)),
                          d->conf->node.name, "EX", LIFE_S};
    redis_command(d->redis, NULL, NULL, 5, argv, NULL);
}

static void on_name(enum redis_status status, const struct redisReply *reply, void *arg)
{
    struct node *n = arg;
    size_t len;
    const char *name = status == REDIS_OK ? redis_reply_text(reply, &len) : NULL;

    n->asking = false;
    if (name != NULL)
        str_copy(n->name, name, sizeof(n->name));
}

static void ask(struct delivery *d, struct node *n, const char *token)
{
    char key[QUEUE_PREFIX_SIZE + 64];
    const char *argv[] = {"GET", queue_node_key(d->conf->queue.prefix, token, key, sizeof(key))};

    n->asking = true;
    n->asked_ms = clock_mono_ms();
    redis_command(d->redis, on_name, n, 2, argv, NULL);
}

/* The entry of this node; the one that was asked for longest ago makes room. NULL: all are being asked for. */
static struct node *find(struct delivery *d, const char *token, size_t len)
{
    struct node *oldest = NULL;

    for (size_t i = 0; i < NODES_MAX; i++) {
        struct node *n = &d->nodes[i];

        if (strlen(n->id) == len && memcmp(n->id, token, len) == 0)
            return n;
        if (!n->asking && (oldest == NULL || n->asked_ms < oldest->asked_ms))
            oldest = n;
    }
    if (oldest == NULL)
        return NULL;
    *oldest = (struct node){0};
    memcpy(oldest->id, token, len);
    return oldest;
}

char *nodes_put(struct delivery *d, const char *token, char *dst, size_t size)
{
    const char *run = strchr(token, '.'), *slot = run != NULL ? strchr(run + 1, '.') : NULL;
    size_t len = run != NULL ? (size_t)(run - token) : 0;
    struct node *n = NULL;

    if (slot == NULL) {
        snprintf(dst, size, "%.40s", token);
        return dst;
    }
    if (len > 0 && len < sizeof(n->id))
        n = find(d, token, len);
    if (n != NULL && !n->asking && redis_state(d->redis) == REDIS_READY &&
        (n->asked_ms == 0 || clock_mono_ms() - n->asked_ms >= ASK_EVERY_MS))
        ask(d, n, token);
    if (n != NULL && n->name[0] != '\0')
        snprintf(dst, size, "%s delivery.%.*s", n->name, (int)strcspn(slot + 1, "."), slot + 1);
    else
        snprintf(dst, size, "node %.8s delivery.%.*s", token, (int)strcspn(slot + 1, "."), slot + 1);
    return dst;
}
