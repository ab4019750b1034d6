/* queue_turn_test - what is settled and taken in one loop turn goes in one script call; each part is answered as if it
 * had gone alone. */
#include "tests/unit/queue_rig.h"

struct turn {
    struct rig *rig;
    enum queue_status settled, taken;
    unsigned answers;
    bool both, free_inside;
    char why[200];
};

static void answered(struct turn *t)
{
    t->answers++;
    t->both = t->answers == 2;
}

static void on_settled(enum queue_status s, const char *why, void *arg)
{
    struct turn *t = arg;
    t->settled = s;
    snprintf(t->why, sizeof t->why, "%s", why != NULL ? why : "");
    answered(t);
    if (t->free_inside) {
        queue_free(t->rig->q);
        t->rig->q = NULL;
        assert_true(t->both); /* also the take was answered inside */
    }
}

static void on_turn_taken(enum queue_status s, const struct queue_job *jobs, size_t n, void *arg)
{
    struct turn *t = arg;
    on_taken(s, jobs, n, t->rig);
    t->rig->answered = false;
    t->taken = s;
    answered(t);
}

/* What is taken in the turn that completes id; see rig->text. */
static const char *turn(struct turn *t, const char *id)
{
    struct queue_job job = job_of(id, "{}");
    t->answers = 0;
    t->both = false;
    server_ask(&server, "CONFIG RESETSTAT");
    queue_complete(t->rig->q, &job, "7", on_settled, t);
    queue_take(t->rig->q, 2, on_turn_taken, t);
    assert_true(loop_until(loop, &t->both));
    assert_non_null(strstr(server_ask(&server, "INFO commandstats"), "cmdstat_evalsha:calls=1,"));
    return t->rig->text;
}

static void both_parts_are_done(void **state)
{
    struct turn t = {.rig = *state};
    for (int i = 0; i < 4; i++)
        add(t.rig, (const char *[]){"b0", "b1", "b2", "b3"}[i], "{}");
    take(t.rig, 1);
    assert_string_equal(turn(&t, "b0"), "b1:{}:0:0 b2:{}:0:0");
    assert_int_equal(t.settled, QUEUE_OK);
    is("b2,b1", "LRANGE " B "active 0 -1");
    is("b0", "ZRANGE " B "completed 0 -1");
    is("7", "HGET " B "b0 returnvalue");
    is(TOKEN, "GET " B "b2:lock");
    assert_string_equal(turn(&t, "b0"), "b3:{}:0:0"); /* called twice */
    assert_int_equal(t.settled, QUEUE_LOST);
    is("1", "ZCARD " B "completed");
    assert_string_equal(turn(&t, "b1"), ""); /* nothing waits any more */
    assert_int_equal(t.settled, QUEUE_OK);
    assert_int_equal(t.taken, QUEUE_OK);
}

static void what_is_handed_back_is_taken_at_once(void **state)
{
    struct turn t = {.rig = *state};
    add(t.rig, "b0", "{}");
    take(t.rig, 1);
    queue_hand_back(t.rig->q, "b0", on_settled, &t);
    queue_take(t.rig->q, 2, on_turn_taken, &t);
    assert_true(loop_until(loop, &t.both));
    assert_string_equal(t.rig->text, "b0:{}:0:0");
}

