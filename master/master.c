/* master - see master.h. The order of start and end, and the turn of the loop; everything else has a room of its own. */
#include "master/master.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/crash.h"
#include "common/base/evloop.h"
#include "common/base/fd.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/base/sig.h"
#include "common/base/str.h"
#include "common/base/version.h"
#include "master/confine.h"
#include "master/control_sock.h"
#include "master/flush.h"
#include "master/health.h"
#include "master/listen.h"
#include "master/lock.h"
#include "master/loglevel.h"
#include "master/logsink.h"
#include "master/logstream.h"
#include "master/pause.h"
#include "master/peer.h"
#include "master/reap.h"
#include "master/reconcile.h"
#include "master/reload.h"
#include "master/sd.h"
#include "master/signals.h"
#include "master/slot.h"
#include "master/state.h"
#include "master/upgrade.h"

#define TICK_MS 250
#define GAP_MS  2000 /* a turn longer than this: it was the master that stood still, not its children */

static void on_prepare(struct ev_loop *loop, ev_prepare *w, int revents)
{
    (void)loop;
    (void)revents;
    struct master *m = w->data;
    reconcile(m);
    turn_part(&m->turn, "reconcile");
    flush_look(m);
    turn_part(&m->turn, "flush");
    upgrade_look(m);
    turn_part(&m->turn, "upgrade");
}

/* Runs before every timer of a turn (highest priority). After a stop of this process, or a machine's sleep, the
 * silence of the children proves nothing: all deadlines begin anew. */
static void on_check(struct ev_loop *loop, ev_check *w, int revents)
{
    (void)loop;
    (void)revents;
    struct master *m = w->data;
    struct slot *s;
    uint64_t now = clock_mono_ms(), gap = now - m->last_turn_ms;
    m->last_turn_ms = now;
    if (gap < GAP_MS)
        return;
    log_warn("clock_gap", "ms=%llu", (unsigned long long)gap);
    list_foreach(s, &m->slots, struct slot, link) slot_rearm(s);
    m->expected_tick_ms = 0;
}

static void on_tick(struct ev_loop *loop, ev_timer *w, int revents)
{
    (void)loop;
    (void)revents;
    struct master *m = w->data;
    static unsigned turns;
    uint64_t now = clock_mono_ms();
    uint32_t lag =
        m->expected_tick_ms != 0 && now > m->expected_tick_ms ? (uint32_t)(now - m->expected_tick_ms) : 0;
    if (lag > m->loop_lag_ms)
        m->loop_lag_ms = lag;
    if (lag > m->loop_lag_worst_ms)
        m->loop_lag_worst_ms = lag;
    if (++turns % (1000 / TICK_MS) == 0) {
        m->loop_lag_ms = lag;
        peer_introduce_all(m);
        reap_assign(m);
        loglevel_tick(m);
        logsink_tick(m->sink);
        usage_tick(m);
        scale_tick(m);
        recycle_tick(m);
        obituary_tick(m);
        health_tick(m);
        turn_part(&m->turn, "health");
        sd_status(m);
    }
    m->expected_tick_ms = clock_mono_ms() + TICK_MS;
}

static void start_watchers(struct master *m)
{
    ev_prepare_init(&m->reconcile, on_prepare);
    m->reconcile.data = m;
    ev_prepare_start(m->loop, &m->reconcile);
    ev_check_init(&m->gap_check, on_check);
    ev_set_priority(&m->gap_check, EV_MAXPRI);
    m->gap_check.data = m;
    ev_check_start(m->loop, &m->gap_check);
    ev_timer_init(&m->tick, on_tick, TICK_MS / 1e3, TICK_MS / 1e3);
    m->tick.data = m;
    ev_timer_start(m->loop, &m->tick);
    m->last_turn_ms = clock_mono_ms();
    lock_watch(m);
    evloop_guard_start(&m->guard, m->loop);
    turn_start(&m->turn, m->loop); /* the last one: before everything else at a wake */
}

static void log_start(const struct master *m)
{
    char address[160];
    log_info("start", "version=%s run_dir=%s node=%s run=%llu", version_text(), log_q(m->conf->node.run_dir),
             m->node, (unsigned long long)m->run);
    for (size_t i = 0; i < m->conf->n_listeners; i++)
        log_info("listening", "listener=%s address=%s", m->conf->listeners[i].id,
                 listen_address(m->listen, KIND_LISTEN_INGEST, i, address, sizeof address));
    if (m->conf->master.processes_console > 0)
        log_info("listening", "listener=console address=%s",
                 listen_address(m->listen, KIND_LISTEN_CONSOLE, 0, address, sizeof address));
}

