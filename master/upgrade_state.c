/* upgrade_state - TABLES of what outlives an upgrade, and the writer. The reader is upgrade_read.c.
 *
 * A new member of struct slot or struct master that must outlive an upgrade is one row here. Numbers are never given
 * another meaning under the same name.
 */
#include "master/upgrade_state.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"
#include "common/base/version.h"
#include "master/control_sock.h"
#include "master/flush.h"
#include "master/listen.h"
#include "master/logmux.h"
#include "master/logsink.h"
#include "master/pause.h"
#include "master/upgrade_field.h"

#define METRICS_MAX (16u << 20)

/* table: state of the master */
static const struct upgrade_field master_rows[] = {
    UPGRADE_FIELD(master, U64, run),
    UPGRADE_FIELD(master, TEXT, node),
    UPGRADE_FIELD(master, UINT, epoch),
    UPGRADE_FIELD(master, UINT, last_epoch),
    UPGRADE_FIELD(master, U64, started_ms),
    UPGRADE_FIELD(master, U64, conf_len),
    UPGRADE_FIELD(master, UINT, last_generation),
    UPGRADE_FIELD(master, UINT, stage),
    UPGRADE_FIELD(master, BOOL, reload_pending),
    UPGRADE_FIELD(master, UINT, last_flush),
    UPGRADE_FIELD(master, WORD, health_told),
    UPGRADE_FIELD(master, UINT, loop_lag_worst_ms),
    UPGRADE_FIELD(master, BOOL, lock_lost),
};
static const struct upgrade_field upgrade_rows[] = {
    UPGRADE_FIELD(upgrade, U64, began_ms),   UPGRADE_FIELD(upgrade, UINT, count),
    UPGRADE_FIELD(upgrade, UINT, failed),    UPGRADE_FIELD(upgrade, U64, took_ms),
    UPGRADE_FIELD(upgrade, U64, adopted_ms), UPGRADE_FIELD(upgrade, UINT, generation),
    UPGRADE_FIELD(upgrade, TEXT, from),      UPGRADE_FIELD(upgrade, TEXT, to),
    UPGRADE_FIELD(upgrade, TEXT, result),    UPGRADE_FIELD(upgrade, BOOL, pending),
};
static const struct upgrade_field slot_rows[] = {
    UPGRADE_FIELD(slot, UINT, index),       UPGRADE_FIELD(slot, UINT, generation),
    UPGRADE_FIELD(slot, INT, pid),          UPGRADE_FIELD(slot, U64, spawned_ms),
    UPGRADE_FIELD(slot, U64, ready_ms),     UPGRADE_FIELD(slot, UINT, extend_ms),
    UPGRADE_FIELD(slot, BOOL, signalled),   UPGRADE_FIELD(slot, WORD, kill_reason),
    UPGRADE_FIELD(slot, UINT, left),        UPGRADE_FIELD(slot, TEXT, note),
    UPGRADE_FIELD(slot, UINT, stats_parts), UPGRADE_FIELD(slot, BOOL, configured),
    UPGRADE_FIELD(slot, UINTS, linked),     UPGRADE_FIELD(slot, UINT, n_linked),
    UPGRADE_FIELD(slot, U64, restarts),     UPGRADE_FIELD(slot, U64, drain_ms),
    UPGRADE_FIELD(slot, BOOL, roll),        UPGRADE_FIELD(slot, BOOL, ever_ready),
    UPGRADE_FIELD(slot, BOOL, retired),     UPGRADE_FIELD(slot, BOOL, hand_over),
    UPGRADE_FIELD(slot, UINT, epoch),       UPGRADE_FIELD(slot, UINT, boot_deaths),
};
static const struct upgrade_field program_rows[] = {
    UPGRADE_FIELD(msg_program, UINT, pid),      UPGRADE_FIELD(msg_program, U64, started_ms),
    UPGRADE_FIELD(msg_program, U64, restarts),  UPGRADE_FIELD(msg_program, BOOL, ready),
    UPGRADE_FIELD(msg_program, BOOL, degraded), UPGRADE_FIELD(msg_program, TEXT, state),
};
static const struct upgrade_field beat_rows[] = {
    UPGRADE_FIELD(msg_beat, U64, mono_ms),    UPGRADE_FIELD(msg_beat, UINT, loop_lag_ms),
    UPGRADE_FIELD(msg_beat, UINT, in_hand),   UPGRADE_FIELD(msg_beat, U64, dropped_logs),
    UPGRADE_FIELD(msg_beat, UINT, n_clients), UPGRADE_FIELD(msg_beat, U64S, clients),
    UPGRADE_FIELD(msg_beat, U64, jobs),
};
static const struct upgrade_field death_rows[] = {
    UPGRADE_FIELD(slot_death, U64, at_ms),
    UPGRADE_FIELD(slot_death, INT, status),
    UPGRADE_FIELD(slot_death, WORD, reason),
};
static const struct upgrade_field restart_rows[] = {
    UPGRADE_FIELD(restart, UINT, early),
    UPGRADE_FIELD(restart, U64S, proven_at),
    UPGRADE_FIELD(restart, UINT, proven_n),
    UPGRADE_FIELD(restart, UINT, proven_next),
};
static const struct upgrade_field reap_rows[] = {
    UPGRADE_FIELD(reap_job, TEXT, reap.token),     UPGRADE_FIELD(reap_job, BOOL, reap.prefix),
    UPGRADE_FIELD(reap_job, UINT, reap.n_clients), UPGRADE_FIELD(reap_job, U64S, reap.clients),
    UPGRADE_FIELD(reap_job, UINT, assigned),
};
static const struct upgrade_field error_rows[] = {
    UPGRADE_FIELD(logerrors_line, U64, mono_ms), UPGRADE_FIELD(logerrors_line, UINT, level),
    UPGRADE_FIELD(logerrors_line, TEXT, kind),   UPGRADE_FIELD(logerrors_line, UINT, slot),
    UPGRADE_FIELD(logerrors_line, TEXT, event),  UPGRADE_FIELD(logerrors_line, TEXT, text),
};
static const struct upgrade_field level_rows[] = {
    UPGRADE_FIELD(loglevel_rule, TEXT, kind),
    UPGRADE_FIELD(loglevel_rule, INT, slot),
    UPGRADE_FIELD(loglevel_rule, UINT, level),
    UPGRADE_FIELD(loglevel_rule, U64, until_ms),
};

