/* conf_test - what is accepted: files, layers, SDK names; the round trip through the dump, the diff. */
#include "tests/unit/conf_fixture.h"

/* ---- what is accepted */

static void test_without_a_file(void **state)
{
    struct fixture *t = *state;
    expect_ok(t, NULL, NULL);
    const struct conf *c = t->conf;
    assert_int_equal(c->n_sources, 1);
    assert_string_equal(c->sources[0].id, "dev");
    assert_string_equal(c->sources[0].write_key, "dev");
    assert_true(c->sources[0].enabled);
    assert_int_equal(c->n_listeners, 1);
    assert_string_equal(c->listeners[0].id, "public");
    assert_string_equal(c->listeners[0].address, "127.0.0.1:8080");
    assert_int_equal(c->n_destinations, 0);
    expect_in(&t->warnings, "destinations: there is none: nothing will be delivered");
    assert_int_equal(c->queue.lock_duration_ms, 30000);
    assert_int_equal(c->ingest.limits_request_bytes, 4000 * 1024);
    assert_true(c->master.processes_delivery == CONF_AUTO);
    assert_int_equal(c->master.restart_degraded_at.count, 20);
    assert_int_equal(c->master.restart_degraded_at.period_ms, 60000);
    assert_true(c->redis.reconnect_jitter == 0.3);
    assert_string_equal(c->queue.prefix, "{dray}");
    expect_ok(t, NULL, "destinations=[{id: d, url: 'http://127.0.0.1:1/'}]");
    assert_int_equal(t->warnings.len, 0);
    expect_ok(t, NULL, "sources=[{id: a, write_key: b}, {id: c, write_key: d, enabled: off}]");
    assert_int_equal(t->conf->n_sources, 2);
    assert_false(t->conf->sources[1].enabled);
}

static void test_forms(void **state)
{
    struct fixture *t = *state;
    expect_ok(t,
              "# a comment\n"
              "version: 1\n"
              "ingest:\n"
              "  flush_interval: 1s500ms\n"
              "  limits: { request: 2MB, header_timeout: 0500ms,\n"
              "            connections: \"77\" }\n"
              "  listeners:\n"
              "    - id: a\n"
              "      address: unix:/run/x.sock   # a comment\n"
              "      mode: 0600\n"
              "    - { id: b, address: \":0\" }\n"
              "    - { id: c, address: '[::1]:0' }\n"
              "master:\n"
              "  restart: { degraded_at: 5/2m, jitter: .25 }\n"
              "  processes: { delivery: 3 }\n"
              "queue:\n" /* nothing below it: nothing is set */
              "redis: { managed: { appendfsync: no } }\n"
              "log: { level: debug, output: 'file:/tmp/x y.log' }\n" SOURCE DEST,
              NULL);
    const struct conf *c = t->conf;
    assert_int_equal(c->ingest.flush_interval_ms, 1500);
    assert_int_equal(c->ingest.limits_request_bytes, 2000000);
    assert_int_equal(c->ingest.limits_header_timeout_ms, 500);
    assert_int_equal(c->ingest.limits_connections, 77);
    assert_int_equal(c->n_listeners, 3);
    assert_string_equal(c->listeners[0].mode, "0600");
    assert_string_equal(c->listeners[1].mode, "0660");
    assert_int_equal(c->master.restart_degraded_at.count, 5);
    assert_int_equal(c->master.restart_degraded_at.period_ms, 120000);
    assert_true(c->master.restart_jitter == 0.25);
    assert_int_equal(conf_delivery_processes(c, 7), 3);
    assert_int_equal(c->redis.managed_appendfsync, CONF_FSYNC_NO);
    assert_string_equal(c->log.output, "file:/tmp/x y.log");
    assert_non_null(conf_find_source(c, "web"));
    assert_null(conf_find_source(c, "nobody"));
    assert_ptr_equal(conf_find_destination(c, "d"), &c->destinations[0]);
    assert_null(conf_find_destination(c, "e"));
    expect_in(&t->warnings, "redis.managed.appendfsync: only always");
}