/* Everything that may fail; each failure has been logged where it happened. */
static int set_up(struct master *m)
{
    if ((m->sink = logsink_new(&m->conf->log)) == NULL) {
        m->exit_code = EXIT_CODE_CONFIG;
        return -1;
    }
    m->own_log = logstream_new(m, &(struct logsink_origin){.kind = "master", .pid = getpid()});
    logstream_own(m->own_log);
    log_set_level((enum log_level)m->conf->log.level);
    if ((m->lock_fd = lock_take(m->conf, &m->exit_code)) < 0)
        return -1;
    m->exit_code = EXIT_CODE_NOPERM;
    if (lock_identity(m->conf, m->node, &m->run) < 0 || (m->listen = listen_open(m->conf)) == NULL ||
        (m->control_sock = control_sock_open(m)) == NULL || confine_start(m, &m->exit_code) < 0)
        return -1;
    m->exit_code = EXIT_CODE_OSERR;
    if (reload_start(m) < 0)
        return -1;
    m->exit_code = EXIT_CODE_OK;
    return 0;
}

static void tear_down(struct master *m)
{
    struct slot *s;
    list_foreach(s, &m->slots, struct slot, link) slot_free(s);
    reload_end(m);
    control_sock_close(m->control_sock);
    confine_stop(m);
    upgrade_free(m->upgrade);
    listen_close(m->listen, NULL);
    if (m->exit_code == EXIT_CODE_OK)
        log_info("stopped", "");
    else
        log_info("stopped", "code=%d name=%s msg=%s", (int)m->exit_code, exitcode_name((int)m->exit_code),
                 log_q(exitcode_sentence((int)m->exit_code)));
    loglevel_free(m);
    logstream_free(m->own_log);
    logsink_free(m->sink);
    metrics_free(m->sum);
    metrics_free(m->own);
    fd_close(&m->conf_fd);
    fd_close(&m->lock_fd);
    pause_free(m);
    conf_free(m->conf);
}

static enum exitcode first_load(struct master *m)
{
    struct buf errors, warnings;
    buf_init(&errors, 1u << 20);
    buf_init(&warnings, 1u << 20);
    enum exitcode code = conf_load(m->options->config_path, m->options->overrides, m->options->n_overrides,
                                   &m->conf, &errors, &warnings);
    if (code != EXIT_CODE_OK)
        fputs(buf_cstr(&errors), stderr);
    fputs(buf_cstr(&warnings), stderr);
    buf_fini(&errors);
    buf_fini(&warnings);
    return code;
}

/* An empty node.name is the host's. */
static void name_host(struct conf *c)
{
    char name[256] = "";
    if (c->node.name[0] != '\0' || gethostname(name, sizeof name - 1) < 0)
        return;
    free(c->node.name);
    c->node.name = xstrdup(name);
}

int master_init(struct master *m, const struct master_options *o)
{
    *m = (struct master){.options = o, .conf_fd = -1, .lock_fd = -1};
    (void)prctl(PR_SET_CHILD_SUBREAPER, 1); /* a server that outlives its dead keeper stays ours */
    list_init(&m->slots);
    list_init(&m->orphans);
    list_init(&m->flushes);
    list_init(&m->paused);
    list_init(&m->levels);
    m->started_ms = clock_mono_ms();
    evloop_install();
    m->loop = ev_default_loop(EVFLAG_AUTO);
    if (m->loop == NULL)
        return -1;
    m->sum = metrics_new();
    m->own = metrics_new();
    return 0;
}

void master_turn(struct master *m)
{
    reap_start(m);
    start_watchers(m);
    sd_start(m);
    ev_run(m->loop, 0);
    ev_prepare_stop(m->loop, &m->reconcile);
    ev_check_stop(m->loop, &m->gap_check);
    ev_timer_stop(m->loop, &m->tick);
    lock_unwatch(m);
    evloop_guard_stop(&m->guard, m->loop);
    turn_stop(&m->turn, m->loop);
    sd_stop(m);
    reap_stop(m);
}

int master_end(struct master *m)
{
    signals_stop(m);
    enum exitcode code = m->exit_code;
    tear_down(m);
    ev_loop_destroy(m->loop);
    return (int)code;
}

int master_run(const struct master_options *o)
{
    struct master m;
    sig_defaults();
    crash_install();
    fd_set_cloexec_from(STDERR_FILENO + 1); /* whatever the caller left open: no child shall have it */
    if (master_init(&m, o) < 0)
        return EXIT_CODE_OSERR;
    m.upgrade = upgrade_new(&m);
    signals_start(&m); /* from here on a signal waits for the loop */
    enum exitcode code = first_load(&m);
    if (code != EXIT_CODE_OK) {
        signals_stop(&m);
        upgrade_free(m.upgrade);
        metrics_free(m.sum);
        metrics_free(m.own);
        ev_loop_destroy(m.loop);
        return (int)code;
    }
    name_host(m.conf);
    (void)fd_raise_limit((unsigned long)m.conf->master.nofile);
    if (set_up(&m) == 0) {
        scale_start(&m);
        log_start(&m);
        reap_earlier_runs(&m);
        master_turn(&m);
    }
    return master_end(&m);
}
