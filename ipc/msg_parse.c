/* msg_parse - the checked parsers of every message, in the order of msg.def. Called by msg_parse alone; pure.
 * Each reads exactly its row's fields; the caller has checked type, arity and size, and checks for bytes left over. */
#include "ipc/msg_row.h"

#include <string.h>

#include "common/base/log.h"
#include "common/base/str.h"

/* Every getter returns false for a value of a wrong form. */
static bool text(struct mpwalk *w, char *dst, size_t size)
{
    return mpwalk_text(w, dst, size) == 0;
}

static bool number(struct mpwalk *w, uint32_t *v)
{
    return mpwalk_u32(w, v) == 0;
}

static bool big(struct mpwalk *w, uint64_t *v)
{
    return mpwalk_u64(w, v) == 0;
}

static bool flag(struct mpwalk *w, bool *v)
{
    return mpwalk_bool(w, v) == 0;
}

static bool batch_id(struct mpwalk *w, char id[ID_SIZE])
{
    return text(w, id, ID_SIZE) && id_valid(id, strlen(id));
}

static bool numbers(struct mpwalk *w, uint64_t *v, uint32_t max, uint32_t *n)
{
    if (mpwalk_array(w, n) < 0 || *n > max)
        return false;
    for (uint32_t i = 0; i < *n; i++)
        if (!big(w, &v[i]))
            return false;
    return true;
}

static bool verdict(bool ok, const char *what, const char **why)
{
    if (!ok)
        *why = what;
    return ok;
}

bool msg_parse_hello(struct mpwalk *w, struct msg *m, const char **why)
{
    struct msg_hello *h = &m->u.hello;
    return verdict(number(w, &h->proto_min) && number(w, &h->proto_max) && text(w, h->kind, sizeof h->kind) &&
                       number(w, &h->slot) && number(w, &h->pid) && text(w, h->build, sizeof h->build),
                   "HELLO: wrong field", why);
}

bool msg_parse_config(struct mpwalk *w, struct msg *m, const char **why)
{
    struct msg_config *c = &m->u.config;
    const char *sha;
    uint32_t sha_len;
    if (!number(w, &c->epoch) || !big(w, &c->length) || mpwalk_bytes(w, &sha, &sha_len) < 0 ||
        sha_len != sizeof c->sha256)
        return verdict(false, "CONFIG: wrong epoch, length or digest", why);
    memcpy(c->sha256, sha, sizeof c->sha256);
    return verdict(number(w, &c->listeners) && text(w, c->node, sizeof c->node) && big(w, &c->run) &&
                       number(w, &c->beat_ms) && number(w, &c->hang_ms) && number(w, &c->drain_ms),
                   "CONFIG: wrong field", why);
}

bool msg_parse_ready(struct mpwalk *w, struct msg *m, const char **why)
{
    return verdict(number(w, &m->u.ready.epoch), "READY: wrong epoch", why);
}

bool msg_parse_beat(struct mpwalk *w, struct msg *m, const char **why)
{
    struct msg_beat *b = &m->u.beat;
    b->jobs = 0;
    return verdict(big(w, &b->mono_ms) && number(w, &b->loop_lag_ms) && number(w, &b->in_hand) &&
                       big(w, &b->dropped_logs) && numbers(w, b->clients, MSG_CLIENTS_MAX, &b->n_clients) &&
                       (mpwalk_done(w) || big(w, &b->jobs)),
                   "BEAT: wrong field", why);
}

bool msg_parse_extend(struct mpwalk *w, struct msg *m, const char **why)
{
    struct msg_extend *e = &m->u.extend;
    return verdict(number(w, &e->ms) && text(w, e->why, sizeof e->why), "EXTEND: wrong field", why);
}

bool msg_parse_link(struct mpwalk *w, struct msg *m, const char **why)
{
    struct msg_link *l = &m->u.link;
    return verdict(big(w, &l->link_id) && number(w, &l->role) && l->role <= MSG_LINK_RECEIVER &&
                       text(w, l->peer_kind, sizeof l->peer_kind) && number(w, &l->peer_slot) &&
                       number(w, &l->peer_generation),
                   "LINK: wrong field", why);
}

static bool part(struct mpwalk *w, struct msg_part *p)
{
    return number(w, &p->part) && number(w, &p->parts) && p->parts <= MSG_PARTS_MAX && p->part < p->parts &&
           mpwalk_bytes(w, &p->bytes, &p->len) == 0 && p->len <= MSG_PART_MAX;
}

bool msg_parse_stats(struct mpwalk *w, struct msg *m, const char **why)
{
    return verdict(part(w, &m->u.stats), "STATS: wrong part", why);
}

