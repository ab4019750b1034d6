/* upgrade_read - the reader of upgrade_state.h: a text that another release wrote, or anything else, to inert
 * structures. Nothing in it is trusted: what does not fit is refused whole, with a sentence. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"
#include "common/base/str.h"
#include "ipc/fdpass.h"
#include "master/control_sock.h"
#include "master/upgrade_field.h"
#include "master/upgrade_state.h"

#define INDEX_MAX   4096
#define METRICS_MAX (16u << 20)

struct reader {
    struct upgrade_state *st;
    char *why;
    size_t size;
};

static int bad(struct reader *r, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static int bad(struct reader *r, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(r->why, r->size, fmt, ap);
    va_end(ap);
    return -1;
}

static int plain(struct reader *r, const json_t *o, enum upgrade_table_id id, void *base, const char *of)
{
    const char *name = "";
    const struct upgrade_table *t = upgrade_state_table(id);
    if (o == NULL)
        return 0;
    if (!json_is_object(o) || upgrade_field_read(o, base, t->rows, t->n, &name) < 0)
        return bad(r, "%s.%s is not what it should be", of, name);
    return 0;
}

/* An array of at most max; a missing one is empty. */
static int array(struct reader *r, const json_t *o, const char *name, size_t max, size_t *n)
{
    const json_t *list = json_object_get(o, name);
    *n = json_array_size(list);
    if (list != NULL && (!json_is_array(list) || *n > max))
        return bad(r, "%s is no list, or too long", name);
    return 0;
}

static int number(struct reader *r, const json_t *o, const char *name, json_int_t min, json_int_t max,
                  json_int_t *out)
{
    const json_t *v = json_object_get(o, name);
    if (v == NULL)
        return 0;
    if (!json_is_integer(v) || json_integer_value(v) < min || json_integer_value(v) > max)
        return bad(r, "%s is no number from %lld to %lld", name, (long long)min, (long long)max);
    *out = json_integer_value(v);
    return 0;
}

static int descriptor(struct reader *r, const json_t *o, const char *name, int *fd)
{
    json_int_t n = -1;
    if (number(r, o, name, -1, INT32_MAX, &n) < 0)
        return -1;
    *fd = (int)n;
    return 0;
}

static int generations(struct reader *r, const json_t *list, uint32_t **out, size_t *n)
{
    *n = 0;
    if (json_array_size(list) > UPGRADE_LIST_MAX)
        return bad(r, "generations: too many");
    *out = xcalloc(json_array_size(list) + 1, sizeof **out);
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *v = json_array_get(list, i);
        if (!json_is_integer(v) || json_integer_value(v) < 0 || json_integer_value(v) > UINT32_MAX)
            return bad(r, "generations: no number");
        (*out)[(*n)++] = (uint32_t)json_integer_value(v);
    }
    return 0;
}

/* ------------------------------------------------------------------ slots */

static int read_attached(struct reader *r, const json_t *o, struct chan_rest *rest)
{
    size_t n;
    if (array(r, o, "attached", CHAN_REST_FDS, &n) < 0)
        return -1;
    for (size_t i = 0; i < n; i++) {
        const json_t *a = json_array_get(json_object_get(o, "attached"), i), *fds = json_object_get(a, "fds");
        json_int_t at = 0;
        if (number(r, a, "at", 0, CHAN_OUT_MAX, &at) < 0)
            return -1;
        if (json_array_size(fds) < 1 || json_array_size(fds) > FDPASS_MAX)
            return bad(r, "attached: a message carries 1 or 2 descriptors");
        rest->attached[i].at = (uint64_t)at;
        for (size_t k = 0; k < json_array_size(fds); k++) {
            json_int_t fd = json_integer_value(json_array_get(fds, k));
            if (fd < 3 || fd > INT32_MAX)
                return bad(r, "attached: no descriptor");
            rest->attached[i].fds[rest->attached[i].n++] = (int)fd;
        }
        rest->n_attached++;
    }
    return 0;
}

