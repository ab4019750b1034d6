/* queue_lease_test - leases, members, the protocol's state: as queue_test. */
#include "tests/unit/queue_order_rig.h"

#include "common/base/clock.h"
#include "common/queue/partition.h"

/* ---- granting */

static void one_holds_the_others_stand_by(void **state)
{
    struct holder *h = *state, other;
    is(TOKEN "/1", "GET " B "dray:lease");
    assert_int_equal(h->epoch, 1);
    holder_open(&other, OTHER, 10000);
    queue_lease_want(other.g.q, true);
    await(&other.busy, 0);
    assert_string_equal(other.text, TOKEN);
    assert_true(other.busy_ms > 5000 && other.busy_ms <= 10000);
    assert_false(queue_lease_held(other.g.q));
    queue_lease_want(h->g.q, false);
    assert_false(queue_lease_held(h->g.q));
    await(&other.acquired, 0); /* within a second or so, not the lease's time */
    is(OTHER "/2", "GET " B "dray:lease");
    assert_int_equal(other.epoch, 2);
    assert_int_equal(h->lost, 0); /* it was given up */
    queue_lease_want(other.g.q, false);
    loop_for(loop, 0.05);
    is("0", "EXISTS " B "dray:lease");
    rig_close(&other.g);
}

static void a_lease_runs_out_with_its_holder(void **state)
{
    struct holder *h = *state, other;
    queue_lease_want(h->g.q, false);
    loop_for(loop, 0.05);
    server_ask(&server, "SET " B "dray:lease dead.1.0.1/7 PX 400");
    server_ask(&server, "SET " B "dray:epoch 7");
    holder_open(&other, OTHER, 10000);
    holder_want(&other);
    assert_true(other.busy >= 1);
    assert_int_equal(other.epoch, 8);
    rig_close(&other.g);
}

static void a_lease_that_would_last_for_ever_does_not(void **state)
{
    struct holder *h = *state, other;
    queue_lease_want(h->g.q, false);
    loop_for(loop, 0.05);
    server_ask(&server, "SET " B "dray:lease by-hand");
    holder_open(&other, OTHER, 300);
    holder_want(&other);
    assert_string_equal(other.text, "by-hand");
    is(OTHER "/2", "GET " B "dray:lease");
    rig_close(&other.g);
}

static void renewal_keeps_the_lease_and_the_locks(void **state)
{
    struct holder *h = *state, other;
    queue_lease_want(h->g.q, false);
    loop_for(loop, 0.05);
    holder_open(&other, OTHER, 400);
    holder_want(&other);
    add_jobs(&other, "b1 b2");
    assert_string_equal(take_in_order(&other, 2, ""), "b1 b2");
    assert_true(atol(server_ask(&server, "PTTL " B "b1:lock")) <= 400);
    server_ask(&server, "SADD " B "stalled b1");
    loop_for(loop, 1.2);
    assert_int_equal(other.acquired, 1);
    assert_int_equal(other.lost, 0);
    is(OTHER "/2", "GET " B "dray:lease");
    is("2", "EXISTS " B "b1:lock " B "b2:lock");
    is("0", "EXISTS " B "stalled");
    assert_int_equal(complete(&other.g, "b1", "{}"), QUEUE_OK);
    rig_close(&other.g);
}

static void scripts_that_were_flushed_are_loaded_again(void **state)
{
    struct holder *h = *state;
    server_ask(&server, "SCRIPT FLUSH");
    add_jobs(h, "b1");
    assert_string_equal(take_in_order(h, 2, ""), "b1");
    assert_int_equal(hold(h, "b1", 0, false), QUEUE_OK);
}

static void everything_works_in_a_full_redis(void **state)
{
    struct holder *h = *state, other;
    add_jobs(h, "b1 b2");
    server_ask(&server, "CONFIG SET maxmemory 1mb");
    assert_string_equal(take_in_order(h, 2, ""), "b1 b2");
    assert_int_equal(hold(h, "b1", 60000, true), QUEUE_OK);
    queue_lease_want(h->g.q, false);
    holder_open(&other, OTHER, 10000);
    holder_want(&other);
    take_in_order(&other, 1, "");
    assert_int_equal(other.turn.state, QUEUE_TURN_HELD);
    rig_close(&other.g);
    server_ask(&server, "CONFIG SET maxmemory 0");
}

/* ---- losing */