bool msg_parse_metrics(struct mpwalk *w, struct msg *m, const char **why)
{
    return verdict(part(w, &m->u.metrics), "METRICS: wrong part", why);
}

bool msg_parse_unlink(struct mpwalk *w, struct msg *m, const char **why)
{
    return verdict(number(w, &m->u.unlink.peer_generation), "UNLINK: wrong field", why);
}

bool msg_parse_drain(struct mpwalk *w, struct msg *m, const char **why)
{
    struct msg_drain *d = &m->u.drain;
    return verdict(number(w, &d->deadline_ms) && text(w, d->reason, sizeof d->reason), "DRAIN: wrong field",
                   why);
}

bool msg_parse_drained(struct mpwalk *w, struct msg *m, const char **why)
{
    return verdict(number(w, &m->u.drained.left), "DRAINED: wrong field", why);
}

bool msg_parse_stop(struct mpwalk *w, struct msg *m, const char **why)
{
    (void)w, (void)m, (void)why;
    return true;
}

bool msg_parse_level(struct mpwalk *w, struct msg *m, const char **why)
{
    return verdict(number(w, &m->u.level.level) && m->u.level.level <= LOGL_DEBUG, "LEVEL: no such level",
                   why);
}

bool msg_parse_health(struct mpwalk *w, struct msg *m, const char **why)
{
    struct msg_health *h = &m->u.health;
    return verdict(flag(w, &h->ready) && mpwalk_bytes(w, &h->json, &h->json_len) == 0, "HEALTH: wrong field",
                   why);
}

bool msg_parse_reap(struct mpwalk *w, struct msg *m, const char **why)
{
    struct msg_reap *r = &m->u.reap;
    return verdict(text(w, r->token, sizeof r->token) && r->token[0] != '\0' && flag(w, &r->prefix) &&
                       numbers(w, r->clients, MSG_CLIENTS_MAX, &r->n_clients),
                   "REAP: wrong field", why);
}

bool msg_parse_reaped(struct mpwalk *w, struct msg *m, const char **why)
{
    struct msg_reaped *r = &m->u.reaped;
    return verdict(text(w, r->token, sizeof r->token) && number(w, &r->jobs), "REAPED: wrong field", why);
}

bool msg_parse_note(struct mpwalk *w, struct msg *m, const char **why)
{
    struct msg_note *n = &m->u.note;
    return verdict(text(w, n->text, sizeof n->text) && str_is_plain(n->text, strlen(n->text)),
                   "NOTE: wrong text", why);
}

bool msg_parse_flush(struct mpwalk *w, struct msg *m, const char **why)
{
    return verdict(number(w, &m->u.flush.id), "FLUSH: wrong id", why);
}

bool msg_parse_flushed(struct mpwalk *w, struct msg *m, const char **why)
{
    return verdict(number(w, &m->u.flushed.id), "FLUSHED: wrong id", why);
}

bool msg_parse_pause(struct mpwalk *w, struct msg *m, const char **why)
{
    struct msg_pause *p = &m->u.pause;
    return verdict(text(w, p->queue, sizeof p->queue) && p->queue[0] != '\0' &&
                       str_is_plain(p->queue, strlen(p->queue)) && flag(w, &p->paused),
                   "PAUSE: wrong field", why);
}

bool msg_parse_program(struct mpwalk *w, struct msg *m, const char **why)
{
    struct msg_program *p = &m->u.program;
    return verdict(number(w, &p->pid) && big(w, &p->started_ms) && big(w, &p->restarts) &&
                       flag(w, &p->ready) && flag(w, &p->degraded) && text(w, p->state, sizeof p->state) &&
                       str_is_plain(p->state, strlen(p->state)),
                   "PROGRAM: wrong field", why);
}

bool msg_parse_reload(struct mpwalk *w, struct msg *m, const char **why)
{
    struct msg_reload *r = &m->u.reload;
    const char *sha;
    uint32_t sha_len;
    if (!number(w, &r->epoch) || !big(w, &r->length) || mpwalk_bytes(w, &sha, &sha_len) < 0 ||
        sha_len != sizeof r->sha256)
        return verdict(false, "RELOAD: wrong field", why);
    memcpy(r->sha256, sha, sizeof r->sha256);
    return true;
}

bool msg_parse_reloaded(struct mpwalk *w, struct msg *m, const char **why)
{
    struct msg_reloaded *r = &m->u.reloaded;
    return verdict(number(w, &r->epoch) && flag(w, &r->ok) && text(w, r->text, sizeof r->text) &&
                       str_is_plain(r->text, strlen(r->text)),
                   "RELOADED: wrong field", why);
}

