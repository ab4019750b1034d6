/* The verbs on many jobs: bounded calls, dry runs, limits, what must stay. */
#include "common/queue/admin.h"

#include "tests/unit/queue_admin_rig.h"

/* n jobs PREFIX1.. in a list (the first is next) or set (scores 1..), written in one go. */
static void plant_many(const char *state, const char *prefix, int n)
{
    bool is_list = strcmp(state, "wait") == 0 || strcmp(state, "paused") == 0 || strcmp(state, "active") == 0;
    is("1", "EVAL %s 1 " B " %s %s %d %s",
       "for i = 1, ARGV[3] do local id = ARGV[2] .. i "
       "redis.call('HSET', KEYS[1] .. id, 'data', '{}', 'opts', '{}', 'timestamp', 1795220944860) "
       "if ARGV[4] == 'list' then redis.call('LPUSH', KEYS[1] .. ARGV[1], id) "
       "else redis.call('ZADD', KEYS[1] .. ARGV[1], i, id) end end return 1",
       state, prefix, n, is_list ? "list" : "set");
}

static void lock(const char *id)
{
    server_ask(&server, "SET " B "%s:lock " FOREIGN, id);
}

static const char *retry_all(struct rig *g, bool dry, uint64_t max)
{
    struct queue_bulk b = bulk(g, dry, max);
    queue_retry_all(g->q, &b);
    return bulk_end(g);
}

static const char *promote_all(struct rig *g, bool dry, uint64_t max)
{
    struct queue_bulk b = bulk(g, dry, max);
    queue_promote_all(g->q, &b);
    return bulk_end(g);
}

static const char *clean(struct rig *g, enum queue_state state, uint64_t grace_ms, bool dry, uint64_t max)
{
    struct queue_bulk b = bulk(g, dry, max);
    queue_clean(g->q, state, grace_ms, &b);
    return bulk_end(g);
}

static const char *drain(struct rig *g, bool delayed, bool dry)
{
    struct queue_bulk b = bulk(g, dry, 0);
    queue_drain(g->q, delayed, &b);
    return bulk_end(g);
}

static const char *matching(struct rig *g, const char *pattern, bool dry, uint64_t max)
{
    struct queue_bulk b = bulk(g, dry, max);
    queue_remove_matching(g->q, pattern, &b);
    return bulk_end(g);
}

static const char *obliterate(struct rig *g, bool force, bool dry)
{
    struct queue_bulk b = bulk(g, dry, 0);
    queue_obliterate(g->q, force, &b);
    return bulk_end(g);
}

/* ---- retry and promote */

static void retry_goes_in_batches(void **state)
{
    struct rig *g = *state;
    plant_many("failed", "f", 2500);
    server_ask(&server, "ZADD " B "failed 0 ghost");
    lock("f7");
    assert_string_equal(retry_all(g, true, 0), "ok 2499 2");
    is("2501", "ZCARD " B "failed");
    assert_string_equal(retry_all(g, false, 3), "ok 3 1");
    is("f3,f2,f1", "LRANGE " B "wait 0 -1");
    assert_string_equal(retry_all(g, false, 0), "ok 2496 2");
    assert_true(g->number >= 3);
    is("ghost,f7", "ZRANGE " B "failed 0 -1");
    is("2499", "LLEN " B "wait");
    is("f1", "LINDEX " B "wait -1");
    assert_true(atoll(server_ask(&server, "HGET " B "f2500 retriedOn")) > 0);
    assert_string_equal(retry_all(g, false, 0), "ok 0 2");
}

static void promote_goes_in_batches(void **state)
{
    struct rig *g = *state;
    plant_many("delayed", "d", 1200);
    pause_queue(g, true);
    assert_string_equal(promote_all(g, true, 0), "ok 1200 0");
    assert_string_equal(promote_all(g, true, 1100), "ok 1100 0");
    assert_string_equal(promote_all(g, false, 1100), "ok 1100 0");
    is("100", "ZCARD " B "delayed");
    is("d1100", "LINDEX " B "paused 0");
    assert_string_equal(promote_all(g, false, 0), "ok 100 0");
    is("0", "EXISTS " B "delayed " B "wait");
}

