/* redis_test - the connection against a real redis-server. */
#include "common/redis/redis.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "common/redis/internal.h"
#include "tests/unit/redis_server.h"

struct probe {
    struct ev_loop *loop;
    struct redis *r;
    bool ready, down, unfit, answered;
    unsigned ready_n, down_n, unfit_n;
    char why[256], text[256];
    enum redis_status status;
    bool free_in_callback;
};

static void on_ready(struct redis *r, int64_t client_id, void *arg)
{
    struct probe *p = arg;
    assert_true(client_id > 0);
    assert_int_equal(redis_client_id(r), client_id);
    assert_int_equal(redis_state(r), REDIS_READY);
    p->ready = true;
    p->ready_n++;
}

static void on_down(struct redis *r, const char *why, void *arg)
{
    struct probe *p = arg;
    assert_int_equal(redis_state(r), REDIS_DOWN);
    p->down = true;
    p->down_n++;
    snprintf(p->why, sizeof p->why, "%s", why);
}

static void on_unfit(struct redis *r, const char *why, void *arg)
{
    struct probe *p = arg;
    (void)r;
    p->unfit = true;
    p->unfit_n++;
    snprintf(p->text, sizeof p->text, "%s", why);
}

static void on_reply(enum redis_status status, const struct redisReply *reply, void *arg)
{
    struct probe *p = arg;
    p->status = status;
    p->answered = true;
    if (reply != NULL)
        server_render(reply, p->text, sizeof p->text);
    if (p->free_in_callback) {
        p->free_in_callback = false;
        redis_free(p->r);
        p->r = NULL;
    }
}

static const struct redis_events events = {.ready = on_ready, .down = on_down, .unfit = on_unfit};

static struct redis_options options(const char *url)
{
    return (struct redis_options){.url = url,
                                  .username = "",
                                  .password = "",
                                  .client_name = "dray-test",
                                  .connect_timeout_ms = 1000,
                                  .command_timeout_ms = 400,
                                  .reconnect_min_ms = 10,
                                  .reconnect_max_ms = 80,
                                  .reconnect_jitter = 0.3,
                                  .check_policy = true};
}

static struct server server;

static struct probe *open_with(const struct redis_options *o)
{
    struct probe *p = calloc(1, sizeof *p);
    p->loop = ev_default_loop(0);
    p->r = redis_new(p->loop, o, &events, p);
    assert_non_null(p->r);
    return p;
}

static struct probe *open_ready(void)
{
    struct redis_options o = options(server.url);
    struct probe *p = open_with(&o);
    assert_true(loop_until(p->loop, &p->ready));
    return p;
}

static void shut(struct probe *p)
{
    redis_free(p->r);
    free(p);
}

static const char *ask(struct probe *p, const char *a, const char *b, const char *c)
{
    const char *argv[] = {a, b, c};
    p->answered = false;
    redis_command(p->r, on_reply, p, c != NULL ? 3 : b != NULL ? 2 : 1, argv, NULL);
    assert_true(loop_until(p->loop, &p->answered));
    return p->text;
}

static int start_server(void **state)
{
    (void)state;
    server_start(&server, NULL);
    return 0;
}

static int stop_server(void **state)
{
    (void)state;
    server_stop(&server);
    return 0;
}

static void urls(void **state)
{
    (void)state;
    static const struct {
        const char *url, *host, *path;
        int port, db;
        const char *user, *password;
    } good[] = {
        {"redis://127.0.0.1:6380/2", "127.0.0.1", NULL, 6380, 2, "", ""},
        {"redis://localhost", "localhost", NULL, 6379, 0, "", ""},
        {"redis://", "127.0.0.1", NULL, 6379, 0, "", ""},
        {"redis://[::1]:7000/", "::1", NULL, 7000, 0, "", ""},
        {"redis://:se%63ret@h:1", "h", NULL, 1, 0, "", "secret"},
        {"redis://me:p%40ss@h/3", "h", NULL, 6379, 3, "me", "p@ss"},
        {"redis://h%4", "h%4", NULL, 6379, 0, "", ""},
        {"unix:///run/r.sock", NULL, "/run/r.sock", 0, 0, "", ""},
        {"unix:///run/r.sock?db=5", NULL, "/run/r.sock", 0, 5, "", ""},
        {"unix://u:p@/run/r.sock", NULL, "/run/r.sock", 0, 0, "u", "p"},
    };
    static const char *const bad[] = {"http://h",     "redis://h:0",   "redis://h:65536",     "redis://h:x",
                                      "redis://h/x",  "redis://[::1",  "redis://h:123456789", "rediss://h",
                                      "unix://run/r", "unix:///r?x=1", "unix:///r?db=x",      "",
                                      "unix://"};
    struct redis_target t;
    char why[256];
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        assert_int_equal(redis_target_parse(&t, good[i].url, "", NULL, why, sizeof why), 0);
        if (good[i].host != NULL)
            assert_string_equal(t.host, good[i].host);
        else
            assert_string_equal(t.path, good[i].path);
        assert_int_equal(t.port, good[i].port);
        assert_int_equal(t.db, good[i].db);
        assert_string_equal(t.username, good[i].user);
        assert_string_equal(t.password, good[i].password);
        redis_target_fini(&t);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        why[0] = '\0';
        assert_int_equal(redis_target_parse(&t, bad[i], "", "", why, sizeof why), -1);
        assert_string_not_equal(why, "");
    }
    assert_int_equal(redis_target_parse(&t, "redis://a:b@h", "x", "y", why, sizeof why), 0);
    assert_string_equal(t.username, "x");
    assert_string_equal(t.password, "y");
    redis_target_fini(&t);
}

