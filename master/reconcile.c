/* reconcile - see reconcile.h.
 *
 * Nothing else starts or stops a process: signals, commands and the configuration only change what is wanted, and the
 * next turn of the loop brings it about. An action that fails is simply still to be done at the next turn.
 */
#include "master/reconcile.h"

#include <stdio.h>
#include <sys/wait.h>

#include "common/base/clock.h"
#include "common/base/hook.h"
#include "common/base/log.h"
#include "master/health.h"
#include "master/reap.h"
#include "master/reload.h"
#include "master/sd.h"
#include "master/state.h"

#define STAGES 5

/* ------------------------------------------------------------------ looking */

static struct slot *find_index(struct master *m, const struct kind *k, unsigned index)
{
    struct slot *s;
    list_foreach(s, &m->slots, struct slot,
                 link) if (s->kind == k && s->index == index && s->replaces == NULL && !s->retired) return s;
    return NULL;
}

static struct slot *find_successor(const struct slot *old)
{
    struct slot *s;
    list_foreach(s, &old->master->slots, struct slot, link) if (s->replaces == old) return s;
    return NULL;
}

bool reconcile_rolling(const struct master *m)
{
    const struct slot *s;
    list_foreach(s, &m->slots, struct slot, link) if (s->roll || s->replaces != NULL) return true;
    return false;
}

bool reconcile_wants(const struct master *m, const struct kind *k, unsigned index)
{
    return index < m->wanted[kind_id(k)] && (k->wants == NULL || k->wants(m->conf, index));
}

unsigned reconcile_wanted(const struct master *m, enum kind_id k)
{
    unsigned n = 0;
    for (unsigned i = 0; i < m->wanted[k]; i++)
        n += reconcile_wants(m, &kinds[k], i);
    return n;
}

/* ------------------------------------------------------------------ stages */

/* Every slot of the stages up to `stage` has been up once (or can never be): the next stage may begin. */
static bool stage_stands(struct master *m, unsigned stage)
{
    for (int i = 0; i < KIND_COUNT; i++) {
        if (kinds[i].start_stage > stage)
            continue;
        for (unsigned n = 0; n < m->wanted[i]; n++) {
            const struct slot *s = find_index(m, &kinds[i], n);
            if (!reconcile_wants(m, &kinds[i], n))
                continue;
            if (s == NULL || (!s->ever_ready && s->state != SLOT_FAIL))
                return false;
        }
    }
    return true;
}

static void advance_start(struct master *m)
{
    while (m->stage < STAGES && stage_stands(m, m->stage))
        m->stage++;
    if (m->stage < STAGES)
        return;
    m->phase = MASTER_RUNNING;
    log_info("running", "boot_ms=%llu", (unsigned long long)(clock_mono_ms() - m->started_ms));
    health_changed(m);
}

static bool kind_is_gone(struct master *m, unsigned stage)
{
    const struct slot *s;
    list_foreach(s, &m->slots, struct slot,
                 link) if (s->kind->stop_stage <= stage && s->state != SLOT_IDLE) return false;
    return true;
}

static void advance_stop(struct master *m)
{
    while (m->stage < STAGES && kind_is_gone(m, m->stage))
        m->stage++;
    if (m->stage == STAGES)
        ev_break(m->loop, EVBREAK_ALL);
}

/* ------------------------------------------------------------------ wanting */

/* Its successor may start only when it is gone. */
static bool is_alone(const struct slot *s)
{
    return s->kind->exclusive && !s->hand_over;
}

static bool should_run(const struct slot *s)
{
    const struct master *m = s->master;
    if (m->phase == MASTER_STOPPING)
        return s->kind->stop_stage > m->stage && slot_present(s);
    if (s->retired || !reconcile_wants(m, s->kind, s->index))
        return false;
    if (s->roll && is_alone(s))
        return false;
    return m->phase == MASTER_RUNNING || s->kind->start_stage <= m->stage;
}

static void make_missing(struct master *m)
{
    if (m->phase == MASTER_STOPPING)
        return;
    for (int i = 0; i < KIND_COUNT; i++)
        for (unsigned n = 0; n < m->wanted[i]; n++)
            if (reconcile_wants(m, &kinds[i], n) && find_index(m, &kinds[i], n) == NULL)
                slot_new(m, &kinds[i], n);
}

