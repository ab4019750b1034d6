/* queue_repartition - dray queue repartition NAME: the queue in Redis becomes what the configuration says.
 *
 * Mode and number of partitions stand in Redis, so that all hosts work alike. They may change only when nobody works on
 * the queue and nothing waits in it: both are looked at first. */
#include "master/cli/queue_repartition.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "common/base/str.h"

struct answer {
    bool done;
    enum queue_status status;
    struct queue_protocol found;
    struct queue_counts counts;
    uint64_t workers;
    char why[256];
};

static void on_protocol(enum queue_status s, const char *why, const struct queue_protocol *found, void *arg)
{
    struct answer *a = arg;
    a->done = true;
    a->status = s;
    str_copy(a->why, why != NULL ? why : queue_status_name(s), sizeof a->why);
    if (found != NULL)
        a->found = *found;
}

static void on_counts(enum queue_status s, const struct queue_counts *c, void *arg)
{
    struct answer *a = arg;
    a->done = true;
    a->status = s;
    str_copy(a->why, queue_status_name(s), sizeof a->why);
    if (c != NULL)
        a->counts = *c;
}

/* Delivery processes are known by the names of their connections. */
static void on_clients(enum redis_status status, const struct redisReply *reply, void *arg)
{
    struct answer *a = arg;
    size_t len = 0;
    const char *text = status == REDIS_OK ? redis_reply_text(reply, &len) : NULL;
    a->done = true;
    a->status = text != NULL ? QUEUE_OK : QUEUE_REFUSED;
    str_copy(a->why, "CLIENT LIST is refused", sizeof a->why);
    for (const char *at = text; at != NULL && (at = strstr(at, " name=dray:w:")) != NULL; at++)
        a->workers++;
}

static bool failed(const struct queue_target *t, const struct answer *a)
{
    if (a->status == QUEUE_OK)
        return false;
    fprintf(stderr, "dray queue repartition %s: %s\n", t->name, a->why);
    return true;
}

/* What stands in the queues as they are in Redis now. -1: failed, and said. */
static int64_t count_left(struct queue_session *s, const struct queue_target *t,
                          const struct queue_protocol *found)
{
    bool parts = strcmp(found->mode, queue_mode_name(QUEUE_MODE_KEY)) == 0;
    uint64_t n = parts ? found->partitions : 1, left = 0;
    struct queue_place p = t->places[0];
    for (uint64_t i = 0; i < n; i++) {
        struct answer a = {0};
        if (parts)
            queue_partition_prefix(s->conf->queue.prefix, p.name, (unsigned)i, p.prefix, sizeof p.prefix);
        else
            str_copy(p.prefix, s->conf->queue.prefix, sizeof p.prefix);
        struct queue *q = queue_session_queue(s, &p);
        queue_count(q, on_counts, &a);
        bool answered = queue_session_wait(s, &a.done, 0);
        queue_free(q);
        if (!answered || failed(t, &a))
            return -1;
        left += a.counts.wait + a.counts.active + a.counts.delayed + a.counts.paused;
    }
    return (int64_t)left;
}

static int change(struct queue_session *s, const struct queue_target *t, struct queue *home,
                  enum queue_mode mode, uint32_t partitions, const struct queue_protocol *found)
{
    struct answer a = {0};
    queue_protocol_set(home, found, mode, partitions, on_protocol, &a);
    if (!queue_session_wait(s, &a.done, 0) || failed(t, &a))
        return EXIT_CODE_UNREACHABLE;
    if (a.found.verdict != QUEUE_PROTOCOL_AGREES) {
        fprintf(stderr, "dray queue repartition %s: somebody else changed it meanwhile; look again\n",
                t->name);
        return EXIT_CODE_TEMP;
    }
    printf("%s: %s with %u partition%s (was %s with %" PRIu64 ")\n", t->name, queue_mode_name(mode),
           partitions, partitions == 1 ? "" : "s", found->mode, found->partitions);
    return EXIT_CODE_OK;
}

static int repartition(struct queue_session *s, const struct queue_target *t, struct queue *home, bool force)
{
    enum queue_mode mode = t->mode == CONF_MODE_KEY      ? QUEUE_MODE_KEY
                           : t->mode == CONF_MODE_STRICT ? QUEUE_MODE_STRICT
                                                         : QUEUE_MODE_SHARED;
    struct answer a = {0}, clients = {0};
    queue_protocol_check(home, mode, (uint32_t)t->n, on_protocol, &a);
    redis_commandf(s->redis, on_clients, &clients, "CLIENT LIST TYPE normal");
    if (!queue_session_wait(s, &a.done, 0) || !queue_session_wait(s, &clients.done, 0) || failed(t, &a))
        return EXIT_CODE_UNREACHABLE;
    if (a.found.verdict == QUEUE_PROTOCOL_AGREES) {
        printf("%s: %s with %zu partition%s, as configured\n", t->name, queue_mode_name(mode), t->n,
               t->n == 1 ? "" : "s");
        return EXIT_CODE_OK;
    }
    if (a.found.verdict == QUEUE_PROTOCOL_NEWER) {
        fprintf(stderr, "dray queue repartition %s: its format is newer than this version\n", t->name);
        return EXIT_CODE_FAILURE;
    }
    if (clients.status != QUEUE_OK && !force) {
        fprintf(
            stderr,
            "dray queue repartition %s: %s, so that nobody knows whether dray works on it; stop it on all "
            "hosts, then use --force\n",
            t->name, clients.why);
        return EXIT_CODE_TEMP;
    }
    if (clients.workers > 0 && !force) {
        fprintf(stderr,
                "dray queue repartition %s: %" PRIu64
                " delivery processes are connected; stop dray on all hosts first\n",
                t->name, clients.workers);
        return EXIT_CODE_TEMP;
    }
    if (a.found.verdict == QUEUE_PROTOCOL_OCCUPIED)
        str_copy(a.found.mode, queue_mode_name(QUEUE_MODE_SHARED), sizeof a.found.mode);
    int64_t left = count_left(s, t, &a.found);
    if (left < 0)
        return EXIT_CODE_UNREACHABLE;
    if (left > 0) {
        fprintf(stderr,
                "dray queue repartition %s: it holds %" PRId64
                " jobs that are not done; run dray as %s with %" PRIu64
                " partitions until they are delivered, or drain it\n",
                t->name, left, a.found.mode, a.found.partitions);
        return EXIT_CODE_TEMP;
    }
    return change(s, t, home, mode, (uint32_t)t->n, &a.found);
}

int queue_repartition_run(struct queue_session *s, const char *name, bool force)
{
    struct queue_target t;
    char why[256];
    if (queue_target_find(s->conf, name, &t, why, sizeof why) < 0) {
        fprintf(stderr, "dray queue: %s\n", why);
        return EXIT_CODE_USAGE;
    }
    if ((t.destination == NULL && t.takeover == NULL) || strchr(name, '#') != NULL) {
        fprintf(stderr, "dray queue repartition %s: it is no destination of the configuration\n", name);
        queue_target_fini(&t);
        return EXIT_CODE_USAGE;
    }
    struct queue_place home = t.places[0];
    if (t.takeover == NULL)
        str_copy(home.prefix, s->conf->queue.prefix, sizeof home.prefix);
    struct queue *q = queue_session_queue(s, &home);
    int code = repartition(s, &t, q, force);
    queue_free(q);
    queue_target_fini(&t);
    return code;
}