static void losing_it_to_another(void **state)
{
    struct holder *h = *state;
    add_jobs(h, "b1 b2 b3");
    assert_string_equal(take_in_order(h, 2, ""), "b1 b2");
    server_ask(&server, "SET " B "dray:lease " FOREIGN "/9 PX 60000");
    assert_true(queue_lease_held(h->g.q)); /* by the own clock */
    take_in_order(h, 1, "b1 b2");
    assert_int_equal(h->g.status, QUEUE_LOST);
    assert_int_equal(h->lost, 1);
    is("b3", "LRANGE " B "wait 0 -1");
    assert_int_equal(complete(&h->g, "b1", "{}"), QUEUE_LOST);
    assert_int_equal(hold(h, "b1", 100, true), QUEUE_LOST);
    assert_int_equal(fail_job(&h->g, "b1", "{}", "no"), QUEUE_LOST);
    assert_string_equal(renew(&h->g, "b1", "b2"), "b1 b2 ");
    is("b2,b1", "LRANGE " B "active 0 -1");
    is("(nil)", "HGET " B "b1 attemptsMade");
    is("0", "EXISTS " B "completed " B "failed " B "dray:hold");
    assert_int_equal(hand_back(&h->g, "b1"), QUEUE_OK); /* the lock is enough, and b2 goes with it */
    is("b3,b2,b1", "LRANGE " B "wait 0 -1");
    is("0", "EXISTS " B "active " B "b1:lock " B "b2:lock");
    assert_int_equal(hand_back(&h->g, "b2"), QUEUE_LOST);
    is(FOREIGN "/9", "GET " B "dray:lease");
}

static void settling_finds_out_too(void **state)
{
    struct holder *h = *state;
    add_jobs(h, "b1");
    take_in_order(h, 1, "");
    server_ask(&server, "SET " B "dray:lease " TOKEN "/9 PX 60000"); /* another epoch of the same token */
    assert_int_equal(complete(&h->g, "b1", "{}"), QUEUE_LOST);
    assert_string_equal(h->g.why, "the lease is not ours any more");
    assert_int_equal(h->lost, 1);
    await(&h->acquired, 1);
    assert_int_equal(complete(&h->g, "b1", "{}"), QUEUE_OK);
}

static void a_lost_connection_is_a_lost_lease(void **state)
{
    struct holder *h = *state;
    add_jobs(h, "b1 b2");
    take_in_order(h, 1, "");
    server_ask(&server, "CLIENT KILL ID %lld", (long long)redis_client_id(h->g.r));
    await(&h->lost, 0);
    assert_string_equal(h->text, "the connection to Redis was lost");
    assert_int_equal(complete(&h->g, "b1", "{}"), QUEUE_AWAY);
    await(&h->acquired, 1);
    is(TOKEN "/2", "GET " B "dray:lease"); /* what the old connection may still have sent is fenced */
    assert_int_equal(complete(&h->g, "b1", "{}"), QUEUE_OK);
    assert_string_equal(take_in_order(h, 1, ""), "b2");
}

static void a_lease_that_cannot_be_renewed_is_not_trusted(void **state)
{
    struct holder *h = *state, other;
    queue_lease_want(h->g.q, false);
    loop_for(loop, 0.05);
    holder_open(&other, OTHER, 500);
    holder_want(&other);
    kill(server.pid, SIGSTOP);
    await(&other.lost, 0); /* long before the command would time out */
    kill(server.pid, SIGCONT);
    assert_string_equal(other.text, "it was not renewed in time");
    await(&other.acquired, 1);
    is(OTHER "/3", "GET " B "dray:lease");
    rig_close(&other.g);
}

static uint64_t frozen_us;

static uint64_t frozen_clock(void)
{
    return frozen_us;
}

static void a_stopped_process_finds_out_by_its_clock(void **state)
{
    struct holder *h = *state;
    frozen_us = clock_mono_us();
    clock_replace(frozen_clock, NULL);
    assert_true(queue_lease_held(h->g.q));
    frozen_us += 9100000; /* less than the lease, but too near its end */
    assert_false(queue_lease_held(h->g.q));
    clock_replace(NULL, NULL);
}

static void a_flushed_redis(void **state)
{
    struct holder *h = *state;
    server_ask(&server, "FLUSHALL");
    take_in_order(h, 1, "");
    assert_int_equal(h->g.status, QUEUE_LOST);
    assert_int_equal(h->lost, 1);
    await(&h->acquired, 1);
    add_jobs(h, "b1");
    assert_string_equal(take_in_order(h, 1, ""), "b1");
}