static int read_chan(struct reader *r, const json_t *o, struct upgrade_slot *us)
{
    if (o == NULL)
        return 0;
    if (descriptor(r, o, "fd", &us->chan_fd) < 0)
        return -1;
    if (us->chan_fd < 3 || upgrade_field_unhex(json_object_get(o, "in"), &us->rest.in) < 0 ||
        upgrade_field_unhex(json_object_get(o, "out"), &us->rest.out) < 0)
        return bad(r, "a channel is not what it should be");
    return read_attached(r, o, &us->rest);
}

static int read_log(struct reader *r, const json_t *o, struct upgrade_slot *us)
{
    struct buf half;
    if (o == NULL)
        return 0;
    if (descriptor(r, o, "fd", &us->log_fd) < 0)
        return -1;
    buf_init(&half, sizeof us->half);
    int rc = us->log_fd < 3 ? -1 : upgrade_field_unhex(json_object_get(o, "half"), &half);
    if (rc == 0 && half.len > 0)
        memcpy(us->half, half.data, half.len);
    us->half_len = half.len;
    us->half_continued = json_is_true(json_object_get(o, "continued"));
    buf_fini(&half);
    return rc < 0 ? bad(r, "a log pipe is not what it should be") : 0;
}

static int find_state(const char *name, enum slot_state *state)
{
    for (int i = 0; name != NULL && i < SLOT_STATES; i++)
        if (strcmp(slot_state_name((enum slot_state)i), name) == 0) {
            *state = (enum slot_state)i;
            return 0;
        }
    return -1;
}

/* Members that only make sense together. */
static int check_slot(struct reader *r, const struct upgrade_slot *us)
{
    const struct slot *s = &us->s;
    bool present =
        s->state == SLOT_BOOT || s->state == SLOT_UP || s->state == SLOT_DRAIN || s->state == SLOT_KILL;
    if (s->index > INDEX_MAX || s->pid < 0 || s->pid == 1 ||
        s->n_linked > sizeof s->linked / sizeof *s->linked || s->beat.n_clients > MSG_CLIENTS_MAX ||
        s->restart.proven_n > RESTART_BURST_MAX || s->restart.proven_next >= RESTART_BURST_MAX)
        return bad(r, "slot %s.%u: a number is out of range", s->kind->name, s->index);
    if (present != (s->pid != 0) || (present && (us->chan_fd < 0 || us->log_fd < 0)) ||
        (s->generation > r->st->m.last_generation))
        return bad(r, "slot %s.%u: its state and its process do not fit", s->kind->name, s->index);
    return 0;
}

/* Absent from a version that kept none. */
static int read_history(struct reader *r, const json_t *list, struct death_history *h)
{
    size_t i;
    json_t *one;
    if (json_array_size(list) > DEATHS_KEPT)
        return bad(r, "history: too many");
    json_array_foreach(list, i, one)
    {
        struct slot_death *d = &h->ring[i];
        if (plain(r, one, UPGRADE_TABLE_DEATH, d, "history") < 0)
            return -1;
        if (d->reason == NULL)
            d->reason = "";
        h->n++;
    }
    return 0;
}

static int read_slot(struct reader *r, const json_t *o, struct upgrade_slot *us)
{
    struct slot *s = &us->s;
    const char *kind = json_string_value(json_object_get(o, "kind"));
    json_int_t wait_ms = 0, replaces = 0;
    us->chan_fd = us->log_fd = -1;
    chan_rest_init(&us->rest);
    buf_init(&s->stats, (size_t)MSG_PART_MAX * MSG_PARTS_MAX);
    if (kind == NULL || (s->kind = kind_find(kind)) == NULL)
        return bad(r, "there is no kind of process \"%.40s\" in this version", kind != NULL ? kind : "");
    if (find_state(json_string_value(json_object_get(o, "state")), &s->state) < 0)
        return bad(r, "a slot is in a state that this version does not know");
    if (plain(r, o, UPGRADE_TABLE_SLOT, s, "slot") < 0 ||
        plain(r, json_object_get(o, "beat"), UPGRADE_TABLE_BEAT, &s->beat, "beat") < 0 ||
        plain(r, json_object_get(o, "program"), UPGRADE_TABLE_PROGRAM, &s->program, "program") < 0 ||
        plain(r, json_object_get(o, "death"), UPGRADE_TABLE_DEATH, &s->death, "death") < 0 ||
        plain(r, json_object_get(o, "restart"), UPGRADE_TABLE_RESTART, &s->restart, "restart") < 0 ||
        number(r, o, "wait_ms", 0, UINT32_MAX, &wait_ms) < 0 ||
        number(r, o, "replaces", 0, UPGRADE_SLOTS_MAX, &replaces) < 0 ||
        read_chan(r, json_object_get(o, "chan"), us) < 0 || read_log(r, json_object_get(o, "log"), us) < 0)
        return -1;
    if (upgrade_field_unhex(json_object_get(o, "stats"), &s->stats) < 0)
        return bad(r, "stats are not what they should be");
    if (s->death.reason == NULL)
        s->death.reason = "";
    if (read_history(r, json_object_get(o, "history"), &s->deaths) < 0)
        return -1;
    us->wait_ms = (uint32_t)wait_ms;
    us->replaces = (uint32_t)replaces;
    return check_slot(r, us);
}

