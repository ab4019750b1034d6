/* console - the child that answers about the host: liveness, readiness, metrics.
 *
 * It knows only what the master pushes (HEALTH, METRICS) and answers from the last of each; it asks nobody, so a probe
 * costs Redis and the destinations nothing. When the master falls silent /livez says so.
 */
#include <errno.h>
#include <string.h>

#include "common/base/buf.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/http/server.h"
#include "common/metrics/metrics.h"
#include "ipc/fdmap.h"
#include "workers/child.h"
#include "workers/kinds.h"

#define HEALTH_FRESH_MS 5000 /* the master tells every second */
#define HEALTH_JSON_MAX (32u << 10)
#define METRICS_MAX     (MSG_PART_MAX * MSG_PARTS_MAX)
#define TEXT_MAX        (16u << 20) /* rendered metrics: 2000 histograms take 4 MiB */
#define DRAIN_LOOK_S    0.02

struct console {
    struct child *child;
    struct http_server *server;
    struct http_budget budget;
    struct buf json;    /* of the last HEALTH */
    struct buf metrics; /* of the last METRICS */
    uint64_t health_ms; /* when HEALTH came; 0 = never */
    bool is_ready;
    bool was_ready; /* once: the start is over */
    ev_timer drain_timer;
    uint64_t drain_until_ms;
};

#define TEXT "text/plain; charset=utf-8"

static void reply_text(struct http_request *r, int status, const char *text)
{
    http_reply(r, status, TEXT, "Cache-Control: no-store\r\n", text, strlen(text));
}

static bool is_fresh(const struct console *s)
{
    return s->health_ms != 0 && clock_mono_ms() - s->health_ms < HEALTH_FRESH_MS;
}

static void get_livez(struct console *s, struct http_request *r)
{
    if (is_fresh(s))
        reply_text(r, 200, "ok\n");
    else
        reply_text(r, 503, s->health_ms == 0 ? "the master has not spoken yet\n" : "the master is silent\n");
}

static void get_readyz(struct console *s, struct http_request *r)
{
    bool is_ready = s->is_ready && is_fresh(s) && !child_draining(s->child);
    char value[8];
    bool is_verbose = http_query_get(http_request_query(r), "verbose", value, sizeof value) ||
                      strcmp(http_request_query(r), "verbose") == 0;
    if (is_verbose && s->json.len > 0)
        http_reply(r, is_ready ? 200 : 503, "application/json", "Cache-Control: no-store\r\n", s->json.data,
                   s->json.len);
    else
        reply_text(r, is_ready ? 200 : 503, is_ready ? "ok\n" : "not ready; /readyz?verbose=1 tells why\n");
}

static void get_startupz(struct console *s, struct http_request *r)
{
    reply_text(r, s->was_ready ? 200 : 503, s->was_ready ? "ok\n" : "starting\n");
}

static void get_metrics(struct console *s, struct http_request *r)
{
    if (s->metrics.len == 0) { /* an empty page would say that every series has ended */
        reply_text(r, 503, "no metrics yet\n");
        return;
    }
    struct metrics *m = metrics_new();
    struct buf text;
    buf_init(&text, TEXT_MAX);
    bool is_good =
        metrics_merge(m, "host", 1, s->metrics.data, s->metrics.len) == 0 && metrics_render(m, &text) == 0;
    if (is_good) {
        http_reply(r, 200, "text/plain; version=0.0.4; charset=utf-8", "Cache-Control: no-store\r\n",
                   text.len > 0 ? text.data : "", text.len);
    } else {
        log_error("metrics_unreadable", "bytes=%zu reason=%s", s->metrics.len, log_q(strerror(errno)));
        reply_text(r, 500, "the metrics cannot be rendered\n");
    }
    buf_fini(&text);
    metrics_free(m);
}

static const struct route {
    const char *path;
    void (*get)(struct console *s, struct http_request *r);
} routes[] = {
    {"/livez", get_livez},     {"/readyz", get_readyz},     {"/healthz", get_readyz},
    {"/metrics", get_metrics}, {"/startupz", get_startupz},
};

