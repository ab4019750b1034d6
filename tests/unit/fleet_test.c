/* fleet_test - the scripts of common/fleet and queue_split on a real server: each state, called twice, by a stranger. */
#include "tests/unit/queue_rig.h"

#include <stdio.h>

#include "common/fleet/alone.h"
#include "common/fleet/fleet.h"

#define P "{t}:dray:dest:d:"

static const struct fleet_rules rules = {
    .open_min_ms = 100, .open_max_ms = 400, .ramp_ms = 60000, .disable_ms = 3600000};

struct seen {
    bool done;
    int granted;
    struct fleet_view v;
    char why[FLEET_WHY_MAX];
    uint64_t retry_ms, rate;
};

static struct seen seen;
static struct fleet *mine, *other;

static void on_health(int granted, const struct fleet_view *v, void *arg)
{
    (void)arg;
    seen.done = true;
    seen.granted = granted;
    if (v == NULL)
        return;
    seen.v = *v;
    snprintf(seen.why, sizeof(seen.why), "%s", v->why);
}

static void on_tokens(int tokens, uint64_t retry_ms, uint64_t rate, void *arg)
{
    (void)arg;
    seen = (struct seen){.done = true, .granted = tokens, .retry_ms = retry_ms, .rate = rate};
}

/* Waits for the answer of the call before; returns what was granted. */
static int answer(void)
{
    assert_true(loop_until(loop, &seen.done));
    seen.done = false;
    return seen.granted;
}

static void open_fleets(struct rig *g)
{
    struct fleet_options o = {.loop = loop, .redis = g->r, .prefix = "{t}", .token = TOKEN, .rules = rules};

    mine = fleet_new(&o, &(struct fleet_events){0}, NULL);
    o.token = FOREIGN;
    other = fleet_new(&o, &(struct fleet_events){0}, NULL);
    seen = (struct seen){0};
}

static void close_fleets(void)
{
    fleet_free(mine);
    fleet_free(other);
}

/* The time that a circuit has left is taken away. */
static void make_due(void)
{
    server_ask(&server, "HSET " P "health until 1");
}

static int ask_open(struct fleet *f)
{
    fleet_open(f, "d", "answered 503", 0, 1, on_health, NULL);
    return answer();
}

static int ask_probe(struct fleet *f)
{
    fleet_probe(f, "d", 5000, on_health, NULL);
    return answer();
}

static int tell(struct fleet *f, bool ok)
{
    fleet_probed(f, "d", ok, "answered 503", on_health, NULL);
    return answer();
}

static void a_circuit(void **state)
{
    open_fleets(*state);
    assert_int_equal(ask_probe(mine), 0); /* it is closed */
    assert_int_equal(tell(mine, true), 0);
    assert_int_equal(ask_open(mine), 1);
    assert_int_equal(seen.v.state, FLEET_OPEN);
    assert_in_range(seen.v.left_ms, 1, 100);
    assert_string_equal(seen.why, "answered 503");
    assert_int_equal(ask_open(other), 0); /* called twice */
    make_due();
    assert_int_equal(ask_probe(mine), 1);
    assert_int_equal(ask_probe(other), 0); /* one at a time */
    assert_int_equal(seen.v.state, FLEET_PROBING);
    assert_int_equal(tell(other, true), 0); /* it is not his */
    assert_int_equal(tell(other, false), 0);
    assert_int_equal(tell(mine, false), 1);
    assert_int_equal(seen.v.opens, 2);
    assert_in_range(seen.v.left_ms, 101, 200);
    for (int i = 0; i < 6; i++) {
        make_due();
        assert_int_equal(ask_probe(mine), 1);
        assert_int_equal(tell(mine, false), 1);
    }
    assert_in_range(seen.v.left_ms, 201, 400); /* open_max */
    make_due();
    assert_int_equal(ask_probe(mine), 1);
    make_due();
    assert_int_equal(ask_probe(other), 1); /* who had it is dead */
    assert_int_equal(tell(mine, true), 0);
    assert_int_equal(tell(other, true), 1);
    assert_int_equal(seen.v.state, FLEET_CLOSED);
    assert_in_range(seen.v.ramp_ms, 1, 60000);
    assert_int_equal(tell(other, true), 0); /* called twice */
    assert_int_equal(ask_open(mine), 1);    /* on the ramp: it goes on where it was */
    assert_true(seen.v.opens > 2);
    close_fleets();
}