static int read_slots(struct reader *r, const json_t *o)
{
    struct upgrade_state *st = r->st;
    size_t n;
    if (array(r, o, "slots", UPGRADE_SLOTS_MAX, &n) < 0)
        return -1;
    st->slots = xcalloc(n + 1, sizeof *st->slots);
    for (size_t i = 0; i < n; i++) {
        struct upgrade_slot *us = &st->slots[st->n_slots++];
        if (read_slot(r, json_array_get(json_object_get(o, "slots"), i), us) < 0)
            return -1;
        if (us->replaces > n || us->replaces == i + 1)
            return bad(r, "slot %s.%u replaces nobody", us->s.kind->name, us->s.index);
    }
    return 0;
}

/* ------------------------------------------------------------------ the rest */

static int read_kind(struct reader *r, const json_t *o, int k)
{
    struct master *m = &r->st->m;
    const json_t *deaths = json_object_get(o, "deaths");
    json_int_t wanted = 0;
    if (number(r, o, "wanted", 0, INDEX_MAX, &wanted) < 0)
        return -1;
    m->wanted[k] = (unsigned)wanted;
    m->scale.by_hand[k] = json_is_true(json_object_get(o, "by_hand"));
    m->degraded[k] = json_is_true(json_object_get(o, "degraded"));
    if (json_array_size(deaths) > RESTART_WINDOW_MAX + 1)
        return bad(r, "deaths: too many");
    for (size_t i = 0; i < json_array_size(deaths); i++)
        restart_window_add(&m->deaths[k], (uint64_t)json_integer_value(json_array_get(deaths, i)));
    return 0;
}

static int read_kinds(struct reader *r, const json_t *o)
{
    const json_t *list = json_object_get(o, "kinds");
    for (int k = 0; k < KIND_COUNT; k++) {
        const json_t *one = json_object_get(list, kinds[k].name);
        if (one == NULL) /* new in this version: the configuration says */
            r->st->m.wanted[k] = UINT32_MAX;
        else if (read_kind(r, one, k) < 0)
            return -1;
    }
    return 0;
}

static int read_sockets(struct reader *r, const json_t *o)
{
    struct upgrade_state *st = r->st;
    size_t n;
    if (array(r, o, "sockets", UPGRADE_SOCKETS_MAX, &n) < 0)
        return -1;
    st->sockets = xcalloc(n + 1, sizeof *st->sockets);
    for (size_t i = 0; i < n; i++) {
        const json_t *one = json_array_get(json_object_get(o, "sockets"), i);
        const char *use = json_string_value(json_object_get(one, "use"));
        struct upgrade_socket *s = &st->sockets[st->n_sockets++];
        if (descriptor(r, one, "fd", &s->fd) < 0)
            return -1;
        s->unix_path = upgrade_field_untext(json_object_get(one, "unix_path"));
        s->use = use != NULL && strcmp(use, "console") == 0 ? KIND_LISTEN_CONSOLE : KIND_LISTEN_INGEST;
        if (use == NULL || s->fd < 3 || (strcmp(use, "console") != 0 && strcmp(use, "ingest") != 0))
            return bad(r, "a listening socket is not what it should be");
    }
    return 0;
}

