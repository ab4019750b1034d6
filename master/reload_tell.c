/* reload_tell - see reload_int.h: how a reload went, for those who wait for it, for status, metrics and the log. */
#include "master/reload_int.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "master/reconcile.h"
#include "master/sd.h"
#include "master/slot.h"

static const char *const result_names[RELOAD_RESULTS] = {"done", "unchanged", "refused", "failed"};

static void answer(struct reload *r, json_t *outcome, bool all)
{
    struct reload_wait *w;
    list_foreach(w, &r->waits, struct reload_wait, link)
    {
        if (!all && !w->served)
            continue;
        list_remove(&w->link);
        w->done(json_incref(outcome), w->arg);
        free(w);
    }
}

static json_t *list_or_none(const json_t *list)
{
    return list != NULL ? json_incref((json_t *)(uintptr_t)list) : json_array();
}

/* Processes that are wanted and not up. */
static json_t *down_json(const struct master *m)
{
    json_t *list = json_array();
    const struct slot *s;
    list_foreach(s, &m->slots, struct slot, link)
    {
        char text[64];
        if (s->retired || s->replaces != NULL || s->state == SLOT_UP ||
            !reconcile_wants(m, s->kind, s->index))
            continue;
        snprintf(text, sizeof text, "%s.%u: %s", s->kind->name, s->index, slot_state_name(s->state));
        json_array_append_new(list, json_string(text));
    }
    return list;
}

static json_t *outcome_json(const struct reload *r, enum reload_result result, int code, const char *error)
{
    const struct reload_plan *p = &r->plan;
    json_t *o = json_pack("{s:b, s:s, s:I}", "ok", result <= RELOAD_UNCHANGED, "result", result_names[result],
                          "epoch", (json_int_t)r->m->epoch);
    json_object_set_new(o, "live", list_or_none(p->live));
    json_object_set_new(o, "roll", list_or_none(p->roll));
    json_object_set_new(o, "kinds", reload_plan_kinds(p->kinds));
    json_object_set_new(o, "restart", list_or_none(p->restart));
    json_object_set_new(o, "down", down_json(r->m));
    if (result > RELOAD_UNCHANGED) {
        json_object_set_new(o, "code", json_integer(code));
        json_object_set_new(o, "error", json_string(error));
    }
    return o;
}

void reload_tell_result(struct reload *r, enum reload_result result, int code, const char *error)
{
    json_t *outcome = outcome_json(r, result, code, error);
    r->phase = RELOAD_AT_REST;
    r->count[result]++;
    r->last_ms = clock_mono_ms();
    if (result <= RELOAD_UNCHANGED)
        r->success_wall_ms = clock_wall_ms();
    json_decref(r->last);
    r->last = json_incref(outcome);
    free(r->error);
    r->error = NULL;
    if (r->m->phase == MASTER_RUNNING)
        sd_notify_text("READY=1");
    reload_plan_fini(&r->plan);
    answer(r, outcome, false);
    json_decref(outcome);
}

static void log_lines(enum log_level level, const char *event, struct buf *lines)
{
    char *copy = xstrdup(buf_cstr(lines)), *save = NULL;
    for (char *line = strtok_r(copy, "\n", &save); line != NULL; line = strtok_r(NULL, "\n", &save))
        log_event(level, event, "msg=%s", log_q(line));
    free(copy);
}

void reload_tell_refused(struct reload *r, enum exitcode code, struct buf *errors)
{
    log_lines(LOGL_ERROR, "reload_refused", errors);
    reload_plan_fini(&r->plan);
    reload_tell_result(r, RELOAD_REFUSED, (int)code, buf_cstr(errors));
}

static char *join(const json_t *list)
{
    struct buf b;
    size_t i;
    json_t *item;
    buf_init(&b, RELOAD_ERRORS_MAX);
    json_array_foreach(list, i, item)
    {
        (void)buf_printf(&b, "%s%s", i > 0 ? " " : "", json_string_value(item));
    }
    char *text = xstrdup(buf_cstr(&b));
    buf_fini(&b);
    return text;
}

void reload_tell_begin(const struct reload *r)
{
    json_t *names = reload_plan_kinds(r->plan.kinds);
    char *live = join(r->plan.live), *roll = join(r->plan.roll), *which = join(names);
    log_info("reload", "epoch=%u live=%s roll=%s kinds=%s", r->m->epoch, log_q(live), log_q(roll),
             log_q(which));
    free(live);
    free(roll);
    free(which);
    json_decref(names);
}

void reload_tell_restart_keys(const struct reload *r)
{
    size_t i;
    json_t *key;
    json_array_foreach(r->plan.restart, i, key)
    {
        log_warn("reload_needs_restart", "key=%s remedy=%s", json_string_value(key),
                 log_q("restart dray to change it; the old value stays"));
    }
}

/* The plan is in force from here on: who starts next has it. 0, or the code of what was refused. */
void reload_tell_stopping(struct reload *r)
{
    if (r->m->reload_pending)
        log_warn("reload_refused", "msg=%s", log_q("it is stopping"));
    r->m->reload_pending = false;
    if (list_empty(&r->waits))
        return;
    json_t *o = json_pack("{s:b, s:s, s:I, s:i, s:s}", "ok", 0, "result", "stopping", "epoch",
                          (json_int_t)r->m->epoch, "code", EXIT_CODE_TEMP, "error",
                          "dray is stopping: what was asked for is not in force everywhere");
    answer(r, o, true);
    json_decref(o);
}

json_t *reload_preview(const struct master *m)
{
    struct buf errors;
    enum exitcode code;
    buf_init(&errors, RELOAD_ERRORS_MAX);
    json_t *changes = reload_plan_preview(m, &errors, &code);
    json_t *o = json_pack("{s:b, s:s, s:I, s:o}", "ok", code == EXIT_CODE_OK, "result",
                          code != EXIT_CODE_OK           ? "refused"
                          : json_array_size(changes) > 0 ? "would change"
                                                         : "unchanged",
                          "epoch", (json_int_t)m->epoch, "changes", changes);
    if (code != EXIT_CODE_OK) {
        json_object_set_new(o, "code", json_integer((json_int_t)code));
        json_object_set_new(o, "error", json_string(buf_cstr(&errors)));
    }
    buf_fini(&errors);
    return o;
}

json_t *reload_json(const struct master *m)
{
    const struct reload *r = m->reload;
    json_t *o =
        json_pack("{s:b, s:b}", "under_way", r->phase != RELOAD_AT_REST, "pending", r->m->reload_pending);
    json_t *count = json_object();
    for (int i = 0; i < RELOAD_RESULTS; i++)
        json_object_set_new(count, result_names[i], json_integer((json_int_t)r->count[i]));
    json_object_set_new(o, "count", count);
    if (r->last != NULL) {
        json_t *last = json_copy(r->last);
        json_object_set_new(last, "ms_ago", json_integer((json_int_t)(clock_mono_ms() - r->last_ms)));
        json_object_set_new(o, "last", last);
    }
    return o;
}

void reload_metrics(struct master *m)
{
    const struct reload *r = m->reload;
    metric_set(metrics_series(m->own, METRIC_CONFIG_EPOCH, NULL), m->epoch);
    metric_set(metrics_series(m->own, METRIC_CONFIG_RELOADED, NULL), (double)r->success_wall_ms / 1e3);
    for (int i = 0; i < RELOAD_RESULTS; i++) {
        struct metric *n = metrics_series(m->own, METRIC_CONFIG_RELOADS, result_names[i], NULL);
        metric_add(n, r->count[i] - metric_count(n));
    }
}
