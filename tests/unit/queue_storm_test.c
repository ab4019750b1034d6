/* queue_storm_test - three candidates work one ordered queue while they die, lose connections, and are robbed of the
 * lease; each job's first arrival must come in order, and each must arrive. The seed is printed; QUEUE_STORM_SEED=n
 * repeats a run. */
#include "tests/unit/queue_order_rig.h"

#include "common/base/clock.h"

#define JOBS     500
#define WORKERS  3
#define PREFETCH 5
#define LEASE_MS 300

struct worker {
    struct redis *r;
    struct queue *q;
    unsigned generation, index;
    char token[40];
    bool ready, dead, taking;
    struct {
        int job;
        bool posted, settling;
    } hand[QUEUE_ORDERED_MAX];
    size_t n;
    ev_timer post, retry;
};

static struct worker workers[WORKERS];
static int arrivals[JOBS], first_arrivals, disorder;
static unsigned posted, held, lost_leases, taken_over, last_holder, deaths;
static uint64_t seed;

static unsigned roll(unsigned sides)
{
    seed = seed * 6364136223846793005ull + 1442695040888963407ull;
    return (unsigned)(seed >> 33) % sides;
}

static void pump(struct worker *w);

static void forget_from(struct worker *w, size_t first)
{
    w->n = first < w->n ? first : w->n;
}

static size_t find_in_hand(const struct worker *w, int job)
{
    size_t i = 0;
    while (i < w->n && w->hand[i].job != job)
        i++;
    return i;
}

struct settling {
    struct worker *w;
    unsigned generation;
    int job;
};

static void on_settled_job(enum queue_status s, const char *why, void *arg)
{
    struct settling *c = arg;
    (void)s;
    (void)why;
    struct worker *w = c->w;
    size_t i = c->generation == w->generation && !w->dead ? find_in_hand(w, c->job) : w->n;
    if (i < w->n) { /* whatever came of it: if it was not settled it will be found in active */
        memmove(&w->hand[i], &w->hand[i + 1], (w->n - i - 1) * sizeof w->hand[0]);
        w->n--;
    }
    free(c);
}

static void on_verdict(struct ev_loop *l, ev_timer *t, int events)
{
    (void)l;
    (void)events;
    struct worker *w = t->data;
    size_t i = 0;
    while (i < w->n && (!w->hand[i].posted || w->hand[i].settling))
        i++;
    if (i == w->n)
        return;
    char id[16];
    snprintf(id, sizeof id, "j%d", w->hand[i].job);
    struct queue_job job = job_of(id, "{}");
    if (roll(5) == 0) {
        held++;
        queue_hold(w->q, &job, roll(2) * 10, true, "http 503", NULL, NULL);
        forget_from(w, i);
    } else {
        struct settling *c = calloc(1, sizeof *c);
        *c = (struct settling){w, w->generation, w->hand[i].job};
        w->hand[i].settling = true;
        queue_complete(w->q, &job, "1", on_settled_job, c);
    }
    pump(w);
}

static void post_next(struct worker *w)
{
    size_t i = 0;
    while (i < w->n && w->hand[i].settling)
        i++;
    if (i == w->n || w->hand[i].posted)
        return;
    w->hand[i].posted = true;
    posted++;
    int job = w->hand[i].job;
    if (arrivals[job]++ == 0) {
        if (job != first_arrivals && disorder < 0)
            disorder = job;
        first_arrivals++;
    }
    ev_timer_set(&w->post, roll(4) / 1000.0, 0.0);
    ev_timer_start(loop, &w->post);
}

static void on_jobs(enum queue_status s, const struct queue_turn *turn, const struct queue_job *jobs,
                    size_t n, void *arg)
{
    struct worker *w = arg;
    if (w->dead)
        return;
    w->taking = false;
    for (size_t i = 0; i < n; i++) {
        w->hand[w->n].job = atoi(jobs[i].id + 1);
        w->hand[w->n].posted = w->hand[w->n].settling = false;
        w->n++;
    }
    ev_timer_stop(loop, &w->retry);
    ev_timer_set(&w->retry, s == QUEUE_OK && turn->retry_ms > 0 ? (double)turn->retry_ms / 1000 : 0.005, 0.0);
    ev_timer_start(loop, &w->retry);
    if (!queue_lease_held(w->q) && n > 0) {
        queue_hand_back(w->q, jobs[0].id, NULL, NULL);
        forget_from(w, w->n - n);
        return;
    }
    if (n > 0)
        pump(w);
}

static void pump(struct worker *w)
{
    if (!queue_lease_held(w->q))
        return;
    post_next(w);
    if (w->taking || w->n >= PREFETCH || ev_is_active(&w->retry))
        return;
    char ids[PREFETCH][16];
    const char *in_hand[PREFETCH];
    for (size_t i = 0; i < w->n; i++) {
        snprintf(ids[i], sizeof ids[i], "j%d", w->hand[i].job);
        in_hand[i] = ids[i];
    }
    w->taking = true;
    queue_take_ordered(w->q, PREFETCH - (unsigned)w->n, in_hand, w->n, on_jobs, w);
}

