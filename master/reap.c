/* reap - see reap.h.
 *
 * libev calls the death of a child before the readability of its pipes in the same turn: so the last words are drained
 * here first, and only then is it judged.
 */
#include "master/reap.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "common/base/clock.h"
#include "common/base/exitcode.h"
#include "common/base/hook.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/base/sig.h"
#include "common/base/str.h"
#include "master/control.h"
#include "master/logmux.h"
#include "master/reconcile.h"
#include "master/state.h"

static struct ev_child child_watcher;

static struct slot *find_pid(struct master *m, pid_t pid)
{
    struct slot *s;
    list_foreach(s, &m->slots, struct slot, link) if (s->pid == pid) return s;
    return NULL;
}

/* The reason in metrics: crash, kill, hang, boot, exit, or "" for an end that was asked for. */
static const char *reason_of(const struct slot *s, int status)
{
    bool asked = s->state == SLOT_DRAIN;
    if (s->kill_reason != NULL)
        return s->kill_reason;
    if (WIFSIGNALED(status))
        return WTERMSIG(status) == SIGKILL ? "kill" : asked && WTERMSIG(status) == SIGTERM ? "" : "crash";
    enum exit_class class = exitcode_class(WEXITSTATUS(status));
    if ((class == EXIT_CLASS_OK && asked) || class == EXIT_CLASS_IMMEDIATE)
        return "";
    return s->ready_ms == 0 ? "boot" : "exit";
}

static void obituary(const struct slot *s, int status, const char *reason)
{
    uint64_t ran = s->death.at_ms - s->spawned_ms;
    enum log_level level = reason[0] == '\0' ? LOGL_INFO : LOGL_WARN;
    char how[160];
    if (WIFSIGNALED(status)) {
        const char *by = s->signalled                                                 ? "the supervisor"
                         : WTERMSIG(status) == SIGKILL || WTERMSIG(status) == SIGTERM ? "somebody else"
                                                                                      : "itself";
        snprintf(how, sizeof how, "signal=%s by=%s core=%s", sig_name(WTERMSIG(status)), log_q(by),
                 WCOREDUMP(status) ? "yes" : "no");
    } else {
        snprintf(how, sizeof how, "code=%d name=%s msg=%s", WEXITSTATUS(status),
                 exitcode_name(WEXITSTATUS(status)), log_q(exitcode_sentence(WEXITSTATUS(status))));
    }
    log_event(level, reason[0] == '\0' ? "child_ended" : "child_died",
              "child_kind=%s child_slot=%u child_gen=%u child_pid=%d %s ran_ms=%llu in_hand=%u reason=%s",
              s->kind->name, s->index, s->generation, (int)s->pid, how, (unsigned long long)ran,
              s->beat.in_hand, reason[0] == '\0' ? "asked" : reason);
}

static void note_death(struct slot *s, const char *reason)
{
    struct master *m = s->master;
    enum kind_id k = kind_id(s->kind);
    if (reason[0] == '\0')
        return;
    metric_add(metrics_series(m->own, METRIC_WORKER_RESTARTS, s->kind->name, reason, NULL), 1);
    restart_window_add(&m->deaths[k], s->death.at_ms);
    const struct conf_rate *at = &m->conf->master.restart_degraded_at;
    if (restart_window_over(&m->deaths[k], s->death.at_ms, at->count, at->period_ms)) {
        if (!m->degraded[k])
            log_crit("degraded", "child_kind=%s deaths=%llu period_ms=%llu remedy=%s", s->kind->name,
                     (unsigned long long)at->count, (unsigned long long)at->period_ms,
                     log_q("see the obituaries above (event=child_died)"));
        m->degraded[k] = true;
    }
}

static void add_orphan(struct master *m, const struct msg_reap *reap)
{
    struct reap_job *j = xcalloc(1, sizeof *j);
    j->reap = *reap;
    list_push_back(&m->orphans, &j->link);
}

/* What a delivery process held when it did not end in good order, or with something left. */
static void keep_locks(struct slot *s)
{
    struct msg_reap reap = {.n_clients = s->beat.n_clients};
    memcpy(reap.clients, s->beat.clients, sizeof reap.clients);
    snprintf(reap.token, sizeof reap.token, "%s.%llu.%u.%u", s->master->node,
             (unsigned long long)s->master->run, s->index, s->generation);
    add_orphan(s->master, &reap);
}

