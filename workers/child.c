/* child - see child.h. Every kind's entry calls child_main; the pieces are child_boot.c, child_config.c, child_beat.c,
 * child_note.c.
 *
 * The life: check the descriptors, HELLO, CONFIG, start, READY, beats, DRAIN or STOP or EOF, end. The structure and
 * the kind's state are never freed: the process ends with them, and what they point to stays reachable.
 */
#include "workers/child_int.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/base/crash.h"
#include "common/base/evloop.h"
#include "common/base/fd.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/base/sig.h"
#include "common/base/str.h"
#include "common/base/version.h"
#include "ipc/fdmap.h"

#define LAST_WORDS_MS  1000
#define DEADLINE_GRACE 1000 /* ms behind the kind's own deadline until it is cut off */
#define METRICS_MAX    ((size_t)MSG_PART_MAX * MSG_PARTS_MAX)

static struct child *self; /* keeps it reachable to the end */

static void say(struct child *c, const struct msg *m)
{
    if (chan_send(c->chan, m, NULL, 0) < 0 && !c->orphan)
        log_warn("control_send_failed", "type=%s error=%s", msg_name(m->type), log_q(strerror(errno)));
}

/* --- the end --- */

void child_exit(struct child *c, enum exitcode code)
{
    if (c->leaving)
        return;
    c->leaving = true;
    c->code = code;
    ev_break(c->loop, EVBREAK_ALL);
}

void child_drained(struct child *c, unsigned left)
{
    struct msg m = {.type = MSG_DRAINED, .generation = c->generation, .u.drained.left = left};
    if (c->configured && !c->orphan && !c->leaving) {
        child_beat_last(c);
        say(c, &m);
    }
    child_exit(c, c->orphan ? EXIT_CODE_ORPHAN : EXIT_CODE_OK);
}

static void on_deadline(struct ev_loop *loop, ev_timer *w, int revents)
{
    (void)loop, (void)revents;
    struct child *c = w->data;
    log_error("drain_deadline_passed", "orphan=%d", c->orphan);
    child_exit(c, c->orphan ? EXIT_CODE_ORPHAN : EXIT_CODE_TEMP);
}

/* watch: no master sees to the deadline, so this process does. */
static void drain(struct child *c, uint32_t deadline_ms, const char *reason, bool watch)
{
    if (watch) {
        ev_timer_stop(c->loop, &c->deadline);
        ev_timer_set(&c->deadline, (deadline_ms + DEADLINE_GRACE) / 1e3, 0);
        ev_timer_start(c->loop, &c->deadline);
    }
    if (c->draining)
        return;
    c->draining = true;
    if (!c->started || c->kind->drain == NULL) {
        child_drained(c, 0);
        return;
    }
    log_info("child_draining", "deadline_ms=%u reason=%s", deadline_ms, log_q(reason));
    c->kind->drain(c, deadline_ms, reason, c->state);
}

static void on_term(struct ev_loop *loop, ev_async *w, int revents)
{
    (void)loop, (void)revents;
    struct child *c = w->data;
    log_info("signal", "name=SIGTERM from_pid=%d", (int)c->term_pid);
    drain(c, c->drain_ms, CHILD_DRAIN_TERM, true);
}

static void tell_held(void *arg)
{
    struct child *c = arg;
    c->kind->held(c->state);
}

/* --- messages: each returns EXIT_CODE_OK, or the code to end with --- */

static enum exitcode start(struct child *c)
{
    enum exitcode code = EXIT_CODE_BUG;
    c->state = xcalloc(1, c->kind->state_size);
    c->metrics = metrics_new();
    c->started = true;
    if (c->kind->held != NULL)
        crash_on_report(tell_held, c);
    enum exitcode files = sandbox_enter_files(c->kind->sandbox, c->conf);
    if (files != EXIT_CODE_OK)
        return files;
    if (c->kind->start(c, c->state, &code) < 0)
        return code;
    return sandbox_enter_calls(c->kind->sandbox, c->conf);
}

