/* queue_test - every script of the queue against a real redis-server: what it leaves behind, and what it does with a
 * missing hash, a foreign lock, a paused queue, a ghost id and a second call.
 */
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

static void on_ready(struct redis *r, int64_t client_id, void *arg)
{
    (void)r;
    (void)client_id;
    ((struct rig *)arg)->ready = true;
}

static struct queue_options queue_options(const char *token)
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

static struct redis_options redis_options(void)
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

static void rig_open(struct rig *g, const struct queue_options *o)
{
    static const struct redis_events events = {.ready = on_ready};
    struct redis_options ro = redis_options();
    memset(g, 0, sizeof *g);
    g->r = redis_new(loop, &ro, &events, g);
    assert_non_null(g->r);
    assert_true(loop_until(loop, &g->ready));
    g->q = queue_new(loop, g->r, o);
}

static void rig_close(struct rig *g)
{
    queue_free(g->q);
    redis_free(g->r);
}

static int rig_setup(void **state)
{
    struct rig *g = calloc(1, sizeof *g);
    struct queue_options o = queue_options(TOKEN);
    server_ask(&server, "FLUSHALL");
    rig_open(g, &o);
    *state = g;
    return 0;
}

static int rig_teardown(void **state)
{
    rig_close(*state);
    free(*state);
    return 0;
}

static void on_done(enum queue_status s, const char *why, void *arg)
{
    struct rig *g = arg;
    assert_false(g->answered);
    g->status = s;
    snprintf(g->why, sizeof g->why, "%s", why != NULL ? why : "");
    g->answered = true;
}

static enum queue_status wait_for(struct rig *g)
{
    assert_true(loop_until(loop, &g->answered));
    g->answered = false;
    return g->status;
}

static enum queue_status add(struct rig *g, const char *id, const char *data)
{
    queue_add(g->q, id, data, strlen(data), on_done, g);
    return wait_for(g);
}

static void on_taken(enum queue_status s, const struct queue_job *jobs, size_t n, void *arg)
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

static const char *take(struct rig *g, unsigned max)
{
    queue_take(g->q, max, on_taken, g);
    assert_int_equal(wait_for(g), QUEUE_OK);
    return g->text;
}

static struct queue_job job_of(const char *id, const char *opts)
{
    return (struct queue_job){.id = id, .opts = opts, .opts_len = strlen(opts)};
}

static enum queue_status complete(struct rig *g, const char *id, const char *opts)
{
    struct queue_job job = job_of(id, opts);
    queue_complete(g->q, &job, "{\"status\":200}", on_done, g);
    return wait_for(g);
}

static enum queue_status fail_job(struct rig *g, const char *id, const char *opts, const char *reason)
{
    struct queue_job job = job_of(id, opts);
    queue_fail(g->q, &job, reason, on_done, g);
    return wait_for(g);
}

static enum queue_status delay(struct rig *g, const char *id, uint64_t ms, bool count, const char *opts)
{
    struct queue_job job = job_of(id, opts);
    queue_delay(g->q, &job, ms, count, "http 503", on_done, g);
    return wait_for(g);
}

static enum queue_status hand_back(struct rig *g, const char *id)
{
    queue_hand_back(g->q, id, on_done, g);
    return wait_for(g);
}

static void on_lost(const char *id, void *arg)
{
    struct rig *g = arg;
    size_t used = strlen(g->text);
    snprintf(g->text + used, sizeof g->text - used, "%s ", id);
}

static const char *renew(struct rig *g, const char *a, const char *b)
{
    const char *ids[] = {a, b};
    g->text[0] = '\0';
    queue_renew(g->q, ids, b != NULL ? 2 : 1, on_lost, on_done, g);
    assert_int_equal(wait_for(g), QUEUE_OK);
    return g->text;
}

static void on_released(enum queue_status s, uint64_t jobs, void *arg)
{
    struct rig *g = arg;
    g->status = s;
    g->number = jobs;
    g->answered = true;
}

static uint64_t release(struct rig *g, const char *token)
{
    queue_release_token(g->q, token, on_released, g);
    assert_int_equal(wait_for(g), QUEUE_OK);
    return g->number;
}

static void on_counts(enum queue_status s, const struct queue_counts *c, void *arg)
{
    struct rig *g = arg;
    g->status = s;
    g->counts = *c;
    g->answered = true;
}

#define is(expected, ...) assert_string_equal(server_ask(&server, __VA_ARGS__), expected)

/* A job as Bull would have written it, waiting. */
static void plant(const char *id, const char *opts)
{
    server_ask(&server,
               "HSET " B "%s name __default__ data %s opts %s timestamp 1795220944860 delay 0 priority 0", id,
               "{\"n\":1}", opts);
    server_ask(&server, "LPUSH " B "wait %s", id);
}

/* ---- a listener for what is published */

static redisContext *listener;

static void listen_start(void)
{
    listener = redisConnectUnix(server.path);
    freeReplyObject(redisCommand(listener, "PSUBSCRIBE " B "*"));
}

/* The next message, "channel payload". */
static const char *heard(void)
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

static void listen_stop(void)
{
    redisFree(listener);
}

/* ---- add */

static void add_writes_what_bull_writes(void **state)
{
    struct rig *g = *state;
    listen_start();
    assert_int_equal(add(g, ID, "{\"n\":1}"), QUEUE_OK);
    assert_string_equal(heard(), "waiting@" TOKEN " " ID);
    listen_stop();
    is(ID, "LRANGE " B "wait 0 -1");
    is("6", "HLEN " B ID);
    is("__default__,{\"n\":1},0,0", "HMGET " B ID " name data delay priority");
    char opts[128];
    snprintf(opts, sizeof opts, "{\"attempts\":1,\"delay\":0,\"timestamp\":%s}",
             server_ask(&server, "HGET " B ID " timestamp"));
    is(opts, "HGET " B ID " opts");
    assert_int_equal(strlen(server_ask(&server, "HGET " B ID " timestamp")), 13);
    is("1", "GET " B "id");
    is("0", "EXISTS " B "dray:new:" ID);
}

static void add_twice_is_a_duplicate(void **state)
{
    struct rig *g = *state;
    assert_int_equal(add(g, ID, "{\"n\":1}"), QUEUE_OK);
    listen_start();
    assert_int_equal(add(g, ID, "{\"n\":2}"), QUEUE_DUPLICATE);
    assert_string_equal(heard(), "duplicated@" TOKEN " " ID);
    listen_stop();
    is("{\"n\":1}", "HGET " B ID " data");
    is("1", "LLEN " B "wait");
    is("0", "EXISTS " B "dray:new:" ID);
    /* in one turn: the second of the same id */
    struct rig second = {0};
    queue_add(g->q, "bx", "{}", 2, on_done, g);
    queue_add(g->q, "bx", "{}", 2, on_done, &second);
    assert_int_equal(wait_for(g), QUEUE_OK);
    assert_int_equal(wait_for(&second), QUEUE_DUPLICATE);
    is("{}", "HGET " B "bx data");
}

