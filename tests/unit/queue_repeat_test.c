/* queue_repeat_test - repeated jobs: what Bull 4.16.5 was seen to write, one next job however often it is asked for,
 * ends and limits, and each script with a missing hash, a foreign lock, a paused queue, a ghost, and a full Redis. */
#include "tests/unit/queue_rig.h"

#include <stdlib.h>

#include "common/base/clock.h"
#include "common/queue/admin.h"
#include "common/queue/repeat.h"

#define NOW    UINT64_C(1795241536375)
#define EVERY  "{\"repeat\":{\"every\":300}}"
#define KEY    "named:::300"
#define STEM   "repeat:76643f2289719580f15b32b8802d4692:"
#define FIRST  STEM "1795241536500"
#define SECOND STEM "1795241536800"
#define OPTS(count, ms, delay, stamp)                                                                        \
    "{\"repeat\":{\"count\":" count ",\"key\":\"" KEY "\",\"every\":300},\"jobId\":\"" STEM ms               \
    "\",\"delay\":" delay ",\"timestamp\":" stamp ",\"prevMillis\":" ms ",\"attempts\":1}"
#define FIRST_OPTS OPTS("1", "1795241536500", "125", "1795241536375")

static uint64_t now_ms = NOW;

static uint64_t fake_wall(void)
{
    return now_ms;
}

/* ---- plans: options and times are those that Bull wrote */

static void test_plans(void **state)
{
    (void)state;
    static const struct {
        const char *name, *opts;
        uint64_t now;
        const char *id, *key, *result;
    } rows[] = {
        {"named", EVERY, NOW, FIRST, KEY, FIRST_OPTS},
        {"named", FIRST_OPTS, UINT64_C(1795241536503), SECOND, KEY,
         OPTS("2", "1795241536800", "297", "1795241536503")},
        {"__default__",
         "{\"repeat\":{\"cron\":\"0 0 * * *\",\"tz\":\"Europe/Berlin\",\"limit\":3,\"endDate\":"
         "\"2033-05-18T03:33:19.000Z\",\"startDate\":1800000000000},\"attempts\":3,\"removeOnComplete\":true,"
         "\"jobId\":\"mine\",\"priority\":4}",
         UINT64_C(1795241536371), "repeat:b8e6b9b40f887fa2389baedc172ffeaf:1800054000000",
         "__default__:mine:1999999999000:Europe/Berlin:0 0 * * *",
         "{\"repeat\":{\"count\":1,\"key\":\"__default__:mine:1999999999000:Europe/Berlin:0 0 * * *\",\"cron\":\"0 0 "
         "* * *\",\"tz\":\"Europe/Berlin\",\"limit\":3,\"endDate\":\"2033-05-18T03:33:19.000Z\",\"startDate\":"
         "1800000000000,\"jobId\":\"mine\"},\"jobId\":\"repeat:b8e6b9b40f887fa2389baedc172ffeaf:1800054000000\","
         "\"delay\":4812463629,\"timestamp\":1795241536371,\"prevMillis\":1800054000000,\"attempts\":3,"
         "\"removeOnComplete\":true,\"priority\":4}"},
        {"__default__", "{\"repeat\":{\"every\":86400000,\"limit\":5}}", UINT64_C(1795241536376),
         "repeat:08f4a1cc53a614dcbdae92f24c96352a:1795305600000", "__default__:::86400000", NULL},
    };
    char why[256];
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct queue_plan p;
        assert_int_equal(queue_plan_make(&p, rows[i].name, rows[i].opts, strlen(rows[i].opts), rows[i].now,
                                         why, sizeof why),
                         QUEUE_OK);
        assert_string_equal(p.id, rows[i].id);
        assert_string_equal(p.key, rows[i].key);
        if (rows[i].result != NULL)
            assert_string_equal(p.opts, rows[i].result);
        queue_plan_free(&p);
    }
}

