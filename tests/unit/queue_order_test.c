/* queue_order_test - taking, holding, settling and releasing in an ordered queue: as queue_test. */
#include "tests/unit/queue_order_rig.h"

/* ---- take */

static void jobs_come_in_order(void **state)
{
    struct holder *h = *state;
    add_jobs(h, "b1 b2 b3 b4");
    assert_string_equal(take_in_order(h, 2, ""), "b1 b2");
    assert_int_equal(h->turn.state, QUEUE_TURN_OPEN);
    is("b2,b1", "LRANGE " B "active 0 -1");
    is(TOKEN, "GET " B "b1:lock");
    assert_string_equal(take_in_order(h, 1, "b2 b1"), "b3"); /* in hand in any order */
    assert_int_equal(h->turn.requeued, 0);
    assert_int_equal(complete(&h->g, "b1", "{}"), QUEUE_OK);
    assert_string_equal(take_in_order(h, 9, "b2 b3"), "b4");
    assert_string_equal(take_in_order(h, 9, "b2 b3 b4"), "");
    assert_int_equal(h->g.status, QUEUE_OK);
    assert_int_equal(h->turn.state, QUEUE_TURN_OPEN);
}

static void no_more_than_can_be_in_hand(void **state)
{
    struct holder *h = *state;
    char ids[1024] = "";
    for (int i = 0; i < QUEUE_ORDERED_MAX; i++)
        snprintf(ids + strlen(ids), sizeof ids - strlen(ids), "%sj%d", i > 0 ? " " : "", i);
    add_jobs(h, ids);
    add_jobs(h, "more");
    assert_string_equal(take_in_order(h, 1000, ""), ids);
    listen_start();
    assert_string_equal(take_in_order(h, 1, ids), "");
    server_ask(&server, "PUBLISH " B "end x"); /* and nobody was told that it is drained */
    assert_string_equal(heard(), "end x");
    listen_stop();
    is("more", "LRANGE " B "wait 0 -1");
}

static void take_without_the_lease(void **state)
{
    struct holder *h = *state, other;
    add_jobs(h, "b1");
    holder_open(&other, OTHER, 10000);
    take_in_order(&other, 1, ""); /* never granted */
    assert_int_equal(other.g.status, QUEUE_LOST);
    assert_int_equal(other.lost, 0);
    is("b1", "LRANGE " B "wait 0 -1");
    rig_close(&other.g);
}

static void ghosts_go_and_the_order_stays(void **state)
{
    struct holder *h = *state;
    add_jobs(h, "b1 b2 b3 b4 b5");
    server_ask(&server, "DEL " B "b1 " B "b3");
    server_ask(&server, "HDEL " B "b5 data");
    assert_string_equal(take_in_order(h, 9, ""), "b2 b4");
    assert_int_equal(h->turn.ghosts, 3);
    is("3", "ZCARD " B "failed");
    is("b4,b2", "LRANGE " B "active 0 -1");
    is("0", "EXISTS " B "wait");
    assert_int_equal(complete(&h->g, "b2", "{}"), QUEUE_OK);
    server_ask(&server, "DEL " B "b4"); /* in hand */
    assert_int_equal(complete(&h->g, "b4", "{}"), QUEUE_MISSING);
    is("0", "EXISTS " B "active " B "b4:lock");
}

static void a_ghost_in_active(void **state)
{
    struct holder *h = *state;
    add_jobs(h, "b1 b2");
    server_ask(&server, "RPUSH " B "active ghost");
    assert_string_equal(take_in_order(h, 1, ""), "b1");
    assert_int_equal(h->turn.ghosts, 1);
    is("b1", "LRANGE " B "active 0 -1");
    is("ghost", "ZRANGE " B "failed 0 -1");
}