static void add_knows_removed_jobs_for_a_while(void **state)
{
    struct rig *g = *state;
    struct rig brief;
    struct queue_options o = queue_options("other.token");
    o.tombstone_ms = 60;
    rig_open(&brief, &o);
    assert_int_equal(add(g, "bgone", "{}"), QUEUE_OK);
    take(g, 1);
    assert_int_equal(complete(g, "bgone", "{\"removeOnComplete\":true}"), QUEUE_OK);
    is("0", "EXISTS " B "bgone");
    assert_int_equal(add(g, "bgone", "{}"), QUEUE_DUPLICATE);
    is("0", "EXISTS " B "bgone");
    assert_int_equal(add(&brief, "bshort", "{}"), QUEUE_OK);
    take(&brief, 1);
    assert_int_equal(complete(&brief, "bshort", "{\"removeOnComplete\":true}"), QUEUE_OK);
    for (int i = 0; i < 200 && add(g, "bshort", "{}") != QUEUE_OK; i++)
        loop_for(loop, 0.01);
    is("1", "EXISTS " B "bshort");
    rig_close(&brief);
}

static void add_to_a_paused_queue(void **state)
{
    struct rig *g = *state;
    server_ask(&server, "SET " B "meta-paused 1");
    assert_int_equal(add(g, ID, "{}"), QUEUE_OK);
    is(ID, "LRANGE " B "paused 0 -1");
    is("0", "EXISTS " B "wait");
}

static void add_many_in_order(void **state)
{
    struct rig *g = *state;
    enum { N = 300 };
    static struct rig each[N];
    char id[16];
    memset(each, 0, sizeof each);
    for (int i = 0; i < N; i++) {
        snprintf(id, sizeof id, "b%03d", i);
        queue_add(g->q, id, "{}", 2, on_done, &each[i]);
    }
    for (int i = 0; i < N; i++)
        assert_int_equal(wait_for(&each[i]), QUEUE_OK);
    is("b299", "LINDEX " B "wait 0");
    is("b000", "LINDEX " B "wait -1");
    is("300", "LLEN " B "wait");
    is("300", "GET " B "id");
    const char *calls = strstr(server_ask(&server, "INFO commandstats"), "cmdstat_exec:calls=");
    assert_non_null(calls);
    take(g, 2);
    assert_string_equal(g->text, "b000:{}:0:0 b001:{}:0:0");
}

static void add_to_a_full_redis(void **state)
{
    struct rig *g = *state;
    assert_int_equal(add(g, "bold", "{}"), QUEUE_OK);
    server_ask(&server, "CONFIG SET maxmemory 1mb");
    assert_int_equal(add(g, ID, "{}"), QUEUE_REFUSED);
    assert_non_null(strstr(g->why, "OOM"));
    is("0", "EXISTS " B ID " " B "dray:new:" ID);
    is("1", "LLEN " B "wait");
    /* what is there can still be taken, delayed, renewed, finished */
    assert_string_equal(take(g, 5), "bold:{}:0:0");
    assert_string_equal(renew(g, "bold", NULL), "");
    assert_int_equal(delay(g, "bold", 0, true, "{}"), QUEUE_OK);
    assert_string_equal(take(g, 5), "bold:{}:1:0");
    assert_int_equal(complete(g, "bold", "{}"), QUEUE_OK);
    server_ask(&server, "CONFIG SET maxmemory 0");
    assert_int_equal(add(g, ID, "{}"), QUEUE_OK);
}

static void add_when_wait_is_no_list(void **state)
{
    struct rig *g = *state;
    server_ask(&server, "SET " B "wait x");
    assert_int_equal(add(g, ID, "{}"), QUEUE_BROKEN);
    is("0", "EXISTS " B ID " " B "dray:new:" ID);
}

static void add_after_the_script_was_forgotten(void **state)
{
    struct rig *g = *state;
    server_ask(&server, "SCRIPT FLUSH");
    assert_int_equal(add(g, ID, "{\"n\":1}"), QUEUE_OK);
    is("{\"n\":1}", "HGET " B ID " data");
    is(ID, "LRANGE " B "wait 0 -1");
    is("0", "EXISTS " B "dray:new:" ID);
    assert_int_equal(add(g, ID, "{\"n\":1}"), QUEUE_DUPLICATE);
}

static void add_while_redis_is_away(void **state)
{
    struct rig *g = *state;
    redis_drop(g->r, "test");
    g->ready = false;
    assert_int_equal(add(g, ID, "{}"), QUEUE_AWAY);
    assert_true(loop_until(loop, &g->ready));
    kill(server.pid, SIGSTOP);
    queue_add(g->q, ID, "{}", 2, on_done, g);
    ev_run(loop, EVRUN_NOWAIT);
    assert_false(g->answered);
    redis_drop(g->r, "test"); /* sent, not answered */
    kill(server.pid, SIGCONT);
    assert_true(g->answered);
    g->answered = false;
    assert_int_equal(g->status, QUEUE_UNKNOWN);
    g->ready = false;
    assert_true(loop_until(loop, &g->ready));
    enum queue_status again = add(g, ID, "{}"); /* safe to repeat */
    assert_true(again == QUEUE_OK || again == QUEUE_DUPLICATE);
    is(ID, "LRANGE " B "wait 0 -1");
}

/* ---- take */

static void take_locks(void **state)
{
    struct rig *g = *state;
    add(g, "b1", "{\"n\":1}");
    add(g, "b2", "{\"n\":2}");
    add(g, "b3", "{\"n\":3}");
    server_ask(&server, "ZADD " B "priority 5 b1");
    listen_start();
    assert_string_equal(take(g, 2), "b1:{\"n\":1}:0:0 b2:{\"n\":2}:0:0");
    assert_string_equal(heard(), "active@" TOKEN " b1");
    assert_string_equal(heard(), "active@" TOKEN " b2");
    is("b3", "LRANGE " B "wait 0 -1");
    is("b2,b1", "LRANGE " B "active 0 -1");
    is(TOKEN, "GET " B "b1:lock");
    long left = atol(server_ask(&server, "PTTL " B "b1:lock"));
    assert_true(left > 25000 && left <= 30000);
    assert_int_equal(strlen(server_ask(&server, "HGET " B "b1 processedOn")), 13);
    is("0", "ZCARD " B "priority");
    assert_string_equal(take(g, 5), "b3:{\"n\":3}:0:0");
    assert_string_equal(heard(), "active@" TOKEN " b3");
    assert_string_equal(take(g, 5), "");
    assert_string_equal(heard(), "drained ");
    listen_stop();
}

static void take_reads_bulls_jobs(void **state)
{
    struct rig *g = *state;
    plant("7", "{}");
    server_ask(&server, "HSET " B "7 attemptsMade 3 stalledCounter 2 retriedOn 1795220945857");
    assert_string_equal(take(g, 1), "7:{\"n\":1}:3:2");
    server_ask(&server, "HSET " B "8 data {}"); /* the least that Bull runs needs no more */
    server_ask(&server, "LPUSH " B "wait 8");
    assert_string_equal(take(g, 1), "8:{}:0:0");
}