#define TABLE(rows)                                                                                          \
    {                                                                                                        \
        rows, sizeof(rows) / sizeof *(rows)                                                                  \
    }

const struct upgrade_table *upgrade_state_table(enum upgrade_table_id id)
{
    static const struct upgrade_table tables[UPGRADE_TABLES] = {
        [UPGRADE_TABLE_MASTER] = TABLE(master_rows),   [UPGRADE_TABLE_UPGRADE] = TABLE(upgrade_rows),
        [UPGRADE_TABLE_SLOT] = TABLE(slot_rows),       [UPGRADE_TABLE_PROGRAM] = TABLE(program_rows),
        [UPGRADE_TABLE_BEAT] = TABLE(beat_rows),       [UPGRADE_TABLE_DEATH] = TABLE(death_rows),
        [UPGRADE_TABLE_RESTART] = TABLE(restart_rows), [UPGRADE_TABLE_REAP] = TABLE(reap_rows),
        [UPGRADE_TABLE_ERROR] = TABLE(error_rows),     [UPGRADE_TABLE_LEVEL] = TABLE(level_rows),
    };
    return &tables[id];
}

/* ------------------------------------------------------------------ writing */

struct writer {
    const struct master *m;
    struct upgrade_fds *fds;
    bool failed; /* no memory, or too many descriptors */
};

static json_t *plain(enum upgrade_table_id id, const void *base)
{
    json_t *o = json_object();
    upgrade_field_write(o, base, upgrade_state_table(id)->rows, upgrade_state_table(id)->n);
    return o;
}

