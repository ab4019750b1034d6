/* reply - see reply.h. Texts and statuses: rudder-server f2655fbbe. */
#include "workers/ingest/reply.h"

#include <stdio.h>
#include <string.h>

#include "common/base/buf.h"
#include "common/base/id.h"

#define TEXT_TYPE       "text/plain; charset=utf-8"
#define JSON_TYPE       "application/json; charset=utf-8"
#define REJECTION_MAX   16384
#define RETRY_AFTER_MAX 30
#define RETRY_AFTER_PER 10. /* seconds without progress that add one second to Retry-After */

static const struct {
    const char *metric, *text;
} busy[] = {
    [REPLY_BUSY_EVENTS] = {"events", "too many events are waiting"},
    [REPLY_BUSY_MEMORY] = {"memory", "no memory left for now"},
    [REPLY_BUSY_TIMEOUT] = {"timeout", "not known to be stored in time"},
    [REPLY_BUSY_NO_WORKER] = {"no_worker", "no worker to take events"},
    [REPLY_BUSY_QUARANTINE] = {"quarantine", "the quarantine cannot take bad events"},
    [REPLY_BUSY_DRAINING] = {"draining", "shutting down"},
    [REPLY_BUSY_NO_DESTINATION] = {"no_destination", "no destination is configured"},
};

static void send(struct ingest *g, struct http_request *r, struct source *s, int status, const char *type,
                 const char *headers, const char *body, size_t len)
{
    struct source *before = g->answering; /* the next pipelined request may be handled inside */
    g->answering = s != NULL ? s : source_unknown(g->sources);
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

void reply_error(struct ingest *g, struct http_request *r, struct source *s, int status, const char *text)
{
    send_error(g, r, s, status, "", text);
}

void reply_not_allowed(struct ingest *g, struct http_request *r, const char *allow)
{
    char headers[64];
    snprintf(headers, sizeof headers, "Allow: %s\r\n", allow);
    send_error(g, r, NULL, 405, headers, "method not allowed");
}

void reply_busy(struct ingest *g, struct http_request *r, struct source *s, enum reply_busy why)
{
    char headers[48];
    double still = (ev_now(g->loop) - g->last_progress) / RETRY_AFTER_PER;
    uint64_t base = 1 + (still > 0 ? (still < RETRY_AFTER_MAX ? (uint64_t)still : RETRY_AFTER_MAX) : 0);
    uint64_t seconds = base + id_random_below(base + 1); /* spread: they must not all come back at once */
    if (seconds > RETRY_AFTER_MAX)
        seconds = RETRY_AFTER_MAX - id_random_below(RETRY_AFTER_MAX / 3);
    snprintf(headers, sizeof headers, "Retry-After: %u\r\n", (unsigned)seconds);
    metric_add(metrics_series(child_metrics(g->child), METRIC_INGEST_BACKPRESSURE, busy[why].metric, NULL),
               1);
    send_error(g, r, s, 503, headers, busy[why].text);
}

void reply_health(struct ingest *g, struct http_request *r)
{
    bool up = g->health_known ? g->healthy : g->links.n > 0;
    bool accepting = up && !g->draining && !g->shedding && g->conf->n_destinations > 0;
    char body[256];
    int n = snprintf(body, sizeof body,
                     "{\"appType\":\"dray\",\"server\":\"UP\",\"db\":\"%s\",\"acceptingEvents\":\"%s\","
                     "\"routingEvents\":\"%s\",\"mode\":\"%s\"}",
                     up ? "UP" : "DOWN", accepting ? "TRUE" : "FALSE", up ? "TRUE" : "FALSE",
                     g->draining ? "DRAINING" : "NORMAL");
    send(g, r, NULL, accepting ? 200 : 503, JSON_TYPE, "", body, (size_t)n);
}