static void strays_of_a_lost_answer_come_again(void **state)
{
    struct holder *h = *state;
    add_jobs(h, "b1 b2 b3 b4");
    take_in_order(h, 3, "");
    assert_string_equal(take_in_order(h, 1, "b1"), "b2"); /* b2 and b3 were never known */
    assert_int_equal(h->turn.requeued, 2);
    is("b2,b1", "LRANGE " B "active 0 -1");
    is("b4,b3", "LRANGE " B "wait 0 -1");
    is("(nil)", "HGET " B "b2 stalledCounter");
    is("0", "EXISTS " B "b3:lock");
}

static void the_ownerless_stand_in_front_again(void **state)
{
    struct holder *h = *state; /* max_stalled is 1 */
    add_jobs(h, "b1 b2 b3 b4");
    take_in_order(h, 3, "");
    server_ask(&server, "DEL " B "b1:lock " B "b2:lock " B "b3:lock");
    server_ask(&server, "SADD " B "stalled b2");
    assert_string_equal(take_in_order(h, 9, ""), "b1 b2 b3 b4");
    assert_int_equal(h->turn.requeued, 3);
    is("1", "HGET " B "b1 stalledCounter"); /* only it can have been posted */
    is("0", "HEXISTS " B "b2 stalledCounter");
    is("0", "EXISTS " B "stalled");
    server_ask(&server, "DEL " B "b1:lock " B "b2:lock " B "b3:lock " B "b4:lock");
    assert_string_equal(take_in_order(h, 9, ""), "b2 b3 b4"); /* b1 has had its chances */
    assert_int_equal(h->turn.failed, 1);
    is("b1", "ZRANGE " B "failed 0 -1");
    is("job stalled more than allowable limit", "HGET " B "b1 failedReason");
    is("(nil)", "HGET " B "b2 stalledCounter");
}

static void a_living_foreign_lock_blocks(void **state)
{
    struct holder *h = *state;
    add_jobs(h, "b1 b2 b3");
    take_in_order(h, 2, "");
    server_ask(&server, "DEL " B "b1:lock");
    server_ask(&server, "SET " B "b2:lock " FOREIGN " PX 5000");
    assert_string_equal(take_in_order(h, 9, ""), "");
    assert_int_equal(h->g.status, QUEUE_OK);
    assert_int_equal(h->turn.state, QUEUE_TURN_BLOCKED);
    assert_in_range(h->turn.retry_ms, 1000, 5000);
    assert_string_equal(h->who, FOREIGN);
    is("b2,b1", "LRANGE " B "active 0 -1"); /* nothing was touched */
    is("b3", "LRANGE " B "wait 0 -1");
    server_ask(&server, "DEL " B "b2:lock");
    assert_string_equal(take_in_order(h, 9, ""), "b1 b2 b3");
}

static void a_foreign_lock_on_what_waits_blocks_too(void **state)
{
    struct holder *h = *state;
    add_jobs(h, "b1 b2 b3");
    server_ask(&server, "SET " B "b2:lock " FOREIGN " PX 5000");
    assert_string_equal(take_in_order(h, 9, ""), "b1");
    assert_int_equal(h->turn.state, QUEUE_TURN_BLOCKED);
    is("b3,b2", "LRANGE " B "wait 0 -1");
    server_ask(&server, "PERSIST " B "b2:lock");               /* a lock that never ends is nobody's */
    server_ask(&server, "SET " B "b3:lock " TOKEN " PX 5000"); /* and our own is ours */
    assert_string_equal(take_in_order(h, 9, "b1"), "b2 b3");
}

static void an_id_that_stands_there_twice(void **state)
{
    struct holder *h = *state;
    add_jobs(h, "b1 b2");
    server_ask(&server, "RPUSH " B "wait b1");
    assert_string_equal(take_in_order(h, 9, ""), "b1");
    assert_string_equal(take_in_order(h, 9, "b1"), "");
    assert_int_equal(complete(&h->g, "b1", "{}"), QUEUE_OK);
    assert_string_equal(take_in_order(h, 9, ""), "b1 b2"); /* as Bull does */
}