static void take_after_the_script_was_forgotten(void **state)
{
    struct rig *g = *state;
    add(g, "b1", "{\"n\":1}");
    add(g, "b2", "{\"n\":2}");
    server_ask(&server, "SCRIPT FLUSH");
    assert_string_equal(take(g, 5), "b1:{\"n\":1}:0:0 b2:{\"n\":2}:0:0");
    is("b2,b1", "LRANGE " B "active 0 -1");
}

/* Then SORT_RO with GET is denied, and the data is read one by one. */
static void take_with_rights_on_its_own_keys_only(void **state)
{
    (void)state;
    struct rig narrow = {0};
    struct queue_options o = queue_options(TOKEN);
    static const struct redis_events events = {.ready = on_ready};
    struct redis_options ro = redis_options();
    server_ask(&server, "ACL SETUSER narrow on >pw ~{t}:* &* +@all");
    ro.username = "narrow";
    ro.password = "pw";
    narrow.r = redis_new(loop, &ro, &events, &narrow);
    assert_true(loop_until(loop, &narrow.ready));
    narrow.q = queue_new(loop, narrow.r, &o);
    add(&narrow, "b1", "{\"n\":1}");
    add(&narrow, "b2", "{\"n\":2}");
    server_ask(&server, "CONFIG RESETSTAT");
    assert_string_equal(take(&narrow, 5), "b1:{\"n\":1}:0:0 b2:{\"n\":2}:0:0");
    assert_non_null(strstr(server_ask(&server, "INFO commandstats"), "cmdstat_hget:calls=2"));
    rig_close(&narrow);
}

static void take_moves_ghosts_to_failed(void **state)
{
    struct rig *g = *state;
    server_ask(&server, "LPUSH " B "wait ghost nodata b1 wait");
    server_ask(&server, "HSET " B "nodata opts {} timestamp 1795220944860");
    server_ask(&server, "HSET " B "b1 data {} opts {}");
    assert_string_equal(take(g, 10), "b1:{}:0:0");
    is("b1", "LRANGE " B "active 0 -1");
    is("0", "LLEN " B "wait");
    is("ghost,nodata", "ZRANGE " B "failed 0 -1");
    is("job data missing", "HGET " B "ghost failedReason");
    is("{},{}", "HMGET " B "ghost data opts"); /* listings parse them */
    is("0", "EXISTS " B "ghost:lock");
    assert_string_equal(take(g, 10), "");
}

static void take_from_a_paused_queue(void **state)
{
    struct rig *g = *state;
    add(g, "b1", "{}");
    server_ask(&server, "SET " B "meta-paused 1");
    assert_string_equal(take(g, 10), "");
    is("1", "LLEN " B "wait");
}

/* A job that waits although somebody still holds its lock comes back when that lock is gone. */
static void take_leaves_a_locked_job(void **state)
{
    struct rig *g = *state;
    add(g, "b1", "{}");
    server_ask(&server, "SET " B "b1:lock " FOREIGN " PX 5000");
    assert_string_equal(take(g, 10), "");
    is(FOREIGN, "GET " B "b1:lock");
    is("0", "LLEN " B "wait");
    is("0", "LLEN " B "active");
    double due =
        atof(server_ask(&server, "ZSCORE " B "delayed b1")) / 4096 - atof(server_ask(&server, "TIME")) * 1000;
    assert_true(due > 3000 && due < 7000);
}

/* ---- complete and fail */

static void complete_writes_what_bull_writes(void **state)
{
    struct rig *g = *state;
    add(g, ID, "{}");
    take(g, 1);
    server_ask(&server, "SADD " B "stalled " ID);
    server_ask(&server, "HSET " B ID " deid d1");
    server_ask(&server, "SET " B "de:d1 " ID);
    listen_start();
    assert_int_equal(complete(g, ID, "{}"), QUEUE_OK);
    assert_string_equal(heard(), "completed {\"jobId\":\"" ID "\",\"val\":\"{\\\"status\\\":200}\"}");
    listen_stop();
    is("{\"status\":200}", "HGET " B ID " returnvalue");
    is(server_ask(&server, "HGET " B ID " finishedOn"), "ZSCORE " B "completed " ID);
    is("0", "LLEN " B "active");
    is("0", "EXISTS " B ID ":lock " B "stalled " B "de:d1");
    is("0", "HEXISTS " B ID " attemptsMade");            /* Bull writes it on failure alone */
    assert_int_equal(complete(g, ID, "{}"), QUEUE_LOST); /* called twice */
    is("1", "ZCARD " B "completed");
}

static void fail_writes_what_bull_writes(void **state)
{
    struct rig *g = *state;
    add(g, ID, "{}");
    take(g, 1);
    server_ask(&server, "HSET " B ID " attemptsMade 1 stacktrace %s", "[\"first\"]");
    listen_start();
    assert_int_equal(fail_job(g, ID, "{}", "http 500: \"no\""), QUEUE_OK);
    assert_string_equal(heard(), "failed {\"jobId\":\"" ID "\",\"val\":\"http 500: \\\"no\\\"\"}");
    listen_stop();
    is("http 500: \"no\",2,[\"first\",\"http 500: \\\"no\\\"\"]",
       "HMGET " B ID " failedReason attemptsMade stacktrace");
    is(ID, "ZRANGE " B "failed 0 -1");
    is("0", "EXISTS " B ID ":lock " B "active");
    assert_int_equal(fail_job(g, ID, "{}", "again"), QUEUE_LOST);
    is("2", "HGET " B ID " attemptsMade");
}

static void settling_needs_the_lock(void **state)
{
    struct rig *g = *state;
    add(g, "b1", "{}");
    take(g, 1);
    server_ask(&server, "SET " B "b1:lock " FOREIGN);
    for (int expired = 0; expired < 2; expired++) {
        assert_int_equal(complete(g, "b1", "{}"), QUEUE_LOST);
        assert_int_equal(fail_job(g, "b1", "{}", "x"), QUEUE_LOST);
        assert_int_equal(delay(g, "b1", 1000, true, "{}"), QUEUE_LOST);
        assert_int_equal(delay(g, "b1", 0, true, "{}"), QUEUE_LOST);
        assert_int_equal(hand_back(g, "b1"), QUEUE_LOST);
        assert_string_equal(renew(g, "b1", NULL), "b1 ");
        is(expired ? "(nil)" : FOREIGN, "GET " B "b1:lock");
        is("b1", "LRANGE " B "active 0 -1");
        is("(nil),(nil),(nil)", "HMGET " B "b1 attemptsMade failedReason finishedOn");
        is("0", "EXISTS " B "completed " B "failed " B "delayed " B "wait");
        server_ask(&server, "DEL " B "b1:lock");
    }
}

