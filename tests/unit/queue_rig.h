/* queue_rig - what the tests of the queue share: a server, a queue on it, each request as one waiting call. */
#ifndef DRAY_TESTS_UNIT_QUEUE_RIG_H
#define DRAY_TESTS_UNIT_QUEUE_RIG_H

#include "common/queue/queue.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "common/queue/internal.h"
#include "tests/unit/redis_server.h"

#define B       "{t}:q:"
#define TOKEN   "node.1.0.1"
#define FOREIGN "somebody-else"
#define ID      "b0000000000000000000000ab"

static struct server server;
static struct ev_loop *loop;

struct rig {
    struct redis *r;
    struct queue *q;
    bool ready;
    bool answered;
    enum queue_status status;
    char why[200];
    char text[1024]; /* what was taken: id:data:attempts:stalled, ... */
    size_t n;
    uint64_t number;
    struct queue_counts counts;
};

/* ---- the rig */

static inline void on_ready(struct redis *r, int64_t client_id, void *arg)
{
    (void)r;
    (void)client_id;
    ((struct rig *)arg)->ready = true;
}

static inline struct queue_options queue_options(const char *token)
{
    return (struct queue_options){.prefix = "{t}",
                                  .name = "q",
                                  .token = token,
                                  .lock_ms = 30000,
                                  .stalled_interval_ms = 30000,
                                  .max_stalled = 1,
                                  .keep_completed_count = 1000,
                                  .keep_completed_age_ms = 86400000,
                                  .keep_failed_age_ms = 86400000};
}

static inline struct redis_options redis_options(void)
{
    return (struct redis_options){.url = server.url,
                                  .username = "",
                                  .password = "",
                                  .connect_timeout_ms = 2000,
                                  .command_timeout_ms = 2000,
                                  .reconnect_min_ms = 10,
                                  .reconnect_max_ms = 100,
                                  .check_policy = true};
}

static inline void rig_open(struct rig *g, const struct queue_options *o)
{
    static const struct redis_events events = {.ready = on_ready};
    struct redis_options ro = redis_options();
    memset(g, 0, sizeof *g);
    g->r = redis_new(loop, &ro, &events, g);
    assert_non_null(g->r);
    assert_true(loop_until(loop, &g->ready));
    g->q = queue_new(loop, g->r, o);
}

static inline void rig_close(struct rig *g)
{
    queue_free(g->q);
    redis_free(g->r);
}

static inline int rig_setup(void **state)
{
    struct rig *g = calloc(1, sizeof *g);
    struct queue_options o = queue_options(TOKEN);
    server_ask(&server, "FLUSHALL");
    rig_open(g, &o);
    *state = g;
    return 0;
}

static inline int rig_teardown(void **state)
{
    rig_close(*state);
    free(*state);
    return 0;
}

static inline void on_done(enum queue_status s, const char *why, void *arg)
{
    struct rig *g = arg;
    assert_false(g->answered);
    g->status = s;
    snprintf(g->why, sizeof g->why, "%s", why != NULL ? why : "");
    g->answered = true;
}

static inline enum queue_status wait_for(struct rig *g)
{
    assert_true(loop_until(loop, &g->answered));
    g->answered = false;
    return g->status;
}

static inline enum queue_status add(struct rig *g, const char *id, const char *data)
{
    queue_add(g->q, id, data, strlen(data), on_done, g);
    return wait_for(g);
}

static inline void on_taken(enum queue_status s, const struct queue_job *jobs, size_t n, void *arg)
{
    struct rig *g = arg;
    size_t used = 0;
    g->status = s;
    g->n = n;
    g->text[0] = '\0';
    for (size_t i = 0; i < n && used < sizeof g->text; i++)
        used += (size_t)snprintf(g->text + used, sizeof g->text - used, "%s%s:%.*s:%llu:%llu",
                                 i > 0 ? " " : "", jobs[i].id, (int)jobs[i].data_len, jobs[i].data,
                                 (unsigned long long)jobs[i].attempts_made,
                                 (unsigned long long)jobs[i].stalled_count);
    g->answered = true;
}

static inline const char *take(struct rig *g, unsigned max)
{
    queue_take(g->q, max, on_taken, g);
    assert_int_equal(wait_for(g), QUEUE_OK);
    return g->text;
}

static inline struct queue_job job_of(const char *id, const char *opts)
{
    return (struct queue_job){.id = id, .opts = opts, .opts_len = strlen(opts)};
}

static inline enum queue_status complete(struct rig *g, const char *id, const char *opts)
{
    struct queue_job job = job_of(id, opts);
    queue_complete(g->q, &job, "{\"status\":200}", on_done, g);
    return wait_for(g);
}

