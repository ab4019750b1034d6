/* intake - batches that ingest sends become jobs; STORED goes back when Redis has them.
 *
 * A batch is copied once, into the stored form, which stays until no take can come back with it (queue.h, let_go). If the connection breaks while it is being added it is kept and added
 * again under the same id; a lost link drops it, because ingest has its copy. While Redis is away the links get no
 * credit, and after `spool.after` what is held is given back, for the spool: if it was added after all, its id tells. Never holds more than the credit given.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/crash.h"
#include "common/base/hook.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/base/str.h"
#include "ipc/link_recv.h"
#include "workers/delivery/delivery.h"
#include "workers/delivery/seen.h"

#define WINDOW_BATCHES 8
#define WINDOW_BYTES   (8u << 20)
#define ADDING_MAX     (4u << 20) /* given to the queue and not answered */
#define DATA_MAX       (16u << 20)
#define RETRY_MS       1000
#define MOVE_MS        20    /* a batch in memory goes to another worker soon */
#define MEMORY_BATCHES 1024u /* in memory: the bytes are the limit */

struct intake_link {
    struct list link;
    struct delivery *d;
    struct link_recv *recv;
    struct list adds;  /* not answered */
    bool ended;        /* its END came */
    struct list tells; /* tell.c */
};

struct add {
    struct list link;         /* d->held, or in no list while the queue has it */
    struct list sister;       /* of its link; in no list when that is gone */
    struct intake_link *from; /* NULL: gone */
    struct lane *lane;
    char id[ID_SIZE];
    struct buf data;
    struct payload_known known;
    struct buf seen;  /* digests of its events (ipc/msg.h); empty: none */
    struct buf texts; /* the events themselves, where they cannot be read from data */
    uint32_t n_events, dropped;
    char source[MSG_NAME_MAX];
    uint64_t asked_us;
    bool tell; /* its sender wants to know more than STORED */
};

static void forget(struct add *a)
{
    struct delivery *d = a->lane->dest->d;

    list_remove(&a->link);
    list_remove(&a->sister);
    d->adds--;
    buf_fini(&a->data);
    buf_fini(&a->seen);
    buf_fini(&a->texts);
    free(a);
}

static void refuse(struct intake_link *l, const char *id, bool temporary, const char *why)
{
    link_recv_refused(l->recv, id, temporary, temporary ? RETRY_MS : 0, why);
}

static struct payload_head head_of(const struct delivery *d, const char *id, const char *source)
{
    struct payload_head head = {.source = source, .id = id, .wall_ms = clock_wall_ms()};
    const struct conf_source *s = NULL;

    if (d->conf->queue.job_format == CONF_JOB_RUDDER_SDK_V3)
        s = conf_find_source(d->conf, source); /* a source that is gone by now: dray's form has its name */
    if (s != NULL)
        head.write_key = s->write_key;
    return head;
}

static bool is_known(const void *arg, size_t i)
{
    return queue_seen_has(arg, i);
}

/* Makes the stored form anew, of the events that Redis does not know. -1: no memory. */
static int leave_out(struct add *a)
{
    struct payload_head head = head_of(a->lane->dest->d, a->id, a->source);
    struct mpwalk events;
    struct buf left;
    long n = -1;

    buf_init(&left, DATA_MAX);
    if (a->texts.len > 0 ||
        seen_unpack(a->data.data + a->known.batch_at, a->known.batch_len, &a->texts) == 0) {
        mpwalk_init(&events, a->texts.data, a->texts.len);
        n = seen_leave_out(events, a->n_events, &a->seen, is_known, a->lane->queue, &left);
    }
    if (n >= 0) {
        a->dropped += a->n_events - (uint32_t)n;
        a->n_events = (uint32_t)n;
        buf_fini(&a->texts);
        a->texts = left;
        buf_init(&left, 0);
    }
    if (n > 0) {
        mpwalk_init(&events, a->texts.data, a->texts.len);
        buf_reset(&a->data);
        if (payload_write(&a->data, &head, a->n_events, events, &a->known) != 0)
            n = -1;
    }
    buf_fini(&left);
    return n < 0 ? -1 : 0;
}