static void restarted_redis(bool with_aof)
{
    static const char *const aof[] = {"--appendonly", "yes", "--appendfsync", "always", NULL};
    struct server before = server;
    struct holder h, other;
    server_start(&server, with_aof ? aof : NULL);
    holder_open(&h, TOKEN, 2000);
    holder_want(&h);
    add_jobs(&h, "b1 b2");
    take_in_order(&h, 1, "");
    server_kill(&server);
    await(&h.lost, 0);
    queue_lease_want(h.g.q, false); /* this one does not come back */
    server_run(&server, with_aof ? aof : NULL);
    holder_open(&other, OTHER, 2000);
    holder_want(&other);
    /* The lease has survived and was waited for; without the file nothing has. */
    assert_int_equal(other.epoch, with_aof ? 2 : 1);
    assert_true(with_aof == (other.busy > 0));
    assert_string_equal(take_in_order(&other, 2, ""), with_aof ? "b1 b2" : "");
    rig_close(&h.g);
    rig_close(&other.g);
    server_stop(&server);
    server = before;
}

static void leases_survive_a_restart_of_redis(void **state)
{
    (void)state;
    restarted_redis(true);
    restarted_redis(false);
}

/* ---- giving up */

static void giving_up_waits_for_what_was_asked_before(void **state)
{
    struct holder *h = *state;
    struct holder second = {0};
    add_jobs(h, "b1 b2 b3");
    take_in_order(h, 1, "");
    struct queue_job job = job_of("b1", "{}");
    const char *in_hand[] = {"b1"};
    second.g.q = h->g.q;
    queue_take_ordered(h->g.q, 1, in_hand, 1, on_taken_ordered, &second);
    queue_complete(h->g.q, &job, "1", on_done, &h->g);
    queue_lease_want(h->g.q, false);
    assert_int_equal(wait_for(&h->g), QUEUE_OK);
    assert_int_equal(wait_for(&second.g), QUEUE_OK);
    assert_string_equal(second.g.text, "b2"); /* what a take under way brings is handed back */
    assert_int_equal(hand_back(&h->g, "b2"), QUEUE_OK);
    loop_for(loop, 0.05);
    is("0", "EXISTS " B "dray:lease " B "active");
    is("b3,b2", "LRANGE " B "wait 0 -1");
    queue_lease_want(h->g.q, true);
    queue_lease_want(h->g.q, false); /* a mind that changes */
    queue_lease_want(h->g.q, true);
    await(&h->acquired, 1);
    queue_lease_want(h->g.q, false);
    queue_lease_want(h->g.q, true);
    await(&h->acquired, 2);
    is(TOKEN "/3", "GET " B "dray:lease");
}

static void an_answer_that_comes_when_nobody_wants_it(void **state)
{
    struct holder *h = *state;
    queue_lease_want(h->g.q, false);
    loop_for(loop, 0.05);
    queue_lease_want(h->g.q, true);
    ev_run(loop, EVRUN_NOWAIT); /* asked */
    queue_lease_want(h->g.q, false);
    loop_for(loop, 0.1);
    assert_int_equal(h->acquired, 1);
    is("0", "EXISTS " B "dray:lease");
}

/* ---- the tick */

static void the_holder_ticks(void **state)
{
    struct holder *h = *state, other;
    struct ticks t = {0}, o = {0};
    holder_open(&other, OTHER, 10000);
    queue_lease_want(other.g.q, true);
    plant("b1", "{}");
    server_ask(&server, "DEL " B "wait");
    server_ask(&server, "ZADD " B "delayed 4096 b1");
    server_ask(&server, "LPUSH " B "active lost");
    server_ask(&server, "SADD " B "stalled lost");
    queue_tick_start(other.g.q, &tick_events, &o);
    loop_for(loop, 0.3);
    assert_false(o.counted_any);
    queue_tick_start(h->g.q, &tick_events, &t);
    assert_true(loop_until(loop, &t.promoted_any));
    assert_true(loop_until(loop, &t.counted_any));
    is("b1", "LRANGE " B "wait 0 -1");
    is("0", "EXISTS " B "dray:tick " B "stalled-check"); /* the next take looks at active */
    is("lost", "LRANGE " B "active 0 -1");
    queue_lease_want(h->g.q, false);
    assert_true(loop_until(loop, &o.counted_any));
    server_ask(&server, "SET " B "dray:lease " FOREIGN "/9 PX 60000");
    await(&other.lost, 0); /* the tick was told first */
    rig_close(&other.g);
}

/* ---- members */