static void a_paused_queue(void **state)
{
    struct holder *h = *state;
    add_jobs(h, "b1 b2");
    take_in_order(h, 2, "");
    server_ask(&server, "SET " B "meta-paused 1");
    server_ask(&server, "DEL " B "b1:lock");
    assert_string_equal(take_in_order(h, 9, "b2"), "");
    assert_int_equal(h->turn.state, QUEUE_TURN_PAUSED);
    assert_int_equal(h->turn.requeued, 1);
    is("b1", "LRANGE " B "paused 0 -1");
    assert_int_equal(hold(h, "b2", 60000, true), QUEUE_OK);
    is("b1,b2", "LRANGE " B "paused 0 -1");
    is("0", "EXISTS " B "wait");
}

static void what_foreign_clients_mean(void **state)
{
    struct holder *h = *state;
    add_jobs(h, "b1 b2");
    plant("lifo", "{\"lifo\":true}");
    server_ask(&server, "LMOVE " B "wait " B "wait LEFT RIGHT"); /* as addJob does */
    server_ask(&server, "ZADD " B "priority 5 lifo");
    assert_string_equal(take_in_order(h, 2, ""), "lifo b1");
    is("0", "EXISTS " B "priority");
    server_ask(&server, "HSET " B "lifo priority 5");
    assert_int_equal(hold(h, "lifo", 0, false), QUEUE_OK);
    is("5", "ZSCORE " B "priority lifo");
    is("b2,b1,lifo", "LRANGE " B "wait 0 -1");
}

/* ---- hold */

static void a_retry_holds_the_rest(void **state)
{
    struct holder *h = *state;
    add_jobs(h, "b1 b2 b3 b4 b5");
    take_in_order(h, 4, "");
    assert_int_equal(complete(&h->g, "b1", "{}"), QUEUE_OK);
    assert_int_equal(hold(h, "b2", 300, true), QUEUE_OK);
    is("b5,b4,b3,b2", "LRANGE " B "wait 0 -1");
    is("0", "EXISTS " B "active " B "delayed " B "b2:lock " B "b3:lock " B "b4:lock");
    is("1,http 503,[\"http 503\"]", "HMGET " B "b2 attemptsMade failedReason stacktrace");
    is("0", "HEXISTS " B "b3 attemptsMade");
    assert_string_equal(strchr(server_ask(&server, "GET " B "dray:hold"), ' '), " b2");
    assert_string_equal(take_in_order(h, 9, ""), "");
    assert_int_equal(h->turn.state, QUEUE_TURN_HELD);
    assert_string_equal(h->who, "b2");
    assert_in_range(h->turn.retry_ms, 1, 300);
    loop_for(loop, (double)h->turn.retry_ms / 1000 + 0.01);
    assert_string_equal(take_in_order(h, 9, ""), "b2 b3 b4 b5");
    is("0", "EXISTS " B "dray:hold");
    assert_int_equal(hold(h, "b2", 0, false), QUEUE_OK); /* no wait, no attempt */
    is("1", "HGET " B "b2 attemptsMade");
    assert_string_equal(take_in_order(h, 1, ""), "b2");
}

static void a_hold_called_twice_or_by_others(void **state)
{
    struct holder *h = *state;
    add_jobs(h, "b1 b2 b3");
    take_in_order(h, 3, "");
    assert_int_equal(hold(h, "b1", 60000, true), QUEUE_OK);
    const char *due = server_ask(&server, "GET " B "dray:hold");
    loop_for(loop, 0.01);
    assert_int_equal(hold(h, "b1", 60000, true), QUEUE_LOST);
    assert_int_equal(hold(h, "b2", 60000, true), QUEUE_LOST);
    is(due, "GET " B "dray:hold");
    is("1", "HGET " B "b1 attemptsMade");
    is("b3,b2,b1", "LRANGE " B "wait 0 -1");
    server_ask(&server, "DEL " B "dray:hold");
    take_in_order(h, 3, "");
    server_ask(&server, "SET " B "b1:lock " FOREIGN);
    assert_int_equal(hold(h, "b1", 60000, true), QUEUE_LOST);
    server_ask(&server, "DEL " B "b2");
    assert_int_equal(hold(h, "b2", 60000, true), QUEUE_MISSING);
    assert_int_equal(hold(h, "unknown", 60000, true), QUEUE_MISSING);
    is("0", "EXISTS " B "dray:hold " B "wait");
    is("b3,b1", "LRANGE " B "active 0 -1");
}