static void commands(void **state)
{
    (void)state;
    struct probe *p = open_ready();
    assert_string_equal(ask(p, "CLIENT", "GETNAME", NULL), "dray-test");
    assert_string_equal(ask(p, "SET", "k", "a b\r\nc"), "OK");
    assert_string_equal(ask(p, "GET", "k", NULL), "a b\r\nc");
    assert_int_equal(p->status, REDIS_OK);
    ask(p, "LPUSH", "k", "x");
    assert_int_equal(p->status, REDIS_ERROR);
    assert_true(strncmp(p->text, "WRONGTYPE", 9) == 0);
    assert_true(redis_without_aof(p->r));
    p->answered = false;
    redis_commandf(p->r, on_reply, p, "SET %s %d", "n", 7);
    assert_true(redis_unsent(p->r) > 0);
    assert_true(loop_until(p->loop, &p->answered));
    assert_int_equal(redis_unsent(p->r), 0);
    assert_string_equal(server_ask(&server, "GET n"), "7");
    shut(p);
}

static void a_large_command_goes_out_whole(void **state)
{
    (void)state;
    struct probe *p = open_ready();
    size_t size = 3u << 20;
    char *big = malloc(size);
    for (size_t i = 0; i < size; i++)
        big[i] = (char)(i * 7);
    const char *argv[] = {"SET", "big", big};
    const size_t lens[] = {3, 3, size};
    redis_command(p->r, on_reply, p, 3, argv, lens);
    assert_true(loop_until(p->loop, &p->answered));
    assert_int_equal(p->status, REDIS_OK);
    redisReply *r = redisCommand(server.c, "GET big");
    assert_int_equal(r->len, size);
    assert_memory_equal(r->str, big, size);
    freeReplyObject(r);
    free(big);
    shut(p);
}

static void wrong_password_is_unfit(void **state)
{
    (void)state;
    server_ask(&server, "CONFIG SET requirepass secret");
    server_ask(&server, "ACL SETUSER worker on >pw ~* &* +@all");
    struct redis_options o = options(server.url);
    struct probe *p = open_with(&o);
    assert_true(loop_until(p->loop, &p->unfit)); /* none given */
    assert_false(p->ready);
    shut(p);
    o.password = "wrong";
    p = open_with(&o);
    assert_true(loop_until(p->loop, &p->unfit));
    assert_non_null(strstr(p->text, "WRONGPASS"));
    shut(p);
    o.password = "secret";
    p = open_with(&o);
    assert_true(loop_until(p->loop, &p->ready));
    shut(p);
    o.username = "worker";
    o.password = "pw";
    p = open_with(&o);
    assert_true(loop_until(p->loop, &p->ready));
    assert_string_equal(ask(p, "ACL", "WHOAMI", NULL), "worker");
    shut(p);
    char why[256];
    assert_null(redis_connect_blocking(server.url, "", "wrong", 1000, why, sizeof why));
    assert_non_null(strstr(why, "WRONGPASS"));
    redisContext *c = redis_connect_blocking(server.url, "", "secret", 1000, why, sizeof why);
    assert_non_null(c);
    redisFree(c);
    assert_null(redis_connect_blocking("unix:///nowhere/at/all", "", "", 1000, why, sizeof why));
    assert_string_not_equal(why, "");
    server_ask(&server, "CONFIG SET requirepass %s", "");
}

