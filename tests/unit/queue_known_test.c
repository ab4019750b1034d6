/* queue_known_test - jobs that are taken while their add is on the way are not read back; when their text may go. */
#include "tests/unit/queue_order_rig.h"

#define MANY 3

struct text { /* one that was added */
    char id[8], data[64];
    struct probe *p;
    unsigned done, gone;
    enum queue_status status;
};

struct probe {
    struct queue *q;
    struct text texts[MANY];
    enum queue_status status;
    size_t n, known;
    char ids[100];
    bool answered, free_inside;
};

static void on_stored(enum queue_status s, const char *why, void *arg)
{
    struct text *t = arg;
    (void)why;
    assert_int_equal(t->gone, 0);
    t->status = s;
    t->done++;
}

static void on_let_go(void *arg)
{
    struct text *t = arg;
    assert_int_equal(t->done, 1);
    assert_int_equal(t->status, QUEUE_OK);
    t->gone++;
    memset(t->data, '#', sizeof t->data); /* whoever reads it now reads this */
}

static void look(struct probe *p, enum queue_status s, const struct queue_job *jobs, size_t n)
{
    p->status = s;
    p->n = n;
    p->known = 0;
    p->ids[0] = '\0';
    for (size_t i = 0; i < n; i++) {
        const struct queue_job *j = &jobs[i];
        char data[64];
        snprintf(data, sizeof data, "{\"of\":\"%s\"}", j->id);
        assert_int_equal(j->data_len, strlen(data));
        assert_memory_equal(j->data, data, j->data_len);
        assert_string_equal(j->name, "__default__");
        assert_int_equal(j->attempts_made + j->stalled_count + j->retried_ms + j->failures, 0);
        char stamp[24];
        snprintf(stamp, sizeof stamp, "%llu", (unsigned long long)j->timestamp_ms);
        is(stamp, "HGET " B "%s timestamp", j->id);
        is(j->opts, "HGET " B "%s opts", j->id);
        assert_int_equal(j->opts_len, strlen(j->opts));
        if (j->added != NULL) {
            const struct text *t = j->added;
            assert_string_equal(t->id, j->id);
            assert_ptr_equal(t->data, j->data);
            assert_int_equal(t->gone, 0);
            p->known++;
        }
        snprintf(p->ids + strlen(p->ids), sizeof p->ids - strlen(p->ids), "%s%s", i > 0 ? " " : "", j->id);
    }
    p->answered = true;
    if (p->free_inside)
        queue_free(p->q);
}

static void on_probe_taken(enum queue_status s, const struct queue_job *jobs, size_t n, void *arg)
{
    look(arg, s, jobs, n);
}

static void on_probe_ordered(enum queue_status s, const struct queue_turn *turn, const struct queue_job *jobs,
                             size_t n, void *arg)
{
    assert_int_equal(turn->state, QUEUE_TURN_OPEN);
    look(arg, s, jobs, n);
}

static void open_probe(struct probe *p, struct queue *q)
{
    memset(p, 0, sizeof *p);
    p->q = q;
    for (size_t i = 0; i < MANY; i++) {
        p->texts[i].p = p;
        snprintf(p->texts[i].id, sizeof p->texts[i].id, "b%zu", i);
        snprintf(p->texts[i].data, sizeof p->texts[i].data, "{\"of\":\"b%zu\"}", i);
    }
}

static void give_in(struct probe *p, size_t i)
{
    struct text *t = &p->texts[i];
    queue_add(p->q, t->id, t->data, strlen(t->data), on_stored, t);
}

static void wait_taken(struct probe *p)
{
    assert_true(loop_until(loop, &p->answered));
    p->answered = false;
}

static struct queue *open_queue(struct rig *g)
{
    struct queue_options o = queue_options(TOKEN);
    o.let_go = on_let_go;
    return queue_new(loop, g->r, &o);
}

static void sort_calls(char dst[64])
{
    redisReply *r = redisCommand(server.c, "INFO commandstats");
    const char *at = strstr(r->str, "cmdstat_hmget:"); /* what a take falls back to */
    snprintf(dst, 64, "%.*s", at != NULL ? (int)strcspn(at, ",") : 4, at != NULL ? at : "none");
    freeReplyObject(r);
}

static void not_read_back(void **state)
{
    struct probe p;
    char before[64], after[64];
    open_probe(&p, open_queue(*state));
    sort_calls(before);
    for (size_t i = 0; i < MANY; i++)
        give_in(&p, i);
    queue_take(p.q, 2, on_probe_taken, &p);
    wait_taken(&p);
    assert_string_equal(p.ids, "b0 b1");
    assert_int_equal(p.known, 2);
    is("0", "EXISTS " B "dray:took");
    is("b1,b0", "LRANGE " B "active 0 -1");
    is(TOKEN, "GET " B "b0:lock");
    for (size_t i = 0; i < MANY; i++)
        assert_int_equal(p.texts[i].gone, 1); /* b2 as well: a later take reads it */
    queue_take(p.q, 2, on_probe_taken, &p);
    wait_taken(&p);
    assert_string_equal(p.ids, "b2");
    assert_int_equal(p.known, 0);
    sort_calls(after);
    assert_string_equal(after, before);
    queue_free(p.q);
}

/* Jobs that stood there before are read, in their places among the others. */
static void beside_others(void **state)
{
    struct rig *g = *state;
    struct probe p;
    add(g, "x1", "{\"of\":\"x1\"}");
    add(g, "x2", "{\"of\":\"x2\"}");
    open_probe(&p, open_queue(g));
    give_in(&p, 0);
    give_in(&p, 1);
    queue_take(p.q, 9, on_probe_taken, &p);
    wait_taken(&p);
    assert_string_equal(p.ids, "x1 x2 b0 b1");
    assert_int_equal(p.known, 2);
    is("x1,x2", "LRANGE " B "dray:took 0 -1");
    queue_free(p.q);
}