static void a_hold_counts_only_at_the_front(void **state)
{
    struct holder *h = *state;
    add_jobs(h, "b1 b2");
    take_in_order(h, 1, "");
    assert_int_equal(hold(h, "b1", 60000, false), QUEUE_OK);
    plant("lifo", "{}");
    server_ask(&server, "LMOVE " B "wait " B "wait LEFT RIGHT");
    assert_string_equal(take_in_order(h, 9, ""), "lifo"); /* ahead of it, but not past it */
    assert_int_equal(h->turn.state, QUEUE_TURN_HELD);
    server_ask(&server, "LREM " B "wait 1 b1"); /* a person removes it */
    server_ask(&server, "DEL " B "b1");
    assert_string_equal(take_in_order(h, 9, "lifo"), "b2");
}

static void a_hold_beside_other_settles_of_the_turn(void **state)
{
    struct holder *h = *state;
    struct rig a = {0}, b = {0}, c = {0}, d = {0};
    add_jobs(h, "b1 b2 b3 b4");
    take_in_order(h, 4, "");
    struct queue_job first = job_of("b1", "{}"), second = job_of("b2", "{}");
    queue_complete(h->g.q, &first, "1", on_done, &a);
    queue_hand_back(h->g.q, "b4", on_done, &b);
    queue_hand_back(h->g.q, "b3", on_done, &c);
    queue_hold(h->g.q, &second, 60000, true, "no", on_done, &d);
    assert_int_equal(wait_for(&d), QUEUE_OK);
    assert_int_equal(wait_for(&a), QUEUE_OK);
    assert_int_equal(wait_for(&b), QUEUE_LOST); /* went back with b3, and that with b2 */
    assert_int_equal(wait_for(&c), QUEUE_LOST);
    is("b4,b3,b2", "LRANGE " B "wait 0 -1");
    is("b1", "ZRANGE " B "completed 0 -1");
    is("0", "EXISTS " B "active");
}

/* A take that was under way brings what a hold, asked for meanwhile, has handed back already. */
static void a_hold_overtakes_no_take(void **state)
{
    struct holder *h = *state;
    struct rig done = {0};
    add_jobs(h, "b1 b2 b3 b4");
    take_in_order(h, 1, "");
    const char *in_hand[] = {"b1"};
    struct queue_job job = job_of("b1", "{}");
    kill(server.pid, SIGSTOP); /* it answers after the hold was asked for */
    queue_take_ordered(h->g.q, 2, in_hand, 1, on_taken_ordered, h);
    ev_run(loop, EVRUN_NOWAIT); /* sent */
    queue_hold(h->g.q, &job, 60000, true, "no", on_done, &done);
    kill(server.pid, SIGCONT);
    assert_int_equal(wait_for(&done), QUEUE_OK);
    assert_true(h->g.answered);
    h->g.answered = false;
    assert_int_equal(h->g.status, QUEUE_OK);
    assert_int_equal(h->g.n, 0);
    is("b4,b3,b2,b1", "LRANGE " B "wait 0 -1");
    is("0", "EXISTS " B "active");
    server_ask(&server, "DEL " B "dray:hold");
    queue_hand_back(h->g.q, "none", NULL, NULL); /* asked for before: the take goes behind it */
    assert_string_equal(take_in_order(h, 9, ""), "b1 b2 b3 b4");
}