/* Each priority is looked for in the whole list: the calls become shorter instead of longer. */
static void priorities_shorten_the_calls(void **state)
{
    struct rig *g = *state;
    plant_many("delayed", "d", 900);
    for (int i = 1; i <= 900; i++)
        server_ask(&server, "HSET " B "d%d priority %d", i, i % 7 + 1);
    assert_string_equal(promote_all(g, false, 0), "ok 900 0");
    assert_true(g->number > 1);
    is("900", "LLEN " B "wait");
    is("d7", "LINDEX " B "wait -1");
}

/* ---- clean and drain */

static void clean_by_age(void **state)
{
    struct rig *g = *state;
    static const char *const states[] = {"wait", "paused", "active", "delayed"};
    for (size_t i = 0; i < 4; i++) {
        enum queue_state st;
        assert_true(queue_state_of(states[i], &st));
        server_ask(&server, "FLUSHALL");
        plant_many(states[i], "j", 5);
        server_ask(&server, "HSET " B "j2 processedOn 4000000000000"); /* begun lately */
        server_ask(&server, "HSET " B "j4 timestamp 17");              /* fewer digits: older, not newer */
        server_ask(&server, "HSET " B "j5 timestamp 4000000000000");
        server_ask(&server, "HDEL " B "j1 timestamp");
        lock("j3");
        assert_string_equal(clean(g, st, 60000, true, 0), "ok 2 1");
        assert_string_equal(clean(g, st, 60000, true, 1), "ok 1 0");
        assert_string_equal(clean(g, st, 60000, false, 1), "ok 1 0");
        is("0", "EXISTS " B "j1");
        assert_string_equal(clean(g, st, 60000, false, 0), "ok 1 1");
        is("0", "EXISTS " B "j4");
        is(st == QUEUE_STATE_DELAYED ? "j2,j3,j5" : "j5,j3,j2",
           st == QUEUE_STATE_DELAYED ? "ZRANGE " B "%s 0 -1" : "LRANGE " B "%s 0 -1", states[i]);
        is("3", "EXISTS " B "j2 " B "j3 " B "j5");
    }
}

static void clean_finished(void **state)
{
    struct rig *g = *state;
    plant_many("completed", "c", 2300); /* finished in 1970 */
    server_ask(&server, "ZADD " B "completed 4000000000000 late");
    server_ask(&server, "HSET " B "late data {}");
    server_ask(&server, "HSET " B "c1 deid x");
    server_ask(&server, "SET " B "de:x c1 PX 60000");
    server_ask(&server, "RPUSH " B "c1:logs line");
    assert_string_equal(clean(g, QUEUE_STATE_COMPLETED, 0, true, 0), "ok 2300 0");
    assert_string_equal(clean(g, QUEUE_STATE_COMPLETED, 0, false, 10), "ok 10 0");
    is("0", "EXISTS " B "c1 " B "c1:logs " B "c10");
    is("1", "EXISTS " B "de:x"); /* a debounce time outlives the job */
    assert_true(atoll(server_ask(&server, "ZSCORE " B "dray:gone c1")) > 0);
    assert_string_equal(clean(g, QUEUE_STATE_COMPLETED, 0, false, 0), "ok 2290 0");
    is("late", "ZRANGE " B "completed 0 -1");
    assert_string_equal(clean(g, QUEUE_STATE_COMPLETED, UINT64_MAX, false, 0), "ok 0 0");
    assert_string_equal(clean(g, QUEUE_STATE_NONE, 0, false, 0), "invalid 0 0");
    is("1", "EXISTS " B "late");
}