static void clocks_and_strangers(void **state)
{
    open_fleets(*state);
    assert_int_equal(ask_open(mine), 1);
    server_ask(&server, "HSET " P "health until 99999999999999");
    fleet_look(mine, "d", on_health, NULL);
    (void)answer();
    assert_in_range(seen.v.left_ms, 1, 400); /* no longer than it ever may be */
    server_ask(&server, "DEL " P "health");
    server_ask(&server, "SET " P "health x");
    server_ask(&server, "SET {t}:dray:dests x");
    assert_int_equal(ask_open(mine), 1);
    server_ask(&server, "DEL " P "rate");
    server_ask(&server, "SET " P "rate x");
    fleet_ask_tokens(mine, "d", &(struct fleet_wish){.rate = 10, .want = 1}, on_tokens, NULL);
    assert_int_equal(answer(), 1);
    close_fleets();
}

static void a_pause(void **state)
{
    open_fleets(*state);
    fleet_pause(mine, "d", 5000, on_health, NULL);
    (void)answer();
    assert_in_range(seen.v.pause_ms, 4000, 5000);
    fleet_pause(other, "d", 1000, on_health, NULL); /* shorter: the longer stands */
    (void)answer();
    assert_in_range(seen.v.pause_ms, 4000, 5000);
    assert_true(atoi(server_ask(&server, "PTTL " P "pause")) > 3000);
    fleet_enable(mine, "d", on_health, NULL);
    (void)answer();
    assert_int_equal(seen.v.pause_ms, 0);
    close_fleets();
}

static void disabling(void **state)
{
    static const int steps[][2] = {{51, 50}, {60, 1}, {75, 70}, {95, 90}, {96, 1}, {101, 100}};
    open_fleets(*state);
    assert_int_equal(ask_open(mine), 1);
    for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
        const char *now = server_ask(&server, "TIME");
        char text[64];
        snprintf(text, sizeof text, "%lld", atoll(now) * 1000 - steps[i][0] * 36000LL);
        make_due();
        assert_int_equal(ask_probe(mine), 1);
        server_ask(&server, "HSET " P "health since %s", text);
        assert_int_equal(tell(mine, false), steps[i][1]);
    }
    assert_int_equal(seen.v.state, FLEET_DISABLED);
    assert_int_equal(ask_probe(mine), 0);
    assert_int_equal(ask_open(mine), 0);
    is("-1", "PTTL " P "health"); /* until a person says so */
    fleet_enable(mine, "d", on_health, NULL);
    assert_int_equal(answer(), 1);
    assert_int_equal(seen.v.state, FLEET_CLOSED);
    assert_int_equal(seen.v.opens, 0);
    fleet_enable(mine, "d", on_health, NULL);
    assert_int_equal(answer(), 0);
    fleet_disable(mine, "d", "it answered 410", on_health, NULL);
    assert_int_equal(answer(), 1);
    fleet_disable(other, "d", "it answered 410", on_health, NULL);
    assert_int_equal(answer(), 0);
    close_fleets();
}

static void tokens(void **state)
{
    struct fleet_wish w = {.rate = 10, .want = 100};
    open_fleets(*state);
    fleet_ask_tokens(mine, "d", &w, on_tokens, NULL);
    assert_in_range(answer(), 1, 2);
    fleet_ask_tokens(other, "d", &w, on_tokens, NULL);
    assert_in_range(answer(), 0, 1);
    fleet_ask_tokens(other, "d", &w, on_tokens, NULL);
    assert_int_equal(answer(), 0);
    assert_in_range(seen.retry_ms, 1, 200);
    assert_int_equal(seen.rate, 10000);
    /* None is configured, none learnt: no tokens are needed. */
    w = (struct fleet_wish){.want = 3, .learn = true};
    fleet_ask_tokens(mine, "e", &w, on_tokens, NULL);
    assert_int_equal(answer(), 3);
    assert_int_equal(seen.rate, 0);
    w = (struct fleet_wish){.want = 1, .learn = true, .refused = 1, .guess = 40};
    fleet_ask_tokens(mine, "e", &w, on_tokens, NULL);
    (void)answer();
    assert_int_equal(seen.rate, 40000);
    w = (struct fleet_wish){.want = 1, .learn = true, .refused = 2, .guess = 15};
    fleet_ask_tokens(other, "e", &w, on_tokens, NULL); /* in the same second: together */
    (void)answer();
    assert_int_equal(seen.rate, 55000);
    close_fleets();
}

