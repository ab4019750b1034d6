/* demo - dray demo: the whole way of 1,000 events, on a Redis of its own, with a worker killed half-way; then a table.
 *
 * It uses only what a user has: dray sink, dray run, the HTTP intake, the control socket. Like a client library it
 * sends a batch again, with the same messageIds, until it is answered with 2xx.
 */
#include <ev.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/id.h"
#include "common/base/str.h"
#include "common/http/client.h"
#include "master/cli/cli.h"
#include "master/cli/control.h"
#include "master/cli/demo_events.h"
#include "master/cli/demo_host.h"

#define EVENTS     1000
#define PER_BATCH  10
#define BATCHES    (EVENTS / PER_BATCH)
#define IN_FLIGHT  8
#define RETRY_S    0.05
#define BOOT_MS    30000
#define SEND_MS    30000
#define DELIVER_MS 30000
#define BODY_MAX   (1u << 20)

static const char usage[] =
    "usage: dray demo\n\n"
    "In a folder under /tmp: starts a sink and dray with a Redis of its own, sends 1,000 events, kills a delivery\n"
    "worker with -9 half-way, and counts what arrived. On a terminal it stays up until Ctrl-C, for trying by hand.\n"
    "Exit status: 0, or 1 if anything was lost.\n\n";

struct demo;
struct post {
    struct demo *demo;
    struct buf body;
    struct http_piece piece;
    ev_timer again;
};

struct demo {
    struct demo_host host;
    const char *program; /* as it was called */
    struct ev_loop *loop;
    struct http_client *http;
    struct post posts[BATCHES];
    char url[DEMO_HOST_URL + 16], run[16];
    int ready; /* what demo_host_ready said last */
    unsigned next, acknowledged, again;
    pid_t killed, successor;
    uint64_t killed_at_ms, replaced_ms;
    ev_signal signals[3];
    bool interrupted;
};

static void on_signal(struct ev_loop *loop, ev_signal *w, int events)
{
    (void)events;
    struct demo *d = w->data;
    d->interrupted = true;
    ev_break(loop, EVBREAK_ALL);
}

/* Runs the loop until done says so. 0; -1: the time is over, or Ctrl-C. */
static int wait_until(struct demo *d, bool (*done)(struct demo *d), uint64_t timeout_ms)
{
    uint64_t until_ms = clock_mono_ms() + timeout_ms;
    while (!done(d)) {
        if (d->interrupted || clock_mono_ms() >= until_ms)
            return -1;
        ev_run(d->loop, EVRUN_NOWAIT);
        (void)poll(NULL, 0, 2);
    }
    return 0;
}

/* --- sending --- */

static void post_next(struct demo *d);

static void kill_worker(struct demo *d)
{
    uint64_t boot_ms;
    d->killed = demo_host_worker(&d->host, "delivery", &boot_ms);
    if (d->killed > 0 && kill(d->killed, SIGKILL) == 0)
        d->killed_at_ms = clock_mono_ms();
    else
        d->killed = -1;
}

static void on_answer(struct http_call *call, const struct http_answer *a, void *arg)
{
    (void)call;
    struct post *p = arg;
    struct demo *d = p->demo;
    if (a->error != HTTP_ERROR_NONE || a->status < 200 || a->status > 299) {
        d->again++;
        ev_timer_start(d->loop, &p->again);
        return;
    }
    d->acknowledged += PER_BATCH;
    if (d->killed == 0 && d->acknowledged >= EVENTS / 2)
        kill_worker(d);
    post_next(d);
    if (d->acknowledged == EVENTS)
        ev_break(d->loop, EVBREAK_ALL);
}

static void post(struct post *p)
{
    static const char *const headers[] = {"Content-Type: application/json",
                                          "Authorization: Basic ZGV2Og==", NULL};
    const struct http_call_options o = {
        .url = p->demo->url, .headers = headers, .pieces = &p->piece, .n_pieces = 1};
    if (http_client_post(p->demo->http, &o, on_answer, p) == NULL)
        ev_timer_start(p->demo->loop, &p->again);
}

static void on_again(struct ev_loop *loop, ev_timer *timer, int events)
{
    (void)loop;
    (void)events;
    post(timer->data);
}

static void post_next(struct demo *d)
{
    if (d->next == BATCHES)
        return;
    struct post *p = &d->posts[d->next];
    p->demo = d;
    buf_init(&p->body, BODY_MAX);
    ev_timer_init(&p->again, on_again, RETRY_S, 0);
    p->again.data = p;
    if (demo_events_body(&p->body, d->run, d->next * PER_BATCH, PER_BATCH) != 0)
        return; /* the count of acknowledged events will tell */
    p->piece = (struct http_piece){.data = p->body.data, .len = p->body.len};
    d->next++;
    post(p);
}

static bool is_sent(struct demo *d)
{
    return d->acknowledged == EVENTS;
}

static void send_all(struct demo *d)
{
    const struct http_client_options o = {
        .connect_timeout_ms = 2000, .timeout_ms = 15000, .response_max = 512, .connections_max = IN_FLIGHT};
    snprintf(d->url, sizeof d->url, "%s/v1/batch", d->host.ingest_url);
    d->http = http_client_new(d->loop, &o);
    for (unsigned i = 0; i < IN_FLIGHT; i++)
        post_next(d);
    (void)wait_until(d, is_sent, SEND_MS);
    http_client_free(d->http);
    for (unsigned i = 0; i < d->next; i++) {
        ev_timer_stop(d->loop, &d->posts[i].again);
        buf_fini(&d->posts[i].body);
    }
}

/* --- counting --- */

static unsigned count(json_t *counts, const char *key)
{
    return (unsigned)json_integer_value(json_object_get(counts, key));
}