static void clean_walks_long_lists(void **state)
{
    struct rig *g = *state;
    plant_many("wait", "w", 4500);
    server_ask(&server, "EVAL %s 1 " B,
               "for i = 1, 4500 do if i % 3 ~= 0 then redis.call('HSET', KEYS[1] .. 'w' .. i, 'timestamp', "
               "4000000000000) end end");
    assert_string_equal(clean(g, QUEUE_STATE_WAIT, 1000, true, 0), "ok 1500 0");
    assert_string_equal(clean(g, QUEUE_STATE_WAIT, 1000, false, 0), "ok 1500 0");
    is("3000", "LLEN " B "wait");
    is("w1", "LINDEX " B "wait -1");
    is("w4", "LINDEX " B "wait -3");
    is("w4499", "LINDEX " B "wait 0");
    is("0", "EVAL %s 1 " B,
       "local n = 0 for _, id in ipairs(redis.call('LRANGE', KEYS[1] .. 'wait', 0, -1)) do "
       "n = n + 1 - redis.call('EXISTS', KEYS[1] .. id) end return n");
}

static void drain_leaves_the_rest(void **state)
{
    struct rig *g = *state;
    plant_many("wait", "w", 1500);
    plant_many("delayed", "d", 3);
    plant_many("failed", "f", 1);
    server_ask(&server, "HSET " B "repeat:abc:17 data {}");
    server_ask(&server, "ZADD " B "delayed 9 repeat:abc:17");
    server_ask(&server, "ZADD " B "repeat 17 key");
    server_ask(&server, "ZADD " B "priority 3 w5");
    server_ask(&server, "LPUSH " B "wait ghost");
    lock("w9");
    pause_queue(g, true);
    assert_string_equal(drain(g, false, true), "ok 1500 1");
    assert_string_equal(drain(g, true, true), "ok 1503 2");
    assert_string_equal(drain(g, false, false), "ok 1500 1");
    is("w9", "LRANGE " B "paused 0 -1");
    is("1", "EXISTS " B "meta-paused");
    is("4", "ZCARD " B "delayed");
    is("0", "EXISTS " B "priority " B "w1 " B "w1500");
    assert_string_equal(drain(g, true, false), "ok 3 2");
    is("repeat:abc:17", "ZRANGE " B "delayed 0 -1");
    server_ask(&server, "DEL " B "repeat"); /* nobody repeats it */
    assert_string_equal(drain(g, true, false), "ok 1 1");
    is("0", "EXISTS " B "delayed " B "repeat:abc:17 " B "d1");
    is("f1", "ZRANGE " B "failed 0 -1");
    assert_string_equal(drain(g, true, false), "ok 0 1");
}

/* ---- remove by pattern */

static void remove_matching(void **state)
{
    struct rig *g = *state;
    plant_many("wait", "w", 1200);
    plant_many("failed", "f", 10);
    pause_queue(g, true);
    server_ask(&server, "HSET " B "metrics:failed count 1");
    server_ask(&server, "HSET " B "limiter:index nobody nothing");
    server_ask(&server, "SET " B "dray:proto 1,shared,1");
    server_ask(&server, "HSET " B "repeat:abc:17 data {}");
    server_ask(&server, "ZADD " B "delayed 9 repeat:abc:17");
    server_ask(&server, "HSET {t}:q:other:1 data {}"); /* of a queue "q:other" */
    server_ask(&server, "HSET {t}:qq:w1 data {}");
    lock("w7");
    assert_string_equal(matching(g, "w*", true, 0), "ok 1199 1");
    assert_string_equal(matching(g, "w1[0-9]", false, 0), "ok 10 0");
    is("0", "EXISTS " B "w10 " B "w19");
    assert_string_equal(matching(g, "f*", false, 4), "ok 4 0");
    is("6", "ZCARD " B "failed");
    assert_string_equal(matching(g, "repeat:abc:*", false, 0), "ok 1 0");
    assert_string_equal(matching(g, "*", false, 0), "ok 1195 1");
    is("w7", "LRANGE " B "paused 0 -1");
    is("0", "EXISTS " B "failed " B "delayed");
    is("6",
       "EXISTS " B "meta " B "metrics:failed " B "limiter:index " B "dray:proto {t}:q:other:1 {t}:qq:w1");
    assert_string_equal(matching(g, "*", false, 0), "ok 0 1");
    char longer[5000];
    memset(longer, 'x', sizeof longer - 1);
    longer[sizeof longer - 1] = '\0';
    assert_string_equal(matching(g, longer, false, 0), "invalid 0 0");
}

