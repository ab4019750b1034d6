/* health - see health.h. */
#include "master/health.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/version.h"
#include "master/logsink.h"
#include "master/reconcile.h"
#include "master/reload.h"
#include "master/sd.h"
#include "master/slot.h"
#include "master/state.h"

#define JSON_MAX (32u << 10)

static unsigned count_up(const struct master *m, enum kind_id k)
{
    const struct slot *s;
    unsigned n = 0;
    list_foreach(s, &m->slots, struct slot, link) n += kind_id(s->kind) == k && s->state == SLOT_UP;
    return n;
}

static bool redis_connected(const struct master *m)
{
    return metrics_value(m->sum, METRIC_REDIS_CONNECTED, "", NULL) > 0;
}

static bool needs_redis(const struct master *m)
{
    return m->conf->ingest.ack != CONF_ACK_MEMORY && m->conf->redis.mode != CONF_REDIS_NONE;
}

/* The program that this slot is for, if it tells of itself. */
static const struct conf_program *program_of(const struct slot *s)
{
    bool is_kept = kind_id(s->kind) == KIND_PROGRAM && s->replaces == NULL && !s->retired;
    return is_kept ? conf_program_of_slot(s->master->conf, s->index) : NULL;
}

/* Every required program is ready; one that is not, or dies often, makes the host degraded. */
static bool programs_ready(const struct master *m, bool *degraded)
{
    const struct slot *s;
    bool ready = true;
    list_foreach(s, &m->slots, struct slot, link)
    {
        const struct conf_program *it = program_of(s);
        if (it == NULL)
            continue;
        ready = ready && (!it->required || s->program.ready);
        *degraded = *degraded || s->program.degraded || !s->program.ready;
    }
    return ready;
}

struct health health_verdict(const struct master *m)
{
    bool some_each = true, all = true, degraded = false;
    for (int i = 0; i < KIND_COUNT; i++) {
        unsigned up = count_up(m, (enum kind_id)i), wanted = reconcile_wanted(m, (enum kind_id)i);
        some_each = some_each && (wanted == 0 || up > 0 || i == KIND_CONSOLE);
        all = all && up >= wanted;
        degraded = degraded || m->degraded[i];
    }
    if (m->phase == MASTER_STOPPING)
        return (struct health){false, "stopping"};
    if (m->phase == MASTER_STARTING)
        return (struct health){false, "starting"};
    bool programs = programs_ready(m, &degraded);
    bool ready = some_each && programs && (!needs_redis(m) || redis_connected(m));
    return (struct health){ready, ready && all && !degraded ? "ok" : "degraded"};
}

void health_write_json(const struct master *m, struct buf *out)
{
    struct health h = health_verdict(m);
    (void)buf_printf(out, "{\"ready\":%s,\"state\":\"%s\",\"version\":\"%s\",\"uptime_ms\":%llu,\"checks\":[",
                     h.ready ? "true" : "false", h.state, version_text(),
                     (unsigned long long)(clock_mono_ms() - m->started_ms));
    for (int i = 0; i < KIND_COUNT; i++) {
        unsigned up = count_up(m, (enum kind_id)i), wanted = reconcile_wanted(m, (enum kind_id)i);
        if (wanted == 0)
            continue;
        (void)buf_printf(out, "{\"name\":\"%s\",\"ok\":%s,\"text\":\"%u of %u up%s\"},", kinds[i].name,
                         up > 0 ? "true" : "false", up, wanted, m->degraded[i] ? ", dying often" : "");
    }
    if (m->conf->redis.mode == CONF_REDIS_NONE) {
        (void)buf_puts(out,
                       "{\"name\":\"redis\",\"ok\":true,\"text\":\"none: nothing is kept but in memory\"}]}");
        return;
    }
    (void)buf_printf(out, "{\"name\":\"redis\",\"ok\":%s,\"text\":\"%s\"}]}",
                     redis_connected(m) ? "true" : "false",
                     redis_connected(m) ? "connected" : "no delivery process has a connection");
}