static void odd_jobs_and_a_pause(void **state)
{
    struct turn t = {.rig = *state};
    add(t.rig, "b0", "{}");
    add(t.rig, "b1", "{}");
    take(t.rig, 2);
    server_ask(&server, "SET " B "b0:lock " FOREIGN);
    server_ask(&server, "LPUSH " B "wait ghost");
    add(t.rig, "b2", "{}");
    assert_string_equal(turn(&t, "b0"), "b2:{}:0:0");
    assert_int_equal(t.settled, QUEUE_LOST);
    is(FOREIGN, "GET " B "b0:lock");
    is("job data missing", "HGET " B "ghost failedReason");
    assert_string_equal(turn(&t, "gone"), "");
    assert_int_equal(t.settled, QUEUE_MISSING);
    server_ask(&server, "DEL " B "b1");
    assert_string_equal(turn(&t, "b1"), "");
    assert_int_equal(t.settled, QUEUE_MISSING);
    is("0", "EXISTS " B "b1 " B "b1:lock");
    plant("b3", "{}");
    server_ask(&server, "RENAME " B "wait " B "paused");
    server_ask(&server, "SET " B "meta-paused 1");
    assert_string_equal(turn(&t, "b2"), "");
    assert_int_equal(t.settled, QUEUE_OK);
    is("b3", "LRANGE " B "paused 0 -1");
}

/* A key of another kind ends one part; the other is done all the same. */
static void one_part_fails(void **state)
{
    struct turn t = {.rig = *state};
    for (int i = 0; i < 4; i++)
        add(t.rig, (const char *[]){"b0", "b1", "b2", "b3"}[i], "{}");
    take(t.rig, 1);
    server_ask(&server, "SET " B "completed x");
    assert_string_equal(turn(&t, "b0"), "b1:{}:0:0 b2:{}:0:0");
    assert_int_equal(t.settled, QUEUE_BROKEN);
    assert_memory_equal(t.why, "WRONGTYPE ", 10);
    server_ask(&server, "DEL " B "completed");
    server_ask(&server, "DEL " B "wait");
    server_ask(&server, "SET " B "wait x");
    turn(&t, "b1");
    assert_int_equal(t.settled, QUEUE_OK);
    assert_int_equal(t.taken, QUEUE_BROKEN);
    is("b1", "ZRANGE " B "completed 0 -1");
}

static void freed_inside_the_settles_answer(void **state)
{
    struct turn t = {.rig = *state, .free_inside = true};
    add(t.rig, "b0", "{}");
    add(t.rig, "b1", "{}");
    take(t.rig, 1);
    turn(&t, "b0");
    assert_int_equal(t.settled, QUEUE_OK);
    assert_int_equal(t.taken, QUEUE_UNKNOWN);
    is(TOKEN, "GET " B "b1:lock");
}

static void freed_on_the_way(void **state)
{
    struct turn t = {.rig = *state};
    struct queue_job job = job_of("b0", "{}");
    add(t.rig, "b0", "{}");
    take(t.rig, 1);
    server_ask(&server, "CLIENT PAUSE 50");
    queue_complete(t.rig->q, &job, "7", on_settled, &t);
    queue_take(t.rig->q, 2, on_turn_taken, &t);
    ev_run(loop, EVRUN_NOWAIT);
    queue_free(t.rig->q);
    t.rig->q = NULL;
    assert_true(t.both);
    assert_int_equal(t.settled, QUEUE_UNKNOWN);
    assert_int_equal(t.taken, QUEUE_UNKNOWN);
}

/* The server has forgotten the scripts: the call is repeated behind their load, the jobs are read one by one. */
static void scripts_are_flushed(void **state)
{
    struct turn t = {.rig = *state};
    struct queue_job job = job_of("b0", "{}");
    add(t.rig, "b0", "{}");
    add(t.rig, "b1", "{}");
    take(t.rig, 1);
    server_ask(&server, "SCRIPT FLUSH");
    queue_complete(t.rig->q, &job, "7", on_settled, &t);
    queue_take(t.rig->q, 2, on_turn_taken, &t);
    assert_true(loop_until(loop, &t.both));
    assert_int_equal(t.settled, QUEUE_OK);
    assert_string_equal(t.rig->text, "b1:{}:0:0");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(both_parts_are_done), T(what_is_handed_back_is_taken_at_once), T(odd_jobs_and_a_pause),
        T(one_part_fails),      T(freed_inside_the_settles_answer),      T(freed_on_the_way),
        T(scripts_are_flushed),
    };
    return cmocka_run_group_tests(tests, start_server, stop_server);
}