static void bury(struct slot *s, int status)
{
    if (s->chan != NULL)
        chan_drain_input(s->chan);
    control_close(s);
    logmux_free(s->log); /* reads what is left */
    s->log = NULL;
    s->death.at_ms = clock_mono_ms();
    s->death.status = status;
    const char *reason = reason_of(s, status);
    s->death.reason = reason;
    obituary(s, status, reason);
    note_death(s, reason);
    bool in_order = WIFEXITED(status) && WEXITSTATUS(status) == EXIT_CODE_OK;
    if (s->kind->hands_back && (!in_order || s->left > 0) && s->ready_ms != 0)
        keep_locks(s);
    s->pid = 0;
    s->note[0] = '\0';
    memset(&s->program, 0, sizeof s->program);
    reconcile_slot_gone(s);
}

static enum slot_event judge(int status)
{
    if (WIFSIGNALED(status))
        return SLOT_EV_RETRY;
    switch (exitcode_class(WEXITSTATUS(status))) {
    case EXIT_CLASS_OK:
        return SLOT_EV_OK;
    case EXIT_CLASS_PERMANENT:
        return SLOT_EV_PERMANENT;
    case EXIT_CLASS_IMMEDIATE:
        return SLOT_EV_RETIRED;
    case EXIT_CLASS_RETRY:
        break;
    }
    return SLOT_EV_RETRY;
}

static void on_child(struct ev_loop *loop, ev_child *w, int revents)
{
    (void)loop;
    (void)revents;
    struct master *m = w->data;
    struct slot *s = find_pid(m, w->rpid);
    if (s == NULL) { /* a grandchild that lost its parent: this process is a subreaper */
        log_debug("stranger_reaped", "child_pid=%d status=%d", w->rpid, w->rstatus);
        return;
    }
    HOOK_POINT(child_reaped);
    bury(s, w->rstatus);
    slot_event(s, judge(w->rstatus));
    reap_assign(m);
    turn_part(&m->turn, "reap");
}

void reap_start(struct master *m)
{
    ev_child_init(&child_watcher, on_child, 0, 0);
    child_watcher.data = m;
    ev_child_start(m->loop, &child_watcher);
}

void reap_earlier_runs(struct master *m)
{
    struct msg_reap reap = {.prefix = true};
    snprintf(reap.token, sizeof reap.token, "%s.", m->node);
    add_orphan(m, &reap);
}

static struct slot *find_up(struct master *m, uint32_t generation)
{
    struct slot *s;
    list_foreach(s, &m->slots, struct slot,
                 link) if (s->kind->hands_back && s->state == SLOT_UP &&
                           (generation == 0 || s->generation == generation)) return s;
    return NULL;
}

void reap_assign(struct master *m)
{
    struct reap_job *j;
    list_foreach(j, &m->orphans, struct reap_job, link)
    {
        if (j->assigned != 0 && find_up(m, j->assigned) != NULL)
            continue;
        j->assigned = 0;
        struct slot *s = find_up(m, 0);
        if (s == NULL)
            continue;
        struct msg msg = {.type = MSG_REAP, .generation = s->generation, .u.reap = j->reap};
        if (chan_send(s->chan, &msg, NULL, 0) == 0) {
            j->assigned = s->generation;
            HOOK_POINT(reap_sent);
        }
    }
}

void reap_done(struct master *m, const struct msg_reaped *r)
{
    struct reap_job *j;
    list_foreach(j, &m->orphans, struct reap_job, link) if (strcmp(j->reap.token, r->token) == 0)
    {
        log_info("jobs_handed_back", "token=%s jobs=%u", r->token, r->jobs);
        list_remove(&j->link);
        free(j);
        return;
    }
}

void reap_stop(struct master *m)
{
    struct reap_job *j;
    list_foreach(j, &m->orphans, struct reap_job, link)
    {
        list_remove(&j->link);
        free(j);
    }
    ev_child_stop(m->loop, &child_watcher);
}
