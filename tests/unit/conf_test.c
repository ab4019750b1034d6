/* conf_test - the configuration: the table itself, what is accepted, every fault with its place, layers, secrets,
 * the round trip through the dump, the diff. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/buf.h"
#include "common/base/str.h"
#include "common/conf/conf.h"
#include "common/conf/internal.h"

#define COUNT(a) (sizeof(a) / sizeof *(a))

struct fixture {
    char folder[64], file[96], secret[96];
    struct buf errors, warnings;
    struct conf *conf;
};

static void put_file(const char *path, const char *text, size_t len)
{
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    assert_int_equal(fwrite(text, 1, len, f), len);
    assert_int_equal(fclose(f), 0);
}

static int setup(void **state)
{
    struct fixture *t = calloc(1, sizeof *t);
    str_copy(t->folder, "/tmp/dray-conf-XXXXXX", sizeof t->folder);
    assert_non_null(mkdtemp(t->folder));
    snprintf(t->file, sizeof t->file, "%s/dray.yaml", t->folder);
    snprintf(t->secret, sizeof t->secret, "%s/secret", t->folder);
    buf_init(&t->errors, 1 << 20);
    buf_init(&t->warnings, 1 << 20);
    *state = t;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *t = *state;
    unlink(t->file);
    unlink(t->secret);
    rmdir(t->folder);
    buf_fini(&t->errors);
    buf_fini(&t->warnings);
    conf_free(t->conf);
    free(t);
    return 0;
}

static enum exitcode load(struct fixture *t, const char *text, const char *set)
{
    struct conf_override o = {set, "--set"};
    buf_reset(&t->errors);
    buf_reset(&t->warnings);
    conf_free(t->conf);
    t->conf = NULL;
    if (text != NULL)
        put_file(t->file, text, strlen(text));
    return conf_load(text != NULL ? t->file : NULL, &o, set != NULL ? 1 : 0, &t->conf, &t->errors,
                     &t->warnings);
}

static void expect_ok(struct fixture *t, const char *text, const char *set)
{
    enum exitcode code = load(t, text, set);
    if (code != EXIT_CODE_OK)
        fail_msg("%d:\n%s", code, buf_cstr(&t->errors));
    assert_non_null(t->conf);
    assert_int_equal(t->errors.len, 0);
}

static void expect_in(struct buf *b, const char *part)
{
    if (strstr(buf_cstr(b), part) == NULL)
        fail_msg("expected: %s\ngot: %s", part, buf_cstr(b));
}

static void expect_not_in(struct buf *b, const char *part)
{
    if (strstr(buf_cstr(b), part) != NULL)
        fail_msg("not expected: %s\ngot: %s", part, buf_cstr(b));
}

#define SOURCE "sources: [{ id: web, write_key: k }]\n"
#define DEST   "destinations: [{ id: d, url: \"http://127.0.0.1:1/\" }]\n"

/* ---- the table */

static void test_table_is_sound(void **state)
{
    (void)state;
    for (size_t i = 0; i < CONF_SECTIONS; i++) {
        const struct conf_section *s = &conf_sections[i];
        const char *closed[CONF_ROWS_MAX];
        size_t n_closed = 0;
        for (size_t j = 0; j < s->n; j++) {
            const struct conf_row *row = &s->rows[j];
            uint64_t field[8] = {0}; /* any field fits */
            struct conf_row alone = *row;
            alone.offset = 0;
            conf_value_set_default(&alone, field); /* panics when the default breaks its own limits */
            conf_value_free(&alone, field);
            assert_true((row->type == CONF_TYPE_ENUM) == (row->words[0] != '\0'));
            bool alias;
            assert_ptr_equal(conf_table_row(s, row->path, &alias), row); /* no path twice */
            assert_false(alias);
            if (CONF_IS_LIST(s))
                assert_int_equal(row->apply, s->rows[0].apply);
            /* Rows of one group stand together: the dump opens each once. */
            const char *dot = strchr(row->path, '.');
            size_t len = dot != NULL ? (size_t)(dot - row->path) : strlen(row->path);
            bool again =
                j > 0 && strncmp(s->rows[j - 1].path, row->path, len) == 0 && s->rows[j - 1].path[len] == '.';
            for (size_t k = 0; k < n_closed; k++)
                if (!again && strncmp(closed[k], row->path, len) == 0 && closed[k][len] == '.')
                    fail_msg("%s: the group of %s stands in two places", s->name, row->path);
            closed[n_closed++] = row->path;
        }
    }
}

