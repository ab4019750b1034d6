/* child_fixture - a real process of a test kind, forked without exec, under a master played here. What the child does
 * it tells by REAPED messages, whose token is a word. For child_test.c and child_end_test.c. */
#ifndef DRAY_TESTS_UNIT_CHILD_FIXTURE_H
#define DRAY_TESTS_UNIT_CHILD_FIXTURE_H

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
#define INBOX      64 /* messages that came and were not seen yet */

/* ------------------------------------------------------------------ the kind */

struct kind_state {
    struct child *child;
    ev_timer drained;
};

static struct {
    bool ready_at_once, never_drains, fails, sleeps_at_health, notes;
} plan; /* set before the fork */

static inline void tell(struct child *c, const char *word, uint32_t number)
{
    child_reaped(c, word, number);
}

static inline void on_drained(struct ev_loop *loop, ev_timer *w, int revents)
{
    (void)loop, (void)revents;
    struct kind_state *s = w->data;
    child_drained(s->child, 3);
}

static inline int kind_start(struct child *c, void *state, enum exitcode *code)
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

static inline void kind_link(struct child *c, const struct msg_link *m, int batch_fd, int ack_fd, void *state)
{
    (void)state;
    char byte = 0;
    ssize_t n = read(batch_fd, &byte, 1);
    tell(c, m->peer_kind, n == 1 ? (uint32_t)byte : 0);
    close(batch_fd);
    close(ack_fd);
}

static inline void kind_drain(struct child *c, uint32_t deadline_ms, const char *reason, void *state)
{
    struct kind_state *s = state;
    tell(c, reason, deadline_ms);
    if (!plan.never_drains)
        ev_timer_start(child_loop(c), &s->drained);
}

static inline void kind_health(struct child *c, const struct msg_health *m, void *state)
{
    (void)state;
    if (plan.sleeps_at_health)
        usleep(300000);
    for (uint64_t i = 0; !plan.notes && m->json_len > 2 && i < 3000;
         i++) { /* so many label sets that STATS has parts */
        char label[32];
        snprintf(label, sizeof label, "queue-with-a-long-name-%llu", (unsigned long long)i);
        metric_set(metrics_series(child_metrics(c), METRIC_QUEUE_JOBS, label, "waiting", NULL), (double)i);
    }
    if (plan.notes)
        for (char step = '0'; step <= m->json[0];
             step++) /* of several in one turn the first and the last are told */
            child_note(c, "step %c of %.*s", step, (int)m->json_len, m->json);
    tell(c, "health", m->ready);
}

static inline void kind_metrics(struct child *c, const char *bytes, size_t len, void *state)
{
    (void)state;
    tell(c, len > 0 && bytes[0] == 'a' && bytes[len - 1] == 'z' ? "metrics" : "wrong", (uint32_t)len);
}

static inline void kind_beat(struct child *c, struct msg_beat *m, void *state)
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
    struct msg inbox[INBOX];
    unsigned inbox_n, inbox_seen;
    struct buf stats;
    bool gone;
} master;

/* One message as the tests see it. */
static inline void see(const struct msg *m)
{
    master.count[m->type]++;
    if (m->type == MSG_STATS) {
        const struct msg_part *p = &m->u.stats;
        if (p->part == 0)
            buf_reset(&master.stats);
        assert_int_equal(buf_append(&master.stats, p->bytes, p->len), 0);
        free((char *)(uintptr_t)p->bytes);
    }
    master.last = *m;
    if (m->type == MSG_REAPED)
        str_copy(master.word, m->u.reaped.token, sizeof master.word);
}

/* Several may come in one read: they are seen one a step, in their order. */
static inline void on_message(struct chan *c, const struct msg *m, const int *fds, size_t n_fds, void *arg)
{
    (void)c, (void)fds, (void)n_fds, (void)arg;
    assert_true(master.inbox_n - master.inbox_seen < INBOX);
    struct msg *kept = &master.inbox[master.inbox_n++ % INBOX];
    *kept = *m;
    if (m->type == MSG_STATS) {
        char *bytes = malloc(m->u.stats.len);
        assert_non_null(bytes);
        memcpy(bytes, m->u.stats.bytes, m->u.stats.len);
        kept->u.stats.bytes = bytes;
    }
    ev_break(master.loop, EVBREAK_ALL);
}

static inline bool see_next(void)
{
    if (master.inbox_seen == master.inbox_n)
        return false;
    see(&master.inbox[master.inbox_seen++ % INBOX]);
    return true;
}

static inline void on_gone(struct chan *c, int error, const char *why, void *arg)
{
    (void)c, (void)error, (void)why, (void)arg;
    master.gone = true;
}

static const struct chan_events events = {.message = on_message, .gone = on_gone};

/* As spawn.c: fixed numbers, everything else closed. */
static inline void become_child(const struct child_kind *kind, int control, int log, int listener)
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

static inline void spawn(const struct child_kind *kind, int listener)
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

static inline int setup(void **state)
{
    (void)state;
    memset(&plan, 0, sizeof plan);
    memset(&master, 0, sizeof master);
    plan.ready_at_once = true;
    buf_init(&master.stats, 4u << 20);
    master.loop = ev_loop_new(EVFLAG_AUTO);
    return master.loop == NULL ? -1 : 0;
}

static inline int teardown(void **state)
{
    (void)state;
    if (master.pid > 0) {
        kill(master.pid, SIGKILL);
        waitpid(master.pid, NULL, 0);
    }
    chan_free(master.chan);
    fd_close(&master.log_fd);
    while (see_next())
        ;
    buf_fini(&master.stats);
    ev_loop_destroy(master.loop);
    return 0;
}

static inline void on_late(struct ev_loop *loop, ev_timer *w, int revents)
{
    (void)w, (void)revents;
    ev_break(loop, EVBREAK_ALL);
}

static inline bool step(uint64_t deadline_ms)
{
    uint64_t now = clock_mono_ms();
    if (see_next())
        return true;
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

static inline void put(const struct msg *m, const int *fds, size_t n)
{
    assert_int_equal(chan_send(master.chan, m, fds, n), 0);
}

#define SEND(name, ...) put(&(struct msg){.type = MSG_##name, .generation = GENERATION, __VA_ARGS__}, NULL, 0)

static const char config_text[] = "{\"node\":{\"run_dir\":\"/tmp/somewhere\"},\"log\":{\"level\":\"debug\"}}";

static inline void send_config(const char *text, bool seal, bool true_digest, uint64_t more,
                               uint32_t listeners)
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

static inline void start_up(const struct child_kind *kind)
{
    spawn(kind, -1);
    UNTIL(master.count[MSG_HELLO] == 1);
    send_config(config_text, true, true, 0, 0);
    UNTIL(master.count[MSG_READY] == 1);
}

/* Waits for the end; the exit code, or 128 and the signal. */
static inline int ended(void)
{
    uint64_t deadline_ms = clock_mono_ms() + 2 * CHILD_ORPHAN_MS;
    while (clock_mono_ms() < deadline_ms) {
        int status;
        if (waitpid(master.pid, &status, WNOHANG) == master.pid) {
            master.pid = 0;
            if (master.chan != NULL)
                chan_drain_input(master.chan);
            while (see_next())
                ;
            return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
        }
        if (master.chan == NULL || master.gone)
            poll(NULL, 0, 5);
        else
            step(clock_mono_ms() + 20);
    }
    return -1;
}

static inline bool logged(const char *text)
{
    static char log[65536];
    ssize_t n = read(master.log_fd, log, sizeof log - 1);
    log[n > 0 ? n : 0] = '\0';
    return strstr(log, text) != NULL;
}

#endif
