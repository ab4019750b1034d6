/* queue_duties_test - what a worker of a Bull queue owes: limiter, metrics, longest run, jobs that are none, a full
 * Redis. As queue_test. */
#include "tests/unit/queue_rig.h"

static void reopen(struct rig *g, const struct queue_options *o)
{
    queue_free(g->q);
    g->q = queue_new(loop, g->r, o);
}

static void add_many(struct rig *g, const char *prefix, int n)
{
    for (int i = 0; i < n; i++) {
        char id[32];
        snprintf(id, sizeof id, "%s%d", prefix, i);
        assert_int_equal(add(g, id, "{}"), QUEUE_OK);
    }
}

struct answers { /* to jobs settled in one turn */
    enum queue_status s[8];
    size_t n, wanted;
    bool all;
};

static void on_answer(enum queue_status s, const char *why, void *arg)
{
    (void)why;
    struct answers *a = arg;
    assert_true(a->n < a->wanted);
    a->s[a->n++] = s;
    a->all = a->n == a->wanted;
}

/* ---- Bull's limiter */

static void limiter_counts_for_all(void **state)
{
    struct rig *g = *state;
    struct queue_options o = queue_options(TOKEN);
    o.limiter_jobs = 3;
    o.limiter_ms = 60000;
    reopen(g, &o);
    add_many(g, "b", 6);
    server_ask(&server, "SET " B "limiter 1 PX 50000"); /* a Bull worker had started one */
    server_ask(&server, "SADD " B "limiter:limited b0");
    server_ask(&server, "HSET " B "limiter:index b0 " B "limiter:limited");
    assert_string_equal(take(g, 5), "b0:{}:0:0 b1:{}:0:0");
    assert_int_equal(queue_limited_ms(g->q), 0); /* told by the next one, which finds the window full */
    is("3", "GET " B "limiter");
    is("0", "EXISTS " B "limiter:limited " B "limiter:index");
    assert_string_equal(take(g, 5), "");
    assert_true(queue_limited_ms(g->q) > 40000 && queue_limited_ms(g->q) <= 50000);
    is("4", "LLEN " B "wait"); /* nothing is lost, nothing is moved */
    is("0", "ZCARD " B "delayed");
    server_ask(&server, "DEL " B "limiter");
    assert_string_equal(take(g, 2), "b2:{}:0:0 b3:{}:0:0");
    is("2", "GET " B "limiter");
    assert_true(atol(server_ask(&server, "PTTL " B "limiter")) > 50000);
    server_ask(&server, "PERSIST " B "limiter"); /* a window that never ends */
    server_ask(&server, "SET " B "limiter 9");
    assert_string_equal(take(g, 2), "");
    assert_true(atol(server_ask(&server, "PTTL " B "limiter")) > 50000);
}

static void limiter_by_group(void **state)
{
    struct rig *g = *state;
    struct queue_options o = queue_options(TOKEN);
    o.limiter_jobs = 1;
    o.limiter_ms = 60000;
    o.limiter_by_group = true;
    reopen(g, &o);
    plant("1:red", "{}");
    plant("2:red", "{}");
    plant("3:blue", "{}");
    plant("4:red", "{}");
    assert_string_equal(take(g, 5), "1:red:{\"n\":1}:0:0 3:blue:{\"n\":1}:0:0");
    is("1", "GET " B "limiter:red");
    is("1", "GET " B "limiter:blue");
    is("2:red,4:red", "ZRANGE " B "delayed 0 -1"); /* the fourth behind the second, as in Bull */
    is(B "limiter:red:limited", "HGET " B "limiter:index 2:red");
    is("2", "SCARD " B "limiter:red:limited");
    is("0", "EXISTS " B "2:red:lock " B "wait");
    server_ask(&server, "DEL " B "limiter:red " B "delayed");
    server_ask(&server, "RPUSH " B "wait 2:red");
    assert_string_equal(take(g, 5), "2:red:{\"n\":1}:0:0");
    is("1", "SCARD " B "limiter:red:limited");
    is("0", "HEXISTS " B "limiter:index 2:red");
}