static void on_share(enum queue_status s, const struct queue_share *share, void *arg)
{
    struct holder *h = arg;
    h->g.status = s;
    h->share = *share;
    h->g.text[0] = '\0';
    for (size_t i = 0; i < share->members; i++)
        snprintf(h->g.text + strlen(h->g.text), sizeof h->g.text - strlen(h->g.text), "%s ",
                 share->tokens[i]);
    h->g.answered = true;
}

static const char *say(struct holder *h, bool leaving)
{
    queue_share_say(h->g.q, leaving, on_share, h);
    assert_int_equal(wait_for(&h->g), QUEUE_OK);
    return h->g.text;
}

static void members_come_and_go(void **state)
{
    struct holder *h = *state, other;
    assert_string_equal(say(h, false), TOKEN " ");
    assert_int_equal(h->share.rank, 0);
    loop_for(loop, 0.01);
    holder_open(&other, "a.1.0.1", 10000); /* the time of joining counts, not the name */
    assert_string_equal(say(&other, false), TOKEN " a.1.0.1 ");
    assert_int_equal(other.share.rank, 1);
    assert_int_equal(other.share.members, 2);
    assert_string_equal(say(h, false), TOKEN " a.1.0.1 ");
    assert_string_equal(say(h, true), "a.1.0.1 ");
    assert_int_equal(h->share.rank, 1); /* none */
    assert_string_equal(say(h, true), "a.1.0.1 ");
    loop_for(loop, 0.01);
    assert_string_equal(say(h, false), "a.1.0.1 " TOKEN " ");
    rig_close(&other.g);
}

static void the_silent_are_removed(void **state)
{
    struct holder *h = *state;
    double now = atof(server_ask(&server, "TIME")) * 1000;
    server_ask(&server, "ZADD " B "dray:members 1 silent 2 recent 3 future 4 unseen");
    server_ask(&server, "ZADD " B "dray:seen %.0f silent %.0f recent %.0f future %.0f half", now - 20000,
               now - 5000, now + 3600000, now - 5000);
    assert_string_equal(say(h, false), "recent future " TOKEN " ");
    assert_true(atof(server_ask(&server, "ZSCORE " B "dray:seen future")) <=
                now + 5000);                                                  /* it ages from now on */
    assert_true(atol(server_ask(&server, "PTTL " B "dray:members")) > 20000); /* nothing stays for ever */
    assert_true(atol(server_ask(&server, "PTTL " B "dray:seen")) > 20000);
}

/* ---- protocol */

static void on_protocol(enum queue_status s, const char *why, const struct queue_protocol *found, void *arg)
{
    struct holder *h = arg;
    (void)why;
    h->g.status = s;
    h->protocol = *found;
    h->g.answered = true;
}

static enum queue_protocol_verdict check(struct holder *h, enum queue_mode mode, uint32_t partitions)
{
    queue_protocol_check(h->g.q, mode, partitions, on_protocol, h);
    assert_int_equal(wait_for(&h->g), QUEUE_OK);
    return h->protocol.verdict;
}

static enum queue_protocol_verdict set(struct holder *h, const struct queue_protocol *found,
                                       enum queue_mode mode, uint32_t partitions)
{
    struct queue_protocol copy = *found;
    queue_protocol_set(h->g.q, &copy, mode, partitions, on_protocol, h);
    assert_int_equal(wait_for(&h->g), QUEUE_OK);
    return h->protocol.verdict;
}

static void the_first_writer_wins(void **state)
{
    struct holder *h = *state;
    assert_int_equal(check(h, QUEUE_MODE_KEY, 16), QUEUE_PROTOCOL_AGREES);
    assert_int_equal(h->protocol.format, 0); /* nothing stood there */
    is("1,key,16", "GET " B "dray:proto");
    assert_int_equal(check(h, QUEUE_MODE_KEY, 16), QUEUE_PROTOCOL_AGREES);
    assert_int_equal(h->protocol.format, 1);
    assert_int_equal(check(h, QUEUE_MODE_KEY, 8), QUEUE_PROTOCOL_DIFFERS);
    assert_int_equal(h->protocol.partitions, 16);
    assert_int_equal(check(h, QUEUE_MODE_SHARED, 1), QUEUE_PROTOCOL_DIFFERS);
    assert_string_equal(h->protocol.mode, "key");
    server_ask(&server, "SET " B "dray:proto 2,key,16");
    assert_int_equal(check(h, QUEUE_MODE_KEY, 16), QUEUE_PROTOCOL_NEWER);
    assert_int_equal(h->protocol.format, 2);
    server_ask(&server, "SET " B "dray:proto 0,key,16"); /* an older one is read */
    assert_int_equal(check(h, QUEUE_MODE_KEY, 16), QUEUE_PROTOCOL_AGREES);
    server_ask(&server, "DEL " B "dray:proto");
    server_ask(&server, "LPUSH " B "wait a b");
    assert_int_equal(check(h, QUEUE_MODE_KEY, 16), QUEUE_PROTOCOL_OCCUPIED);
    assert_int_equal(h->protocol.jobs, 2);
    is("0", "EXISTS " B "dray:proto");
    assert_int_equal(check(h, QUEUE_MODE_STRICT, 1), QUEUE_PROTOCOL_AGREES);
    is("1,strict,1", "GET " B "dray:proto");
}

