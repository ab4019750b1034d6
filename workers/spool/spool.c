/* spool - the process that keeps batches on disk while Redis does not take them: wiring, start, flush, draining.
 *
 * It is READY at once. Its folder may still be in use by a predecessor that drains, or be unusable: it is tried again and
 * again. Then the files of earlier runs are read, one a turn of the loop, and only then senders are told what is here
 * and may send. A drain waits for nothing but the disk: what is here stays here.
 */
#include "workers/spool/spool.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/fatal.h"
#include "common/base/hook.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "workers/kinds.h"

#define TRY_OPEN_S   0.02 /* while a predecessor has the folder */
#define DRAIN_TICK_S 0.02
#define DRAIN_WAIT_S 2. /* for answers from delivery */
#define WISHES_MAX   1024

struct wish {
    struct list link;
    uint32_t id;
    struct store_place end; /* what stands before it */
    size_t left;
};

/* ---- the store */

static uint32_t on_found(const struct msg_batch *b, void *arg)
{
    struct spool *s = arg;
    struct spool_queue *q = queues_find(s, b->queue);
    if (q == NULL)
        fatal(EXIT_CODE_BUG, "batches of too many queues are in the spool");
    queues_add(s, q, NULL);
    return q->tag;
}

static void on_damaged(bool torn, void *arg)
{
    struct spool *s = arg;
    metric_add(torn ? s->m.torn : s->m.damaged, 1);
}

void spool_gone(struct spool *s, struct store_place p, uint32_t tag)
{
    struct wish *w;
    queues_remove(s, s->queues[tag]);
    list_foreach(w, &s->wishes, struct wish, link)
    {
        if (!store_before(p, w->end) || --w->left > 0)
            continue;
        child_flushed(s->child, w->id);
        list_remove(&w->link);
        free(w);
    }
}

static void on_lost(struct store_place p, uint32_t tag, void *arg)
{
    spool_gone(arg, p, tag);
}

static struct store_limits limits_of(const struct conf_spool *c)
{
    return (struct store_limits){.segment_bytes = c->segment_bytes,
                                 .max_bytes = c->max_size_bytes,
                                 .sync_interval_ms = c->sync_interval_ms};
}

static void count_wish(const struct spool *s, struct wish *w)
{
    w->end = store_end(s->store);
    w->left = store_records(s->store);
}

/* Those that came before it was known what is here. */
static void answer_wishes(struct spool *s)
{
    struct wish *w;
    list_foreach(w, &s->wishes, struct wish, link)
    {
        count_wish(s, w);
        if (w->left > 0)
            continue;
        child_flushed(s->child, w->id);
        list_remove(&w->link);
        free(w);
    }
}

static void on_scan(struct ev_loop *loop, ev_idle *w, int revents)
{
    struct spool *s = w->data;
    (void)revents;
    if (store_scan(s->store))
        return;
    ev_idle_stop(loop, w);
    s->listed = true;
    log_info("spool_open", "batches=%zu bytes=%llu", store_records(s->store),
             (unsigned long long)store_bytes(s->store));
    answer_wishes(s);
    inlet_list(s);
    inlet_look(s);
}

static void try_open(struct spool *s)
{
    static const struct store_events events = {.found = on_found, .lost = on_lost, .damaged = on_damaged};
    struct store_limits limits = limits_of(&s->conf->spool);
    char path[4096];
    conf_state_path(s->conf, "spool", path, sizeof path);
    s->store = store_open(s->loop, path, &limits, &events, s);
    if (s->store != NULL) {
        s->unusable[0] = '\0';
        ev_idle_start(s->loop, &s->scan);
        return;
    }
    s->locked = errno == EWOULDBLOCK;
    const char *why = s->locked ? "another process has its folder" : strerror(errno);
    if (!s->locked && strcmp(s->unusable, why) != 0)
        log_error("spool_unusable", "dir=%s error=%s remedy=%s", log_q(path), log_q(why),
                  log_q("mend the folder, or set processes.spool: 0"));
    snprintf(s->unusable, sizeof s->unusable, "%s", why);
}

/* ---- timers */