/* Keys of the limiter that are something else stop nobody. */
static void limiter_of_other_keys(void **state)
{
    struct rig *g = *state;
    struct queue_options o = queue_options(TOKEN);
    o.limiter_jobs = 2;
    o.limiter_ms = 60000;
    reopen(g, &o);
    add_many(g, "b", 1);
    server_ask(&server, "RPUSH " B "limiter x");
    server_ask(&server, "SET " B "limiter:limited x");
    assert_string_equal(take(g, 5), "b0:{}:0:0");
    o.limiter_by_group = true;
    reopen(g, &o);
    plant("1:red", "{}");
    server_ask(&server, "RPUSH " B "limiter:red x");
    assert_string_equal(take(g, 5), "1:red:{\"n\":1}:0:0");
}

/* ---- Bull's metrics */

static void metrics_are_bulls(void **state)
{
    struct rig *g = *state;
    struct queue_options o = queue_options(TOKEN);
    o.metrics_points = 3;
    reopen(g, &o);
    add_many(g, "b", 4);
    take(g, 4);
    assert_int_equal(complete(g, "b0", "{}"), QUEUE_OK);
    is("1", "HGET " B "metrics:completed count");
    is("0", "HGET " B "metrics:completed prevCount");
    is("0", "EXISTS " B "metrics:completed:data");
    assert_int_equal(complete(g, "b1", "{\"removeOnComplete\":true}"), QUEUE_OK);
    server_ask(&server, "EVAL %s 0", "redis.call('HINCRBY', '" B "metrics:completed', 'prevTS', -120000)");
    assert_int_equal(complete(g, "b2", "{}"), QUEUE_OK);
    is("0,2", "LRANGE " B "metrics:completed:data 0 -1"); /* two minutes ago 2, none in the last one */
    is("3", "HGET " B "metrics:completed count");
    is("2", "HGET " B "metrics:completed prevCount");
    server_ask(&server, "HSET " B "metrics:completed prevTS 1");
    add(g, "b9", "{}");
    take(g, 1);
    assert_int_equal(complete(g, "b9", "{}"), QUEUE_OK);
    is("3", "LLEN " B "metrics:completed:data");
    assert_int_equal(fail_job(g, "b3", "{}", "x"), QUEUE_OK);
    is("1", "HGET " B "metrics:failed count");
    o.metrics_points = 0;
    reopen(g, &o);
    add(g, "c", "{}");
    take(g, 1);
    assert_int_equal(complete(g, "c", "{}"), QUEUE_OK);
    is("4", "HGET " B "metrics:completed count");
}

/* ---- many at once */

/* Jobs that are not the oldest of active, or not in it, among those that are. */
static void settling_out_of_order(void **state)
{
    struct rig *g = *state;
    static const char *const ids[] = {"b1", "b3", "b0", "b7", "b2"};
    struct answers a = {.wanted = 5};
    add_many(g, "b", 8);
    take(g, 8);
    server_ask(&server, "LREM " B "active 0 b3");
    for (size_t i = 0; i < 5; i++) {
        struct queue_job job = job_of(ids[i], "{}");
        queue_complete(g->q, &job, "1", on_answer, &a);
    }
    assert_true(loop_until(loop, &a.all));
    for (size_t i = 0; i < 5; i++)
        assert_int_equal(a.s[i], i == 1 ? QUEUE_LOST : QUEUE_OK);
    is("b6,b5,b4", "LRANGE " B "active 0 -1");
    is("4", "ZCARD " B "completed");
    is("0", "EXISTS " B "b0:lock " B "b3:lock");
}

static int published(void)
{
    const char *stat = strstr(server_ask(&server, "INFO commandstats"), "cmdstat_publish:calls=");
    return stat != NULL ? atoi(stat + strlen("cmdstat_publish:calls=")) : 0;
}

