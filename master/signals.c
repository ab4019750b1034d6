/* signals - see signals.h. libev delivers them inside the loop: no handler of ours runs in signal context. */
#include "master/signals.h"

#include <ev.h>
#include <signal.h>
#include <string.h>

#include "common/base/log.h"
#include "common/base/sig.h"
#include "master/logsink.h"
#include "master/reconcile.h"
#include "master/reload.h"
#include "master/state.h"
#include "master/status.h"
#include "master/upgrade.h"

static void do_stop(struct master *m)
{
    reconcile_stop(m, m->phase == MASTER_STOPPING, EXIT_CODE_OK); /* the second one: now */
}

static void do_stop_now(struct master *m)
{
    status_dump(m);
    reconcile_stop(m, true, EXIT_CODE_OK);
}

static void do_reopen(struct master *m)
{
    logsink_reopen(m->sink);
    status_dump(m);
}

static void do_more(struct master *m)
{
    if (scale_step(m, &kinds[KIND_DELIVERY], +1) < 0)
        log_warn("scale_refused", "n=%u", m->wanted[KIND_DELIVERY] + 1);
}

static void do_fewer(struct master *m)
{
    if (scale_step(m, &kinds[KIND_DELIVERY], -1) < 0)
        log_warn("scale_refused", "n=%u", m->wanted[KIND_DELIVERY] - 1);
}

static const struct {
    int signo;
    const char *what;
    void (*fn)(struct master *m);
} table[] = {
    {SIGTERM, "stop", do_stop},     {SIGINT, "stop", do_stop},        {SIGQUIT, "stop now", do_stop_now},
    {SIGHUP, "reload", reload_ask}, {SIGUSR1, "reopen", do_reopen},   {SIGUSR2, "upgrade", upgrade_later},
    {SIGTTIN, "one more", do_more}, {SIGTTOU, "one fewer", do_fewer},
};

#define SIGNALS (sizeof table / sizeof *table)

static ev_signal watchers[SIGNALS];

static void on_signal(struct ev_loop *loop, ev_signal *w, int revents)
{
    (void)loop;
    (void)revents;
    for (size_t i = 0; i < SIGNALS; i++)
        if (table[i].signo == w->signum) {
            log_info("signal", "signal=%s what=%s", sig_name(w->signum), log_q(table[i].what));
            table[i].fn(w->data);
        }
}

void signals_start(struct master *m)
{
    for (size_t i = 0; i < SIGNALS; i++) {
        ev_signal_init(&watchers[i], on_signal, table[i].signo);
        watchers[i].data = m;
        ev_signal_start(m->loop, &watchers[i]);
    }
}

void signals_stop(struct master *m)
{
    for (size_t i = 0; i < SIGNALS; i++)
        ev_signal_stop(m->loop, &watchers[i]);
}

void signals_hold(void)
{
    sigset_t all;
    sigfillset(&all);
    /* What a fault of our own raises is not held back. */
    static const int own[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGSYS, SIGTRAP};
    for (size_t i = 0; i < sizeof own / sizeof *own; i++)
        sigdelset(&all, own[i]);
    (void)sigprocmask(SIG_SETMASK, &all, NULL);
}

void signals_release(void)
{
    sigset_t none;
    sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
}
