/* queue_order_rig - an ordered queue for a test: what its lease told, and the last turn. */
#ifndef DRAY_TESTS_UNIT_QUEUE_ORDER_RIG_H
#define DRAY_TESTS_UNIT_QUEUE_ORDER_RIG_H

#include "common/queue/order.h"

#include "tests/unit/queue_rig.h"

#define OTHER "node.1.1.1"

struct holder {
    struct rig g; /* first */
    unsigned acquired, lost, busy;
    uint64_t epoch, busy_ms;
    bool told; /* something of the above */
    char text[200];
    struct queue_turn turn;
    char who[100];
    struct queue_share share;
    struct queue_protocol protocol;
};

static inline void on_acquired(struct queue *q, uint64_t epoch, void *arg)
{
    struct holder *h = arg;
    assert_ptr_equal(q, h->g.q);
    h->acquired++;
    h->epoch = epoch;
    h->told = true;
}

static inline void on_lease_lost(struct queue *q, const char *why, void *arg)
{
    struct holder *h = arg;
    assert_ptr_equal(q, h->g.q);
    assert_false(queue_lease_held(q));
    h->lost++;
    h->told = true;
    snprintf(h->text, sizeof h->text, "%s", why);
}

static inline void on_busy(struct queue *q, const char *token, uint64_t left_ms, void *arg)
{
    struct holder *h = arg;
    assert_ptr_equal(q, h->g.q);
    h->busy++;
    h->busy_ms = left_ms;
    h->told = true;
    snprintf(h->text, sizeof h->text, "%s", token);
}

static inline struct queue_options ordered_options(const char *token, uint64_t lease_ms)
{
    struct queue_options o = queue_options(token);
    o.ordered = true;
    o.lease_ms = lease_ms;
    return o;
}

static inline void holder_open(struct holder *h, const char *token, uint64_t lease_ms)
{
    static const struct queue_lease_events events = {on_acquired, on_lease_lost, on_busy};
    struct queue_options o = ordered_options(token, lease_ms);
    memset(h, 0, sizeof *h);
    rig_open(&h->g, &o);
    queue_lease_start(h->g.q, &events, h);
}

static inline void holder_want(struct holder *h)
{
    unsigned before = h->acquired;
    queue_lease_want(h->g.q, true);
    for (int i = 0; i < 200 && h->acquired == before; i++)
        loop_for(loop, 0.02);
    assert_int_equal(h->acquired, before + 1);
    assert_true(queue_lease_held(h->g.q));
}

/* Waits until *count has passed what it was. */
static inline void await(const unsigned *count, unsigned before)
{
    for (int i = 0; i < 500 && *count <= before; i++)
        loop_for(loop, 0.01);
    assert_true(*count > before);
}

static inline void on_taken_ordered(enum queue_status s, const struct queue_turn *turn,
                                    const struct queue_job *jobs, size_t n, void *arg)
{
    struct holder *h = arg;
    size_t used = 0;
    h->g.status = s;
    h->g.n = n;
    h->g.text[0] = '\0';
    for (size_t i = 0; i < n; i++)
        used +=
            (size_t)snprintf(h->g.text + used, sizeof h->g.text - used, "%s%s", i > 0 ? " " : "", jobs[i].id);
    h->turn = *turn;
    snprintf(h->who, sizeof h->who, "%s", turn->who);
    h->g.answered = true;
}

/* in_hand: "b1 b2". The ids that were taken. */
static inline const char *take_in_order(struct holder *h, unsigned max, const char *in_hand)
{
    char copy[1024], *save = NULL;
    const char *ids[QUEUE_ORDERED_MAX + 1];
    size_t n = 0;
    snprintf(copy, sizeof copy, "%s", in_hand);
    for (char *id = strtok_r(copy, " ", &save); id != NULL; id = strtok_r(NULL, " ", &save))
        ids[n++] = id;
    queue_take_ordered(h->g.q, max, ids, n, on_taken_ordered, h);
    (void)wait_for(&h->g);
    return h->g.text;
}

static inline enum queue_status hold(struct holder *h, const char *id, uint64_t ms, bool count)
{
    struct queue_job job = job_of(id, "{}");
    queue_hold(h->g.q, &job, ms, count, "http 503", on_done, &h->g);
    return wait_for(&h->g);
}

static inline void add_jobs(struct holder *h, const char *ids)
{
    char copy[1024], *save = NULL;
    snprintf(copy, sizeof copy, "%s", ids);
    for (char *id = strtok_r(copy, " ", &save); id != NULL; id = strtok_r(NULL, " ", &save))
        assert_int_equal(add(&h->g, id, "{\"n\":1}"), QUEUE_OK);
}

static inline int holder_setup(void **state)
{
    struct holder *h = calloc(1, sizeof *h);
    server_ask(&server, "CONFIG SET maxmemory 0");
    server_ask(&server, "FLUSHALL");
    holder_open(h, TOKEN, 10000);
    holder_want(h);
    *state = h;
    return 0;
}

static inline int holder_teardown(void **state)
{
    struct holder *h = *state;
    rig_close(&h->g);
    free(h);
    return 0;
}

#define H(f) cmocka_unit_test_setup_teardown(f, holder_setup, holder_teardown)

#endif
