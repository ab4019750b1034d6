/* queue_settle_test - complete, fail, delay, hand back, renew: as queue_test. */
#include "tests/unit/queue_rig.h"

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
    assert_int_equal(complete(g, ID, "{\"debounce\":{\"id\":\"d1\"}}"), QUEUE_OK);
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
        {"[\"a\"]", "{\"stackTraceLimit\":0}", "[\"a\",\"http 503\"]"},
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
    is("(nil),(nil),(nil)", "HMGET " B "b1 attemptsMade stalledCounter processedOn");
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

/* What an ACL denies is not the job's fault. */
static void denied_is_refused(void **state)
{
    struct rig *g = *state;
    add(g, "b1", "{}");
    take(g, 1);
    server_ask(&server, "ACL SETUSER default -evalsha -hset");
    assert_int_equal(complete(g, "b1", "{}"), QUEUE_REFUSED);
    assert_int_equal(add(g, "b2", "{}"), QUEUE_REFUSED);
    server_ask(&server, "ACL SETUSER default +@all");
    assert_int_equal(add(g, "b2", "{}"), QUEUE_OK);
    assert_int_equal(complete(g, "b1", "{}"), QUEUE_OK);
}

/* More locks than one call of Lua could pass on. */
static void renewing_very_many(void **state)
{
    struct rig *g = *state;
    enum { N = 9000 };
    static char ids[N][16];
    static const char *list[N];
    for (int i = 0; i < N; i++) {
        snprintf(ids[i], sizeof ids[i], "j%d", i);
        list[i] = ids[i];
    }
    server_ask(&server, "EVAL %s 0 %d",
               "for i = 0, ARGV[1] - 1 do redis.call('SET', '" B "j' .. i .. ':lock', '" TOKEN
               "', 'PX', 500) end",
               N);
    server_ask(&server, "DEL " B "j8500:lock");
    g->text[0] = '\0';
    queue_renew(g->q, list, N, on_lost, on_done, g);
    assert_int_equal(wait_for(g), QUEUE_OK);
    assert_string_equal(g->text, "j8500 ");
    assert_true(atol(server_ask(&server, "PTTL " B "j0:lock")) > 20000);
    assert_true(atol(server_ask(&server, "PTTL " B "j8999:lock")) > 20000);
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

/* ---- what the SDKs mean by a retry */

static enum queue_status delay_front(struct rig *g, const char *id, uint64_t ms)
{
    struct queue_job job = job_of(id, "{}");
    queue_delay_front(g->q, &job, ms, "http 503", on_done, g);
    return wait_for(g);
}

static void a_retry_comes_back_in_front(void **state)
{
    struct rig *g = *state;
    struct ticks t = {0};
    for (const char *const *id = (const char *const[]){"b1", "b2", "b3", "b4", NULL}; *id != NULL; id++)
        add(g, *id, "{}");
    take(g, 3);
    assert_int_equal(delay_front(g, "b1", 0), QUEUE_OK);
    is("b4,b1", "LRANGE " B "wait 0 -1");
    is("1", "HGET " B "b1 attemptsMade");
    assert_int_equal(delay_front(g, "b2", 20000), QUEUE_OK);
    assert_int_equal(delay_front(g, "b2", 20), QUEUE_LOST); /* called twice */
    assert_int_equal(delay_front(g, "b3", 25000), QUEUE_OK);
    is("1,http 503,[\"http 503\"],1", "HMGET " B "b2 attemptsMade failedReason stacktrace dray:front");
    is("b2,b3", "ZRANGE " B "delayed 0 -1");
    is("0", "EXISTS " B "active " B "b2:lock");
    server_ask(&server, "ZADD " B "delayed 4096 b2 8192 b3"); /* both are due in one tick */
    queue_tick_start(g->q, &tick_events, &t);
    while (t.promoted < 2) {
        t.promoted_any = false;
        assert_true(loop_until(loop, &t.promoted_any));
    }
    is("b4,b1,b3,b2", "LRANGE " B "wait 0 -1"); /* what was due first is taken first */
    is("0", "HEXISTS " B "b2 dray:front");
    queue_tick_stop(g->q);
}

static void a_retry_in_front_needs_its_job(void **state)
{
    struct rig *g = *state;
    add(g, "b1", "{}");
    take(g, 1);
    server_ask(&server, "SET " B "b1:lock " FOREIGN);
    assert_int_equal(delay_front(g, "b1", 20), QUEUE_LOST);
    is("0", "HEXISTS " B "b1 dray:front");
    server_ask(&server, "SET " B "b1:lock " TOKEN);
    server_ask(&server, "DEL " B "b1");
    assert_int_equal(delay_front(g, "b1", 20), QUEUE_MISSING);
    is("0", "EXISTS " B "b1 " B "delayed");
}

static void on_failures(enum queue_status s, const struct queue_job *jobs, size_t n, void *arg)
{
    struct rig *g = arg;
    g->status = s;
    assert_int_equal(n, 1);
    snprintf(g->text, sizeof g->text, "%d of %d, %lld", (int)jobs[0].failures, (int)jobs[0].attempts_made,
             (long long)jobs[0].retried_ms);
    g->answered = true;
}

/* "failures of attemptsMade, retriedOn" of the next job, which then fails. */
static const char *take_and_fail(struct rig *g)
{
    static char text[sizeof g->text];
    queue_take(g->q, 1, on_failures, g);
    assert_int_equal(wait_for(g), QUEUE_OK);
    snprintf(text, sizeof text, "%s", g->text);
    assert_int_equal(delay(g, "b1", 0, true, "{}"), QUEUE_OK);
    return text;
}

static void a_manual_retry_starts_afresh(void **state)
{
    struct rig *g = *state;
    add(g, "b1", "{}");
    assert_string_equal(take_and_fail(g), "0 of 0, 0");
    assert_string_equal(take_and_fail(g), "1 of 1, 0");
    server_ask(&server, "HSET " B "b1 retriedOn 1795220944860"); /* as Bull's job.retry() */
    assert_string_equal(take_and_fail(g), "0 of 2, 1795220944860");
    assert_string_equal(take_and_fail(g), "1 of 3, 1795220944860");
    assert_string_equal(take_and_fail(g), "2 of 4, 1795220944860");
    server_ask(&server, "HSET " B "b1 retriedOn 1795220944999");
    assert_string_equal(take_and_fail(g), "0 of 5, 1795220944999");
    assert_string_equal(take_and_fail(g), "1 of 6, 1795220944999");
    is("7", "HGET " B "b1 attemptsMade"); /* which Bull never takes back */
    server_ask(&server, "HSET " B "b1 dray:retried nonsense");
    assert_string_equal(take_and_fail(g), "0 of 7, 1795220944999");
    assert_string_equal(take_and_fail(g), "1 of 8, 1795220944999");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
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
        T(renewing_very_many),
        T(denied_is_refused),
        T(a_turn_is_one_round_trip),
        T(a_retry_comes_back_in_front),
        T(a_retry_in_front_needs_its_job),
        T(a_manual_retry_starts_afresh),
    };
    return cmocka_run_group_tests(tests, start_server, stop_server);
}