static void settling_a_missing_job(void **state)
{
    struct rig *g = *state;
    for (int locked = 0; locked < 2; locked++) {
        enum { OPS = 5 };
        for (int op = 0; op < OPS; op++) {
            add(g, "b1", "{}");
            take(g, 1);
            server_ask(&server, "DEL " B "b1");
            if (!locked)
                server_ask(&server, "DEL " B "b1:lock");
            enum queue_status s = op == 0   ? complete(g, "b1", "{}")
                                  : op == 1 ? fail_job(g, "b1", "{}", "x")
                                  : op == 2 ? delay(g, "b1", 1000, true, "{}")
                                  : op == 3 ? delay(g, "b1", 0, false, "{}")
                                            : hand_back(g, "b1");
            assert_int_equal(s, QUEUE_MISSING);
            is("0", "EXISTS " B "b1 " B "completed " B "failed " B "delayed " B "wait " B "b1:lock");
            server_ask(&server, "DEL " B "active");
        }
    }
}

static void settling_in_a_paused_queue(void **state)
{
    struct rig *g = *state;
    char id[16];
    for (int i = 0; i < 5; i++) {
        snprintf(id, sizeof id, "b%d", i);
        add(g, id, "{}");
    }
    take(g, 5);
    server_ask(&server, "SET " B "meta-paused 1");
    assert_int_equal(complete(g, "b0", "{}"), QUEUE_OK);
    assert_int_equal(fail_job(g, "b1", "{}", "x"), QUEUE_OK);
    assert_int_equal(delay(g, "b2", 60000, true, "{}"), QUEUE_OK);
    assert_int_equal(delay(g, "b3", 0, true, "{}"), QUEUE_OK);
    assert_int_equal(hand_back(g, "b4"), QUEUE_OK);
    is("b3,b4", "LRANGE " B "paused 0 -1");
    is("0", "EXISTS " B "wait " B "active");
}

static void retention_by_the_jobs_own_options(void **state)
{
    static const struct {
        const char *opts;
        bool failed;
        int left; /* of 4 finished ones before it and itself */
    } rows[] = {
        {"{\"removeOnComplete\":true}", false, 4},
        {"{\"removeOnComplete\":0}", false, 4},
        {"{\"removeOnComplete\":2}", false, 2},
        {"{\"removeOnComplete\":{\"count\":3}}", false, 3},
        {"{\"removeOnComplete\":{\"age\":1000}}", false, 1},
        {"{\"removeOnComplete\":{\"age\":1000,\"count\":1}}", false, 1},
        {"{\"removeOnComplete\":false}", false, 5},
        {"{\"removeOnFail\":true}", false, 5},
        {"{\"removeOnFail\":true}", true, 4},
        {"{\"removeOnFail\":2}", true, 2},
        {"{\"removeOnFail\":{\"age\":1000}}", true, 1},
        {"{\"removeOnComplete\":true}", true, 5},
        {"{\"removeOnComplete\":\"what\"}", false, 5},
        {"not json removeOnComplete", false, 5},
    };
    struct rig *g = *state;
    struct queue_options o = queue_options(TOKEN);
    o.keep_completed_age_ms = o.keep_failed_age_ms = 0;
    queue_free(g->q);
    g->q = queue_new(loop, g->r, &o);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const char *set = rows[i].failed ? "failed" : "completed";
        server_ask(&server, "FLUSHALL");
        for (int k = 0; k < 4; k++) {
            server_ask(&server, "HSET " B "old%d data {}", k);
            server_ask(&server, "RPUSH " B "old%d:logs line", k);
            server_ask(&server, "ZADD " B "%s %d old%d", set, 1000 + k, k);
        }
        add(g, "bnew", "{}");
        take(g, 1);
        if (rows[i].failed)
            assert_int_equal(fail_job(g, "bnew", rows[i].opts, "x"), QUEUE_OK);
        else
            assert_int_equal(complete(g, "bnew", rows[i].opts), QUEUE_OK);
        int left = atoi(server_ask(&server, "ZCARD " B "%s", set));
        if (left != rows[i].left)
            print_error("row %zu %s\n", i, rows[i].opts);
        assert_int_equal(left, rows[i].left);
        is(rows[i].left < 4 ? "0" : "2", "EXISTS " B "old0 " B "old0:logs");
        assert_int_equal(atoi(server_ask(&server, "EXISTS " B "bnew")), left == 4 ? 0 : 1);
    }
}

static void retention_by_default(void **state)
{
    struct rig *g = *state;
    struct queue_options o = queue_options(TOKEN);
    o.keep_completed_count = 3;
    queue_free(g->q);
    g->q = queue_new(loop, g->r, &o);
    char id[16];
    for (int i = 0; i < 8; i++) {
        snprintf(id, sizeof id, "b%d", i);
        add(g, id, "{}");
        take(g, 1);
        assert_int_equal(complete(g, id, "{}"), QUEUE_OK);
    }
    is("b5,b6,b7", "ZRANGE " B "completed 0 -1");
    is("0", "EXISTS " B "b4");
    assert_int_equal(add(g, "b4", "{}"), QUEUE_DUPLICATE);
    o.keep_completed_count = 40; /* larger counts are trimmed in batches */
    queue_free(g->q);
    g->q = queue_new(loop, g->r, &o);
    for (int i = 0; i < 100; i++) {
        snprintf(id, sizeof id, "c%d", i);
        add(g, id, "{}");
        take(g, 1);
        assert_int_equal(complete(g, id, "{}"), QUEUE_OK);
        int left = atoi(server_ask(&server, "ZCARD " B "completed"));
        assert_true(left <= 42 && (i < 40 || left >= 40));
    }
    o.keep_completed_count = 0; /* none at all */
    queue_free(g->q);
    g->q = queue_new(loop, g->r, &o);
    add(g, "d1", "{}");
    take(g, 1);
    assert_int_equal(complete(g, "d1", "{}"), QUEUE_OK);
    is("0", "EXISTS " B "d1");
}

static void stack_traces_are_bounded(void **state)
{
    struct rig *g = *state;
    static const struct {
        const char *before, *opts, *after;
    } rows[] = {
        {"[]", "{}", "[\"http 503\"]"},
        {"[\"a\",\"b\"]", "{\"stackTraceLimit\":2}", "[\"b\",\"http 503\"]"},
        {"[\"a\"]", "{\"stackTraceLimit\":0}", "[]"},
        {"garbage", "{}", "[\"http 503\"]"},
        {"{\"a\":1}", "{}", "[\"http 503\"]"},
        {"[1,2,3,4,5,6,7,8,9,10]", "{}", "[2,3,4,5,6,7,8,9,10,\"http 503\"]"},
    };
    add(g, "b1", "{}");
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        take(g, 1);
        server_ask(&server, "HSET " B "b1 stacktrace %s", rows[i].before);
        assert_int_equal(delay(g, "b1", 0, true, rows[i].opts), QUEUE_OK);
        is(rows[i].after, "HGET " B "b1 stacktrace");
    }
    is("6", "HGET " B "b1 attemptsMade");
}