static void an_evicting_policy_is_unfit_until_changed(void **state)
{
    (void)state;
    server_ask(&server, "CONFIG SET maxmemory-policy allkeys-lru");
    struct redis_options o = options(server.url);
    struct probe *p = open_with(&o);
    assert_true(loop_until(p->loop, &p->unfit));
    assert_false(p->ready);
    assert_non_null(strstr(p->text, "allkeys-lru"));
    assert_non_null(strstr(p->text, "noeviction"));
    ask(p, "PING", NULL, NULL);
    assert_int_equal(p->status, REDIS_AWAY);
    server_ask(&server, "CONFIG SET maxmemory-policy noeviction");
    assert_true(loop_until(p->loop, &p->ready));
    shut(p);
}

static void config_forbidden_is_no_obstacle(void **state)
{
    (void)state;
    server_ask(&server, "ACL SETUSER plain on >pw ~* &* +@all -config");
    struct redis_options o = options(server.url);
    o.username = "plain";
    o.password = "pw";
    struct probe *p = open_with(&o);
    assert_true(loop_until(p->loop, &p->ready));
    assert_true(redis_without_aof(p->r)); /* INFO tells it */
    shut(p);
}

static void a_server_that_dies_comes_back(void **state)
{
    (void)state;
    struct probe *p = open_ready();
    ask(p, "PING", NULL, NULL);
    kill(server.pid, SIGSTOP);
    p->answered = p->ready = false;
    redis_commandf(p->r, on_reply, p, "INCR x");
    loop_for(p->loop, 0.05);
    assert_false(p->answered);
    server_kill(&server);
    assert_true(loop_until(p->loop, &p->answered));
    assert_int_equal(p->status, REDIS_UNKNOWN);
    assert_true(loop_until(p->loop, &p->down));
    ask(p, "PING", NULL, NULL);
    assert_int_equal(p->status, REDIS_AWAY);
    unsigned before = p->down_n;
    while (p->down_n < before + 3) { /* it keeps trying */
        p->down = false;
        assert_true(loop_until(p->loop, &p->down));
    }
    server_run(&server, NULL);
    assert_true(loop_until(p->loop, &p->ready));
    assert_string_equal(ask(p, "PING", NULL, NULL), "PONG");
    shut(p);
}

static void a_stopped_server_is_noticed(void **state)
{
    (void)state;
    struct probe *p = open_ready();
    kill(server.pid, SIGSTOP);
    p->ready = p->answered = false;
    redis_commandf(p->r, on_reply, p, "INCR y");
    assert_true(loop_until(p->loop, &p->answered));
    assert_int_equal(p->status, REDIS_UNKNOWN);
    assert_true(p->down);
    assert_non_null(strstr(p->why, "no answer"));
    p->down = false; /* connecting to it works, its greeting does not come */
    assert_true(loop_until(p->loop, &p->down));
    assert_non_null(strstr(p->why, "in time"));
    kill(server.pid, SIGCONT);
    assert_true(loop_until(p->loop, &p->ready));
    shut(p);
}

/* What a lost connection still had buffered must not run behind our back once we are READY again. */
static void the_previous_connection_is_ended(void **state)
{
    (void)state;
    struct probe *p = open_ready();
    int64_t first = redis_client_id(p->r);
    server_ask(&server, "CONFIG RESETSTAT");
    kill(server.pid, SIGSTOP);
    p->ready = p->answered = false;
    redis_commandf(p->r, on_reply, p, "GET x");
    assert_true(loop_until(p->loop, &p->answered));
    kill(server.pid, SIGCONT);
    assert_true(loop_until(p->loop, &p->ready));
    assert_int_not_equal(redis_client_id(p->r), first);
    assert_string_equal(server_ask(&server, "CLIENT LIST ID %lld", (long long)first), "");
    assert_non_null(strstr(server_ask(&server, "INFO commandstats"), "cmdstat_client|kill:calls=1"));
    shut(p);
}

static struct redis_script twice = {.name = "twice",
                                    .text = "#!lua\nreturn redis.call('INCRBY', KEYS[1], 2 * ARGV[1])\n"};

static void a_forgotten_script_is_loaded_again(void **state)
{
    (void)state;
    struct probe *p = open_ready();
    server_ask(&server, "DEL t");
    const char *argv[] = {"t", "4"};
    p->answered = false;
    redis_script_call(p->r, &twice, on_reply, p, 1, 2, argv, NULL);
    assert_true(loop_until(p->loop, &p->answered));
    assert_string_equal(p->text, "8");
    server_ask(&server, "SCRIPT FLUSH");
    p->answered = false;
    redis_script_call(p->r, &twice, on_reply, p, 1, 2, argv, NULL);
    assert_true(loop_until(p->loop, &p->answered));
    assert_int_equal(p->status, REDIS_OK);
    assert_string_equal(p->text, "16");
    shut(p);
}

