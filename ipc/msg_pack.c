/* msg_pack - the packers of every message, in the order of msg.def. Called by msg_pack; msgpack-c writes here, and
 * only writes: what was received is never given to it. */
#include "ipc/msg_row.h"

#include <errno.h>
#include <msgpack.h>
#include <string.h>

#include "ipc/frame.h"

static int write_out(void *data, const char *bytes, size_t len)
{
    struct msg_out *o = data;
    if (buf_append(o->buf, bytes, len) < 0)
        o->failed = true;
    return 0;
}

static void put_array(struct msg_out *o, uint32_t n)
{
    msgpack_packer pk;
    msgpack_packer_init(&pk, o, write_out);
    msgpack_pack_array(&pk, n);
}

static void put_number(struct msg_out *o, uint64_t v)
{
    msgpack_packer pk;
    msgpack_packer_init(&pk, o, write_out);
    msgpack_pack_uint64(&pk, v);
}

static void put_bool(struct msg_out *o, bool v)
{
    msgpack_packer pk;
    msgpack_packer_init(&pk, o, write_out);
    if (v)
        msgpack_pack_true(&pk);
    else
        msgpack_pack_false(&pk);
}

static void put_text(struct msg_out *o, const char *s)
{
    size_t len = strlen(s);
    msgpack_packer pk;
    msgpack_packer_init(&pk, o, write_out);
    msgpack_pack_str(&pk, len);
    msgpack_pack_str_body(&pk, s, len);
}

static void put_bytes(struct msg_out *o, const void *data, size_t len)
{
    msgpack_packer pk;
    msgpack_packer_init(&pk, o, write_out);
    msgpack_pack_bin(&pk, len);
    msgpack_pack_bin_body(&pk, data, len);
}

static void put_numbers(struct msg_out *o, const uint64_t *v, uint32_t n)
{
    put_array(o, n);
    for (uint32_t i = 0; i < n; i++)
        put_number(o, v[i]);
}

static uint32_t at_most(uint32_t n, uint32_t max)
{
    return n < max ? n : max;
}

void msg_pack_prefix(struct msg_out *o, unsigned type, uint32_t generation, uint32_t fields)
{
    put_array(o, 2 + fields);
    put_number(o, type);
    put_number(o, generation);
}

void msg_pack_hello(struct msg_out *o, const struct msg *m)
{
    const struct msg_hello *h = &m->u.hello;
    put_number(o, h->proto_min);
    put_number(o, h->proto_max);
    put_text(o, h->kind);
    put_number(o, h->slot);
    put_number(o, h->pid);
    put_text(o, h->build);
}

void msg_pack_config(struct msg_out *o, const struct msg *m)
{
    const struct msg_config *c = &m->u.config;
    put_number(o, c->epoch);
    put_number(o, c->length);
    put_bytes(o, c->sha256, sizeof c->sha256);
    put_number(o, c->listeners);
    put_text(o, c->node);
    put_number(o, c->run);
    put_number(o, c->beat_ms);
    put_number(o, c->hang_ms);
    put_number(o, c->drain_ms);
}

void msg_pack_ready(struct msg_out *o, const struct msg *m)
{
    put_number(o, m->u.ready.epoch);
}

void msg_pack_beat(struct msg_out *o, const struct msg *m)
{
    const struct msg_beat *b = &m->u.beat;
    put_number(o, b->mono_ms);
    put_number(o, b->loop_lag_ms);
    put_number(o, b->in_hand);
    put_number(o, b->dropped_logs);
    put_numbers(o, b->clients, at_most(b->n_clients, MSG_CLIENTS_MAX));
    put_number(o, b->jobs);
}

void msg_pack_extend(struct msg_out *o, const struct msg *m)
{
    put_number(o, m->u.extend.ms);
    put_text(o, m->u.extend.why);
}

void msg_pack_link(struct msg_out *o, const struct msg *m)
{
    const struct msg_link *l = &m->u.link;
    put_number(o, l->link_id);
    put_number(o, l->role);
    put_text(o, l->peer_kind);
    put_number(o, l->peer_slot);
    put_number(o, l->peer_generation);
}