static void test_enums_match_their_words(void **state)
{
    (void)state;
    static const struct {
        const char *section, *row;
        const char *words[6];
    } want[] = {
        {"ingest", "ack", {[CONF_ACK_QUEUE] = "queue", [CONF_ACK_MEMORY] = "memory"}},
        {"ingest", "compat", {[CONF_COMPAT_RUDDERSTACK] = "rudderstack", [CONF_COMPAT_SEGMENT] = "segment"}},
        {"ingest",
         "invalid_event",
         {[CONF_BAD_EVENT_QUARANTINE] = "quarantine", [CONF_BAD_EVENT_REJECT] = "reject_request"}},
        {"ingest",
         "oversize_event",
         {[CONF_BAD_EVENT_QUARANTINE] = "quarantine", [CONF_BAD_EVENT_REJECT] = "reject_request"}},
        {"redis", "mode", {[CONF_REDIS_MANAGED] = "managed", [CONF_REDIS_STANDALONE] = "standalone"}},
        {"redis",
         "managed.appendfsync",
         {[CONF_FSYNC_ALWAYS] = "always", [CONF_FSYNC_EVERYSEC] = "everysec", [CONF_FSYNC_NO] = "no"}},
        {"queue",
         "backoff.type",
         {[CONF_BACKOFF_EXPONENTIAL] = "exponential", [CONF_BACKOFF_FIXED] = "fixed"}},
        {"destinations",
         "auth.type",
         {[CONF_AUTH_WRITE_KEY] = "write_key",
          [CONF_AUTH_BASIC] = "basic",
          [CONF_AUTH_BEARER] = "bearer",
          [CONF_AUTH_NONE] = "none"}},
        {"log", "format", {[CONF_LOG_AUTO] = "auto", [CONF_LOG_LOGFMT] = "logfmt", [CONF_LOG_JSON] = "json"}},
        {"log", "level", {"crit", "error", "warn", "info", "debug"}},
    };
    for (size_t i = 0; i < COUNT(want); i++) {
        const struct conf_section *s = conf_table_section(want[i].section);
        bool alias;
        struct conf_row row = *conf_table_row(s, want[i].row, &alias);
        row.offset = 0;
        for (int j = 0; j < 6 && want[i].words[j] != NULL; j++) {
            char why[256];
            int v = -1;
            assert_int_equal(conf_value_set(&row, &v, want[i].words[j], false, why, sizeof why), 0);
            assert_int_equal(v, j);
        }
    }
}

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
    assert_int_equal(conf_delivery_processes(c), 3);
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
    const char *root = access("etc/dray.yaml", R_OK) == 0 ? "etc/dray.yaml" : "../etc/dray.yaml";
    enum exitcode code = conf_load(root, NULL, 0, &t->conf, &t->errors, &t->warnings);
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

/* ---- faults: text of a file, what must be told */