/* A removal looks through whole lists: the calls become shorter instead of longer. */
static void removals_from_long_lists_are_split(void **state)
{
    struct rig *g = *state;
    plant_many("wait", "w", 3000);
    assert_string_equal(matching(g, "w*", false, 0), "ok 3000 0");
    assert_true(g->number > 6);
    is("0", "EXISTS " B "wait");
}

static void a_name_with_pattern_characters(void **state)
{
    struct rig *g = *state;
    struct queue_options o = queue_options(TOKEN);
    o.name = "a*[b]";
    struct queue *q = queue_new(loop, g->r, &o);
    server_ask(&server, "HSET {t}:a*[b]:j1 data {}");
    server_ask(&server, "HSET {t}:axb:j1 data {}");
    struct queue_bulk b = bulk(g, false, 0);
    queue_remove_matching(q, "j*", &b);
    assert_string_equal(bulk_end(g), "ok 1 0");
    is("0", "EXISTS {t}:a*[b]:j1");
    is("1", "EXISTS {t}:axb:j1");
    queue_free(q);
}

/* ---- obliterate */

static void obliterate_asks_first(void **state)
{
    struct rig *g = *state;
    plant_many("wait", "w", 3);
    assert_string_equal(obliterate(g, true, false), "wrong state 0 0");
    assert_non_null(strstr(g->why, "not paused"));
    take(g, 1);
    pause_queue(g, true);
    assert_string_equal(obliterate(g, false, false), "wrong state 0 0");
    assert_non_null(strstr(g->why, "active"));
    assert_string_equal(obliterate(g, false, true), "wrong state 0 0");
    assert_string_equal(obliterate(g, true, true), "ok 3 0");
    is("3", "EXISTS " B "w1 " B "w2 " B "w3");
    assert_string_equal(obliterate(g, true, false), "ok 3 0");
    is("0", "DBSIZE");
}

static void obliterate_leaves_no_trace(void **state)
{
    struct rig *g = *state;
    static const char *const states[] = {"wait", "active", "delayed", "completed", "failed"};
    for (size_t i = 0; i < 5; i++)
        plant_many(states[i], (char[]){states[i][0], '\0'}, 1100);
    pause_queue(g, true);
    plant_many("wait", "stray", 5);
    lock("a5");
    lock("orphan");
    server_ask(&server, "HSET " B "orphan data {} deid y");
    server_ask(&server, "RPUSH " B "orphan:logs line");
    server_ask(&server, "HSET " B "w1 deid x");
    server_ask(&server, "SET " B "de:x w1");
    server_ask(&server, "SET " B "de:y orphan");
    server_ask(&server, "SET " B "id 17");
    server_ask(&server, "HSET " B "limiter:index w2 " B "limiter:g:limited");
    server_ask(&server, "SADD " B "limiter:g:limited w2 w3");
    server_ask(&server, "ZADD " B "repeat 1 x");
    server_ask(&server, "HSET " B "metrics:failed count 1");
    server_ask(&server, "SET " B "dray:proto 1,shared,1");
    /* of a queue "q:other" */
    server_ask(&server, "MSET {t}:q:other:id 1 {t}:q:other:5:lock x {t}:q:de:id 3");
    server_ask(&server, "RPUSH {t}:q:other:wait 1");
    server_ask(&server, "HSET {t}:q:other:1 data {}");
    assert_string_equal(obliterate(g, true, false), "ok 5505 0");
    assert_true(g->number >= 7);
    is("5", "DBSIZE");
    is("5", "EXISTS {t}:q:other:id {t}:q:other:5:lock {t}:q:de:id {t}:q:other:wait {t}:q:other:1");
}