static json_t *descriptor(struct writer *w, int fd)
{
    if (w->fds != NULL && fd >= 0) {
        if (w->fds->n < UPGRADE_FDS_MAX)
            w->fds->fds[w->fds->n++] = fd;
        else
            w->failed = true;
    }
    return json_integer(fd);
}

static json_t *chan_json(struct writer *w, const struct chan *c)
{
    struct chan_rest r;
    json_t *o = json_object(), *attached = json_array();
    chan_rest_init(&r);
    if (chan_save(c, &r) < 0)
        w->failed = true;
    json_object_set_new(o, "fd", descriptor(w, chan_fd(c)));
    json_object_set_new(o, "in", upgrade_field_hex(r.in.data, r.in.len));
    json_object_set_new(o, "out", upgrade_field_hex(r.out.data, r.out.len));
    for (unsigned i = 0; i < r.n_attached; i++) {
        json_t *fds = json_array();
        for (unsigned k = 0; k < r.attached[i].n; k++)
            json_array_append_new(fds, descriptor(w, r.attached[i].fds[k]));
        json_array_append_new(attached,
                              json_pack("{s:I,s:o}", "at", (json_int_t)r.attached[i].at, "fds", fds));
    }
    json_object_set_new(o, "attached", attached);
    chan_rest_fini(&r);
    return o;
}

static json_t *log_json(struct writer *w, const struct logmux *l)
{
    const char *half;
    size_t len;
    bool continued;
    int fd = logmux_save(l, &half, &len, &continued);
    json_t *number = descriptor(w, fd);
    return json_pack("{s:o,s:o,s:b}", "fd", number, "half", upgrade_field_hex(half, len), "continued",
                     continued);
}

static uint32_t position(const struct master *m, const struct slot *wanted)
{
    const struct slot *s;
    uint32_t n = 0;
    if (wanted == NULL)
        return 0;
    list_foreach(s, &m->slots, struct slot, link)
    {
        n++;
        if (s == wanted)
            return n;
    }
    return 0;
}

static json_t *slot_json(struct writer *w, const struct slot *s)
{
    json_t *o = plain(UPGRADE_TABLE_SLOT, s);
    json_object_set_new(o, "kind", json_string(s->kind->name));
    json_object_set_new(o, "state", json_string(slot_state_name(s->state)));
    json_object_set_new(o, "program", plain(UPGRADE_TABLE_PROGRAM, &s->program));
    json_object_set_new(o, "beat", plain(UPGRADE_TABLE_BEAT, &s->beat));
    json_object_set_new(o, "death", plain(UPGRADE_TABLE_DEATH, &s->death));
    json_t *history = json_array();
    for (unsigned i = s->deaths.n > DEATHS_KEPT ? s->deaths.n - DEATHS_KEPT : 0; i < s->deaths.n; i++)
        json_array_append_new(history, plain(UPGRADE_TABLE_DEATH, &s->deaths.ring[i % DEATHS_KEPT]));
    json_object_set_new(o, "history", history);
    json_object_set_new(o, "restart", plain(UPGRADE_TABLE_RESTART, &s->restart));
    json_object_set_new(o, "stats", upgrade_field_hex(s->stats.data, s->stats.len));
    json_object_set_new(o, "replaces", json_integer(position(w->m, s->replaces)));
    if (s->chan != NULL)
        json_object_set_new(o, "chan", chan_json(w, s->chan));
    if (s->log != NULL)
        json_object_set_new(o, "log", log_json(w, s->log));
    if (s->state == SLOT_WAIT) {
        double left = ev_timer_remaining(w->m->loop, (ev_timer *)(uintptr_t)&s->timer);
        json_object_set_new(o, "wait_ms", json_integer(left > 0 ? (json_int_t)ceil(left * 1e3) : 0));
    }
    return o;
}

