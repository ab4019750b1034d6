/* queue_exec_test - what several queues were given in one loop turn is one transaction; each job is answered as if its queue
 * had been alone. */
#include "tests/unit/queue_rig.h"

#define QUEUES 10

struct answer {
    enum queue_status status;
    unsigned n;
};

struct fan {
    struct rig *rig;
    struct queue *q[QUEUES];
    struct answer of[QUEUES];
    size_t answers, wanted;
    bool all;
    struct queue *free_inside; /* by the first answer */
};

struct wait_for_one {
    struct fan *f;
    size_t i;
};

static struct wait_for_one slots[QUEUES];

static void on_one(enum queue_status s, const char *why, void *arg)
{
    (void)why;
    const struct wait_for_one *w = arg;
    struct fan *f = w->f;
    f->of[w->i].status = s;
    f->of[w->i].n++;
    f->all = ++f->answers == f->wanted;
    if (f->free_inside != NULL) {
        struct queue *q = f->free_inside;
        f->free_inside = NULL;
        queue_free(q);
    }
}

static void fan_open(struct fan *f, struct rig *g)
{
    static char names[QUEUES][8];
    *f = (struct fan){.rig = g};
    for (size_t i = 0; i < QUEUES; i++) {
        struct queue_options o = queue_options(TOKEN);
        snprintf(names[i], sizeof names[i], "q%zu", i);
        o.name = names[i];
        f->q[i] = queue_new(loop, g->r, &o);
        slots[i] = (struct wait_for_one){f, i};
    }
    assert_int_equal(add(g, "warm", "{}"), QUEUE_OK); /* what is asked once is asked */
}

static void fan_close(struct fan *f)
{
    for (size_t i = 0; i < QUEUES; i++)
        queue_free(f->q[i]);
}

static void put(struct fan *f, const char *id)
{
    f->answers = 0;
    f->all = false;
    f->wanted = QUEUES;
    for (size_t i = 0; i < QUEUES; i++) {
        f->of[i] = (struct answer){0};
        queue_add(f->q[i], id, "{}", 2, on_one, &slots[i]);
    }
}

static void wait_all(struct fan *f)
{
    assert_true(loop_until(loop, &f->all));
    for (size_t i = 0; i < QUEUES; i++)
        assert_int_equal(f->of[i].n, 1);
}

static void one_transaction(void **state)
{
    struct fan f;
    fan_open(&f, *state);
    server_ask(&server, "CONFIG RESETSTAT");
    put(&f, "b1");
    wait_all(&f);
    assert_non_null(strstr(server_ask(&server, "INFO commandstats"), "cmdstat_exec:calls=1,"));
    for (size_t i = 0; i < QUEUES; i++) {
        char command[64];
        assert_int_equal(f.of[i].status, QUEUE_OK);
        snprintf(command, sizeof command, "LRANGE {t}:q%zu:wait 0 -1", i);
        is("b1", command);
    }
    put(&f, "b1"); /* again */
    wait_all(&f);
    for (size_t i = 0; i < QUEUES; i++)
        assert_int_equal(f.of[i].status, QUEUE_DUPLICATE);
    is("1", "LLEN {t}:q3:wait");
    is("0", "EXISTS {t}:q3:dray:new:b1");
    fan_close(&f);
}

static void one_that_fails_fails_alone(void **state)
{
    struct fan f;
    fan_open(&f, *state);
    server_ask(&server, "SET {t}:q4:wait x");
    server_ask(&server, "SET {t}:q5:dray:new:b1 x"); /* its hash is not written */
    put(&f, "b1");
    wait_all(&f);
    for (size_t i = 0; i < QUEUES; i++)
        if (i != 4 && i != 5)
            assert_int_equal(f.of[i].status, QUEUE_OK);
    assert_int_equal(f.of[4].status, QUEUE_BROKEN);
    is("0", "EXISTS {t}:q4:b1 {t}:q4:dray:new:b1");
    is("b1", "LRANGE {t}:q6:wait 0 -1");
    fan_close(&f);
}

static void the_script_was_forgotten(void **state)
{
    struct fan f;
    fan_open(&f, *state);
    server_ask(&server, "SCRIPT FLUSH");
    put(&f, "b1");
    wait_all(&f);
    for (size_t i = 0; i < QUEUES; i++)
        assert_int_equal(f.of[i].status, QUEUE_OK);
    is("b1", "LRANGE {t}:q9:wait 0 -1");
    is("0", "EXISTS {t}:q9:dray:new:b1");
    fan_close(&f);
}

static void a_full_server_refuses_all(void **state)
{
    struct fan f;
    fan_open(&f, *state);
    server_ask(&server, "CONFIG SET maxmemory 1");
    put(&f, "b1");
    wait_all(&f);
    server_ask(&server, "CONFIG SET maxmemory 0");
    for (size_t i = 0; i < QUEUES; i++) {
        char command[64];
        assert_int_equal(f.of[i].status, QUEUE_REFUSED);
        snprintf(command, sizeof command, "EXISTS {t}:q%zu:b1 {t}:q%zu:dray:new:b1", i, i);
        is("0", command);
    }
    fan_close(&f);
}

static void one_is_freed_on_the_way(void **state)
{
    struct fan f;
    fan_open(&f, *state);
    put(&f, "b1");
    f.free_inside = f.q[7]; /* by the answer to the first */
    f.q[7] = NULL;
    wait_all(&f);
    assert_int_equal(f.of[7].status, QUEUE_UNKNOWN);
    assert_int_equal(f.of[8].status, QUEUE_OK);
    is("b1", "LRANGE {t}:q7:wait 0 -1");

    f.free_inside = NULL;
    f.q[7] =
        queue_new(loop, f.rig->r,
                  &(struct queue_options){.prefix = "{t}", .name = "q7", .token = TOKEN, .lock_ms = 30000});
    put(&f, "b2");
    queue_free(f.q[2]); /* before anything was sent */
    f.q[2] = NULL;
    wait_all(&f);
    assert_int_equal(f.of[2].status, QUEUE_AWAY);
    assert_int_equal(f.of[7].status, QUEUE_OK);
    fan_close(&f);
}

static void much_is_sent_in_pieces(void **state)
{
    struct fan f;
    size_t len = QUEUE_GROUP_BYTES / 3;
    char *data = malloc(len);
    fan_open(&f, *state);
    memset(data, ' ', len);
    data[0] = '1';
    server_ask(&server, "CONFIG RESETSTAT");
    f.wanted = QUEUES;
    f.answers = 0;
    for (size_t i = 0; i < QUEUES; i++) {
        f.of[i] = (struct answer){0};
        queue_add(f.q[i], "b1", data, len, on_one, &slots[i]);
    }
    wait_all(&f);
    for (size_t i = 0; i < QUEUES; i++)
        assert_int_equal(f.of[i].status, QUEUE_OK);
    const char *stats = strstr(server_ask(&server, "INFO commandstats"), "cmdstat_exec:calls=");
    assert_non_null(stats);
    assert_in_range(atoi(stats + strlen("cmdstat_exec:calls=")), 4, QUEUES);
    fan_close(&f);
    free(data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(one_transaction),           T(one_that_fails_fails_alone), T(the_script_was_forgotten),
        T(a_full_server_refuses_all), T(one_is_freed_on_the_way),    T(much_is_sent_in_pieces),
    };
    return cmocka_run_group_tests(tests, start_server, stop_server);
}