/* An id that is there already: its hash says what it is, not what we wanted to add. */
static void a_duplicate_is_read(void **state)
{
    struct rig *g = *state;
    struct probe p;
    add(g, "b0", "{\"of\":\"b0\"}");
    open_probe(&p, open_queue(g));
    snprintf(p.texts[0].data, sizeof p.texts[0].data, "{\"other\":1}");
    give_in(&p, 0);
    queue_take(p.q, 9, on_probe_taken, &p);
    wait_taken(&p);
    assert_string_equal(p.ids, "b0");
    assert_int_equal(p.known, 0);
    assert_int_equal(p.texts[0].status, QUEUE_DUPLICATE);
    assert_int_equal(p.texts[0].gone, 0);
    queue_free(p.q);
}

/* The server has lost its scripts: the add comes to its end behind the take, which finds nothing. */
static void without_scripts(void **state)
{
    struct probe p;
    open_probe(&p, open_queue(*state));
    server_ask(&server, "SCRIPT FLUSH");
    give_in(&p, 0);
    queue_take(p.q, 9, on_probe_taken, &p);
    wait_taken(&p);
    for (int i = 0; i < 100 && p.texts[0].gone == 0; i++)
        loop_for(loop, 0.02);
    assert_int_equal(p.texts[0].status, QUEUE_OK);
    assert_int_equal(p.texts[0].gone, 1);
    if (p.n == 0) {
        queue_take(p.q, 9, on_probe_taken, &p);
        wait_taken(&p);
    }
    assert_string_equal(p.ids, "b0");
    assert_int_equal(p.known, 0);
    queue_free(p.q);
}

/* Only take is gone: its answer comes behind that of what was to read the jobs. */
static void without_the_take_script(void **state)
{
    struct probe p;
    open_probe(&p, open_queue(*state));
    server_ask(&server, "SCRIPT FLUSH");
    freeReplyObject(redisCommand(server.c, "SCRIPT LOAD %s", queue_script_add.text));
    give_in(&p, 0);
    queue_take(p.q, 9, on_probe_taken, &p);
    wait_taken(&p);
    assert_string_equal(p.ids, "b0");
    assert_int_equal(p.known, 1);
    assert_int_equal(p.texts[0].gone, 1);
    queue_free(p.q);
}

static void refused_is_not_let_go(void **state)
{
    struct probe p;
    open_probe(&p, open_queue(*state));
    server_ask(&server, "CONFIG SET maxmemory 1");
    give_in(&p, 0);
    queue_take(p.q, 9, on_probe_taken, &p);
    wait_taken(&p);
    server_ask(&server, "CONFIG SET maxmemory 0");
    assert_int_equal(p.n, 0);
    assert_int_equal(p.texts[0].status, QUEUE_REFUSED);
    assert_int_equal(p.texts[0].gone, 0);
    queue_free(p.q);
}

/* Sent and not answered, or never sent: done says so, and nothing refers to the text behind it. */
static void freed_meanwhile(void **state)
{
    struct probe p;
    open_probe(&p, open_queue(*state));
    give_in(&p, 0);
    queue_take(p.q, 9, on_probe_taken, &p);
    ev_run(loop, EVRUN_NOWAIT); /* sends */
    give_in(&p, 1);
    queue_free(p.q);
    assert_true(p.answered);
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(p.texts[i].done, 1);
        assert_int_equal(p.texts[i].gone, p.texts[i].status == QUEUE_OK); /* the first may have made it */
    }
    assert_int_not_equal(p.texts[1].status, QUEUE_OK);
}

static void freed_inside(void **state)
{
    struct probe p;
    open_probe(&p, open_queue(*state));
    p.free_inside = true;
    give_in(&p, 0);
    queue_take(p.q, 9, on_probe_taken, &p);
    wait_taken(&p);
    assert_string_equal(p.ids, "b0");
    loop_for(loop, 0.01);
    assert_int_equal(p.texts[0].gone, 1);
}

static void in_order(void **state)
{
    static const struct queue_lease_events events = {on_acquired, on_lease_lost, on_busy};
    struct rig *g = *state;
    struct holder h = {.g = *g};
    struct queue_options o = ordered_options(TOKEN, 10000);
    struct probe p;
    o.let_go = on_let_go;
    h.g.q = queue_new(loop, g->r, &o);
    queue_lease_start(h.g.q, &events, &h);
    holder_want(&h);
    add(g, "x1", "{\"of\":\"x1\"}");
    open_probe(&p, h.g.q);
    give_in(&p, 0);
    give_in(&p, 1);
    queue_take_ordered(p.q, 9, NULL, 0, on_probe_ordered, &p);
    wait_taken(&p);
    assert_string_equal(p.ids, "x1 b0 b1");
    assert_int_equal(p.known, 2);
    is("x1", "LRANGE " B "dray:took 0 -1");
    for (size_t i = 0; i < 2; i++)
        assert_int_equal(p.texts[i].gone, 1);
    queue_free(h.g.q);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(not_read_back),
        T(beside_others),
        T(a_duplicate_is_read),
        T(without_scripts),
        T(without_the_take_script),
        T(refused_is_not_let_go),
        T(freed_meanwhile),
        T(freed_inside),
        T(in_order),
    };
    return cmocka_run_group_tests(tests, start_server, stop_server);
}