static void tell(struct spool *s)
{
    uint64_t now = clock_wall_ms(), bytes = s->store != NULL ? store_bytes(s->store) : 0;
    size_t batches = s->store != NULL ? store_records(s->store) : 0;
    double age = s->oldest_ms != 0 && now > s->oldest_ms ? (double)(now - s->oldest_ms) / 1e3 : 0;
    metric_set(s->m.bytes, (double)bytes);
    metric_set(s->m.batches, (double)batches);
    metric_set(s->m.fill, s->full ? 1. : (double)bytes / (double)s->conf->spool.max_size_bytes);
    metric_set(s->m.oldest, age);
    if (s->store == NULL)
        child_note(s->child, "waits: %s", s->unusable);
    else if (!s->listed && bytes > 0)
        child_note(s->child, "reads what is there: %.1f MiB", (double)bytes / (1 << 20));
    else if (batches > 0)
        child_note(s->child, "holds %zu batches, %.1f MiB, oldest %.0f s%s", batches,
                   (double)bytes / (1 << 20), age, s->full ? ", full" : "");
    else
        child_note(s->child, "%s", s->full ? "full" : "");
}

static void on_second(struct ev_loop *loop, ev_timer *w, int revents)
{
    struct spool *s = w->data;
    (void)revents;
    if (s->ended)
        return;
    if (s->store == NULL && !s->draining)
        try_open(s);
    ev_timer_stop(loop, w);
    ev_timer_set(w, s->store == NULL && s->locked ? TRY_OPEN_S : 1., 0.);
    ev_timer_start(loop, w);
    if (s->listed) {
        forward_second(s);
        store_tidy(s->store);
        if (!s->draining)
            inlet_look(s);
    }
    tell(s);
}

static void look_at_drain(struct spool *s);

static void on_turn(struct ev_loop *loop, ev_prepare *w, int revents)
{
    struct spool *s = w->data;
    (void)loop, (void)revents;
    if (!s->listed || s->ended)
        return;
    forward_pump(s);
    store_write_marks(s->store);
    if (s->draining)
        look_at_drain(s);
}

/* ---- start */

static void make_metrics(struct spool *s)
{
    struct metrics *m = child_metrics(s->child);
    s->m.taken = metrics_series(m, METRIC_SPOOL_BATCHES, "taken", NULL);
    s->m.forwarded = metrics_series(m, METRIC_SPOOL_BATCHES, "forwarded", NULL);
    s->m.duplicate = metrics_series(m, METRIC_SPOOL_BATCHES, "duplicate", NULL);
    s->m.refused = metrics_series(m, METRIC_SPOOL_BATCHES, "refused", NULL);
    s->m.aside = metrics_series(m, METRIC_SPOOL_BATCHES, "quarantined", NULL);
    s->m.damaged = metrics_series(m, METRIC_SPOOL_CORRUPT, "damaged", NULL);
    s->m.torn = metrics_series(m, METRIC_SPOOL_CORRUPT, "torn", NULL);
    s->m.bytes = metrics_series(m, METRIC_SPOOL_BYTES, NULL);
    s->m.batches = metrics_series(m, METRIC_SPOOL_HELD, NULL);
    s->m.fill = metrics_series(m, METRIC_SPOOL_FILL, NULL);
    s->m.oldest = metrics_series(m, METRIC_SPOOL_OLDEST, NULL);
}

static int start(struct child *child, void *state, enum exitcode *code)
{
    struct spool *s = state;
    (void)code;
    s->child = child;
    s->loop = child_loop(child);
    s->conf = child_config(child);
    s->by_name = map_new();
    list_init(&s->inlets);
    list_init(&s->outlets);
    list_init(&s->items);
    list_init(&s->wishes);
    buf_init(&s->record, 9u << 20);
    make_metrics(s);
    ev_idle_init(&s->scan, on_scan);
    ev_timer_init(&s->second, on_second, 0., 0.);
    ev_prepare_init(&s->turn, on_turn);
    ev_set_priority(&s->turn, EV_MAXPRI); /* before the links write what they were given in this turn */
    s->scan.data = s->second.data = s->turn.data = s;
    ev_timer_start(s->loop, &s->second);
    ev_prepare_start(s->loop, &s->turn);
    child_ready(child);
    return 0;
}