static enum exitcode on_config(struct child *c, const struct msg *m, const int *fds)
{
    const struct msg_config *k = &m->u.config;
    if (c->configured) {
        int fd = fds[0];
        fd_close(&fd);
        log_error("config_again", "epoch=%u", k->epoch);
        return EXIT_CODE_PROTOCOL;
    }
    enum exitcode code = child_config_read(fds[0], k->length, k->sha256, &c->conf);
    if (code != EXIT_CODE_OK)
        return code;
    if (k->listeners != c->listeners || k->beat_ms == 0) {
        log_crit("config_broken", "listeners=%u inherited=%u beat_ms=%u", k->listeners, c->listeners,
                 k->beat_ms);
        return EXIT_CODE_PROTOCOL;
    }
    log_set_level((enum log_level)c->conf->log.level);
    child_boot_core(c->conf->master.core == CONF_CORE_ON);
    c->configured = true;
    c->generation = m->generation;
    c->epoch = k->epoch;
    c->beat_ms = k->beat_ms;
    c->drain_ms = k->drain_ms;
    str_copy(c->node, k->node, sizeof c->node);
    snprintf(c->token, sizeof c->token, "%s.%llu.%u.%u", c->node, (unsigned long long)k->run, c->slot,
             c->generation);
    return start(c);
}

/* Takes the new values; the old ones are in *fresh afterwards. */
static int take_conf(struct child *c, struct conf *fresh)
{
    conf_take(c->conf, fresh);
    if (c->kind->reload != NULL && c->kind->reload(c, fresh, c->state) < 0) {
        conf_take(c->conf, fresh);
        return -1;
    }
    const struct conf_master *m = &c->conf->master;
    if (c->conf->log.level != fresh->log.level) /* else the level stays that was set at run time */
        log_set_level((enum log_level)c->conf->log.level);
    c->drain_ms = (uint32_t)m->drain_ms;
    if (c->beat_ms != (uint32_t)m->health_beat_ms) {
        c->beat_ms = (uint32_t)m->health_beat_ms;
        child_beat_again(c);
    }
    return 0;
}

static enum exitcode on_reload(struct child *c, const struct msg *m, const int *fds)
{
    const struct msg_reload *k = &m->u.reload;
    struct msg answer = {.type = MSG_RELOADED, .generation = c->generation};
    struct conf *fresh = NULL;
    answer.u.reloaded.epoch = k->epoch;
    if (child_config_read(fds[0], k->length, k->sha256, &fresh) != EXIT_CODE_OK)
        str_copy(answer.u.reloaded.text, "it cannot read the configuration", MSG_TEXT_MAX);
    else if (!c->draining && take_conf(c, fresh) < 0)
        str_copy(answer.u.reloaded.text, "it cannot take the configuration while it runs", MSG_TEXT_MAX);
    else
        answer.u.reloaded.ok = true;
    conf_free(fresh);
    if (answer.u.reloaded.ok)
        c->epoch = k->epoch;
    log_info("reloaded", "epoch=%u ok=%s", k->epoch, answer.u.reloaded.ok ? "yes" : "no");
    say(c, &answer);
    return EXIT_CODE_OK;
}

static enum exitcode not_wanted(const struct msg *m)
{
    log_error("control_not_wanted", "type=%s", msg_name(m->type));
    return EXIT_CODE_PROTOCOL;
}

static enum exitcode on_link(struct child *c, const struct msg *m, const int *fds)
{
    if (c->kind->link == NULL) {
        int a = fds[0], b = fds[1];
        fd_close(&a);
        fd_close(&b);
        return not_wanted(m);
    }
    c->kind->link(c, &m->u.link, fds[0], fds[1], c->state);
    return EXIT_CODE_OK;
}

static enum exitcode on_metrics(struct child *c, const struct msg *m, const int *fds)
{
    (void)fds;
    const struct msg_part *p = &m->u.metrics;
    struct buf *whole = &c->metrics_in.bytes;
    if (c->kind->metrics == NULL)
        return not_wanted(m);
    if (p->part == 0) { /* a master that could not send the rest of the last one begins anew */
        buf_reset(whole);
        c->metrics_in.next = 0;
    }
    if (p->part != c->metrics_in.next || buf_append(whole, p->bytes, p->len) < 0) {
        log_error("metrics_out_of_order", "part=%u wanted=%u", p->part, c->metrics_in.next);
        return EXIT_CODE_PROTOCOL;
    }
    if (++c->metrics_in.next < p->parts)
        return EXIT_CODE_OK;
    c->kind->metrics(c, whole->data, whole->len, c->state);
    return EXIT_CODE_OK;
}

