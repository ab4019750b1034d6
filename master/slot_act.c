/* slot_act - see slot_act.h. */
#include "master/slot_act.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>

#include "common/base/clock.h"
#include "common/base/hook.h"
#include "common/base/id.h"
#include "common/base/log.h"
#include "master/peer.h"
#include "master/reconcile.h"
#include "master/spawn.h"
#include "master/state.h"

#define SLOT_ARGS(s) (s)->kind->name, (s)->index, (s)->generation, (int)(s)->pid

static const struct conf_master *policy(const struct slot *s)
{
    return &s->master->conf->master;
}

static void enter(struct slot *s, enum slot_state state, uint64_t ms)
{
    s->state = state;
    ev_timer_stop(s->master->loop, &s->timer);
    if (ms == 0 && state != SLOT_WAIT)
        return;
    ev_now_update(s->master->loop);
    ev_timer_set(&s->timer, (double)ms / 1e3, 0.);
    ev_timer_start(s->master->loop, &s->timer);
}

void slot_act_arm(struct slot *s)
{
    switch (s->state) {
    case SLOT_BOOT:
        enter(s, SLOT_BOOT, policy(s)->health_boot_ms);
        break;
    case SLOT_UP:
        enter(s, SLOT_UP, policy(s)->health_hang_ms);
        break;
    case SLOT_DRAIN:
        enter(s, SLOT_DRAIN, s->drain_ms);
        break;
    case SLOT_KILL:
        enter(s, SLOT_KILL, policy(s)->health_kill_grace_ms);
        break;
    case SLOT_IDLE:
    case SLOT_WAIT:
    case SLOT_FAIL:
    case SLOT_STATES:
        break;
    }
}

void slot_act_arm_wait(struct slot *s, uint64_t ms)
{
    enter(s, SLOT_WAIT, ms);
}

static void send_signal(struct slot *s, int signo)
{
    if (s->pid > 0)
        (void)kill(s->pid, signo);
    if (signo == SIGABRT || signo == SIGKILL)
        s->signalled = true;
}

void slot_act_spawn(struct slot *s)
{
    if (spawn_child(s) == 0) {
        s->spawned_ms = clock_mono_ms();
        s->ready_ms = 0;
        s->signalled = false;
        s->kill_reason = NULL;
        enter(s, SLOT_BOOT, policy(s)->health_boot_ms);
        log_info("child_started", "child_kind=%s child_slot=%u child_gen=%u child_pid=%d", SLOT_ARGS(s));
        return;
    }
    uint64_t delay = policy(s)->restart_min_ms > 1000 ? policy(s)->restart_min_ms : 1000;
    log_error("spawn_failed", "child_kind=%s child_slot=%u err=%s retry_ms=%llu", s->kind->name, s->index,
              log_q(strerror(errno)), (unsigned long long)delay);
    enter(s, SLOT_WAIT, delay);
}

void slot_act_up(struct slot *s)
{
    s->ready_ms = clock_mono_ms();
    s->ever_ready = true;
    s->boot_deaths = 0;
    enter(s, SLOT_UP, policy(s)->health_hang_ms);
    log_info("child_ready", "child_kind=%s child_slot=%u child_gen=%u child_pid=%d boot_ms=%llu",
             SLOT_ARGS(s), (unsigned long long)(s->ready_ms - s->spawned_ms));
    peer_introduce_all(s->master);
    reconcile_slot_up(s);
}

void slot_act_beat(struct slot *s)
{
    enter(s, SLOT_UP, policy(s)->health_hang_ms);
}

void slot_act_extend(struct slot *s)
{
    enter(s, SLOT_BOOT, s->extend_ms);
}

static uint64_t drain_time(const struct slot *s)
{
    const struct master *m = s->master;
    uint64_t ms = policy(s)->drain_ms, now = clock_mono_ms();
    if (m->phase == MASTER_STOPPING) {
        uint64_t left = m->stop_deadline_ms > now ? m->stop_deadline_ms - now : 0;
        if (left < ms)
            ms = left;
        if (ms < policy(s)->health_kill_grace_ms)
            ms = policy(s)->health_kill_grace_ms;
    }
    return ms;
}