static void delay_is_due_by_redis_clock(void **state)
{
    struct rig *g = *state;
    plant("4099", "{}");
    add(g, "b1", "{}");
    take(g, 2);
    listen_start();
    assert_int_equal(delay(g, "b1", 60000, true, "{}"), QUEUE_OK);
    char score[32], due[32];
    snprintf(score, sizeof score, "%s", server_ask(&server, "ZSCORE " B "delayed b1"));
    snprintf(due, sizeof due, "delayed %lld", atoll(score) / 4096);
    assert_string_equal(heard(), due);
    listen_stop();
    assert_int_equal(atoll(score) % 4096, 0);
    long long ahead = atoll(score) / 4096 - atoll(server_ask(&server, "TIME")) * 1000;
    assert_true(ahead > 55000 && ahead <= 61000);
    is("1,http 503,[\"http 503\"]", "HMGET " B "b1 attemptsMade failedReason stacktrace");
    assert_int_equal(delay(g, "4099", 60000, false, "{}"), QUEUE_OK);
    assert_int_equal(atoll(server_ask(&server, "ZSCORE " B "delayed 4099")) % 4096, 3);
    is("(nil)", "HGET " B "4099 attemptsMade");
    is("0", "EXISTS " B "b1:lock " B "4099:lock " B "active");
    assert_int_equal(delay(g, "b1", 60000, true, "{}"), QUEUE_LOST);
}

static void a_retry_without_delay_goes_to_its_end(void **state)
{
    struct rig *g = *state;
    add(g, "b1", "{}");
    add(g, "b2", "{}");
    add(g, "b3", "{}");
    take(g, 2);
    assert_int_equal(delay(g, "b1", 0, true, "{}"), QUEUE_OK);
    is("b1,b3", "LRANGE " B "wait 0 -1");
    assert_int_equal(delay(g, "b2", 0, false, "{\"lifo\":true}"), QUEUE_OK);
    is("b1,b3,b2", "LRANGE " B "wait 0 -1");
    is("(nil)", "HGET " B "b2 attemptsMade");
    take(g, 1);
    server_ask(&server, "HSET " B "b2 priority 3"); /* ahead of those without a priority */
    assert_int_equal(delay(g, "b2", 0, true, "{}"), QUEUE_OK);
    is("b1,b3,b2", "LRANGE " B "wait 0 -1");
    is("3", "ZSCORE " B "priority b2");
}

static void handing_back_leaves_no_trace(void **state)
{
    struct rig *g = *state;
    add(g, "b1", "{}");
    add(g, "b2", "{}");
    take(g, 1);
    server_ask(&server, "SADD " B "stalled b1");
    assert_int_equal(hand_back(g, "b1"), QUEUE_OK);
    is("b2,b1", "LRANGE " B "wait 0 -1");
    is("0", "EXISTS " B "b1:lock " B "stalled " B "active");
    is("(nil),(nil)", "HMGET " B "b1 attemptsMade stalledCounter");
    assert_int_equal(hand_back(g, "b1"), QUEUE_LOST);
    is("2", "LLEN " B "wait");
}

static void renewing(void **state)
{
    struct rig *g = *state;
    add(g, "b1", "{}");
    add(g, "b2", "{}");
    take(g, 2);
    server_ask(&server, "PEXPIRE " B "b1:lock 500");
    server_ask(&server, "SET " B "b2:lock " FOREIGN " PX 500");
    server_ask(&server, "SADD " B "stalled b1 b2");
    assert_string_equal(renew(g, "b1", "b2"), "b2 ");
    assert_true(atol(server_ask(&server, "PTTL " B "b1:lock")) > 20000);
    assert_true(atol(server_ask(&server, "PTTL " B "b2:lock")) <= 500);
    is("b2", "SMEMBERS " B "stalled");
    assert_string_equal(renew(g, "ghost", "b1"), "ghost ");
    is("0", "EXISTS " B "ghost " B "ghost:lock");
}

/* One loop turn: what was added and what was given up is taken by the same round trip. */
static void a_turn_is_one_round_trip(void **state)
{
    struct rig *g = *state;
    struct rig added = {0}, settled = {0}, taken = {0};
    add(g, "b0", "{}");
    take(g, 1);
    struct queue_job job = job_of("b0", "{}");
    queue_take(g->q, 5, on_taken, &taken);
    queue_add(g->q, "b1", "{}", 2, on_done, &added);
    queue_hand_back(g->q, "b0", on_done, &settled);
    (void)job;
    wait_for(&added);
    wait_for(&settled);
    wait_for(&taken);
    assert_string_equal(taken.text, "b0:{}:0:0 b1:{}:0:0");
}

/* ---- release */

static void releasing_a_dead_workers_jobs(void **state)
{
    struct rig *g = *state;
    struct rig dead;
    struct queue_options o = queue_options("node.1.0.7");
    rig_open(&dead, &o);
    add(g, "b1", "{}");
    add(g, "b2", "{}");
    add(g, "b3", "{}");
    add(g, "b4", "{}");
    take(g, 1);
    take(&dead, 2);
    rig_close(&dead);
    server_ask(&server, "SADD " B "stalled b2 b3");
    assert_int_equal(release(g, "node.1.0.7"), 2);
    is("b4,b3,b2", "LRANGE " B "wait 0 -1"); /* in their order */
    is("b1", "LRANGE " B "active 0 -1");
    is("0", "EXISTS " B "b2:lock " B "b3:lock " B "stalled");
    is(TOKEN, "GET " B "b1:lock");
    assert_int_equal(release(g, "node.1.0.7"), 0);
    server_ask(&server, "DEL " B "b1");
    server_ask(&server, "SET " B "meta-paused 1");
    assert_int_equal(release(g, TOKEN), 1); /* paused, and without a hash: take makes a failed job of it */
    is("b1", "LRANGE " B "paused 0 -1");
    is("0", "EXISTS " B "b1");
}

static void releasing_very_many(void **state)
{
    struct rig *g = *state;
    for (int i = 0; i < 2500; i++) {
        server_ask(&server, "RPUSH " B "active j%d", i);
        server_ask(&server, "SET " B "j%d:lock %s", i, i % 5 == 0 ? FOREIGN : "dead");
    }
    assert_int_equal(release(g, "dead"), 2000);
    is("500", "LLEN " B "active");
    is("2000", "LLEN " B "wait");
    is("j2499", "LINDEX " B "wait -1");
}

static void strays_are_released_but_not_what_is_in_hand(void **state)
{
    struct rig *g = *state;
    add(g, "b1", "{}");
    add(g, "b2", "{}");
    take(g, 2);
    const char *in_hand[] = {"b1"};
    queue_release_strays(g->q, in_hand, 1, on_released, g);
    assert_int_equal(wait_for(g), QUEUE_OK);
    assert_int_equal(g->number, 1);
    is("b1", "LRANGE " B "active 0 -1");
    is("b2", "LRANGE " B "wait 0 -1");
}

static void on_tokens(enum queue_status s, const char *const *tokens, size_t n, void *arg)
{
    struct rig *g = arg;
    g->status = s;
    g->n = n;
    g->text[0] = '\0';
    for (size_t i = 0; i < n; i++)
        snprintf(g->text + strlen(g->text), sizeof g->text - strlen(g->text), "%s ", tokens[i]);
    g->answered = true;
}

