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
#include "master/upgrade.h"

static struct ev_child child_watcher;

static struct slot *find_pid(struct master *m, pid_t pid)
{
    struct slot *s;
    list_foreach(s, &m->slots, struct slot, link) if (s->pid == pid) return s;
    return NULL;
}

static void note_death(struct slot *s)
{
    struct master *m = s->master;
    enum kind_id k = kind_id(s->kind);
    if (s->death.reason[0] == '\0')
        return;
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

static void bury(struct slot *s, int status, const struct obituary_used *used)
{
    if (s->chan != NULL)
        chan_drain_input(s->chan);
    control_close(s);
    logmux_free(s->log); /* reads what is left */
    s->log = NULL;
    s->death.at_ms = clock_mono_ms();
    s->death.status = status;
    obituary_write(s, used);
    note_death(s);
    bool in_order = WIFEXITED(status) && WEXITSTATUS(status) == EXIT_CODE_OK;
    if (s->kind->hands_back && (!in_order || s->left > 0) && s->ready_ms != 0)
        keep_locks(s);
    s->boot_deaths = s->ready_ms == 0 ? s->boot_deaths + 1 : 0;
    s->epoch = 0;
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
    struct obituary_used used = obituary_used();
    struct slot *s = find_pid(m, w->rpid);
    if (s == NULL && upgrade_reaped(m, w->rpid, w->rstatus))
        return;
    if (s == NULL) { /* a grandchild that lost its parent: this process is a subreaper */
        log_debug("stranger_reaped", "child_pid=%d status=%d", w->rpid, w->rstatus);
        return;
    }
    HOOK_POINT(child_reaped);
    bury(s, w->rstatus, &used);
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

void reap_restore(struct master *m, const struct reap_job *job)
{
    struct reap_job *j = xcalloc(1, sizeof *j);
    *j = *job;
    list_push_back(&m->orphans, &j->link);
}

void reap_missed(struct master *m)
{
    ev_feed_signal_event(m->loop, SIGCHLD); /* libev asks the kernel for all of them then */
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
