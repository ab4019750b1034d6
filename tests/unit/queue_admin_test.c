/* The verbs on one job and on the queue: add with all options, look, retry, promote, remove, update, log, pause. What
 * Bull itself makes of the same is compared in tests/interop/bull_verbs_test.py. */
#include "common/queue/admin.h"

#include "tests/unit/queue_admin_rig.h"

#define opt(...) (&(struct queue_add_options){__VA_ARGS__})

/* ---- add */

static void add_gives_numbers(void **state)
{
    struct rig *g = *state;
    listen_start();
    assert_string_equal(add_job(g, opt(0), "{\"n\":1}"), "ok 1");
    assert_string_equal(heard(), "waiting@" TOKEN " 1");
    listen_stop();
    is("__default__", "HGET " B "1 name");
    is("{\"n\":1}", "HGET " B "1 data");
    is("0", "HGET " B "1 delay");
    is("0", "HGET " B "1 priority");
    char opts[128];
    snprintf(opts, sizeof opts, "{\"attempts\":1,\"delay\":0,\"timestamp\":%s}",
             server_ask(&server, "HGET " B "1 timestamp"));
    is(opts, "HGET " B "1 opts");
    is("6", "HLEN " B "1");
    assert_string_equal(add_job(g, opt(0), "2"), "ok 2");
    is("2,1", "LRANGE " B "wait 0 -1");
}

static void add_stores_all_options(void **state)
{
    struct rig *g = *state;
    add_job(g,
            opt(.name = "mail", .id = "a/\"1", .delay_ms = 5000, .priority = 3, .lifo = true, .attempts = 4,
                .backoff = QUEUE_BACKOFF_EXPONENTIAL, .backoff_ms = 100, .timeout_ms = 2000,
                .remove_on_complete = {QUEUE_KEEP_NONE, 0, 0}, .remove_on_fail = {QUEUE_KEEP_RULE, 10, 3600},
                .has_stack_trace_limit = true, .stack_trace_limit = 2, .debounce_id = "d",
                .debounce_ttl_ms = 60000, .timestamp_ms = 1795220944860),
            "{}");
    assert_string_equal(g->text, "ok a/\"1");
    is("{\"jobId\":\"a/\\\"1\",\"priority\":3,\"lifo\":true,\"timeout\":2000,\"removeOnComplete\":true,"
       "\"removeOnFail\":{\"age\":3600,\"count\":10},\"stackTraceLimit\":2,\"debounce\":{\"id\":\"d\",\"ttl\":"
       "60000},\"backoff\":{\"type\":\"exponential\",\"delay\":100},\"attempts\":4,\"delay\":5000,\"timestamp\":"
       "1795220944860}",
       "HGET " B "a/\"1 opts");
    is("mail", "HGET " B "a/\"1 name");
    is("d", "HGET " B "a/\"1 deid");
    is("a/\"1", "GET " B "de:d");
    assert_in_range(atol(server_ask(&server, "PTTL " B "de:d")), 50000, 60000);
    char score[32];
    snprintf(score, sizeof score, "%lld", (1795220944860LL + 5000) * 4096 + 1);
    is(score, "ZSCORE " B "delayed a/\"1");
    static const struct {
        struct queue_keep keep;
        const char *text;
    } keeps[] = {
        {{QUEUE_KEEP_ALL, 0, 0}, "{\"removeOnFail\":false,"},
        {{QUEUE_KEEP_COUNT, 7, 0}, "{\"removeOnFail\":7,"},
        {{QUEUE_KEEP_RULE, UINT64_MAX, 5}, "{\"removeOnFail\":{\"age\":5},"},
        {{QUEUE_KEEP_RULE, 5, UINT64_MAX}, "{\"removeOnFail\":{\"count\":5},"},
        {{QUEUE_KEEP_UNSAID, 0, 0}, "{\"attempts\":1,"},
    };
    for (size_t i = 0; i < sizeof keeps / sizeof *keeps; i++) {
        add_job(g, opt(.remove_on_fail = keeps[i].keep), "{}");
        const char *opts = server_ask(&server, "HGET " B "%s opts", g->text + 3);
        assert_memory_equal(opts, keeps[i].text, strlen(keeps[i].text));
    }
}