static bool may_keep(const struct delivery *d)
{
    return conf_spool_processes(d->conf) == 0 || !d->gives_back;
}

static void on_added(enum queue_status s, const char *why, void *arg)
{
    struct add *a = arg;
    struct delivery *d = a->lane->dest->d;

    d->adding_bytes -= a->data.len;
    delivery_count_reply(d, SCRIPT_ADD, a->asked_us, s, why);
    if (s == QUEUE_UNKNOWN && a->from != NULL && may_keep(d)) {
        list_push_back(&d->held, &a->link); /* again after the reconnect */
        HOOK_POINT(add_kept);
        return;
    }
    if (s == QUEUE_SEEN && a->from != NULL) {
        HOOK_POINT(seen_told);
        if (leave_out(a) != 0) {
            s = QUEUE_REFUSED;
            why = "no memory";
        } else if (a->n_events > 0) {
            list_push_front(&d->held, &a->link); /* what is left of it */
            intake_pump(d);
            return;
        }
    }
    if (s == QUEUE_OK) {
        hook_at("batch_stored");
        HOOK_POINT(add_answered);
        metric_add(a->lane->m->added, 1);
    }
    if (s == QUEUE_OK && d->memory) /* intake_ended answers */
        return;
    if (a->from != NULL) {
        if (s == QUEUE_OK || s == QUEUE_DUPLICATE || s == QUEUE_SEEN) {
            if (s != QUEUE_DUPLICATE && a->dropped > 0)
                link_recv_stored_but(a->from->recv, a->id, a->dropped);
            else
                link_recv_stored(a->from->recv, a->id, s == QUEUE_DUPLICATE);
            if (a->tell)
                tell_stored(d, a->id, s == QUEUE_DUPLICATE);
            HOOK_POINT(stored_unsent);
        } else {
            bool temporary = s == QUEUE_REFUSED || s == QUEUE_AWAY || s == QUEUE_UNKNOWN;

            if (a->tell)
                tell_drop(d, a->id);
            if (!temporary || !a->lane->dest->refused_said) /* a full Redis refuses hundreds a second */
                log_event(temporary ? LOGL_WARN : LOGL_ERROR, "batch_refused",
                          "queue=%s batch=%s status=%s why=%s", a->lane->name, a->id, queue_status_name(s),
                          log_q(why));
            a->lane->dest->refused_said |= temporary;
            refuse(a->from, a->id, temporary, why != NULL ? why : queue_status_name(s));
        }
    }
    if (s == QUEUE_OK) { /* intake_let_go follows */
        list_remove(&a->sister);
        a->from = NULL;
    } else {
        forget(a);
    }
    intake_pump(d);
    delivery_look(d);
}

void intake_let_go(void *arg)
{
    struct delivery *d = ((struct add *)arg)->lane->dest->d;

    forget(arg);
    delivery_look(d);
}

/* It is answered as if delivery were storing: ingest keeps its copy until then, and gives it to another worker when this
 * one dies or drains. What a destination will not have goes to the quarantine, there is no other place to keep it. */
void intake_ended(void *arg, enum queue_end end, const char *text)
{
    struct add *a = arg;

    if (a->from == NULL && end != QUEUE_END_COMPLETED)
        log_error("batch_lost", "queue=%s batch=%s why=%s", a->lane->name, a->id, log_q(text));
    else if (a->from == NULL)
        log_debug("batch_outlived", "queue=%s batch=%s", a->lane->name, a->id);
    else if (end == QUEUE_END_COMPLETED)
        link_recv_stored(a->from->recv, a->id, false);
    else if (end == QUEUE_END_FAILED)
        link_recv_refused(a->from->recv, a->id, false, 0, text);
    else
        link_recv_refused(a->from->recv, a->id, true, MOVE_MS, text);
    forget(a);
}

const struct payload_known *intake_known(const void *added)
{
    return &((const struct add *)added)->known;
}

/* Held batches wait for Redis, and for its opinion on the queues (home.c). */
/* Redis has been away for spool.after: what waits for it goes to the spool. */
static void give_back(struct delivery *d)
{
    struct add *a;

    while ((a = list_first(&d->held, struct add, link)) != NULL) {
        if (a->from != NULL)
            refuse(a->from, a->id, true, "redis is away");
        forget(a);
    }
    delivery_look(d);
}

