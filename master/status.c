/* status - see status.h. Cold path: a JSON library does the writing. */
#include "master/status.h"

#include <string.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/version.h"
#include "master/health.h"
#include "master/listen.h"
#include "master/pause.h"
#include "master/reconcile.h"
#include "master/reload.h"
#include "master/slot.h"
#include "master/state.h"
#include "master/upgrade.h"

static json_t *integer(uint64_t n)
{
    return json_integer((json_int_t)n);
}

/* Milliseconds to the thousandth. */
static json_t *real_ms(uint64_t us)
{
    return json_real((double)us / 1e3);
}

/* What is run by a process of the kind program: its name, and of those in the list programs how it does. */
static void add_program(json_t *o, const struct slot *s, uint64_t now)
{
    const struct msg_program *p = &s->program;
    const char *name =
        kind_id(s->kind) == KIND_PROGRAM ? conf_program_slot_name(s->master->conf, s->index) : NULL;
    if (name == NULL)
        return;
    json_object_set_new(o, "name", json_string(name));
    if (p->state[0] == '\0')
        return;
    json_object_set_new(o, "program",
                        json_pack("{s:I, s:I, s:I, s:b, s:b, s:s}", "pid", (json_int_t)p->pid, "uptime_ms",
                                  (json_int_t)(p->pid != 0 && now > p->started_ms ? now - p->started_ms : 0),
                                  "restarts", (json_int_t)p->restarts, "ready", p->ready, "degraded",
                                  p->degraded, "state", p->state));
}

/* The latest first. */
static json_t *deaths_json(const struct slot *s, uint64_t now)
{
    json_t *list = json_array();
    unsigned kept = s->deaths.n < DEATHS_KEPT ? s->deaths.n : DEATHS_KEPT;
    for (unsigned i = 1; i <= kept; i++) {
        const struct slot_death *d = &s->deaths.ring[(s->deaths.n - i) % DEATHS_KEPT];
        char text[64];
        json_array_append_new(list,
                              json_pack("{s:I,s:s,s:s}", "ms_ago", (json_int_t)(now - d->at_ms), "reason",
                                        d->reason, "exit", obituary_exit_text(d->status, text, sizeof text)));
    }
    return list;
}

static json_t *process_json(const struct slot *s, uint64_t now)
{
    json_t *o = json_object();
    json_object_set_new(o, "kind", json_string(s->kind->name));
    json_object_set_new(o, "slot", integer(s->index));
    add_program(o, s, now);
    json_object_set_new(o, "generation", integer(s->pid != 0 ? s->generation : 0));
    json_object_set_new(o, "pid", integer((uint64_t)s->pid));
    json_object_set_new(o, "state", json_string(slot_state_name(s->state)));
    json_object_set_new(o, "epoch", integer(s->epoch));
    json_object_set_new(o, "uptime_ms", integer(s->pid != 0 ? now - s->spawned_ms : 0));
    json_object_set_new(o, "boot_ms",
                        integer(s->pid != 0 && s->ready_ms != 0 ? s->ready_ms - s->spawned_ms : 0));
    json_object_set_new(o, "restarts", integer(s->restarts));
    json_object_set_new(o, "rss_bytes", integer(s->pid != 0 ? (uint64_t)health_resident_bytes(s->pid) : 0));
    json_object_set_new(o, "cpu_ms",
                        integer(s->pid != 0 ? usage_cpu_ms(s->pid, kind_id(s->kind) == KIND_PROGRAM) : 0));
    json_object_set_new(o, "loop_lag_ms", integer(s->beat.loop_lag_ms));
    json_object_set_new(o, "in_hand", integer(s->beat.in_hand));
    json_object_set_new(o, "doing", json_string(s->note));
    json_object_set_new(o, "jobs", integer(s->beat.jobs));
    json_object_set_new(o, "cpu_share", json_real(s->usage.cpu_share));
    json_object_set_new(o, "deaths", deaths_json(s, now));
    if (s->death.at_ms != 0) {
        json_object_set_new(o, "last_death",
                            json_string(s->death.reason[0] != '\0' ? s->death.reason : "asked"));
        json_object_set_new(o, "last_death_ms_ago", integer(now - s->death.at_ms));
    }
    return o;
}

