/* redis_cpu_bench - CPU time of Redis per job: dray's queue against Bull's own scripts, side by side on one server.
 *
 * usage: redis_cpu_bench SCRIPTS_DIR [JOBS] [ROUNDS] [WAITING]; tests/bench/redis_cpu_bench.py fetches Bull's scripts and calls it.
 * Bull: one script call a job (addJob; moveToActive for the first ones, then moveToFinished that fetches the next),
 * DEPTH of them on the wire at a time, which is better than Bull's own client does. dray: its queue layer, DEPTH jobs a
 * loop turn. "To alone": against Bull at depth 1, an application that awaits each add. Same payload, same number kept in completed. Then the same with WAITING
 * jobs more in wait all the time. CPU is used_cpu_user + used_cpu_sys of INFO.
 */
#include "common/queue/queue.h"

#include <inttypes.h>

#include "common/base/clock.h"
#include "common/base/fd.h"
#include "common/base/id.h"
#include "common/base/log.h"
#include "tests/unit/redis_server.h"

#define DEPTH_MAX 128
#define KEEP      1000
#define TOKEN     "7f3c9f1e-5a51-4c0e-9c35-5d1c7a7f0001"
#define BULL      "{bull}:q:"

static struct server server;
static struct ev_loop *loop;
static char payload[4620];
static double alone; /* Bull's add at depth 1: an application that awaits each add */
static char *sha_add, *sha_active, *sha_finished;

static double cpu_us(void)
{
    const char *info = server_ask(&server, "INFO cpu");
    const char *user = strstr(info, "used_cpu_user:"), *sys = strstr(info, "used_cpu_sys:");
    return (atof(user + 14) + atof(sys + 13)) * 1e6;
}

/* Ten events of a shop, as one batch. */
static void make_payload(void)
{
    size_t n = (size_t)snprintf(payload, sizeof payload, "{\"version\":1,\"batch\":[");
    for (int i = 0; n + 1 < sizeof payload; i++)
        n += (size_t)snprintf(
            payload + n, sizeof payload - n,
            "{\"type\":\"track\",\"event\":\"Order Completed\",\"userId\":\"user-%d\",\"messageId\":\"m-%d\","
            "\"properties\":{\"orderId\":\"o-%d\",\"total\":12.5,\"currency\":\"EUR\",\"items\":[1,2,3]},"
            "\"context\":{\"ip\":\"10.0.0.1\",\"library\":{\"name\":\"x\",\"version\":\"1.2.3\"}}},",
            i, i, i);
    memset(payload + sizeof payload - 4, '"', 1);
    memcpy(payload + sizeof payload - 3, "]}", 3);
}

static char *load_script(const char *dir, const char *name)
{
    char path[512], *text;
    size_t len;
    snprintf(path, sizeof path, "%s/%s.lua", dir, name);
    if (fd_read_file(path, 1 << 20, &text, &len) < 0) {
        fprintf(stderr, "redis_cpu_bench: cannot read %s\n", path);
        exit(1);
    }
    char *sha = strdup(server_ask(&server, "SCRIPT LOAD %s", text));
    free(text);
    return sha;
}

/* ---- Bull */

static void check(const redisReply *r)
{
    if (r != NULL && r->type != REDIS_REPLY_ERROR)
        return;
    fprintf(stderr, "redis_cpu_bench: %s\n", r != NULL ? r->str : server.c->errstr);
    exit(1);
}