static bool is_delivered(struct demo *d)
{
    json_t *counts = demo_host_counts(&d->host);
    bool all = counts != NULL && count(counts, "distinct") >= d->acknowledged;
    json_decref(counts);
    return all;
}

static bool is_replaced(struct demo *d)
{
    uint64_t boot_ms;
    pid_t pid = demo_host_worker(&d->host, "delivery", &boot_ms);
    if (pid <= 0 || pid == d->killed)
        return false;
    d->successor = pid;
    d->replaced_ms = boot_ms;
    return true;
}

static bool is_ready(struct demo *d)
{
    d->ready = demo_host_ready(&d->host);
    return d->ready != CLI_GO_ON;
}

/* --- talking --- */

static int report(struct demo *d, uint64_t took_ms, bool json)
{
    json_t *counts = demo_host_counts(&d->host);
    unsigned delivered = count(counts, "distinct"), duplicates = count(counts, "duplicates");
    unsigned lost = d->acknowledged > delivered ? d->acknowledged - delivered : 0;
    json_decref(counts);
    if (json)
        printf(
            "{\"sent\":%u,\"acknowledged\":%u,\"delivered\":%u,\"duplicates\":%u,\"lost\":%u,\"took_ms\":%llu}\n",
            EVENTS, d->acknowledged, delivered, duplicates, lost, (unsigned long long)took_ms);
    else {
        printf(
            "\n  sent          %6u\n  acknowledged  %6u\n  delivered     %6u\n  duplicates    %6u\n  lost          %6u\n\n",
            EVENTS, d->acknowledged, delivered, duplicates, lost);
        printf("in %llu ms", (unsigned long long)took_ms);
        if (d->killed > 0)
            printf("; delivery worker %d was killed with -9 half-way, %d took its place%s", (int)d->killed,
                   (int)d->successor,
                   duplicates > 0 ? "\n(a duplicate: delivered, but killed before that was recorded)" : "");
        printf("\n");
    }
    if (d->acknowledged < EVENTS)
        fprintf(stderr, "dray demo: %u events were not acknowledged; the log is %s\n",
                EVENTS - d->acknowledged, d->host.log);
    return lost == 0 && d->acknowledged == EVENTS && d->killed > 0 ? EXIT_CODE_OK : EXIT_CODE_FAILURE;
}

static void print_addresses(const struct demo *d, bool stays)
{
    printf("\nTo try by hand%s:\n"
           "  curl -u dev: -H 'Content-Type: application/json' %s/v1/track \\\n"
           "       -d '{\"userId\":\"ann\",\"event\":\"Order Completed\"}'\n"
           "  curl %s/stats                what the destination has counted\n"
           "  curl %s/readyz               health; /metrics for Prometheus\n"
           "  %s status -s %s\n"
           "  log %s, what arrived %s\n",
           stays ? "" : " (on a terminal it stays up)", d->host.ingest_url, d->host.sink_url,
           d->host.console_url, d->program, d->host.socket, d->host.log, d->host.record);
}

static bool is_interrupted(struct demo *d)
{
    return d->interrupted;
}

static int play(struct demo *d, bool json)
{
    uint64_t from_ms = clock_mono_ms();
    int code = demo_host_start(&d->host);
    if (code != EXIT_CODE_OK)
        return code;
    if (!json) {
        printf("starting a sink, a Redis and dray in %s ...\n", d->host.dir);
        fflush(stdout);
    }
    if (wait_until(d, is_ready, BOOT_MS) != 0 && !d->interrupted) {
        fprintf(stderr, "dray demo: dray does not get ready; its log is %s\n", d->host.log);
        d->host.dir[0] = '\0'; /* to be looked at: not removed */
        return EXIT_CODE_FAILURE;
    }
    if (d->interrupted)
        return EXIT_CODE_FAILURE;
    if (d->ready != EXIT_CODE_OK)
        return d->ready;
    if (!json) {
        printf("sending %u events to %s/v1/batch ...\n", EVENTS, d->host.ingest_url);
        fflush(stdout);
    }
    send_all(d);
    (void)wait_until(d, is_delivered, DELIVER_MS);
    (void)wait_until(d, is_replaced, BOOT_MS);
    code = report(d, clock_mono_ms() - from_ms, json);
    if (!d->interrupted && !json && isatty(STDOUT_FILENO)) {
        print_addresses(d, true);
        printf("\nCtrl-C ends it.\n");
        (void)wait_until(d, is_interrupted, UINT64_MAX / 2);
        printf("\n");
    } else if (!json) {
        print_addresses(d, false);
    }
    return code;
}

int demo_main(int argc, char **argv)
{
    static const int stops[] = {SIGINT, SIGTERM, SIGHUP};
    static struct demo d;
    struct cli o;
    char uuid[UUID_SIZE];
    size_t n;
    int code = control_arguments(&o, argc, argv, usage, NULL, 0, &n);
    if (code != CLI_GO_ON)
        return code;
    d.program = o.argv[0];
    d.loop = ev_loop_new(EVFLAG_AUTO);
    if (d.loop == NULL)
        return EXIT_CODE_OSERR;
    for (size_t i = 0; i < sizeof stops / sizeof *stops; i++) {
        ev_signal_init(&d.signals[i], on_signal, stops[i]);
        d.signals[i].data = &d;
        ev_signal_start(d.loop, &d.signals[i]);
    }
    id_uuid4(uuid);
    snprintf(d.run, sizeof d.run, "demo-%.8s", uuid);
    code = play(&d, o.json);
    demo_host_stop(&d.host);
    ev_loop_destroy(d.loop);
    return code;
}