static json_t *kind_json(const struct master *m, int k)
{
    const struct restart_window *w = &m->deaths[k];
    json_t *deaths = json_array();
    for (unsigned i = 0; i < w->n; i++) { /* oldest first */
        unsigned at = (w->next + RESTART_WINDOW_MAX + 1 - w->n + i) % (RESTART_WINDOW_MAX + 1);
        json_array_append_new(deaths, json_integer((json_int_t)w->at[at]));
    }
    return json_pack("{s:I,s:b,s:b,s:o}", "wanted", (json_int_t)m->wanted[k], "by_hand", m->scale.by_hand[k],
                     "degraded", m->degraded[k], "deaths", deaths);
}

static json_t *sockets_json(struct writer *w)
{
    static const char *const uses[] = {"none", "ingest", "console"};
    json_t *list = json_array();
    int fd;
    enum kind_listen use;
    const char *path;
    char address[160];
    size_t of_use[3] = {0};
    for (size_t i = 0; listen_save(w->m->listen, i, &fd, &use, &path); i++) {
        json_t *o = json_object();
        json_object_set_new(o, "fd", descriptor(w, fd));
        json_object_set_new(o, "use", json_string(uses[use]));
        json_object_set_new(
            o, "address",
            upgrade_field_text(listen_address(w->m->listen, use, of_use[use]++, address, sizeof address)));
        json_object_set_new(o, "unix_path", upgrade_field_text(path));
        json_array_append_new(list, o);
    }
    return list;
}

static json_t *client_json(struct writer *w, const struct control_sock_client *c)
{
    json_t *o = json_object();
    json_object_set_new(o, "fd", descriptor(w, c->fd));
    json_object_set_new(o, "in", upgrade_field_hex(c->in, c->in_len));
    json_object_set_new(o, "out", upgrade_field_hex(c->out, c->out_len));
    json_object_set_new(o, "waits", json_boolean(c->waits_upgrade));
    if (c->flush != NULL) {
        const uint32_t *generations;
        size_t n;
        json_t *list = json_array();
        json_object_set_new(o, "flush", json_integer(flush_save(c->flush, &generations, &n)));
        for (size_t i = 0; i < n; i++)
            json_array_append_new(list, json_integer(generations[i]));
        json_object_set_new(o, "generations", list);
    }
    return o;
}

static json_t *control_json(struct writer *w)
{
    json_t *clients = json_array();
    struct control_sock_client c;
    uint64_t dev, ino;
    int fd = control_sock_fd(w->m->control_sock, &dev, &ino);
    for (size_t i = 0; control_sock_save(w->m->control_sock, i, &c); i++)
        json_array_append_new(clients, client_json(w, &c));
    json_t *number = descriptor(w, fd);
    return json_pack("{s:o,s:I,s:I,s:o}", "fd", number, "dev", (json_int_t)dev, "ino", (json_int_t)ino,
                     "clients", clients);
}

static void add_line(const struct logform_line *line, void *list)
{
    char *tail = xstrndup(line->tail, line->len);
    json_array_append_new(list,
                          json_pack("{s:I,s:i,s:s,s:i,s:I,s:i,s:o}", "wall_ms", (json_int_t)line->wall_ms,
                                    "level", (int)line->level, "kind", line->origin.kind, "slot",
                                    (int)line->origin.slot, "generation", (json_int_t)line->origin.generation,
                                    "pid", (int)line->origin.pid, "tail", upgrade_field_text(tail)));
    free(tail);
}

static void add_error(const struct logerrors_line *line, void *list)
{
    json_array_insert_new(list, 0, plain(UPGRADE_TABLE_ERROR, line)); /* they come newest first */
}

static json_t *log_all_json(struct writer *w)
{
    json_t *lines = json_array(), *errors = json_array(), *levels = json_array();
    struct loglevel_rule rule;
    logsink_each(w->m->sink, add_line, lines);
    logerrors_each(logsink_errors(w->m->sink), add_error, errors);
    for (size_t i = 0; loglevel_save(w->m, i, &rule); i++)
        json_array_append_new(levels, plain(UPGRADE_TABLE_LEVEL, &rule));
    return json_pack("{s:I,s:o,s:o,s:o}", "dropped", (json_int_t)logsink_dropped(w->m->sink), "lines", lines,
                     "errors", errors, "levels", levels);
}

