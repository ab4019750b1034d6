/* reply - see reply.h. Texts and statuses: rudder-server f2655fbbe. */
#include "workers/ingest/reply.h"

#include <stdio.h>
#include <string.h>

#include "common/base/buf.h"
#include "common/base/id.h"
#include "common/base/str.h"
#include "workers/ingest/auth.h"
#include "workers/ingest/cors.h"
#include "workers/ingest/pixel.h"
#include "workers/ingest/pressure.h"

#define TEXT_TYPE       "text/plain; charset=utf-8"
#define JSON_TYPE       "application/json; charset=utf-8"
#define REJECTION_MAX   16384
#define RETRY_AFTER_MAX 30
#define RETRY_AFTER_PER 10. /* seconds without progress that add one second to Retry-After */

static const struct {
    const char *metric, *text;
    int status;
} busy[] = {
    [REPLY_BUSY_EVENTS] = {"events", "too many events are waiting", 503},
    [REPLY_BUSY_MEMORY] = {"memory", "no memory left for now", 503},
    [REPLY_BUSY_TIMEOUT] = {"timeout", "not known to be stored in time", 503},
    [REPLY_BUSY_NO_WORKER] = {"no_worker", "no worker to take events", 503},
    [REPLY_BUSY_QUARANTINE] = {"quarantine", "the quarantine cannot take bad events", 503},
    [REPLY_BUSY_DRAINING] = {"draining", "shutting down", 503},
    [REPLY_BUSY_NO_DESTINATION] = {"no_destination", "no destination is configured", 503},
    [REPLY_BUSY_REQUESTS] = {"requests", "too many requests are waiting", 503},
    [REPLY_BUSY_SPOOL_FULL] = {"spool_full", "neither Redis nor the spool takes events", 503},
    [REPLY_BUSY_QUEUE_DEPTH] = {"queue_depth", "too much waits for a destination", 429},
    [REPLY_BUSY_REDIS_MEMORY] = {"redis_memory", "the store is nearly full", 429},
    [REPLY_BUSY_SPOOL] = {"spool", "the spool is nearly full", 429},
};

static bool is_pixel(const struct http_request *r)
{
    const struct endpoint *e = endpoint_find(http_request_path(r));
    return e != NULL && endpoint_is_pixel(e);
}

static bool may_send(const struct ingest *g, const struct http_request *r, const struct source *s,
                     const char *origin)
{
    return s != NULL ? cors_allows(s->cors, origin)
                     : source_any_allows(g->sources, origin, http_request_listener(r));
}

static void send(struct ingest *g, struct http_request *r, struct source *s, int status, const char *type,
                 const char *headers, const char *body, size_t len)
{
    struct source *before = g->answering; /* the next pipelined request may be handled inside */
    const char *origin = http_request_origin(r);
    char more[CORS_HEADERS_MAX + 512];
    g->answering = s != NULL ? s : source_unknown(g->sources);
    if (http_request_method(r)[0] == 'G' && is_pixel(r)) {
        status = 200; /* as both references: who shows an image looks at nothing else */
        type = "image/gif";
        headers = "Cache-Control: no-store, no-cache, must-revalidate\r\nPragma: no-cache\r\nExpires: 0\r\n";
        body = (const char *)pixel_gif;
        len = sizeof pixel_gif;
    }
    if (origin != NULL) {
        cors_answer(origin, may_send(g, r, s, origin), more);
        str_copy(more + strlen(more), headers, sizeof more - strlen(more));
        headers = more;
    }
    http_reply(r, status, type, headers, body, len);
    g->answering = before;
}

