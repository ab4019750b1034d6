/* scale - see scale.h. */
#include "master/scale.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/hook.h"
#include "common/base/log.h"
#include "master/health.h"
#include "master/reconcile.h"
#include "master/slot.h"
#include "master/state.h"

#define BUSY_WEIGHT 0.2 /* of the latest second, in the smoothed share */

/* ------------------------------------------------------------------ the configuration */

static unsigned within(unsigned n, unsigned least, unsigned most)
{
    return n < least ? least : n > most ? most : n;
}

static bool autoscales(const struct master *m, const struct kind *k)
{
    return kind_id(k) == KIND_DELIVERY && m->conf->master.autoscale_max > 0 &&
           !m->scale.by_hand[KIND_DELIVERY];
}

static struct autoscale_limits limits(const struct master *m)
{
    const struct conf_master *c = &m->conf->master;
    return (struct autoscale_limits){.min = (unsigned)c->autoscale_min,
                                     .max = (unsigned)c->autoscale_max,
                                     .target_ms = c->autoscale_target_wait_ms};
}

/* As the configuration says; where autoscale is on, within its bounds. */
static unsigned from_conf(const struct master *m, const struct kind *k)
{
    struct autoscale_limits l = limits(m);
    unsigned n = m->scale.configured[kind_id(k)];
    return autoscales(m, k) ? within(n, l.min, l.max) : n;
}

static void look_at_cpus(struct master *m)
{
    cpus_look(hook_root(""), &m->scale.cpus);
    for (int i = 0; i < KIND_COUNT; i++)
        m->scale.configured[i] = kinds[i].count(m->conf, m->scale.cpus.usable);
    if (m->conf->master.processes_delivery == CONF_AUTO)
        log_info("auto", "child_kind=delivery n=%u why=%s", m->scale.configured[KIND_DELIVERY],
                 log_q(m->scale.cpus.why));
}

void scale_start(struct master *m)
{
    look_at_cpus(m);
    autoscale_forget(&m->scale.autoscale, "");
    for (int i = 0; i < KIND_COUNT; i++)
        m->wanted[i] = from_conf(m, &kinds[i]);
}

static void on_difference(const struct conf_change *c, void *arg)
{
    static const char section[] = "master.processes.";
    bool *by_hand = arg;
    const char *path = c->path;
    if (strncmp(path, section, sizeof section - 1) != 0)
        return;
    for (int i = 0; i < KIND_COUNT; i++)
        if (strcmp(path + sizeof section - 1, kinds[i].name) == 0)
            by_hand[i] = false;
}

void scale_reload(struct master *m, const struct conf *old)
{
    struct scale *s = &m->scale;
    unsigned before[KIND_COUNT];
    bool same_scaling = old->master.autoscale_min == m->conf->master.autoscale_min &&
                        old->master.autoscale_max == m->conf->master.autoscale_max;
    memcpy(before, s->configured, sizeof before);
    conf_diff(old, m->conf, on_difference, s->by_hand);
    look_at_cpus(m);
    for (int i = 0; i < KIND_COUNT; i++) {
        if (s->by_hand[i])
            continue;
        /* What autoscale has found stays too, where nothing that it stands on has changed. */
        if (autoscales(m, &kinds[i]) && same_scaling && before[i] == s->configured[i])
            continue;
        m->wanted[i] = from_conf(m, &kinds[i]);
    }
}

/* ------------------------------------------------------------------ by hand */

unsigned scale_least(const struct kind *k)
{
    return k->sends || k->receives ? 1 : 0;
}

unsigned scale_most(const struct kind *k)
{
    return k->exclusive ? 0 : k->max;
}

int scale_set(struct master *m, const struct kind *k, unsigned n)
{
    if (k->exclusive || n < scale_least(k) || n > scale_most(k)) {
        errno = ERANGE;
        return -1;
    }
    log_info("scale", "child_kind=%s n=%u before=%u by=hand", k->name, n, m->wanted[kind_id(k)]);
    m->wanted[kind_id(k)] = n;
    m->scale.by_hand[kind_id(k)] = true;
    if (kind_id(k) == KIND_DELIVERY)
        autoscale_forget(&m->scale.autoscale, "");
    return 0;
}