static void options_as_text(void **state)
{
    (void)state;
    char *text = queue_add_opts(opt(.attempts = 3, .lifo = true));
    assert_string_equal(text, "{\"lifo\":true,\"attempts\":3,\"delay\":0}");
    free(text);
}

static void add_places_as_bull_does(void **state)
{
    struct rig *g = *state;
    static const struct {
        const char *id;
        uint64_t priority;
        bool lifo;
    } jobs[] = {{"A", 0, false},  {"B", 0, false},   {"P5", 5, false},
                {"P1", 1, false}, {"P5b", 5, false}, {"L", 0, true}};
    for (size_t i = 0; i < sizeof jobs / sizeof *jobs; i++)
        add_job(g, opt(.id = jobs[i].id, .priority = jobs[i].priority, .lifo = jobs[i].lifo), "{}");
    is("B,A,P5b,P5,P1,L", "LRANGE " B "wait 0 -1");
    is("P1,P5,P5b", "ZRANGE " B "priority 0 -1");
    uint64_t asked[] = {0, 5, 9};
    queue_count_priorities(g->q, asked, 3, on_numbers, g);
    wait_for(g);
    assert_string_equal(g->text, "3 2 0 ");
    pause_queue(g, true);
    add_job(g, opt(.id = "C"), "{}");
    is("C,B,A,P5b,P5,P1,L", "LRANGE " B "paused 0 -1");
    queue_count_priorities(g->q, asked, 3, on_numbers, g);
    wait_for(g);
    assert_string_equal(g->text, "4 2 0 ");
}

static void add_again_changes_nothing(void **state)
{
    struct rig *g = *state;
    assert_string_equal(add_job(g, opt(.id = "mine"), "{}"), "ok mine");
    listen_start();
    assert_string_equal(add_job(g, opt(.id = "mine"), "{\"new\":1}"), "duplicate mine");
    assert_string_equal(heard(), "duplicated@" TOKEN " mine");
    listen_stop();
    is("{}", "HGET " B "mine data");
    is("mine", "LRANGE " B "wait 0 -1");
    is("2", "GET " B "id");
    assert_string_equal(add_job(g, opt(.debounce_id = "d"), "{}"), "ok 3");
    listen_start();
    assert_string_equal(add_job(g, opt(.debounce_id = "d"), "{}"), "debounced 3");
    assert_string_equal(heard(), "debounced@" TOKEN " 3");
    listen_stop();
    is("0", "EXISTS " B "4");
    /* a number that somebody chose is not overwritten */
    plant("5", "{}");
    assert_string_equal(add_job(g, opt(0), "{}"), "ok 6");
}