bool msg_parse_hold(struct mpwalk *w, struct msg *m, const char **why)
{
    struct msg_hold *h = &m->u.hold;
    return verdict(text(w, h->queue, sizeof h->queue) && flag(w, &h->held) && number(w, &h->number),
                   "HOLD: wrong field", why);
}

bool msg_parse_fill(struct mpwalk *w, struct msg *m, const char **why)
{
    struct msg_fill *f = &m->u.fill;
    return verdict(big(w, &f->bytes) && big(w, &f->max_bytes) && flag(w, &f->listed), "FILL: wrong field",
                   why);
}

bool msg_parse_held(struct mpwalk *w, struct msg *m, const char **why)
{
    struct msg_hold *h = &m->u.held;
    return verdict(text(w, h->queue, sizeof h->queue) && number(w, &h->number), "HELD: wrong field", why);
}

bool msg_parse_batch(struct mpwalk *w, struct msg *m, const char **why)
{
    struct msg_batch *b = &m->u.batch;
    if (!batch_id(w, b->id) || !number(w, &b->tries) || !text(w, b->source, sizeof b->source) ||
        !text(w, b->queue, sizeof b->queue) || !text(w, b->order_key, sizeof b->order_key))
        return verdict(false, "EVENTS: wrong field", why);
    b->flags = 0;
    b->seen = NULL;
    if (m->fields > 6 && !number(w, &b->flags))
        return verdict(false, "EVENTS: wrong flags", why);
    if (mpwalk_array(w, &b->n_events) < 0 || b->n_events == 0)
        return verdict(false, "EVENTS: no events", why);
    b->events = *w;
    for (uint32_t i = 0; i < b->n_events; i++) {
        const char *event;
        uint32_t len;
        if (mpwalk_bytes(w, &event, &len) < 0)
            return verdict(false, "EVENTS: wrong event", why);
    }
    b->events.end = w->at;
    uint32_t len;
    if (m->fields > 7 &&
        (mpwalk_bytes(w, &b->seen, &len) < 0 || len / MSG_SEEN_ID != b->n_events || len % MSG_SEEN_ID != 0))
        return verdict(false, "EVENTS: wrong ids", why);
    return true;
}

bool msg_parse_end(struct mpwalk *w, struct msg *m, const char **why)
{
    (void)w, (void)m, (void)why;
    return true;
}

bool msg_parse_follow(struct mpwalk *w, struct msg *m, const char **why)
{
    struct msg_follow *f = &m->u.follow;
    return verdict(batch_id(w, f->id) && text(w, f->queue, sizeof f->queue) && f->queue[0] != '\0',
                   "FOLLOW: wrong field", why);
}

bool msg_parse_delivered(struct mpwalk *w, struct msg *m, const char **why)
{
    struct msg_delivered *d = &m->u.delivered;
    return verdict(batch_id(w, d->id) && number(w, &d->outcome) && d->outcome <= MSG_OUTCOME_UNKNOWN &&
                       number(w, &d->status) && d->status <= 999 && text(w, d->why, sizeof d->why),
                   "DELIVERED: wrong field", why);
}

bool msg_parse_credit(struct mpwalk *w, struct msg *m, const char **why)
{
    struct msg_credit *c = &m->u.credit;
    return verdict(number(w, &c->batches) && big(w, &c->bytes), "CREDIT: wrong field", why);
}

bool msg_parse_stored(struct mpwalk *w, struct msg *m, const char **why)
{
    struct msg_stored *s = &m->u.stored;
    s->seen = 0;
    return verdict(batch_id(w, s->id) && flag(w, &s->duplicate) && (m->fields < 3 || number(w, &s->seen)),
                   "STORED: wrong field", why);
}

bool msg_parse_refused(struct mpwalk *w, struct msg *m, const char **why)
{
    struct msg_refused *r = &m->u.refused;
    return verdict(batch_id(w, r->id) && flag(w, &r->temporary) && number(w, &r->retry_after_ms) &&
                       text(w, r->why, sizeof r->why),
                   "REFUSED: wrong field", why);
}

bool msg_parse_pressure(struct mpwalk *w, struct msg *m, const char **why)
{
    struct msg_pressure *p = &m->u.pressure;
    uint32_t n = 0;
    bool ok = number(w, &p->memory) && mpwalk_array(w, &n) == 0 && n % 2 == 0 && n / 2 <= MSG_PRESSURE_MAX;
    p->n_queues = n / 2;
    for (uint32_t i = 0; ok && i < p->n_queues; i++)
        ok = text(w, p->queues[i].name, sizeof p->queues[i].name) && big(w, &p->queues[i].jobs);
    return verdict(ok, "PRESSURE: wrong field", why);
}

bool msg_parse_leave(struct mpwalk *w, struct msg *m, const char **why)
{
    (void)w, (void)m, (void)why;
    return true;
}
