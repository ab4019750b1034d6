/* queue_order_duties_test - Bull's limiter and the longest run on an ordered queue; what Bull's clients may delete. */
#include "tests/unit/queue_order_rig.h"

#include <inttypes.h>

#include "common/base/clock.h"

/* The queue again, with other options. */
static void reopen_with(struct holder *h, const struct queue_options *o)
{
    static const struct queue_lease_events events = {on_acquired, on_lease_lost, on_busy};
    rig_close(&h->g);
    memset(h, 0, sizeof *h);
    rig_open(&h->g, o);
    queue_lease_start(h->g.q, &events, h);
    holder_want(h);
}

static struct queue_options limited(uint64_t jobs, uint64_t ms)
{
    struct queue_options o = ordered_options(TOKEN, 10000);
    o.limiter_jobs = jobs;
    o.limiter_ms = ms;
    return o;
}

static void the_holder_waits_for_the_limiter(void **state)
{
    struct holder *h = *state;
    struct queue_options o = limited(3, 60000);
    reopen_with(h, &o);
    add_jobs(h, "b1 b2 b3 b4 b5");
    server_ask(&server, "SET " B "limiter 1 PX 50000"); /* another client had started one */
    server_ask(&server, "SADD " B "limiter:limited b1");
    server_ask(&server, "HSET " B "limiter:index b1 " B "limiter:limited");
    assert_string_equal(take_in_order(h, 5, ""), "b1 b2");
    assert_int_equal(h->turn.state, QUEUE_TURN_LIMITED);
    assert_in_range(h->turn.retry_ms, 40000, 50000);
    is("3", "GET " B "limiter");
    is("0", "EXISTS " B "limiter:limited " B "limiter:index " B "delayed");
    is("b5,b4,b3", "LRANGE " B "wait 0 -1"); /* nothing is moved, nothing is locked */
    is("0", "EXISTS " B "b3:lock");
    server_ask(&server, "DEL " B "limiter");
    assert_string_equal(take_in_order(h, 1, "b1 b2"), "b3");
    is("1", "GET " B "limiter");
    assert_true(atol(server_ask(&server, "PTTL " B "limiter")) > 50000);
    server_ask(&server, "SET " B "limiter 9"); /* a window that never ends */
    assert_string_equal(take_in_order(h, 1, "b1 b2 b3"), "");
    assert_int_equal(h->turn.state, QUEUE_TURN_LIMITED);
    assert_true(atol(server_ask(&server, "PTTL " B "limiter")) > 50000);
}

static void a_limited_group_keeps_all_behind_it(void **state)
{
    struct holder *h = *state;
    struct queue_options o = limited(1, 60000);
    o.limiter_by_group = true;
    reopen_with(h, &o);
    add_jobs(h, "b1:red b2:blue b3:red b4:green");
    assert_string_equal(take_in_order(h, 9, ""), "b1:red b2:blue");
    assert_int_equal(h->turn.state, QUEUE_TURN_LIMITED);
    is("b4:green,b3:red", "LRANGE " B "wait 0 -1");
    is("0", "EXISTS " B "delayed " B "limiter:index " B "limiter");
    server_ask(&server, "DEL " B "limiter:red");
    assert_string_equal(take_in_order(h, 9, "b1:red b2:blue"), "b3:red b4:green");
}

/* Keys of the limiter that are something else stop nobody. */
static void a_limiter_of_other_keys(void **state)
{
    struct holder *h = *state;
    struct queue_options o = limited(1, 60000);
    reopen_with(h, &o);
    add_jobs(h, "b1 b2");
    server_ask(&server, "RPUSH " B "limiter x");
    assert_string_equal(take_in_order(h, 9, ""), "b1 b2");
    assert_int_equal(h->turn.state, QUEUE_TURN_OPEN);
}

/* A renewed lock is no proof of life: a job that somebody else began too long ago is done again. */
static void a_foreign_job_runs_too_long(void **state)
{
    struct holder *h = *state;
    struct queue_options o = ordered_options(TOKEN, 10000);
    o.max_run_ms = 200;
    o.max_stalled = 1;
    reopen_with(h, &o);
    add_jobs(h, "b2");
    server_ask(&server, "LPUSH " B "active b1");
    server_ask(&server, "SET " B "b1:lock " FOREIGN " PX 60000");
    char command[200];
    snprintf(command, sizeof command, "HSET " B "b1 name x data {} processedOn %" PRIu64, clock_wall_ms());
    server_ask(&server, command);
    assert_string_equal(take_in_order(h, 9, ""), "");
    assert_int_equal(h->turn.state, QUEUE_TURN_BLOCKED);
    assert_string_equal(h->who, FOREIGN);
    loop_for(loop, 0.25);
    assert_string_equal(take_in_order(h, 9, ""), "b1 b2");
    assert_int_equal(h->turn.requeued, 1);
    is(TOKEN, "GET " B "b1:lock");
    is("1", "HGET " B "b1 stalledCounter");
    loop_for(loop, 0.25); /* our own are the caller's to end */
    assert_string_equal(take_in_order(h, 9, "b1 b2"), "");
    is("b2,b1", "LRANGE " B "active 0 -1");
}

/* Bull's removeJobs('*') deletes every hash below the base: none of these is one. */
static void what_must_stay_is_no_hash(void **state)
{
    struct holder *h = *state;
    add_jobs(h, "b1");
    take_in_order(h, 1, "");
    assert_int_equal(hold(h, "b1", 60000, true), QUEUE_OK);
    is("string", "TYPE " B "dray:hold");
    is("string", "TYPE " B "dray:lease");
    is("string", "TYPE " B "dray:epoch");
    server_ask(&server, "DEL " B "dray:hold");
    server_ask(&server, "HSET " B "dray:hold id b1 due 99999999999999"); /* not ours: it holds nobody */
    assert_string_equal(take_in_order(h, 1, ""), "b1");
    assert_int_equal(hold(h, "b1", 60000, true), QUEUE_OK);
    assert_string_equal(take_in_order(h, 1, ""), "");
    assert_int_equal(h->turn.state, QUEUE_TURN_HELD);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        H(the_holder_waits_for_the_limiter), H(a_limited_group_keeps_all_behind_it),
        H(a_limiter_of_other_keys),          H(a_foreign_job_runs_too_long),
        H(what_must_stay_is_no_hash),
    };
    return cmocka_run_group_tests(tests, start_server, stop_server);
}
