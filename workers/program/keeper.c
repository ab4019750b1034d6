/* keeper - the child that keeps one program of the configuration running.
 *
 * A program that ends is started again right here, by one vfork, without a word to or from the master; the delay is
 * common/base/restart.h. Its end is whole: what it started is ended with it (its process group, and whoever came to
 * this process, which is a subreaper). If this process is killed the program gets SIGKILL from the kernel; the next
 * keeper waits until nothing of it is left. Never: two copies of the program at once.
 */
#include "workers/program/keeper.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/id.h"
#include "common/base/log.h"
#include "common/base/sig.h"
#include "common/base/str.h"
#include "workers/program/relics.h"

#define TURN_OLD_MS     10
#define OLD_KILL_MS     (CHILD_ORPHAN_MS + 2000) /* an orphan keeper has ended by then */
#define SWEEP_FIRST_MS  1
#define SWEEP_MS        20
#define SWEEP_TELL_MS   5000
#define TURN_PEERS_MS   100
#define TELL_EVERY_MS   100
#define EXTEND_EVERY_MS 5000
#define EXTEND_MS       30000
#define STOP_MARGIN_MS  300 /* kept of a drain's deadline, for our own end */

static const int stop_signals[] = {SIGTERM, SIGINT, SIGQUIT, SIGHUP, SIGUSR1, SIGUSR2, SIGKILL};

static void start_program(struct keeper *k);
static void after_end(struct keeper *k);

static void turn_after(struct keeper *k, uint64_t ms)
{
    ev_timer_stop(child_loop(k->child), &k->turn);
    ev_timer_set(&k->turn, (double)ms / 1e3, 0);
    ev_timer_start(child_loop(k->child), &k->turn);
}

/* --- what the master and people are told --- */

static void tell(struct keeper *k)
{
    struct ev_loop *loop = child_loop(k->child);
    if (ev_is_active(&k->tell)) {
        k->untold = true;
        return;
    }
    struct msg_program m = {.pid = (uint32_t)(k->command.pid > 0 ? k->command.pid : 0),
                            .started_ms = k->command.pid > 0 ? k->command.started_ms : 0,
                            .restarts = k->restarts,
                            .ready = k->ready_ms != 0,
                            .degraded = k->is_degraded};
    str_copy(m.state, k->state, sizeof m.state);
    k->untold = !child_program(k->child, &m);
    if (k->question.status[0] != '\0')
        child_note(k->child, "%s: %s (%s)", k->it->id, k->state, k->question.status);
    else if (k->last.text[0] != '\0' && k->ready_ms == 0)
        child_note(k->child, "%s: %s, after %s", k->it->id, k->state, k->last.text);
    else
        child_note(k->child, "%s: %s", k->it->id, k->state);
    ev_timer_set(&k->tell, TELL_EVERY_MS / 1e3, 0);
    ev_timer_start(loop, &k->tell);
}

static void on_tell(struct ev_loop *loop, ev_timer *w, int revents)
{
    (void)loop, (void)revents;
    struct keeper *k = w->data;
    if (k->untold)
        tell(k);
}

static void enter(struct keeper *k, enum keeper_phase phase, const char *state)
{
    k->phase = phase;
    k->state = state;
    tell(k);
}

static void tell_master_ready(struct keeper *k)
{
    if (k->told_ready)
        return;
    k->told_ready = true;
    child_ready(k->child);
}

/* --- the end --- */

static void finish(struct keeper *k)
{
    k->phase = KEEPER_DONE;
    ev_timer_stop(child_loop(k->child), &k->turn);
    relics_unnote(k->note_path);
    child_drained(k->child, 0);
}

/* Asks it to end; SIGKILL to all of it at kill_at_ms. */
static void stop_program(struct keeper *k, uint64_t within_ms)
{
    uint64_t ms = k->it->stop_timeout_ms < within_ms ? k->it->stop_timeout_ms : within_ms;
    question_end(&k->question);
    ev_timer_stop(child_loop(k->child), &k->boot);
    k->killed_by_us = true;
    k->ready_ms = k->draining ? 0 : k->ready_ms;
    k->kill_at_ms = clock_mono_ms() + ms;
    enter(k, KEEPER_ENDING, "stopping");
    log_info("program_stopping", "program=%s program_pid=%d signal=%s timeout_ms=%llu", log_q(k->it->id),
             (int)k->command.pid, sig_name(stop_signals[k->it->stop_signal]), (unsigned long long)ms);
    command_stop(&k->command, stop_signals[k->it->stop_signal]);
    turn_after(k, ms);
}