static void test_ends_and_faults(void **state)
{
    (void)state;
    static const struct {
        const char *opts;
        enum queue_status status;
        const char *why;
    } rows[] = {
        {"{\"repeat\":{\"every\":300,\"limit\":2,\"count\":1}}", QUEUE_OK, ""},
        {"{\"repeat\":{\"every\":300,\"limit\":2,\"count\":2}}", QUEUE_MISSING, ""},
        {"{\"repeat\":{\"every\":300,\"endDate\":1795241536374}}", QUEUE_MISSING, ""},
        {"{\"repeat\":{\"every\":300,\"endDate\":1795241536375}}", QUEUE_OK, ""},
        {"{\"repeat\":{\"cron\":\"* * * * * *\",\"endDate\":1795241536999}}", QUEUE_MISSING, ""},
        {"{\"repeat\":{\"cron\":\"* * * * * *\",\"endDate\":1795241537000}}", QUEUE_OK, ""},
        {"{\"repeat\":{\"cron\":\"* * * * *\",\"endDate\":\"2026-11-21T06:14+00:00\"}}", QUEUE_OK, ""},
        {"{\"repeat\":{\"cron\":\"* * * * *\",\"endDate\":\"2020-01-01\"}}", QUEUE_MISSING, ""},
        {"{\"repeat\":{\"every\":\"300\"}}", QUEUE_OK, ""},
        {"{\"repeat\":{\"every\":300,\"cron\":\"\",\"tz\":null,\"limit\":null}}", QUEUE_OK, ""},
        {"{\"repeat\":{\"cron\":\"0 0 30 2,2 *\"}}", QUEUE_MISSING, ""},
        {"{\"repeat\":{\"cron\":\"61 * * * *\"}}", QUEUE_INVALID, "minute \"61\": a value is 0 to 59"},
        {"{\"repeat\":{\"cron\":\"* * * * *\",\"tz\":\"No/Where\"}}", QUEUE_INVALID,
         "there is no time zone \"No/Where\""},
        {"{\"repeat\":{\"cron\":\"* * * * *\",\"every\":5}}", QUEUE_INVALID,
         "a repetition has a cron expression or an interval, not both"},
        {"{\"repeat\":{}}", QUEUE_INVALID, "a repetition needs a cron expression or an interval"},
        {"{\"repeat\":{\"every\":0.5}}", QUEUE_INVALID,
         "the interval of a repetition is a number of ms over 0"},
        {"{\"repeat\":{\"every\":-5}}", QUEUE_INVALID,
         "the interval of a repetition is a number of ms over 0"},
        {"{\"repeat\":{\"every\":1e300}}", QUEUE_INVALID,
         "the interval of a repetition is a number of ms over 0"},
        {"{\"repeat\":{\"every\":5,\"endDate\":\"soon\"}}", QUEUE_INVALID,
         "the end of the repetition is no date"},
        {"{\"repeat\":{\"every\":5,\"startDate\":[]}}", QUEUE_INVALID,
         "the start of the repetition is no date"},
        {"{\"repeat\":{\"cron\":7}}", QUEUE_INVALID,
         "cron, tz and id of a repetition are texts of at most 1023 bytes"},
        {"{\"repeat\":5}", QUEUE_INVALID, "the options say nothing of how the job repeats"},
        {"[]", QUEUE_INVALID, "the options are no JSON object"},
        {"{", QUEUE_INVALID, "the options are no JSON object"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct queue_plan p;
        char why[256] = "";
        enum queue_status s =
            queue_plan_make(&p, "n", rows[i].opts, strlen(rows[i].opts), NOW, why, sizeof why);
        if (s != rows[i].status)
            fail_msg("%s: %s (%s)", rows[i].opts, queue_status_name(s), why);
        if (s == QUEUE_OK)
            queue_plan_free(&p);
        else if (s == QUEUE_INVALID)
            assert_string_equal(why, rows[i].why);
    }
}

static void test_options(void **state)
{
    (void)state;
    char why[256];
    struct queue_repeat r = {.cron = "*/5 * * * *", .tz = "Asia/Tokyo", .end_ms = 5, .limit = 7, .id = "x"};
    char *text = queue_repeat_opts(&r, "{\"attempts\":3}", why, sizeof why);
    assert_string_equal(text, "{\"attempts\":3,\"repeat\":{\"cron\":\"*/5 * * * *\",\"tz\":\"Asia/Tokyo\","
                              "\"endDate\":5,\"limit\":7},\"jobId\":\"x\"}");
    free(text);
    r = (struct queue_repeat){.every_ms = 1000};
    text = queue_repeat_opts(&r, NULL, why, sizeof why);
    assert_string_equal(text, "{\"repeat\":{\"every\":1000}}");
    free(text);
    assert_null(queue_repeat_opts(&r, "[1]", why, sizeof why));
    assert_string_equal(why, "the options are no JSON object");
    r.cron = "* * * * *";
    assert_null(queue_repeat_opts(&r, NULL, why, sizeof why));
    r = (struct queue_repeat){.cron = "* 25 * * *"};
    assert_null(queue_repeat_opts(&r, NULL, why, sizeof why));
    assert_string_equal(why, "hour \"25\": a value is 0 to 23");
    struct queue_job job = job_of("a", EVERY);
    assert_true(queue_repeat_is(&job));
    job = job_of("a", "{\"backoff\":\"repeat\",\"attempts\":1}");
    assert_false(queue_repeat_is(&job));
    job = job_of("a", "{\"name\":\"repeat\"");
    assert_false(queue_repeat_is(&job));
}

static void test_keys(void **state)
{
    (void)state;
    char copy[200];
    struct queue_repetition r;
    queue_repeat_read_key("__default__:mine:1999999999000:Europe/Berlin:0 0 * * *", copy, &r);
    assert_string_equal(r.name, "__default__");
    assert_string_equal(r.id, "mine");
    assert_int_equal(r.end_ms, 1999999999000);
    assert_string_equal(r.tz, "Europe/Berlin");
    assert_string_equal(r.cron, "0 0 * * *");
    assert_int_equal(r.every_ms, 0);
    queue_repeat_read_key("n:::300", copy, &r);
    assert_null(r.id);
    assert_null(r.tz);
    assert_null(r.cron);
    assert_int_equal(r.every_ms, 300);
    queue_repeat_read_key("", copy, &r);
    assert_null(r.name);
}

/* ---- in Redis */

static char added_id[100];
static uint64_t added_ms;

static void on_repeated(enum queue_status s, const char *id, uint64_t next_ms, const char *why, void *arg)
{
    snprintf(added_id, sizeof added_id, "%s", id != NULL ? id : "");
    added_ms = next_ms;
    on_done(s, why, arg);
}

static enum queue_status repeat_add(struct rig *g, const char *name, const char *opts)
{
    queue_repeat_add(g->q, name, opts, strlen(opts), "{\"n\":1}", 7, on_repeated, g);
    return wait_for(g);
}

static enum queue_status next(struct rig *g, const char *id, const char *opts)
{
    struct queue_job job = job_of(id, opts);
    job.name = "named";
    queue_repeat_next(g->q, &job, on_done, g);
    return wait_for(g);
}

static enum queue_status drop(struct rig *g, const char *key)
{
    queue_repeat_remove(g->q, key, on_done, g);
    return wait_for(g);
}

/* The first job, taken by our token. */
static void take_first(struct rig *g)
{
    now_ms = NOW;
    assert_int_equal(repeat_add(g, "named", EVERY), QUEUE_OK);
    server_ask(&server, "ZREM " B "delayed " FIRST);
    server_ask(&server, "LPUSH " B "wait " FIRST);
    take(g, 1);
    assert_int_equal(g->n, 1);
    now_ms = UINT64_C(1795241536503);
}

static void test_add(void **state)
{
    struct rig *g = *state;
    now_ms = NOW;
    listen_start();
    assert_int_equal(repeat_add(g, "named", EVERY), QUEUE_OK);
    assert_string_equal(added_id, FIRST);
    assert_int_equal(added_ms, 1795241536500);
    assert_string_equal(heard(), "delayed 1795241536500");
    is("1795241536500", "ZSCORE " B "repeat " KEY);
    is("7353309333504001", "ZSCORE " B "delayed " FIRST);
    is("named,{\"n\":1}," FIRST_OPTS ",1795241536375,125,0",
       "HMGET " B FIRST " name data opts timestamp delay priority");
    is("6", "HLEN " B FIRST);
    is("1", "GET " B "id");
    assert_int_equal(repeat_add(g, "named", EVERY), QUEUE_DUPLICATE);
    assert_string_equal(added_id, FIRST);
    assert_string_equal(heard(), "duplicated@" TOKEN " " FIRST);
    is("1", "ZCARD " B "delayed");
    is("2", "GET " B "id");
    listen_stop();
    assert_int_equal(repeat_add(g, NULL, "{\"repeat\":{\"cron\":\"60 * * * *\"}}"), QUEUE_INVALID);
    assert_string_equal(g->why, "minute \"60\": a value is 0 to 59");
    assert_int_equal(repeat_add(g, NULL, "{\"repeat\":{\"every\":5,\"endDate\":1}}"), QUEUE_MISSING);
    is("1", "ZCARD " B "repeat");
}

static void test_next(void **state)
{
    struct rig *g = *state;
    take_first(g);
    server_ask(&server,
               "HSET " B FIRST " attemptsMade 2 failedReason x stacktrace [] progress 5 stalledCounter 1");
    assert_int_equal(next(g, FIRST, FIRST_OPTS), QUEUE_OK);
    is("1795241536800", "ZSCORE " B "repeat " KEY);
    is("7353309334732802", "ZSCORE " B "delayed " SECOND);
    is("named,{\"n\":1}," OPTS("2", "1795241536800", "297", "1795241536503") ",1795241536503,297,0",
       "HMGET " B SECOND " name data opts timestamp delay priority");
    is("6", "HLEN " B SECOND);
    /* called twice: by the same worker, and later, when another next time would come out */
    assert_int_equal(next(g, FIRST, FIRST_OPTS), QUEUE_DUPLICATE);
    now_ms += 5000;
    assert_int_equal(next(g, FIRST, FIRST_OPTS), QUEUE_DUPLICATE);
    is("1", "ZCARD " B "delayed");
    is("1795241536800", "ZSCORE " B "repeat " KEY);
    /* its next one was lost (a worker that died between its two commands): it is added again */
    server_ask(&server, "ZREM " B "delayed " SECOND);
    server_ask(&server, "DEL " B SECOND);
    assert_int_equal(next(g, FIRST, FIRST_OPTS), QUEUE_OK);
    is("1795241541600", "ZSCORE " B "repeat " KEY);
    is("1", "ZCARD " B "delayed");
}

static void test_a_job_of_that_id_stands(void **state)
{
    struct rig *g = *state;
    take_first(g);
    plant(SECOND, "{}");
    assert_int_equal(next(g, FIRST, FIRST_OPTS), QUEUE_DUPLICATE);
    is("{}", "HGET " B SECOND " opts");
    is("0", "ZCARD " B "delayed");
    is("1795241536800", "ZSCORE " B "repeat " KEY);
}

static void test_next_when_it_may_not(void **state)
{
    struct rig *g = *state;
    take_first(g);
    server_ask(&server, "SET " B FIRST ":lock " FOREIGN);
    assert_int_equal(next(g, FIRST, FIRST_OPTS), QUEUE_LOST);
    server_ask(&server, "DEL " B FIRST ":lock");
    assert_int_equal(next(g, FIRST, FIRST_OPTS), QUEUE_LOST);
    assert_int_equal(next(g, "nobody", FIRST_OPTS), QUEUE_LOST); /* a ghost */
    server_ask(&server, "SET " B FIRST ":lock " TOKEN);
    server_ask(&server, "HDEL " B FIRST " data"); /* a hash that is none */
    assert_int_equal(next(g, FIRST, FIRST_OPTS), QUEUE_LOST);
    server_ask(&server, "HSET " B FIRST " data {}");
    assert_int_equal(next(g, FIRST, "{\"repeat\":{\"every\":300,\"count\":4,\"limit\":4}}"), QUEUE_MISSING);
    assert_int_equal(next(g, FIRST, "{\"repeat\":{\"cron\":\"x\"}}"), QUEUE_INVALID);
    server_ask(&server, "ZREM " B "repeat " KEY);
    assert_int_equal(next(g, FIRST, FIRST_OPTS), QUEUE_MISSING);
    is("0", "ZCARD " B "delayed");
    is("0", "EXISTS " B "repeat");
    is("1", "GET " B "id");
}

static void test_paused(void **state)
{
    struct rig *g = *state;
    take_first(g);
    server_ask(&server, "SET " B "meta-paused 1");
    assert_int_equal(next(g, FIRST, FIRST_OPTS), QUEUE_OK);
    assert_int_equal(repeat_add(g, "other", EVERY), QUEUE_OK);
    is("2", "ZCARD " B "delayed");
    is("0", "LLEN " B "paused");
    is("0", "LLEN " B "wait");
}

static void test_full_redis(void **state)
{
    struct rig *g = *state;
    take_first(g);
    server_ask(&server, "CONFIG SET maxmemory 1");
    assert_int_equal(repeat_add(g, "other", EVERY), QUEUE_REFUSED);
    assert_int_equal(next(g, FIRST, FIRST_OPTS), QUEUE_OK);
    assert_int_equal(drop(g, KEY), QUEUE_OK);
    server_ask(&server, "CONFIG SET maxmemory 0");
    is("0", "EXISTS " B SECOND);
}

static void test_remove(void **state)
{
    struct rig *g = *state;
    now_ms = NOW;
    assert_int_equal(repeat_add(g, "named", EVERY), QUEUE_OK);
    assert_int_equal(drop(g, "named:::301"), QUEUE_MISSING);
    assert_int_equal(drop(g, KEY), QUEUE_OK);
    is("0", "EXISTS " B "repeat " B "delayed " B FIRST);
    assert_int_equal(drop(g, KEY), QUEUE_MISSING);
    /* one that is due already runs, and is the last */
    take_first(g);
    assert_int_equal(drop(g, KEY), QUEUE_OK);
    is("1", "EXISTS " B FIRST);
    assert_int_equal(next(g, FIRST, FIRST_OPTS), QUEUE_MISSING);
}

static void on_list(enum queue_status s, const struct queue_repetition *list, size_t n, uint64_t total,
                    const char *why, void *arg)
{
    struct rig *g = arg;
    size_t used = 0;
    g->n = n;
    g->number = total;
    g->text[0] = '\0';
    for (size_t i = 0; i < n; i++)
        used += (size_t)snprintf(g->text + used, sizeof g->text - used, "%s,%s,%s,%s,%llu,%llu;", list[i].key,
                                 list[i].name, list[i].tz != NULL ? list[i].tz : "",
                                 list[i].cron != NULL ? list[i].cron : "",
                                 (unsigned long long)list[i].every_ms, (unsigned long long)list[i].next_ms);
    on_done(s, why, g);
}

static const char *list(struct rig *g, uint64_t start, uint64_t end, bool asc)
{
    queue_repeat_list(g->q, start, end, asc, on_list, g);
    assert_int_equal(wait_for(g), QUEUE_OK);
    return g->text;
}

static void test_list(void **state)
{
    struct rig *g = *state;
    now_ms = NOW;
    assert_string_equal(list(g, 0, 99, true), "");
    assert_int_equal(repeat_add(g, NULL, "{\"repeat\":{\"cron\":\"0 0 * * *\",\"tz\":\"UTC\"}}"), QUEUE_OK);
    assert_int_equal(repeat_add(g, "named", EVERY), QUEUE_OK);
    assert_string_equal(list(g, 0, UINT64_MAX, true),
                        "named:::300,named,,,300,1795241536500;__default__:::UTC:0 0 * * "
                        "*,__default__,UTC,0 0 * * *,0,1795305600000;");
    assert_int_equal(g->number, 2);
    list(g, 0, 0, false);
    assert_non_null(strstr(g->text, "__default__"));
    assert_int_equal(g->n, 1);
    server_ask(&server, "SET " B "repeat x");
    queue_repeat_list(g->q, 0, 1, true, on_list, g);
    assert_int_equal(wait_for(g), QUEUE_BROKEN);
}

static void on_job_added(enum queue_status s, const char *id, const char *why, void *arg)
{
    snprintf(added_id, sizeof added_id, "%s", id != NULL ? id : "");
    on_done(s, why, arg);
}

static enum queue_status add_with(struct rig *g, const struct queue_add_options *o)
{
    queue_add_job(g->q, o, "{\"n\":1}", 7, on_job_added, g);
    return wait_for(g);
}

static void test_among_all_options(void **state)
{
    struct rig *g = *state;
    struct queue_repeat r = {.every_ms = 300, .limit = 3};
    struct queue_add_options o = {.name = "named", .attempts = 4, .priority = 2, .repeat = &r};
    now_ms = NOW;
    assert_int_equal(add_with(g, &o), QUEUE_OK);
    assert_string_equal(added_id, FIRST);
    is("{\"repeat\":{\"count\":1,\"key\":\"" KEY "\",\"every\":300,\"limit\":3},\"jobId\":\"" FIRST
       "\",\"delay\":125,\"timestamp\":1795241536375,\"prevMillis\":1795241536500,\"priority\":2,\"attempts\":4}",
       "HGET " B FIRST " opts");
    is("2", "HGET " B FIRST " priority");
    assert_int_equal(add_with(g, &o), QUEUE_DUPLICATE);
    o.id = "mine";
    assert_int_equal(add_with(g, &o), QUEUE_OK);
    is("1795241536500", "ZSCORE " B "repeat named:mine::300");
    o.debounce_id = "d";
    assert_int_equal(add_with(g, &o), QUEUE_INVALID);
    o.debounce_id = NULL;
    r.cron = "x";
    assert_int_equal(add_with(g, &o), QUEUE_INVALID);
    assert_string_equal(g->why, "a repetition has a cron expression or an interval, not both");
    r = (struct queue_repeat){.every_ms = 300, .end_ms = NOW - 1};
    assert_int_equal(add_with(g, &o), QUEUE_MISSING);
    is("2", "ZCARD " B "repeat");
}

static int start(void **state)
{
    clock_replace(NULL, fake_wall);
    return start_server(state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plans),
        cmocka_unit_test(test_ends_and_faults),
        cmocka_unit_test(test_options),
        cmocka_unit_test(test_keys),
        T(test_add),
        T(test_next),
        T(test_a_job_of_that_id_stands),
        T(test_next_when_it_may_not),
        T(test_paused),
        T(test_full_redis),
        T(test_remove),
        T(test_list),
        T(test_among_all_options),
    };
    return cmocka_run_group_tests(tests, start, stop_server);
}