static void listing_tokens(void **state)
{
    struct rig *g = *state;
    server_ask(&server, "RPUSH " B "active a b c d e");
    server_ask(&server, "MSET " B "a:lock node.1.0.1 " B "b:lock other.1.0.1 " B "c:lock node.1.1.4 " B
                        "d:lock node.1.0.1");
    queue_list_tokens(g->q, "node.", on_tokens, g);
    wait_for(g);
    assert_string_equal(g->text, "node.1.0.1 node.1.1.4 ");
    server_ask(&server, "DEL " B "active");
    queue_list_tokens(g->q, "node.", on_tokens, g);
    wait_for(g);
    assert_int_equal(g->n, 0);
}

/* ---- tick */

struct ticks {
    uint64_t promoted, requeued, failed, completed_swept, failed_swept;
    bool promoted_any, stalled_any, counted_any, swept_any;
    struct queue_counts counts;
};

static void on_promoted(struct queue *q, uint64_t jobs, void *arg)
{
    (void)q;
    struct ticks *t = arg;
    t->promoted += jobs;
    t->promoted_any = true;
}

static void on_stalled(struct queue *q, uint64_t requeued, uint64_t failed, void *arg)
{
    (void)q;
    struct ticks *t = arg;
    t->requeued += requeued;
    t->failed += failed;
    t->stalled_any = true;
}

static void on_counted(struct queue *q, const struct queue_counts *c, void *arg)
{
    (void)q;
    struct ticks *t = arg;
    t->counts = *c;
    t->counted_any = true;
}

static void on_swept(struct queue *q, uint64_t completed, uint64_t failed, void *arg)
{
    (void)q;
    struct ticks *t = arg;
    t->completed_swept += completed;
    t->failed_swept += failed;
    t->swept_any = true;
}

static const struct queue_tick_events tick_events = {on_promoted, on_stalled, on_counted, on_swept};

static void due_jobs_are_promoted(void **state)
{
    struct rig *g = *state;
    struct ticks t = {0};
    add(g, "b1", "{}");
    add(g, "b2", "{}");
    add(g, "b3", "{}");
    take(g, 3);
    delay(g, "b1", 30, true, "{}");
    delay(g, "b2", 60000, true, "{}");
    delay(g, "b3", 30, true, "{}");
    server_ask(&server, "HSET " B "b3 priority 2");
    server_ask(&server, "ZADD " B "delayed 4096 ghost");
    server_ask(&server, "RPUSH " B "wait bx");
    listen_start();
    queue_tick_start(g->q, &tick_events, &t);
    while (t.promoted < 2) {
        t.promoted_any = false;
        assert_true(loop_until(loop, &t.promoted_any));
    }
    is("b1,bx,b3", "LRANGE " B "wait 0 -1"); /* b3 has a priority */
    is("b2", "ZRANGE " B "delayed 0 -1");
    is("ghost", "ZRANGE " B "failed 0 -1");
    is("0", "HGET " B "b1 delay");
    assert_true(strncmp(heard(), "failed {\"jobId\":\"ghost\"", 23) == 0);
    listen_stop();
    is(TOKEN, "GET " B "dray:tick");
    assert_true(atol(server_ask(&server, "PTTL " B "dray:tick")) <= 1000);
    queue_tick_stop(g->q);
    g->answered = false;
    queue_count(g->q, on_counts, g);
    wait_for(g);
    is("0", "EXISTS " B "dray:tick");
}

static void promotion_in_a_paused_queue(void **state)
{
    struct rig *g = *state;
    struct ticks t = {0};
    plant("b1", "{}");
    server_ask(&server, "DEL " B "wait");
    server_ask(&server, "ZADD " B "delayed 4096 b1");
    server_ask(&server, "SET " B "meta-paused 1");
    queue_tick_start(g->q, &tick_events, &t);
    assert_true(loop_until(loop, &t.promoted_any));
    is("b1", "LRANGE " B "paused 0 -1");
    is("0", "EXISTS " B "wait");
}

static void more_than_a_thousand_are_due(void **state)
{
    struct rig *g = *state;
    struct ticks t = {0};
    for (int i = 0; i < 2500; i++) {
        server_ask(&server, "HSET " B "d%d data {} opts {}", i);
        server_ask(&server, "ZADD " B "delayed %d d%d", i, i);
    }
    queue_tick_start(g->q, &tick_events, &t);
    while (t.promoted < 2500) {
        t.promoted_any = false;
        assert_true(loop_until(loop, &t.promoted_any));
    }
    is("d0", "LINDEX " B "wait -1");
    is("d2499", "LINDEX " B "wait 0");
}

static void one_holds_the_lease(void **state)
{
    struct rig *g = *state;
    struct ticks t = {0};
    plant("b1", "{}");
    server_ask(&server, "DEL " B "wait");
    server_ask(&server, "ZADD " B "delayed 4096 b1");
    server_ask(&server, "SET " B "dray:tick " FOREIGN " PX 600"); /* a holder that dies */
    queue_tick_start(g->q, &tick_events, &t);
    loop_for(loop, 0.2);
    assert_false(t.promoted_any || t.counted_any);
    is(FOREIGN, "GET " B "dray:tick");
    assert_true(loop_until(loop, &t.promoted_any));
    is(TOKEN, "GET " B "dray:tick");
    server_ask(&server, "SET " B "dray:tick " FOREIGN); /* taken over: giving up leaves it alone */
    queue_tick_stop(g->q);
    queue_count(g->q, on_counts, g);
    wait_for(g);
    is(FOREIGN, "GET " B "dray:tick");
}

/* The stalled script without its timing: SPOP, locks, limits. */
static void run_stalled_check(struct rig *g)
{
    struct ticks t = {0};
    server_ask(&server, "DEL " B "stalled-check " B "dray:tick");
    queue_tick_stop(g->q);
    queue_tick_start(g->q, &tick_events, &t);
    assert_true(loop_until(loop, &t.counted_any)); /* the check goes out before the count */
    queue_tick_stop(g->q);
}

static void stalled_jobs_go_back_and_then_fail(void **state)
{
    struct rig *g = *state;
    add(g, "b1", "{}");
    add(g, "b2", "{}");
    add(g, "b3", "{}");
    take(g, 2);
    server_ask(&server, "DEL " B "b1:lock");
    server_ask(&server, "LPUSH " B "active ghost");
    run_stalled_check(g);
    is("3", "LLEN " B "active"); /* the first time they are only noted */
    is("3", "SCARD " B "stalled");
    is("1", "EXISTS " B "stalled-check");
    long left = atol(server_ask(&server, "PTTL " B "stalled-check"));
    assert_true(left > 20000 && left <= 30000);
    listen_start();
    run_stalled_check(g);
    char first[512], second[512];
    snprintf(first, sizeof first, "%s", heard());
    snprintf(second, sizeof second, "%s", heard());
    assert_true(strcmp(first, "stalled@ b1") == 0 || strcmp(second, "stalled@ b1") == 0);
    listen_stop();
    is("b3,b1", "LRANGE " B "wait 0 -1"); /* taken next */
    is("b2", "LRANGE " B "active 0 -1");
    is("1", "HGET " B "b1 stalledCounter");
    is("(nil)", "HGET " B "b1 attemptsMade");
    is("ghost", "ZRANGE " B "failed 0 -1");
    is("b2", "SMEMBERS " B "stalled");
    assert_string_equal(take(g, 1), "b1:{}:0:1");
    server_ask(&server, "DEL " B "b1:lock");
    run_stalled_check(g);
    listen_start();
    run_stalled_check(g);
    assert_string_equal(heard(),
                        "failed {\"jobId\":\"b1\", \"val\": \"job stalled more than maxStalledCount\"}");
    listen_stop();
    is("job stalled more than allowable limit", "HGET " B "b1 failedReason");
    assert_non_null(strstr(server_ask(&server, "ZRANGE " B "failed 0 -1"), "b1"));
    is("b2", "LRANGE " B "active 0 -1");
}