void keeper_drain(struct keeper *k, uint32_t deadline_ms)
{
    uint64_t ms = deadline_ms > 2 * STOP_MARGIN_MS ? deadline_ms - STOP_MARGIN_MS : deadline_ms / 2;
    if (k->draining)
        return;
    k->draining = true;
    k->stop_at_ms = clock_mono_ms() + ms;
    if (k->command.pid <= 0 && k->phase != KEEPER_SWEEP) {
        finish(k);
        return;
    }
    if (k->phase == KEEPER_SWEEP ||
        k->phase == KEEPER_ENDING) { /* it is under way; it only gets no longer than this */
        uint64_t now = clock_mono_ms();
        if (k->kill_at_ms > k->stop_at_ms)
            k->kill_at_ms = k->stop_at_ms;
        if (k->phase == KEEPER_ENDING && k->kill_at_ms > now)
            turn_after(k, k->kill_at_ms - now);
        return;
    }
    if (child_orphan(k->child) && relics_peers()) {
        enter(k, KEEPER_PEERS, "orphaned");
        turn_after(k, TURN_PEERS_MS);
        return;
    }
    stop_program(k, ms);
}

static bool is_success(const struct keeper *k)
{
    if (!k->last.exited)
        return false;
    if (k->it->success_codes[0] == NULL)
        return k->last.code == 0;
    for (char *const *w = k->it->success_codes; *w != NULL; w++) {
        uint64_t code;
        if (str_parse_u64(*w, &code) == 0 && code == (uint64_t)k->last.code)
            return true;
    }
    return false;
}

static void note_death(struct keeper *k, uint64_t now_ms)
{
    const struct conf_rate *at = &child_config(k->child)->master.restart_degraded_at;
    restart_window_add(&k->deaths, now_ms);
    if (k->is_degraded || !restart_window_over(&k->deaths, now_ms, at->count, at->period_ms))
        return;
    k->is_degraded = true;
    log_crit("program_degraded", "program=%s deaths=%llu period_ms=%llu last=%s remedy=%s", log_q(k->it->id),
             (unsigned long long)at->count, (unsigned long long)at->period_ms, log_q(k->last.text),
             log_q("see what it said (event=program_output)"));
}

/* It stays down: a success counts as ready, for what waits behind it. */
static void stay_down(struct keeper *k, bool success, const char *state)
{
    k->ready_ms = success ? clock_mono_ms() : 0;
    if (success)
        tell_master_ready(k);
    enter(k, KEEPER_ENDED, state);
}

static void start_later(struct keeper *k, uint64_t ready_for_ms)
{
    struct restart_policy p = conf_restart_policy(child_config(k->child));
    bool killed = !k->last.exited && k->last.code == SIGKILL && !k->killed_by_us;
    uint64_t delay = restart_delay(&k->restart, &p, clock_mono_ms(), ready_for_ms, killed,
                                   (double)id_random_below(1u << 20) / (1u << 20));
    if (restart_gives_up(&k->restart, &p)) {
        log_crit("program_given_up", "program=%s deaths=%u last=%s remedy=%s", log_q(k->it->id),
                 k->restart.early, log_q(k->last.text), log_q("mend it, then: dray restart program NAME"));
        stay_down(k, false, "given up");
        return;
    }
    k->restarts++;
    if (delay == 0) {
        start_program(k);
        return;
    }
    enter(k, KEEPER_PAUSE, "waiting");
    turn_after(k, delay);
}