/* Nothing to hand over: what starts next has the new configuration. */
static void start_anew(struct slot *s)
{
    s->roll = false;
    restart_forget(&s->restart);
    if (s->state == SLOT_FAIL || s->state == SLOT_WAIT || s->state == SLOT_BOOT)
        slot_event(s, SLOT_EV_UNWANT);
}

/* One replacement at a time in the whole host. */
static void advance_roll(struct master *m)
{
    struct slot *s;
    bool busy = false;
    if (m->phase == MASTER_STOPPING)
        return;
    list_foreach(s, &m->slots, struct slot, link)
    {
        bool leaves = is_alone(s) && (s->state == SLOT_UP || s->state == SLOT_DRAIN);
        if (s->roll && s->state != SLOT_UP && !leaves)
            start_anew(s);
        busy = busy || s->replaces != NULL || (s->roll && s->state == SLOT_DRAIN);
    }
    list_foreach(s, &m->slots, struct slot, link)
    {
        if (!s->roll || busy)
            continue;
        if (is_alone(s))
            return; /* should_run() drains it */
        struct slot *next = slot_new(m, s->kind, s->index);
        next->replaces = s;
        next->reload_concerned = s->reload_concerned;
        return;
    }
}

/* A successor that does not come up leaves the old one where it is. */
static void abort_roll(struct slot *next, const char *why)
{
    struct master *m = next->master;
    struct slot *s;
    log_error("replace_failed", "child_kind=%s child_slot=%u why=%s remedy=%s", next->kind->name, next->index,
              log_q(why), log_q("the old process goes on; see the lines above"));
    recycle_failed(next->replaces);
    list_foreach(s, &m->slots, struct slot, link) s->roll = false;
    slot_event(next, SLOT_EV_UNWANT);
    reload_roll_failed(next, why);
}

static void turn_successor(struct slot *s)
{
    struct slot *old = s->replaces;
    if (s->master->phase == MASTER_STOPPING || !reconcile_wants(s->master, s->kind, s->index)) {
        slot_event(s, SLOT_EV_UNWANT);
        if (s->state == SLOT_IDLE)
            slot_free(s);
    } else if (s->state == SLOT_IDLE && old->roll) {
        slot_event(s, SLOT_EV_WANT);
    } else if (s->state == SLOT_IDLE) {
        slot_free(s);
    } else if (s->state == SLOT_UP) {
        HOOK_POINT(successor_ready);
        s->replaces = NULL;
        s->restarts = old->restarts;
        old->roll = false;
        recycle_done(old);
        obituary_inherit(s, old);
        old->retired = true; /* has no place any more: drained below, freed when gone */
        health_changed(s->master);
    } else if (s->state == SLOT_FAIL) {
        abort_roll(s, "it cannot work");
    } else if (s->state == SLOT_WAIT && s->boot_deaths >= RECONCILE_ROLL_TRIES) {
        abort_roll(s, "it dies before it is ready");
    }
}

static void turn(struct master *m)
{
    struct slot *s;
    make_missing(m);
    advance_roll(m);
    list_foreach(s, &m->slots, struct slot, link) if (s->replaces != NULL) turn_successor(s);
    list_foreach(s, &m->slots, struct slot, link)
    {
        if (s->replaces != NULL)
            continue;
        bool run = should_run(s);
        if (run && s->state == SLOT_IDLE)
            slot_event(s, SLOT_EV_WANT);
        else if (!run && s->state != SLOT_IDLE)
            slot_event(s, SLOT_EV_UNWANT);
        bool surplus = s->retired || !reconcile_wants(m, s->kind, s->index);
        if (s->state == SLOT_IDLE && surplus && find_successor(s) == NULL)
            slot_free(s);
    }
}