static json_t *master_json(const struct master *m, uint64_t now)
{
    json_t *o = json_object();
    json_object_set_new(o, "kind", json_string("master"));
    json_object_set_new(o, "slot", integer(0));
    json_object_set_new(o, "generation", integer(m->run));
    json_object_set_new(o, "pid", integer((uint64_t)getpid()));
    json_object_set_new(o, "state",
                        json_string(m->phase == MASTER_STARTING   ? "boot"
                                    : m->phase == MASTER_STOPPING ? "drain"
                                                                  : "up"));
    json_object_set_new(o, "uptime_ms", integer(now - m->started_ms));
    json_object_set_new(o, "restarts", integer(0));
    json_object_set_new(o, "rss_bytes", integer((uint64_t)health_resident_bytes(getpid())));
    json_object_set_new(o, "cpu_ms", integer(clock_cpu_us() / 1000));
    json_object_set_new(o, "loop_lag_ms", integer(m->loop_lag_ms));
    json_object_set_new(o, "loop_lag_worst_ms", integer(m->loop_lag_worst_ms));
    json_object_set_new(o, "loop_turn_worst_ms", real_ms(m->turn.worst_us));
    json_object_set_new(o, "loop_turn_worst_cpu_ms", real_ms(m->turn.worst_cpu_us));
    json_object_set_new(o, "loop_turn_worst_part", json_string(m->turn.worst_part));
    json_object_set_new(o, "loop_turns_stopped", json_integer((json_int_t)m->turn.stopped));
    json_object_set_new(o, "loop_turn_worst_minute_ms", real_ms(turn_minute_us(&m->turn)));
    return o;
}

static json_t *count(const struct master *m, enum metric_id id, const char *a, const char *b)
{
    return integer((uint64_t)metrics_value(m->sum, id, a, b, NULL));
}

static json_t *ingest_json(const struct master *m)
{
    json_t *o = json_object();
    char address[160];
    json_object_set_new(
        o, "address", json_string(listen_address(m->listen, KIND_LISTEN_INGEST, 0, address, sizeof address)));
    json_object_set_new(o, "accepted_events", count(m, METRIC_INGEST_EVENTS, "", "accepted"));
    json_object_set_new(o, "quarantined_events", count(m, METRIC_INGEST_EVENTS, "", "quarantined"));
    json_object_set_new(o, "refused_events", count(m, METRIC_INGEST_EVENTS, "", "refused"));
    json_object_set_new(o, "unrouted_events", count(m, METRIC_INGEST_EVENTS, "", "unrouted"));
    json_object_set_new(o, "requests", count(m, METRIC_INGEST_REQUESTS, "", ""));
    json_object_set_new(o, "bytes", count(m, METRIC_INGEST_BYTES, "", "wire"));
    json_object_set_new(o, "in_flight",
                        integer((uint64_t)metrics_value(m->sum, METRIC_INGEST_IN_FLIGHT, NULL)));
    json_object_set_new(o, "connections",
                        integer((uint64_t)metrics_value(m->sum, METRIC_INGEST_CONNECTIONS, NULL)));
    json_object_set_new(o, "queued_events",
                        integer((uint64_t)metrics_value(m->sum, METRIC_INGEST_QUEUED_EVENTS, NULL)));
    return o;
}

static json_t *routes_json(const struct master *m)
{
    json_t *list = json_array();
    for (size_t i = 0; i < m->conf->n_routes; i++) {
        const struct conf_route *r = &m->conf->routes[i];
        for (char *const *to = r->to; *to != NULL; to++)
            json_array_append_new(list, json_pack("{s:s, s:s, s:o}", "route", r->id, "destination", *to,
                                                  "events", count(m, METRIC_ROUTED_EVENTS, r->id, *to)));
    }
    return list;
}