/* Nothing of it is left. */
static void after_end(struct keeper *k)
{
    uint64_t now = clock_mono_ms(), ready_for_ms = k->ready_ms != 0 ? now - k->ready_ms + 1 : 0;
    bool success = is_success(k);
    k->ready_ms = 0;
    ev_timer_stop(child_loop(k->child), &k->turn);
    if (k->draining) {
        finish(k);
        return;
    }
    if (k->it->restart == CONF_RESTART_NEVER ||
        (k->it->restart == CONF_RESTART_ON_FAILURE && success && !k->killed_by_us)) {
        stay_down(k, success, success ? "finished" : "failed");
        return;
    }
    if (!success || k->killed_by_us)
        note_death(k, now);
    start_later(k, ready_for_ms);
}

static void on_ended(struct ev_loop *loop, ev_io *w, int revents)
{
    (void)revents;
    struct keeper *k = w->data;
    pid_t pid = k->command.pid;
    ev_io_stop(loop, &k->ended);
    ev_timer_stop(loop, &k->boot);
    question_end(&k->question);
    command_bury(&k->command, k->phase != KEEPER_ENDING || k->kill_at_ms <= clock_mono_ms(), &k->last);
    keeper_out_finish(k);
    bool asked = k->killed_by_us && k->draining;
    uint64_t lived_ms = clock_mono_ms() - k->command.started_ms;
    log_event(asked || is_success(k) ? LOGL_INFO : LOGL_ERROR, asked ? "program_stopped" : "program_exited",
              "program=%s program_pid=%d status=%s lived_ms=%llu ready=%d", log_q(k->it->id), (int)pid,
              log_q(k->last.text), (unsigned long long)lived_ms, k->ready_ms != 0);
    if (!relics_remain()) {
        after_end(k);
        return;
    }
    if (k->killed_by_us) /* who left the group has not heard of it yet */
        relics_signal(stop_signals[k->it->stop_signal]);
    else
        k->kill_at_ms = clock_mono_ms();
    k->swept_ms = clock_mono_ms();
    enter(k, KEEPER_SWEEP, "ending");
    turn_after(k, SWEEP_FIRST_MS);
}

static void turn_sweep(struct keeper *k)
{
    uint64_t now = clock_mono_ms();
    if (!relics_remain()) {
        after_end(k);
        return;
    }
    if (now >= k->kill_at_ms)
        relics_signal(SIGKILL);
    if (now - k->swept_ms > SWEEP_TELL_MS && now >= k->kill_at_ms + SWEEP_TELL_MS) {
        k->swept_ms = now;
        log_error("program_relics", "program=%s remedy=%s", log_q(k->it->id),
                  log_q("what it started does not end, not even by SIGKILL; it is waited for"));
    }
    turn_after(k, now - k->swept_ms < SWEEP_MS ? SWEEP_FIRST_MS : SWEEP_MS);
}

/* --- the start --- */

static void on_answer(bool good, const char *why, void *arg)
{
    struct keeper *k = arg;
    if (!good) {
        log_error("program_sick", "program=%s program_pid=%d why=%s", log_q(k->it->id), (int)k->command.pid,
                  log_q(why));
        stop_program(k, UINT64_MAX);
        return;
    }
    ev_timer_stop(child_loop(k->child), &k->boot);
    k->ready_ms = clock_mono_ms();
    log_info("program_ready", "program=%s program_pid=%d ms=%llu", log_q(k->it->id), (int)k->command.pid,
             (unsigned long long)(k->ready_ms - k->command.started_ms));
    enter(k, KEEPER_UP, "ready");
    tell_master_ready(k);
}

static void on_boot_late(struct ev_loop *loop, ev_timer *w, int revents)
{
    (void)loop, (void)revents;
    struct keeper *k = w->data;
    log_error("program_not_ready", "program=%s program_pid=%d timeout_ms=%llu", log_q(k->it->id),
              (int)k->command.pid, (unsigned long long)k->it->ready_timeout_ms);
    stop_program(k, UINT64_MAX);
}

/* The first time it can never work; later it may be in the middle of being replaced. */
static void on_not_started(struct keeper *k, int error)
{
    enum exitcode code = error == EPERM ? EXIT_CODE_NOPERM : EXIT_CODE_EXEC;
    log_error("program_not_started", "program=%s file=%s error=%s", log_q(k->it->id), log_q(k->plan.path),
              log_q(strerror(error)));
    k->last = (struct command_end){.exited = true, .code = 127};
    str_copy(k->last.text, "not started", sizeof k->last.text);
    if (k->restarts == 0 && error != EAGAIN && error != ENOMEM) {
        child_exit(k->child, code);
        return;
    }
    k->killed_by_us = false;
    note_death(k, clock_mono_ms());
    start_later(k, 0);
}