void reply_ok(struct ingest *g, struct http_request *r, struct source *s, uint32_t accepted,
              uint32_t quarantined, enum event_fault fault)
{
    static const char json[] = "{\"success\":true}";
    bool segment = g->conf->ingest.compat == CONF_COMPAT_SEGMENT;
    metric_add(s->accepted, accepted);
    if (quarantined == 0) {
        if (segment)
            send(g, r, s, 200, JSON_TYPE, "", json, sizeof json - 1);
        else
            send(g, r, s, 200, TEXT_TYPE, "", "ok", 2);
        return;
    }
    char text[160];
    const char *form = segment ? "{\"success\":true,\"accepted\":%u,\"quarantined\":%u,\"reason\":\"%s\"}"
                               : "ok (%u taken, %u quarantined: %s)";
    int n = snprintf(text, sizeof text, form, accepted, quarantined, event_fault_name(fault));
    send(g, r, s, 200, segment ? JSON_TYPE : TEXT_TYPE, "", text, (size_t)n);
}

void reply_accepted(struct ingest *g, struct http_request *r, struct source *s, uint32_t accepted)
{
    static const char json[] = "{\"success\":true,\"delivered\":false}",
                      text[] = "accepted (stored, not yet delivered)";
    metric_add(s->accepted, accepted);
    if (g->conf->ingest.compat == CONF_COMPAT_SEGMENT)
        send(g, r, s, 202, JSON_TYPE, "", json, sizeof json - 1);
    else
        send(g, r, s, 202, TEXT_TYPE, "", text, sizeof text - 1);
}

void reply_rejected(struct ingest *g, struct http_request *r, struct source *s, const char *why)
{
    bool segment = g->conf->ingest.compat == CONF_COMPAT_SEGMENT;
    struct buf body;
    int rc;
    buf_init(&body, REJECTION_MAX);
    if (segment)
        rc = buf_puts(&body, "{\"success\":false,\"message\":") < 0 ||
                     buf_put_json(&body, why, strlen(why)) < 0 || buf_appendc(&body, '}') < 0
                 ? -1
                 : 0;
    else
        rc = buf_printf(&body, "not delivered to %s\n", why);
    if (rc == 0)
        send(g, r, s, 502, segment ? JSON_TYPE : TEXT_TYPE, "", body.data, body.len);
    else
        send(g, r, s, 502, TEXT_TYPE, "", "not delivered\n", 14);
    buf_fini(&body);
}

static void send_error(struct ingest *g, struct http_request *r, struct source *s, int status,
                       const char *headers, const char *text)
{
    char body[256];
    bool segment = g->conf->ingest.compat == CONF_COMPAT_SEGMENT;
    int n = snprintf(body, sizeof body, segment ? "{\"success\":false,\"message\":\"%s\"}" : "%s\n", text);
    send(g, r, s, status, segment ? JSON_TYPE : TEXT_TYPE, headers, body, (size_t)n);
}