static const struct {
    const char *text, *told;
} faults[] = {
    /* YAML */
    {"a: [1", ":1:"},
    {"a: b: c\n", ":1:"},
    {"\tqueue: {}\n", ":1:"},
    {"queue: {}\n---\nqueue: {}\n", ":2:1: a second document"},
    {"queue: &a { max_attempts: 1 }\n", "anchors (&name) are not supported"},
    {"queue: *a\n", "aliases (*name) are not supported"},
    {"queue: !!map {}\n", "tags (!name) are not supported"},
    {"queue:\n  <<: { max_attempts: 1 }\n", ":2:3: merge keys"},
    {"queue: {}\nredis: {}\nqueue: {}\n", ":3:1: \"queue\" stands here for the second time (first: line 1)"},
    {"queue:\n  max_attempts: 1\n  max_attempts: 2\n",
     ":3:3: \"max_attempts\" stands here for the second time (first: line 2)"},
    {"? [a, b]\n: 1\n", "a key must be a plain word"},
    {"- a\n", "expected keys below it, got a list"},
    {"just words\n", "expected keys below it, got a value"},
    {"queue: { prefix: \"a\x01\" }\n", ":1: the line holds a control character"},
    {"# \xff\n", ":1: the line is not UTF-8"},
    {"a: [[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]]\n", "nested too deeply"},
    {"sources: [{ id: a, write_key: ${env:X} }]\n", "needs quotes"},
    {"version: 2\n", "dray.yaml:1:10: version: this program reads version 1"},
    /* unknown keys */
    {"ingest:\n  flush_att: 3\n", "dray.yaml:2:3: ingest.flush_att: unknown key; did you mean \"flush_at\"?"},
    {"ingest: { limits: { evnt: 3 } }\n", ":1:21: ingest.limits.evnt: unknown key; did you mean \"event\"?"},
    {"ingst: {}\n", ":1:1: ingst: unknown key; did you mean \"ingest\"?"},
    {"flush_at: 1\n", ":1:1: flush_at: unknown key; did you mean \"ingest.flush_at\"?"},
    {"ingest: { maxAttempts: 1 }\n", "ingest.maxAttempts: unknown key; did you mean \"queue.max_attempts\"?"},
    {"include: []\n", ":1:1: include: unknown key; known here: node, master, ingest,"},
    {"spool: {}\n", "spool: unknown key"},
    {"programs: []\n", "programs: unknown key"},
    {"routes: []\n", "routes: unknown key"},
    {"takeover: []\n", "takeover: unknown key"},
    {"redis: { sentinel: {} }\n", "redis.sentinel: unknown key"},
    {"ingest: { limits.request: 1MB }\n", "ingest.limits.request: unknown key"},
    {"sources: [{ id: a, write_kee: b }]\n",
     "sources[a].write_kee: unknown key; did you mean \"write_key\"?"},
    {"destinations: [{ urll: b }]\n", "destinations[#1].urll: unknown key; did you mean \"url\"?"},
    {"ingest: { listeners: [{ id: a, listeners: [] }] }\n", "ingest.listeners[a].listeners: unknown key"},
    /* types */
    {"ingest: { flush_at: many }\n", ":1:21: ingest.flush_at: expected a whole number, got \"many\""},
    {"ingest: { flush_at: -1 }\n", "expected a whole number"},
    {"ingest: { flush_at: 1.5 }\n", "expected a whole number"},
    {"ingest: { flush_at: 0 }\n", "ingest.flush_at: must be 1 to 2500, got \"0\""},
    {"ingest: { flush_at: 99999999999999999999999 }\n", "the number is too big"},
    {"master: { nofile: 9223372036854775808 }\n", "the number is too big"},
    {"ingest: { flush_at: [1] }\n", "ingest.flush_at: expected a value, got a list"},
    {"ingest: { flush_at: }\n", "ingest.flush_at: has no value"},
    {"ingest:\n  flush_at: ~\n", "ingest.flush_at: has no value"},
    {"queue: { lock_duration: 30000 }\n", "queue.lock_duration: a duration needs a unit: 30000ms or 30000s"},
    {"queue: { lock_duration: 30 s }\n", "expected a duration such as"},
    {"queue: { lock_duration: 99ms }\n", "must be 100ms to 1h, got \"99ms\""},
    {"ingest: { memory: 10KiB }\n", "ingest.memory: must be at least 1MiB"},
    {"ingest: { memory: 10kib }\n", "expected a size such as"},
    {"ingest: { ack: qeue }\n", "ingest.ack: expected one of queue, memory, got \"qeue\""},
    {"master: { processes: { delivery: all } }\n", "expected a whole number or auto"},
    {"master: { restart: { jitter: 1.5 } }\n", "expected a number from 0 to 1"},
    {"master: { restart: { jitter: nan } }\n", "expected a number from 0 to 1"},
    {"master: { restart: { degraded_at: 20 } }\n", "expected a count per period"},
    {"master: { restart: 3 }\n", "master.restart: expected keys below it, got a value"},
    {"sources: [{ id: a, write_key: b, enabled: maybe }]\n",
     "sources[a].enabled: expected true or false, got \"maybe\""},
    {"sources: { id: a }\n", "sources: expected a list, got a map"},
    {"sources: [a]\n", "sources[#1]: expected a map such as"},
    {"node: { name: \"a\\nb\" }\n", "node.name: the value holds a control character"},
    {"queue: { lockDuration: 60000, lock_duration: 60s }\n",
     "queue.lock_duration: set twice, under two names"},
    /* joined keys */
    {SOURCE "queue: { lock_renew: 16s }\n",
     ":2:22: queue.lock_renew: lock_renew must be at most half of lock_duration"},
    {SOURCE "queue: { lock_duration: 20s }\n", ":2:25: queue.lock_duration: lock_renew must be at most half"},
    {SOURCE "delivery: { timeout: 25s }\n", "delivery.timeout must be under master.drain"},
    {SOURCE "master: { drain: 20s }\n", "master.drain: delivery.timeout must be under master.drain"},
    {SOURCE "delivery: { connect_timeout: 21s }\n", "connect_timeout must be at most delivery.timeout"},
    {SOURCE "master: { health: { hang: 1s } }\n", "health.hang must be at least twice health.beat"},
    {SOURCE "master: { restart: { min: 31s } }\n", "restart.min must be at most restart.max"},
    {SOURCE "redis: { reconnect: { min: 3s } }\n", "reconnect.min must be at most reconnect.max"},
    {SOURCE "queue: { backoff: { delay: 11m } }\n", "backoff.delay must be at most backoff.max"},
    {SOURCE "ingest: { flush_at: 100, max_internal_queue_size: 99 }\n",
     "flush_at must be at most max_internal_queue_size"},
    {SOURCE "ingest: { max_batch: 31KiB }\n", "limits.event must be at most max_batch"},
    {SOURCE "ingest: { memory: 15MiB }\n", "limits.inflated must be at most ingest.memory"},
    {SOURCE "queue: { is_multi_processor: false }\n",
     ":2:30: queue.is_multi_processor: false (one processor in the whole fleet, strict order) is not supported by this version"},
    {SOURCE "queue: { prefix: \"\" }\n", "queue.prefix: must not be empty"},
    {SOURCE "queue: { prefix: \"a b\" }\n", "queue.prefix: must not hold spaces"},
    {SOURCE "log: { output: stdout }\n", "log.output: expected stderr, syslog or file:PATH"},
    {SOURCE "log: { output: \"file:\" }\n", "the path behind file: is missing"},
    {SOURCE "node: { run_dir: \"\" }\n", "node.run_dir: must name a folder"},
    {SOURCE
     "node: { run_dir: /aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa }\n",
     "node.run_dir: the path is too long"},
    {SOURCE "console: { address: 127.0.0.1 }\n", "console.address: the port is missing"},
    {SOURCE "redis: { username: u }\n", "a user name needs redis.password"},
    {SOURCE "redis: { url: \"rediss://h:1/\" }\n", "redis.url: TLS (rediss://) is not supported"},
    /* lists */
    {"queue: {}\n", "sources: there is none; add one: sources: [{"},
    {"sources: []\n", ":1:10: sources: there is none"},
    {SOURCE "ingest: { listeners: [] }\n", "ingest.listeners: there is none"},
    {SOURCE "ingest: { listeners: [{ id: a, address: \"h:1x\" }] }\n",
     "ingest.listeners[a].address: the port must be a number"},
    {SOURCE "ingest: { listeners: [{ id: a, address: \":1\" }, { id: a, address: \":2\" }] }\n",
     "another listener has the same id"},
    {SOURCE "ingest: { listeners: [{ id: a, address: \":1\" }, { id: b, address: \":1\" }] }\n",
     "another listener has the same address"},
    {SOURCE "ingest: { listeners: [{ id: a, address: \"127.0.0.1:8090\" }] }\n",
     "console.address is the same"},
    {SOURCE "ingest: { listeners: [{ id: a, address: \":1\", mode: 999 }] }\n", "expected octal permissions"},
    {"sources: [{ id: a, write_key: k }, { id: a, write_key: l }]\n",
     "sources[a].id: another source has the same id"},
    {"sources: [{ id: a, write_key: k }, { id: b, write_key: k }]\n",
     "sources[b].write_key: another source has the same write key"},
    {"sources: [{ id: \"a b\", write_key: k }]\n", "sources[#1].id: may hold letters, digits and . _ - only"},
    {"sources: [{ id: a }]\n", ":1:11: sources[a].write_key: must be given"},
    {"sources: [{ id: a, write_key: \"a:b\" }]\n", "must not hold a colon"},
    {SOURCE "destinations: [{ id: a:b, url: \"http://h\" }]\n", "destinations[#1].id: may hold letters"},
    {SOURCE "destinations: [{ id: d }]\n", "destinations[d].url: must be given"},
    {SOURCE "destinations: [{ id: d, url: \"ftp://h\" }]\n",
     "destinations[d].url: must begin with http:// or https://"},
    {SOURCE "destinations: [{ id: d, url: \"http://h\" }, { id: d, url: \"http://i\" }]\n",
     "another destination has the same id"},
    {SOURCE "destinations: [{ id: d, url: \"http://h\", auth: { type: basic } }]\n",
     "type basic needs a username"},
    {SOURCE "destinations: [{ id: d, url: \"http://h\", auth: { type: bearer } }]\n",
     "type bearer needs a token"},
    {SOURCE "destinations: [{ id: d, url: \"http://h\", auth: { token: t } }]\n",
     "a token is given; write type: bearer"},
    {SOURCE "destinations: [{ id: d, url: \"http://h\", auth: { username: u } }]\n", "write type: basic"},
};