static int read_client(struct reader *r, const json_t *o, struct upgrade_client *c)
{
    json_int_t flush = 0;
    c->fd = -1;
    buf_init(&c->in, CONTROL_SOCK_REQUEST_MAX);
    buf_init(&c->out, CONTROL_SOCK_REPLY_MAX);
    if (descriptor(r, o, "fd", &c->fd) < 0 || number(r, o, "flush", 0, UINT32_MAX, &flush) < 0)
        return -1;
    c->flush = (uint32_t)flush;
    c->waits = json_is_true(json_object_get(o, "waits"));
    if (c->fd < 3 || upgrade_field_unhex(json_object_get(o, "in"), &c->in) < 0 ||
        upgrade_field_unhex(json_object_get(o, "out"), &c->out) < 0)
        return bad(r, "a client of the control socket is not what it should be");
    return generations(r, json_object_get(o, "generations"), &c->generations, &c->n_generations);
}

static int read_control(struct reader *r, const json_t *o)
{
    struct upgrade_state *st = r->st;
    size_t n;
    json_int_t dev = 0, ino = 0;
    if (descriptor(r, o, "fd", &st->control_fd) < 0 || number(r, o, "dev", 0, INT64_MAX, &dev) < 0 ||
        number(r, o, "ino", 0, INT64_MAX, &ino) < 0 ||
        array(r, o, "clients", CONTROL_SOCK_CLIENTS_MAX, &n) < 0)
        return -1;
    st->control_dev = (uint64_t)dev;
    st->control_ino = (uint64_t)ino;
    st->clients = xcalloc(n + 1, sizeof *st->clients);
    for (size_t i = 0; i < n; i++)
        if (read_client(r, json_array_get(json_object_get(o, "clients"), i), &st->clients[st->n_clients++]) <
            0)
            return -1;
    return 0;
}

static int read_orphans(struct reader *r, const json_t *o)
{
    struct upgrade_state *st = r->st;
    size_t n;
    if (array(r, o, "orphans", UPGRADE_LIST_MAX, &n) < 0)
        return -1;
    st->orphans = xcalloc(n + 1, sizeof *st->orphans);
    for (size_t i = 0; i < n; i++) {
        struct reap_job *j = &st->orphans[st->n_orphans++];
        if (plain(r, json_array_get(json_object_get(o, "orphans"), i), UPGRADE_TABLE_REAP, j, "orphan") < 0)
            return -1;
        if (j->reap.n_clients > MSG_CLIENTS_MAX)
            return bad(r, "orphan: too many clients");
    }
    return 0;
}

static int read_paused(struct reader *r, const json_t *o)
{
    struct upgrade_state *st = r->st;
    size_t n;
    if (array(r, o, "paused", UPGRADE_LIST_MAX, &n) < 0)
        return -1;
    st->paused = xcalloc(n + 1, sizeof *st->paused);
    for (size_t i = 0; i < n; i++) {
        char *name = upgrade_field_untext(json_array_get(json_object_get(o, "paused"), i));
        if (name == NULL)
            return bad(r, "paused: no name");
        st->paused[st->n_paused++] = name;
    }
    return 0;
}

static int read_options(struct reader *r, const json_t *o)
{
    struct upgrade_state *st = r->st;
    size_t n;
    st->config_path = upgrade_field_untext(json_object_get(o, "config_path"));
    if (array(r, o, "overrides", UPGRADE_LIST_MAX, &n) < 0)
        return -1;
    st->overrides = xcalloc(n + 1, sizeof *st->overrides);
    for (size_t i = 0; i < n; i++) {
        const json_t *one = json_array_get(json_object_get(o, "overrides"), i);
        struct conf_override *v = &st->overrides[st->n_overrides++];
        v->text = upgrade_field_untext(json_object_get(one, "text"));
        v->origin = upgrade_field_untext(json_object_get(one, "origin"));
        if (v->text == NULL || v->origin == NULL)
            return bad(r, "options: a setting of the command line is not what it should be");
    }
    return 0;
}

