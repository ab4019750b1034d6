/* recycle - see recycle.h. */
#include "master/recycle.h"

#include "common/base/clock.h"
#include "common/base/id.h"
#include "common/base/log.h"
#include "master/slot.h"
#include "master/state.h"

/* ------------------------------------------------------------------ pure */

uint64_t recycle_limit(uint64_t limit, double jitter, double luck, bool only_below)
{
    double share = only_below ? -jitter * luck : jitter * (2 * luck - 1);
    double varied = (double)limit * (1 + share);
    return limit == 0 ? 0 : varied < 1 ? 1 : (uint64_t)varied;
}

static void judge_one(struct recycle_verdict *v, enum recycle_reason reason, uint64_t value, uint64_t limit)
{
    double over = limit > 0 ? (double)value / (double)limit : 0;
    if (limit > 0 && value >= limit && over > v->over)
        *v = (struct recycle_verdict){.reason = reason, .value = value, .limit = limit, .over = over};
}

struct recycle_verdict recycle_judge(const struct recycle_limits *l, const struct recycle_use *u)
{
    struct recycle_verdict v = {0};
    judge_one(&v, RECYCLE_RSS, u->rss_bytes, recycle_limit(l->max_rss_bytes, l->jitter, u->luck, true));
    judge_one(&v, RECYCLE_JOBS, u->jobs, recycle_limit(l->max_jobs, l->jitter, u->luck, false));
    judge_one(&v, RECYCLE_AGE, u->age_ms, recycle_limit(l->max_age_ms, l->jitter, u->luck, false));
    return v;
}

const char *recycle_name(enum recycle_reason r)
{
    static const char *const names[RECYCLE_REASONS] = {"none", "max_jobs", "max_age", "max_rss"};
    return r < RECYCLE_REASONS ? names[r] : "?";
}

/* ------------------------------------------------------------------ in the master */

void recycle_begin(struct slot *s)
{
    s->recycle = (struct recycle){.luck = (double)id_random_below(1u << 20) / (1u << 20)};
}

static struct recycle_verdict judge(const struct slot *s, uint64_t now)
{
    const struct conf_master *c = &s->master->conf->master;
    const struct recycle_limits limits = {.max_jobs = c->recycle_max_jobs,
                                          .max_age_ms = c->recycle_max_age_ms,
                                          .max_rss_bytes = c->recycle_max_rss_bytes,
                                          .jitter = c->recycle_jitter};
    const struct recycle_use use = {.jobs = s->beat.jobs,
                                    .age_ms = now - s->ready_ms,
                                    .rss_bytes = s->usage.rss_bytes,
                                    .luck = s->recycle.luck};
    return recycle_judge(&limits, &use);
}

/* Somebody of the kind is being replaced, or has not come up yet. */
static bool is_busy(struct master *m, const struct kind *k)
{
    const struct slot *s;
    list_foreach(s, &m->slots, struct slot, link)
    {
        if (s->kind != k || s->state == SLOT_FAIL)
            continue;
        if (s->roll || s->replaces != NULL || s->retired || s->state != SLOT_UP)
            return true;
    }
    return false;
}

static struct slot *worst(struct master *m, const struct kind *k, uint64_t now, struct recycle_verdict *v)
{
    struct slot *s, *found = NULL;
    *v = (struct recycle_verdict){0};
    list_foreach(s, &m->slots, struct slot, link)
    {
        if (s->kind != k || s->state != SLOT_UP)
            continue;
        struct recycle_verdict one = judge(s, now);
        if (one.reason == RECYCLE_NONE || one.over <= v->over)
            continue;
        *v = one;
        found = s;
    }
    return found;
}

static void look(struct master *m, const struct kind *k, uint64_t now)
{
    uint64_t *pause = &m->recycle_pauses.until_ms[kind_id(k)];
    struct recycle_verdict v;
    if (k->exclusive || now < *pause || is_busy(m, k))
        return;
    struct slot *s = worst(m, k, now, &v);
    if (s == NULL)
        return;
    bool young = now - s->ready_ms < RECYCLE_YOUNG_MS;
    if (young && v.reason != RECYCLE_RSS)
        return; /* much work in a short time: no faster than this */
    if (young) {
        log_warn("recycle_limit_low", "child_kind=%s child_slot=%u limit=%s value=%llu max=%llu remedy=%s",
                 k->name, s->index, recycle_name(v.reason), (unsigned long long)v.value,
                 (unsigned long long)v.limit,
                 log_q("a process that has only begun is over it already: raise master.recycle"));
        *pause = now + RECYCLE_PAUSE_MS;
        return;
    }
    log_info("recycle",
             "child_kind=%s child_slot=%u child_gen=%u child_pid=%d reason=%s value=%llu limit=%llu", k->name,
             s->index, s->generation, (int)s->pid, recycle_name(v.reason), (unsigned long long)v.value,
             (unsigned long long)v.limit);
    s->recycle.going = v;
    s->roll = true;
}

void recycle_tick(struct master *m)
{
    const struct conf_master *c = &m->conf->master;
    if (m->phase != MASTER_RUNNING ||
        (c->recycle_max_jobs == 0 && c->recycle_max_age_ms == 0 && c->recycle_max_rss_bytes == 0))
        return;
    for (int i = 0; i < KIND_COUNT; i++)
        look(m, &kinds[i], clock_mono_ms());
}

void recycle_done(struct slot *old)
{
    enum recycle_reason r = old->recycle.going.reason;
    if (r == RECYCLE_NONE)
        return;
    metric_add(metrics_series(old->master->own, METRIC_RECYCLES, old->kind->name, recycle_name(r), NULL), 1);
    old->recycle.going.reason = RECYCLE_NONE;
}

void recycle_failed(struct slot *old)
{
    if (old->recycle.going.reason == RECYCLE_NONE)
        return;
    old->recycle.going.reason = RECYCLE_NONE;
    old->master->recycle_pauses.until_ms[kind_id(old->kind)] = clock_mono_ms() + RECYCLE_PAUSE_MS;
}