static enum exitcode on_drain(struct child *c, const struct msg *m, const int *fds)
{
    (void)fds;
    drain(c, m->u.drain.deadline_ms, m->u.drain.reason, false);
    return EXIT_CODE_OK;
}

static enum exitcode on_stop(struct child *c, const struct msg *m, const int *fds)
{
    (void)m, (void)fds;
    child_exit(c, EXIT_CODE_OK);
    return EXIT_CODE_OK;
}

static enum exitcode on_level(struct child *c, const struct msg *m, const int *fds)
{
    (void)c, (void)fds;
    log_set_level((enum log_level)m->u.level.level);
    return EXIT_CODE_OK;
}

static enum exitcode on_health(struct child *c, const struct msg *m, const int *fds)
{
    (void)fds;
    if (c->kind->health == NULL)
        return not_wanted(m);
    c->kind->health(c, &m->u.health, c->state);
    return EXIT_CODE_OK;
}

static enum exitcode on_reap(struct child *c, const struct msg *m, const int *fds)
{
    (void)fds;
    if (c->kind->reap == NULL)
        return not_wanted(m);
    c->kind->reap(c, &m->u.reap, c->state);
    return EXIT_CODE_OK;
}

static enum exitcode on_flush(struct child *c, const struct msg *m, const int *fds)
{
    (void)fds;
    if (c->kind->flush == NULL)
        return not_wanted(m);
    c->kind->flush(c, m->u.flush.id, c->state);
    return EXIT_CODE_OK;
}

static enum exitcode on_pause(struct child *c, const struct msg *m, const int *fds)
{
    (void)fds;
    if (c->kind->pause == NULL)
        return not_wanted(m);
    c->kind->pause(c, &m->u.pause, c->state);
    return EXIT_CODE_OK;
}

static const struct {
    enum msg_type type;
    bool early; /* may come before CONFIG */
    enum exitcode (*fn)(struct child *c, const struct msg *m, const int *fds);
} handlers[] = {
    {MSG_CONFIG, true, on_config},  {MSG_LINK, false, on_link},     {MSG_METRICS, false, on_metrics},
    {MSG_DRAIN, true, on_drain},    {MSG_STOP, true, on_stop},      {MSG_LEVEL, false, on_level},
    {MSG_HEALTH, false, on_health}, {MSG_REAP, false, on_reap},     {MSG_FLUSH, false, on_flush},
    {MSG_PAUSE, false, on_pause},   {MSG_RELOAD, false, on_reload},
};

static bool is_for_me(const struct child *c, const struct msg *m)
{
    return !c->leaving && (!c->configured || m->generation == c->generation);
}

static void on_message(struct chan *chan, const struct msg *m, const int *fds, size_t n_fds, void *arg)
{
    (void)chan;
    struct child *c = arg;
    if (!is_for_me(c, m)) {
        for (size_t i = 0; i < n_fds; i++)
            close(fds[i]);
        log_debug("control_old_generation", "type=%s generation=%u", msg_name(m->type), m->generation);
        return;
    }
    for (size_t i = 0; i < sizeof handlers / sizeof *handlers; i++) {
        if (handlers[i].type != m->type)
            continue;
        enum exitcode code = EXIT_CODE_PROTOCOL;
        if (c->configured || handlers[i].early)
            code = handlers[i].fn(c, m, fds);
        else
            log_error("control_too_early", "type=%s", msg_name(m->type));
        if (code != EXIT_CODE_OK)
            child_exit(c, code);
        return;
    }
}

static void on_gone(struct chan *chan, int error, const char *why, void *arg)
{
    (void)chan;
    struct child *c = arg;
    if (c->leaving)
        return;
    if (error == EPROTO || error == ENOMEM) {
        log_error("control_broken", "reason=%s", log_q(why));
        child_exit(c, error == EPROTO ? EXIT_CODE_PROTOCOL : EXIT_CODE_NOMEM);
        return;
    }
    log_warn("master_gone", "reason=%s", log_q(why));
    c->orphan = true;
    drain(c, CHILD_ORPHAN_MS, "the master is gone", true);
}

static void on_drained(struct chan *chan, void *arg)
{
    (void)chan;
    struct child *c = arg;
    if (c->ready && !c->leaving)
        child_beat_drained(c);
}

/* --- the beginning --- */

