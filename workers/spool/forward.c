/* forward - what is on disk goes on to the delivery processes, oldest first.
 *
 * A window of batches is read back; of an ordered queue one at a time is under way. A record is done when STORED has
 * come. A refusal "for now" stops everything for as long as it asks: Redis is away or full, and what is newer would fare
 * no better. At most PACE batches are under way on a link, half of what it grants, so that live traffic has its share.
 * A batch in hand at two deaths travels alone; at the third, or refused for good, it is set aside in the quarantine.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/crash.h"
#include "common/base/fatal.h"
#include "common/base/hook.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "workers/spool/spool.h"

#define WINDOW_BATCHES 256
#define WINDOW_BYTES   (16u << 20)
#define PACE           4
#define SUSPECT        2
#define PAUSE_MIN_MS   50
#define PAUSE_MAX_MS   5000
#define BODY_MAX       (8u << 20)

enum item_state { ITEM_WAITS, ITEM_SENT, ITEM_ASIDE /* on its way to the quarantine */, ITEM_BAD /* to be */ };

struct item {
    struct list link; /* spool.items */
    struct link_batch lb;
    struct spool *s;
    struct store_place place;
    struct spool_queue *q;
    enum item_state state;
    uint64_t wall_ms;
    const char *reason; /* of what is set aside */
    char source[MSG_NAME_MAX], order_key[MSG_KEY_MAX];
};

static struct item *item_of(struct link_batch *lb)
{
    return list_entry(lb, struct item, lb);
}

static void free_item(struct item *it)
{
    it->s->n_items--;
    it->s->item_bytes -= it->lb.body.len;
    list_remove(&it->link);
    buf_fini(&it->lb.body);
    buf_fini(&it->lb.tail);
    free(it);
}

static void finish(struct item *it)
{
    struct spool *s = it->s;
    struct store_place p = it->place;
    uint32_t tag = it->q->tag;
    free_item(it);
    store_done(s->store, p);
    spool_gone(s, p, tag);
}

/* ---- reading back */

static int put_tail(struct buf *tail, const struct msg_batch *b)
{
    if (msg_tail_begin(tail) < 0 || buf_append(tail, b->seen, (size_t)b->n_events * MSG_SEEN_ID) < 0)
        return -1;
    msg_tail_end(tail);
    return 0;
}

static bool load(struct spool *s)
{
    struct msg_batch b;
    struct store_place p;
    uint32_t tag;
    uint64_t wall_ms;
    int r = store_next(s->store, &s->record, &b, &p, &tag, &wall_ms);
    if (r <= 0) {
        if (r < 0)
            log_error("spool_unreadable", "error=%s", log_q(strerror(errno)));
        s->store_failed = r < 0;
        return false;
    }
    struct item *it = xcalloc(1, sizeof *it);
    it->s = s;
    it->place = p;
    it->q = s->queues[tag];
    it->wall_ms = wall_ms;
    memcpy(it->source, b.source, sizeof it->source);
    memcpy(it->order_key, b.order_key, sizeof it->order_key);
    memcpy(it->lb.id, b.id, sizeof it->lb.id);
    list_init(&it->lb.link);
    it->lb.tries = b.tries;
    it->lb.source = it->source;
    it->lb.queue = it->q->name;
    it->lb.order_key = it->order_key;
    it->lb.n_events = b.n_events;
    buf_init(&it->lb.body, BODY_MAX);
    buf_init(&it->lb.tail, BODY_MAX);
    if (buf_append(&it->lb.body, b.events.at, (size_t)(b.events.end - b.events.at)) < 0 ||
        (b.seen != NULL && put_tail(&it->lb.tail, &b) < 0))
        fatal(EXIT_CODE_NOMEM, "no memory for a batch that is read back");
    s->item_bytes += it->lb.body.len;
    s->n_items++;
    list_push_back(&s->items, &it->link);
    return true;
}

static void fill_window(struct spool *s)
{
    while (!s->store_failed && s->n_items < WINDOW_BATCHES && s->item_bytes < WINDOW_BYTES)
        if (!load(s))
            return;
}

/* ---- sending */

static struct outlet *choose(struct spool *s, const struct item *it)
{
    bool alone = it->lb.tries >= SUSPECT;
    struct outlet *l, *best = NULL;
    list_foreach(l, &s->outlets, struct outlet, link)
    {
        size_t n = link_send_in_flight(l->send);
        if (l->gone || l->alone != NULL || n >= (alone ? 1 : PACE) ||
            !link_send_may(l->send, it->lb.body.len))
            continue;
        if (best == NULL || n < link_send_in_flight(best->send))
            best = l;
    }
    return best;
}