static int read_line(struct reader *r, const json_t *o, struct logform_line *line)
{
    json_int_t wall_ms = 0, level = LOGL_WARN, slot = 0, generation = 0, pid = 0;
    const char *kind = json_string_value(json_object_get(o, "kind"));
    if (number(r, o, "wall_ms", 0, INT64_MAX, &wall_ms) < 0 ||
        number(r, o, "level", LOGL_CRIT, LOGL_DEBUG, &level) < 0 ||
        number(r, o, "slot", 0, INT32_MAX, &slot) < 0 ||
        number(r, o, "generation", 0, UINT32_MAX, &generation) < 0 ||
        number(r, o, "pid", 0, INT32_MAX, &pid) < 0)
        return -1;
    *line = (struct logform_line){.wall_ms = (uint64_t)wall_ms,
                                  .level = (enum log_level)level,
                                  .origin = {.kind = xstrdup(kind != NULL ? kind : ""),
                                             .slot = (unsigned)slot,
                                             .generation = (uint32_t)generation,
                                             .pid = (pid_t)pid},
                                  .tail = upgrade_field_untext(json_object_get(o, "tail"))};
    line->len = line->tail != NULL ? strlen(line->tail) : 0;
    return line->tail != NULL ? 0 : bad(r, "log: a line is not what it should be");
}

static int read_errors(struct reader *r, const json_t *o)
{
    struct upgrade_state *st = r->st;
    size_t n;
    if (array(r, o, "errors", UPGRADE_LIST_MAX, &n) < 0)
        return -1;
    st->errors = xcalloc(n + 1, sizeof *st->errors);
    for (size_t i = 0; i < n; i++) {
        struct logerrors_line *e = &st->errors[st->n_errors++];
        if (plain(r, json_array_get(json_object_get(o, "errors"), i), UPGRADE_TABLE_ERROR, e, "errors") < 0)
            return -1;
        if (e->level > LOGL_DEBUG)
            return bad(r, "errors: no level");
    }
    return 0;
}

static int read_levels(struct reader *r, const json_t *o)
{
    struct upgrade_state *st = r->st;
    size_t n;
    if (array(r, o, "levels", UPGRADE_LIST_MAX, &n) < 0)
        return -1;
    st->levels = xcalloc(n + 1, sizeof *st->levels);
    for (size_t i = 0; i < n; i++) {
        struct loglevel_rule *l = &st->levels[st->n_levels++];
        if (plain(r, json_array_get(json_object_get(o, "levels"), i), UPGRADE_TABLE_LEVEL, l, "levels") < 0)
            return -1;
        if (l->level > LOGL_DEBUG)
            return bad(r, "levels: no level");
    }
    return 0;
}

static int read_sink(struct reader *r, const json_t *o)
{
    struct upgrade_state *st = r->st;
    json_int_t dropped = 0;
    size_t n;
    if (number(r, o, "dropped", 0, INT64_MAX, &dropped) < 0 ||
        array(r, o, "lines", UPGRADE_LINES_MAX, &n) < 0)
        return -1;
    st->log_dropped = (uint64_t)dropped;
    st->lines = xcalloc(n + 1, sizeof *st->lines);
    for (size_t i = 0; i < n; i++)
        if (read_line(r, json_array_get(json_object_get(o, "lines"), i), &st->lines[st->n_lines++]) < 0)
            return -1;
    return read_errors(r, o) < 0 || read_levels(r, o) < 0 ? -1 : 0;
}

/* Both are decoded to the end, into nothing: an adoption shall not fail for them. */
static int read_metrics(struct reader *r, const json_t *o, const char *name, struct buf *out)
{
    struct metrics *trial = metrics_new();
    int rc = upgrade_field_unhex(json_object_get(o, name), out);
    if (rc == 0 && out->len > 0)
        rc = metrics_carry_in(trial, out->data, out->len);
    metrics_free(trial);
    return rc < 0 ? bad(r, "metrics (%s) are not what they should be", name) : 0;
}

static int read_digest(struct reader *r, const json_t *o)
{
    struct master *m = &r->st->m;
    struct buf digest;
    buf_init(&digest, sizeof m->conf_sha256);
    int rc = upgrade_field_unhex(json_object_get(o, "conf_sha256"), &digest);
    if (rc == 0 && digest.len == sizeof m->conf_sha256)
        memcpy(m->conf_sha256, digest.data, sizeof m->conf_sha256);
    else
        rc = -1;
    buf_fini(&digest);
    return rc < 0 ? bad(r, "conf_sha256 is no digest") : 0;
}

