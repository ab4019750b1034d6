/* queue_flush_test - what is left of a queue: every state, what does not count, long lists, partitions, a lost server. */
#include "tests/unit/queue_rig.h"

#include <errno.h>
#include <stdlib.h>

#include "common/base/buf.h"
#include "master/cli/queue_flush.h"

static struct queue_flush look;
static const struct queue_flush_place here = {.prefix = "{t}", .name = "q", .shown = "q"};

static int open_look(void **state)
{
    struct conf c = {.redis = {.mode = CONF_REDIS_MANAGED, .username = "", .password = ""}};
    char folder[sizeof server.dir];
    (void)state;
    server_ask(&server, "FLUSHALL");
    look = (struct queue_flush){0};
    snprintf(folder, sizeof folder, "%s", server.dir);
    char link[128];
    snprintf(link, sizeof link, "%s/redis.sock", folder);
    if (symlink(server.path, link) != 0 && errno != EEXIST)
        return -1;
    if (queue_flush_open(&look, &c, folder) != 0)
        return -1;
    look.mark_ms = 1000;
    return 0;
}

static int close_look(void **state)
{
    (void)state;
    queue_flush_close(&look);
    return 0;
}

static void job(const char *id, int timestamp)
{
    server_ask(&server, "HSET " B "%s data {} timestamp %d", id, timestamp);
}

static void left_is(const char *expected)
{
    json_t *o = queue_flush_left(&look, &here);
    assert_non_null(o);
    char *text = json_dumps(o, JSON_COMPACT);
    assert_string_equal(text, expected);
    free(text);
    json_decref(o);
}

static void test_states(void **state)
{
    (void)state;
    static const char *const put[][2] = {{"LPUSH", "wait a"}, {"LPUSH", "paused a"}, {"LPUSH", "active a"}};
    assert_int_equal(queue_flush_settled(&look, &here), 1);
    for (size_t i = 0; i < 3; i++) {
        char command[64];
        job("a", 1000);
        job("b", 1001);
        snprintf(command, sizeof command, "%s " B "%s", put[i][0], put[i][1]);
        server_ask(&server, command);
        assert_int_equal(queue_flush_settled(&look, &here), 0);
        job("a", 1001); /* added later */
        assert_int_equal(queue_flush_settled(&look, &here), 1);
        server_ask(&server, "FLUSHALL");
    }
    job("a", 5);
    server_ask(&server, "ZADD " B "delayed 77 a");
    assert_int_equal(queue_flush_settled(&look, &here), 0);
    job("first", 7); /* behind a later one, at the end that is not next */
    job("later", 2000);
    server_ask(&server, "RPUSH " B "wait first later");
    server_ask(&server, "SET " B "meta-paused 1");
    left_is(
        "{\"queue\":\"q\",\"wait\":1,\"paused\":0,\"active\":0,\"delayed\":1,\"is_paused\":true,\"more\":false}");
}

static void test_what_does_not_count(void **state)
{
    (void)state;
    job("repeat:x:1", 5); /* the next one of a repetition */
    server_ask(&server, "ZADD " B "delayed 77 repeat:x:1");
    server_ask(&server, "LPUSH " B "wait ghost");
    server_ask(&server, "SET " B "text x"); /* an id whose key is no hash */
    server_ask(&server, "LPUSH " B "wait text");
    job("done", 5);
    server_ask(&server, "ZADD " B "completed 5 done");
    server_ask(&server, "ZADD " B "failed 5 done");
    assert_int_equal(queue_flush_settled(&look, &here), 1);
    server_ask(&server, "HSET " B "repeat:x:1 attemptsMade 1"); /* it ran, and waits to be tried again */
    assert_int_equal(queue_flush_settled(&look, &here), 0);
}

static void test_long_lists(void **state)
{
    (void)state;
    server_ask(&server, "EVAL %s 0",
               "for i=1,3500 do redis.call('HSET','" B "'..i,'timestamp',2000) "
               "redis.call('LPUSH','" B "wait',i) redis.call('ZADD','" B "delayed',i,i) end");
    assert_int_equal(queue_flush_settled(&look, &here), 1);
    job("1700", 900);
    assert_int_equal(queue_flush_settled(&look, &here), 0);
    left_is(
        "{\"queue\":\"q\",\"wait\":1,\"paused\":0,\"active\":0,\"delayed\":1,\"is_paused\":false,\"more\":false}");
    server_ask(&server, "LREM " B "wait 0 1700");
    assert_int_equal(queue_flush_settled(&look, &here), 0);
    server_ask(&server, "ZREM " B "delayed 1700");
    assert_int_equal(queue_flush_settled(&look, &here), 1);
}

static void test_errors(void **state)
{
    (void)state;
    server_ask(&server, "SET " B "active x");
    assert_int_equal(queue_flush_settled(&look, &here), -1);
    assert_non_null(strstr(look.error, "WRONGTYPE"));
    assert_null(queue_flush_left(&look, &here));
    assert_int_equal(queue_flush_settled(&look, &here), -1); /* the replies are still in step */
    server_ask(&server, "DEL " B "active");
    assert_int_equal(queue_flush_settled(&look, &here), 1);
    assert_int_equal(queue_flush_mark(&look), 0);
    assert_true(look.mark_ms > UINT64_C(1700000000000));
    server_ask(&server, "CLIENT KILL TYPE normal SKIPME yes");
    assert_int_equal(queue_flush_settled(&look, &here), -1);
    assert_int_not_equal(strlen(look.error), 0);
}

static void test_places(void **state)
{
    (void)state;
    struct conf *c = NULL;
    struct buf errors, warnings;
    const struct conf_override set[] = {
        {"queue.prefix={x}", "test"},
        {"destinations=[{id: a, url: 'http://127.0.0.1:1/'}, {id: k, url: 'http://127.0.0.1:1/', ordering: key, "
         "partitions: 2}, {id: s, url: 'http://127.0.0.1:1/', is_multi_processor: false}]",
         "test"},
        {"takeover=[{id: sdk, queue: q, prefix: '{rudder}', destination: a}]", "test"}};
    size_t n = 0;
    buf_init(&errors, 65536);
    buf_init(&warnings, 65536);
    enum exitcode code = conf_load(NULL, set, sizeof set / sizeof *set, &c, &errors, &warnings);
    if (code != EXIT_CODE_OK)
        fail_msg("%s", buf_cstr(&errors));
    struct queue_flush_place *p = queue_flush_places(c, &n);
    char text[512] = "";
    for (size_t i = 0; i < n; i++)
        snprintf(text + strlen(text), sizeof text - strlen(text), "%s=%s:%s ", p[i].shown, p[i].prefix,
                 p[i].name);
    assert_string_equal(text, "a={x}:a k#0={x:k:0}:k k#1={x:k:1}:k s={x}:s sdk={rudder}:q ");
    free(p);
    conf_free(c);
    buf_fini(&errors);
    buf_fini(&warnings);
}

#define L(f) cmocka_unit_test_setup_teardown(f, open_look, close_look)

int main(void)
{
    const struct CMUnitTest tests[] = {
        L(test_states), L(test_what_does_not_count),   L(test_long_lists),
        L(test_errors), cmocka_unit_test(test_places),
    };
    return cmocka_run_group_tests(tests, start_server, stop_server);
}
