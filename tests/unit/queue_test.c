/* queue_test - add and take against a real redis-server: what they leave behind, and what they do with a missing hash,
 * a foreign lock, a paused queue, a ghost id and a second call. */
#include "tests/unit/queue_rig.h"

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

/* Then SORT_RO with GET is denied, and the jobs are read one by one. */
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
    assert_non_null(strstr(server_ask(&server, "INFO commandstats"), "cmdstat_hmget:calls=2"));
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
    is("ghost,ghost-daaad336276d15594d0e765f96c17cd746bf4971,nodata", "ZRANGE " B "failed 0 -1");
    is("{\"id\":\"wait\"}", "HGET " B "ghost-daaad336276d15594d0e765f96c17cd746bf4971 data");
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
    };
    return cmocka_run_group_tests(tests, start_server, stop_server);
}