/* NULL: there is none. */
static json_t *spool_json(const struct master *m)
{
    if (conf_spool_processes(m->conf) == 0)
        return NULL;
    json_t *o = json_object();
    json_object_set_new(o, "batches", integer((uint64_t)metrics_value(m->sum, METRIC_SPOOL_HELD, NULL)));
    json_object_set_new(o, "bytes", integer((uint64_t)metrics_value(m->sum, METRIC_SPOOL_BYTES, NULL)));
    json_object_set_new(o, "fill", json_real(metrics_value(m->sum, METRIC_SPOOL_FILL, NULL)));
    json_object_set_new(o, "oldest_ms",
                        integer((uint64_t)(metrics_value(m->sum, METRIC_SPOOL_OLDEST, NULL) * 1e3)));
    json_object_set_new(o, "taken", count(m, METRIC_SPOOL_BATCHES, "taken", NULL));
    json_object_set_new(o, "forwarded",
                        integer((uint64_t)(metrics_value(m->sum, METRIC_SPOOL_BATCHES, "forwarded", NULL) +
                                           metrics_value(m->sum, METRIC_SPOOL_BATCHES, "duplicate", NULL))));
    json_object_set_new(o, "corrupt_records", count(m, METRIC_SPOOL_CORRUPT, "", NULL));
    return o;
}

static json_t *delivery_json(const struct master *m)
{
    json_t *o = json_object();
    json_object_set_new(o, "delivered_events", count(m, METRIC_DELIVERY_EVENTS, "", NULL));
    json_object_set_new(o, "completed_jobs", count(m, METRIC_QUEUE_FINISHED, "", "completed"));
    json_object_set_new(o, "failed_jobs", count(m, METRIC_QUEUE_FINISHED, "", "failed"));
    json_object_set_new(o, "retried_jobs", count(m, METRIC_QUEUE_FINISHED, "", "delayed"));
    json_object_set_new(o, "in_flight", count(m, METRIC_DELIVERY_IN_FLIGHT, "", NULL));
    return o;
}

/* Gauges of dray_queue_jobs{queue,state} gathered into one object a queue. */
static void visit_queue(const char *const labels[METRICS_LABELS_MAX], double value, void *arg)
{
    json_t *list = arg, *o = NULL;
    size_t i;
    json_array_foreach(list, i,
                       o) if (strcmp(json_string_value(json_object_get(o, "name")), labels[0]) == 0) break;
    if (i == json_array_size(list)) {
        o = json_object();
        json_object_set_new(o, "name", json_string(labels[0]));
        json_array_append_new(list, o);
    }
    json_object_set_new(o, labels[1], json_integer((json_int_t)value));
}

static void begin_queue(json_t *list, const char *name)
{
    static const char *const states[] = {"wait", "active", "delayed", "paused", "completed", "failed"};
    for (size_t i = 0; i < sizeof states / sizeof *states; i++)
        visit_queue((const char *const[]){name, states[i], ""}, 0, list);
}

static json_t *queues_json(const struct master *m)
{
    json_t *list = json_array(), *o;
    size_t i;
    for (i = 0; i < m->conf->n_destinations; i++)
        begin_queue(list, m->conf->destinations[i].id);
    for (i = 0; i < m->conf->n_takeovers; i++)
        begin_queue(list, m->conf->takeovers[i].id);
    metrics_visit(m->sum, METRIC_QUEUE_JOBS, visit_queue, list);
    json_array_foreach(list, i, o)
    {
        const char *name = json_string_value(json_object_get(o, "name"));
        json_object_set_new(o, "paused_here", json_boolean(pause_is(m, name)));
        json_object_set_new(o, "delivered_events", count(m, METRIC_DELIVERY_EVENTS, name, NULL));
        json_object_set_new(
            o, "oldest_ms",
            integer((uint64_t)(metrics_value(m->sum, METRIC_QUEUE_OLDEST, name, "wait", NULL) * 1e3)));
    }
    return list;
}