static void add_refuses(void **state)
{
    struct rig *g = *state;
    static const struct {
        struct queue_add_options o;
        const char *data, *word;
    } bad[] = {
        {{.id = "17"}, "{}", "number"},
        {{.id = "a:b"}, "{}", "':'"},
        {{.id = "wait"}, "{}", "own keys"},
        {{.id = "meta-paused"}, "{}", "own keys"},
        {{.id = ""}, "{}", "empty"},
        {{.id = "a\xff"}, "{}", "UTF-8"},
        {{.name = ""}, "{}", "empty"},
        {{.name = "\xc3"}, "{}", "UTF-8"},
        {{.debounce_id = ""}, "{}", "empty"},
        {{.debounce_id = "\x80"}, "{}", "UTF-8"},
        {{0}, "{", "JSON"},
        {{0}, "", "JSON"},
        {{0}, "{} {}", "JSON"},
        {{.delay_ms = 1ull << 41}, "{}", "2039"},
        {{.timestamp_ms = 1ull << 42}, "{}", "2039"},
        {{.priority = 1ull << 40}, "{}", "priority"},
        {{.attempts = 1ull << 40}, "{}", "over"},
        {{.backoff_ms = 1ull << 50}, "{}", "69 years"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_string_equal(add_job(g, &bad[i].o, bad[i].data), "invalid -");
        if (strstr(g->why, bad[i].word) == NULL)
            fail_msg("%zu: %s", i, g->why);
    }
    char longer[300];
    memset(longer, 'x', sizeof longer - 1);
    longer[sizeof longer - 1] = '\0';
    assert_string_equal(add_job(g, opt(.id = longer), "{}"), "invalid -");
    is("0", "DBSIZE");
}

static void add_to_a_full_redis(void **state)
{
    struct rig *g = *state;
    server_ask(&server, "CONFIG SET maxmemory 1mb");
    assert_string_equal(add_job(g, opt(.id = "a"), "{}"), "refused -");
    assert_non_null(strstr(g->why, "OOM"));
    is("0", "DBSIZE");
    server_ask(&server, "CONFIG SET maxmemory 0");
    server_ask(&server, "SCRIPT FLUSH");
    assert_string_equal(add_job(g, opt(.id = "a"), "{}"), "ok a");
}

static void add_leaves_nothing_when_it_has_no_place(void **state)
{
    struct rig *g = *state;
    server_ask(&server, "SET " B "wait x");
    server_ask(&server, "SET " B "delayed x");
    assert_string_equal(add_job(g, opt(.id = "a", .debounce_id = "d"), "{}"), "broken -");
    assert_string_equal(add_job(g, opt(.id = "a", .priority = 2), "{}"), "broken -");
    assert_string_equal(add_job(g, opt(.id = "a", .delay_ms = 2), "{}"), "broken -");
    is("0", "EXISTS " B "a " B "de:d " B "priority");
}

/* A person may use the id of a removed job again at once; a producer's repetition stays one. */
static void add_after_a_removal(void **state)
{
    struct rig *g = *state;
    add(g, ID, "{}");
    assert_int_equal(remove_job(g, ID), QUEUE_OK);
    assert_int_equal(add(g, ID, "{}"), QUEUE_DUPLICATE);
    assert_string_equal(add_job(g, opt(.id = ID), "{}"), "ok " ID);
    assert_int_equal(remove_job(g, ID), QUEUE_OK);
}

/* ---- look */

static void get_tells_everything(void **state)
{
    struct rig *g = *state;
    add_job(g, opt(.id = "a", .name = "mail", .priority = 2), "{\"n\":1}");
    assert_string_equal(get_job(g, "a"), "wait mail {\"n\":1} prio 2 made 0 lock - logs 0");
    take(g, 1);
    assert_string_equal(get_job(g, "a"), "active mail {\"n\":1} prio 2 made 0 lock " TOKEN " logs 0");
    queue_add_log(g->q, "a", "line", 0, on_logged, g);
    wait_for(g);
    fail_job(g, "a", "{}", "broken");
    assert_string_equal(get_job(g, "a"),
                        "failed mail {\"n\":1} prio 2 made 1 lock - logs 1 broken [\"broken\"]");
    add_job(g, opt(.id = "late", .delay_ms = 60000), "{}");
    assert_string_equal(get_job(g, "late"), "delayed __default__ {} prio 0 made 0 lock - logs 0 due 60000");
    server_ask(&server, "HSET " B "lost name x");
    assert_string_equal(get_job(g, "lost"), "stuck x - prio 0 made 0 lock - logs 0");
    pause_queue(g, true);
    add_job(g, opt(.id = "p"), "{}");
    assert_string_equal(get_job(g, "p"), "paused __default__ {} prio 0 made 0 lock - logs 0");
    static const char *const none[] = {"nothing", "", "wait", "meta", "id", "a:lock", "a:logs"};
    for (size_t i = 0; i < sizeof none / sizeof *none; i++)
        assert_string_equal(get_job(g, none[i]), "missing");
}

static void lists(void **state)
{
    struct rig *g = *state;
    for (const char *i = "12345"; *i != '\0'; i++)
        add_job(g, opt(.id = (char[]){'j', *i, '\0'}), "{}");
    assert_string_equal(list(g, QUEUE_STATE_WAIT, 0, 99, true), "j1 j2 j3 j4 j5 ");
    assert_string_equal(list(g, QUEUE_STATE_WAIT, 1, 2, true), "j2 j3 ");
    assert_string_equal(list(g, QUEUE_STATE_WAIT, 0, 1, false), "j5 j4 ");
    assert_string_equal(list(g, QUEUE_STATE_WAIT, 7, 9, true), "");
    assert_string_equal(list(g, QUEUE_STATE_ACTIVE, 0, 9, true), "");
    pause_queue(g, true);
    server_ask(&server, "LPUSH " B "wait ghost j6"); /* a stray list, and an id without a job */
    server_ask(&server, "HSET " B "j6 name x data {}");
    assert_string_equal(list(g, QUEUE_STATE_WAIT, 0, 99, true), "j1 j2 j3 j4 j5 j6 ");
    assert_string_equal(list(g, QUEUE_STATE_WAIT, 4, 7, true), "j5 j6 ");
    assert_string_equal(list(g, QUEUE_STATE_WAIT, 0, 2, false), "j6 j5 ");
    assert_string_equal(list(g, QUEUE_STATE_PAUSED, 0, 99, true), "j1 j2 j3 j4 j5 ");
    server_ask(&server, "ZADD " B "failed 1 j1 2 j2 3 j3");
    assert_string_equal(list(g, QUEUE_STATE_FAILED, 0, 1, true), "j1 j2 ");
    assert_string_equal(list(g, QUEUE_STATE_FAILED, 0, 1, false), "j3 j2 ");
    server_ask(&server, "ZADD " B "delayed 4096000 j4 8192000 j5");
    assert_string_equal(list(g, QUEUE_STATE_DELAYED, 0, 9, true), "j4@1000 j5@2000 ");
    queue_list_jobs(g->q, QUEUE_STATE_NONE, 0, 1, true, false, on_jobs, g);
    assert_int_equal(wait_for(g), QUEUE_INVALID);
    server_ask(&server, "SET " B "completed x");
    queue_list_jobs(g->q, QUEUE_STATE_COMPLETED, 0, 1, true, false, on_jobs, g);
    assert_int_equal(wait_for(g), QUEUE_BROKEN);
}

static void small_questions(void **state)
{
    struct rig *g = *state;
    server_ask(&server, "ZADD " B "failed 1 f");
    server_ask(&server, "ZADD " B "completed 1 c");
    assert_int_equal(finished(g, "f"), QUEUE_STATE_FAILED);
    assert_int_equal(finished(g, "c"), QUEUE_STATE_COMPLETED);
    assert_int_equal(finished(g, "none"), QUEUE_STATE_NONE);
    assert_false(is_paused(g));
    server_ask(&server, "HSET " B "meta paused 1"); /* what Bull's empty() leaves behind of a paused queue */
    assert_false(is_paused(g));
    pause_queue(g, true);
    assert_true(is_paused(g));
}

/* ---- one job */

static void touching(void **state)
{
    struct rig *g = *state;
    add(g, "a1", "{}");
    listen_start();
    assert_int_equal(update(g, "a1", "[1,2]"), QUEUE_OK);
    is("[1,2]", "HGET " B "a1 data");
    assert_int_equal(update(g, "a1", "[1,2"), QUEUE_INVALID);
    queue_update_progress(g->q, "a1", "{\"at\":42}", on_done, g);
    assert_int_equal(wait_for(g), QUEUE_OK);
    assert_string_equal(heard(), "progress {\"jobId\":\"a1\",\"progress\":{\"at\":42}}");
    is("{\"at\":42}", "HGET " B "a1 progress");
    listen_stop();
    for (int i = 1; i <= 5; i++) {
        char line[] = {'l', (char)('0' + i), '\0'};
        queue_add_log(g->q, "a1", line, 3, on_logged, g);
        assert_int_equal(wait_for(g), QUEUE_OK);
        assert_int_equal(g->number, i < 3 ? i : 3);
    }
    assert_string_equal(logs(g, "a1", 0, -1, true), "l3 l4 l5 of 3");
    assert_string_equal(logs(g, "a1", 0, -1, false), "l5 l4 l3 of 3");
    assert_string_equal(logs(g, "a1", 0, 1, false), "l5 l4 of 3");
    assert_string_equal(logs(g, "a1", 1, 1, true), "l4 of 3");
    assert_string_equal(logs(g, "nothing", 0, -1, true), "of 0");
    assert_int_equal(update(g, "nothing", "{}"), QUEUE_MISSING);
    queue_update_progress(g->q, "nothing", "1", on_done, g);
    assert_int_equal(wait_for(g), QUEUE_MISSING);
    queue_add_log(g->q, "nothing", "x", 0, on_logged, g);
    assert_int_equal(wait_for(g), QUEUE_MISSING);
    is("0", "EXISTS " B "nothing " B "nothing:logs");
}

static void retrying(void **state)
{
    struct rig *g = *state;
    add_job(g, opt(.id = "a"), "{}");
    add_job(g, opt(.id = "b", .lifo = true), "{}");
    add_job(g, opt(.id = "p", .priority = 1), "{}");
    take(g, 3);
    for (const char *id = "abp"; *id != '\0'; id++)
        fail_job(g, (char[]){*id, '\0'}, "{}", "no");
    add_job(g, opt(.id = "w"), "{}");
    listen_start();
    assert_int_equal(retry(g, "a"), QUEUE_OK);
    assert_string_equal(heard(), "waiting@" TOKEN " a");
    listen_stop();
    assert_int_equal(retry(g, "p"), QUEUE_OK);
    assert_int_equal(retry(g, "b"), QUEUE_OK);
    is("a,w,p,b", "LRANGE " B "wait 0 -1");
    is("p", "ZRANGE " B "priority 0 -1");
    is("0", "EXISTS " B "failed");
    is("(nil),(nil),(nil)", "HMGET " B "a finishedOn processedOn failedReason");
    assert_true(atoll(server_ask(&server, "HGET " B "a retriedOn")) > 1500000000000);
    is("1", "HGET " B "a attemptsMade");
    /* twice; one that is elsewhere, held, or not there: nothing is changed */
    assert_int_equal(retry(g, "a"), QUEUE_WRONG_STATE);
    is("a,w,p,b", "LRANGE " B "wait 0 -1");
    take(g, 9);
    complete(g, "w", "{}");
    server_ask(&server, "HDEL " B "w retriedOn");
    assert_int_equal(retry(g, "w"), QUEUE_WRONG_STATE);
    assert_true(atoll(server_ask(&server, "HGET " B "w finishedOn")) > 0);
    is("0", "HEXISTS " B "w retriedOn");
    assert_int_equal(retry(g, "a"), QUEUE_LOCKED);
    server_ask(&server, "SET " B "w:lock " FOREIGN);
    server_ask(&server, "ZADD " B "failed 1 w 2 ghost");
    assert_int_equal(retry(g, "w"), QUEUE_LOCKED);
    assert_int_equal(retry(g, "ghost"), QUEUE_MISSING);
    assert_int_equal(retry(g, "nothing"), QUEUE_MISSING);
    is("0", "EXISTS " B "ghost");
    is("w,ghost", "ZRANGE " B "failed 0 -1");
}

static void promoting(void **state)
{
    struct rig *g = *state;
    add_job(g, opt(.id = "w"), "{}");
    add_job(g, opt(.id = "d", .delay_ms = 60000), "{}");
    add_job(g, opt(.id = "p", .delay_ms = 60000, .priority = 4), "{}");
    pause_queue(g, true);
    listen_start();
    assert_int_equal(promote(g, "d"), QUEUE_OK);
    assert_string_equal(heard(), "waiting@" TOKEN " d");
    listen_stop();
    assert_int_equal(promote(g, "p"), QUEUE_OK);
    is("d,w,p", "LRANGE " B "paused 0 -1");
    is("0", "HGET " B "d delay");
    is("0", "EXISTS " B "delayed " B "wait");
    assert_int_equal(promote(g, "d"), QUEUE_WRONG_STATE);
    server_ask(&server, "ZADD " B "delayed 1 ghost");
    assert_int_equal(promote(g, "ghost"), QUEUE_MISSING);
    is("0", "EXISTS " B "ghost");
    add_job(g, opt(.id = "l", .delay_ms = 60000), "{}");
    server_ask(&server, "SET " B "l:lock " FOREIGN);
    assert_int_equal(promote(g, "l"), QUEUE_LOCKED);
}

static void removing(void **state)
{
    struct rig *g = *state;
    add_job(g, opt(.id = "w", .priority = 3, .debounce_id = "d"), "{}");
    add_job(g, opt(.id = "x", .debounce_id = "e"), "{}");
    queue_add_log(g->q, "w", "line", 0, on_logged, g);
    wait_for(g);
    server_ask(&server, "HSET " B "limiter:index w " B "limiter:g:limited x foreign");
    server_ask(&server, "SADD " B "limiter:g:limited w y");
    server_ask(&server, "SADD foreign x");
    server_ask(&server, "SET " B "de:e newer");
    assert_int_equal(remove_job(g, "w"), QUEUE_OK);
    is("0", "EXISTS " B "w " B "w:logs " B "priority " B "de:d");
    is("y", "SMEMBERS " B "limiter:g:limited");
    is("x", "LRANGE " B "wait 0 -1");
    assert_int_equal(remove_job(g, "w"), QUEUE_MISSING);
    /* a debounce key that is another job's by now, a key that is no limiter's */
    assert_int_equal(remove_job(g, "x"), QUEUE_OK);
    is("newer", "GET " B "de:e");
    is("x", "SMEMBERS foreign");
    is("0", "EXISTS " B "limiter:index " B "wait");
    add_job(g, opt(.id = "a"), "{}");
    take(g, 1);
    assert_int_equal(remove_job(g, "a"), QUEUE_LOCKED);
    is("a", "LRANGE " B "active 0 -1");
    complete(g, "a", "{}");
    assert_int_equal(remove_job(g, "a"), QUEUE_OK);
    is("0", "EXISTS " B "a " B "completed");
    assert_true(atoll(server_ask(&server, "ZSCORE " B "dray:gone a")) > 0);
    server_ask(&server, "RPUSH " B "wait ghost");
    assert_int_equal(remove_job(g, "ghost"), QUEUE_OK);
    is("0", "EXISTS " B "wait");
    pause_queue(g, true);
    assert_int_equal(remove_job(g, "meta"), QUEUE_MISSING);
    is("1", "HGET " B "meta paused");
}

/* ---- the queue */

static void pausing(void **state)
{
    struct rig *g = *state;
    add_job(g, opt(.id = "a"), "{}");
    add_job(g, opt(.id = "b"), "{}");
    listen_start();
    assert_int_equal(pause_queue(g, true), QUEUE_OK);
    assert_string_equal(heard(), "paused paused");
    is("b,a", "LRANGE " B "paused 0 -1");
    is("1", "GET " B "meta-paused");
    is("1", "HGET " B "meta paused");
    server_ask(&server, "LPUSH " B "wait c d"); /* a writer that knows no pause */
    assert_int_equal(pause_queue(g, true), QUEUE_OK);
    assert_string_equal(heard(), "paused paused");
    is("d,c,b,a", "LRANGE " B "paused 0 -1");
    server_ask(&server, "LPUSH " B "wait e");
    assert_int_equal(pause_queue(g, false), QUEUE_OK);
    assert_string_equal(heard(), "resumed resumed");
    is("e,d,c,b,a", "LRANGE " B "wait 0 -1");
    is("0", "EXISTS " B "meta-paused " B "meta " B "paused");
    assert_int_equal(pause_queue(g, false), QUEUE_OK);
    is("e,d,c,b,a", "LRANGE " B "wait 0 -1");
    listen_stop();
}

static void pausing_joins_long_lists(void **state)
{
    struct rig *g = *state;
    static const int sizes[][2] = {{2500, 3700}, {3700, 2500}, {2000, 1000}, {1000, 2000}};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        for (int pause = 0; pause < 2; pause++) {
            server_ask(&server, "FLUSHALL");
            server_ask(&server, "EVAL %s 2 " B "paused " B "wait %d %d",
                       "for i = 1, ARGV[1] do redis.call('LPUSH', KEYS[1], i) end "
                       "for i = ARGV[1] + 1, ARGV[1] + ARGV[2] do redis.call('LPUSH', KEYS[2], i) end",
                       sizes[i][0], sizes[i][1]);
            assert_int_equal(pause_queue(g, pause), QUEUE_OK);
            is("1", "EVAL %s 1 " B "%s %d",
               "local all = redis.call('LRANGE', KEYS[1], 0, -1) for i = 1, #all do "
               "if tonumber(all[i]) ~= #all - i + 1 then return 0 end end return #all == tonumber(ARGV[1])",
               pause ? "paused" : "wait", sizes[i][0] + sizes[i][1]);
            is("0", "EXISTS " B "%s", pause ? "wait" : "paused");
        }
}

static void a_full_redis_can_be_looked_after(void **state)
{
    struct rig *g = *state;
    add_job(g, opt(.id = "d", .delay_ms = 60000), "{}");
    add_job(g, opt(.id = "a"), "{}");
    server_ask(&server, "CONFIG SET maxmemory 1mb");
    assert_int_equal(promote(g, "d"), QUEUE_OK);
    take(g, 1);
    fail_job(g, "a", "{}", "no");
    assert_int_equal(retry(g, "a"), QUEUE_OK);
    assert_int_equal(pause_queue(g, true), QUEUE_OK);
    assert_string_equal(list(g, QUEUE_STATE_WAIT, 0, 9, true), "d a ");
    assert_string_equal(get_job(g, "a"), "paused __default__ {} prio 0 made 1 lock - logs 0 [\"no\"]");
    assert_int_equal(pause_queue(g, false), QUEUE_OK);
    assert_int_equal(remove_job(g, "a"), QUEUE_OK);
    server_ask(&server, "CONFIG SET maxmemory 0");
}

static void away(void **state)
{
    struct rig *g = *state;
    redis_drop(g->r, "for the test");
    assert_string_equal(add_job(g, opt(0), "{}"), "away -");
    assert_string_equal(get_job(g, "a"), "away");
    assert_string_equal(list(g, QUEUE_STATE_WAIT, 0, 9, true), "");
    assert_int_equal(g->status, QUEUE_AWAY);
    assert_int_equal(pause_queue(g, true), QUEUE_AWAY);
    assert_int_equal(remove_job(g, "a"), QUEUE_AWAY);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(add_gives_numbers),
        T(add_stores_all_options),
        T(options_as_text),
        T(add_places_as_bull_does),
        T(add_again_changes_nothing),
        T(add_refuses),
        T(add_to_a_full_redis),
        T(add_leaves_nothing_when_it_has_no_place),
        T(add_after_a_removal),
        T(get_tells_everything),
        T(lists),
        T(small_questions),
        T(touching),
        T(retrying),
        T(promoting),
        T(removing),
        T(pausing),
        T(pausing_joins_long_lists),
        T(a_full_redis_can_be_looked_after),
        T(away),
    };
    return cmocka_run_group_tests(tests, start_admin_server, stop_server);
}
