/* share - of the ordered queues' lanes, which are this process' to work on; what people are told of it.
 *
 * Strict queues: every worker wants the lease, one gets it, the others stand by. Partitions: every worker says that it is a
 * member, wants its share of them, looks for free ones, and parts with those beyond its share once they are idle. On a drain
 * it says goodbye at once, so that the others need not wait for what it still finishes.
 */
#include <stdlib.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/hook.h"
#include "workers/delivery/delivery.h"

#define TRY_AGAIN_MS 250 /* a partition that somebody else holds is asked for again after it */

static void on_look(struct ev_loop *loop, ev_timer *timer, int revents);

void share_open(struct home *h)
{
    if (h->look.data == NULL)
        ev_timer_init(&h->look, on_look, 0., 0.);
    h->look.data = h;
}

static void want(struct lane *l)
{
    l->order.wanted = true;
    queue_lease_want(l->queue, true);
}

static size_t count_wanted(const struct home *h)
{
    size_t n = 0;

    for (unsigned i = 0; i < h->n_lanes; i++)
        n += h->lanes[i].order.wanted && !h->lanes[i].order.parting;
    return n;
}

/* Of too many, those go first that cost least: not held, then idle, then busy. */
static void part_with(struct home *h, size_t n)
{
    for (int round = 0; round < 3 && n > 0; round++)
        for (unsigned i = h->n_lanes; i-- > 0 && n > 0;) {
            struct lane *l = &h->lanes[i];

            if (!l->order.wanted || l->order.parting || (round == 0 && l->order.held) ||
                (round == 1 && !list_empty(&l->jobs)))
                continue;
            order_part(l);
            n--;
        }
}

/* Workers begin at different places, so that they seldom ask for the same. How many were not found: others hold them
 * still, who are about to part with them or are dead. */
static size_t look_for(struct home *h, size_t n)
{
    uint64_t now_ms = clock_mono_ms();
    const char *token = child_token(h->d->child);
    unsigned first = (unsigned)(map_hash(token, strlen(token)) % h->n_lanes);

    for (unsigned i = 0; i < h->n_lanes && n > 0; i++) {
        struct lane *l = &h->lanes[(first + i) % h->n_lanes];

        if (l->order.wanted || (l->order.tried_ms != 0 && now_ms - l->order.tried_ms < TRY_AGAIN_MS))
            continue;
        want(l);
        n--;
    }
    return n;
}

void share_balance(struct home *h)
{
    size_t wanted = count_wanted(h), share = h->mode == CONF_MODE_STRICT ? 1 : h->quota;

    if (h->d->draining || h->paused || h->members == 0)
        return;
    if (wanted > share)
        part_with(h, wanted - share);
    else if (wanted < share && look_for(h, share - wanted) > 0) {
        ev_timer_stop(h->d->loop, &h->look);
        ev_timer_set(&h->look, TRY_AGAIN_MS / 1e3, 0.);
        ev_timer_start(h->d->loop, &h->look);
    }
}

static void on_look(struct ev_loop *loop, ev_timer *timer, int revents)
{
    (void)loop, (void)revents;
    share_balance(timer->data);
}

static bool is_idle(const struct home *h)
{
    for (unsigned i = 0; i < h->n_lanes; i++)
        if (h->lanes[i].order.held || !list_empty(&h->lanes[i].jobs) || h->lanes[i].asked > 0)
            return false;
    return true;
}

static void on_share(enum queue_status s, const struct queue_share *share, void *arg);

static void say_goodbye(struct home *h)
{
    h->saying = h->said_goodbye = true;
    h->last_word = is_idle(h);
    queue_share_say(home_queue(h), true, on_share, h);
}