static void on_retry(struct ev_loop *l, ev_timer *t, int events)
{
    (void)l;
    (void)events;
    pump(t->data);
}

static void worker_acquired(struct queue *q, uint64_t epoch, void *arg)
{
    struct worker *w = arg;
    (void)q;
    (void)epoch;
    taken_over += last_holder != w->index;
    last_holder = w->index;
    pump(w);
}

static void worker_lost(struct queue *q, const char *why, void *arg)
{
    struct worker *w = arg;
    (void)why;
    lost_leases++;
    ev_timer_stop(loop, &w->post);
    if (w->n > 0 && roll(2) == 0) {
        char id[16];
        snprintf(id, sizeof id, "j%d", w->hand[0].job);
        queue_hand_back(q, id, NULL, NULL);
    }
    forget_from(w, 0);
}

static void worker_ready(struct redis *r, int64_t client_id, void *arg)
{
    (void)r;
    (void)client_id;
    ((struct worker *)arg)->ready = true;
}

static void worker_start(struct worker *w)
{
    static const struct redis_events redis_events = {.ready = worker_ready};
    static const struct queue_lease_events lease_events = {worker_acquired, worker_lost, NULL};
    struct redis_options ro = redis_options();
    w->generation++;
    snprintf(w->token, sizeof w->token, "node.1.%u.%u", w->index, w->generation);
    struct queue_options o = ordered_options(w->token, LEASE_MS);
    o.max_stalled = 1000000;
    w->ready = w->dead = w->taking = false;
    w->n = 0;
    ev_timer_init(&w->post, on_verdict, 0.0, 0.0);
    ev_timer_init(&w->retry, on_retry, 0.0, 0.0);
    w->post.data = w->retry.data = w;
    w->r = redis_new(loop, &ro, &redis_events, w);
    w->q = queue_new(loop, w->r, &o);
    queue_lease_start(w->q, &lease_events, w);
    queue_lease_want(w->q, true);
}

/* Dies with whatever it had sent and not sent. The id of its connection is returned. */
static int64_t worker_die(struct worker *w)
{
    int64_t id = redis_client_id(w->r);
    w->dead = true;
    ev_timer_stop(loop, &w->post);
    ev_timer_stop(loop, &w->retry);
    redis_drop(w->r, "it dies");
    queue_free(w->q);
    redis_free(w->r);
    return id;
}

static void mischief(void)
{
    struct worker *w = &workers[roll(2) == 0 ? last_holder : roll(WORKERS)];
    char token[40];
    switch (roll(6)) {
    case 0: /* a sibling reaps it: its connection first */
    case 1: {
        int64_t id = worker_die(w);
        deaths++;
        snprintf(token, sizeof token, "%s", w->token);
        server_ask(&server, "CLIENT KILL ID %lld", (long long)id);
        queue_release_token(workers[(w->index + 1) % WORKERS].q, token, NULL, NULL);
        worker_start(w);
        break;
    }
    case 2: /* nobody knows of its death: lease and locks run out */
        (void)worker_die(w);
        deaths++;
        worker_start(w);
        break;
    case 3:
        redis_drop(w->r, "the network");
        break;
    case 4:
        server_ask(&server, "CLIENT KILL ID %lld", (long long)redis_client_id(w->r));
        break;
    default: /* moved elsewhere: what is in hand is done first */
        server_ask(&server, "DEL " B "dray:lease");
        break;
    }
}

static void first_arrivals_come_in_order(void **state)
{
    struct holder *h = *state;
    const char *given = getenv("QUEUE_STORM_SEED");
    seed = given != NULL ? strtoull(given, NULL, 10) : clock_wall_ms() * 1000003u + (uint64_t)getpid();
    print_message("QUEUE_STORM_SEED=%llu\n", (unsigned long long)seed);
    disorder = -1;
    for (int i = 0; i < JOBS; i++) {
        char id[16];
        snprintf(id, sizeof id, "j%d", i);
        add_jobs(h, id);
    }
    queue_lease_want(h->g.q, false);
    for (unsigned i = 0; i < WORKERS; i++) {
        workers[i].index = i;
        worker_start(&workers[i]);
    }
    unsigned turns = 0;
    while (strcmp(server_ask(&server, "ZCARD " B "completed"), "500") != 0 && ++turns < 2000) {
        loop_for(loop, 0.02);
        if (roll(6) == 0)
            mischief();
    }
    for (unsigned i = 0; i < WORKERS; i++)
        (void)worker_die(&workers[i]);
    print_message("posts %u, retries %u, deaths %u, leases lost %u, taken over %u, turns %u\n", posted, held,
                  deaths, lost_leases, taken_over, turns);
    is("500", "ZCARD " B "completed");
    is("0", "EXISTS " B "wait " B "active " B "failed " B "delayed");
    assert_int_equal(disorder, -1);
    assert_int_equal(first_arrivals, JOBS);
    assert_true(held > 20 && taken_over > 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {H(first_arrivals_come_in_order)};
    return cmocka_run_group_tests(tests, start_server, stop_server);
}