static void hello(struct child *c)
{
    struct msg m = {.type = MSG_HELLO};
    struct msg_hello *h = &m.u.hello;
    h->proto_min = MSG_PROTO_MIN;
    h->proto_max = MSG_PROTO_MAX;
    h->slot = c->slot;
    h->pid = (uint32_t)getpid();
    str_copy(h->kind, c->kind->name, sizeof h->kind);
    str_copy(h->build, version_text(), sizeof h->build);
    say(c, &m);
}

int child_main(const struct child_kind *kind, unsigned slot, char **argv)
{
    static const struct chan_events events = {.message = on_message, .gone = on_gone, .drained = on_drained};
    unsigned listeners;
    sig_defaults();
    if (child_boot_check_fds(&listeners) < 0)
        return EXIT_CODE_USAGE;
    crash_install();
    child_boot_title(argv, kind->name, slot);
    struct child *c = self = xcalloc(1, sizeof *c);
    c->kind = kind;
    c->slot = slot;
    c->listeners = listeners;
    buf_init(&c->metrics_in.bytes, METRICS_MAX);
    evloop_install();
    c->loop = ev_default_loop(EVFLAG_AUTO);
    if (c->loop == NULL) {
        log_crit("loop_failed", "error=%s", log_q(strerror(errno)));
        return EXIT_CODE_OSERR;
    }
    evloop_guard_start(&c->guard, c->loop);
    ev_async_init(&c->term, on_term);
    ev_timer_init(&c->deadline, on_deadline, 0, 0);
    c->term.data = c->deadline.data = c;
    ev_async_start(c->loop, &c->term);
    child_boot_signals(c);
    c->chan = chan_new(c->loop, FDMAP_CONTROL, MSG_DIR_MC, &events, c);
    hello(c);
    ev_run(c->loop, 0);
    chan_flush(c->chan, LAST_WORDS_MS);
    return (int)c->code;
}

/* --- what a kind asks and says --- */

struct ev_loop *child_loop(const struct child *c)
{
    return c->loop;
}

const struct conf *child_config(const struct child *c)
{
    return c->conf;
}

struct metrics *child_metrics(struct child *c)
{
    return c->metrics;
}

unsigned child_slot(const struct child *c)
{
    return c->slot;
}

uint32_t child_generation(const struct child *c)
{
    return c->generation;
}

unsigned child_listeners(const struct child *c)
{
    return c->listeners;
}

const char *child_node(const struct child *c)
{
    return c->node;
}

const char *child_token(const struct child *c)
{
    return c->token;
}

bool child_draining(const struct child *c)
{
    return c->draining;
}

bool child_orphan(const struct child *c)
{
    return c->orphan;
}

void child_ready(struct child *c)
{
    if (c->ready || c->leaving || c->draining)
        return;
    c->ready = true;
    struct msg m = {.type = MSG_READY, .generation = c->generation, .u.ready.epoch = c->epoch};
    say(c, &m);
    child_beat_start(c);
}

void child_extend(struct child *c, uint32_t ms, const char *why)
{
    struct msg m = {.type = MSG_EXTEND, .generation = c->generation, .u.extend.ms = ms};
    str_copy(m.u.extend.why, why, sizeof m.u.extend.why);
    say(c, &m);
}

void child_unlinked(struct child *c, uint32_t peer_generation)
{
    struct msg m = {.type = MSG_UNLINK, .generation = c->generation};
    m.u.unlink.peer_generation = peer_generation;
    say(c, &m);
}

void child_flushed(struct child *c, uint32_t id)
{
    struct msg m = {.type = MSG_FLUSHED, .generation = c->generation, .u.flushed.id = id};
    say(c, &m);
}

void child_reaped(struct child *c, const char *token, uint32_t jobs)
{
    struct msg m = {.type = MSG_REAPED, .generation = c->generation, .u.reaped.jobs = jobs};
    str_copy(m.u.reaped.token, token, sizeof m.u.reaped.token);
    say(c, &m);
}

bool child_program(struct child *c, const struct msg_program *p)
{
    struct msg m = {.type = MSG_PROGRAM, .generation = c->generation, .u.program = *p};
    return !c->orphan && !c->leaving && chan_pending(c->chan) == 0 && chan_send(c->chan, &m, NULL, 0) == 0;
}
