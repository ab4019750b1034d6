/* child: the hand-shake, beats and statistics, what is passed on. */
#include "tests/unit/child_fixture.h"

static void test_hello_config_ready_beat(void **state)
{
    (void)state;
    spawn(&full, -1);
    UNTIL(master.count[MSG_HELLO] == 1);
    const struct msg_hello *h = &master.last.u.hello;
    assert_int_equal(master.last.generation, 0);
    assert_string_equal(h->kind, "delivery");
    assert_string_equal(h->build, DRAY_VERSION);
    assert_true(h->proto_min == MSG_PROTO_MIN && h->proto_max == MSG_PROTO_MAX && h->slot == 2);
    assert_int_equal(h->pid, master.pid);
    send_config(config_text, true, true, 0, 0);
    UNTIL(master.count[MSG_REAPED] == 1);
    assert_string_equal(master.word, "0b5f7c3e-0000-4000-8000-000000000001.9.2.12");
    assert_int_equal(master.last.generation, GENERATION);
    UNTIL(master.count[MSG_REAPED] == 2);
    assert_string_equal(master.word, "/tmp/somewhere");
    UNTIL(master.count[MSG_EXTEND] == 1);
    assert_string_equal(master.last.u.extend.why, "still loading");
    UNTIL(master.count[MSG_READY] == 1);
    assert_int_equal(master.last.u.ready.epoch, 4);
    UNTIL(master.count[MSG_BEAT] == 1);
    UNTIL(master.count[MSG_BEAT] == 4);
    const struct msg_beat *b = &master.last.u.beat;
    assert_true(b->in_hand == 21 && b->n_clients == 1 && b->clients[0] == 77);
    assert_true(b->mono_ms <= clock_mono_ms() && clock_mono_ms() - b->mono_ms < 2 * WAIT_MS);
    char path[64], name[32] = "";
    snprintf(path, sizeof path, "/proc/%d/comm", (int)master.pid);
    FILE *f = fopen(path, "re");
    assert_non_null(f);
    assert_non_null(fgets(name, sizeof name, f));
    fclose(f);
    assert_string_equal(name, "delivery.2\n");
}

static void test_listening_sockets(void **state)
{
    (void)state;
    for (int told = 0; told < 2; told++) {
        int listener = socket(AF_UNIX, SOCK_STREAM, 0);
        struct sockaddr_un_any {
            sa_family_t family;
        } any = {AF_UNIX}; /* autobind */
        assert_int_equal(bind(listener, (struct sockaddr *)(void *)&any, sizeof any), 0);
        assert_int_equal(listen(listener, 1), 0);
        spawn(&full, listener);
        close(listener);
        UNTIL(master.count[MSG_HELLO] == 1);
        send_config(config_text, true, true, 0, (uint32_t)told);
        if (told == 1) {
            UNTIL(master.count[MSG_REAPED] == 2);
            assert_int_equal(master.last.u.reaped.jobs, 1);
        } else {
            assert_int_equal(ended(), EXIT_CODE_PROTOCOL); /* one was inherited */
        }
        teardown(state);
        setup(state);
    }
}

static void test_what_is_passed_on(void **state)
{
    (void)state;
    start_up(&full);
    int p[2];
    assert_int_equal(pipe2(p, O_CLOEXEC), 0);
    assert_int_equal(write(p[1], "\x21", 1), 1);
    struct msg link = {
        .type = MSG_LINK, .generation = GENERATION, .u.link = {1, MSG_LINK_RECEIVER, "ingest", 0, 3}};
    put(&link, p, 2);
    UNTIL(strcmp(master.word, "ingest") == 0);
    assert_int_equal(master.last.u.reaped.jobs, 0x21);
    close(p[0]);
    close(p[1]);
    SEND(LEVEL, .u.level.level = 4);
    SEND(HEALTH, .u.health = {true, "{}", 2});
    UNTIL(strcmp(master.word, "health") == 0);
    static char part[MSG_PART_MAX];
    memset(part, 'm', sizeof part);
    part[0] = 'a';
    SEND(METRICS, .u.metrics = {0, 3, part, MSG_PART_MAX}); /* the rest of it never comes */
    SEND(METRICS, .u.metrics = {0, 2, part, MSG_PART_MAX});
    SEND(METRICS, .u.metrics = {1, 2, "z", 1});
    UNTIL(strcmp(master.word, "metrics") == 0);
    assert_int_equal(master.last.u.reaped.jobs, MSG_PART_MAX + 1);
}

static void test_old_generation_is_dropped(void **state)
{
    (void)state;
    start_up(&full);
    put(&(struct msg){.type = MSG_STOP, .generation = GENERATION - 1}, NULL, 0);
    SEND(HEALTH, .u.health = {true, "{}", 2});
    UNTIL(strcmp(master.word, "health") == 0);
}

