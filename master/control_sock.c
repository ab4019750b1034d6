/* control_sock - see control_sock.h. A verb is a row of the table below. */
#include "master/control_sock.h"

#include <errno.h>
#include <ev.h>
#include <jansson.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/addr.h"
#include "common/base/buf.h"
#include "common/base/clock.h"
#include "common/base/fd.h"
#include "common/base/list.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "ipc/chan.h"
#include "master/flush.h"
#include "master/loglevel.h"
#include "master/pause.h"
#include "master/reconcile.h"
#include "master/reload.h"
#include "master/slot.h"
#include "master/state.h"
#include "master/status.h"
#include "master/upgrade_state.h"

#define REQUEST_MAX  CONTROL_SOCK_REQUEST_MAX
#define REPLY_MAX    CONTROL_SOCK_REPLY_MAX
#define CLIENTS_MAX  CONTROL_SOCK_CLIENTS_MAX
#define REST_S       0.1
#define REST_TOLD_MS 10000

struct control_sock {
    struct master *master;
    ev_io acceptor;
    ev_timer rest; /* no descriptor was left to take a client with */
    uint64_t rest_told_ms;
    dev_t dev; /* which file the socket's is */
    ino_t ino;
    struct list clients;
    unsigned n_clients;
    char path[PATH_MAX];
};

struct client {
    struct list link;
    struct control_sock *sock;
    ev_io io;
    struct buf in, out;
    struct flush *flush; /* its question is answered when this is done */
    bool waits_upgrade;  /* ... or when the upgrade at hand has ended */
    struct reload_wait *reload;
};