static void bull_add(unsigned jobs, unsigned depth)
{
    for (unsigned at = 0; at < jobs; at += depth) {
        unsigned n = jobs - at < depth ? jobs - at : depth;
        for (unsigned i = 0; i < n; i++) {
            char now[24], opts[80], packed[96];
            snprintf(now, sizeof now, "%" PRIu64, clock_wall_ms());
            int len = snprintf(opts, sizeof opts, "{\"attempts\":1,\"delay\":0,\"timestamp\":%s}", now);
            packed[0] = (char)0xd9;
            packed[1] = (char)len;
            memcpy(packed + 2, opts, (size_t)len);
            const char *argv[] = {"EVALSHA",
                                  sha_add,
                                  "6",
                                  BULL "wait",
                                  BULL "paused",
                                  BULL "meta-paused",
                                  BULL "id",
                                  BULL "delayed",
                                  BULL "priority",
                                  BULL,
                                  "",
                                  "__default__",
                                  payload,
                                  packed,
                                  now,
                                  "0",
                                  "0",
                                  "0",
                                  "LPUSH",
                                  TOKEN,
                                  "",
                                  "",
                                  ""};
            size_t lens[sizeof argv / sizeof *argv];
            for (size_t k = 0; k < sizeof argv / sizeof *argv; k++)
                lens[k] = argv[k] == packed ? (size_t)len + 2 : strlen(argv[k]);
            redisAppendCommandArgv(server.c, (int)(sizeof argv / sizeof *argv), argv, lens);
        }
        for (unsigned i = 0; i < n; i++) {
            redisReply *r = NULL;
            redisGetReply(server.c, (void **)&r);
            check(r);
            freeReplyObject(r);
        }
    }
}

/* The id of the job in a reply of [fields, id]; "" when there is none. */
static void next_id(const redisReply *r, char dst[32])
{
    dst[0] = '\0';
    if (r->type != REDIS_REPLY_ARRAY || r->elements < 2)
        return;
    if (r->element[1]->type == REDIS_REPLY_INTEGER)
        snprintf(dst, 32, "%lld", r->element[1]->integer);
    else if (r->element[1]->type == REDIS_REPLY_STRING)
        snprintf(dst, 32, "%s", r->element[1]->str);
}

static void bull_ask_active(void)
{
    char now[24];
    snprintf(now, sizeof now, "%" PRIu64, clock_wall_ms());
    const char *argv[] = {"EVALSHA",
                          sha_active,
                          "8",
                          BULL "wait",
                          BULL "active",
                          BULL "priority",
                          BULL "active@" TOKEN,
                          BULL "stalled",
                          BULL "limiter",
                          BULL "delayed",
                          BULL "drained",
                          BULL,
                          TOKEN,
                          "30000",
                          now,
                          ""};
    redisAppendCommandArgv(server.c, (int)(sizeof argv / sizeof *argv), argv, NULL);
}

static void bull_ask_finished(const char *id)
{
    static const char keep[] = "\x81\xa5"
                               "count"
                               "\xcd\x03\xe8"; /* {count: 1000} */
    char now[24], key[64], event[96];
    snprintf(now, sizeof now, "%" PRIu64, clock_wall_ms());
    snprintf(key, sizeof key, BULL "%.31s", id);
    snprintf(event, sizeof event, "{\"jobId\":\"%.31s\",\"val\":\"null\"}", id);
    const char *argv[] = {"EVALSHA",
                          sha_finished,
                          "9",
                          BULL "active",
                          BULL "completed",
                          key,
                          BULL "wait",
                          BULL "priority",
                          BULL "active@" TOKEN,
                          BULL "delayed",
                          BULL "stalled",
                          BULL "metrics:completed",
                          id,
                          now,
                          "returnvalue",
                          "null",
                          TOKEN,
                          keep,
                          event,
                          "1",
                          BULL,
                          "30000",
                          TOKEN,
                          ""};
    size_t lens[sizeof argv / sizeof *argv];
    for (size_t k = 0; k < sizeof argv / sizeof *argv; k++)
        lens[k] = argv[k] == keep ? sizeof keep - 1 : strlen(argv[k]);
    redisAppendCommandArgv(server.c, (int)(sizeof argv / sizeof *argv), argv, lens);
}