static bool some_room(const struct spool *s)
{
    struct outlet *l;
    list_foreach(l, &s->outlets, struct outlet, link) if (!l->gone && l->alone == NULL &&
                                                          link_send_in_flight(l->send) < PACE &&
                                                          link_send_may(l->send, 1)) return true;
    return false;
}

void forward_pump(struct spool *s)
{
    struct item *it;
    if (!s->listed || s->draining || s->redis_full || list_empty(&s->outlets) || ev_now(s->loop) < s->paused_until || !some_room(s))
        return;
    fill_window(s);
    s->pass++;
    list_foreach(it, &s->items, struct item, link)
    {
        if (it->q->ordered && it->q->pass == s->pass)
            continue;
        it->q->pass = s->pass; /* whatever becomes of it: those behind it wait for their turn */
        struct outlet *l = it->state == ITEM_WAITS ? choose(s, it) : NULL;
        if (l == NULL)
            continue;
        it->state = ITEM_SENT;
        if (it->lb.tries >= SUSPECT)
            l->alone = it;
        list_remove(&l->link);
        list_push_back(&s->outlets, &l->link);
        link_send_put(l->send, &it->lb);
        if (!some_room(s))
            return;
    }
}

static void on_resume(struct ev_loop *loop, ev_timer *w, int revents)
{
    (void)loop, (void)w, (void)revents; /* the end of this turn looks */
}

static void pause_for(struct spool *s, uint32_t ms)
{
    ms = ms < PAUSE_MIN_MS ? PAUSE_MIN_MS : ms > PAUSE_MAX_MS ? PAUSE_MAX_MS : ms;
    s->paused_until = ev_now(s->loop) + ms / 1e3;
    ev_timer_stop(s->loop, &s->resume);
    ev_timer_init(&s->resume, on_resume, ms / 1e3, 0.);
    ev_timer_start(s->loop, &s->resume);
}

/* ---- what cannot be stored */

static void on_aside(void *arg, int error)
{
    struct item *it = arg;
    if (error != 0) {
        log_error("quarantine_failed", "batch=%s error=%s", it->lb.id, log_q(strerror(error)));
        it->state = ITEM_BAD;
        return;
    }
    metric_add(it->s->m.aside, 1);
    finish(it);
}

/* {"batch":[...]}: can be sent again as it is. */
static int as_text(const struct item *it, struct buf *out)
{
    struct mpwalk w;
    mpwalk_init(&w, it->lb.body.data, it->lb.body.len);
    if (buf_puts(out, "{\"batch\":[") < 0)
        return -1;
    for (uint32_t i = 0; i < it->lb.n_events; i++) {
        const char *text;
        uint32_t len;
        if (mpwalk_bytes(&w, &text, &len) < 0 || (i > 0 && buf_appendc(out, ',') < 0) ||
            buf_append(out, text, len) < 0)
            return -1;
    }
    return buf_puts(out, "]}");
}

static struct quarantine *quarantine(struct spool *s)
{
    char path[4096];
    if (s->quarantine == NULL)
        s->quarantine = quarantine_open(
            s->loop, conf_state_path(s->conf, "quarantine/spool.0", path, sizeof path),
            s->conf->quarantine.max_size_bytes, s->conf->quarantine.age_ms);
    return s->quarantine;
}

static void set_aside(struct item *it, const char *reason)
{
    struct quarantine *q = quarantine(it->s);
    struct buf text;
    buf_init(&text, BODY_MAX + 4096);
    it->reason = reason;
    it->state = ITEM_ASIDE;
    if (q == NULL || as_text(it, &text) < 0 ||
        quarantine_put(q, reason, it->source, it->q->name, it->lb.id, text.data, text.len, on_aside, it) < 0) {
        log_error("quarantine_failed", "batch=%s error=%s", it->lb.id, log_q(strerror(errno)));
        it->state = ITEM_BAD; /* it stays on disk, and keeps its place */
    }
    buf_fini(&text);
}

/* ---- links */

static struct outlet *outlet_of(struct spool *s, const struct link_send *send)
{
    struct outlet *l;
    list_foreach(l, &s->outlets, struct outlet, link) if (l->send == send) return l;
    return NULL;
}

static void came_back(struct link_send *send, struct item *it)
{
    struct outlet *l = outlet_of(it->s, send);
    if (l != NULL && l->alone == it)
        l->alone = NULL;
    it->state = ITEM_WAITS;
}