static int read_head(struct reader *r, const json_t *o)
{
    struct upgrade_state *st = r->st;
    json_int_t form = 0, form_min = 0;
    const char *version = json_string_value(json_object_get(o, "version"));
    if (number(r, o, "form", 1, INT32_MAX, &form) < 0 ||
        number(r, o, "form_min", 1, INT32_MAX, &form_min) < 0)
        return -1;
    if (form < 1 || form_min > UPGRADE_FORM)
        return bad(r, "the state is of form %lld, this version reads up to %d", (long long)form,
                   UPGRADE_FORM);
    st->form = (unsigned)form;
    (void)str_copy(st->version, version != NULL ? version : "", sizeof st->version);
    return 0;
}

static int read_all(struct reader *r, const json_t *o)
{
    struct upgrade_state *st = r->st;
    const json_t *upgrade = json_object_get(o, "upgrade");
    if (read_head(r, o) < 0 ||
        plain(r, json_object_get(o, "master"), UPGRADE_TABLE_MASTER, &st->m, "master") < 0 ||
        plain(r, upgrade, UPGRADE_TABLE_UPGRADE, &st->upgrade, "upgrade") < 0 ||
        read_options(r, json_object_get(o, "options")) < 0 || read_digest(r, o) < 0 ||
        descriptor(r, o, "conf_fd", &st->conf_fd) < 0 || descriptor(r, o, "lock_fd", &st->lock_fd) < 0 ||
        read_kinds(r, o) < 0 || read_slots(r, o) < 0 || read_sockets(r, o) < 0 ||
        read_control(r, json_object_get(o, "control")) < 0 || read_orphans(r, o) < 0 ||
        read_paused(r, o) < 0 || read_sink(r, json_object_get(o, "log")) < 0 ||
        read_metrics(r, o, "sum", &st->sum) < 0 || read_metrics(r, o, "own", &st->own) < 0)
        return -1;
    st->upgrade.path = upgrade_field_untext(json_object_get(upgrade, "path"));
    if (strlen(st->m.node) != UUID_SIZE - 1 || st->conf_fd < 3 || st->lock_fd < 3 || st->control_fd < 3 ||
        st->upgrade.path == NULL)
        return bad(r, "something is missing that no master is without");
    return 0;
}

int upgrade_state_read(const char *text, size_t len, struct upgrade_state *out, char *why, size_t size)
{
    struct reader r = {.st = out, .why = why, .size = size};
    json_error_t error;
    memset(out, 0, sizeof *out);
    out->conf_fd = out->lock_fd = out->control_fd = -1;
    buf_init(&out->sum, METRICS_MAX);
    buf_init(&out->own, METRICS_MAX);
    json_t *o = json_loadb(text, len, JSON_REJECT_DUPLICATES, &error);
    int rc = json_is_object(o)
                 ? read_all(&r, o)
                 : bad(&r, "the state is no JSON object (byte %d: %s)", error.position, error.text);
    json_decref(o);
    return rc;
}

void upgrade_state_fini(struct upgrade_state *st)
{
    for (size_t i = 0; i < st->n_slots; i++) {
        chan_rest_fini(&st->slots[i].rest);
        buf_fini(&st->slots[i].s.stats);
    }
    for (size_t i = 0; i < st->n_sockets; i++)
        free(st->sockets[i].unix_path);
    for (size_t i = 0; i < st->n_clients; i++) {
        buf_fini(&st->clients[i].in);
        buf_fini(&st->clients[i].out);
        free(st->clients[i].generations);
    }
    for (size_t i = 0; i < st->n_overrides; i++) {
        free((char *)(uintptr_t)st->overrides[i].text);
        free((char *)(uintptr_t)st->overrides[i].origin);
    }
    for (size_t i = 0; i < st->n_paused; i++)
        free(st->paused[i]);
    for (size_t i = 0; i < st->n_lines; i++) {
        free((char *)(uintptr_t)st->lines[i].origin.kind);
        free((char *)(uintptr_t)st->lines[i].tail);
    }
    free(st->lines);
    free(st->errors);
    free(st->levels);
    free(st->slots);
    free(st->sockets);
    free(st->clients);
    free(st->orphans);
    free(st->paused);
    free(st->overrides);
    free(st->config_path);
    free(st->upgrade.path);
    buf_fini(&st->sum);
    buf_fini(&st->own);
    memset(st, 0, sizeof *st);
}