static void test_faults(void **state)
{
    struct fixture *t = *state;
    for (size_t i = 0; i < COUNT(faults); i++) {
        enum exitcode code = load(t, faults[i].text, NULL);
        if (code != EXIT_CODE_CONFIG || t->conf != NULL)
            fail_msg("accepted: %s", faults[i].text);
        expect_in(&t->errors, faults[i].told);
        if (!str_starts(buf_cstr(&t->errors), t->file))
            fail_msg("no file name: %s", buf_cstr(&t->errors));
    }
}

static void test_every_fault_is_told(void **state)
{
    struct fixture *t = *state;
    assert_int_equal(load(t,
                          "ingest:\n  flush_at: x\n  flush_evry: 1\nqueue: { lock_duration: 1 }\n"
                          "sources: [{ id: a, write_key: k }, { id: a, write_key: k }]\nredis: &x {}\n",
                          NULL),
                     EXIT_CODE_CONFIG);
    expect_in(
        &t->errors,
        ":2:13: ingest.flush_at: expected a whole number, got \"x\"\n    2 |   flush_at: x\n      |             ^\n");
    expect_in(&t->errors, ":3:3: ingest.flush_evry");
    expect_in(&t->errors, ":4:25: queue.lock_duration");
    expect_in(&t->errors, "another source has the same id");
    expect_in(&t->errors, "another source has the same write key");
    expect_in(&t->errors, "anchors");
    /* lock_duration is known to be wrong: no rule is checked against what stands in for it */
    expect_not_in(&t->errors, "half of lock_duration");

    struct buf many;
    buf_init(&many, 1 << 20);
    for (int i = 0; i < 5000; i++)
        assert_int_equal(buf_printf(&many, "unknown%d: 1\n", i), 0);
    assert_int_equal(load(t, buf_cstr(&many), NULL), EXIT_CODE_CONFIG);
    expect_in(&t->errors, "more faults are not shown");
    assert_true(t->errors.len < 20000);
    buf_fini(&many);
}