static bool takes_batches(const struct delivery *d)
{
    return redis_state(d->redis) == REDIS_READY && home_agreed(d);
}

static void add(struct add *a)
{
    struct queue *q = a->lane->queue;

    if (a->seen.len > 0)
        queue_add_seen(q, a->id, a->data.data, a->data.len, a->seen.data, a->seen.len / MSG_SEEN_ID, on_added,
                       a);
    else
        queue_add(q, a->id, a->data.data, a->data.len, on_added, a);
}

static void on_away(struct ev_loop *loop, ev_timer *t, int revents)
{
    struct delivery *d = t->data;

    (void)loop, (void)revents;
    if (takes_batches(d) || conf_spool_processes(d->conf) == 0)
        return;
    d->gives_back = true;
    intake_credit(d);
    give_back(d);
}

void intake_away(struct delivery *d)
{
    if (d->gives_back || ev_is_active(&d->away_timer))
        return;
    ev_timer_init(&d->away_timer, on_away, (double)conf_spool_after_ms(d->conf) / 1e3, 0.);
    d->away_timer.data = d;
    ev_timer_start(d->loop, &d->away_timer);
}

void intake_pump(struct delivery *d)
{
    struct add *a;
    struct lane *lane;

    if (takes_batches(d)) {
        if (d->gives_back) {
            d->gives_back = false;
            intake_credit(d);
        }
        ev_timer_stop(d->loop, &d->away_timer);
    }

    while (takes_batches(d) && (a = list_first(&d->held, struct add, link)) != NULL) {
        if (d->adding_bytes >= ADDING_MAX)
            return;
        lane = a->lane;
        list_remove(&a->link);
        d->adding_bytes += a->data.len;
        a->asked_us = clock_mono_us();
        HOOK_POINT(add_unsent);
        HOOK_SENT(add_sent);
        add(a);           /* may be the end of a */
        claim_wake(lane); /* goes with the same write */
    }
}

/* Repeated events are looked for: their digests, and their texts where the stored form does not show them. */
static int remember(struct add *a, const struct msg_batch *b, const struct payload_head *head)
{
    if (b->seen == NULL || !a->lane->dest->d->conf->ingest.dedup_enabled)
        return 0;
    str_copy(a->source, b->source, sizeof(a->source));
    if (buf_append(&a->seen, b->seen, (size_t)b->n_events * MSG_SEEN_ID) != 0)
        return -1;
    if (head->write_key == NULL)
        return 0;
    return buf_append(&a->texts, b->events.at, (size_t)(b->events.end - b->events.at));
}

static void on_batch(struct link_recv *recv, const struct msg_batch *b, void *arg)
{
    struct intake_link *l = arg;
    struct delivery *d = l->d;
    struct lane *lane = lanes_find(d, b->queue);
    struct payload_head head;
    struct add *a;

    HOOK_POINT(batch_read);
    hook_at_data("batch_arrived", b->events.at, (size_t)(b->events.end - b->events.at));
    if (redis_state(d->redis) != REDIS_READY || !may_keep(d)) {
        refuse(l, b->id, true, "redis is away");
        return;
    }
    if (lane == NULL)
        lane = lanes_stray(d, b->queue);
    if (lane == NULL) {
        refuse(l, b->id, true, "no such destination");
        return;
    }
    a = xcalloc(1, sizeof(*a));
    a->from = l;
    a->lane = lane;
    memcpy(a->id, b->id, sizeof(a->id));
    head = head_of(d, a->id, b->source);
    buf_init(&a->data, DATA_MAX);
    list_init(&a->sister);
    list_init(&a->link);
    d->adds++;
    a->n_events = b->n_events;
    buf_init(&a->seen, DATA_MAX);
    buf_init(&a->texts, DATA_MAX);
    if (remember(a, b, &head) != 0 ||
        buf_reserve(&a->data, (size_t)(b->events.end - b->events.at) + 256) != 0 ||
        payload_write(&a->data, &head, b->n_events, b->events, &a->known) != 0) {
        refuse(l, b->id, errno == ENOMEM, errno == ENOMEM ? "no memory" : "the batch cannot be stored");
        forget(a);
        return;
    }
    list_push_back(&l->adds, &a->sister);
    list_push_back(&d->held, &a->link);
    a->tell = (b->flags & MSG_BATCH_TELL) != 0 && !d->memory; /* there STORED comes after the delivery */
    if (a->tell)
        tell_begin(lane, a->id, recv, &l->tells);
    intake_pump(d);
}