void slot_act_term(struct slot *s)
{
    s->drain_ms = drain_time(s);
    send_signal(s, SIGTERM);
    send_signal(s, SIGCONT);
    enter(s, SLOT_DRAIN, s->drain_ms);
}

void slot_act_drain(struct slot *s)
{
    struct msg m = {.type = MSG_DRAIN, .generation = s->generation};
    s->drain_ms = drain_time(s);
    m.u.drain.deadline_ms = (uint32_t)s->drain_ms;
    strcpy(m.u.drain.reason,
           s->master->phase == MASTER_STOPPING ? MSG_DRAIN_STOP : "replaced or scaled down");
    log_info("child_drain", "child_kind=%s child_slot=%u child_gen=%u child_pid=%d deadline_ms=%llu",
             SLOT_ARGS(s), (unsigned long long)s->drain_ms);
    if (chan_send(s->chan, &m, NULL, 0) < 0)
        send_signal(s, SIGTERM);
    HOOK_POINT(drain_sent);
    /* Half a second more than the child was given: it should end by itself. */
    enter(s, SLOT_DRAIN, s->drain_ms + 500);
}

static void kill_slot(struct slot *s, const char *reason, int signo)
{
    s->kill_reason = reason;
    log_error("child_kill", "child_kind=%s child_slot=%u child_gen=%u child_pid=%d reason=%s signal=%s",
              SLOT_ARGS(s), log_q(reason), signo == SIGABRT ? "SIGABRT" : "SIGKILL");
    send_signal(s, signo);
    enter(s, SLOT_KILL, policy(s)->health_kill_grace_ms);
}

void slot_act_boot_late(struct slot *s)
{
    kill_slot(s, "boot", SIGABRT);
}

void slot_act_hang(struct slot *s)
{
    kill_slot(s, "hang", SIGABRT);
}

void slot_act_drain_late(struct slot *s)
{
    log_warn("drain_late", "child_kind=%s child_slot=%u child_gen=%u child_pid=%d", SLOT_ARGS(s));
    send_signal(s, SIGKILL);
    s->kill_reason = "drain";
    enter(s, SLOT_DRAIN, policy(s)->health_kill_grace_ms);
}

void slot_act_kill_again(struct slot *s)
{
    if (s->kill_reason == NULL)
        s->kill_reason = "silent";
    log_warn("child_kill", "child_kind=%s child_slot=%u child_gen=%u child_pid=%d reason=%s signal=SIGKILL",
             SLOT_ARGS(s), log_q(s->kill_reason));
    send_signal(s, SIGKILL);
    enter(s, SLOT_KILL, policy(s)->health_kill_grace_ms);
}

void slot_act_cut(struct slot *s)
{
    enter(s, SLOT_KILL, policy(s)->health_kill_grace_ms);
}

void slot_act_wait(struct slot *s)
{
    struct restart_policy p = conf_restart_policy(s->master->conf);
    uint64_t now = s->death.at_ms, up = s->ready_ms != 0 ? now - s->ready_ms + 1 : 0;
    bool killed = WIFSIGNALED(s->death.status) && WTERMSIG(s->death.status) == SIGKILL && !s->signalled;
    uint64_t delay =
        restart_delay(&s->restart, &p, now, up, killed, (double)id_random_below(1u << 20) / (1u << 20));
    s->restarts++;
    if (restart_gives_up(&s->restart, &p)) {
        log_crit("slot_gave_up", "child_kind=%s child_slot=%u deaths=%u remedy=%s", s->kind->name, s->index,
                 s->restart.early, log_q("see the child's last lines; dray reload or restart tries again"));
        slot_act_fail(s);
        return;
    }
    if (delay > 0)
        log_warn("child_backoff", "child_kind=%s child_slot=%u delay_ms=%llu", s->kind->name, s->index,
                 (unsigned long long)delay);
    enter(s, SLOT_WAIT, delay);
}

void slot_act_gone(struct slot *s)
{
    enter(s, SLOT_IDLE, 0);
}

void slot_act_idle(struct slot *s)
{
    enter(s, SLOT_IDLE, 0);
}

void slot_act_fail(struct slot *s)
{
    enter(s, SLOT_FAIL, 0);
    reconcile_slot_failed(s);
}
