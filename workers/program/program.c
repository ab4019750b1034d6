/* program - the child that runs the managed redis-server and speaks for it.
 *
 * READY when PING answers. A server that ends is started again right here, within milliseconds. If this child is
 * killed, the server lives on (it holds the lock of its data folder itself) and the successor adopts it. On drain the
 * server is stopped; when the master is gone, not before the other children have let go of it.
 * Never: a second server on one data folder, Redis commands beyond PING, INFO, CONFIG SET.
 */
#include "workers/program/program.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/fatal.h"
#include "common/base/fd.h"
#include "common/base/hook.h"
#include "common/base/str.h"
#include "workers/program/paths.h"

#define TURN_BOOT_S         0.005 /* until the server answers for the first time */
#define TURN_SLOW_S         0.050 /* the same, after two seconds */
#define TURN_LOCK_S         0.020
#define TURN_PEERS_S        0.100
#define TURN_UP_S           1.0
#define BOOT_SLOW_MS        2000
#define LOCK_TELL_MS        1000
#define LOCK_OTHER_MS       15000 /* another instance's server on our folder: longer than an orphan's last work */
#define LOCK_LEFT_MS        500 /* the server is dead, but what it forked holds the lock: end that */
#define EXTEND_EVERY_MS     5000
#define EXTEND_MS           30000
#define EARLY_MS            1000 /* an end within this time of the start is early */
#define FAILURES_MAX        6    /* servers in a row that never answered: let the master see it */
#define PAUSE_FIRST_MS      25
#define PAUSE_MAX_MS        2000
#define PAUSE_PROVEN_MAX_MS 400
#define STOP_MARGIN_MS      1500
#define ORPHAN_STOP_MS      1500 /* of CHILD_ORPHAN_MS, kept for the server's own end */
#define ORPHAN_KILL_MS      300

static void start_server(struct program *p);
static void stop_server(struct program *p, uint64_t deadline_ms, uint64_t margin_ms);

static void turn_after(struct program *p, double seconds)
{
    ev_timer_stop(child_loop(p->child), &p->turn);
    ev_timer_set(&p->turn, seconds, 0);
    ev_timer_start(child_loop(p->child), &p->turn);
}

static void extend_boot(struct program *p, uint64_t passed_ms, const char *why)
{
    p->extended_ms += passed_ms;
    if (p->is_ready || p->extended_ms < EXTEND_EVERY_MS)
        return;
    p->extended_ms = 0;
    child_extend(p->child, EXTEND_MS, why);
}

/* --- what the server prints --- */

static void on_line(enum log_level level, const char *text, size_t len, void *arg)
{
    struct program *p = arg;
    log_event(level, "redis_output", "server=%d text=%s", (int)p->server.pid, log_qn(text, len));
    if (level <= LOGL_WARN)
        snprintf(p->last_words, sizeof p->last_words, "%.*s", (int)(len < 255 ? len : 255), text);
}

/* Bounded per call: a server that prints without end must not keep us from watching it. */
static void read_output(struct program *p)
{
    char data[16384];
    if (p->server.output_fd < 0)
        return;
    ssize_t n = read(p->server.output_fd, data, sizeof data);
    if (n > 0)
        output_feed(&p->output, data, (size_t)n, on_line, p);
    else if (n == 0 || (errno != EAGAIN && errno != EINTR))
        ev_io_stop(child_loop(p->child), &p->printed);
}

static void on_printed(struct ev_loop *loop, ev_io *io, int events)
{
    (void)loop;
    if ((events & EV_ERROR) != 0)
        fatal(EXIT_CODE_OSERR, "the program's output cannot be watched");
    read_output(io->data);
}

static void close_output(struct program *p)
{
    ev_io_stop(child_loop(p->child), &p->printed);
    read_output(p);
    output_flush(&p->output, on_line, p);
    fd_close(&p->server.output_fd);
}

/* --- the end of the server --- */

static void finish(struct program *p)
{
    p->phase = PROGRAM_DONE;
    ev_timer_stop(child_loop(p->child), &p->turn);
    probe_close(&p->probe);
    /* A server that was killed leaves its socket; only the holder of the lock may take it away. */
    if (p->server.pid == 0 && (p->lock_is_ours || lockfile_take(p->lock_fd) == 0)) {
        (void)unlink(p->socket);
        if (ftruncate(p->lock_fd, 0) != 0)
            log_warn("redis_lock_not_written", "file=%s error=%s", log_q(p->lock_path),
                     log_q(strerror(errno)));
    }
    child_drained(p->child, 0);
}