static void start_program(struct keeper *k)
{
    struct ev_loop *loop = child_loop(k->child);
    struct command_fds fds = {.out = k->out.fds[1], .err = k->err.fds[1], .extra = -1};
    k->killed_by_us = false;
    if (question_prepare(&k->question) != 0) {
        log_error("program_not_started", "program=%s error=%s", log_q(k->it->id), log_q(strerror(errno)));
        child_exit(k->child, EXIT_CODE_OSERR);
        return;
    }
    fds.extra = k->question.given_fd;
    fds.extra_at = (int)k->it->ready_fd;
    if (command_start(&k->command, &k->plan, &fds) != 0) {
        on_not_started(k, errno);
        return;
    }
    if (relics_note(k->note_path, k->command.pid) != 0)
        log_warn("program_note_not_written", "file=%s error=%s", log_q(k->note_path), log_q(strerror(errno)));
    log_info("program_started", "program=%s program_pid=%d", log_q(k->it->id), (int)k->command.pid);
    ev_io_set(&k->ended, k->command.pidfd, EV_READ);
    ev_io_start(loop, &k->ended);
    enter(k, KEEPER_UP, "starting");
    if (k->it->ready_type != CONF_READY_NONE) {
        ev_timer_set(&k->boot, (double)k->it->ready_timeout_ms / 1e3, 0);
        ev_timer_start(loop, &k->boot);
    }
    question_begin(&k->question);
}

/* --- turns --- */

static void turn_old(struct keeper *k)
{
    enum relics_state state = relics_look(k->note_path, k->it->id);
    if (state == RELICS_NONE) {
        start_program(k);
        return;
    }
    if (k->swept_ms == 0) {
        k->swept_ms = clock_mono_ms();
        log_warn("program_lives", "program=%s keeper=%s", log_q(k->it->id),
                 state == RELICS_KEPT ? "ending it" : "gone");
        enter(k, KEEPER_OLD, "waiting");
    }
    turn_after(k, TURN_OLD_MS);
}

static void turn_peers(struct keeper *k)
{
    uint64_t now = clock_mono_ms(), left = k->stop_at_ms > now ? k->stop_at_ms - now : 0;
    if (left < CHILD_ORPHAN_MS / 4 || !relics_peers())
        stop_program(k, left);
    else
        turn_after(k, TURN_PEERS_MS);
}

static void on_turn(struct ev_loop *loop, ev_timer *w, int revents)
{
    (void)loop, (void)revents;
    struct keeper *k = w->data;
    switch (k->phase) {
    case KEEPER_OLD:
        turn_old(k);
        break;
    case KEEPER_PAUSE:
        start_program(k);
        break;
    case KEEPER_SWEEP:
        turn_sweep(k);
        break;
    case KEEPER_PEERS:
        turn_peers(k);
        break;
    case KEEPER_ENDING:
        log_error("program_killed", "program=%s program_pid=%d reason=stop_timeout", log_q(k->it->id),
                  (int)k->command.pid);
        command_stop(&k->command, SIGKILL);
        break;
    case KEEPER_UP:
    case KEEPER_ENDED:
    case KEEPER_DONE:
        break;
    }
}

/* Who lost its parent came to us, and is reaped when it ends. */
static void reap_strangers(const struct keeper *k)
{
    siginfo_t info = {0};
    while (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid != 0 &&
           info.si_pid != k->command.pid && info.si_pid != k->question.asked.pid) {
        (void)waitid(P_PID, (id_t)info.si_pid, &info, WEXITED | WNOHANG);
        info.si_pid = 0;
    }
}