static void put_part(struct msg_out *o, const struct msg_part *p)
{
    put_number(o, p->part);
    put_number(o, p->parts);
    put_bytes(o, p->bytes, p->len);
}

void msg_pack_stats(struct msg_out *o, const struct msg *m)
{
    put_part(o, &m->u.stats);
}

void msg_pack_metrics(struct msg_out *o, const struct msg *m)
{
    put_part(o, &m->u.metrics);
}

void msg_pack_unlink(struct msg_out *o, const struct msg *m)
{
    put_number(o, m->u.unlink.peer_generation);
}

void msg_pack_drain(struct msg_out *o, const struct msg *m)
{
    put_number(o, m->u.drain.deadline_ms);
    put_text(o, m->u.drain.reason);
}

void msg_pack_drained(struct msg_out *o, const struct msg *m)
{
    put_number(o, m->u.drained.left);
}

void msg_pack_stop(struct msg_out *o, const struct msg *m)
{
    (void)o, (void)m;
}

void msg_pack_level(struct msg_out *o, const struct msg *m)
{
    put_number(o, m->u.level.level);
}

void msg_pack_health(struct msg_out *o, const struct msg *m)
{
    put_bool(o, m->u.health.ready);
    put_bytes(o, m->u.health.json, m->u.health.json_len);
}

void msg_pack_reap(struct msg_out *o, const struct msg *m)
{
    const struct msg_reap *r = &m->u.reap;
    put_text(o, r->token);
    put_bool(o, r->prefix);
    put_numbers(o, r->clients, at_most(r->n_clients, MSG_CLIENTS_MAX));
}

void msg_pack_reaped(struct msg_out *o, const struct msg *m)
{
    put_text(o, m->u.reaped.token);
    put_number(o, m->u.reaped.jobs);
}

void msg_pack_note(struct msg_out *o, const struct msg *m)
{
    put_text(o, m->u.note.text);
}

void msg_pack_program(struct msg_out *o, const struct msg *m)
{
    put_number(o, m->u.program.pid);
    put_number(o, m->u.program.started_ms);
    put_number(o, m->u.program.restarts);
    put_bool(o, m->u.program.ready);
    put_bool(o, m->u.program.degraded);
    put_text(o, m->u.program.state);
}

void msg_pack_flush(struct msg_out *o, const struct msg *m)
{
    put_number(o, m->u.flush.id);
}

void msg_pack_flushed(struct msg_out *o, const struct msg *m)
{
    put_number(o, m->u.flushed.id);
}

void msg_pack_pause(struct msg_out *o, const struct msg *m)
{
    put_text(o, m->u.pause.queue);
    put_bool(o, m->u.pause.paused);
}

void msg_pack_reload(struct msg_out *o, const struct msg *m)
{
    const struct msg_reload *r = &m->u.reload;
    put_number(o, r->epoch);
    put_number(o, r->length);
    put_bytes(o, r->sha256, sizeof r->sha256);
}

void msg_pack_reloaded(struct msg_out *o, const struct msg *m)
{
    put_number(o, m->u.reloaded.epoch);
    put_bool(o, m->u.reloaded.ok);
    put_text(o, m->u.reloaded.text);
}

void msg_pack_hold(struct msg_out *o, const struct msg *m)
{
    put_text(o, m->u.hold.queue);
    put_bool(o, m->u.hold.held);
    put_number(o, m->u.hold.number);
}

void msg_pack_fill(struct msg_out *o, const struct msg *m)
{
    put_number(o, m->u.fill.bytes);
    put_number(o, m->u.fill.max_bytes);
    put_bool(o, m->u.fill.listed);
}

void msg_pack_held(struct msg_out *o, const struct msg *m)
{
    put_text(o, m->u.held.queue);
    put_number(o, m->u.held.number);
}

/* Batches go by msg_pack_batch_head; msg_pack refuses them before it comes here. */
void msg_pack_batch(struct msg_out *o, const struct msg *m)
{
    (void)m;
    o->failed = true;
    errno = EINVAL;
}

void msg_pack_end(struct msg_out *o, const struct msg *m)
{
    (void)o, (void)m;
}

