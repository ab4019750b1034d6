/* child: a real process of a test kind under a master played here: the hand-shake, what is passed on, every way out.
 * The child is forked without exec; what it does it tells by REAPED messages, whose token is a word. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <fcntl.h>
#include <openssl/sha.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/fd.h"
#include "common/base/sig.h"
#include "common/base/str.h"
#include "ipc/chan.h"
#include "ipc/fdmap.h"
#include "workers/child.h"

#define GENERATION 12
#define WAIT_MS    10000

/* ------------------------------------------------------------------ the kind */

struct kind_state {
    struct child *child;
    ev_timer drained;
};

static struct {
    bool ready_at_once, never_drains, fails, sleeps_at_health;
} plan; /* set before the fork */

static void tell(struct child *c, const char *word, uint32_t number)
{
    child_reaped(c, word, number);
}

static void on_drained(struct ev_loop *loop, ev_timer *w, int revents)
{
    (void)loop, (void)revents;
    struct kind_state *s = w->data;
    child_drained(s->child, 3);
}

static int kind_start(struct child *c, void *state, enum exitcode *code)
{
    struct kind_state *s = state;
    s->child = c;
    ev_timer_init(&s->drained, on_drained, 0.02, 0);
    s->drained.data = s;
    if (plan.fails) {
        *code = EXIT_CODE_UNAVAILABLE;
        return -1;
    }
    tell(c, child_token(c), child_slot(c));
    tell(c, child_config(c)->node.run_dir, child_listeners(c));
    child_extend(c, 5000, "still loading");
    if (plan.ready_at_once)
        child_ready(c);
    return 0;
}

static void kind_link(struct child *c, const struct msg_link *m, int batch_fd, int ack_fd, void *state)
{
    (void)state;
    char byte = 0;
    ssize_t n = read(batch_fd, &byte, 1);
    tell(c, m->peer_kind, n == 1 ? (uint32_t)byte : 0);
    close(batch_fd);
    close(ack_fd);
}

static void kind_drain(struct child *c, uint32_t deadline_ms, const char *reason, void *state)
{
    struct kind_state *s = state;
    tell(c, reason, deadline_ms);
    if (!plan.never_drains)
        ev_timer_start(child_loop(c), &s->drained);
}

static void kind_health(struct child *c, const struct msg_health *m, void *state)
{
    (void)state;
    if (plan.sleeps_at_health)
        usleep(300000);
    for (uint64_t i = 0; m->json_len > 2 && i < 3000; i++) { /* so many label sets that STATS has parts */
        char label[32];
        snprintf(label, sizeof label, "queue-with-a-long-name-%llu", (unsigned long long)i);
        metric_set(metrics_series(child_metrics(c), METRIC_QUEUE_JOBS, label, "waiting", NULL), (double)i);
    }
    tell(c, "health", m->ready);
}

static void kind_metrics(struct child *c, const char *bytes, size_t len, void *state)
{
    (void)state;
    tell(c, len > 0 && bytes[0] == 'a' && bytes[len - 1] == 'z' ? "metrics" : "wrong", (uint32_t)len);
}

static void kind_beat(struct child *c, struct msg_beat *m, void *state)
{
    (void)c, (void)state;
    m->in_hand = 21;
    m->n_clients = 1;
    m->clients[0] = 77;
}

static const struct child_kind full = {.name = "delivery",
                                       .start = kind_start,
                                       .link = kind_link,
                                       .drain = kind_drain,
                                       .health = kind_health,
                                       .metrics = kind_metrics,
                                       .beat = kind_beat,
                                       .state_size = sizeof(struct kind_state)};
static const struct child_kind bare = {
    .name = "bare", .start = kind_start, .state_size = sizeof(struct kind_state)};

/* ------------------------------------------------------------------ the master */

static struct master {
    struct ev_loop *loop;
    struct chan *chan;
    int log_fd;
    pid_t pid;
    struct msg last;
    char word[MSG_TOKEN_MAX];
    unsigned count[64]; /* messages by type */
    struct buf stats;
    bool gone;
} master;

static void on_message(struct chan *c, const struct msg *m, const int *fds, size_t n_fds, void *arg)
{
    (void)c, (void)fds, (void)n_fds, (void)arg;
    master.count[m->type]++;
    if (m->type == MSG_STATS) {
        const struct msg_part *p = &m->u.stats;
        if (p->part == 0)
            buf_reset(&master.stats);
        assert_int_equal(buf_append(&master.stats, p->bytes, p->len), 0);
    }
    master.last = *m;
    if (m->type == MSG_REAPED)
        str_copy(master.word, m->u.reaped.token, sizeof master.word);
    ev_break(master.loop, EVBREAK_ALL); /* one message a step */
}

static void on_gone(struct chan *c, int error, const char *why, void *arg)
{
    (void)c, (void)error, (void)why, (void)arg;
    master.gone = true;
}

static const struct chan_events events = {.message = on_message, .gone = on_gone};

/* As spawn.c: fixed numbers, everything else closed. */
static void become_child(const struct child_kind *kind, int control, int log, int listener)
{
    int null = open("/dev/null", O_RDWR);
    int all[] = {null, log, log, control, listener};
    for (int i = 0; i < 5; i++)
        all[i] = all[i] < 0 ? -1 : fcntl(all[i], F_DUPFD, 100);
    for (int i = 0; i < 5; i++)
        if (all[i] >= 0)
            dup2(all[i], i);
    (void)close_range(listener < 0 ? 4 : 5, ~0u, 0);
    char *argv[] = {strdup("dray-with-a-long-enough-name"), NULL};
    exit(child_main(kind, 2, argv));
}