static json_t *refuse(int code, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static json_t *refuse(int code, const char *fmt, ...)
{
    char text[512];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    return json_pack("{s:b,s:i,s:s}", "ok", 0, "code", code, "error", text);
}

static json_t *okay(void)
{
    return json_pack("{s:b}", "ok", 1);
}

/* ------------------------------------------------------------------ verbs */

static json_t *verb_status(struct master *m, const json_t *request)
{
    (void)request;
    json_t *o = status_json(m);
    json_object_set_new(o, "ok", json_true());
    return o;
}

static const struct kind *named_kind(const json_t *request, json_t **error)
{
    const char *name = json_string_value(json_object_get(request, "kind"));
    const struct kind *k = name != NULL ? kind_find(name) : NULL;
    *error =
        k != NULL
            ? NULL
            : refuse(EXIT_CODE_USAGE,
                     "there is no kind of process named \"%s\"; kinds: ingest, delivery, console, program",
                     name != NULL ? name : "");
    return k;
}

static json_t *verb_scale(struct master *m, const json_t *request)
{
    json_t *error, *n = json_object_get(request, "n"), *by = json_object_get(request, "by");
    const struct kind *k = named_kind(request, &error);
    int done = -1;
    if (k == NULL)
        return error;
    if (m->phase == MASTER_STOPPING)
        return refuse(EXIT_CODE_TEMP, "it is stopping");
    if (json_is_true(json_object_get(request, "auto")))
        done = scale_auto(m, k);
    else if (json_is_integer(by) && json_integer_value(by) >= -1000 && json_integer_value(by) <= 1000)
        done = scale_step(m, k, (int)json_integer_value(by));
    else if (json_is_integer(n) && json_integer_value(n) >= 0 && json_integer_value(n) <= UINT_MAX)
        done = scale_set(m, k, (unsigned)json_integer_value(n));
    if (done < 0 && k->exclusive)
        return refuse(EXIT_CODE_USAGE, "%s cannot be scaled", k->name);
    if (done < 0)
        return refuse(EXIT_CODE_USAGE, "%s can have %u to %u processes", k->name, scale_least(k),
                      scale_most(k));
    const struct conf_master *c = &m->conf->master;
    return json_pack("{s:b,s:i,s:I}", "ok", 1, "wanted", (int)m->wanted[kind_id(k)], "wait_ms",
                     (json_int_t)c->health_boot_ms + (json_int_t)c->drain_ms +
                         (json_int_t)c->health_kill_grace_ms);
}

static struct slot *named_program(struct master *m, const char *name)
{
    struct slot *s;
    list_foreach(s, &m->slots, struct slot, link)
    {
        const char *own = kind_id(s->kind) == KIND_PROGRAM ? conf_program_slot_name(m->conf, s->index) : NULL;
        if (own != NULL && strcmp(own, name) == 0)
            return s;
    }
    return NULL;
}

static json_t *verb_restart(struct master *m, const json_t *request)
{
    json_t *error = NULL;
    const struct kind *k = NULL;
    if (json_object_get(request, "kind") != NULL && (k = named_kind(request, &error)) == NULL)
        return error;
    if (m->phase != MASTER_RUNNING)
        return refuse(EXIT_CODE_TEMP, "it is still starting, or stopping: try again later");
    const char *name = json_string_value(json_object_get(request, "name"));
    struct slot *program =
        name != NULL && k != NULL && kind_id(k) == KIND_PROGRAM ? named_program(m, name) : NULL;
    if (name != NULL && program == NULL)
        return refuse(EXIT_CODE_NOT_RUNNING, "there is no program \"%.60s\"", name);
    if (program != NULL)
        reconcile_roll_slot(program);
    else
        reconcile_roll(m, k);
    return okay();
}

static json_t *verb_stop(struct master *m, const json_t *request)
{
    reconcile_stop(m, json_is_true(json_object_get(request, "now")), EXIT_CODE_OK);
    return json_pack("{s:b,s:i,s:I}", "ok", 1, "pid", (int)getpid(), "drain_ms",
                     (json_int_t)m->conf->master.drain_ms);
}

static json_t *verb_dump(struct master *m, const json_t *request)
{
    (void)request;
    status_dump(m);
    return okay();
}

static json_t *verb_pause(struct master *m, const json_t *request)
{
    const char *name = json_string_value(json_object_get(request, "queue"));
    const json_t *paused = json_object_get(request, "paused");
    if (name == NULL || !json_is_boolean(paused))
        return refuse(EXIT_CODE_USAGE, "queue and paused are needed");
    if (pause_set(m, name, json_is_true(paused)) < 0)
        return refuse(EXIT_CODE_USAGE, "there is no destination or takeover named \"%.100s\"", name);
    return okay();
}

static json_t *verb_config(struct master *m, const json_t *request)
{
    (void)request;
    struct buf text;
    json_t *reply = NULL, *conf;
    buf_init(&text, REPLY_MAX);
    if (conf_dump(m->conf, false, &text) == 0 && (conf = json_loadb(text.data, text.len, 0, NULL)) != NULL)
        reply = json_pack("{s:b,s:o}", "ok", 1, "config", conf);
    buf_fini(&text);
    return reply != NULL ? reply : refuse(EXIT_CODE_BUG, "the configuration cannot be written out");
}

/* NULL: it is under way, and the answer comes when it is done. */
static json_t *verb_upgrade(struct master *m, const json_t *request)
{
    char text[UPGRADE_TEXT_MAX];
    enum exitcode code =
        upgrade_now(m, json_string_value(json_object_get(request, "binary")), text, sizeof text);
    if (code != EXIT_CODE_OK)
        return refuse((int)code, "%s", text);
    return json_is_false(json_object_get(request, "wait")) ? okay() : NULL;
}

static const struct {
    const char *name;
    json_t *(*fn)(struct master *m, const json_t *request);
} verbs[] = {
    {"status", verb_status}, {"scale", verb_scale}, {"restart", verb_restart},
    {"stop", verb_stop},     {"dump", verb_dump},   {"level", loglevel_answer},
    {"config", verb_config}, {"pause", verb_pause}, {"upgrade", verb_upgrade},
    {"flush", NULL},  /* answered when every ingest process has sent on what it holds */
    {"reload", NULL}, /* answered when it is in force, or has failed */
};

/* NULL: the answer comes later, by what *later says. */
enum later { LATER_NOT, LATER_FLUSH, LATER_UPGRADE, LATER_RELOAD };

static json_t *begin_reload(struct client *c, const json_t *request);

static json_t *answer(struct client *c, const char *line, size_t len, enum later *later)
{
    json_error_t error;
    struct master *m = c->sock->master;
    json_t *request = json_loadb(line, len, JSON_REJECT_DUPLICATES, &error);
    const char *verb = json_string_value(json_object_get(request, "verb"));
    json_t *reply = NULL;
    if (verb == NULL)
        reply = refuse(EXIT_CODE_USAGE, "send one JSON object a line: {\"verb\":\"status\"}");
    *later = LATER_NOT;
    for (size_t i = 0; verb != NULL && reply == NULL && i < sizeof verbs / sizeof *verbs; i++) {
        if (strcmp(verbs[i].name, verb) != 0)
            continue;
        *later = verbs[i].fn != NULL          ? LATER_UPGRADE
                 : strcmp(verb, "flush") == 0 ? LATER_FLUSH
                                              : LATER_RELOAD;
        if (verbs[i].fn != NULL)
            reply = verbs[i].fn(m, request);
        else if (*later == LATER_RELOAD)
            reply = begin_reload(c, request);
        turn_part(&m->turn, verbs[i].name);
    }
    if (reply == NULL && *later == LATER_NOT)
        reply = refuse(EXIT_CODE_USAGE, "there is no verb \"%.60s\"", verb);
    json_decref(request);
    return reply;
}

/* ------------------------------------------------------------------ clients */

static void client_free(struct client *c)
{
    int fd = c->io.fd;
    ev_io_stop(c->sock->master->loop, &c->io);
    fd_close(&fd);
    flush_cancel(c->flush);
    reload_cancel(c->reload);
    buf_fini(&c->in);
    buf_fini(&c->out);
    list_remove(&c->link);
    c->sock->n_clients--;
    free(c);
}

static void watch(struct client *c)
{
    struct ev_loop *loop = c->sock->master->loop;
    ev_io_stop(loop, &c->io);
    ev_io_set(&c->io, c->io.fd, c->out.len > 0 ? EV_WRITE : EV_READ);
    ev_io_start(loop, &c->io);
}

/* false: the client is gone. */
static bool flush(struct client *c)
{
    while (c->out.len > 0) {
        ssize_t n = send(c->io.fd, c->out.data, c->out.len, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return errno == EAGAIN;
        buf_consume(&c->out, (size_t)n);
    }
    return true;
}

/* false: the client is gone, or its answer does not fit. */
static bool reply_with(struct client *c, json_t *reply)
{
    char *text = json_dumps(reply, JSON_COMPACT);
    json_decref(reply);
    bool fits = text != NULL && buf_puts(&c->out, text) == 0 && buf_appendc(&c->out, '\n') == 0;
    free(text);
    return fits;
}

static void on_flushed(void *arg);

static bool serve_line(struct client *c, size_t len)
{
    struct master *m = c->sock->master;
    enum later later;
    json_t *reply = answer(c, c->in.data, len, &later);
    if (reply != NULL)
        return reply_with(c, reply);
    if (later == LATER_FLUSH)
        c->flush = flush_start(m, on_flushed, c);
    else if (later == LATER_UPGRADE)
        c->waits_upgrade = true;
    return true;
}

static bool serve(struct client *c)
{
    const char *end;
    while (c->flush == NULL && c->reload == NULL && !c->waits_upgrade && c->out.len == 0 && c->in.len > 0 &&
           (end = memchr(c->in.data, '\n', c->in.len)) != NULL) {
        size_t len = (size_t)(end - c->in.data);
        if (!serve_line(c, len))
            return false;
        buf_consume(&c->in, len + 1);
        if (!flush(c))
            return false;
    }
    return true;
}

static void answer_late(struct client *c, json_t *reply)
{
    if (!reply_with(c, reply) || !flush(c) || !serve(c))
        client_free(c);
    else
        watch(c);
}

static void on_flushed(void *arg)
{
    struct client *c = arg;
    c->flush = NULL;
    answer_late(c, okay());
}

static void on_reloaded(json_t *outcome, void *arg)
{
    struct client *c = arg;
    c->reload = NULL;
    answer_late(c, outcome);
}

static json_t *begin_reload(struct client *c, const json_t *request)
{
    struct master *m = c->sock->master;
    if (json_is_true(json_object_get(request, "dry_run")))
        return reload_preview(m);
    if (!reload_may_be_asked(m))
        return refuse(EXIT_CODE_TEMP, m->phase == MASTER_STOPPING ? "dray is stopping"
                                                                  : "an upgrade is under way: ask again");
    if (json_is_false(json_object_get(request, "wait"))) {
        reload_ask(m);
        return json_pack("{s:b,s:s,s:I}", "ok", 1, "result", "asked", "epoch", (json_int_t)m->epoch);
    }
    c->reload = reload_ask_and_wait(m, on_reloaded, c);
    return NULL;
}

static void on_client(struct ev_loop *loop, ev_io *w, int revents)
{
    (void)loop;
    struct client *c = w->data;
    bool alive = (revents & EV_ERROR) == 0;
    if (!alive) {
        client_free(c);
        return;
    }
    if ((revents & EV_WRITE) != 0)
        alive = flush(c);
    if (alive && (revents & EV_READ) != 0) {
        char chunk[4096];
        ssize_t n = recv(w->fd, chunk, sizeof chunk, 0);
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
            return;
        alive = n > 0 && buf_append(&c->in, chunk, (size_t)n) == 0;
    }
    if (!alive || !serve(c))
        client_free(c);
    else
        watch(c);
}

static void on_rested(struct ev_loop *loop, ev_timer *w, int revents)
{
    (void)revents;
    struct control_sock *s = w->data;
    ev_io_start(loop, &s->acceptor);
}

static void rest(struct control_sock *s)
{
    struct ev_loop *loop = s->master->loop;
    if (s->rest_told_ms == 0 || clock_mono_ms() - s->rest_told_ms > REST_TOLD_MS) {
        s->rest_told_ms = clock_mono_ms();
        log_warn("control_waits", "err=%s", log_q(strerror(errno)));
    }
    ev_io_stop(loop, &s->acceptor);
    ev_timer_set(&s->rest, REST_S, 0.);
    ev_timer_start(loop, &s->rest);
}

static struct client *client_new(struct control_sock *s, int fd)
{
    struct client *c = xcalloc(1, sizeof *c);
    c->sock = s;
    buf_init(&c->in, REQUEST_MAX);
    buf_init(&c->out, REPLY_MAX);
    ev_io_init(&c->io, on_client, fd, EV_READ);
    c->io.data = c;
    ev_io_start(s->master->loop, &c->io);
    list_push_back(&s->clients, &c->link);
    s->n_clients++;
    return c;
}

static void on_accept(struct ev_loop *loop, ev_io *w, int revents)
{
    (void)loop;
    struct control_sock *s = w->data;
    if ((revents & EV_ERROR) != 0) { /* it could not be watched */
        rest(s);
        return;
    }
    struct ucred who = {0};
    socklen_t len = sizeof who;
    int fd = accept4(w->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0) {
        if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS)
            rest(s); /* the client stays in the queue of the socket, which stays readable */
        return;
    }
    if (s->n_clients == CLIENTS_MAX || getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &len) < 0 ||
        (who.uid != 0 && who.uid != geteuid())) {
        log_warn("control_refused", "uid=%d clients=%u", (int)who.uid, s->n_clients);
        fd_close(&fd);
        return;
    }
    (void)client_new(s, fd);
}