/* ---- files */

static void test_bad_files(void **state)
{
    struct fixture *t = *state;
    char path[128];
    snprintf(path, sizeof path, "%s/none.yaml", t->folder);
    assert_int_equal(conf_load(path, NULL, 0, &t->conf, &t->errors, &t->warnings), EXIT_CODE_CONFIG);
    expect_in(&t->errors, "none.yaml: cannot read the configuration: No such file");
    expect_not_in(&t->errors, "sources");
    buf_reset(&t->errors);
    assert_int_equal(conf_load(t->folder, NULL, 0, &t->conf, &t->errors, &t->warnings), EXIT_CODE_CONFIG);
    expect_in(&t->errors, "Is a directory");

    size_t len = CONF_FILE_MAX + 1;
    char *big = malloc(len);
    memset(big, '#', len);
    put_file(t->file, big, len);
    assert_int_equal(load(t, NULL, NULL), EXIT_CODE_OK);
    conf_free(t->conf);
    assert_int_equal(conf_load(t->file, NULL, 0, &t->conf, &t->errors, &t->warnings), EXIT_CODE_CONFIG);
    expect_in(&t->errors, "bigger than 1 MiB");
    memset(big, '[', len - 1);
    put_file(t->file, big, len - 1);
    buf_reset(&t->errors);
    assert_int_equal(conf_load(t->file, NULL, 0, &t->conf, &t->errors, &t->warnings), EXIT_CODE_CONFIG);
    expect_in(&t->errors, "nested too deeply");
    for (size_t i = 0; i + 1 < len; i++)
        big[i] = i == 0 ? '[' : i & 1 ? '1' : ',';
    put_file(t->file, big, len - 1);
    buf_reset(&t->errors);
    assert_int_equal(conf_load(t->file, NULL, 0, &t->conf, &t->errors, &t->warnings), EXIT_CODE_CONFIG);
    expect_in(&t->errors, "too many values");
    put_file(t->file, "queue: {}\n\0more", 15);
    buf_reset(&t->errors);
    assert_int_equal(conf_load(t->file, NULL, 0, &t->conf, &t->errors, &t->warnings), EXIT_CODE_CONFIG);
    expect_in(&t->errors, ":2: the line holds a control character");
    free(big);

    expect_ok(t, SOURCE DEST, NULL);
    assert_int_equal(t->warnings.len, 0);
    assert_int_equal(chmod(t->file, 0666), 0);
    expect_ok(t, SOURCE DEST, NULL);
    expect_in(&t->warnings, "the file can be changed by others (mode 0666)");
}

static void test_list_cap(void **state)
{
    struct fixture *t = *state;
    struct buf b;
    buf_init(&b, 1 << 20);
    for (int n = CONF_LIST_MAX; n <= CONF_LIST_MAX + 1; n++) {
        buf_reset(&b);
        assert_int_equal(buf_puts(&b, "sources:\n"), 0);
        for (int i = 0; i < n; i++)
            assert_int_equal(buf_printf(&b, "  - { id: s%d, write_key: k%d }\n", i, i), 0);
        assert_int_equal(load(t, buf_cstr(&b), NULL), n == CONF_LIST_MAX ? EXIT_CODE_OK : EXIT_CODE_CONFIG);
    }
    expect_in(&t->errors, "has 257 elements; at most 256");
    buf_fini(&b);
}

/* ---- layers */

static void test_layers(void **state)
{
    struct fixture *t = *state;
    setenv("DRAY_QUEUE__LOCK_DURATION", "45s", 1);
    setenv("DRAY_MASTER__RESTART__MIN", "7ms", 1);
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
    unsetenv("DRAY_REDIS__PASSWORD");
    unsetenv("DRAY_REDIS_PORT");
    unsetenv("DRAY_lower__case");
}

static void test_bad_overrides(void **state)
{
    struct fixture *t = *state;
    static const struct {
        const char *set, *told;
    } rows[] = {
        {"queue", "--set: expected key=value"},
        {"=1", "--set: expected key=value"},
        {"queue=1", "--set: queue: is a section; name one of its keys"},
        {"ingest.limits=1", "is a group of keys"},
        {"sources.dev=1", "is a list; give the whole list as YAML"},
        {"sources=[{id: a", "--set:2:1: missing comma"},
        {"sources=[{id: a, writekey: b}]", "sources[a].writekey: unknown key; did you mean \"write_key\"?"},
        {"destinations=x", "destinations: expected a list, got a value"},
        {"queu.prefix=x", "did you mean \"queue\"?"},
        {"queue.prefx=x", "--set: queue.prefx: unknown key; did you mean \"prefix\"?"},
        {"ingest.limits.evnt=x", "did you mean \"event\"?"},
        {"queue.prefix=", "--set: queue.prefix: must not be empty"}, /* an empty text is a value here */
        {"queue.lock_renew=16s", "--set: queue.lock_renew: lock_renew must be"},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        assert_int_equal(load(t, NULL, rows[i].set), EXIT_CODE_CONFIG);
        expect_in(&t->errors, rows[i].told);
    }
}