static void on_tick(struct ev_loop *loop, ev_timer *w, int revents)
{
    (void)loop, (void)revents;
    struct keeper *k = w->data;
    const struct conf_master *c = &child_config(k->child)->master;
    uint64_t now = clock_mono_ms();
    if (k->phase == KEEPER_UP)
        reap_strangers(k);
    if (k->is_degraded && k->phase == KEEPER_UP && k->ready_ms != 0 &&
        now - k->ready_ms >= c->restart_healthy_after_ms) {
        k->is_degraded = false;
        log_info("program_recovered", "program=%s", log_q(k->it->id));
        tell(k);
    }
    if (!k->told_ready && now - k->extended_ms >= EXTEND_EVERY_MS) {
        k->extended_ms = now;
        child_extend(k->child, EXTEND_MS, "the program is not ready yet");
    }
}

void keeper_reloaded(struct keeper *k, const struct conf_program *it)
{
    static const int signals[] = {0, SIGHUP, SIGINT, SIGQUIT, SIGUSR1, SIGUSR2, SIGWINCH};
    if (it == NULL) /* it is to go */
        return;
    /* Its own copy stays: the plan points into it, and the configuration's may go at the next reload. */
    int signo = signals[k->it->reload_signal];
    if (signo == 0 || k->phase != KEEPER_UP)
        return;
    log_info("program_reload", "program=%s program_pid=%d signal=%s", log_q(k->it->id), (int)k->command.pid,
             sig_name(signo));
    command_signal(&k->command, signo);
}

static void init_timer(struct keeper *k, ev_timer *t, void (*fn)(struct ev_loop *, ev_timer *, int),
                       double repeat)
{
    ev_timer_init(t, fn, repeat, repeat);
    t->data = k;
}

static enum exitcode prepare(struct keeper *k)
{
    char name[128], value[32];
    const struct conf_program *it = k->it;
    int r = command_plan_make(&k->plan, it, it->command);
    if (r == 0)
        r = question_init(&k->question, child_loop(k->child), it, &k->command, on_answer, k);
    if (r == 0)
        r = command_plan_env(&k->plan, RELICS_MARK, it->id);
    if (r == 0 && k->question.notify_address[0] != '\0') {
        r = command_plan_env(&k->plan, "NOTIFY_SOCKET", k->question.notify_address);
        snprintf(value, sizeof value, "%llu", (unsigned long long)it->health_interval_ms * 1000);
        if (r == 0 && it->health_interval_ms > 0)
            r = command_plan_env(&k->plan, "WATCHDOG_USEC", value);
    }
    if (r != 0) {
        enum exitcode code = errno == ENOENT || errno == EACCES ? EXIT_CODE_EXEC : EXIT_CODE_CONFIG;
        log_crit("program_not_prepared", "program=%s error=%s", log_q(it->id), log_q(strerror(errno)));
        return code;
    }
    k->question.uid = k->plan.uid;
    snprintf(name, sizeof name, "program.%.63s.pid", it->id);
    conf_run_path(child_config(k->child), name, k->note_path, sizeof k->note_path);
    return EXIT_CODE_OK;
}

int keeper_start(struct child *c, struct keeper *k, const struct conf_program *it, enum exitcode *code)
{
    struct ev_loop *loop = child_loop(c);
    k->child = c;
    k->it = conf_program_copy(it);
    k->state = "starting";
    k->extended_ms = clock_mono_ms();
    k->out.fds[0] = k->out.fds[1] = k->err.fds[0] = k->err.fds[1] = k->command.pidfd = -1;
    (void)signal(SIGCHLD, SIG_DFL); /* the event loop would reap what is ours to judge */
    (void)prctl(PR_SET_CHILD_SUBREAPER, 1);
    init_timer(k, &k->turn, on_turn, 0);
    init_timer(k, &k->boot, on_boot_late, 0);
    init_timer(k, &k->tell, on_tell, 0);
    init_timer(k, &k->tick, on_tick, 1.0);
    ev_init(&k->ended, on_ended);
    k->ended.data = k;
    ev_set_priority(&k->ended, EV_MAXPRI); /* its restart goes before its words */
    if ((*code = prepare(k)) != EXIT_CODE_OK)
        return -1;
    if (keeper_out_open(k) != 0) {
        *code = EXIT_CODE_OSERR;
        return -1;
    }
    ev_timer_start(loop, &k->tick);
    if (!k->it->required)
        tell_master_ready(k);
    k->phase = KEEPER_OLD;
    turn_after(k, 0);
    return 0;
}