static void test_sdk_names(void **state)
{
    struct fixture *t = *state;
    expect_ok(t,
              "ingest: { flushAt: 20, flushInterval: 10000, maxInternalQueueSize: 20 }\n"
              "queue:\n"
              "  isMultiProcessor: true\n"
              "  maxAttempts: 4\n"
              "  lockDuration: 60000\n"
              "  lockRenewTime: 20s\n"
              "  stalledInterval: 1000\n"
              "  maxStalledCount: 1\n"
              "sources: [{ id: web, writeKey: k }]\n" DEST,
              "ingest.flushInterval=250");
    assert_int_equal(t->conf->ingest.flush_at, 20);
    assert_int_equal(t->conf->ingest.flush_interval_ms, 250);
    assert_int_equal(t->conf->ingest.max_internal_queue_size, 20);
    assert_int_equal(t->conf->queue.max_attempts, 4);
    assert_int_equal(t->conf->queue.lock_duration_ms, 60000);
    assert_int_equal(t->conf->queue.lock_renew_ms, 20000);
    assert_int_equal(t->conf->queue.max_stalled_count, 1);
    assert_string_equal(t->conf->sources[0].write_key, "k");
}

static void test_the_example(void **state)
{
    struct fixture *t = *state;
    enum exitcode code = conf_load("etc/dray.yaml", NULL, 0, &t->conf, &t->errors, &t->warnings);
    if (code != EXIT_CODE_OK)
        fail_msg("%s", buf_cstr(&t->errors));
    /* Its values are the defaults. */
    struct fixture plain = {0};
    buf_init(&plain.errors, 65536);
    buf_init(&plain.warnings, 65536);
    assert_int_equal(conf_load(NULL, NULL, 0, &plain.conf, &plain.errors, &plain.warnings), EXIT_CODE_OK);
    for (size_t i = 0; i < CONF_SECTIONS; i++)
        for (size_t j = 0; !CONF_IS_LIST(&conf_sections[i]) && j < conf_sections[i].n; j++)
            assert_true(conf_value_equal(&conf_sections[i].rows[j], (char *)t->conf + conf_sections[i].offset,
                                         (char *)plain.conf + conf_sections[i].offset));
    conf_free(plain.conf);
    buf_fini(&plain.errors);
    buf_fini(&plain.warnings);
}

/* ---- layers */

static void test_layers(void **state)
{
    struct fixture *t = *state;
    setenv("DRAY_QUEUE__LOCK_DURATION", "45s", 1);
    setenv("DRAY_MASTER__RESTART__MIN", "7ms", 1);
    setenv("DRAY_REDIS__MODE", "standalone", 1);
    setenv("DRAY_REDIS__PASSWORD", "a: #b {", 1);        /* text, not YAML */
    setenv("DRAY_REDIS_PORT", "tcp://10.0.0.1:6379", 1); /* what container hosts set */
    setenv("DRAY_lower__case", "x", 1);
    expect_ok(t, "queue: { lock_duration: 40s, max_attempts: 3 }\n" SOURCE DEST, NULL);
    assert_int_equal(t->conf->queue.lock_duration_ms, 45000);
    assert_int_equal(t->conf->queue.max_attempts, 3);
    assert_int_equal(t->conf->master.restart_min_ms, 7);
    assert_string_equal(t->conf->redis.password, "a: #b {");
    expect_ok(t, "queue: { lock_duration: 40s }\n" SOURCE, "queue.lock_duration=50s");
    assert_int_equal(t->conf->queue.lock_duration_ms, 50000);
    /* A value that another layer replaces is not looked at. */
    expect_ok(t, "redis: { password: \"${env:DRAY_TEST_UNSET}\" }\n" SOURCE, NULL);
    setenv("DRAY_QUEUE__LOCK_DURATION", "45", 1);
    assert_int_equal(load(t, SOURCE, NULL), EXIT_CODE_CONFIG);
    assert_string_equal(
        buf_cstr(&t->errors),
        "DRAY_QUEUE__LOCK_DURATION: queue.lock_duration: a duration needs a unit: 45ms or 45s, got \"45\"\n");
    unsetenv("DRAY_QUEUE__LOCK_DURATION");
    setenv("DRAY_QUEUE__LOCK_DURATON", "45s", 1);
    assert_int_equal(load(t, SOURCE, NULL), EXIT_CODE_CONFIG);
    expect_in(&t->errors,
              "DRAY_QUEUE__LOCK_DURATON: queue.lock_duraton: unknown key; did you mean \"lock_duration\"?");
    unsetenv("DRAY_QUEUE__LOCK_DURATON");
    setenv("DRAY_SOURCES", "[{id: e, write_key: e}]", 1);
    setenv("DRAY_INGEST__LISTENERS", "[{id: l, address: ':1'}]", 1);
    expect_ok(t, SOURCE, NULL);
    assert_int_equal(t->conf->n_sources, 1);
    assert_string_equal(t->conf->sources[0].id, "e");
    assert_string_equal(t->conf->listeners[0].id, "l");
    unsetenv("DRAY_SOURCES");
    unsetenv("DRAY_INGEST__LISTENERS");
    unsetenv("DRAY_MASTER__RESTART__MIN");
    unsetenv("DRAY_REDIS__MODE");
    unsetenv("DRAY_REDIS__PASSWORD");
    unsetenv("DRAY_REDIS_PORT");
    unsetenv("DRAY_lower__case");
}