/* ---- secrets */

static void test_secrets(void **state)
{
    struct fixture *t = *state;
    char text[1024];
    setenv("DRAY_TEST_KEY", "${env:HOME}", 1);
    setenv("DRAY_TEST_EMPTY", "", 1);
    put_file(t->secret, "s3cret \"\\${file:x}\n", 19);
    chmod(t->secret, 0600);
    snprintf(
        text, sizeof text,
        "redis: { password: \"${file:%s}\", username: '${env:DRAY_TEST_UNSET:-u}' }\n"
        "queue: { max_attempts: \"${env:DRAY_TEST_EMPTY:-7}\", prefix: \"${env:DRAY_TEST_UNSET:-{p}}\" }\n"
        "sources:\n"
        "  - id: a\n"
        "    write_key: ${env:DRAY_TEST_UNSET:-k}\n"
        "destinations: [{ id: d, url: \"http://h\", auth: { type: bearer, token: \"${file:secret}\" } },\n"
        "  { id: e, url: \"http://h\", auth: { type: basic, username: u, password: \"${env:DRAY_TEST_KEY}\" } },\n"
        "  { id: f, url: \"http://h\", auth: { type: basic, username: u, password: \"a${b$c\" } }]\n",
        t->secret);
    expect_ok(t, text, NULL);
    assert_string_equal(t->conf->redis.password, "s3cret \"\\${file:x}");
    assert_string_equal(t->conf->redis.username, "u");
    assert_int_equal(t->conf->queue.max_attempts, 7);
    assert_string_equal(t->conf->queue.prefix, "{p}");
    assert_string_equal(t->conf->sources[0].write_key, "k");
    assert_string_equal(t->conf->destinations[0].auth_token, "s3cret \"\\${file:x}"); /* beside the file */
    assert_string_equal(t->conf->destinations[1].auth_password, "${env:HOME}");       /* never twice */
    assert_string_equal(t->conf->destinations[2].auth_password, "a${b$c");
    unsetenv("DRAY_TEST_KEY");
    unsetenv("DRAY_TEST_EMPTY");
}

static void test_bad_secrets(void **state)
{
    struct fixture *t = *state;
    static const struct {
        const char *text, *told;
    } rows[] = {
        {"redis: { password: \"${env:DRAY_TEST_UNSET}\" }\n",
         "dray.yaml:1:20: redis.password: the environment variable DRAY_TEST_UNSET is not set; set it, or give a default"},
        {"redis: { password: \"x${env:HOME}\" }\n", "${...} must be the whole value"},
        {"redis: { password: \"${env:HOME}x\" }\n", "${...} must be the whole value"},
        {"redis: { password: \"${env:HOME}${env:HOME}\" }\n", "must be the whole value"},
        {"redis: { password: \"${env:}\" }\n", "must be the whole value"},
        {"redis: { password: \"${HOME}\" }\n", "unknown form of ${...}"},
        {"redis: { password: \"${vault:x}\" }\n", "unknown form of ${...}"},
        {"redis: { password: \"${file:none}\" }\n",
         "/none: No such file or directory; create it, or correct the path"},
        {"redis: { password: \"${file:/}\" }\n", "cannot read the secret file /: Is a directory"},
        {"redis: { password: \"${file:/dev/zero}\" }\n", "/dev/zero: it is not a regular file"},
        {"redis: { password: \"${file:dray.yaml}\" }\n# two lines\n",
         "the value holds a control character or a line break"},
        {"queue: { max_attempts: \"${env:DRAY_TEST_LETTERS}\" }\n",
         "expected a whole number; this is \"${env:DRAY_TEST_LETTERS}\""},
    };
    setenv("DRAY_TEST_LETTERS", "hunter2", 1);
    for (size_t i = 0; i < COUNT(rows); i++) {
        assert_int_equal(load(t, rows[i].text, NULL), EXIT_CODE_CONFIG);
        expect_in(&t->errors, rows[i].told);
        expect_not_in(&t->errors, "hunter2");
    }
    unsetenv("DRAY_TEST_LETTERS");
    /* A secret is not shown, whatever is wrong beside it. */
    assert_int_equal(load(t, "redis: { password: hunter2, usrname: x }\n", NULL), EXIT_CODE_CONFIG);
    expect_in(&t->errors, "redis.usrname: unknown key");
    expect_not_in(&t->errors, "hunter2");
    assert_int_equal(
        load(t, "sources: [{ id: a, write_key: \"hunter2:\" }]\nredis: { url: \"redis://u:hunter2@h:x/\" }\n",
             NULL),
        EXIT_CODE_CONFIG);
    expect_in(&t->errors, "redis.url");
    expect_not_in(&t->errors, "hunter2");
}