static void changing_the_protocol(void **state)
{
    struct holder *h = *state;
    struct queue_protocol stale = {.format = 0, .mode = ""};
    check(h, QUEUE_MODE_SHARED, 1);
    assert_int_equal(set(h, &stale, QUEUE_MODE_KEY, 4), QUEUE_PROTOCOL_DIFFERS);
    server_ask(&server, "ZADD " B "delayed 4096 a");
    assert_int_equal(set(h, &h->protocol, QUEUE_MODE_KEY, 4), QUEUE_PROTOCOL_OCCUPIED);
    server_ask(&server, "DEL " B "delayed");
    assert_int_equal(set(h, &h->protocol, QUEUE_MODE_KEY, 4), QUEUE_PROTOCOL_AGREES);
    assert_int_equal(check(h, QUEUE_MODE_KEY, 4), QUEUE_PROTOCOL_AGREES);
    assert_int_equal(set(h, &h->protocol, QUEUE_MODE_KEY, 8), QUEUE_PROTOCOL_AGREES);
    is("1,key,8", "GET " B "dray:proto");
    server_ask(&server, "DEL " B "dray:proto");
    assert_int_equal(set(h, &stale, QUEUE_MODE_STRICT, 1), QUEUE_PROTOCOL_AGREES);
    assert_string_equal(queue_mode_name(QUEUE_MODE_STRICT), "strict");
}

/* ---- partitions */

static void partitions(void **state)
{
    (void)state;
    static const struct {
        const char *prefix, *expected;
    } rows[] = {{"{dray}", "{dray:web:3}"}, {"bull", "bull:web:3"},  {"a{b}c", "a{b:web:3}c"},
                {"{}", "{}:web:3"},         {"a{b", "a{b:web:3"},    {"a}{b}", "a}{b:web:3}"},
                {"{b}{c}", "{b:web:3}{c}"}, {"{}{c}", "{}{c}:web:3"}};
    char dst[64], small[12];
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        assert_string_equal(queue_partition_prefix(rows[i].prefix, "web", 3, dst, sizeof dst),
                            rows[i].expected);
    assert_null(queue_partition_prefix("{dray}", "web", 3, small, sizeof small));
    assert_int_equal(queue_partition_of("123456789", 9, 1), 0);
    assert_int_equal(queue_partition_of("123456789", 9, 1000000007),
                     0xe3069283u % 1000000007u); /* the check value */
    assert_int_equal(queue_partition_of("", 0, 16), 0);
    unsigned hits[16] = {0};
    for (int i = 0; i < 1600; i++) {
        int len = snprintf(dst, sizeof dst, "user-%d", i);
        hits[queue_partition_of(dst, (size_t)len, 16)]++;
    }
    for (size_t i = 0; i < 16; i++)
        assert_in_range(hits[i], 50, 150);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        H(one_holds_the_others_stand_by),
        H(a_lease_runs_out_with_its_holder),
        H(a_lease_that_would_last_for_ever_does_not),
        H(renewal_keeps_the_lease_and_the_locks),
        H(scripts_that_were_flushed_are_loaded_again),
        H(everything_works_in_a_full_redis),
        H(losing_it_to_another),
        H(settling_finds_out_too),
        H(a_lost_connection_is_a_lost_lease),
        H(a_lease_that_cannot_be_renewed_is_not_trusted),
        H(a_stopped_process_finds_out_by_its_clock),
        H(a_flushed_redis),
        H(leases_survive_a_restart_of_redis),
        H(giving_up_waits_for_what_was_asked_before),
        H(an_answer_that_comes_when_nobody_wants_it),
        H(the_holder_ticks),
        H(members_come_and_go),
        H(the_silent_are_removed),
        H(the_first_writer_wins),
        H(changing_the_protocol),
        cmocka_unit_test(partitions),
    };
    return cmocka_run_group_tests(tests, start_server, stop_server);
}