static void handing_back_what_is_not_begun(void **state)
{
    struct holder *h = *state;
    add_jobs(h, "b1 b2 b3 b4");
    take_in_order(h, 3, "");
    assert_int_equal(hand_back(&h->g, "b2"), QUEUE_OK); /* b1 is being posted */
    is("b4,b3,b2", "LRANGE " B "wait 0 -1");
    is("b1", "LRANGE " B "active 0 -1");
    assert_int_equal(complete(&h->g, "b1", "{}"), QUEUE_OK);
    server_ask(&server, "LPUSH " B "active x"); /* somebody else's */
    server_ask(&server, "SET " B "x:lock " FOREIGN);
    assert_int_equal(take_in_order(h, 9, "") != NULL && h->turn.state == QUEUE_TURN_BLOCKED, 1);
    server_ask(&server, "DEL " B "active " B "x:lock");
    take_in_order(h, 2, "");
    server_ask(&server, "LPUSH " B "active x");
    server_ask(&server, "SET " B "x:lock " FOREIGN);
    assert_int_equal(hand_back(&h->g, "b2"), QUEUE_OK);
    is("x", "LRANGE " B "active 0 -1"); /* is left alone */
    is("b4,b3,b2", "LRANGE " B "wait 0 -1");
}

/* Locks of one holder run out within a millisecond, not at once: what went back meanwhile would stand before it. */
static void what_is_newer_and_has_no_lock_any_more_goes_along(void **state)
{
    struct holder *h = *state;
    add_jobs(h, "b1 b2 b3 b4");
    take_in_order(h, 3, "");
    server_ask(&server, "DEL " B "b3:lock");
    assert_int_equal(hand_back(&h->g, "b2"), QUEUE_OK);
    is("b4,b3,b2", "LRANGE " B "wait 0 -1");
    is("b1", "LRANGE " B "active 0 -1");
    take_in_order(h, 9, "b1");
    server_ask(&server, "DEL " B "b3:lock");
    assert_int_equal(hold(h, "b1", 0, true), QUEUE_OK);
    is("b4,b3,b2,b1", "LRANGE " B "wait 0 -1");
    take_in_order(h, 3, "");
    server_ask(&server, "MSET " B "b2:lock dead");
    server_ask(&server, "DEL " B "b1:lock " B "b3:lock");
    assert_int_equal(release(&h->g, "dead"), 2);
    is("b4,b3,b2", "LRANGE " B "wait 0 -1");
    is("b1", "LRANGE " B "active 0 -1"); /* is older: the next take puts it in front */
    is("0", "HEXISTS " B "b3 stalledCounter");
    assert_string_equal(take_in_order(h, 9, ""), "b1 b2 b3 b4");
}

/* Only where Redis forbids CLIENT KILL can an earlier connection's commands still run. */
static void what_an_earlier_connection_hands_back(void **state)
{
    struct holder *h = *state;
    add_jobs(h, "b1 b2");
    take_in_order(h, 1, "");
    server_ask(&server, "SET " B "dray:lease " TOKEN "/2"); /* a later one has got the lease, and the job */
    assert_int_equal(hand_back(&h->g, "b1"), QUEUE_LOST);
    is("b1", "LRANGE " B "active 0 -1");
    is(TOKEN, "GET " B "b1:lock");
    server_ask(&server, "SET " B "dray:lease " OTHER "/3");
    assert_int_equal(hand_back(&h->g, "b1"), QUEUE_OK); /* another's lease: the lock tells whose it is */
    is("b2,b1", "LRANGE " B "wait 0 -1");
    server_ask(&server, "DEL " B "dray:lease");
}

/* ---- one dies, another goes on */