static void stalled_jobs_of_a_paused_queue(void **state)
{
    struct rig *g = *state;
    add(g, "b1", "{}");
    take(g, 1);
    server_ask(&server, "DEL " B "b1:lock");
    server_ask(&server, "SADD " B "stalled b1 unknown");
    server_ask(&server, "SET " B "meta-paused 1");
    run_stalled_check(g);
    is("b1", "LRANGE " B "paused 0 -1");
    is("0", "EXISTS " B "unknown " B "wait");
}

static void stalled_check_is_throttled_for_all(void **state)
{
    struct rig *g = *state;
    struct ticks t = {0};
    add(g, "b1", "{}");
    take(g, 1);
    server_ask(&server, "DEL " B "b1:lock");
    server_ask(&server, "SADD " B "stalled b1");
    server_ask(&server, "SET " B "stalled-check 1 PX 600000");
    queue_tick_start(g->q, &tick_events, &t);
    assert_true(loop_until(loop, &t.counted_any));
    is("b1", "LRANGE " B "active 0 -1");
}

static void a_failed_stall_honours_the_options(void **state)
{
    struct rig *g = *state;
    plant("b1", "{\"removeOnFail\":true}");
    take(g, 1);
    server_ask(&server, "DEL " B "b1:lock");
    server_ask(&server, "HSET " B "b1 stalledCounter 1");
    server_ask(&server, "SADD " B "stalled b1");
    run_stalled_check(g);
    is("0", "EXISTS " B "b1 " B "failed " B "active");
}

static void old_finished_jobs_are_swept(void **state)
{
    struct rig *g = *state;
    struct ticks t = {0};
    struct queue_options o = queue_options(TOKEN);
    o.keep_completed_count = 10;
    queue_free(g->q);
    g->q = queue_new(loop, g->r, &o);
    double now = atof(server_ask(&server, "TIME")) * 1000;
    for (int i = 0; i < 700; i++) {
        server_ask(&server, "HSET " B "c%d data {}", i);
        server_ask(&server, "ZADD " B "completed %.0f c%d", now + i, i);
    }
    for (int i = 0; i < 3; i++) {
        server_ask(&server, "HSET " B "f%d data {}", i);
        server_ask(&server, "ZADD " B "failed %.0f f%d", i == 0 ? 1000.0 : now, i);
    }
    queue_tick_start(g->q, &tick_events, &t);
    while (t.completed_swept < 690) {
        t.swept_any = false;
        assert_true(loop_until(loop, &t.swept_any));
    }
    is("10", "ZCARD " B "completed");
    is("0", "EXISTS " B "c0 " B "c689 " B "f0");
    is("1", "EXISTS " B "c690");
    is("f1,f2", "ZRANGE " B "failed 0 -1");
    assert_int_equal(t.failed_swept, 1);
    assert_int_equal(add(g, "c5", "{}"), QUEUE_DUPLICATE);
}

static void counting(void **state)
{
    struct rig *g = *state;
    plant("1", "{}");
    plant("2", "{}");
    plant("3", "{}");
    take(g, 1);
    server_ask(&server, "ZADD " B "delayed 4096 x");
    server_ask(&server, "ZADD " B "completed 1 a 2 b");
    server_ask(&server, "ZADD " B "failed 1 c");
    queue_count(g->q, on_counts, g);
    assert_int_equal(wait_for(g), QUEUE_OK);
    assert_int_equal(g->counts.wait, 2);
    assert_int_equal(g->counts.active, 1);
    assert_int_equal(g->counts.delayed, 1);
    assert_int_equal(g->counts.completed, 2);
    assert_int_equal(g->counts.failed, 1);
    assert_true(g->counts.promote_lag_ms > 1000000);
    assert_false(g->counts.is_paused);
    server_ask(&server, "RENAME " B "wait " B "paused");
    server_ask(&server, "SET " B "meta-paused 1");
    server_ask(&server, "DEL " B "2"); /* the next one is a ghost */
    queue_count(g->q, on_counts, g);
    wait_for(g);
    assert_int_equal(g->counts.paused, 2);
    assert_int_equal(g->counts.oldest_wait_ms, 0);
    assert_true(g->counts.is_paused);
}

/* ---- waker */

static void on_wake(void *arg)
{
    *(bool *)arg = true;
}

static bool is_blocked(void)
{
    return strstr(server_ask(&server, "CLIENT LIST"), "cmd=blmove") != NULL;
}

static void waker_wakes_and_moves_nothing(void **state)
{
    (void)state;
    struct redis_options ro = redis_options();
    struct queue_options o = queue_options(TOKEN);
    bool woken = false, second = false;
    struct queue_waker *w = queue_waker_new(loop, &ro, &o, on_wake, &woken);
    struct queue_waker *v = queue_waker_new(loop, &ro, &o, on_wake, &second);
    queue_waker_arm(w);
    queue_waker_arm(v);
    while (!is_blocked() ||
           strstr(strstr(server_ask(&server, "CLIENT LIST"), "cmd=blmove") + 1, "cmd=blmove") == NULL)
        loop_for(loop, 0.01);
    assert_non_null(strstr(server_ask(&server, "CLIENT LIST"), "name={t}:cQ==:w:" TOKEN));
    assert_true(queue_waker_client_id(w) > 0);
    server_ask(&server, "RPUSH " B "wait a b");
    assert_true(loop_until(loop, &woken));
    assert_true(loop_until(loop, &second));
    is("a,b", "LRANGE " B "wait 0 -1");
    woken = second = false;
    loop_for(loop, 0.05);
    assert_false(woken); /* only when armed */
    queue_waker_arm(w);
    assert_true(loop_until(loop, &woken)); /* something waits already */
    queue_waker_free(w);
    queue_waker_free(v);
}

static void waker_in_a_full_redis(void **state)
{
    (void)state;
    struct redis_options ro = redis_options();
    struct queue_options o = queue_options(TOKEN);
    bool woken = false;
    server_ask(&server, "CONFIG SET maxmemory 1mb");
    struct queue_waker *w = queue_waker_new(loop, &ro, &o, on_wake, &woken);
    queue_waker_arm(w);
    assert_true(loop_until(loop, &woken));
    server_ask(&server, "CONFIG SET maxmemory 0");
    queue_waker_free(w);
}