/* At most so many jobs. */
static unsigned bull_work(unsigned depth, unsigned jobs)
{
    char ids[DEPTH_MAX][32];
    unsigned held = 0, done = 0;
    for (unsigned i = 0; i < depth; i++)
        bull_ask_active();
    for (unsigned asked = depth; asked > 0;) {
        held = 0;
        for (unsigned i = 0; i < asked; i++) {
            redisReply *r = NULL;
            redisGetReply(server.c, (void **)&r);
            check(r);
            next_id(r, ids[held]);
            held += ids[held][0] != '\0';
            freeReplyObject(r);
        }
        if (done >= jobs)
            break;
        for (unsigned i = 0; i < held; i++)
            bull_ask_finished(ids[i]);
        done += held;
        asked = held;
    }
    return done;
}

/* The floor: the job's hash and nothing else. */
static void bare_add(unsigned jobs, unsigned depth)
{
    for (unsigned at = 0; at < jobs; at += depth) {
        unsigned n = jobs - at < depth ? jobs - at : depth;
        for (unsigned i = 0; i < n; i++)
            redisAppendCommand(
                server.c,
                "HSET {bare}:%u name __default__ data %s opts "
                "{\"attempts\":1,\"delay\":0,\"timestamp\":1795220944860} timestamp 1795220944860 delay 0 priority 0",
                at + i, payload);
        for (unsigned i = 0; i < n; i++) {
            redisReply *r = NULL;
            redisGetReply(server.c, (void **)&r);
            check(r);
            freeReplyObject(r);
        }
    }
}

/* ---- dray */

struct rig {
    struct redis *r;
    struct queue *q;
    bool ready, done;
    unsigned left, depth, finished, in_hand, wanted;
};

static void on_ready(struct redis *r, int64_t client_id, void *arg)
{
    (void)r;
    (void)client_id;
    ((struct rig *)arg)->ready = true;
}

static void on_added(enum queue_status s, const char *why, void *arg)
{
    struct rig *g = arg;
    if (s != QUEUE_OK) {
        fprintf(stderr, "redis_cpu_bench: add: %s\n", why);
        exit(1);
    }
    if (--g->left == 0)
        g->done = true;
}

static void dray_add(struct rig *g, unsigned jobs)
{
    for (unsigned at = 0; at < jobs; at += g->depth) {
        unsigned n = jobs - at < g->depth ? jobs - at : g->depth;
        g->left = n;
        g->done = false;
        for (unsigned i = 0; i < n; i++) {
            char id[ID_SIZE];
            id_new(id);
            queue_add(g->q, id, payload, sizeof payload - 1, on_added, g);
        }
        if (!loop_until(loop, &g->done))
            exit(1);
    }
}

static void on_settled(enum queue_status s, const char *why, void *arg)
{
    struct rig *g = arg;
    if (s != QUEUE_OK) {
        fprintf(stderr, "redis_cpu_bench: complete: %s\n", why);
        exit(1);
    }
    g->finished++;
    g->in_hand--;
}

static void on_taken(enum queue_status s, const struct queue_job *jobs, size_t n, void *arg)
{
    struct rig *g = arg;
    if (s != QUEUE_OK)
        exit(1);
    g->in_hand += (unsigned)n;
    for (size_t i = 0; i < n; i++)
        queue_complete(g->q, &jobs[i], "null", on_settled, g);
    if (n > 0 && g->finished + g->in_hand < g->wanted)
        queue_take(g->q, g->depth, on_taken, g); /* in the same round trip */
    else
        g->done = true;
}

static void dray_work(struct rig *g, unsigned jobs)
{
    g->wanted = jobs;
    g->finished = 0;
    g->done = false;
    queue_take(g->q, g->depth, on_taken, g);
    while (!g->done || g->in_hand > 0)
        ev_run(loop, EVRUN_ONCE);
}