/* Who works on an ordered queue keeps its lease and its count of epochs. */
static void obliterate_spares_living_leases(void **state)
{
    struct rig *g = *state;
    plant_many("wait", "w", 3);
    pause_queue(g, true);
    server_ask(&server, "MSET " B "dray:lease t/3 " B "dray:epoch 3");
    server_ask(&server, "SET " B "dray:proto 1,shared,1");
    assert_string_equal(obliterate(g, false, false), "ok 3 0");
    is("3", "EXISTS " B "dray:lease " B "dray:epoch " B "dray:proto");
    is("3", "DBSIZE");
}

/* ---- ends */

static void a_lost_connection_ends_a_verb(void **state)
{
    struct rig *g = *state;
    plant_many("failed", "f", 3000);
    struct queue_bulk b = bulk(g, false, 0);
    queue_retry_all(g->q, &b);
    while (g->number == 0)
        ev_run(loop, EVRUN_ONCE);
    redis_drop(g->r, "for the test");
    wait_for(g);
    assert_true(g->status == QUEUE_UNKNOWN || g->status == QUEUE_AWAY);
    assert_memory_not_equal(g->text + strlen(queue_status_name(g->status)), " 0 ", 3);
}

static void freeing_ends_a_verb(void **state)
{
    struct rig *g = *state;
    plant_many("failed", "f", 3000);
    struct queue_options o = queue_options(TOKEN);
    struct queue *q = queue_new(loop, g->r, &o);
    struct queue_bulk b = bulk(g, false, 0);
    queue_retry_all(q, &b);
    while (g->number == 0)
        ev_run(loop, EVRUN_ONCE);
    queue_free(q);
    assert_true(g->answered);
    assert_int_equal(wait_for(g), QUEUE_UNKNOWN);
}

static void a_wrong_kind_of_key_is_told(void **state)
{
    struct rig *g = *state;
    server_ask(&server, "MSET " B "wait x " B "failed x");
    assert_string_equal(retry_all(g, false, 0), "broken 0 0");
    assert_string_equal(clean(g, QUEUE_STATE_WAIT, 0, false, 0), "broken 0 0");
    assert_string_equal(clean(g, QUEUE_STATE_FAILED, 0, false, 0), "broken 0 0");
    is("x", "GET " B "wait");
}

static void a_full_redis_drains(void **state)
{
    struct rig *g = *state;
    plant_many("wait", "w", 30);
    plant_many("failed", "f", 30);
    plant_many("delayed", "d", 30);
    server_ask(&server, "CONFIG SET maxmemory 1mb");
    assert_string_equal(retry_all(g, false, 10), "ok 10 0");
    assert_string_equal(promote_all(g, false, 10), "ok 10 0");
    assert_string_equal(clean(g, QUEUE_STATE_FAILED, 0, false, 10), "ok 10 0");
    assert_string_equal(matching(g, "f*", false, 0), "ok 20 0");
    assert_string_equal(drain(g, true, false), "ok 60 0");
    pause_queue(g, true);
    assert_string_equal(obliterate(g, false, false), "ok 0 0");
    server_ask(&server, "CONFIG SET maxmemory 0");
    is("0", "DBSIZE");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(retry_goes_in_batches),
        T(promote_goes_in_batches),
        T(priorities_shorten_the_calls),
        T(clean_by_age),
        T(clean_finished),
        T(clean_walks_long_lists),
        T(drain_leaves_the_rest),
        T(remove_matching),
        T(removals_from_long_lists_are_split),
        T(a_name_with_pattern_characters),
        T(obliterate_asks_first),
        T(obliterate_leaves_no_trace),
        T(obliterate_spares_living_leases),
        T(a_lost_connection_ends_a_verb),
        T(freeing_ends_a_verb),
        T(a_wrong_kind_of_key_is_told),
        T(a_full_redis_drains),
    };
    return cmocka_run_group_tests(tests, start_admin_server, stop_server);
}
