/* reload - see reload.h; reload_int.h says what stands where. */
#include "master/reload_int.h"

#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "common/base/clock.h"
#include "common/base/exitcode.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "master/concern.h"
#include "master/loglevel.h"
#include "master/reconcile.h"
#include "master/sd.h"
#include "master/slot.h"
#include "master/upgrade.h"

void reload_adopt(struct master *m)
{
    struct reload *r = m->reload = xcalloc(1, sizeof *r);
    r->m = m;
    r->before.fd = -1;
    r->success_wall_ms = clock_wall_ms();
    list_init(&r->waits);
}

int reload_start(struct master *m)
{
    struct sealed s = reload_force_get(m);
    reload_adopt(m);
    if (reload_force_seal(m->conf, &s) < 0)
        return -1;
    s.epoch = ++m->last_epoch;
    reload_force_set(m, &s);
    return 0;
}

/* ------------------------------------------------------------------ beginning */

static void mark(struct slot *s)
{
    reconcile_roll_slot(s);
}

/* Must this process be replaced to have what is new? */
static bool is_concerned(const struct reload *r, const struct slot *s)
{
    return s->reload_concerned || (r->plan.whole & CONCERN_BIT(kind_id(s->kind))) != 0;
}

static bool is_down(const struct slot *s)
{
    return s->state == SLOT_FAIL || s->state == SLOT_WAIT;
}

/* What is to be replaced; and whoever failed or waits tries anew at once: what was wrong may have been mended. */
static void begin_slots(struct reload *r)
{
    struct master *m = r->m;
    struct slot *s;
    list_foreach(s, &m->slots, struct slot, link)
    {
        bool down = is_down(s);
        s->reload_excused = down || s->boot_deaths > 0 || m->phase == MASTER_STARTING;
        s->boot_deaths = 0;
        s->reload_concerned = s->kind->same != NULL && r->before.conf != NULL &&
                              !s->kind->same(r->before.conf, m->conf, s->index);
        if (!s->retired && s->replaces == NULL && (down || is_concerned(r, s)))
            mark(s);
    }
    for (int i = 0; i < KIND_COUNT; i++)
        m->degraded[i] = false;
}

static void tell(struct slot *s)
{
    const struct master *m = s->master;
    struct msg msg = {.type = MSG_RELOAD, .generation = s->generation};
    msg.u.reload.epoch = m->epoch;
    msg.u.reload.length = m->conf_len;
    memcpy(msg.u.reload.sha256, m->conf_sha256, sizeof msg.u.reload.sha256);
    s->told_epoch = m->epoch;
    s->told_ms = clock_mono_ms();
    if (chan_send(s->chan, &msg, &m->conf_fd, 1) < 0)
        mark(s);
}

/* A program may have files of its own that it reads at its reload_signal. */
static void touch(struct master *m)
{
    struct slot *s;
    list_foreach(s, &m->slots, struct slot,
                 link) if (s->kind->same != NULL && s->state == SLOT_UP && !s->roll) tell(s);
}

static void begin(struct reload *r)
{
    struct master *m = r->m;
    struct buf errors;
    struct reload_wait *w;
    buf_init(&errors, RELOAD_ERRORS_MAX);
    r->m->reload_pending = false;
    list_foreach(w, &r->waits, struct reload_wait, link) w->served = true;
    if (m->phase == MASTER_RUNNING)
        sd_notify_text("RELOADING=1\nMONOTONIC_USEC=%llu", (unsigned long long)clock_mono_us());
    enum exitcode code = reload_plan_read(m, &r->plan, &errors);
    if (code == EXIT_CODE_OK && !reload_plan_is_empty(&r->plan))
        code = reload_force_plan(r, &errors);
    if (code != EXIT_CODE_OK) {
        reload_tell_refused(r, code, &errors);
        buf_fini(&errors);
        return;
    }
    buf_fini(&errors);
    reload_tell_restart_keys(r);
    loglevel_reset(m, "reload");
    begin_slots(r);
    if (r->plan.conf == NULL) {
        r->phase = RELOAD_UNDER_WAY;
        reload_tell_begin(r);
        return;
    }
    touch(m);
    log_info("reload_unchanged", "epoch=%u msg=%s", m->epoch,
             log_q("nothing has changed, nothing is replaced"));
    reload_tell_result(r, RELOAD_UNCHANGED, 0, NULL);
}

/* ------------------------------------------------------------------ going on */