int scale_step(struct master *m, const struct kind *k, int by)
{
    long n = (long)m->wanted[kind_id(k)] + by;
    if (n >= 0 && n <= (long)scale_most(k))
        return scale_set(m, k, (unsigned)n);
    errno = ERANGE;
    return -1;
}

int scale_auto(struct master *m, const struct kind *k)
{
    enum kind_id i = kind_id(k);
    if (k->exclusive) {
        errno = ERANGE;
        return -1;
    }
    m->scale.by_hand[i] = false;
    /* Autoscale goes on from where it is. */
    unsigned n =
        autoscales(m, k) ? within(m->wanted[i], limits(m).min, limits(m).max) : m->scale.configured[i];
    log_info("scale", "child_kind=%s n=%u before=%u by=%s", k->name, n, m->wanted[i], scale_by(m, k));
    m->wanted[i] = n;
    if (i == KIND_DELIVERY)
        autoscale_forget(&m->scale.autoscale, "");
    return 0;
}

const char *scale_by(const struct master *m, const struct kind *k)
{
    return m->scale.by_hand[kind_id(k)] ? "hand" : autoscales(m, k) ? "autoscale" : "configuration";
}

/* ------------------------------------------------------------------ autoscale */

/* Jobs that one delivery process can have in hand, as far as the destinations let it. */
static double room_of_one(const struct conf *c)
{
    uint64_t all = 0;
    for (size_t i = 0; i < c->n_destinations; i++) {
        if (c->destinations[i].concurrency == 0)
            return (double)c->delivery.concurrency;
        all += c->destinations[i].concurrency;
    }
    return all > 0 && all < c->delivery.concurrency ? (double)all : (double)c->delivery.concurrency;
}

static double share(double n)
{
    return n < 0 ? 0 : n > 1 ? 1 : n;
}

/* How much of their strength the processes use that are up: of their room for jobs, or of a CPU each. */
static double busy_now(const struct master *m, unsigned *up)
{
    const struct slot *s;
    double sum = 0, room = room_of_one(m->conf);
    *up = 0;
    list_foreach(s, &m->slots, struct slot, link)
    {
        if (kind_id(s->kind) != KIND_DELIVERY || s->state != SLOT_UP)
            continue;
        double hand = share(s->beat.in_hand / room), cpu = share(s->usage.cpu_share);
        sum += hand > cpu ? hand : cpu;
        (*up)++;
    }
    return *up > 0 ? sum / *up : 0;
}

struct oldest {
    bool known;
    double seconds;
};

static void visit_age(const char *const labels[METRICS_LABELS_MAX], double value, void *arg)
{
    struct oldest *o = arg;
    (void)labels;
    o->known = true;
    if (value > o->seconds)
        o->seconds = value;
}

static bool on_hold(const struct master *m)
{
    return m->phase != MASTER_RUNNING || reconcile_rolling(m) || m->degraded[KIND_DELIVERY];
}

void scale_tick(struct master *m)
{
    struct scale *s = &m->scale;
    const struct kind *k = &kinds[KIND_DELIVERY];
    struct autoscale_input in = {
        .now_ms = clock_mono_ms(), .wanted = m->wanted[KIND_DELIVERY], .hold = on_hold(m)};
    struct autoscale_limits l = limits(m);
    struct oldest oldest = {0};
    s->busy += BUSY_WEIGHT * (busy_now(m, &in.up) - s->busy);
    if (!autoscales(m, k))
        return;
    metrics_visit(m->sum, METRIC_QUEUE_OLDEST_WAIT, visit_age, &oldest);
    in.age_known = oldest.known && m->conf->redis.mode != CONF_REDIS_NONE &&
                   metrics_value(m->sum, METRIC_REDIS_CONNECTED, k->name, NULL) > 0;
    in.age_ms = in.age_known ? (uint64_t)(oldest.seconds * 1000) : 0;
    in.busy = s->busy;
    unsigned n = autoscale_decide(&s->autoscale, &l, &in);
    if (n == in.wanted)
        return;
    log_info("autoscale", "child_kind=%s n=%u before=%u why=%s", k->name, n, in.wanted,
             log_q(s->autoscale.word));
    m->wanted[KIND_DELIVERY] = n;
}