static void waker_survives_a_lost_connection(void **state)
{
    (void)state;
    struct redis_options ro = redis_options();
    struct queue_options o = queue_options(TOKEN);
    bool woken = false;
    struct queue_waker *w = queue_waker_new(loop, &ro, &o, on_wake, &woken);
    queue_waker_arm(w);
    while (!is_blocked())
        loop_for(loop, 0.01);
    int64_t id = queue_waker_client_id(w);
    server_ask(&server, "CLIENT KILL ID %lld", (long long)id);
    while (!is_blocked() || queue_waker_client_id(w) == id)
        loop_for(loop, 0.01);
    server_ask(&server, "LPUSH " B "wait a");
    assert_true(loop_until(loop, &woken));
    queue_waker_free(w);
}

/* ---- the object */

static void freeing_answers_everything(void **state)
{
    struct rig *g = *state;
    struct rig a = {0}, b = {0}, c = {0}, d = {0};
    struct queue_job job = job_of("b1", "{}");
    queue_count(g->q, on_counts, &a); /* sent at once */
    queue_add(g->q, "b1", "{}", 2, on_done, &b);
    queue_complete(g->q, &job, "null", on_done, &c);
    queue_take(g->q, 1, on_taken, &d);
    queue_free(g->q);
    g->q = NULL;
    assert_true(a.answered && b.answered && c.answered && d.answered);
    assert_int_equal(a.status, QUEUE_UNKNOWN);
    assert_int_equal(b.status, QUEUE_AWAY);
    assert_int_equal(c.status, QUEUE_AWAY);
    assert_int_equal(d.status, QUEUE_AWAY);
    loop_for(loop, 0.05); /* the late reply finds nobody */
}

static void on_counts_free(enum queue_status s, const struct queue_counts *c, void *arg)
{
    struct rig *g = arg;
    (void)c;
    queue_free(g->q);
    g->q = NULL;
    g->status = s;
    g->answered = true;
}

static void freeing_inside_a_callback(void **state)
{
    struct rig *g = *state;
    queue_count(g->q, on_counts_free, g);
    wait_for(g);
    loop_for(loop, 0.02);
}

static void names(void **state)
{
    (void)state;
    char text[128];
    struct queue_options o = queue_options("tok");
    o.prefix = "bull";
    o.name = "t";
    assert_string_equal(queue_key("{a}", "b", "wait", text, sizeof text), "{a}:b:wait");
    assert_string_equal(queue_client_name(&o, text, sizeof text),
                        "bull:dA==:w:tok"); /* as seen with bull 4.16.5 */
    assert_string_equal(queue_status_name(QUEUE_LOST), "lost");
}

/* One hash tag is enough for Cluster; SORT_RO with GET is denied there, so the data comes by HGET. */
static void in_a_cluster(void **state)
{
    (void)state;
    static const char *const args[] = {"--cluster-enabled", "yes", NULL};
    static const struct redis_events events = {.ready = on_ready};
    struct server alone = server, cluster;
    struct rig g = {0};
    struct ticks t = {0};
    struct queue_options o = queue_options(TOKEN);
    server_start(&cluster, args);
    server = cluster; /* for what looks at it */
    server_ask(&server, "CLUSTER ADDSLOTSRANGE 0 16383");
    while (strstr(server_ask(&server, "CLUSTER INFO"), "cluster_state:ok") == NULL)
        usleep(10000);
    struct redis_options ro = redis_options();
    g.r = redis_new(loop, &ro, &events, &g);
    assert_true(loop_until(loop, &g.ready));
    g.q = queue_new(loop, g.r, &o);
    assert_int_equal(add(&g, "b1", "{\"n\":1}"), QUEUE_OK);
    assert_int_equal(add(&g, "b2", "{\"n\":2}"), QUEUE_OK);
    assert_int_equal(add(&g, "b2", "{\"n\":2}"), QUEUE_DUPLICATE);
    assert_string_equal(take(&g, 5), "b1:{\"n\":1}:0:0 b2:{\"n\":2}:0:0");
    assert_string_equal(renew(&g, "b1", "b2"), "");
    assert_int_equal(complete(&g, "b1", "{\"removeOnComplete\":true}"), QUEUE_OK);
    assert_int_equal(delay(&g, "b2", 10, true, "{}"), QUEUE_OK);
    queue_tick_start(g.q, &tick_events, &t);
    assert_true(loop_until(loop, &t.promoted_any));
    assert_true(loop_until(loop, &t.counted_any));
    assert_string_equal(take(&g, 5), "b2:{\"n\":2}:1:0");
    assert_int_equal(release(&g, TOKEN), 1);
    rig_close(&g);
    server_stop(&server);
    server = alone;
}

static int start_server(void **state)
{
    (void)state;
    signal(SIGPIPE, SIG_IGN);
    loop = ev_default_loop(0);
    queue_register_scripts();
    server_start(&server, NULL);
    return 0;
}

static int stop_server(void **state)
{
    (void)state;
    server_stop(&server);
    return 0;
}

#define T(f) cmocka_unit_test_setup_teardown(f, rig_setup, rig_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(add_writes_what_bull_writes),
        T(add_twice_is_a_duplicate),
        T(add_knows_removed_jobs_for_a_while),
        T(add_to_a_paused_queue),
        T(add_many_in_order),
        T(add_to_a_full_redis),
        T(add_when_wait_is_no_list),
        T(add_after_the_script_was_forgotten),
        T(add_while_redis_is_away),
        T(take_locks),
        T(take_reads_bulls_jobs),
        T(take_after_the_script_was_forgotten),
        T(take_with_rights_on_its_own_keys_only),
        T(take_moves_ghosts_to_failed),
        T(take_from_a_paused_queue),
        T(take_leaves_a_locked_job),
        T(complete_writes_what_bull_writes),
        T(fail_writes_what_bull_writes),
        T(settling_needs_the_lock),
        T(settling_a_missing_job),
        T(settling_in_a_paused_queue),
        T(retention_by_the_jobs_own_options),
        T(retention_by_default),
        T(stack_traces_are_bounded),
        T(delay_is_due_by_redis_clock),
        T(a_retry_without_delay_goes_to_its_end),
        T(handing_back_leaves_no_trace),
        T(renewing),
        T(a_turn_is_one_round_trip),
        T(releasing_a_dead_workers_jobs),
        T(releasing_very_many),
        T(strays_are_released_but_not_what_is_in_hand),
        T(listing_tokens),
        T(due_jobs_are_promoted),
        T(promotion_in_a_paused_queue),
        T(more_than_a_thousand_are_due),
        T(one_holds_the_lease),
        T(stalled_jobs_go_back_and_then_fail),
        T(stalled_jobs_of_a_paused_queue),
        T(stalled_check_is_throttled_for_all),
        T(a_failed_stall_honours_the_options),
        T(old_finished_jobs_are_swept),
        T(counting),
        T(waker_wakes_and_moves_nothing),
        T(waker_in_a_full_redis),
        T(waker_survives_a_lost_connection),
        T(freeing_answers_everything),
        T(freeing_inside_a_callback),
        cmocka_unit_test(in_a_cluster),
        cmocka_unit_test(names),
    };
    return cmocka_run_group_tests(tests, start_server, stop_server);
}