/* Who is up with another configuration is told of the one in force, or replaced. */
static void bring(struct reload *r)
{
    struct master *m = r->m;
    uint64_t now = clock_mono_ms();
    struct slot *s;
    list_foreach(s, &m->slots, struct slot, link)
    {
        if (s->state != SLOT_UP || s->roll || s->retired || s->replaces != NULL ||
            (s->epoch == m->epoch && s->told_epoch == 0))
            continue;
        if (is_concerned(r, s) && s->epoch != m->epoch) {
            mark(s); /* it was starting when this began */
        } else if (s->told_epoch != m->epoch) {
            tell(s);
        } else if (now - s->told_ms > m->conf->master.health_hang_ms) {
            log_warn("reload_no_answer", "child_kind=%s child_slot=%u child_gen=%u ms=%llu msg=%s",
                     s->kind->name, s->index, s->generation, (unsigned long long)(now - s->told_ms),
                     log_q("it is replaced"));
            mark(s);
        }
    }
}

void reload_answered(struct slot *s, const struct msg_reloaded *a)
{
    if (a->epoch != s->told_epoch) /* it was told of another one since */
        return;
    s->told_epoch = 0;
    if (a->ok) {
        s->epoch = a->epoch;
        return;
    }
    log_warn("reload_refused_by_child", "child_kind=%s child_slot=%u child_gen=%u why=%s msg=%s",
             s->kind->name, s->index, s->generation, log_q(a->text), log_q("it is replaced"));
    mark(s);
}

/* Nothing is left to be done for this slot. */
static bool is_settled(const struct slot *s)
{
    const struct master *m = s->master;
    if (s->retired || !reconcile_wants(m, s->kind, s->index))
        return true;
    if (s->roll || s->replaces != NULL)
        return false;
    if (s->state == SLOT_UP)
        return s->epoch == m->epoch && s->told_epoch == 0;
    if (m->phase == MASTER_STARTING && s->kind->start_stage > m->stage)
        return true;
    return s->reload_excused && is_down(s);
}

static bool all_settled(const struct master *m)
{
    unsigned n[KIND_COUNT] = {0};
    const struct slot *s;
    list_foreach(s, &m->slots, struct slot, link)
    {
        if (!is_settled(s))
            return false;
        n[kind_id(s->kind)] += !s->retired && s->replaces == NULL;
    }
    for (int i = 0; i < KIND_COUNT; i++)
        if (n[i] < reconcile_wanted(m, (enum kind_id)i) && m->phase == MASTER_RUNNING)
            return false;
    return true;
}

/* A process that does not come up with what is in force now. */
static struct slot *find_failed(const struct master *m)
{
    struct slot *s;
    list_foreach(s, &m->slots, struct slot, link)
    {
        bool dies = s->state == SLOT_WAIT && s->boot_deaths >= RECONCILE_ROLL_TRIES;
        bool counts = !s->retired && s->replaces == NULL && !s->roll && reconcile_wants(m, s->kind, s->index);
        if (counts && !s->reload_excused && (dies || s->state == SLOT_FAIL))
            return s;
    }
    return NULL;
}

/* ------------------------------------------------------------------ going back */

static void forget_rolls(struct master *m)
{
    struct slot *s;
    list_foreach(s, &m->slots, struct slot, link) s->roll = false;
}

static void go_back(struct reload *r)
{
    struct master *m = r->m;
    struct slot *s;
    reload_force_back(r);
    forget_rolls(m);
    list_foreach(s, &m->slots, struct slot, link)
    {
        bool has_new = s->epoch != m->epoch && is_concerned(r, s);
        s->boot_deaths = 0;
        if (!s->retired && s->replaces == NULL && (is_down(s) || (s->state != SLOT_DRAIN && has_new)))
            mark(s);
    }
    r->phase = RELOAD_GOING_BACK;
    log_warn(
        "reload_goes_back", "epoch=%u msg=%s", m->epoch,
        log_q("the configuration before it is in force again; who has the new one is told, or replaced"));
}

