/* child: every way out, with its exit code. */
#include "tests/unit/child_fixture.h"

static void test_drain(void **state)
{
    (void)state;
    start_up(&full);
    SEND(DRAIN, .u.drain = {7000, "scaled down"});
    UNTIL(strcmp(master.word, "scaled down") == 0);
    assert_int_equal(master.last.u.reaped.jobs, 7000);
    SEND(DRAIN, .u.drain = {1, "again"});
    UNTIL(master.count[MSG_DRAINED] == 1);
    assert_int_equal(master.last.u.drained.left, 3);
    assert_string_equal(master.word, "scaled down");
    assert_int_equal(ended(), EXIT_CODE_OK);
}

static void test_stop_and_nothing_to_drain(void **state)
{
    (void)state;
    plan.never_drains = true;
    start_up(&full);
    SEND(DRAIN, .u.drain = {7000, "asked"});
    SEND(STOP, .u.drained.left = 0);
    assert_int_equal(ended(), EXIT_CODE_OK);
    teardown(state);
    setup(state);
    start_up(&bare);
    SEND(DRAIN, .u.drain = {7000, "asked"});
    UNTIL(master.count[MSG_DRAINED] == 1);
    assert_int_equal(ended(), EXIT_CODE_OK);
}

static void test_sigterm_drains(void **state)
{
    (void)state;
    static const int ignored[] = {SIGINT, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2, SIGTTIN, SIGTTOU};
    start_up(&full);
    for (size_t i = 0; i < sizeof ignored / sizeof *ignored; i++)
        kill(master.pid, ignored[i]);
    SEND(HEALTH, .u.health = {true, "{}", 2});
    UNTIL(strcmp(master.word, "health") == 0);
    kill(master.pid, SIGTERM);
    UNTIL(strcmp(master.word, "SIGTERM") == 0);
    assert_int_equal(master.last.u.reaped.jobs, 200); /* drain_ms */
    UNTIL(master.count[MSG_DRAINED] == 1);
    assert_int_equal(ended(), EXIT_CODE_OK);
    char from[64];
    snprintf(from, sizeof from, "name=SIGTERM from_pid=%d", (int)getpid());
    assert_true(logged(from));
}

static void test_sigterm_has_a_deadline(void **state)
{
    (void)state;
    plan.never_drains = true;
    start_up(&full);
    kill(master.pid, SIGTERM);
    assert_int_equal(ended(), EXIT_CODE_TEMP);
    assert_true(logged("drain_deadline_passed"));
}

static void test_master_gone(void **state)
{
    (void)state;
    start_up(&full);
    chan_free(master.chan);
    master.chan = NULL;
    assert_int_equal(ended(), EXIT_CODE_ORPHAN);
    teardown(state);
    setup(state);
    spawn(&full, -1); /* before there was a configuration */
    UNTIL(master.count[MSG_HELLO] == 1);
    chan_free(master.chan);
    master.chan = NULL;
    assert_int_equal(ended(), EXIT_CODE_ORPHAN);
}

static void test_start_that_fails(void **state)
{
    (void)state;
    plan.fails = true;
    spawn(&full, -1);
    UNTIL(master.count[MSG_HELLO] == 1);
    send_config(config_text, true, true, 0, 0);
    assert_int_equal(ended(), EXIT_CODE_UNAVAILABLE);
}

static void test_configurations_that_are_not_taken(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool seal, true_digest;
        uint64_t more;
        int code;
        const char *log;
    } cases[] = {
        {config_text, false, true, 0, EXIT_CODE_PROTOCOL, "not sealed"},
        {config_text, true, false, 0, EXIT_CODE_PROTOCOL, "not of the digest told"},
        {config_text, true, true, 1, EXIT_CODE_PROTOCOL, "not of the length told"},
        {"", true, true, 0, EXIT_CODE_PROTOCOL, "not of the length told"},
        {"{\"nodes\":{}}", true, true, 0, EXIT_CODE_OSERR, "config_invalid"},
        {"{", true, true, 0, EXIT_CODE_OSERR, "config_invalid"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        spawn(&full, -1);
        UNTIL(master.count[MSG_HELLO] == 1);
        send_config(cases[i].text, cases[i].seal, cases[i].true_digest, cases[i].more, 0);
        assert_int_equal(ended(), cases[i].code);
        assert_true(logged(cases[i].log));
        teardown(state);
        setup(state);
    }
}

static void test_breaches_of_the_protocol(void **state)
{
    (void)state;
    for (int i = 0; i < 6; i++) {
        if (i < 4)
            start_up(i == 0 ? &bare : &full);
        else
            spawn(&full, -1);
        switch (i) {
        case 0: /* nobody there for it */
            SEND(HEALTH, .u.health = {true, "{}", 2});
            break;
        case 1:
            send_config(config_text, true, true, 0, 0); /* a second one */
            break;
        case 2:
            SEND(METRICS, .u.metrics = {1, 2, "z", 1});
            break;
        case 3:
            assert_int_equal(write(chan_fd(master.chan), "GET /", 5), 5);
            break;
        case 4: /* before CONFIG */
            SEND(HEALTH, .u.health = {true, "{}", 2});
            break;
        default:
            SEND(READY, .u.ready.epoch = 1); /* that is a child's */
            break;
        }
        assert_int_equal(ended(), EXIT_CODE_PROTOCOL);
        teardown(state);
        setup(state);
    }
}

static void test_not_started_by_a_master(void **state)
{
    (void)state;
    fflush(NULL);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        int null = open("/dev/null", O_RDWR);
        for (int i = 0; i < 3; i++)
            dup2(null, i);
        (void)close_range(3, ~0u, 0);
        _exit(child_main(&full, 0, NULL));
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), EXIT_CODE_USAGE);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    sig_defaults();
    const struct CMUnitTest tests[] = {
        T(test_drain),
        T(test_stop_and_nothing_to_drain),
        T(test_sigterm_drains),
        T(test_sigterm_has_a_deadline),
        T(test_master_gone),
        T(test_start_that_fails),
        T(test_configurations_that_are_not_taken),
        T(test_breaches_of_the_protocol),
        T(test_not_started_by_a_master),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
