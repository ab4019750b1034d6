/* queue_live_test - what dead workers leave, waking, freeing, Cluster: as queue_test. */
#include "tests/unit/queue_rig.h"

/* ---- release */

static void releasing_a_dead_workers_jobs(void **state)
{
    struct rig *g = *state;
    struct rig dead;
    struct queue_options o = queue_options("node.1.0.7");
    rig_open(&dead, &o);
    add(g, "b1", "{}");
    add(g, "b2", "{}");
    add(g, "b3", "{}");
    add(g, "b4", "{}");
    take(g, 1);
    take(&dead, 2);
    rig_close(&dead);
    server_ask(&server, "SADD " B "stalled b2 b3");
    assert_int_equal(release(g, "node.1.0.7"), 2);
    is("b4,b3,b2", "LRANGE " B "wait 0 -1"); /* in their order */
    is("b1", "LRANGE " B "active 0 -1");
    is("0", "EXISTS " B "b2:lock " B "b3:lock " B "stalled");
    is(TOKEN, "GET " B "b1:lock");
    assert_int_equal(release(g, "node.1.0.7"), 0);
    server_ask(&server, "DEL " B "b1");
    server_ask(&server, "SET " B "meta-paused 1");
    assert_int_equal(release(g, TOKEN), 1); /* paused, and without a hash: take makes a failed job of it */
    is("b1", "LRANGE " B "paused 0 -1");
    is("0", "EXISTS " B "b1");
}

static void a_job_whose_workers_die_is_not_released_for_ever(void **state)
{
    struct rig *g = *state; /* max_stalled is 1 */
    add(g, "b1", "{}");
    take(g, 1);
    assert_int_equal(release(g, TOKEN), 1);
    is("1", "HGET " B "b1 stalledCounter");
    take(g, 1);
    assert_int_equal(release(g, TOKEN), 0);
    is("0", "EXISTS " B "b1:lock");
    is("b1", "LRANGE " B "active 0 -1"); /* for the next stalled check, which fails it */
    is("1", "SISMEMBER " B "stalled b1");
    is("0", "LLEN " B "wait");
}

static void releasing_very_many(void **state)
{
    struct rig *g = *state;
    for (int i = 0; i < 2500; i++) {
        server_ask(&server, "RPUSH " B "active j%d", i);
        server_ask(&server, "SET " B "j%d:lock %s", i, i % 5 == 0 ? FOREIGN : "dead");
    }
    assert_int_equal(release(g, "dead"), 2000);
    is("500", "LLEN " B "active");
    is("2000", "LLEN " B "wait");
    is("j2499", "LINDEX " B "wait -1");
}

static void strays_are_released_but_not_what_is_in_hand(void **state)
{
    struct rig *g = *state;
    add(g, "b1", "{}");
    add(g, "b2", "{}");
    take(g, 2);
    const char *in_hand[] = {"b1"};
    queue_release_strays(g->q, in_hand, 1, on_released, g);
    assert_int_equal(wait_for(g), QUEUE_OK);
    assert_int_equal(g->number, 1);
    is("b1", "LRANGE " B "active 0 -1");
    is("b2", "LRANGE " B "wait 0 -1");
}

static void on_tokens(enum queue_status s, const char *const *tokens, size_t n, void *arg)
{
    struct rig *g = arg;
    g->status = s;
    g->n = n;
    g->text[0] = '\0';
    for (size_t i = 0; i < n; i++)
        snprintf(g->text + strlen(g->text), sizeof g->text - strlen(g->text), "%s ", tokens[i]);
    g->answered = true;
}