/* The reason of a refusal as metrics have it. */
static const char *reason_of(const char *text)
{
    static const struct {
        const char *text, *reason;
    } rows[] = {
        {"failed to read writekey from header", "no_key"},
        {"failed to read writekey from query params", "no_key"},
        {"invalid write key", "unknown_key"},
        {"source is disabled", "disabled"},
        {"request body is nil", "no_body"},
        {"unsupported content encoding", "encoding"},
        {"failed to read body from request", "broken_gzip"},
        {"request size exceeds max limit", "too_big"},
        {"empty batch payload", "empty_batch"},
        {"no event in the query", "bad_pixel"},
        {"too many members beside the batch", "too_many"},
        {"404 page not found", "not_found"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (strcmp(rows[i].text, text) == 0)
            return rows[i].reason;
    for (int f = EVENT_OK + 1; f <= EVENT_POISON; f++)
        if (strcmp(event_fault_text((enum event_fault)f), text) == 0)
            return f == EVENT_BAD_JSON ? "invalid_json" : event_fault_name((enum event_fault)f);
    return "other";
}

void reply_error(struct ingest *g, struct http_request *r, struct source *s, int status, const char *text)
{
    source_count_rejected(s != NULL ? s : source_unknown(g->sources), reason_of(text));
    send_error(g, r, s, status, "", text);
}

void reply_not_allowed(struct ingest *g, struct http_request *r, const char *allow)
{
    char headers[64];
    snprintf(headers, sizeof headers, "Allow: %s\r\n", allow);
    source_count_rejected(source_unknown(g->sources), "method");
    send_error(g, r, NULL, 405, headers, "method not allowed");
}

void reply_rate(struct ingest *g, struct http_request *r, struct source *s, unsigned retry_after_s)
{
    char headers[48];
    snprintf(headers, sizeof headers, "Retry-After: %u\r\n", retry_after_s);
    source_count_rejected(s, "rate_limit");
    metric_add(metrics_series(child_metrics(g->child), METRIC_INGEST_BACKPRESSURE, "rate_limit", NULL), 1);
    send_error(g, r, s, 429, headers, "max requests limit reached");
}

void reply_options(struct ingest *g, struct http_request *r, const struct endpoint *e)
{
    char lines[CORS_HEADERS_MAX] = "", headers[CORS_HEADERS_MAX + 64], key[AUTH_KEY_MAX];
    const char *origin = http_request_origin(r);
    struct source *s = NULL, *before = g->answering;
    if (origin != NULL && http_request_header(r, "access-control-request-method") != NULL) {
        if (http_query_get(http_request_query(r), "writeKey", key, sizeof key))
            s = source_find(g->sources, key);
        if (s != NULL && !source_is_on(s, http_request_listener(r)))
            s = NULL;
        cors_preflight(origin, may_send(g, r, s, origin), e->allow,
                       http_request_header(r, "access-control-request-headers"), lines);
    }
    snprintf(headers, sizeof headers, "Allow: %s\r\n%s", e->allow, lines);
    g->answering = s != NULL ? s : source_unknown(g->sources);
    http_reply(r, 204, NULL, headers, NULL, 0);
    g->answering = before;
}

/* Where nothing is known of what fills up: by how long nothing has moved. */
static unsigned retry_after(const struct ingest *g)
{
    double still = (ev_now(g->loop) - g->last_progress) / RETRY_AFTER_PER;
    uint64_t base = 1 + (still > 0 ? (still < RETRY_AFTER_MAX ? (uint64_t)still : RETRY_AFTER_MAX) : 0);
    uint64_t seconds = base + id_random_below(base + 1); /* spread: they must not all come back at once */
    if (seconds > RETRY_AFTER_MAX)
        seconds = RETRY_AFTER_MAX - id_random_below(RETRY_AFTER_MAX / 3);
    return (unsigned)seconds;
}

void reply_busy(struct ingest *g, struct http_request *r, struct source *s, enum reply_busy why)
{
    char headers[48];
    unsigned seconds = pressure_retry_after(g, why);
    snprintf(headers, sizeof headers, "Retry-After: %u\r\n", seconds > 0 ? seconds : retry_after(g));
    metric_add(metrics_series(child_metrics(g->child), METRIC_INGEST_BACKPRESSURE, busy[why].metric, NULL),
               1);
    send_error(g, r, s, busy[why].status, headers, busy[why].text);
}

void reply_health(struct ingest *g, struct http_request *r)
{
    bool up = g->health_known ? g->healthy : g->links.n > 0;
    bool accepting =
        up && !g->draining && !g->shedding && !pressure_is_general(g) && g->conf->n_destinations > 0;
    char body[256];
    int n = snprintf(body, sizeof body,
                     "{\"appType\":\"dray\",\"server\":\"UP\",\"db\":\"%s\",\"acceptingEvents\":\"%s\","
                     "\"routingEvents\":\"%s\",\"mode\":\"%s\"}",
                     up ? "UP" : "DOWN", accepting ? "TRUE" : "FALSE", up ? "TRUE" : "FALSE",
                     g->draining ? "DRAINING" : "NORMAL");
    send(g, r, NULL, accepting ? 200 : 503, JSON_TYPE, "", body, (size_t)n);
}