static void on_share(enum queue_status s, const struct queue_share *share, void *arg)
{
    struct home *h = arg;

    h->saying = false;
    if (h->d->draining) {
        h->left = h->last_word; /* what went before it on the connection has been done too */
        if (!h->said_goodbye)
            say_goodbye(h);
        delivery_look(h->d);
        return;
    }
    h->absent = s == QUEUE_OK && share->rank == share->members;
    if (s != QUEUE_OK || share->members == 0 || h->paused)
        return;
    h->members = share->members;
    h->quota = h->n_lanes / share->members + (share->rank < h->n_lanes % share->members);
    share_balance(h);
}

/* ---- what people see */

static void put_home(const struct home *h, struct buf *processes, struct buf *stands_by)
{
    char holder[192] = "nobody yet";
    unsigned held = 0;

    for (unsigned i = 0; i < h->n_lanes; i++)
        held += h->lanes[i].order.held;
    if (h->paused && held == 0) {
        (void)buf_printf(stands_by, "%s%s (paused here)", stands_by->len > 0 ? ", " : "", h->name);
        return;
    }
    if (h->mode == CONF_MODE_STRICT) {
        if (h->lanes[0].order.holder != NULL)
            nodes_put(h->d, h->lanes[0].order.holder, holder, sizeof(holder));
        if (held > 0)
            (void)buf_printf(processes, "%s%s", processes->len > 0 ? ", " : "", h->name);
        else
            (void)buf_printf(stands_by, "%s%s (held by %s)", stands_by->len > 0 ? ", " : "", h->name, holder);
        return;
    }
    (void)buf_printf(processes, "%s%u of %u partitions of %s", processes->len > 0 ? ", " : "", held,
                     h->n_lanes, h->name);
    for (unsigned i = 0, n = 0; i < h->n_lanes; i++)
        if (h->lanes[i].order.held)
            (void)buf_printf(processes, "%s%u", n++ == 0 ? ": #" : ",", i);
    (void)buf_printf(processes, " (%zu worker%s)", h->members, h->members == 1 ? "" : "s");
}

static void say(struct delivery *d)
{
    struct buf processes, stands_by;

    buf_init(&processes, 4096);
    buf_init(&stands_by, 4096);
    for (size_t i = 0; i < d->n_homes; i++)
        if (d->homes[i].mode != CONF_MODE_SHARED)
            put_home(&d->homes[i], &processes, &stands_by);
    if (processes.len + stands_by.len > 0)
        child_note(d->child, "%s%s%s%s%s", processes.len > 0 ? "processes " : "", buf_cstr(&processes),
                   processes.len > 0 && stands_by.len > 0 ? "; " : "",
                   stands_by.len > 0 ? "stands by for " : "", buf_cstr(&stands_by));
    buf_fini(&processes);
    buf_fini(&stands_by);
}

void share_second(struct delivery *d)
{
    for (size_t i = 0; i < d->n_homes; i++) {
        struct home *h = &d->homes[i];

        if (h->mode == CONF_MODE_SHARED || !h->agreed || d->draining || h->saying ||
            (h->paused && h->absent) || redis_state(d->redis) != REDIS_READY)
            continue;
        h->saying = true;
        HOOK_SENT(share_sent);
        queue_share_say(home_queue(h), h->paused, on_share, h);
    }
    say(d);
}

/* ---- draining */

void share_pause(struct home *h)
{
    for (unsigned i = 0; i < h->n_lanes; i++)
        order_part(&h->lanes[i]);
}

void share_leave(struct delivery *d)
{
    for (size_t i = 0; i < d->n_homes; i++) {
        struct home *h = &d->homes[i];

        if (h->mode == CONF_MODE_SHARED)
            continue;
        share_pause(h);
        if (!h->saying)
            say_goodbye(h); /* what is free already is for the others now */
    }
}

bool share_left(struct delivery *d)
{
    bool all = true;

    for (size_t i = 0; i < d->n_homes; i++) {
        struct home *h = &d->homes[i];

        if (h->mode == CONF_MODE_SHARED || h->left)
            continue;
        all = false;
        if (is_idle(h) && !h->saying)
            say_goodbye(h);
    }
    return all;
}