/* Who listens at a replica is not known here; the replica came while it was known that there is none. */
static void many_are_published_when_replicated(void **state)
{
    struct rig *g = *state;
    add_many(g, "a", 8);
    while (!redis_is_alone(g->r)) {
        ev_run(loop, EVRUN_NOWAIT);
        usleep(1000);
    }
    redisContext *replica = redisConnectUnix(server.path);
    assert_non_null(replica);
    redisAppendCommand(replica, "PSYNC ? -1");
    int written = 0;
    while (!written)
        assert_int_equal(redisBufferWrite(replica, &written), 0);
    while (strstr(server_ask(&server, "INFO replication"), "connected_slaves:1") == NULL)
        usleep(1000);
    while (redis_is_alone(g->r)) {
        ev_run(loop, EVRUN_NOWAIT);
        usleep(1000);
    }
    server_ask(&server, "CONFIG RESETSTAT");
    take(g, 8);
    assert_int_equal(published(), 8);
    redisFree(replica);
}

/* Of many only the first is published when nobody hears it, and everything when somebody does. */
static void many_are_published_when_heard(void **state)
{
    struct rig *g = *state;
    struct answers a = {.wanted = 7};
    add_many(g, "a", 8);
    server_ask(&server, "CONFIG RESETSTAT");
    take(g, 8);
    assert_int_equal(published(), 1);
    add_many(g, "b", 7);
    listen_start();
    take(g, 7);
    for (int i = 0; i < 7; i++) {
        char expected[64];
        snprintf(expected, sizeof expected, "active@" TOKEN " b%d", i);
        assert_string_equal(heard(), expected);
    }
    for (int i = 0; i < 7; i++) {
        char id[32];
        snprintf(id, sizeof id, "b%d", i);
        struct queue_job job = job_of(id, "{}");
        queue_complete(g->q, &job, "7", on_answer, &a);
    }
    assert_true(loop_until(loop, &a.all));
    for (int i = 0; i < 7; i++) {
        char expected[64];
        snprintf(expected, sizeof expected, "completed {\"jobId\":\"b%d\",\"val\":\"7\"}", i);
        assert_string_equal(heard(), expected);
    }
    listen_stop();
}

static void takes_are_bounded_by_bytes(void **state)
{
    struct rig *g = *state;
    server_ask(&server, "EVAL %s 0",
               "for i = 1, 5 do redis.call('HSET', '" B
               "big' .. i, 'opts', '{}', 'data', string.rep('7', 12000000)) "
               "redis.call('LPUSH', '" B "wait', 'big' .. i) end "
               "redis.call('HSET', '" B "huge', 'opts', '{}', 'data', string.rep('7', 17000000)) "
               "redis.call('RPUSH', '" B "wait', 'huge')");
    take(g, 10);
    assert_int_equal(g->n, 2);
    is("3", "LLEN " B "wait");
    is("job data too large", "HGET " B "huge failedReason");
    take(g, 10);
    assert_int_equal(g->n, 2);
    take(g, 10);
    assert_int_equal(g->n, 1);
}

/* ---- the longest run */

static struct ticks checked;

static void run_check(struct rig *g)
{
    memset(&checked, 0, sizeof checked);
    server_ask(&server, "DEL " B "stalled-check");
    queue_tick_start(g->q, &tick_events, &checked);
    for (int i = 0; i < 500 && strcmp(server_ask(&server, "EXISTS " B "stalled-check"), "1") != 0; i++)
        ev_run(loop, EVRUN_ONCE);
    queue_tick_stop(g->q);
    is("1", "EXISTS " B "stalled-check");
}

