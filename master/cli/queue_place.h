/* queue_place - which queues in Redis a name on the command line means, and the way to them.
 *
 * A target is what a person calls a queue: a destination's (one Bull queue, or one a partition), one of its partitions
 * (orders#3), a takeover, or any other queue under the configured prefix. The verbs work on it through common/queue on an
 * event loop of their own, which runs until the answer is there.
 */
#ifndef DRAY_MASTER_CLI_QUEUE_PLACE_H
#define DRAY_MASTER_CLI_QUEUE_PLACE_H

#include <ev.h>

#include "common/conf/conf.h"
#include "common/queue/order.h"
#include "common/queue/partition.h"
#include "common/queue/queue.h"
#include "master/cli/cli.h"

struct queue_place { /* one Bull queue */
    char label[160]; /* "orders", "orders#3" */
    char prefix[QUEUE_PREFIX_SIZE], name[128];
};

struct queue_target {
    char name[160];
    enum conf_mode mode;
    const struct conf_destination *destination; /* NULL: not one's queue */
    const struct conf_takeover *takeover;
    struct queue_place *places;
    size_t n;
};

/* What the configuration has under this name; any other name is a queue under queue.prefix. -1: no name of a queue, or
 * no such partition (what is wrong in why). queue_target_fini when done. */
int queue_target_find(const struct conf *c, const char *name, struct queue_target *t, char *why, size_t size);
void queue_target_fini(struct queue_target *t);

struct queue_session {
    const char *verb;
    struct conf *conf;
    struct ev_loop *loop;
    struct redis *redis;
    bool ready, failed, timed_out;
    char why[256];
    char url[1024];
};
/* Reads the configuration (-c, or with -s alone that of the running instance) and connects. EXIT_CODE_OK, or the exit
 * status to return; what is wrong was said. */
int queue_session_open(const struct cli *o, const char *verb, struct queue_session *s);
void queue_session_close(struct queue_session *s);
struct queue *queue_session_queue(struct queue_session *s, const struct queue_place *p);
/* Runs the loop until *done, at most so long (0: no limit): false when it took longer or the connection was lost; said
 * on stderr. */
bool queue_session_wait(struct queue_session *s, const bool *done, uint64_t timeout_ms);
/* Says on stderr, as verb, that Redis cannot be used, and what to do about it. */
void queue_session_say(const struct conf *c, const char *verb, const char *url, const char *why);
/* Is this a queue of the configuration, or one that Redis holds? If not, EXIT_CODE_NOT_RUNNING, and said; as is a failure. */
int queue_session_know(struct queue_session *s, const struct queue_target *t);
/* The Redis URL of these options and this configuration. Returns dst. */
char *queue_session_url(const struct cli *o, const struct conf *c, char *dst, size_t size);
struct conf *queue_session_conf(const struct cli *o, enum exitcode *code);

#endif