static int reload(struct child *child, const struct conf *old, void *state)
{
    struct spool *s = state;
    struct store_limits limits = limits_of(&s->conf->spool);
    (void)child, (void)old;
    if (s->conf->spool.sync_interval_ms != old->spool.sync_interval_ms)
        return -1; /* its helper was started with it */
    queues_tune(s);
    if (s->store != NULL)
        store_set_limits(s->store, &limits);
    if (s->listed)
        inlet_look(s);
    if (s->quarantine != NULL)
        quarantine_set_limits(s->quarantine, s->conf->quarantine.max_size_bytes, s->conf->quarantine.age_ms);
    return 0;
}

static void take_link(struct child *child, const struct msg_link *m, int batch_fd, int ack_fd, void *state)
{
    (void)child;
    if (m->role == MSG_LINK_RECEIVER)
        inlet_link(state, batch_fd, ack_fd);
    else
        forward_link(state, m, batch_fd, ack_fd);
}

/* ---- flush */

static void flush(struct child *child, uint32_t id, void *state)
{
    struct spool *s = state;
    size_t n = 0;
    struct wish *w;
    list_foreach(w, &s->wishes, struct wish, link) n++;
    if (s->listed && store_records(s->store) == 0) {
        child_flushed(child, id);
        return;
    }
    if (n == WISHES_MAX) {
        log_warn("flush_refused", "id=%u", id);
        return;
    }
    w = xcalloc(1, sizeof *w);
    w->id = id;
    if (s->listed)
        count_wish(s, w);
    list_push_back(&s->wishes, &w->link);
}

/* ---- draining */

static void finish(struct spool *s)
{
    size_t left = s->store != NULL ? store_records(s->store) : 0;
    s->ended = true;
    ev_timer_stop(s->loop, &s->second);
    ev_timer_stop(s->loop, &s->end);
    ev_prepare_stop(s->loop, &s->turn);
    ev_idle_stop(s->loop, &s->scan);
    if (s->listed)
        store_tidy(s->store);
    store_close(s->store);
    quarantine_close(s->quarantine);
    s->store = NULL;
    s->quarantine = NULL;
    log_info("spool_drained", "batches_left=%zu", left);
    HOOK_POINT(spool_drained);
    child_drained(s->child, 0); /* what is left stands on disk */
}

static void look_at_drain(struct spool *s)
{
    if (s->ended || !inlet_done(s) || s->n_puts > 0)
        return;
    forward_end(s);
    if (forward_in_flight(s) == 0)
        finish(s);
}

static void on_end(struct ev_loop *loop, ev_timer *w, int revents)
{
    (void)loop, (void)revents;
    finish(w->data);
}

static void drain(struct child *child, uint32_t deadline_ms, const char *reason, void *state)
{
    struct spool *s = state;
    double most = deadline_ms / 2e3;
    (void)child;
    log_info("spool_drain", "deadline_ms=%u reason=%s", deadline_ms, log_q(reason));
    HOOK_POINT(spool_drain);
    s->draining = true;
    inlet_leave(s);
    ev_timer_init(&s->end, on_end, most < DRAIN_WAIT_S ? most : DRAIN_WAIT_S, 0.);
    s->end.data = s;
    ev_timer_start(s->loop, &s->end);
    if (!s->listed)
        finish(s);
}

/* ---- the kind */

static void beat(struct child *child, struct msg_beat *m, void *state)
{
    struct spool *s = state;
    (void)child;
    m->in_hand = (uint32_t)(s->n_puts + forward_in_flight(s));
    m->jobs = metric_count(s->m.taken);
}

static void held(void *state)
{
    forward_held(state);
}

int spool_main(unsigned slot, char **argv)
{
    static const struct child_kind kind = {
        .name = "spool",
        .start = start,
        .link = take_link,
        .drain = drain,
        .flush = flush,
        .reload = reload,
        .beat = beat,
        .held = held,
        .sandbox = SANDBOX_SPOOL,
        .state_size = sizeof(struct spool),
    };
    mem_keep_freed();
    return child_main(&kind, slot, argv);
}