/* ---- dump, diff, document */

static void round_trip(struct fixture *t)
{
    struct buf first, second, errors;
    buf_init(&first, 1 << 20);
    buf_init(&second, 1 << 20);
    buf_init(&errors, 65536);
    struct conf *c;
    assert_int_equal(conf_dump(t->conf, false, &first), 0);
    if (conf_parse_dump(first.data, first.len, &c, &errors) < 0)
        fail_msg("%s\n%s", buf_cstr(&errors), buf_cstr(&first));
    assert_int_equal(conf_dump(c, false, &second), 0);
    assert_string_equal(buf_cstr(&first), buf_cstr(&second));
    unsigned differ = 0;
    for (size_t i = 0; i < CONF_SECTIONS; i++)
        for (size_t j = 0; !CONF_IS_LIST(&conf_sections[i]) && j < conf_sections[i].n; j++)
            differ += !conf_value_equal(&conf_sections[i].rows[j], (char *)c + conf_sections[i].offset,
                                        (char *)t->conf + conf_sections[i].offset);
    assert_int_equal(differ, 0);
    assert_int_equal(c->n_destinations, t->conf->n_destinations);
    conf_free(c);
    buf_fini(&first);
    buf_fini(&second);
    buf_fini(&errors);
}

static void test_dump(void **state)
{
    struct fixture *t = *state;
    expect_ok(t, NULL, NULL);
    round_trip(t);
    setenv("DRAY_TEST_KEY", "${env:HOME}\"\\/\xc3\xa9\xe2\x80\xa8\xf0\x9f\x90\xb4 ", 1);
    expect_ok(
        t,
        "redis: { mode: standalone, url: \"redis://u:hunter2@h:1/0\", password: \"${env:DRAY_TEST_KEY}\", username: \"yes\" }\n"
        "master: { restart: { jitter: 0.1, degraded_at: 7/90s }, processes: { delivery: 2 } }\n"
        "ingest: { flush_interval: 59s999ms, memory: 123456789 }\n"
        "node: { run_dir: \"~\", state_dir: \"null\" }\n"
        "sources: [{ id: a, write_key: \"08\" }, { id: b, write_key: \"*b\", enabled: no }]\n"
        "destinations: [{ id: d, url: \"http://h/?a=b%20c\" }]\n",
        NULL);
    round_trip(t);
    struct buf masked;
    buf_init(&masked, 1 << 20);
    assert_int_equal(conf_dump(t->conf, true, &masked), 0);
    expect_not_in(&masked, "hunter2");
    expect_not_in(&masked, "HOME");
    expect_not_in(&masked, "\"*b\"");
    expect_in(&masked, "\"url\":\"redis://***@h:1/0\"");
    expect_in(&masked, "\"password\":\"***\"");
    expect_in(&masked, "\"write_key\":\"***\"");
    /* Too small a buffer: nothing is left in it. */
    struct buf small;
    buf_init(&small, 100);
    assert_int_equal(conf_dump(t->conf, false, &small), -1);
    assert_int_equal(small.len, 0);
    buf_fini(&small);
    buf_fini(&masked);
    unsetenv("DRAY_TEST_KEY");
}

static void test_dump_is_also_a_file(void **state)
{
    struct fixture *t = *state;
    expect_ok(t, "queue: { lock_duration: 1m1ms }\n" SOURCE DEST, NULL);
    struct buf dump, again;
    buf_init(&dump, 1 << 20);
    buf_init(&again, 1 << 20);
    assert_int_equal(conf_dump(t->conf, false, &dump), 0);
    expect_ok(t, buf_cstr(&dump), NULL);
    assert_int_equal(conf_dump(t->conf, false, &again), 0);
    assert_string_equal(buf_cstr(&dump), buf_cstr(&again));
    buf_fini(&dump);
    buf_fini(&again);
}