static void on_request(struct http_request *r, void *arg)
{
    struct console *s = arg;
    const char *method = http_request_method(r);
    for (size_t i = 0; i < sizeof routes / sizeof *routes; i++) {
        if (strcmp(http_request_path(r), routes[i].path) != 0)
            continue;
        if (strcmp(method, "GET") == 0 || strcmp(method, "HEAD") == 0)
            routes[i].get(s, r);
        else
            http_reply(r, 405, TEXT, "Allow: GET, HEAD\r\n", "method not allowed\n", 19);
        return;
    }
    reply_text(r, 404, "not found; there are /livez /readyz /startupz /healthz /metrics\n");
}

static int console_start(struct child *c, void *state, enum exitcode *code)
{
    static const struct http_limits limits = {.header_bytes = 16u << 10,
                                              .body_bytes = 64u << 10,
                                              .connections = 256,
                                              .header_timeout_ms = 5000,
                                              .body_timeout_ms = 5000,
                                              .idle_timeout_ms = 75000};
    static const struct http_server_events events = {.request = on_request};
    struct console *s = state;
    s->child = c;
    s->budget.max = 16u << 20;
    buf_init(&s->json, HEALTH_JSON_MAX);
    buf_init(&s->metrics, METRICS_MAX);
    s->server = http_server_new(child_loop(c), &limits, &s->budget, &events, s);
    if (child_listeners(c) < 1 || http_server_listen(s->server, FDMAP_LISTEN, "console") != 0) {
        log_error("console_listen_failed", "sockets=%u reason=%s", child_listeners(c),
                  log_q(strerror(errno)));
        http_server_free(s->server);
        *code = EXIT_CODE_OSERR;
        return -1;
    }
    child_ready(c);
    return 0;
}

/* Without memory it is as if the message had not come; the next comes in a second. */
static void keep_bytes(struct buf *b, const char *bytes, size_t len)
{
    buf_reset(b);
    if (buf_append(b, bytes, len) != 0)
        log_warn("console_message_dropped", "bytes=%zu reason=%s", len, log_q(strerror(errno)));
}

static void console_health(struct child *c, const struct msg_health *m, void *state)
{
    (void)c;
    struct console *s = state;
    if (s->server == NULL)
        return; /* drained */
    s->health_ms = clock_mono_ms();
    s->is_ready = m->ready;
    s->was_ready = s->was_ready || m->ready;
    keep_bytes(&s->json, m->json, m->json_len);
}

static void console_metrics(struct child *c, const char *bytes, size_t len, void *state)
{
    (void)c;
    struct console *s = state;
    if (s->server == NULL)
        return;
    keep_bytes(&s->metrics, bytes, len);
}

static void on_drain_look(struct ev_loop *loop, ev_timer *w, int revents)
{
    (void)revents;
    struct console *s = w->data;
    if (http_server_connections(s->server) > 0 && clock_mono_ms() < s->drain_until_ms)
        return;
    ev_timer_stop(loop, w);
    http_server_free(s->server);
    s->server = NULL;
    buf_fini(&s->json);
    buf_fini(&s->metrics);
    child_drained(s->child, 0);
}

/* Every request is answered inside its call: what remains are bytes on their way out. */
static void console_drain(struct child *c, uint32_t deadline_ms, const char *reason, void *state)
{
    (void)reason;
    struct console *s = state;
    s->drain_until_ms = clock_mono_ms() + deadline_ms / 2;
    http_server_drain(s->server);
    http_server_close_idle(s->server);
    ev_timer_init(&s->drain_timer, on_drain_look, 0, DRAIN_LOOK_S);
    s->drain_timer.data = s;
    ev_timer_start(child_loop(c), &s->drain_timer);
}

int console_main(unsigned slot, char **argv)
{
    static const struct child_kind kind = {.name = "console",
                                           .start = console_start,
                                           .drain = console_drain,
                                           .health = console_health,
                                           .metrics = console_metrics,
                                           .sandbox = SANDBOX_CONSOLE,
                                           .state_size = sizeof(struct console)};
    return child_main(&kind, slot, argv);
}