/* The same life without Redis. */
static void alone(void **state)
{
    struct fleet_alone *a = fleet_alone_new();
    const char *const open[] = {"why", "0", "1"}, *const lease[] = {"5000"}, *const why[] = {"answered 503"};
    struct fleet_view v;
    uint64_t retry, rate;
    (void)state;
    assert_int_equal(fleet_alone_ask(a, &rules, "d", "probe", lease, &v), 0);
    assert_int_equal(fleet_alone_ask(a, &rules, "d", "open", open, &v), 1);
    assert_int_equal(fleet_alone_ask(a, &rules, "d", "open", open, &v), 0);
    assert_int_equal(v.state, FLEET_OPEN);
    assert_int_equal(fleet_alone_ask(a, &rules, "d", "probe", lease, &v), 0);
    const struct fleet_rules now = {.open_min_ms = 0, .open_max_ms = 0, .ramp_ms = 1000};
    assert_int_equal(fleet_alone_ask(a, &now, "e", "open", open, &v), 1);
    assert_int_equal(fleet_alone_ask(a, &now, "e", "probe", lease, &v), 1);
    assert_int_equal(fleet_alone_ask(a, &now, "e", "bad", why, &v), 1);
    assert_int_equal(v.opens, 2);
    assert_int_equal(fleet_alone_ask(a, &now, "e", "probe", lease, &v), 1);
    assert_int_equal(fleet_alone_ask(a, &now, "e", "ok", why, &v), 1);
    assert_int_equal(v.state, FLEET_CLOSED);
    assert_int_equal(fleet_alone_tokens(a, "e", &(struct fleet_wish){.rate = 1, .want = 9}, &retry, &rate),
                     2);
    assert_int_equal(fleet_alone_tokens(a, "e", &(struct fleet_wish){.rate = 1, .want = 9}, &retry, &rate),
                     0);
    assert_in_range(retry, 1, 1100);
    fleet_alone_free(a);
}

/* ---- queue_split */

static enum queue_status split(struct rig *g, const char *id)
{
    const struct queue_half halves[2] = {{"b1.0", "first", 5}, {"b1.1", "second", 6}};
    struct queue_job j = job_of(id, "{}");
    g->answered = false;
    queue_split(g->q, &j, halves, on_done, g);
    return wait_for(g);
}

static void splitting(void **state)
{
    struct rig *g = *state;
    add(g, "b1", "{}");
    add(g, "b2", "{}");
    take(g, 1);
    is("b1", "LRANGE " B "active 0 -1");
    server_ask(&server, "HSET " B "b1 opts {\"x\":1} timestamp 17");
    assert_int_equal(split(g, "b1"), QUEUE_OK);
    is("b2,b1.1,b1.0", "LRANGE " B "wait 0 -1"); /* the right end is served */
    is("0", "EXISTS " B "b1 " B "b1:lock " B "active");
    is("first,{\"x\":1},17,(nil)", "HMGET " B "b1.0 data opts timestamp attemptsMade");
    is("second", "HGET " B "b1.1 data");
    assert_int_equal(split(g, "b1"), QUEUE_MISSING); /* called twice */
    is("3", "LLEN " B "wait");
    assert_int_equal(add(g, "b1", "{}"), QUEUE_DUPLICATE); /* its id stays known */
}

static void splitting_what_is_not_ours(void **state)
{
    struct rig *g = *state;
    assert_int_equal(split(g, "b1"), QUEUE_MISSING); /* a ghost */
    add(g, "b1", "{}");
    assert_int_equal(split(g, "b1"), QUEUE_LOST); /* it waits */
    take(g, 1);
    server_ask(&server, "SET " B "b1:lock " FOREIGN);
    assert_int_equal(split(g, "b1"), QUEUE_LOST);
    is("b1", "LRANGE " B "active 0 -1");
    server_ask(&server, "SET " B "b1:lock " TOKEN);
    server_ask(&server, "SET " B "meta-paused 1");
    assert_int_equal(split(g, "b1"), QUEUE_OK);
    is("b1.1,b1.0", "LRANGE " B "paused 0 -1");
    is("0", "EXISTS " B "wait");
}

static int setup(void **state)
{
    fleet_register_scripts();
    return rig_setup(state);
}

#undef T
#define T(f) cmocka_unit_test_setup_teardown(f, setup, rig_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(a_circuit), T(clocks_and_strangers),       T(a_pause), T(disabling), T(tokens), T(alone),
        T(splitting), T(splitting_what_is_not_ours),
    };
    return cmocka_run_group_tests(tests, start_server, stop_server);
}