static void rig_open(struct rig *g, unsigned depth)
{
    static const struct redis_events events = {.ready = on_ready};
    struct redis_options ro = {
        .url = server.url, .connect_timeout_ms = 5000, .reconnect_min_ms = 10, .reconnect_max_ms = 100};
    struct queue_options o = {.prefix = "{dray}",
                              .name = "q",
                              .token = TOKEN,
                              .lock_ms = 30000,
                              .stalled_interval_ms = 30000,
                              .keep_completed_count = KEEP,
                              .keep_completed_age_ms = 86400000,
                              .keep_failed_age_ms = 86400000};
    memset(g, 0, sizeof *g);
    g->depth = depth;
    g->r = redis_new(loop, &ro, &events, g);
    if (g->r == NULL || !loop_until(loop, &g->ready))
        exit(1);
    g->q = queue_new(loop, g->r, &o);
}

/* ---- the comparison */

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static double median(double *v, unsigned n)
{
    qsort(v, n, sizeof *v, by_value);
    return n % 2 == 1 ? v[n / 2] : (v[n / 2 - 1] + v[n / 2]) / 2;
}

static void compare(unsigned depth, unsigned jobs, unsigned rounds)
{
    enum { BARE, BULL_ADD, BULL_ALL, DRAY_ADD, DRAY_ALL, SERIES };
    double v[SERIES][64], m[SERIES];
    for (int i = -1; i < (int)rounds; i++) { /* the first round warms memory up */
        unsigned at = i < 0 ? 0 : (unsigned)i;
        server_ask(&server, "FLUSHALL");
        double a = cpu_us();
        bare_add(jobs, depth);
        v[BARE][at] = (cpu_us() - a) / jobs;
        server_ask(&server, "FLUSHALL");
        a = cpu_us();
        bull_add(jobs, depth);
        double b = cpu_us();
        unsigned done = bull_work(depth, jobs);
        double c = cpu_us();
        v[BULL_ADD][at] = (b - a) / jobs;
        v[BULL_ALL][at] = (c - a) / jobs;
        server_ask(&server, "FLUSHALL");
        struct rig g;
        rig_open(&g, depth);
        a = cpu_us();
        dray_add(&g, jobs);
        b = cpu_us();
        dray_work(&g, jobs);
        c = cpu_us();
        v[DRAY_ADD][at] = (b - a) / jobs;
        v[DRAY_ALL][at] = (c - a) / jobs;
        if (done != jobs || g.finished != jobs) {
            fprintf(stderr, "redis_cpu_bench: finished %u and %u of %u jobs\n", done, g.finished, jobs);
            exit(1);
        }
        queue_free(g.q);
        redis_free(g.r);
    }
    for (int s = 0; s < SERIES; s++)
        m[s] = median(v[s], rounds);
    if (depth == 1)
        alone = m[BULL_ADD];
    printf("%5u  %8.1f %8.1f %8.1f %8.2f %8.2f   %8.1f %8.1f %8.2f\n", depth, m[BARE], m[BULL_ADD],
           m[DRAY_ADD], m[DRAY_ADD] / m[BULL_ADD], m[DRAY_ADD] / alone, m[BULL_ALL], m[DRAY_ALL],
           m[DRAY_ALL] / m[BULL_ALL]);
    fflush(stdout);
}

/* ---- the same with very many jobs waiting */

/* Small jobs, newer than what is there already. */
static void wait_more(const char *base, unsigned n)
{
    static const char text[] =
        "for i = 1, 1000 do local id = 'w' .. ARGV[1] .. '-' .. i redis.call('HSET', KEYS[1] .. id, 'name', '__default__', "
        "'data', '{}', 'opts', '{\"attempts\":1}', 'timestamp', '1795220944860', 'delay', '0', 'priority', '0') "
        "redis.call('LPUSH', KEYS[1] .. 'wait', id) end";
    for (unsigned at = 0; at < n; at += 1000) {
        redisReply *r = redisCommand(server.c, "EVAL %s 1 %s %u", text, base, at);
        check(r);
        freeReplyObject(r);
    }
}