static void on_stored(struct link_send *send, struct link_batch *lb, bool duplicate, void *arg)
{
    struct spool *s = arg;
    struct item *it = item_of(lb);
    HOOK_POINT(spool_stored);
    came_back(send, it);
    metric_add(duplicate ? s->m.duplicate : s->m.forwarded, 1);
    finish(it);
}

static void on_refused(struct link_send *send, struct link_batch *lb, bool temporary, uint32_t retry_after_ms,
                       const char *why, void *arg)
{
    struct item *it = item_of(lb);
    came_back(send, it);
    if (temporary) {
        log_debug("batch_refused", "batch=%s retry_ms=%u why=%s", lb->id, retry_after_ms, log_q(why));
        pause_for(arg, retry_after_ms);
        return;
    }
    log_error("batch_refused", "batch=%s queue=%s events=%u why=%s", lb->id, log_q(lb->queue), lb->n_events,
              log_q(why));
    set_aside(it, "refused");
}

static void on_room(struct link_send *send, void *arg)
{
    (void)send, (void)arg; /* the end of this turn looks at all links */
}

static void on_gone(struct link_send *send, struct list *returned, bool clean, void *arg)
{
    struct spool *s = arg;
    struct outlet *l = outlet_of(s, send);
    bool orderly = clean || link_send_ending(send);
    log_info("link_gone", "worker=%u generation=%u clean=%s returned=%s", link_send_slot(send),
             link_send_generation(send), clean ? "true" : "false", list_empty(returned) ? "false" : "true");
    if (!s->draining)
        child_unlinked(s->child, link_send_generation(send));
    while (!list_empty(returned)) {
        struct link_batch *lb = list_entry(returned->next, struct link_batch, link);
        list_remove(&lb->link);
        lb->on = NULL;
        came_back(send, item_of(lb));
        lb->tries += !orderly && lb->was_read;
        if (lb->tries <= SUSPECT)
            continue;
        log_crit("batch_poison", "batch=%s deaths=%u source=%s queue=%s events=%u", lb->id, lb->tries,
                 log_q(lb->source), log_q(lb->queue), lb->n_events);
        set_aside(item_of(lb), "poison");
    }
    l->gone = true; /* freed outside of its own call */
}

static void bury(struct spool *s)
{
    struct outlet *l;
    list_foreach(l, &s->outlets, struct outlet, link)
    {
        if (!l->gone)
            continue;
        list_remove(&l->link);
        link_send_free(l->send);
        free(l);
    }
}

/* Nearly full: what is here stays here until there is room. */
static void on_pressure(struct link_send *send, const struct msg_pressure *m, void *arg)
{
    struct spool *s = arg;
    const struct conf_ingest *c = &s->conf->ingest;
    double high = c->backpressure_redis_memory, share = m->memory / 1000.;
    (void)send;
    if (s->redis_full)
        high *= c->backpressure_resume_at;
    s->redis_full = high > 0 && share >= high;
}

void forward_link(struct spool *s, const struct msg_link *m, int batch_fd, int ack_fd)
{
    static const struct link_send_events events = {
        .stored = on_stored, .refused = on_refused, .ready = on_room, .gone = on_gone, .pressure = on_pressure};
    struct outlet *l = xcalloc(1, sizeof *l);
    l->send = link_send_new(s->loop, batch_fd, ack_fd, m->peer_slot, m->peer_generation, &events, s);
    list_push_back(&s->outlets, &l->link);
    if (s->draining)
        link_send_end(l->send);
}

void forward_second(struct spool *s)
{
    struct item *it;
    bury(s);
    s->store_failed = false;
    list_foreach(it, &s->items, struct item, link) if (it->state == ITEM_BAD) set_aside(it, it->reason);
    if (s->listed && list_empty(&s->items))
        fill_window(s);
    it = list_first(&s->items, struct item, link);
    s->oldest_ms = it != NULL ? it->wall_ms : 0;
}

void forward_end(struct spool *s)
{
    struct outlet *l;
    list_foreach(l, &s->outlets, struct outlet, link) if (!l->gone) link_send_end(l->send);
}

size_t forward_in_flight(const struct spool *s)
{
    const struct outlet *l;
    size_t n = 0;
    list_foreach(l, &s->outlets, struct outlet, link) n += link_send_in_flight(l->send);
    return n;
}

void forward_held(const struct spool *s)
{
    const struct outlet *l;
    list_foreach(l, &s->outlets, struct outlet, link) link_send_each(l->send, crash_put_held);
}