static void test_bad_dumps(void **state)
{
    struct fixture *t = *state;
    static const char *const rows[] = {
        "",
        "{",
        "[]",
        "{\"queue\":{\"prefix\":1,\"prefix\":2}}",
        "{\"nope\":{}}",
        "{\"queue\":{\"max_attempts\":0}}",
        "{\"queue\":{\"max_attempts\":null}}",
        "{\"sources\":3}",
        "{\"version\":2}",
        "{} x",
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        buf_reset(&t->errors);
        assert_int_equal(conf_parse_dump(rows[i], strlen(rows[i]), &t->conf, &t->errors), -1);
        assert_null(t->conf);
        assert_true(t->errors.len > 0);
    }
}

static void test_dump_of_another_release(void **state)
{
    struct fixture *t = *state;
    const char *text = "{\"queue\":{\"prefix\":\"x\",\"nope\":1},\"nowhere\":{\"a\":[1]}}";
    assert_int_equal(conf_parse_old_dump(text, strlen(text), &t->conf, &t->errors), 0);
    assert_string_equal(t->conf->queue.prefix, "x");
    assert_non_null(strstr(buf_cstr(&t->errors), "queue.nope"));
    assert_non_null(strstr(buf_cstr(&t->errors), "nowhere"));
    conf_free(t->conf);
    t->conf = NULL;
    buf_reset(&t->errors);
    text = "{\"queue\":{\"max_attempts\":0}}";
    assert_int_equal(conf_parse_old_dump(text, strlen(text), &t->conf, &t->errors), -1);
    assert_null(t->conf);
}

struct diffs {
    char paths[16][64], keys[16][64];
    enum conf_apply apply[16];
    size_t n;
};

static void note_diff(const struct conf_change *c, void *arg)
{
    struct diffs *d = arg;
    assert_true(d->n < 16);
    str_copy(d->paths[d->n], c->path, sizeof d->paths[0]);
    str_copy(d->keys[d->n], c->key, sizeof d->keys[0]);
    d->apply[d->n++] = c->apply;
}

static void test_diff(void **state)
{
    struct fixture *t = *state;
    static const struct {
        const char *text, *path;
        enum conf_apply apply;
    } rows[] = {
        {"log: { level: debug }\n" SOURCE DEST, "log.level", CONF_APPLY_LIVE},
        {"ingest: { limits: { event: 1KiB } }\n" SOURCE DEST, "ingest.limits.event", CONF_APPLY_LIVE},
        {"master: { restart: { jitter: 0.3 } }\n" SOURCE DEST, "master.restart.jitter", CONF_APPLY_LIVE},
        {"master: { restart: { degraded_at: 20/61s } }\n" SOURCE DEST, "master.restart.degraded_at",
         CONF_APPLY_LIVE},
        {"delivery: { response_store: 1KiB }\n" SOURCE DEST, "delivery.response_store", CONF_APPLY_ROLL},
        {"node: { run_dir: /run/x }\n" SOURCE DEST, "node.run_dir", CONF_APPLY_RESTART},
        {"ingest: { ack: memory }\n" SOURCE DEST, "ingest.ack", CONF_APPLY_LIVE},
        {"ingest: { listeners: [{ id: x, address: \":0\" }] }\n" SOURCE DEST, "ingest.listeners",
         CONF_APPLY_ROLL},
        {"sources: [{ id: web, write_key: k, enabled: false }]\n" DEST, "sources.web.enabled",
         CONF_APPLY_LIVE},
        {"sources: [{ id: app, write_key: k }]\n" DEST, "sources", CONF_APPLY_LIVE},
        {SOURCE, "destinations", CONF_APPLY_ROLL},
    };
    expect_ok(t, SOURCE DEST, NULL);
    struct conf *a = t->conf;
    t->conf = NULL;
    struct diffs d = {.n = 0};
    conf_diff(a, a, note_diff, &d);
    assert_int_equal(d.n, 0);
    for (size_t i = 0; i < COUNT(rows); i++) {
        d.n = 0;
        expect_ok(t, rows[i].text, NULL);
        conf_diff(a, t->conf, note_diff, &d);
        assert_int_equal(d.n, 1);
        assert_string_equal(d.paths[0], rows[i].path);
        assert_int_equal(d.apply[0], rows[i].apply);
    }
    conf_free(a);
}