static json_t *scale_json(const struct master *m)
{
    json_t *list = json_array();
    for (int i = 0; i < KIND_COUNT; i++) {
        unsigned up = 0, failed = 0, present = 0;
        const struct slot *s;
        if (kinds[i].exclusive)
            continue;
        list_foreach(s, &m->slots, struct slot, link)
        {
            if (s->kind != &kinds[i])
                continue;
            present++;
            up += s->state == SLOT_UP && !s->retired && s->replaces == NULL;
            failed += s->state == SLOT_FAIL;
        }
        json_t *o = json_pack("{s:s,s:i,s:i,s:i,s:i,s:i,s:s}", "kind", kinds[i].name, "wanted",
                              (int)m->wanted[i], "configured", (int)m->scale.configured[i], "up", (int)up,
                              "present", (int)present, "failed", (int)failed, "by", scale_by(m, &kinds[i]));
        if (i == KIND_DELIVERY) {
            json_object_set_new(o, "autoscale", json_string(m->scale.autoscale.word));
            json_object_set_new(o, "busy", json_real(m->scale.busy));
            json_object_set_new(o, "cpus", json_string(m->scale.cpus.why));
        }
        json_array_append_new(list, o);
    }
    return list;
}

static void add_alarm(const char *text, void *arg)
{
    json_array_append_new(arg, json_string(text));
}

json_t *status_json(const struct master *m)
{
    uint64_t now = clock_mono_ms();
    struct health h = health_verdict(m);
    json_t *o = json_object(), *processes = json_array();
    const struct slot *s;
    char address[160];
    json_object_set_new(o, "version", json_string(version_text()));
    json_object_set_new(o, "name", json_string(m->conf->node.name));
    json_object_set_new(o, "node", json_string(m->node));
    json_object_set_new(o, "run", integer(m->run));
    json_object_set_new(o, "state", json_string(h.state));
    json_object_set_new(o, "ready", json_boolean(h.ready));
    json_object_set_new(o, "uptime_ms", integer(now - m->started_ms));
    json_object_set_new(o, "epoch", integer(m->epoch));
    json_object_set_new(o, "clock_ms", integer(now)); /* rates: of two answers */
    json_object_set_new(o, "reload", reload_json(m));
    json_object_set_new(o, "rolling", json_boolean(reconcile_rolling(m)));
    json_array_append_new(processes, master_json(m, now));
    list_foreach(s, &m->slots, struct slot, link) json_array_append_new(processes, process_json(s, now));
    json_object_set_new(o, "processes", processes);
    json_object_set_new(o, "scale", scale_json(m));
    json_object_set_new(o, "ingest", ingest_json(m));
    json_object_set_new(o, "routes", routes_json(m));
    json_t *spool = spool_json(m);
    if (spool != NULL)
        json_object_set_new(o, "spool", spool);
    json_object_set_new(o, "delivery", delivery_json(m));
    json_object_set_new(o, "queues", queues_json(m));
    json_object_set_new(o, "upgrade", upgrade_json(m));
    json_t *alarms = json_array();
    health_each_alarm(m, add_alarm, alarms);
    json_object_set_new(o, "alarms", alarms);
    status_add_log(m, o);
    json_object_set_new(
        o, "console",
        json_string(listen_address(m->listen, KIND_LISTEN_CONSOLE, 0, address, sizeof address)));
    return o;
}

void status_dump(const struct master *m)
{
    uint64_t now = clock_mono_ms();
    const struct slot *s;
    log_info("dump_master", "state=%s uptime_ms=%llu run=%llu epoch=%u lag_ms=%u", health_verdict(m).state,
             (unsigned long long)(now - m->started_ms), (unsigned long long)m->run, m->epoch, m->loop_lag_ms);
    list_foreach(s, &m->slots, struct slot, link) log_info(
        "dump_process",
        "child_kind=%s child_slot=%u child_gen=%u child_pid=%d state=%s restarts=%llu in_hand=%u lag_ms=%u doing=%s",
        s->kind->name, s->index, s->generation, (int)s->pid, slot_state_name(s->state),
        (unsigned long long)s->restarts, s->beat.in_hand, s->beat.loop_lag_ms, log_q(s->note));
}