static void freeing_answers_what_is_pending(void **state)
{
    (void)state;
    struct probe *p = open_ready();
    p->answered = false;
    redis_commandf(p->r, on_reply, p, "GET a");
    redis_free(p->r);
    assert_true(p->answered);
    assert_int_equal(p->status, REDIS_UNKNOWN);
    free(p);

    p = open_ready(); /* inside a callback, with more pending behind it */
    struct probe second = {0};
    p->answered = false;
    p->free_in_callback = true;
    redis_commandf(p->r, on_reply, p, "GET a");
    redis_commandf(p->r, on_reply, &second, "GET b");
    assert_true(loop_until(p->loop, &p->answered));
    assert_int_equal(p->status, REDIS_OK);
    assert_true(second.answered);
    assert_int_equal(second.status, REDIS_UNKNOWN);
    loop_for(p->loop, 0.02);
    free(p);
}

static void a_loading_server_is_waited_for(void **state)
{
    (void)state;
    static const char *const slow[] = {"--key-load-delay", "700", "--loading-process-events-interval-bytes",
                                       "1024", NULL};
    struct server loader;
    server_start(&loader, NULL);
    for (int i = 0; i < 2000; i++)
        server_ask(&loader, "SET key:%d some-value-so-that-there-is-something-to-load", i);
    server_ask(&loader, "SAVE");
    server_kill(&loader);
    server_run(&loader, slow);
    struct redis_options o = options(loader.url);
    struct probe *p = open_with(&o);
    assert_true(loop_until(p->loop, &p->down));
    assert_non_null(strstr(p->why, "loading"));
    assert_false(p->ready || p->unfit);
    assert_true(loop_until(p->loop, &p->ready));
    assert_string_equal(ask(p, "DBSIZE", NULL, NULL), "2000");
    shut(p);
    server_stop(&loader);
}

static void nobody_listens(void **state)
{
    (void)state;
    static const char *const urls_away[] = {"unix:///nowhere/at/all.sock", "redis://127.0.0.1:1/0"};
    for (size_t i = 0; i < 2; i++) {
        struct redis_options o = options(urls_away[i]);
        struct probe *p = open_with(&o);
        while (p->down_n < 3) {
            p->down = false;
            assert_true(loop_until(p->loop, &p->down));
        }
        assert_string_not_equal(p->why, "");
        assert_false(p->ready);
        shut(p);
    }
}

static void error_words(void **state)
{
    (void)state;
    static const struct {
        const char *text, *word;
        bool temporary;
    } rows[] = {
        {"OOM command not allowed", "OOM", true},
        {"LOADING Redis is loading", "LOADING", true},
        {"READONLY You can't write", "READONLY", true},
        {"WRONGTYPE Operation", "WRONGTYPE", false},
        {"ERR x", "ERR", false},
        {"BUSY", "BUSY", true},
        {"", "", false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char text[64], word[16];
        snprintf(text, sizeof text, "%s", rows[i].text);
        redisReply reply = {.type = REDIS_REPLY_ERROR, .str = text, .len = strlen(text)};
        assert_string_equal(redis_error_word(&reply, word, sizeof word), rows[i].word);
        assert_int_equal(redis_error_is_temporary(&reply), rows[i].temporary);
    }
}

int main(void)
{
    signal(SIGPIPE, SIG_IGN);
    redis_script_register(&twice);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(urls),
        cmocka_unit_test(error_words),
        cmocka_unit_test(commands),
        cmocka_unit_test(a_large_command_goes_out_whole),
        cmocka_unit_test(wrong_password_is_unfit),
        cmocka_unit_test(an_evicting_policy_is_unfit_until_changed),
        cmocka_unit_test(config_forbidden_is_no_obstacle),
        cmocka_unit_test(a_server_that_dies_comes_back),
        cmocka_unit_test(a_stopped_server_is_noticed),
        cmocka_unit_test(the_previous_connection_is_ended),
        cmocka_unit_test(a_forgotten_script_is_loaded_again),
        cmocka_unit_test(freeing_answers_what_is_pending),
        cmocka_unit_test(a_loading_server_is_waited_for),
        cmocka_unit_test(nobody_listens),
    };
    return cmocka_run_group_tests(tests, start_server, stop_server);
}