static json_t *metrics_json(struct writer *w, const struct metrics *metrics)
{
    struct buf b;
    buf_init(&b, METRICS_MAX);
    if (metrics_carry_out(metrics, &b) < 0)
        w->failed = true;
    json_t *o = upgrade_field_hex(b.data, b.len);
    buf_fini(&b);
    return o;
}

static json_t *options_json(const struct master_options *o)
{
    json_t *list = json_array(), *all = json_object();
    for (size_t i = 0; i < o->n_overrides; i++) {
        json_t *one = json_object();
        json_object_set_new(one, "text", upgrade_field_text(o->overrides[i].text));
        json_object_set_new(one, "origin", upgrade_field_text(o->overrides[i].origin));
        json_array_append_new(list, one);
    }
    json_object_set_new(all, "config_path", upgrade_field_text(o->config_path));
    json_object_set_new(all, "overrides", list);
    return all;
}

static void add_name(const char *name, void *list)
{
    json_array_append_new(list, upgrade_field_text(name));
}

static void add_lists(struct writer *w, json_t *o)
{
    const struct master *m = w->m;
    json_t *kind_list = json_object(), *slots = json_array(), *orphans = json_array(), *paused = json_array();
    const struct slot *s;
    const struct reap_job *j;
    for (int k = 0; k < KIND_COUNT; k++)
        json_object_set_new(kind_list, kinds[k].name, kind_json(m, k));
    list_foreach(s, &m->slots, const struct slot, link) json_array_append_new(slots, slot_json(w, s));
    list_foreach(j, &m->orphans, const struct reap_job, link)
        json_array_append_new(orphans, plain(UPGRADE_TABLE_REAP, j));
    pause_each(m, add_name, paused);
    json_object_set_new(o, "kinds", kind_list);
    json_object_set_new(o, "slots", slots);
    json_object_set_new(o, "orphans", orphans);
    json_object_set_new(o, "paused", paused);
}

static int append(const char *data, size_t len, void *out)
{
    return buf_append(out, data, len);
}

int upgrade_state_write(const struct master *m, struct buf *out, struct upgrade_fds *fds)
{
    struct writer w = {.m = m, .fds = fds};
    json_t *o = json_object(), *upgrade = plain(UPGRADE_TABLE_UPGRADE, m->upgrade);
    json_object_set_new(o, "form", json_integer(UPGRADE_FORM));
    json_object_set_new(o, "form_min", json_integer(UPGRADE_FORM_MIN));
    json_object_set_new(o, "version", json_string(version_text()));
    json_object_set_new(o, "master", plain(UPGRADE_TABLE_MASTER, m));
    json_object_set_new(upgrade, "path", upgrade_field_text(m->upgrade->path));
    json_object_set_new(o, "upgrade", upgrade);
    json_object_set_new(o, "options", options_json(m->options));
    json_object_set_new(o, "conf_fd", descriptor(&w, m->conf_fd));
    json_object_set_new(o, "conf_sha256", upgrade_field_hex(m->conf_sha256, sizeof m->conf_sha256));
    json_object_set_new(o, "lock_fd", descriptor(&w, m->lock_fd));
    add_lists(&w, o);
    json_object_set_new(o, "sockets", sockets_json(&w));
    json_object_set_new(o, "control", control_json(&w));
    json_object_set_new(o, "log", log_all_json(&w));
    json_object_set_new(o, "sum", metrics_json(&w, m->sum));
    json_object_set_new(o, "own", metrics_json(&w, m->own));
    int rc = json_dump_callback(o, append, out, JSON_COMPACT);
    json_decref(o);
    if (rc == 0 && !w.failed)
        return 0;
    errno = EMSGSIZE;
    return -1;
}