static struct control_sock *sock_new(struct master *m)
{
    struct control_sock *s = xcalloc(1, sizeof *s);
    s->master = m;
    list_init(&s->clients);
    ev_timer_init(&s->rest, on_rested, 0., 0.);
    s->rest.data = s;
    conf_run_path(m->conf, "control.sock", s->path, sizeof s->path);
    return s;
}

/* Binds the socket and remembers which file it is. */
static int bind_path(struct control_sock *s)
{
    struct addr a;
    struct stat st;
    char text[PATH_MAX + 8];
    snprintf(text, sizeof text, "unix:%s", s->path);
    int fd = addr_parse(text, &a) == 0 ? addr_listen(&a, 16, 0660) : -1;
    if (fd >= 0 && stat(s->path, &st) == 0) {
        s->dev = st.st_dev;
        s->ino = st.st_ino;
    }
    return fd;
}

static void accept_on(struct control_sock *s, int fd)
{
    ev_io_init(&s->acceptor, on_accept, fd, EV_READ);
    s->acceptor.data = s;
    ev_io_start(s->master->loop, &s->acceptor);
}

struct control_sock *control_sock_open(struct master *m)
{
    struct control_sock *s = sock_new(m);
    int fd = bind_path(s);
    if (fd < 0) {
        log_crit("control_sock_failed", "path=%s err=%s remedy=%s", log_q(s->path), log_q(strerror(errno)),
                 log_q("choose a shorter or writable node.run_dir"));
        free(s);
        return NULL;
    }
    accept_on(s, fd);
    return s;
}