static void a_renewed_lock_is_no_proof_of_life(void **state)
{
    struct rig *g = *state;
    struct queue_options o = queue_options(TOKEN);
    o.max_run_ms = 600000;
    reopen(g, &o);
    add_many(g, "b", 3);
    take(g, 3);
    server_ask(&server, "HINCRBY " B "b1 processedOn -700000");
    server_ask(&server, "HSET " B "b2 processedOn rubbish");
    assert_string_equal(renew(g, "b1", "b2"), "");
    run_check(g);
    is("b1", "LRANGE " B "wait 0 -1"); /* at once: this is no doubt about its lock */
    is("b2,b0", "LRANGE " B "active 0 -1");
    is("1", "HGET " B "b1 stalledCounter");
    is("0", "EXISTS " B "b1:lock");
    assert_string_equal(renew(g, "b1", "b2"), "b1 ");
    assert_int_equal(complete(g, "b1", "{}"), QUEUE_LOST); /* the late finisher changes nothing */
    is("(nil)", "HGET " B "b1 returnvalue");
    take(g, 1);
    server_ask(&server, "HINCRBY " B "b1 processedOn -700000");
    run_check(g);
    is("job stalled more than allowable limit", "HGET " B "b1 failedReason"); /* max_stalled is 1 */
    o.max_run_ms = 0;
    reopen(g, &o);
    server_ask(&server, "HINCRBY " B "b0 processedOn -700000");
    run_check(g);
    is("b2,b0", "LRANGE " B "active 0 -1");
}

/* ---- what is no job */

static void plant_broken(int i)
{
    char key[64];
    snprintf(key, sizeof key, B "x%d", i);
    switch (i % 7) {
    case 0: /* a ghost */
        break;
    case 1:
        server_ask(&server, "SET %s text", key);
        break;
    case 2:
        server_ask(&server, "RPUSH %s a b", key);
        break;
    case 3:
        server_ask(&server, "HSET %s opts {} timestamp 1", key);
        break;
    case 4:
        server_ask(&server, "ZADD %s 1 a", key);
        break;
    case 5:
        server_ask(&server, "HSET %s data %s", key, "");
        break;
    default:
        server_ask(&server, "SADD %s a", key);
    }
    server_ask(&server, "LPUSH " B "wait x%d", i);
}

static void what_is_no_job_ends_in_failed(void **state)
{
    struct rig *g = *state;
    char expected[1024] = "";
    for (int i = 0; i < 35; i++) {
        char id[16];
        plant_broken(i);
        snprintf(id, sizeof id, "g%d", i);
        add(g, id, "{}");
        size_t used = strlen(expected);
        snprintf(expected + used, sizeof expected - used, "%sg%d:{}:0:0", i > 0 ? " " : "", i);
    }
    static const char *const own[] = {"wait", "meta", "limiter:index", "", "id"};
    for (size_t i = 0; i < 5; i++)
        server_ask(&server, "LPUSH " B "wait %s", own[i]);
    server_ask(&server, "EVAL %s 0",
               "redis.call('HSET', '" B "n\\0l', 'data', '{}') redis.call('LPUSH', '" B "wait', 'n\\0l')");
    assert_string_equal(take(g, 200), expected);
    is("0", "LLEN " B "wait");
    is("35", "LLEN " B "active");
    is("41", "ZCARD " B "failed");
    is("OK", "EVAL %s 0",
       "for _, id in ipairs(redis.call('ZRANGE', '" B "failed', 0, -1)) do "
       "local j = redis.call('HMGET', '" B "' .. id, 'name', 'data', 'opts', 'failedReason', 'finishedOn') "
       "for k = 1, 5 do if not j[k] then return id .. ' has no field ' .. k end end end return redis.status_reply('OK')");
    is("text", "GET " B "x1"); /* what is no job of ours stays as it is */
}