void reconcile(struct master *m)
{
    unsigned stage;
    reload_turn(m);
    turn_part(&m->turn, "reload");
    do { /* a stage that stands, or is gone, begins the next one at once */
        stage = m->stage;
        if (m->phase == MASTER_STARTING)
            advance_start(m);
        else if (m->phase == MASTER_STOPPING)
            advance_stop(m);
        turn(m);
    } while (stage != m->stage && m->stage < STAGES);
    bool rolling = reconcile_rolling(m);
    if (m->rolling && !rolling) {
        log_info("replaced", "epoch=%u", m->epoch);
    }
    m->rolling = rolling;
}

/* ------------------------------------------------------------------ told by slots */

void reconcile_slot_up(struct slot *s)
{
    reap_assign(s->master);
    if (s->kind->hears_metrics)
        health_tick(s->master); /* not only at the next second */
    else
        health_changed(s->master);
}

void reconcile_slot_gone(struct slot *s)
{
    char who[80];
    snprintf(who, sizeof who, "%s.%u.%u", s->kind->name, s->index, s->generation);
    metrics_forget(s->master->sum, who);
    health_changed(s->master);
    /* Who was to be replaced and died is replaced already: the successor takes the place. */
    struct slot *next = find_successor(s);
    if (next != NULL && s->state != SLOT_IDLE) {
        next->replaces = NULL;
        next->restarts = s->restarts + 1;
        obituary_inherit(next, s);
        s->roll = false;
        s->retired = true;
    }
}

void reconcile_slot_failed(struct slot *s)
{
    struct master *m = s->master;
    int status = s->death.status;
    int code = WIFEXITED(status) ? WEXITSTATUS(status) : EXIT_CODE_FAILURE;
    log_crit("slot_failed", "child_kind=%s child_slot=%u code=%d name=%s msg=%s remedy=%s", s->kind->name,
             s->index, code, exitcode_name(code), log_q(exitcode_sentence(code)),
             log_q("mend what the child's last lines name, then dray reload or restart"));
    health_changed(m);
    if (m->phase == MASTER_STARTING && !s->ever_ready)
        reconcile_stop(m, false, (enum exitcode)code);
}

/* ------------------------------------------------------------------ told by people */

void reconcile_roll_slot(struct slot *s)
{
    s->roll = true;
    s->hand_over = false;
    restart_forget(&s->restart);
}

void reconcile_roll(struct master *m, const struct kind *k)
{
    struct slot *s;
    list_foreach(s, &m->slots, struct slot,
                 link) if (s->replaces == NULL && (k == NULL ? !s->kind->exclusive : s->kind == k))
        reconcile_roll_slot(s);
    for (int i = 0; i < KIND_COUNT; i++)
        if (k == NULL || k == &kinds[i])
            m->degraded[i] = false;
}

void reconcile_roll_over(struct master *m)
{
    struct slot *s;
    reconcile_roll(m, NULL);
    list_foreach(s, &m->slots, struct slot, link)
    {
        if (!s->kind->exclusive || s->replaces != NULL || !slot_present(s))
            continue;
        if (conf_program_slot_is_redis(m->conf, s->index)) /* its keepers adopt the server from each other */
            s->roll = s->hand_over = true;
    }
}

void reconcile_stop(struct master *m, bool now, enum exitcode code)
{
    struct slot *s;
    if (m->phase != MASTER_STOPPING) {
        m->phase = MASTER_STOPPING;
        m->stage = 0;
        m->exit_code = code;
        m->stop_deadline_ms = clock_mono_ms() + m->conf->master.drain_ms;
        log_info("stopping", "now=%s deadline_ms=%llu", now ? "yes" : "no",
                 (unsigned long long)m->conf->master.drain_ms);
        health_changed(m);
        sd_extend(m, m->conf->master.drain_ms + 2 * m->conf->master.health_kill_grace_ms);
    }
    if (!now)
        return;
    m->stop_deadline_ms = clock_mono_ms();
    m->stage = STAGES - 1; /* all at once */
    list_foreach(s, &m->slots, struct slot, link)
    {
        struct msg stop = {.type = MSG_STOP, .generation = s->generation};
        /* An exclusive kind keeps something that must not be left alone: it is drained, with the shortest deadline. */
        if (s->chan != NULL && !s->kind->exclusive)
            (void)chan_send(s->chan, &stop, NULL, 0);
        slot_hurry(s);
    }
}