static void test_stats_in_parts_and_only_news(void **state)
{
    (void)state;
    start_up(&full);
    SEND(HEALTH, .u.health = {true, "many", 4});
    UNTIL(strcmp(master.word, "health") == 0);
    UNTIL(master.count[MSG_STATS] > 1 && master.last.type == MSG_STATS &&
          master.last.u.stats.part == master.last.u.stats.parts - 1 && master.stats.len > MSG_PART_MAX);
    struct metrics *sum = metrics_new();
    assert_int_equal(metrics_merge(sum, "delivery.2", GENERATION, master.stats.data, master.stats.len), 0);
    assert_true(metrics_value(sum, METRIC_QUEUE_JOBS, "queue-with-a-long-name-77", "waiting", NULL) == 77);
    metrics_free(sum);
    unsigned stats = master.count[MSG_STATS], beats = master.count[MSG_BEAT];
    UNTIL(master.count[MSG_BEAT] == beats + 4);
    assert_int_equal(master.count[MSG_STATS], stats);
}

static void test_lag_is_seen(void **state)
{
    (void)state;
    plan.sleeps_at_health = true;
    start_up(&full);
    SEND(HEALTH, .u.health = {true, "{}", 2});
    UNTIL(master.last.type == MSG_BEAT && master.last.u.beat.loop_lag_ms >= 200);
    UNTIL(master.last.type == MSG_BEAT &&
          master.last.u.beat.loop_lag_ms < 200); /* the longest since the last one */
}

static void test_a_stop_is_lag_too(void **state)
{
    (void)state;
    start_up(&full);
    UNTIL(master.count[MSG_BEAT] == 2);
    kill(master.pid, SIGSTOP);
    poll(NULL, 0, 400);
    kill(master.pid, SIGCONT);
    UNTIL(master.last.type == MSG_BEAT && master.last.u.beat.loop_lag_ms >= 200);
}

static void test_notes_are_told_when_they_change(void **state)
{
    (void)state;
    plan.notes = true;
    start_up(&full);
    SEND(HEALTH, .u.health = {true, "9", 1});
    UNTIL(master.count[MSG_NOTE] == 1);
    assert_string_equal(master.last.u.note.text, "step 0 of 9");
    uint64_t first_ms = clock_mono_ms();
    UNTIL(master.count[MSG_NOTE] == 2);
    assert_string_equal(master.last.u.note.text, "step 9 of 9");
    assert_true(clock_mono_ms() - first_ms >= 150);
    SEND(HEALTH, .u.health = {true, "0", 1});
    UNTIL(master.count[MSG_NOTE] == 3);
    SEND(HEALTH, .u.health = {true, "0", 1});
    unsigned beats = master.count[MSG_BEAT];
    UNTIL(master.count[MSG_BEAT] >= beats + 10); /* 500 ms */
    assert_int_equal(master.count[MSG_NOTE], 3);
    SEND(HEALTH, .u.health = {true, "0 bad \xff \x1b[1m \xc2\x9b\n \xc3\xbc", 19});
    UNTIL(master.count[MSG_NOTE] == 4);
    assert_string_equal(master.last.u.note.text, "step 0 of 0 bad ? ?[1m ??? \xc3\xbc");
    char longest[700];
    memset(longest, 'x', sizeof longest);
    memcpy(longest, "0", 1);
    memcpy(longest + 501, "\xc3\xbc", 2); /* its first byte is the 512th */
    SEND(HEALTH, .u.health = {true, longest, sizeof longest});
    UNTIL(master.count[MSG_NOTE] == 5);
    assert_int_equal(strlen(master.last.u.note.text), 511);
}

/* The master reads no log and no control for a while: nothing blocks, and later all goes on. */
static void test_a_master_that_does_not_read(void **state)
{
    (void)state;
    start_up(&full);
    char byte = 'x';
    int log_w;
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/fd/2", (int)master.pid);
    log_w = open(path, O_WRONLY | O_NONBLOCK | O_CLOEXEC);
    assert_true(log_w >= 0);
    while (write(log_w, &byte, 1) == 1) /* the log pipe is full */
        ;
    close(log_w);
    for (int i = 0; i < 200; i++)
        SEND(HEALTH, .u.health = {true, "many", 4});
    put(&(struct msg){.type = MSG_STOP, .generation = GENERATION - 1}, NULL,
        0); /* told in the log, at debug */
    unsigned beats = master.count[MSG_BEAT];
    UNTIL(master.count[MSG_BEAT] >= beats + 3);
    UNTIL(master.last.type == MSG_BEAT && master.last.u.beat.dropped_logs > 0);
    SEND(DRAIN, .u.drain = {7000, "asked"});
    assert_int_equal(ended(), EXIT_CODE_OK);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    sig_defaults();
    const struct CMUnitTest tests[] = {
        T(test_hello_config_ready_beat),
        T(test_listening_sockets),
        T(test_what_is_passed_on),
        T(test_old_generation_is_dropped),
        T(test_stats_in_parts_and_only_news),
        T(test_lag_is_seen),
        T(test_a_stop_is_lag_too),
        T(test_notes_are_told_when_they_change),
        T(test_a_master_that_does_not_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