static bool is_ours(const struct control_sock *s)
{
    struct stat st;
    return stat(s->path, &st) == 0 && st.st_dev == s->dev && st.st_ino == s->ino;
}

void control_sock_check(struct control_sock *s)
{
    if (is_ours(s))
        return;
    int old = s->acceptor.fd, fd = bind_path(s);
    if (fd < 0) {
        log_warn("control_sock_lost", "path=%s err=%s", log_q(s->path), log_q(strerror(errno)));
        return;
    }
    ev_timer_stop(s->master->loop, &s->rest);
    ev_io_stop(s->master->loop, &s->acceptor);
    fd_close(&old);
    accept_on(s, fd);
    log_warn("control_sock_made_again", "path=%s", log_q(s->path));
}

void control_sock_close(struct control_sock *s)
{
    if (s == NULL)
        return;
    struct client *c;
    list_foreach(c, &s->clients, struct client, link) client_free(c);
    int fd = s->acceptor.fd;
    ev_timer_stop(s->master->loop, &s->rest);
    ev_io_stop(s->master->loop, &s->acceptor);
    fd_close(&fd);
    if (is_ours(s)) /* not one that another master made */
        (void)unlink(s->path);
    free(s);
}

/* ------------------------------------------------------------------ upgrades */

void control_sock_upgraded(struct control_sock *s, json_t *reply)
{
    struct client *c;
    list_foreach(c, &s->clients, struct client, link)
    {
        if (!c->waits_upgrade)
            continue;
        c->waits_upgrade = false;
        if (!reply_with(c, json_incref(reply)) || !flush(c) || !serve(c))
            client_free(c);
        else
            watch(c);
    }
    json_decref(reply);
}

