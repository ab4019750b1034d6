/* queue_progress_test - how far a job has come: as Bull keeps it, written by the holder of the lock alone. */
#include "tests/unit/queue_rig.h"

static enum queue_status progress(struct rig *g, const char *id, const char *json)
{
    queue_progress_set(g->q, id, json, on_done, g);
    return wait_for(g);
}

static void on_progress(enum queue_status s, const char *json, size_t len, void *arg)
{
    struct rig *g = arg;
    g->status = s;
    snprintf(g->text, sizeof g->text, "%.*s", (int)len, json);
    g->answered = true;
}

static const char *read_back(struct rig *g, const char *id)
{
    queue_progress_read(g->q, id, on_progress, g);
    assert_int_equal(wait_for(g), QUEUE_OK);
    return g->text;
}

static void it_is_written_as_bull_writes_it(void **state)
{
    struct rig *g = *state;
    add(g, ID, "{}");
    take(g, 1);
    listen_start();
    assert_int_equal(progress(g, ID, "{\"done\":1}"), QUEUE_OK);
    assert_string_equal(heard(), "progress {\"jobId\":\"" ID "\",\"progress\":{\"done\":1}}");
    listen_stop();
    is("{\"done\":1}", "HGET " B ID " progress");
    assert_int_equal(progress(g, ID, "42"), QUEUE_OK); /* called twice */
    assert_string_equal(read_back(g, ID), "42");
    server_ask(&server, "SET " B "meta-paused 1"); /* a paused queue: what is in hand goes on */
    assert_int_equal(progress(g, ID, "43"), QUEUE_OK);
    server_ask(&server, "CONFIG SET maxmemory 1");
    assert_int_equal(progress(g, ID, "44"), QUEUE_OK); /* a full Redis must drain */
    server_ask(&server, "CONFIG SET maxmemory 0");
    assert_string_equal(read_back(g, ID), "44");
}

static void it_needs_the_lock(void **state)
{
    struct rig *g = *state;
    add(g, ID, "{}");
    take(g, 1);
    server_ask(&server, "SET " B ID ":lock " FOREIGN);
    assert_int_equal(progress(g, ID, "1"), QUEUE_LOST);
    server_ask(&server, "DEL " B ID ":lock");
    assert_int_equal(progress(g, ID, "1"), QUEUE_LOST);
    is("(nil)", "HGET " B ID " progress");
    assert_string_equal(read_back(g, ID), "");
}

static void it_makes_no_ghost(void **state)
{
    struct rig *g = *state;
    server_ask(&server, "SET " B "b1:lock " TOKEN);
    assert_int_equal(progress(g, "b1", "1"), QUEUE_MISSING); /* a missing hash, whoever has the lock */
    is("0", "EXISTS " B "b1");
    server_ask(&server, "SET " B "b2 text");
    server_ask(&server, "SET " B "b2:lock " TOKEN);
    assert_int_equal(progress(g, "b2", "1"), QUEUE_MISSING); /* another program's key */
    is("text", "GET " B "b2");
    server_ask(&server, "LPUSH " B "wait b3");
    take(g, 1); /* an id without a hash goes to failed */
    assert_int_equal(progress(g, "b3", "1"), QUEUE_LOST);
    assert_string_equal(read_back(g, "b4"), "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {T(it_is_written_as_bull_writes_it), T(it_needs_the_lock),
                                       T(it_makes_no_ghost)};
    return cmocka_run_group_tests(tests, start_server, stop_server);
}