/* What points into the configuration goes on to be right; only a list with other members moves. */
static void test_take(void **state)
{
    struct fixture *t = *state;
    expect_ok(t, SOURCE DEST, NULL);
    struct conf *a = t->conf;
    t->conf = NULL;
    expect_ok(
        t,
        "ingest: { flush_at: 7 }\nmaster: { restart: { degraded_at: 3/9s, jitter: 0.5 } }\nnode: { name: x }\n"
        "sources: [{ id: web, write_key: other, enabled: no }, { id: more, write_key: m }]\n"
        "destinations: [{ id: d, url: \"http://elsewhere/\", concurrency: 3 }]\n",
        NULL);
    const struct conf_destination *d = a->destinations;
    const char *id = d->id;
    assert_int_equal(a->n_destinations, 1);
    conf_take(a, t->conf);
    assert_ptr_equal(a->destinations, d);
    assert_ptr_equal(d->id, id); /* what is the same stays */
    assert_string_equal(d->url, "http://elsewhere/");
    assert_int_equal(d->concurrency, 3);
    assert_int_equal(a->ingest.flush_at, 7);
    assert_int_equal(a->master.restart_degraded_at.count, 3);
    assert_int_equal(a->master.restart_degraded_at.period_ms, 9000);
    assert_true(a->master.restart_jitter == 0.5);
    assert_string_equal(a->node.name, "x");
    assert_int_equal(a->n_sources, 2);
    assert_string_equal(a->sources[0].write_key, "other");
    assert_int_equal(t->conf->ingest.flush_at, 100);
    assert_int_equal(t->conf->n_sources, 1);
    assert_true(t->conf->sources[0].enabled);
    conf_take(a, t->conf); /* and back */
    assert_int_equal(a->ingest.flush_at, 100);
    assert_int_equal(a->n_sources, 1);
    conf_free(a);
}

static void test_document(void **state)
{
    struct fixture *t = *state;
    struct buf b;
    buf_init(&b, 1 << 20);
    assert_int_equal(conf_document(&b), 0);
    /* The lists hold elements without ids: everything else in it is right. */
    assert_int_equal(load(t, buf_cstr(&b), NULL), EXIT_CODE_CONFIG);
    expect_not_in(&t->errors, "unknown");
    expect_not_in(&t->errors, "expected");
    expect_in(&b, "  flush_at: 100  # events in a batch\n");
    expect_in(&b, "  limits:\n    request: 4000KiB");
    expect_in(&b, "  listeners:\n    - id: \"\"");
    buf_fini(&b);
}

/* ---- what is asked of it later */

static void test_paths_and_processes(void **state)
{
    struct fixture *t = *state;
    char path[256];
    expect_ok(t, "node: { run_dir: /run/d, state_dir: lib }\n" SOURCE, NULL);
    assert_string_equal(conf_run_path(t->conf, "control.sock", path, sizeof path), "/run/d/control.sock");
    assert_string_equal(conf_state_path(t->conf, "redis", path, sizeof path), "lib/redis");
    assert_string_equal(conf_state_path(t->conf, "/data/redis", path, sizeof path), "/data/redis");
    assert_string_equal(conf_redis_url(t->conf, path, sizeof path), "unix:///run/d/redis.sock");
    static const unsigned cpus[][2] = {{0, 1}, {1, 1}, {6, 6}, {64, 64}, {65, 64}, {4096, 64}};
    for (size_t i = 0; i < sizeof cpus / sizeof *cpus; i++)
        assert_int_equal(conf_delivery_processes(t->conf, cpus[i][0]), cpus[i][1]);
    expect_ok(t, "redis: { mode: standalone, url: \"redis://h:1/2\" }\n" SOURCE, NULL);
    assert_string_equal(conf_redis_url(t->conf, path, sizeof path), "redis://h:1/2");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_without_a_file),
        T(test_forms),
        T(test_sdk_names),
        T(test_the_example),
        T(test_layers),
        T(test_dump),
        T(test_dump_is_also_a_file),
        T(test_bad_dumps),
        T(test_dump_of_another_release),
        T(test_diff),
        T(test_take),
        T(test_document),
        T(test_paths_and_processes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