static void listing_tokens(void **state)
{
    struct rig *g = *state;
    server_ask(&server, "RPUSH " B "active a b c d e");
    server_ask(&server, "MSET " B "a:lock node.1.0.1 " B "b:lock other.1.0.1 " B "c:lock node.1.1.4 " B
                        "d:lock node.1.0.1");
    queue_list_tokens(g->q, "node.", on_tokens, g);
    wait_for(g);
    assert_string_equal(g->text, "node.1.0.1 node.1.1.4 ");
    server_ask(&server, "DEL " B "active");
    queue_list_tokens(g->q, "node.", on_tokens, g);
    wait_for(g);
    assert_int_equal(g->n, 0);
}

/* ---- waker */

static void on_wake(void *arg)
{
    *(bool *)arg = true;
}

static bool is_blocked(void)
{
    return strstr(server_ask(&server, "CLIENT LIST"), "cmd=blmove") != NULL;
}

static void waker_wakes_and_moves_nothing(void **state)
{
    (void)state;
    struct redis_options ro = redis_options();
    struct queue_options o = queue_options(TOKEN);
    bool woken = false, second = false;
    struct queue_waker *w = queue_waker_new(loop, &ro, &o, on_wake, &woken);
    struct queue_waker *v = queue_waker_new(loop, &ro, &o, on_wake, &second);
    queue_waker_arm(w);
    queue_waker_arm(v);
    while (!is_blocked() ||
           strstr(strstr(server_ask(&server, "CLIENT LIST"), "cmd=blmove") + 1, "cmd=blmove") == NULL)
        loop_for(loop, 0.01);
    assert_non_null(strstr(server_ask(&server, "CLIENT LIST"), "name={t}:cQ==:w:" TOKEN));
    assert_true(queue_waker_client_id(w) > 0);
    server_ask(&server, "RPUSH " B "wait a b");
    assert_true(loop_until(loop, &woken));
    assert_true(loop_until(loop, &second));
    is("a,b", "LRANGE " B "wait 0 -1");
    woken = second = false;
    loop_for(loop, 0.05);
    assert_false(woken); /* only when armed */
    queue_waker_arm(w);
    assert_true(loop_until(loop, &woken)); /* something waits already */
    queue_waker_free(w);
    queue_waker_free(v);
}

static void waker_in_a_full_redis(void **state)
{
    (void)state;
    struct redis_options ro = redis_options();
    struct queue_options o = queue_options(TOKEN);
    bool woken = false;
    server_ask(&server, "CONFIG SET maxmemory 1mb");
    struct queue_waker *w = queue_waker_new(loop, &ro, &o, on_wake, &woken);
    queue_waker_arm(w);
    assert_true(loop_until(loop, &woken));
    server_ask(&server, "CONFIG SET maxmemory 0");
    queue_waker_free(w);
}

static void waker_survives_a_lost_connection(void **state)
{
    (void)state;
    struct redis_options ro = redis_options();
    struct queue_options o = queue_options(TOKEN);
    bool woken = false;
    struct queue_waker *w = queue_waker_new(loop, &ro, &o, on_wake, &woken);
    queue_waker_arm(w);
    while (!is_blocked())
        loop_for(loop, 0.01);
    int64_t id = queue_waker_client_id(w);
    server_ask(&server, "CLIENT KILL ID %lld", (long long)id);
    while (!is_blocked() || queue_waker_client_id(w) == id)
        loop_for(loop, 0.01);
    server_ask(&server, "LPUSH " B "wait a");
    assert_true(loop_until(loop, &woken));
    queue_waker_free(w);
}

/* ---- the object */

static void freeing_answers_everything(void **state)
{
    struct rig *g = *state;
    struct rig a = {0}, b = {0}, c = {0}, d = {0};
    struct queue_job job = job_of("b1", "{}");
    queue_count(g->q, on_counts, &a); /* sent at once */
    queue_add(g->q, "b1", "{}", 2, on_done, &b);
    queue_complete(g->q, &job, "null", on_done, &c);
    queue_take(g->q, 1, on_taken, &d);
    queue_free(g->q);
    g->q = NULL;
    assert_true(a.answered && b.answered && c.answered && d.answered);
    assert_int_equal(a.status, QUEUE_UNKNOWN);
    assert_int_equal(b.status, QUEUE_AWAY);
    assert_int_equal(c.status, QUEUE_AWAY);
    assert_int_equal(d.status, QUEUE_AWAY);
    loop_for(loop, 0.05); /* the late reply finds nobody */
}