static void test_denied_secret(void **state)
{
    struct fixture *t = *state;
    if (geteuid() == 0) { /* root reads everything: try as somebody else, in a child's place */
        assert_int_equal(chmod(t->folder, 0755), 0);
        assert_int_equal(seteuid(65534), 0);
    }
    char text[256], path[96];
    snprintf(path, sizeof path, "%s", t->secret);
    uid_t uid = geteuid();
    if (uid == 65534)
        assert_int_equal(seteuid(0), 0);
    put_file(path, "x", 1);
    assert_int_equal(chmod(path, 0), 0);
    snprintf(text, sizeof text, "redis: { password: \"${file:%s}\" }\n" SOURCE, path);
    put_file(t->file, text, strlen(text));
    assert_int_equal(chmod(t->file, 0644), 0);
    if (uid == 65534)
        assert_int_equal(seteuid(65534), 0);
    enum exitcode secret = conf_load(t->file, NULL, 0, &t->conf, &t->errors, &t->warnings);
    enum exitcode file = conf_load(path, NULL, 0, &t->conf, &t->errors, &t->warnings);
    if (uid == 65534)
        assert_int_equal(seteuid(0), 0);
    assert_int_equal(secret, EXIT_CODE_NOPERM);
    assert_int_equal(file, EXIT_CODE_NOPERM);
    snprintf(
        text, sizeof text,
        "dray.yaml:1:20: redis.password: cannot read the secret file %s: Permission denied; make it readable",
        path);
    expect_in(&t->errors, text);
    expect_in(&t->errors, "secret: cannot read the configuration: Permission denied");
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

struct diffs {
    char paths[16][64];
    enum conf_apply apply[16];
    size_t n;
};

static void note_diff(const char *path, enum conf_apply apply, void *arg)
{
    struct diffs *d = arg;
    assert_true(d->n < 16);
    str_copy(d->paths[d->n], path, sizeof d->paths[0]);
    d->apply[d->n++] = apply;
}

static void test_diff(void **state)
{
    struct fixture *t = *state;
    static const struct {
        const char *text, *path;
        enum conf_apply apply;
    } rows[] = {
        {"log: { level: debug }\n" SOURCE DEST, "log.level", CONF_APPLY_LIVE},
        {"ingest: { limits: { event: 1KiB } }\n" SOURCE DEST, "ingest.limits.event", CONF_APPLY_ROLL},
        {"master: { restart: { jitter: 0.3 } }\n" SOURCE DEST, "master.restart.jitter", CONF_APPLY_ROLL},
        {"master: { restart: { degraded_at: 20/61s } }\n" SOURCE DEST, "master.restart.degraded_at",
         CONF_APPLY_ROLL},
        {"node: { run_dir: /run/x }\n" SOURCE DEST, "node.run_dir", CONF_APPLY_RESTART},
        {"ingest: { ack: memory }\n" SOURCE DEST, "ingest.ack", CONF_APPLY_ROLL},
        {"ingest: { listeners: [{ id: x, address: \":0\" }] }\n" SOURCE DEST, "ingest.listeners",
         CONF_APPLY_RESTART},
        {"sources: [{ id: web, write_key: k, enabled: false }]\n" DEST, "sources", CONF_APPLY_ROLL},
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

/* ---- forms */

static void test_addresses(void **state)
{
    (void)state;
    static const char *const good[] = {"127.0.0.1:80", "[::1]:8080",       "[::]:0", ":8080",
                                       "localhost:1",  "unix:/run/x.sock", "unix:x", "a-b.c_d:65535"};
    static const char *const bad[] = {"",
                                      ":",
                                      ":x",
                                      "127.0.0.1",
                                      "127.0.0.1:",
                                      "127.0.0.1:65536",
                                      "127.0.0.1:-1",
                                      "127.0.0.1: 1",
                                      "::1:80",
                                      "[::1]",
                                      "[::1]80",
                                      "[::1",
                                      "[zz]:1",
                                      "[]:1",
                                      "a b:1",
                                      "unix:",
                                      "http://x:1",
                                      "127.0.0.1:080000",
                                      "[::1]:"};
    for (size_t i = 0; i < COUNT(good); i++)
        if (conf_check_address(good[i]) != NULL)
            fail_msg("%s: %s", good[i], conf_check_address(good[i]));
    for (size_t i = 0; i < COUNT(bad); i++)
        if (conf_check_address(bad[i]) == NULL)
            fail_msg("accepted: %s", bad[i]);
    char path[128] = "unix:";
    memset(path + 5, 'a', 107);
    assert_null(conf_check_address(path));
    path[112] = 'a';
    assert_non_null(conf_check_address(path));
}

static void test_urls(void **state)
{
    (void)state;
    static const char *const good[] = {"http://h",          "HTTPS://h/",    "https://h:1/a/b?c=d&e=%20",
                                       "http://[::1]:80/x", "http://[::1]/", "http://1.2.3.4?x",
                                       "http://h/a@b"};
    static const char *const bad[] = {"",
                                      "h",
                                      "//h",
                                      "http:/h",
                                      "http://",
                                      "http:///x",
                                      "http://h:0",
                                      "http://h:99999",
                                      "http://h:/",
                                      "http://u:p@h/",
                                      "http://h/#f",
                                      "http://h/ x",
                                      "http://h/\xc3\xa9",
                                      "http://h\\x",
                                      "http://[::1",
                                      "http://a:b:c/"};
    static const char *const redis_good[] = {"redis://h",         "redis://h:6379",    "redis://h:6379/",
                                             "redis://h:6379/15", "redis://u:p@h:1/0", "redis://:p@[::1]:1",
                                             "unix:///run/x",     "unix://var/x?db=3"};
    static const char *const redis_bad[] = {"",
                                            "h:6379",
                                            "http://h",
                                            "rediss://h",
                                            "redis://",
                                            "redis://h:x",
                                            "redis://h/x",
                                            "redis://h/0/1",
                                            "redis://u:p@",
                                            "unix://",
                                            "unix:///x?db=",
                                            "unix:///x?y=1"};
    for (size_t i = 0; i < COUNT(good); i++)
        if (conf_check_http_url(good[i]) != NULL)
            fail_msg("%s: %s", good[i], conf_check_http_url(good[i]));
    for (size_t i = 0; i < COUNT(bad); i++)
        if (conf_check_http_url(bad[i]) == NULL)
            fail_msg("accepted: %s", bad[i]);
    for (size_t i = 0; i < COUNT(redis_good); i++)
        if (conf_check_redis_url(redis_good[i]) != NULL)
            fail_msg("%s: %s", redis_good[i], conf_check_redis_url(redis_good[i]));
    for (size_t i = 0; i < COUNT(redis_bad); i++)
        if (conf_check_redis_url(redis_bad[i]) == NULL)
            fail_msg("accepted: %s", redis_bad[i]);
}

static void test_text_and_ids(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool good;
    } rows[] = {
        {"plain", true},
        {"", true},
        {"\xc3\xa9", true},
        {"\xf0\x9f\x90\xb4", true},
        {"\xc3", false},
        {"\xc0\x80", false},
        {"\xed\xa0\x80", false},
        {"\xe0\x80\x80", false},
        {"\xf4\x90\x80\x80", false},
        {"\xf0\x80\x80\x80", false},
        {"\xff", false},
        {"\x80", false},
        {"a\n", false},
        {"\x7f", false},
        {"\xc2\x85", false},
        {"\xc2\xa0", true},
        {"\t", false},
    };
    for (size_t i = 0; i < COUNT(rows); i++)
        assert_int_equal(conf_value_bad_text(rows[i].text, strlen(rows[i].text)) == NULL, rows[i].good);
    assert_null(conf_check_id("Ab.c_d-9"));
    assert_non_null(conf_check_id(""));
    assert_non_null(conf_check_id("a:b"));
    assert_non_null(conf_check_id("a{b}"));
    char id[66];
    memset(id, 'a', sizeof id);
    id[63] = '\0';
    assert_null(conf_check_id(id));
    id[63] = 'a';
    id[64] = '\0';
    assert_non_null(conf_check_id(id));
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
    cpu_set_t set;
    assert_int_equal(sched_getaffinity(0, sizeof set, &set), 0);
    assert_int_equal(conf_delivery_processes(t->conf), CPU_COUNT(&set) > 64 ? 64 : CPU_COUNT(&set));
    expect_ok(t, "redis: { mode: standalone, url: \"redis://h:1/2\" }\n" SOURCE, NULL);
    assert_string_equal(conf_redis_url(t->conf, path, sizeof path), "redis://h:1/2");
}

int main(void)
{
#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_table_is_sound),
        cmocka_unit_test(test_enums_match_their_words),
        T(test_without_a_file),
        T(test_forms),
        T(test_sdk_names),
        T(test_the_example),
        T(test_faults),
        T(test_every_fault_is_told),
        T(test_bad_files),
        T(test_list_cap),
        T(test_layers),
        T(test_bad_overrides),
        T(test_secrets),
        T(test_bad_secrets),
        T(test_denied_secret),
        T(test_dump),
        T(test_dump_is_also_a_file),
        T(test_bad_dumps),
        T(test_diff),
        T(test_document),
        cmocka_unit_test(test_addresses),
        cmocka_unit_test(test_urls),
        cmocka_unit_test(test_text_and_ids),
        T(test_paths_and_processes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