/* A hash that is exchanged under a job in hand, numbers that are none, a lock that never ends. */
static void odd_fields_do_not_stop_a_queue(void **state)
{
    struct rig *g = *state;
    static const char *const ids[] = {"b0", "b1", "b2"};
    struct answers a = {.wanted = 3};
    add_many(g, "b", 5);
    server_ask(&server, "SET " B "b4:lock somebody");
    server_ask(&server, "HSET " B "b1 stalledCounter much attemptsMade NaN stacktrace [[[ priority inf");
    take(g, 5);
    assert_int_equal(g->n, 5);
    server_ask(&server, "DEL " B "b0");
    server_ask(&server, "SET " B "b0 text");
    for (size_t i = 0; i < 3; i++) {
        struct queue_job job = job_of(ids[i], "{}");
        queue_fail(g->q, &job, "x", on_answer, &a);
    }
    assert_true(loop_until(loop, &a.all));
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(a.s[i], i == 0 ? QUEUE_BROKEN : QUEUE_OK);
    is("1", "HGET " B "b1 attemptsMade");
    is("[\"x\"]", "HGET " B "b1 stacktrace");
    is("3", "ZCARD " B "failed");
    server_ask(&server, "HSET " B "b3 stalledCounter much");
    assert_int_equal(release(g, TOKEN), 2);
    is("1", "HGET " B "b3 stalledCounter");
    take(g, 2);
    server_ask(&server, "HSET " B "b4 stalledCounter much");
    server_ask(&server, "DEL " B "b3:lock " B "b4:lock " B "b3");
    server_ask(&server, "SET " B "b3 text");
    run_check(g);
    run_check(g);
    is("b4", "LRANGE " B "wait 0 -1");
    is("0", "LLEN " B "active");
    is("4", "ZCARD " B "failed");
}

/* ---- a full Redis: every script but add goes on */

static void a_full_redis_drains(void **state)
{
    struct rig *g = *state;
    struct queue_options o = queue_options(TOKEN);
    struct ticks t = {0};
    o.metrics_points = 10;
    o.max_run_ms = 600000;
    reopen(g, &o);
    add_many(g, "b", 8);
    server_ask(&server, "ZADD " B "delayed 1 late");
    server_ask(&server, "HSET " B "late data {} opts {}");
    server_ask(&server, "CONFIG SET maxmemory 1");
    assert_int_equal(add(g, "c", "{}"), QUEUE_REFUSED);
    take(g, 7);
    assert_int_equal(g->n, 7);
    assert_string_equal(renew(g, "b0", "b1"), "");
    assert_int_equal(complete(g, "b0", "{}"), QUEUE_OK);
    assert_int_equal(fail_job(g, "b1", "{}", "x"), QUEUE_OK);
    assert_int_equal(delay(g, "b2", 60000, true, "{}"), QUEUE_OK);
    assert_int_equal(delay(g, "b3", 0, true, "{}"), QUEUE_OK);
    assert_int_equal(hand_back(g, "b4"), QUEUE_OK);
    server_ask(&server, "DEL " B "b5:lock");
    queue_tick_start(g->q, &tick_events, &t);
    assert_true(loop_until(loop, &t.promoted_any));
    assert_true(loop_until(loop, &t.counted_any));
    queue_tick_stop(g->q);
    run_check(g);
    run_check(g);
    is("1", "HGET " B "b5 stalledCounter");
    assert_int_equal(release(g, TOKEN), 1);
    is("0", "LLEN " B "active");
    is("6", "LLEN " B "wait");
    server_ask(&server, "CONFIG SET maxmemory 0");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(limiter_counts_for_all),
        T(limiter_by_group),
        T(limiter_of_other_keys),
        T(metrics_are_bulls),
        T(settling_out_of_order),
        T(many_are_published_when_heard),
        T(many_are_published_when_replicated),
        T(takes_are_bounded_by_bytes),
        T(a_renewed_lock_is_no_proof_of_life),
        T(what_is_no_job_ends_in_failed),
        T(odd_fields_do_not_stop_a_queue),
        T(a_full_redis_drains),
    };
    return cmocka_run_group_tests(tests, start_server, stop_server);
}