static void fail(struct reload *r, const struct slot *s, const char *why)
{
    struct master *m = r->m;
    int status = s->death.status;
    bool ended = s->death.at_ms != 0 && WIFEXITED(status), back = r->phase == RELOAD_UNDER_WAY;
    if (back) {
        r->code = ended && WEXITSTATUS(status) != 0 ? WEXITSTATUS(status) : EXIT_CODE_FAILURE;
        r->error = xasprintf("%s.%u does not come up with it: %s%s%s; generation %u goes on", s->kind->name,
                             s->index, why, ended ? ": " : "",
                             ended ? exitcode_sentence(WEXITSTATUS(status)) : "", r->before.epoch);
        log_error("reload_failed", "epoch=%u child_kind=%s child_slot=%u why=%s", m->epoch, s->kind->name,
                  s->index, log_q(r->error));
        go_back(r);
        return;
    }
    log_crit("reload_not_undone", "epoch=%u child_kind=%s child_slot=%u why=%s remedy=%s", m->epoch,
             s->kind->name, s->index, log_q(why),
             log_q("see the child's last lines; dray status tells who has which generation"));
    forget_rolls(m);
    char *error = xasprintf("%s; nor does %s.%u with that one, so dray status tells who has which", r->error,
                            s->kind->name, s->index);
    reload_tell_result(r, RELOAD_FAILED, r->code, error);
    free(error);
}

void reload_roll_failed(struct slot *successor, const char *why)
{
    struct reload *r = successor->master->reload;
    if (r->phase != RELOAD_AT_REST)
        fail(r, successor, why);
}

/* ------------------------------------------------------------------ a turn */

/* A start whose processes die. */
static bool start_is_stuck(const struct master *m)
{
    const struct slot *s;
    list_foreach(s, &m->slots, struct slot,
                 link) if (s->state == SLOT_WAIT && s->boot_deaths > 0) return true;
    return false;
}

bool reload_may_be_asked(const struct master *m)
{
    return m->phase != MASTER_STOPPING && m->upgrade->phase != UPGRADE_PREFLIGHT &&
           m->upgrade->phase != UPGRADE_QUIET;
}

static bool may_begin(const struct master *m)
{
    if (reconcile_rolling(m) || !reload_may_be_asked(m))
        return false;
    return m->phase == MASTER_RUNNING || (m->phase == MASTER_STARTING && start_is_stuck(m));
}

static void go_on(struct reload *r)
{
    struct master *m = r->m;
    const struct slot *failed = find_failed(m);
    if (failed != NULL) {
        fail(r, failed, failed->state == SLOT_FAIL ? "it cannot work" : "it dies before it is ready");
        return;
    }
    bring(r);
    if (!all_settled(m))
        return;
    if (r->phase == RELOAD_UNDER_WAY) {
        reload_force_drop(m, &r->before);
        log_info("reload_done", "epoch=%u", m->epoch);
        reload_tell_result(r, RELOAD_DONE, 0, NULL);
    } else {
        log_warn("reload_undone", "epoch=%u", m->epoch);
        char *error = xstrdup(r->error);
        reload_tell_result(r, RELOAD_FAILED, r->code, error);
        free(error);
    }
}

void reload_turn(struct master *m)
{
    struct reload *r = m->reload;
    if (m->phase == MASTER_STOPPING) {
        reload_tell_stopping(r);
        return;
    }
    if (r->phase != RELOAD_AT_REST)
        go_on(r);
    if (r->phase == RELOAD_AT_REST && r->m->reload_pending && may_begin(m))
        begin(r);
}

bool reload_is_under_way(const struct master *m)
{
    return m->reload->phase != RELOAD_AT_REST || m->reload_pending;
}

/* ------------------------------------------------------------------ asking */

void reload_ask(struct master *m)
{
    struct reload *r = m->reload;
    if (r->phase != RELOAD_AT_REST || !may_begin(m))
        log_info("reload_deferred", "msg=%s", log_q("it follows when the processes that start now are up"));
    r->m->reload_pending = true;
}

struct reload_wait *reload_ask_and_wait(struct master *m, reload_done_fn done, void *arg)
{
    struct reload_wait *w = xcalloc(1, sizeof *w);
    w->done = done;
    w->arg = arg;
    list_push_back(&m->reload->waits, &w->link);
    reload_ask(m);
    return w;
}

void reload_cancel(struct reload_wait *w)
{
    if (w == NULL)
        return;
    list_remove(&w->link);
    free(w);
}

void reload_end(struct master *m)
{
    struct reload *r = m->reload;
    if (r == NULL)
        return;
    reload_tell_stopping(r);
    reload_force_drop(m, &r->before);
    reload_plan_fini(&r->plan);
    json_decref(r->last);
    free(r->error);
    free(r);
    m->reload = NULL;
}