static inline enum queue_status fail_job(struct rig *g, const char *id, const char *opts, const char *reason)
{
    struct queue_job job = job_of(id, opts);
    queue_fail(g->q, &job, reason, on_done, g);
    return wait_for(g);
}

static inline enum queue_status delay(struct rig *g, const char *id, uint64_t ms, bool count,
                                      const char *opts)
{
    struct queue_job job = job_of(id, opts);
    queue_delay(g->q, &job, ms, count, "http 503", on_done, g);
    return wait_for(g);
}

static inline enum queue_status hand_back(struct rig *g, const char *id)
{
    queue_hand_back(g->q, id, on_done, g);
    return wait_for(g);
}

static inline void on_lost(const char *id, void *arg)
{
    struct rig *g = arg;
    size_t used = strlen(g->text);
    snprintf(g->text + used, sizeof g->text - used, "%s ", id);
}

static inline const char *renew(struct rig *g, const char *a, const char *b)
{
    const char *ids[] = {a, b};
    g->text[0] = '\0';
    queue_renew(g->q, ids, b != NULL ? 2 : 1, on_lost, on_done, g);
    assert_int_equal(wait_for(g), QUEUE_OK);
    return g->text;
}

static inline void on_released(enum queue_status s, uint64_t jobs, void *arg)
{
    struct rig *g = arg;
    g->status = s;
    g->number = jobs;
    g->answered = true;
}

static inline uint64_t release(struct rig *g, const char *token)
{
    queue_release_token(g->q, token, on_released, g);
    assert_int_equal(wait_for(g), QUEUE_OK);
    return g->number;
}

static inline void on_counts(enum queue_status s, const struct queue_counts *c, void *arg)
{
    struct rig *g = arg;
    g->status = s;
    g->counts = *c;
    g->answered = true;
}

#define is(expected, ...) assert_string_equal(server_ask(&server, __VA_ARGS__), expected)

/* A job as Bull would have written it, waiting. */
static inline void plant(const char *id, const char *opts)
{
    server_ask(&server,
               "HSET " B "%s name __default__ data %s opts %s timestamp 1795220944860 delay 0 priority 0", id,
               "{\"n\":1}", opts);
    server_ask(&server, "LPUSH " B "wait %s", id);
}

/* ---- a listener for what is published */

static redisContext *listener;

static inline void listen_start(void)
{
    listener = redisConnectUnix(server.path);
    freeReplyObject(redisCommand(listener, "PSUBSCRIBE " B "*"));
}

/* The next message, "channel payload". */
static inline const char *heard(void)
{
    static char text[512];
    redisReply *r = NULL;
    struct timeval tv = {2, 0};
    redisSetTimeout(listener, tv);
    if (redisGetReply(listener, (void **)&r) != 0 || r == NULL)
        return "(nothing)";
    snprintf(text, sizeof text, "%s %s", r->element[2]->str + strlen(B), r->element[3]->str);
    freeReplyObject(r);
    return text;
}

static inline void listen_stop(void)
{
    redisFree(listener);
}

/* ---- what a tick tells */

struct ticks {
    uint64_t promoted, requeued, failed, completed_swept, failed_swept;
    bool promoted_any, stalled_any, counted_any, swept_any;
    struct queue_counts counts;
};

static inline void on_promoted(struct queue *q, uint64_t jobs, void *arg)
{
    (void)q;
    struct ticks *t = arg;
    t->promoted += jobs;
    t->promoted_any = true;
}

static inline void on_stalled(struct queue *q, uint64_t requeued, uint64_t failed, void *arg)
{
    (void)q;
    struct ticks *t = arg;
    t->requeued += requeued;
    t->failed += failed;
    t->stalled_any = true;
}

static inline void on_counted(struct queue *q, const struct queue_counts *c, void *arg)
{
    (void)q;
    struct ticks *t = arg;
    t->counts = *c;
    t->counted_any = true;
}

static inline void on_swept(struct queue *q, uint64_t completed, uint64_t failed, void *arg)
{
    (void)q;
    struct ticks *t = arg;
    t->completed_swept += completed;
    t->failed_swept += failed;
    t->swept_any = true;
}

static const struct queue_tick_events tick_events = {on_promoted, on_stalled, on_counted, on_swept};
static inline int start_server(void **state)
{
    (void)state;
    signal(SIGPIPE, SIG_IGN);
    loop = ev_default_loop(0);
    queue_register_scripts();
    server_start(&server, NULL);
    return 0;
}

static inline int stop_server(void **state)
{
    (void)state;
    server_stop(&server);
    return 0;
}

#define T(f) cmocka_unit_test_setup_teardown(f, rig_setup, rig_teardown)

#endif
