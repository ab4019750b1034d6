/* conf_fault_test - every fault of a configuration with its place and remedy: files, overrides, secrets. */
#include "tests/unit/conf_fixture.h"

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
    {"spooler: {}\n", "spooler: unknown key"},
    {"rutes: []\n", "rutes: unknown key; did you mean \"routes\"?"},
    {"autoscale: []\n", "autoscale: unknown key"},
    {"redis: { sentinel: {} }\n", "redis.sentinel: unknown key"},
    {"ingest: { limits.request: 1MB }\n", "ingest.limits.request: unknown key"},
    {"sources: [{ id: a, write_kee: b }]\n",
     "sources[a].write_kee: unknown key; did you mean \"write_key\"?"},
    {"destinations: [{ urll: b }]\n", "destinations[#1].urll: unknown key; did you mean \"url\"?"},
    {"ingest: { listeners: [{ id: a, listeners: [] }] }\n", "ingest.listeners[a].listeners: unknown key"},
    /* who may send */
    {"ingest: { trusted_proxies: [10.0.0.0/33] }\n",
     ":1:28: ingest.trusted_proxies: 10.0.0.0/33: expected unix, an address, or a network"},
    {"ingest: { trusted_proxies: [10.0.0.1/8] }\n", "10.0.0.1/8: expected unix, an address"},
    {"ingest: { trusted_proxies: unix }\n", "expected a list such as"},
    {"sources: [{ id: a, write_key: k, cors: [https://x.example/] }]\n",
     "sources[a].cors: https://x.example/: expected *, none, or an origin"},
    {"sources: [{ id: a, write_key: k, cors: [x.example] }]\n",
     "sources[a].cors: x.example: expected *, none"},
    {"sources: [{ id: a, write_key: k, cors: [\"https://*\"] }]\n", "sources[a].cors: https://*: expected *"},
    {"sources: [{ id: a, write_key: k, cors: [\"https://x:y\"] }]\n",
     "sources[a].cors: https://x:y: expected *"},
    {"sources: [{ id: a, write_key: k, cors: [none, \"*\"] }]\n", "sources[a].cors: none stands alone"},
    {"sources: [{ id: a, write_key: k, rate_limit: fast }]\n",
     "sources[a].rate_limit: expected a count per period such as 100/s"},
    {"sources: [{ id: a, write_key: k, listeners: [inside] }]\n",
     "sources[a].listeners: inside: ingest.listeners has no listener of this id"},
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
    {"ingest: { ack: qeue }\n", "ingest.ack: expected one of queue, memory, delivered, got \"qeue\""},
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
    {SOURCE "redis: { password: x }\n", "password: is for mode: standalone"},
    {SOURCE "delivery: { timeout: 25s }\n", "delivery.timeout must be under master.drain"},
    {SOURCE "master: { drain: 20s }\n", "master.drain: delivery.timeout must be under master.drain"},
    {SOURCE "master: { health: { hang: 1s } }\n", "health.hang must be at least twice health.beat"},
    {SOURCE "master: { restart: { min: 31s } }\n", "restart.min must be at most restart.max"},
    {SOURCE "redis: { reconnect: { min: 3s } }\n", "reconnect.min must be at most reconnect.max"},
    {SOURCE "queue: { backoff: { delay: 11m } }\n", "backoff.delay must be at most backoff.max"},
    {SOURCE "ingest: { flush_at: 100, max_internal_queue_size: 99 }\n",
     "flush_at must be at most max_internal_queue_size"},
    {SOURCE "ingest: { max_batch: 31KiB }\n", "limits.event must be at most max_batch"},
    {SOURCE "ingest: { memory: 15MiB }\n", "limits.inflated must be at most ingest.memory"},
    {SOURCE "queue: { isMultiProcessor: false, ordering: key }\n",
     ":2:45: queue.ordering: key is for is_multi_processor: true"},
    {SOURCE
     "queue: { is_multi_processor: false }\ndestinations: [{ id: d, url: \"http://h/\", ordering: key }]\n",
     "destinations[d].ordering: key is for is_multi_processor: true"},
    {SOURCE "destinations: [{ id: a, url: \"http://h/\" }, { id: b, url: \"http://h/\", queue: a }]\n",
     "destinations[b].queue: another destination has the same queue"},
    {SOURCE "destinations: [{ id: a, url: \"http://h/\", timeout: 30s }]\n",
     "destinations[a].timeout: must be under master.drain"},
    {SOURCE "takeover: [{ id: t, destination: x }]\n",
     "takeover[t].destination: there is no destination of this id"},
    {SOURCE "queue: { limiter_group_key: true }\n",
     "queue.limiter_group_key: has a meaning only with queue.limiter"},
    {SOURCE "queue: { prefix: \"\" }\n", "queue.prefix: must not be empty"},
    {SOURCE "queue: { prefix: \"a b\" }\n", "queue.prefix: must not hold spaces"},
    {SOURCE "log: { output: stdout }\n", "log.output: expected stderr, syslog, journal or file:PATH"},
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
        "redis: { mode: standalone, password: \"${file:%s}\", username: '${env:DRAY_TEST_UNSET:-u}' }\n"
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
        {"redis: { mode: standalone, password: \"${env:DRAY_TEST_UNSET}\" }\n",
         "dray.yaml:1:38: redis.password: the environment variable DRAY_TEST_UNSET is not set; set it, or give a default"},
        {"redis: { mode: standalone, password: \"x${env:HOME}\" }\n", "${...} must be the whole value"},
        {"redis: { mode: standalone, password: \"${env:HOME}x\" }\n", "${...} must be the whole value"},
        {"redis: { mode: standalone, password: \"${env:HOME}${env:HOME}\" }\n", "must be the whole value"},
        {"redis: { mode: standalone, password: \"${env:}\" }\n", "must be the whole value"},
        {"redis: { mode: standalone, password: \"${HOME}\" }\n", "unknown form of ${...}"},
        {"redis: { mode: standalone, password: \"${vault:x}\" }\n", "unknown form of ${...}"},
        {"redis: { mode: standalone, password: \"${file:none}\" }\n",
         "/none: No such file or directory; create it, or correct the path"},
        {"redis: { mode: standalone, password: \"${file:/}\" }\n",
         "cannot read the secret file /: Is a directory"},
        {"redis: { mode: standalone, password: \"${file:/dev/zero}\" }\n",
         "/dev/zero: it is not a regular file"},
        {"redis: { mode: standalone, password: \"${file:dray.yaml}\" }\n# two lines\n",
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
    snprintf(text, sizeof text, "redis: { mode: standalone, password: \"${file:%s}\" }\n" SOURCE, path);
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
        "dray.yaml:1:38: redis.password: cannot read the secret file %s: Permission denied; make it readable",
        path);
    expect_in(&t->errors, text);
    expect_in(&t->errors, "secret: cannot read the configuration: Permission denied");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_faults),      T(test_every_fault_is_told), T(test_bad_files),
        T(test_list_cap),    T(test_bad_overrides),       T(test_secrets),
        T(test_bad_secrets), T(test_denied_secret),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