void msg_pack_follow(struct msg_out *o, const struct msg *m)
{
    put_text(o, m->u.follow.id);
    put_text(o, m->u.follow.queue);
}

void msg_pack_delivered(struct msg_out *o, const struct msg *m)
{
    const struct msg_delivered *d = &m->u.delivered;
    put_text(o, d->id);
    put_number(o, d->outcome);
    put_number(o, d->status);
    put_text(o, d->why);
}

void msg_pack_credit(struct msg_out *o, const struct msg *m)
{
    put_number(o, m->u.credit.batches);
    put_number(o, m->u.credit.bytes);
}

void msg_pack_stored(struct msg_out *o, const struct msg *m)
{
    put_text(o, m->u.stored.id);
    put_bool(o, m->u.stored.duplicate);
    if (m->u.stored.seen > 0)
        put_number(o, m->u.stored.seen);
}

void msg_pack_refused(struct msg_out *o, const struct msg *m)
{
    const struct msg_refused *r = &m->u.refused;
    put_text(o, r->id);
    put_bool(o, r->temporary);
    put_number(o, r->retry_after_ms);
    put_text(o, r->why);
}

void msg_pack_pressure(struct msg_out *o, const struct msg *m)
{
    const struct msg_pressure *p = &m->u.pressure;
    uint32_t n = at_most(p->n_queues, MSG_PRESSURE_MAX);
    put_number(o, p->memory);
    put_array(o, 2 * n);
    for (uint32_t i = 0; i < n; i++) {
        put_text(o, p->queues[i].name);
        put_number(o, p->queues[i].jobs);
    }
}

void msg_pack_leave(struct msg_out *o, const struct msg *m)
{
    (void)o, (void)m;
}

int msg_pack_event(struct buf *body, const char *json, size_t len)
{
    if (len > UINT32_MAX) {
        errno = EMSGSIZE;
        return -1;
    }
    if (buf_reserve(body, len + 5) < 0) /* the longest bin head */
        return -1;
    struct msg_out o = {.buf = body};
    put_bytes(&o, json, len);
    return 0;
}

int msg_pack_batch_head(unsigned char *head, size_t *head_len, uint32_t generation, const char *id,
                        uint32_t tries, const char *source, const char *queue, const char *order_key,
                        uint32_t flags, uint32_t n_events, size_t body_len)
{
    return msg_pack_batch_head_of(head, head_len, generation, id, tries, source, queue, order_key, flags,
                                  n_events, body_len, 0);
}

int msg_pack_batch_head_of(unsigned char *head, size_t *head_len, uint32_t generation, const char *id,
                           uint32_t tries, const char *source, const char *queue, const char *order_key,
                           uint32_t flags, uint32_t n_events, size_t body_len, size_t tail_len)
{
    struct buf b = {
        .data = (char *)head, .cap = MSG_BATCH_HEAD_MAX, .max = MSG_BATCH_HEAD_MAX, .len = FRAME_HEAD};
    struct msg_out o = {.buf = &b};
    if (strlen(id) >= ID_SIZE || strlen(source) >= MSG_NAME_MAX || strlen(queue) >= MSG_QUEUE_MAX ||
        strlen(order_key) >= MSG_KEY_MAX) {
        errno = EMSGSIZE;
        return -1;
    }
    const struct msg_row *row = msg_row(MSG_EVENTS);
    bool more = flags != 0 || tail_len > 0;
    msg_pack_prefix(&o, MSG_EVENTS, generation, row->min + more + (tail_len > 0));
    put_text(&o, id);
    put_number(&o, tries);
    put_text(&o, source);
    put_text(&o, queue);
    put_text(&o, order_key);
    if (more)
        put_number(&o, flags);
    put_array(&o, n_events);
    size_t len = b.len - FRAME_HEAD;
    if (o.failed || body_len > row->cap - len || tail_len > row->cap - len - body_len) {
        errno = EMSGSIZE;
        return -1;
    }
    frame_put_head(head, (uint32_t)(len + body_len + tail_len));
    *head_len = b.len;
    return 0;
}