void health_each_alarm(const struct master *m, void (*fn)(const char *text, void *arg), void *arg)
{
    const struct slot *s;
    char text[160];
    if (m->phase != MASTER_RUNNING)
        return;
    for (int i = 0; i < KIND_COUNT; i++) {
        unsigned up = count_up(m, (enum kind_id)i), wanted = reconcile_wanted(m, (enum kind_id)i);
        if (up >= wanted && !m->degraded[i])
            continue;
        snprintf(text, sizeof text, "%s: %u of %u up%s", kinds[i].name, up, wanted,
                 m->degraded[i] ? ", dying often" : "");
        fn(text, arg);
    }
    list_foreach(s, &m->slots, struct slot, link)
    {
        const struct conf_program *it = program_of(s);
        if (it != NULL && s->state == SLOT_UP && (!s->program.ready || s->program.degraded)) {
            snprintf(text, sizeof text, "program %.63s: %s%s", it->id, s->program.state,
                     s->program.degraded ? ", dying often" : "");
            fn(text, arg);
        }
        if (s->state != SLOT_FAIL)
            continue;
        snprintf(text, sizeof text, "%s.%u cannot work: see the log, then dray reload or restart",
                 s->kind->name, s->index);
        fn(text, arg);
    }
    uint64_t ms;
    int error = logsink_trouble(m->sink, &ms);
    if (error != 0) {
        snprintf(text, sizeof text, "log: cannot be written since %llu s: %s",
                 (unsigned long long)(ms / 1000), strerror(error));
        fn(text, arg);
    }
    if (m->conf->redis.mode != CONF_REDIS_NONE && !redis_connected(m))
        fn("redis: no delivery process has a connection; see event=redis_down or redis_unfit in the log",
           arg);
}

static void tell(struct master *m)
{
    struct buf b;
    struct slot *s;
    buf_init(&b, JSON_MAX);
    health_write_json(m, &b);
    list_foreach(s, &m->slots, struct slot, link)
    {
        if (!s->kind->hears_health || s->state != SLOT_UP)
            continue;
        struct msg msg = {.type = MSG_HEALTH, .generation = s->generation};
        msg.u.health.ready = health_verdict(m).ready;
        msg.u.health.json = b.data;
        msg.u.health.json_len = (uint32_t)b.len;
        (void)chan_send(s->chan, &msg, NULL, 0);
    }
    buf_fini(&b);
}

void health_changed(struct master *m)
{
    const char *told = m->health_told != NULL ? m->health_told : "";
    struct health h = health_verdict(m);
    tell(m);
    if (strcmp(told, h.state) == 0)
        return;
    if (m->phase == MASTER_RUNNING && (strcmp(told, "starting") == 0 || told[0] == '\0'))
        sd_notify_text("READY=1");
    else if (m->phase == MASTER_STOPPING)
        sd_notify_text("STOPPING=1");
    sd_status(m);
    if (m->phase == MASTER_RUNNING)
        log_info("health", "state=%s ready=%s", h.state, h.ready ? "yes" : "no");
    m->health_told = h.state;
}

/* ------------------------------------------------------------------ metrics */

double health_resident_bytes(pid_t pid)
{
    char path[64];
    unsigned long pages = 0;
    snprintf(path, sizeof path, "/proc/%d/statm", (int)pid);
    FILE *f = fopen(path, "re");
    if (f == NULL)
        return 0;
    if (fscanf(f, "%*u %lu", &pages) != 1)
        pages = 0;
    fclose(f);
    return (double)pages * (double)sysconf(_SC_PAGESIZE);
}