static void a_dead_holder_is_released(void **state)
{
    struct holder *h = *state, other;
    add_jobs(h, "b1 b2 b3 b4");
    queue_lease_want(h->g.q, false);
    holder_open(&other, OTHER, 10000);
    holder_want(&other);
    take_in_order(&other, 3, "");
    queue_share_say(other.g.q, false, NULL, NULL);
    assert_int_equal(complete(&other.g, "b1", "{}"), QUEUE_OK);
    redis_drop(other.g.r, "it dies");
    rig_close(&other.g);
    queue_lease_want(h->g.q, true);
    await(&h->busy, 0);
    assert_string_equal(h->text, OTHER);
    is("1", "ZCARD " B "dray:members");
    unsigned before = h->acquired;
    assert_int_equal(release(&h->g, OTHER), 2);
    is("0", "EXISTS " B "dray:members " B "dray:seen");
    is("b4,b3,b2", "LRANGE " B "wait 0 -1");
    is("1", "HGET " B "b2 stalledCounter");
    is("0", "HEXISTS " B "b3 stalledCounter");
    await(&h->acquired, before); /* at once: it was poked */
    assert_int_equal(h->epoch, 3);
    assert_string_equal(take_in_order(h, 9, ""), "b2 b3 b4");
    assert_int_equal(release(&h->g, OTHER), 0); /* called twice */
    assert_int_equal(release(&h->g, "somebody"), 0);
    is(TOKEN "/3", "GET " B "dray:lease");
}

static void a_job_that_kills_its_holders_fails(void **state)
{
    struct holder *h = *state; /* max_stalled is 1 */
    add_jobs(h, "b1 b2 b3");
    for (int i = 0; i < 2; i++) {
        assert_string_equal(take_in_order(h, 2, ""), "b1 b2");
        server_ask(&server, "MSET " B "b1:lock dead " B "b2:lock dead");
        assert_int_equal(release(&h->g, "dead"), i == 0 ? 2 : 1);
    }
    assert_string_equal(take_in_order(h, 9, ""), "b2 b3");
    assert_int_equal(h->turn.failed, 1);
    is("b1", "ZRANGE " B "failed 0 -1");
    is("(nil)", "HGET " B "b2 stalledCounter");
}

/* The lease and the locks of a host that is gone run out together. */
static void a_dead_host_is_waited_for(void **state)
{
    struct holder *h = *state, other;
    add_jobs(h, "b1 b2 b3");
    queue_lease_want(h->g.q, false);
    holder_open(&other, OTHER, 600);
    holder_want(&other);
    loop_for(loop, 0.1);
    take_in_order(&other, 2, "");
    redis_drop(other.g.r, "the host is gone");
    rig_close(&other.g);
    holder_want(h);
    assert_string_equal(take_in_order(h, 9, ""), "b1 b2 b3");
    is("1", "HGET " B "b1 stalledCounter");
}

static void a_late_finisher_changes_nothing(void **state)
{
    struct holder *h = *state, late;
    add_jobs(h, "b1 b2");
    queue_lease_want(h->g.q, false);
    holder_open(&late, OTHER, 10000);
    holder_want(&late);
    take_in_order(&late, 2, "");
    server_ask(&server, "DEL " B "dray:lease " B "b1:lock " B "b2:lock"); /* it slept beyond its time */
    holder_want(h);
    assert_string_equal(take_in_order(h, 2, ""), "b1 b2");
    assert_int_equal(complete(&late.g, "b1", "{}"), QUEUE_LOST);
    assert_int_equal(late.lost, 1);
    assert_int_equal(hold(&late, "b1", 60000, true), QUEUE_LOST);
    assert_int_equal(hand_back(&late.g, "b2"), QUEUE_LOST);
    take_in_order(&late, 1, "b1 b2");
    assert_int_equal(late.g.status, QUEUE_LOST);
    assert_int_equal(late.lost, 1);
    is("b2,b1", "LRANGE " B "active 0 -1");
    is("0", "HEXISTS " B "b1 attemptsMade");
    assert_int_equal(complete(&h->g, "b1", "{}"), QUEUE_OK);
    rig_close(&late.g);
}