static void spawn(const struct child_kind *kind, int listener)
{
    int control[2], log[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, control), 0);
    assert_int_equal(pipe2(log, O_CLOEXEC), 0);
    fflush(NULL);
    master.pid = fork();
    assert_true(master.pid >= 0);
    if (master.pid == 0)
        become_child(kind, control[1], log[1], listener);
    close(control[1]);
    close(log[1]);
    master.log_fd = log[0];
    assert_int_equal(fd_set_nonblock(master.log_fd), 0);
    master.chan = chan_new(master.loop, control[0], MSG_DIR_CM, &events, NULL);
}

static int setup(void **state)
{
    (void)state;
    memset(&plan, 0, sizeof plan);
    memset(&master, 0, sizeof master);
    plan.ready_at_once = true;
    buf_init(&master.stats, 4u << 20);
    master.loop = ev_loop_new(EVFLAG_AUTO);
    return master.loop == NULL ? -1 : 0;
}

static int teardown(void **state)
{
    (void)state;
    if (master.pid > 0) {
        kill(master.pid, SIGKILL);
        waitpid(master.pid, NULL, 0);
    }
    chan_free(master.chan);
    fd_close(&master.log_fd);
    buf_fini(&master.stats);
    ev_loop_destroy(master.loop);
    return 0;
}

static void on_late(struct ev_loop *loop, ev_timer *w, int revents)
{
    (void)w, (void)revents;
    ev_break(loop, EVBREAK_ALL);
}

static bool step(uint64_t deadline_ms)
{
    uint64_t now = clock_mono_ms();
    if (now >= deadline_ms || master.gone)
        return false;
    ev_timer late;
    ev_timer_init(&late, on_late, (double)(deadline_ms - now) / 1e3, 0);
    ev_timer_start(master.loop, &late);
    ev_run(master.loop, EVRUN_ONCE);
    ev_timer_stop(master.loop, &late);
    return true;
}

#define UNTIL(cond)                                                                                          \
    do {                                                                                                     \
        uint64_t deadline_ms = clock_mono_ms() + WAIT_MS;                                                    \
        while (!(cond) && step(deadline_ms))                                                                 \
            ;                                                                                                \
        assert_true(cond);                                                                                   \
    } while (0)

static void put(const struct msg *m, const int *fds, size_t n)
{
    assert_int_equal(chan_send(master.chan, m, fds, n), 0);
}

#define SEND(name, ...) put(&(struct msg){.type = MSG_##name, .generation = GENERATION, __VA_ARGS__}, NULL, 0)

static const char config_text[] = "{\"node\":{\"run_dir\":\"/tmp/somewhere\"},\"log\":{\"level\":\"debug\"}}";

static void send_config(const char *text, bool seal, bool true_digest, uint64_t more, uint32_t listeners)
{
    size_t len = strlen(text);
    int fd = memfd_create("config", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    assert_true(fd >= 0);
    assert_int_equal(fd_write_full(fd, text, len), 0);
    if (seal)
        assert_int_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE), 0);
    struct msg m = {.type = MSG_CONFIG, .generation = GENERATION};
    m.u.config = (struct msg_config){.epoch = 4,
                                     .length = len + more,
                                     .listeners = listeners,
                                     .node = "0b5f7c3e-0000-4000-8000-000000000001",
                                     .run = 9,
                                     .beat_ms = 50,
                                     .hang_ms = 10000,
                                     .drain_ms = 200};
    SHA256((const unsigned char *)text, len, m.u.config.sha256);
    m.u.config.sha256[0] ^= !true_digest;
    put(&m, &fd, 1);
    close(fd);
}

static void start_up(const struct child_kind *kind)
{
    spawn(kind, -1);
    UNTIL(master.count[MSG_HELLO] == 1);
    send_config(config_text, true, true, 0, 0);
    UNTIL(master.count[MSG_READY] == 1);
}

/* Waits for the end; the exit code, or 128 and the signal. */
static int ended(void)
{
    uint64_t deadline_ms = clock_mono_ms() + 2 * CHILD_ORPHAN_MS;
    while (clock_mono_ms() < deadline_ms) {
        int status;
        if (waitpid(master.pid, &status, WNOHANG) == master.pid) {
            master.pid = 0;
            if (master.chan != NULL)
                chan_drain_input(master.chan);
            return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
        }
        if (master.chan == NULL || master.gone)
            poll(NULL, 0, 5);
        else
            step(clock_mono_ms() + 20);
    }
    return -1;
}

static bool logged(const char *text)
{
    static char log[65536];
    ssize_t n = read(master.log_fd, log, sizeof log - 1);
    log[n > 0 ? n : 0] = '\0';
    return strstr(log, text) != NULL;
}

/* ------------------------------------------------------------------ tests */

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
        {"{\"nodes\":{}}", true, true, 0, EXIT_CODE_CONFIG, "config_invalid"},
        {"{", true, true, 0, EXIT_CODE_CONFIG, "config_invalid"},
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
        T(test_hello_config_ready_beat),
        T(test_listening_sockets),
        T(test_what_is_passed_on),
        T(test_old_generation_is_dropped),
        T(test_stats_in_parts_and_only_news),
        T(test_lag_is_seen),
        T(test_a_stop_is_lag_too),
        T(test_drain),
        T(test_stop_and_nothing_to_drain),
        T(test_sigterm_drains),
        T(test_sigterm_has_a_deadline),
        T(test_master_gone),
        T(test_start_that_fails),
        T(test_configurations_that_are_not_taken),
        T(test_breaches_of_the_protocol),
        T(test_a_master_that_does_not_read),
        T(test_not_started_by_a_master),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