static void start_again(struct program *p, const char *how, uint64_t lived_ms)
{
    bool early = !p->answered || lived_ms < EARLY_MS;
    p->failures = early ? p->failures + 1 : 0;
    p->unanswered = p->answered ? 0 : p->unanswered + 1;
    log_error("redis_server_exited", "status=%s lived_ms=%llu answered=%d failures=%u said=%s", log_q(how),
              (unsigned long long)lived_ms, p->answered, p->failures, log_q(p->last_words));
    if (!p->lock_is_ours) { /* it was adopted: its lock is free now, or held by what it forked */
        p->phase = PROGRAM_LOCK;
        p->waited_ms = 0;
        turn_after(p, 0);
        return;
    }
    if (p->unanswered >= FAILURES_MAX) {
        log_crit("redis_server_does_not_start", "binary=%s dir=%s status=%s said=%s", log_q(p->binary),
                 log_q(p->dir), log_q(how), log_q(p->last_words));
        child_exit(p->child, EXIT_CODE_UNAVAILABLE);
        return;
    }
    if (p->failures <= 1) {
        start_server(p);
        return;
    }
    unsigned doublings = p->failures - 2 < 8 ? p->failures - 2 : 8;
    uint64_t pause_ms = (uint64_t)PAUSE_FIRST_MS << doublings,
             max_ms = p->unanswered <= 1 ? PAUSE_PROVEN_MAX_MS : PAUSE_MAX_MS;
    p->phase = PROGRAM_PAUSE;
    turn_after(p, (double)(pause_ms < max_ms ? pause_ms : max_ms) / 1000);
}

static void on_ended(struct ev_loop *loop, ev_io *io, int events)
{
    struct program *p = io->data;
    if ((events & EV_ERROR) != 0)
        fatal(EXIT_CODE_OSERR, "the program's end cannot be watched");
    uint64_t lived_ms = clock_mono_ms() - p->server.started_ms;
    char how[32];
    HOOK_POINT(server_ended);
    ev_io_stop(loop, &p->ended);
    probe_close(&p->probe);
    close_output(p);
    pid_t pid = p->server.pid;
    server_bury(&p->server, how, sizeof how);
    if (p->phase == PROGRAM_STOP || p->phase == PROGRAM_PEERS) {
        log_info("redis_server_stopped", "server=%d status=%s", (int)pid, log_q(how));
        finish(p);
        return;
    }
    start_again(p, how, lived_ms);
}

/* --- a server begins --- */

static void note_server(struct program *p)
{
    struct lockfile_note note = {.server = p->server.pid, .owner = getpid()};
    str_copy(note.socket, p->socket, sizeof note.socket);
    if (lockfile_write(p->lock_fd, &note) != 0)
        log_warn("redis_lock_not_written", "file=%s error=%s", log_q(p->lock_path), log_q(strerror(errno)));
}

static void watch_server(struct program *p)
{
    struct ev_loop *loop = child_loop(p->child);
    ev_io_init(&p->ended, on_ended, p->server.pidfd, EV_READ);
    p->ended.data = p;
    ev_io_start(loop, &p->ended);
    if (p->server.output_fd >= 0) {
        ev_io_init(&p->printed, on_printed, p->server.output_fd, EV_READ);
        p->printed.data = p;
        ev_io_start(loop, &p->printed);
    }
    p->output.len = 0;
    p->last_words[0] = '\0';
    p->phase = PROGRAM_UP;
    p->answered = false;
    p->told_complaint = false;
    p->silent_ms = 0;
    note_server(p);
}

static void start_server(struct program *p)
{
    if (server_start(&p->server, p->binary, &p->args, p->lock_fd) != 0) {
        bool never = errno == ENOENT || errno == EACCES || errno == ENOEXEC;
        log_crit("redis_server_not_started", "binary=%s error=%s", log_q(p->binary), log_q(strerror(errno)));
        child_exit(p->child, never ? EXIT_CODE_EXEC : EXIT_CODE_OSERR);
        return;
    }
    HOOK_POINT(server_started);
    log_info("redis_server_started", "server=%d socket=%s dir=%s", (int)p->server.pid, log_q(p->socket),
             log_q(p->dir));
    watch_server(p);
    turn_after(p, TURN_BOOT_S);
}

/* What the configuration says now, for a server that another started. */
static void ask_config(struct program *p)
{
    char command[256];
    const char *fsync_word = "always";
    for (size_t i = 0; p->args.argv[i] != NULL; i++)
        if (strcmp(p->args.argv[i], "--appendfsync") == 0 && p->args.argv[i + 1] != NULL)
            fsync_word = p->args.argv[i + 1];
    snprintf(command, sizeof command, "CONFIG SET maxmemory %s maxmemory-policy noeviction appendfsync %s",
             p->args.maxmemory, fsync_word);
    (void)probe_ask(&p->probe, command);
}