static void own_metrics(struct master *m)
{
    double resident[KIND_COUNT] = {0};
    unsigned states[KIND_COUNT][SLOT_STATES] = {{0}};
    const struct slot *s;
    list_foreach(s, &m->slots, struct slot, link)
    {
        states[kind_id(s->kind)][s->state]++;
        if (s->pid != 0)
            resident[kind_id(s->kind)] += health_resident_bytes(s->pid);
    }
    for (int k = 0; k < KIND_COUNT; k++) {
        if (m->wanted[k] == 0)
            continue;
        for (int st = 0; st < SLOT_STATES; st++)
            metric_set(metrics_series(m->own, METRIC_WORKERS, kinds[k].name,
                                      slot_state_name((enum slot_state)st), NULL),
                       states[k][st]);
        metric_set(metrics_series(m->own, METRIC_RESIDENT_BYTES, kinds[k].name, NULL), resident[k]);
    }
    double up = (double)(clock_mono_ms() - m->started_ms) / 1e3;
    metric_set(metrics_series(m->own, METRIC_UP_SECONDS, "master", NULL), up);
    metric_set(metrics_series(m->own, METRIC_BUILD_INFO, version_text(), NULL), 1);
    metric_set(metrics_series(m->own, METRIC_RESIDENT_BYTES, "master", NULL),
               health_resident_bytes(getpid()));
    metric_set(metrics_series(m->own, METRIC_CPU_SECONDS, "master", NULL), (double)clock_cpu_us() / 1e6);
    metric_set(metrics_series(m->own, METRIC_TURN_WORST, "start", NULL), (double)m->turn.worst_us / 1e6);
    metric_set(metrics_series(m->own, METRIC_TURN_WORST, "minute", NULL),
               (double)turn_minute_us(&m->turn) / 1e6);
    reload_metrics(m);
    struct metric *lost = metrics_series(m->own, METRIC_LOG_DROPPED, NULL);
    metric_add(lost, logsink_dropped(m->sink) - metric_count(lost));
}

void health_push(struct slot *s)
{
    const struct buf *b = &s->metrics;
    uint32_t parts = (uint32_t)((b->len + MSG_PART_MAX - 1) / MSG_PART_MAX);
    while (s->metrics_part < parts && chan_pending(s->chan) < CHAN_OUT_MAX / 2) {
        struct msg msg = {.type = MSG_METRICS, .generation = s->generation};
        size_t at = (size_t)s->metrics_part * MSG_PART_MAX, left = b->len - at;
        msg.u.metrics = (struct msg_part){.part = s->metrics_part++,
                                          .parts = parts,
                                          .bytes = b->data + at,
                                          .len = (uint32_t)(left < MSG_PART_MAX ? left : MSG_PART_MAX)};
        if (chan_send(s->chan, &msg, NULL, 0) < 0)
            s->metrics_part = parts;
    }
    if (s->metrics_part == parts) {
        buf_reset(&s->metrics);
        s->metrics_part = 0;
    }
}

/* One snapshot at a time: while parts of the last one wait, this one is left out. */
static void send_metrics(struct slot *s, const struct buf *all)
{
    if (s->metrics.len > 0 || buf_append(&s->metrics, all->data, all->len) < 0)
        return;
    health_push(s);
}

void health_tick(struct master *m)
{
    struct buf own, all;
    struct slot *s;
    own_metrics(m);
    buf_init(&own, (size_t)MSG_PART_MAX * MSG_PARTS_MAX);
    buf_init(&all, (size_t)MSG_PART_MAX * MSG_PARTS_MAX);
    if (metrics_encode(m->own, &own) < 0 || metrics_merge(m->sum, "master", 1, own.data, own.len) < 0 ||
        metrics_encode(m->sum, &all) < 0) {
        log_warn("metrics_not_merged", "");
    } else {
        list_foreach(s, &m->slots, struct slot, link) if (s->kind->hears_metrics && s->state == SLOT_UP)
            send_metrics(s, &all);
    }
    buf_fini(&own);
    buf_fini(&all);
    health_changed(m);
}