/* The answer of a take is lost with its connection: what it took stands in front again. */
static void a_take_with_an_unknown_outcome(void **state)
{
    struct holder *h = *state;
    add_jobs(h, "b1 b2 b3");
    kill(server.pid, SIGSTOP);
    queue_take_ordered(h->g.q, 2, NULL, 0, on_taken_ordered, h);
    ev_run(loop, EVRUN_NOWAIT); /* sent */
    kill(server.pid, SIGCONT);
    for (int i = 0; i < 100 && strcmp(server_ask(&server, "LLEN " B "active"), "2") != 0; i++)
        usleep(10000);
    redis_drop(h->g.r, "the network");
    assert_int_equal(wait_for(&h->g), QUEUE_UNKNOWN);
    await(&h->lost, 0);
    await(&h->acquired, 1);
    is("b2,b1", "LRANGE " B "active 0 -1");
    assert_string_equal(take_in_order(h, 1, ""), "b1");
    is("b3,b2", "LRANGE " B "wait 0 -1");
    is("(nil)", "HGET " B "b1 stalledCounter");
}

/* Settles and a hold that fly with many others go in the order asked, and no take goes ahead of them. */
static void a_full_turn_keeps_its_order(void **state)
{
    struct holder *h = *state;
    char ids[1024] = "", rest[1024] = "";
    for (int i = 0; i < 40; i++)
        snprintf(ids + strlen(ids), sizeof ids - strlen(ids), "%sj%d", i > 0 ? " " : "", i);
    for (int i = 20; i < 40; i++)
        snprintf(rest + strlen(rest), sizeof rest - strlen(rest), "%sj%d", i > 20 ? " " : "", i);
    add_jobs(h, ids);
    take_in_order(h, 40, "");
    for (int i = 0; i < 20; i++) { /* each in a turn of its own: more than may fly at once */
        char id[16];
        snprintf(id, sizeof id, "j%d", i);
        struct queue_job job = job_of(id, "{}");
        queue_complete(h->g.q, &job, "1", NULL, NULL);
        ev_run(loop, EVRUN_NOWAIT);
    }
    struct queue_job job = job_of("j20", "{}");
    struct rig done = {0};
    queue_hold(h->g.q, &job, 0, true, "no", on_done, &done);
    assert_string_equal(take_in_order(h, 64, ""), rest);
    assert_int_equal(wait_for(&done), QUEUE_OK);
    assert_int_equal(h->turn.requeued, 0);
    is("20", "ZCARD " B "completed");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        H(jobs_come_in_order),
        H(no_more_than_can_be_in_hand),
        H(take_without_the_lease),
        H(ghosts_go_and_the_order_stays),
        H(a_ghost_in_active),
        H(strays_of_a_lost_answer_come_again),
        H(the_ownerless_stand_in_front_again),
        H(a_living_foreign_lock_blocks),
        H(a_foreign_lock_on_what_waits_blocks_too),
        H(an_id_that_stands_there_twice),
        H(a_paused_queue),
        H(what_foreign_clients_mean),
        H(a_retry_holds_the_rest),
        H(a_hold_called_twice_or_by_others),
        H(a_hold_counts_only_at_the_front),
        H(a_hold_beside_other_settles_of_the_turn),
        H(a_hold_overtakes_no_take),
        H(handing_back_what_is_not_begun),
        H(what_is_newer_and_has_no_lock_any_more_goes_along),
        H(what_an_earlier_connection_hands_back),
        H(a_dead_holder_is_released),
        H(a_job_that_kills_its_holders_fails),
        H(a_dead_host_is_waited_for),
        H(a_late_finisher_changes_nothing),
        H(a_take_with_an_unknown_outcome),
        H(a_full_turn_keeps_its_order),
    };
    return cmocka_run_group_tests(tests, start_server, stop_server);
}