static void on_counts_free(enum queue_status s, const struct queue_counts *c, void *arg)
{
    struct rig *g = arg;
    (void)c;
    queue_free(g->q);
    g->q = NULL;
    g->status = s;
    g->answered = true;
}

static void freeing_inside_a_callback(void **state)
{
    struct rig *g = *state;
    queue_count(g->q, on_counts_free, g);
    wait_for(g);
    loop_for(loop, 0.02);
}

static void names(void **state)
{
    (void)state;
    char text[128];
    struct queue_options o = queue_options("tok");
    o.prefix = "bull";
    o.name = "t";
    assert_string_equal(queue_key("{a}", "b", "wait", text, sizeof text), "{a}:b:wait");
    assert_string_equal(queue_client_name(&o, text, sizeof text),
                        "bull:dA==:w:tok"); /* as seen with bull 4.16.5 */
    assert_string_equal(queue_status_name(QUEUE_LOST), "lost");
}

/* One hash tag is enough for Cluster; SORT_RO with GET is denied there, so the data comes by HGET. */
static void in_a_cluster(void **state)
{
    (void)state;
    static const char *const args[] = {"--cluster-enabled", "yes", NULL};
    static const struct redis_events events = {.ready = on_ready};
    struct server alone = server, cluster;
    struct rig g = {0};
    struct ticks t = {0};
    struct queue_options o = queue_options(TOKEN);
    server_start(&cluster, args);
    server = cluster; /* for what looks at it */
    server_ask(&server, "CLUSTER ADDSLOTSRANGE 0 16383");
    while (strstr(server_ask(&server, "CLUSTER INFO"), "cluster_state:ok") == NULL)
        usleep(10000);
    struct redis_options ro = redis_options();
    g.r = redis_new(loop, &ro, &events, &g);
    assert_true(loop_until(loop, &g.ready));
    g.q = queue_new(loop, g.r, &o);
    assert_int_equal(add(&g, "b1", "{\"n\":1}"), QUEUE_OK);
    assert_int_equal(add(&g, "b2", "{\"n\":2}"), QUEUE_OK);
    assert_int_equal(add(&g, "b2", "{\"n\":2}"), QUEUE_DUPLICATE);
    assert_string_equal(take(&g, 5), "b1:{\"n\":1}:0:0 b2:{\"n\":2}:0:0");
    assert_string_equal(renew(&g, "b1", "b2"), "");
    assert_int_equal(complete(&g, "b1", "{\"removeOnComplete\":true}"), QUEUE_OK);
    assert_int_equal(delay(&g, "b2", 10, true, "{}"), QUEUE_OK);
    queue_tick_start(g.q, &tick_events, &t);
    assert_true(loop_until(loop, &t.promoted_any));
    assert_true(loop_until(loop, &t.counted_any));
    assert_string_equal(take(&g, 5), "b2:{\"n\":2}:1:0");
    assert_int_equal(release(&g, TOKEN), 1);
    rig_close(&g);
    server_stop(&server);
    server = alone;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(releasing_a_dead_workers_jobs),
        T(releasing_very_many),
        T(a_job_whose_workers_die_is_not_released_for_ever),
        T(strays_are_released_but_not_what_is_in_hand),
        T(listing_tokens),
        T(waker_wakes_and_moves_nothing),
        T(waker_in_a_full_redis),
        T(waker_survives_a_lost_connection),
        T(freeing_answers_everything),
        T(freeing_inside_a_callback),
        cmocka_unit_test(in_a_cluster),
        cmocka_unit_test(names),
    };
    return cmocka_run_group_tests(tests, start_server, stop_server);
}