static void on_follow(struct link_recv *recv, const struct msg_follow *f, void *arg)
{
    struct intake_link *l = arg;
    struct lane *lane = lanes_find(l->d, f->queue);

    if (lane == NULL) {
        link_recv_delivered(recv, f->id, MSG_OUTCOME_UNKNOWN, 0, "");
        return;
    }
    tell_begin(lane, f->id, recv, &l->tells);
    tell_stored(l->d, f->id, true);
}

static void on_end(struct link_recv *recv, void *arg)
{
    struct intake_link *l = arg;

    (void)recv;
    l->ended = true;
    delivery_look(l->d);
}

static void free_link(struct intake_link *l)
{
    struct add *a;

    while ((a = list_first(&l->adds, struct add, sister)) != NULL) {
        list_remove(&a->sister);
        a->from = NULL;
        if (list_linked(&a->link)) /* not under way: nobody waits for it any more */
            forget(a);
    }
    tell_link_gone(l->d, &l->tells);
    list_remove(&l->link);
    l->d->n_links--;
    link_recv_free(l->recv);
    free(l);
}

static void on_gone(struct link_recv *recv, int error, const char *why, void *arg)
{
    struct intake_link *l = arg;
    struct delivery *d = l->d;

    (void)recv;
    if (error != 0)
        log_error("link_broken", "error=%s why=%s", log_q(strerror(error)), log_q(why));
    free_link(l);
    delivery_look(d);
}

static void say_credit(const struct intake_link *l)
{
    bool open = redis_state(l->d->redis) == REDIS_READY && may_keep(l->d);

    if (l->d->memory) {
        link_recv_credit(l->recv, MEMORY_BATCHES,
                         l->d->conf->delivery.memory_bytes / l->d->n_links);
        return;
    }
    link_recv_credit(l->recv, open ? WINDOW_BATCHES : 0, open ? WINDOW_BYTES : 0);
}

void intake_link(struct delivery *d, int batch_fd, int ack_fd)
{
    static const struct link_recv_events events = {
        .batch = on_batch, .end = on_end, .gone = on_gone, .follow = on_follow};
    struct intake_link *l = xcalloc(1, sizeof(*l));

    l->d = d;
    list_init(&l->adds);
    list_init(&l->tells);
    list_push_back(&d->links, &l->link);
    d->n_links++;
    l->recv = link_recv_new(d->loop, batch_fd, ack_fd, child_generation(d->child), &events, l);
    if (d->memory)
        intake_credit(d); /* it is shared out */
    else
        say_credit(l);
    pressure_link(d, l->recv);
    if (d->draining)
        link_recv_leave(l->recv);
}

void intake_credit(struct delivery *d)
{
    struct intake_link *l;

    list_foreach(l, &d->links, struct intake_link, link) say_credit(l);
}

void intake_pressure(struct delivery *d, const struct msg_pressure *p)
{
    struct intake_link *l;

    list_foreach(l, &d->links, struct intake_link, link) link_recv_pressure(l->recv, p);
}

void intake_held(const struct delivery *d)
{
    struct intake_link *l;

    list_foreach(l, &d->links, struct intake_link, link)
    {
        struct add *a;

        list_foreach(a, &l->adds, struct add, sister) crash_put_held("batch", a->id);
    }
}

void intake_leave(struct delivery *d)
{
    struct intake_link *l;

    list_foreach(l, &d->links, struct intake_link, link) link_recv_leave(l->recv);
}

bool intake_done(const struct delivery *d)
{
    struct intake_link *l;

    list_foreach(l, &d->links, struct intake_link, link) if (!l->ended || link_recv_in_hand(l->recv) > 0 ||
                                                             !link_recv_flushed(l->recv)) return false;
    return true;
}