static void adopt(struct program *p, pid_t pid)
{
    if (server_adopt(&p->server, pid) != 0) {
        log_warn("redis_server_not_adopted", "server=%d error=%s", (int)pid, log_q(strerror(errno)));
        probe_close(&p->probe);
        return;
    }
    HOOK_POINT(server_adopted);
    log_info("redis_server_adopted", "server=%d socket=%s", (int)pid, log_q(p->socket));
    watch_server(p);
}

/* --- a server is left --- */

/* A successor (a rolling replacement, a new master's child) has taken the server over and answers for it. */
static bool has_new_owner(const struct program *p, pid_t *owner)
{
    struct lockfile_note note;
    lockfile_read(p->lock_fd, &note);
    *owner = note.owner;
    return note.owner > 0 && note.owner != getpid() && note.server == p->server.pid &&
           kill(note.owner, 0) == 0;
}

/* Leaves the server to its new owner, if it has one. */
static bool left_to_successor(struct program *p)
{
    pid_t owner;
    if (!has_new_owner(p, &owner))
        return false;
    log_info("redis_server_left", "server=%d owner=%d", (int)p->server.pid, (int)owner);
    finish(p);
    return true;
}

/* --- answers --- */

static void on_pong(struct program *p)
{
    if (p->answered)
        return;
    p->answered = true;
    HOOK_POINT(server_answered);
    log_info("redis_server_ready", "server=%d ms=%llu", (int)p->server.pid,
             (unsigned long long)(clock_mono_ms() - p->server.started_ms));
    if (p->server.adopted)
        ask_config(p);
    if (!p->is_ready) {
        p->is_ready = true;
        child_ready(p->child);
    }
    turn_after(p, TURN_UP_S);
}

static void on_complaint(struct program *p, const struct reply *r)
{
    if (reply_is(r, REPLY_ERROR, "LOADING") || p->told_complaint)
        return;
    p->told_complaint = true;
    log_error("redis_server_complains", "server=%d answer=%s", (int)p->server.pid, log_qn(r->text, r->len));
}

static void on_peers(struct program *p, const struct reply *r)
{
    long long clients = reply_info(r, "connected_clients");
    if (clients >= 0 && clients <= 1 && !left_to_successor(p)) /* our own question is one */
        stop_server(p, p->stop_at_ms - clock_mono_ms() + ORPHAN_STOP_MS, ORPHAN_KILL_MS);
}

static void on_reply(const struct reply *r, void *arg)
{
    struct program *p = arg;
    p->silent_ms = r != NULL ? 0 : p->silent_ms;
    if (r == NULL)
        return; /* the next turn asks again; an end of the server shows by itself */
    switch (p->phase) {
    case PROGRAM_LOCK:
        adopt(p, p->probe.server);
        if (p->phase != PROGRAM_UP)
            return;
        turn_after(p, TURN_BOOT_S);
        break;
    case PROGRAM_PEERS:
        on_peers(p, r);
        return;
    case PROGRAM_UP:
        break;
    default:
        return;
    }
    if (r->type != REPLY_ERROR)
        on_pong(p);
    else
        on_complaint(p, r);
}

/* --- turns of the timer --- */

/* The lock is held, and nobody answers: who is it? */
static void look_at_holder(struct program *p)
{
    struct lockfile_note note;
    lockfile_read(p->lock_fd, &note);
    if (p->waited_ms >= LOCK_TELL_MS && !p->told_waiting) {
        p->told_waiting = true;
        log_warn("redis_lock_held", "file=%s server=%d owner=%d socket=%s", log_q(p->lock_path),
                 (int)note.server, (int)note.owner, log_q(note.socket));
    }
    if (note.socket[0] != '\0' && strcmp(note.socket, p->socket) != 0) {
        if (p->waited_ms >= LOCK_OTHER_MS) {
            log_crit("redis_dir_in_use", "file=%s server=%d socket=%s remedy=%s", log_q(p->lock_path),
                     (int)note.server, log_q(note.socket),
                     log_q("give each instance a node.state_dir of its own"));
            child_exit(p->child, EXIT_CODE_CONFIG);
        }
        return;
    }
    bool left = p->waited_ms >= LOCK_LEFT_MS && (note.server == 0 || kill(note.server, 0) != 0);
    if (!left && p->waited_ms < PROGRAM_SILENT_MS)
        return;
    pid_t holder = lockfile_holder(p->lock_fd);
    if (holder > 0) {
        log_error("redis_holder_killed", "holder=%d reason=%s", (int)holder, left ? "left_over" : "silent");
        (void)kill(holder, SIGKILL);
    }
    p->waited_ms = LOCK_TELL_MS; /* again later, if that did not help */
}

