/* queue_tick_test - promotion, the lease, the stalled check, sweeps, counts: as queue_test. */
#include "common/base/clock.h"
#include "tests/unit/queue_rig.h"

/* ---- tick */

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

/* Each place is searched for in the whole list: a thousand searches in one call would stop Redis for seconds. */
static void priorities_in_a_long_list_are_promoted_bit_by_bit(void **state)
{
    struct rig *g = *state;
    struct ticks t = {0};
    server_ask(&server, "EVAL %s 0",
               "for i = 1, 150 do local a = {} for k = 1, 1000 do a[k] = 'j' .. i .. k end "
               "redis.call('LPUSH', '" B "wait', unpack(a)) end "
               "for i = 1, 1500 do redis.call('ZADD', '" B "priority', 1, 'q' .. i) "
               "redis.call('RPUSH', '" B "wait', 'q' .. i) end");
    for (int i = 0; i < 6; i++) {
        server_ask(&server, "HSET " B "p%d data {} opts {} priority %d", i, i + 2);
        server_ask(&server, "ZADD " B "delayed %d p%d", i, i);
    }
    queue_tick_start(g->q, &tick_events, &t);
    while (t.promoted < 6) {
        uint64_t before = t.promoted;
        t.promoted_any = false;
        assert_true(loop_until(loop, &t.promoted_any));
        assert_true(t.promoted - before <= 2);
    }
    is("p5,p4,p3,p2,p1,p0", "LRANGE " B "wait -1506 -1501");
    is("0", "ZCARD " B "delayed");
}

/* Bull's order: behind its equals, ahead of all lower ones, which are ahead of all without a priority. */
static void priorities_stand_as_in_bull(void **state)
{
    struct rig *g = *state;
    struct ticks t = {0};
    static const struct {
        const char *id, *priority;
    } rows[] = {{"a", "0"},   {"b", "5"}, {"c", "1"},     {"d", "5"},
                {"e", "nan"}, {"f", "2"}, {"g", "1e999"}, {"h", "-3"}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        server_ask(&server, "HSET " B "%s data {} opts {} priority %s", rows[i].id, rows[i].priority);
        server_ask(&server, "ZADD " B "delayed %d %s", (int)i, rows[i].id);
    }
    queue_tick_start(g->q, &tick_events, &t);
    assert_true(loop_until(loop, &t.promoted_any));
    is("h,e,a,g,d,b,f,c", "LRANGE " B "wait 0 -1");
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

/* A job that came so many ms ago, promoted by dray and taken (0: never) so many ms ago. */
static void plant_aged(const char *id, const char *opts, int64_t came, int64_t due, int64_t taken)
{
    int64_t now = (int64_t)clock_wall_ms();
    server_ask(&server, "HSET " B "%s name n data {} opts %s timestamp %lld", id, opts,
               (long long)(now - came));
    if (due != 0)
        server_ask(&server, "HSET " B "%s dray:due %lld", id, (long long)(now - due));
    if (taken != 0)
        server_ask(&server, "HSET " B "%s processedOn %lld", id, (long long)(now - taken));
    server_ask(&server, "LPUSH " B "wait %s", id);
}

/* In seconds; -1: not known. */
static long long longest(struct rig *g)
{
    queue_count(g->q, on_counts, g);
    assert_int_equal(wait_for(g), QUEUE_OK);
    return g->counts.longest_known ? (long long)(g->counts.longest_wait_ms + 500) / 1000 : -1;
}

static void for_how_long_jobs_wait(void **state)
{
    struct rig *g = *state;
    assert_int_equal(longest(g), 0); /* nobody waits */
    plant("foreign", "{}");
    server_ask(&server, "HDEL " B "foreign timestamp");
    assert_int_equal(longest(g), -1);
    plant_aged("plain", "{}", 20000, 0, 0);
    assert_int_equal(longest(g), 20);
    plant_aged("lifo", "{}", 1000, 0, 0); /* served first, and younger: lifo, or a better priority */
    server_ask(&server, "LREM " B "wait 0 lifo");
    server_ask(&server, "RPUSH " B "wait lifo");
    assert_int_equal(longest(g), 20);
    /* Asked to come later, promoted by Bull: it waits since it was due. */
    plant_aged("late", "{\"attempts\":3,\"delay\":3570000}", 3600000, 0, 0);
    assert_int_equal(longest(g), 30);
    plant_aged("again", "{}", 3600000, 40000, 90000); /* promoted by dray: that is written down */
    assert_int_equal(longest(g), 40);
    plant_aged("back", "{}", 3600000, 400000, 1000); /* in hand since: nobody knows */
    plant_aged("future", "{}", -3600000, 0, 0);
    server_ask(&server, "LPUSH " B "wait ghost odd");
    server_ask(&server, "SET " B "odd x");
    assert_int_equal(longest(g), 40);
    server_ask(&server, "SET " B "dray:hold x");
    assert_int_equal(longest(g), -1); /* they wait for the one that is on hold */
    server_ask(&server, "DEL " B "dray:hold");
    server_ask(&server, "RENAME " B "wait " B "paused");
    server_ask(&server, "SET " B "meta-paused 1");
    assert_int_equal(longest(g), 0);
}

static void when_a_promoted_job_was_due_is_kept(void **state)
{
    struct rig *g = *state;
    struct ticks t = {0};
    plant_aged("d", "{}", 3600000, 0, 0);
    server_ask(&server, "DEL " B "wait");
    server_ask(&server, "ZADD " B "delayed 4096 d");
    queue_tick_start(g->q, &tick_events, &t);
    assert_true(loop_until(loop, &t.promoted_any));
    queue_tick_stop(g->q);
    assert_int_equal(longest(g), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(due_jobs_are_promoted),
        T(promotion_in_a_paused_queue),
        T(more_than_a_thousand_are_due),
        T(priorities_in_a_long_list_are_promoted_bit_by_bit),
        T(priorities_stand_as_in_bull),
        T(one_holds_the_lease),
        T(stalled_jobs_go_back_and_then_fail),
        T(stalled_jobs_of_a_paused_queue),
        T(stalled_check_is_throttled_for_all),
        T(a_failed_stall_honours_the_options),
        T(old_finished_jobs_are_swept),
        T(counting),
        T(for_how_long_jobs_wait),
        T(when_a_promoted_job_was_due_is_kept),
    };
    return cmocka_run_group_tests(tests, start_server, stop_server);
}