/* A cycle of each job: as many jobs are added at one end as are worked off at the other. */
static double cycle_of_bull(unsigned depth, unsigned jobs, unsigned waiting)
{
    server_ask(&server, "FLUSHALL");
    bull_add(jobs, depth);
    wait_more(BULL, waiting);
    double a = cpu_us();
    bull_add(jobs, depth);
    unsigned done = bull_work(depth, jobs);
    return (cpu_us() - a) / (done > 0 ? done : 1);
}

static double cycle_of_dray(unsigned depth, unsigned jobs, unsigned waiting)
{
    struct rig g;
    server_ask(&server, "FLUSHALL");
    rig_open(&g, depth);
    dray_add(&g, jobs);
    wait_more("{dray}:q:", waiting);
    double a = cpu_us();
    dray_add(&g, jobs);
    dray_work(&g, jobs);
    double all = (cpu_us() - a) / (g.finished > 0 ? g.finished : 1);
    queue_free(g.q);
    redis_free(g.r);
    return all;
}

static void compare_full(unsigned jobs, unsigned rounds, unsigned waiting)
{
    enum { DEPTH = 16 };
    double bull[2][64], dray[2][64];
    for (unsigned i = 0; i < rounds; i++)
        for (int full = 0; full < 2; full++) {
            bull[full][i] = cycle_of_bull(DEPTH, jobs, full ? waiting : 0);
            dray[full][i] = cycle_of_dray(DEPTH, jobs, full ? waiting : 0);
        }
    double b[2] = {median(bull[0], rounds), median(bull[1], rounds)},
           d[2] = {median(dray[0], rounds), median(dray[1], rounds)};
    printf(
        "depth %d, cycle with 0 and %u more waiting: Bull %.1f and %.1f (%.2f), dray %.1f and %.1f (%.2f); "
        "dray to Bull %.2f and %.2f\n",
        DEPTH, waiting, b[0], b[1], b[1] / b[0], d[0], d[1], d[1] / d[0], d[0] / b[0], d[1] / b[1]);
}

int main(int argc, char **argv)
{
    unsigned jobs = argc > 2 ? (unsigned)atoi(argv[2]) : 10000,
             rounds = argc > 3 ? (unsigned)atoi(argv[3]) : 5,
             waiting = argc > 4 ? (unsigned)atoi(argv[4]) : 0;
    if (argc < 2 || jobs == 0 || rounds == 0 || rounds > 64) {
        fprintf(stderr, "usage: redis_cpu_bench SCRIPTS_DIR [JOBS] [ROUNDS] [WAITING]\n");
        return 64;
    }
    signal(SIGPIPE, SIG_IGN);
    log_set_level(LOGL_ERROR);
    loop = ev_default_loop(0);
    queue_register_scripts();
    make_payload();
    setenv("MALLOC_CONF", "dirty_decay_ms:-1,muzzy_decay_ms:-1",
           1); /* Redis keeps its memory between rounds */
    server_start(&server, NULL);
    sha_add = load_script(argv[1], "addJob-6");
    sha_active = load_script(argv[1], "moveToActive-8");
    sha_finished = load_script(argv[1], "moveToFinished-9");
    printf("Redis CPU us per job of %zu bytes; %u jobs, median of %u rounds, no persistence\n",
           sizeof payload - 1, jobs, rounds);
    printf("depth  HSET only add Bull     dray    ratio to alone  cycle Bull    dray    ratio\n");
    static const unsigned depths[] = {1, 4, 16, 64};
    for (size_t i = 0; i < sizeof depths / sizeof *depths; i++)
        compare(depths[i], jobs, rounds);
    if (waiting > 0)
        compare_full(jobs, rounds < 3 ? rounds : 3, waiting);
    server_stop(&server);
    return 0;
}