int control_sock_fd(const struct control_sock *s, uint64_t *dev, uint64_t *ino)
{
    *dev = s->dev;
    *ino = s->ino;
    return s->acceptor.fd;
}

struct control_sock *control_sock_restore(struct master *m, int fd, uint64_t dev, uint64_t ino)
{
    struct control_sock *s = sock_new(m);
    s->dev = dev;
    s->ino = ino;
    accept_on(s, fd);
    return s;
}

bool control_sock_save(const struct control_sock *s, size_t i, struct control_sock_client *out)
{
    const struct client *c;
    list_foreach(c, &s->clients, const struct client, link)
    {
        if (i-- > 0)
            continue;
        *out = (struct control_sock_client){.fd = c->io.fd,
                                            .in = c->in.data,
                                            .in_len = c->in.len,
                                            .out = c->out.data,
                                            .out_len = c->out.len,
                                            .flush = c->flush,
                                            .waits_upgrade = c->waits_upgrade};
        return true;
    }
    return false;
}

void control_sock_restore_client(struct control_sock *s, const struct upgrade_client *from)
{
    struct client *c = client_new(s, from->fd);
    if (from->in.len > 0)
        (void)buf_append(&c->in, from->in.data, from->in.len); /* it came from buffers of the same size */
    if (from->out.len > 0)
        (void)buf_append(&c->out, from->out.data, from->out.len);
    c->waits_upgrade = from->waits;
    if (from->flush != 0)
        c->flush =
            flush_restore(s->master, from->flush, from->generations, from->n_generations, on_flushed, c);
    watch(c);
}