static void turn_lock(struct program *p, uint64_t passed_ms)
{
    p->waited_ms += passed_ms;
    if (lockfile_take(p->lock_fd) == 0) {
        p->lock_is_ours = true;
        probe_close(&p->probe);
        start_server(p);
        return;
    }
    if (probe_ask(&p->probe, "PING") != 0 && errno != EBUSY)
        probe_close(&p->probe);
    extend_boot(p, passed_ms, "the data folder of Redis is in use");
    turn_after(p, TURN_LOCK_S);
    look_at_holder(p);
}

static void turn_up(struct program *p, uint64_t passed_ms)
{
    p->silent_ms += passed_ms;
    (void)probe_ask(&p->probe, "PING");
    if (p->silent_ms >= PROGRAM_SILENT_MS) {
        log_error("redis_server_silent", "server=%d silent_ms=%llu", (int)p->server.pid,
                  (unsigned long long)p->silent_ms);
        p->silent_ms = 0;
        server_kill(&p->server);
    }
    if (!p->answered)
        extend_boot(p, passed_ms, "Redis is loading its data");
    uint64_t age_ms = clock_mono_ms() - p->server.started_ms;
    turn_after(p, p->answered ? TURN_UP_S : age_ms < BOOT_SLOW_MS ? TURN_BOOT_S : TURN_SLOW_S);
}

static void turn_peers(struct program *p)
{
    if (left_to_successor(p))
        return;
    if (clock_mono_ms() >= p->stop_at_ms) {
        log_warn("redis_peers_remain", "server=%d", (int)p->server.pid);
        stop_server(p, ORPHAN_STOP_MS, ORPHAN_KILL_MS);
        return;
    }
    (void)probe_ask(&p->probe, "INFO clients");
    turn_after(p, TURN_PEERS_S);
}

static void on_turn(struct ev_loop *loop, ev_timer *timer, int events)
{
    (void)loop;
    (void)events;
    struct program *p = timer->data;
    uint64_t now_ms = clock_mono_ms(), passed_ms = now_ms - p->turned_ms;
    p->turned_ms = now_ms;
    if (passed_ms > 2000) /* we slept (stopped, starved) ourselves: that is not the server's silence */
        passed_ms = 2000;
    switch (p->phase) {
    case PROGRAM_LOCK:
        turn_lock(p, passed_ms);
        break;
    case PROGRAM_UP:
        turn_up(p, passed_ms);
        break;
    case PROGRAM_PAUSE:
        start_server(p);
        break;
    case PROGRAM_PEERS:
        turn_peers(p);
        break;
    case PROGRAM_STOP:
        log_error("redis_server_killed", "server=%d reason=deadline", (int)p->server.pid);
        server_kill(&p->server);
        turn_after(p, 1.0);
        break;
    case PROGRAM_DONE:
        break;
    }
}

/* --- stop --- */

static void stop_server(struct program *p, uint64_t deadline_ms, uint64_t margin_ms)
{
    p->phase = PROGRAM_STOP;
    p->kill_at_ms =
        clock_mono_ms() + (deadline_ms > 2 * margin_ms ? deadline_ms - margin_ms : deadline_ms / 2);
    log_info("redis_server_stopping", "server=%d", (int)p->server.pid);
    server_signal(&p->server, SIGTERM);
    server_signal(&p->server, SIGCONT); /* a stopped one would not hear it */
    turn_after(p, (double)(p->kill_at_ms - clock_mono_ms()) / 1000);
}

void program_drain(struct program *p, uint32_t deadline_ms)
{
    if (p->phase == PROGRAM_STOP || p->phase == PROGRAM_DONE)
        return;
    if (p->server.pid == 0) {
        finish(p);
        return;
    }
    if (left_to_successor(p))
        return;
    if (!child_orphan(p->child)) {
        stop_server(p, deadline_ms, STOP_MARGIN_MS);
        return;
    }
    p->phase = PROGRAM_PEERS;
    p->stop_at_ms =
        clock_mono_ms() + (deadline_ms > 2 * ORPHAN_STOP_MS ? deadline_ms - ORPHAN_STOP_MS : deadline_ms / 2);
    probe_close(&p->probe); /* what was asked before is of no interest now */
    turn_after(p, 0);
}

/* --- start --- */

int program_start(struct child *c, struct program *p, enum exitcode *code)
{
    const struct conf *conf = child_config(c);
    p->child = c;
    p->lock_fd = p->server.pidfd = p->server.output_fd = -1;
    umask(077); /* the data folder, the lock and the socket are this user's alone */
    if ((*code = paths_prepare(p, conf)) != EXIT_CODE_OK)
        return -1;
    probe_init(&p->probe, child_loop(c), p->socket, on_reply, p);
    ev_timer_init(&p->turn, on_turn, 0, 0);
    p->turn.data = p;
    p->phase = PROGRAM_LOCK;
    p->turned_ms = clock_mono_ms();
    turn_after(p, 0);
    return 0;
}
