/* control_sock - see control_sock.h. */
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
#include "master/control_verb.h"
#include "master/flush.h"
#include "master/reconcile.h"
#include "master/reload.h"
#include "master/slot.h"
#include "master/state.h"
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
static json_t *begin_reload(struct client *c, const json_t *request);

static bool serve_line(struct client *c, size_t len)
{
    struct master *m = c->sock->master;
    enum control_verb_later later;
    json_error_t error;
    json_t *request = json_loadb(c->in.data, len, JSON_REJECT_DUPLICATES, &error);
    json_t *reply = control_verb_answer(m, request, &later);
    if (later == CONTROL_VERB_FLUSH)
        c->flush = flush_start(m, on_flushed, c);
    else if (later == CONTROL_VERB_UPGRADE)
        c->waits_upgrade = true;
    else if (later == CONTROL_VERB_RELOAD)
        reply = begin_reload(c, request);
    json_decref(request);
    return reply == NULL || reply_with(c, reply);
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
    answer_late(c, control_verb_okay());
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
        return control_verb_refuse(EXIT_CODE_TEMP, m->phase == MASTER_STOPPING
                                                       ? "dray is stopping"
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
