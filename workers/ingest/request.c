/* request - see request.h.
 *
 * Order: who sends (write key), what (gzip, JSON), each event's faults, room for all of it; only then is anything
 * taken: the bad elements into the quarantine, the good ones into batches. A request none of whose events can be taken
 * is refused as a whole (400): its sender is broken, and should see it. What is merely too big or too many is set
 * aside, whatever it travels with.
 */
#include "workers/ingest/request.h"

#include <errno.h>
#include <string.h>
#include <strings.h>

#include "common/base/clock.h"
#include "common/base/hook.h"
#include "common/base/log.h"
#include "common/event/event_merge.h"
#include "common/event/event_time.h"
#include "workers/ingest/auth.h"
#include "workers/ingest/fanout.h"
#include "workers/ingest/pixel.h"
#include "workers/ingest/pressure.h"
#include "workers/ingest/reply.h"

struct taking {
    struct ingest *g;
    struct http_request *r;
    struct source *s;
    struct event_context context;
    size_t good, invalid, big, unrouted, good_bytes;
    enum event_fault first_invalid, first_bad;
};

/* From a subscription: there is nobody who would mend and send again what is refused. */
static bool is_local(const struct ingest *g, const struct http_request *r)
{
    unsigned i = http_request_listener(r);
    return g->conf->n_subscriptions > 0 && i < g->conf->n_listeners &&
           strcmp(g->conf->listeners[i].id, CONF_LOCAL_LISTENER) == 0;
}

/* The source of this key; NULL: answered. */
static struct source *admit(struct ingest *g, struct http_request *r, const char *key)
{
    struct source *s = source_find(g->sources, key);
    if (s != NULL && !is_local(g, r) && !source_is_on(s, http_request_listener(r)))
        s = NULL; /* not known here */
    if (s == NULL)
        reply_error(g, r, NULL, 401, "invalid write key");
    else if (!s->enabled)
        reply_error(g, r, s, 404, "source is disabled");
    return s != NULL && s->enabled ? s : NULL;
}

static bool refuse_early(struct ingest *g, struct http_request *r, struct source *s)
{
    enum reply_busy why;
    if (g->ended || (g->draining && child_orphan(g->child)))
        reply_busy(g, r, s, REPLY_BUSY_DRAINING);
    else if (g->conf->n_destinations == 0)
        reply_busy(g, r, s, REPLY_BUSY_NO_DESTINATION);
    else if (g->spooling.max_bytes > 0 && spooling_full(g))
        reply_busy(g, r, s, REPLY_BUSY_SPOOL_FULL);
    else if (g->shedding)
        reply_busy(g, r, s, REPLY_BUSY_MEMORY);
    else if (pressure_refuses(g, &why))
        reply_busy(g, r, s, why);
    else
        return false;
    return true;
}

static bool is_gzip(const char *encoding)
{
    return strcasecmp(encoding, "gzip") == 0 || strcasecmp(encoding, "x-gzip") == 0;
}

/* The text of the body; NULL: answered. */
static const char *decode(struct ingest *g, struct http_request *r, struct source *s, size_t *len)
{
    const char *body = http_request_body(r, len), *text;
    const char *encoding = http_request_header(r, "content-encoding");
    if (*len == 0) {
        reply_error(g, r, s, 400, "request body is nil");
        return NULL;
    }
    if (encoding == NULL || *encoding == '\0' || strcasecmp(encoding, "identity") == 0)
        return body;
    if (!is_gzip(encoding)) {
        reply_error(g, r, s, 415, "unsupported content encoding");
        return NULL;
    }
    switch (inflate_gzip(g->inflate, body, *len, &text, len)) {
    case INFLATE_OK:
        return text;
    case INFLATE_TOO_BIG:
        reply_error(g, r, s, 413, "request size exceeds max limit");
        break;
    case INFLATE_BROKEN:
        reply_error(g, r, s, 400, "failed to read body from request");
        break;
    case INFLATE_NO_ROOM:
        reply_busy(g, r, s, REPLY_BUSY_MEMORY);
        break;
    }
    return NULL;
}

static bool keeps_unrouted(const struct taking *t)
{
    return t->g->conf->ingest.unrouted == CONF_UNROUTED_QUARANTINE;
}

/* The destinations of a good event; NULL: all. */
static const struct route_set *way_of(const struct taking *t, size_t place)
{
    return t->g->routing.table != NULL ? &t->g->routing.sets[place] : NULL;
}

/* What is the matter with this event? One that no route wants has a fault where it is to be kept. */
static enum event_fault fault_of(const struct taking *t, size_t place)
{
    enum event_fault f = event_check_scanned(&t->g->body.events[place], &t->context, NULL, 0);
    if (f == EVENT_OK && t->unrouted > 0 && keeps_unrouted(t) && routing_is_unrouted(&t->g->routing, place))
        return EVENT_UNROUTED;
    return f;
}

static void look(struct taking *t)
{
    const struct body *b = &t->g->body;
    if (t->g->routing.table != NULL)
        routing_begin(&t->g->routing, t->s->id, b->n, &t->context);
    for (size_t i = 0; i < b->n; i++) {
        enum event_fault f = event_check_scanned(&b->events[i], &t->context, NULL, 0);
        if (f == EVENT_OK && t->g->routing.table != NULL &&
            !routing_judge(&t->g->routing, i, &b->events[i], &t->context, body_slots(b, i))) {
            t->unrouted++;
            continue;
        }
        if (f == EVENT_OK) {
            t->good++;
            t->good_bytes += b->events[i].value.len + t->context.grow;
            continue;
        }
        if (t->first_bad == EVENT_OK)
            t->first_bad = f;
        if (f == EVENT_TOO_BIG) {
            t->big++;
            continue;
        }
        if (t->invalid++ == 0)
            t->first_invalid = f;
    }
    if (b->n_surplus > 0 && t->first_bad == EVENT_OK)
        t->first_bad = EVENT_TOO_MANY;
    if (t->unrouted > 0 && t->first_bad == EVENT_OK && keeps_unrouted(t))
        t->first_bad = EVENT_UNROUTED;
}

/* Refuses the whole request where the configuration, or the request, leaves nothing else. */
static bool refuse_whole(struct taking *t)
{
    const struct conf_ingest *c = &t->g->conf->ingest;
    size_t big = t->big + t->g->body.n_surplus;
    enum reply_busy why;
    if (t->invalid > 0 && !is_local(t->g, t->r) &&
        (c->invalid_event == CONF_BAD_EVENT_REJECT || (t->good + t->unrouted == 0 && big == 0))) {
        reply_error(t->g, t->r, t->s, 400, event_fault_text(t->first_invalid));
    } else if (big > 0 && !is_local(t->g, t->r) && c->oversize_event == CONF_BAD_EVENT_REJECT) {
        enum event_fault f = t->big > 0 ? EVENT_TOO_BIG : EVENT_TOO_MANY;
        reply_error(t->g, t->r, t->s, 413, event_fault_text(f));
    } else if (t->good > 0 && !fanout_room(t->g, t->good, t->good_bytes, &why)) {
        reply_busy(t->g, t->r, t->s, why);
    } else {
        return false;
    }
    metric_add(t->s->refused, t->good + t->invalid + big);
    return true;
}

static void on_quarantined(void *arg, int error)
{
    HOOK_POINT(aside_synced);
    if (error != 0)
        log_error("quarantine_failed", "error=%s", log_q(strerror(error)));
    waiter_release(arg, error != 0);
}

static int set_aside_one(struct taking *t, struct waiter *w, enum event_fault f, const char *text, size_t len,
                         size_t events)
{
    struct quarantine *q = ingest_quarantine(t->g);
    waiter_hold(w);
    HOOK_POINT(aside_unwritten);
    if (q == NULL ||
        quarantine_put(q, event_fault_name(f), t->s->id, "", "", text, len, on_quarantined, w) < 0) {
        log_warn("quarantine_refused", "source=%s error=%s", log_q(t->s->id), log_q(strerror(errno)));
        waiter_release(w, true);
        return -1;
    }
    w->quarantined += (uint32_t)events;
    metric_add(t->s->quarantined, events);
    ingest_count_quarantined(t->g, event_fault_name(f));
    return 0;
}

/* The bad elements into the quarantine; -1: w has failed. */
static int set_aside(struct taking *t, struct waiter *w)
{
    const struct body *b = &t->g->body;
    w->fault = t->first_bad;
    for (size_t i = 0; i < b->n && t->invalid + t->big + t->unrouted > 0; i++) {
        const struct json_slice *v = &b->events[i].value;
        enum event_fault f = fault_of(t, i);
        if (f != EVENT_OK && set_aside_one(t, w, f, v->text, v->len, 1) < 0)
            return -1;
    }
    return b->n_surplus > 0 ? set_aside_one(t, w, EVENT_TOO_MANY, b->surplus, b->surplus_len, b->n_surplus)
                            : 0;
}

/* The good events into batches; -1: out of memory in the middle. */
static int take_good(struct taking *t, struct waiter *w)
{
    const struct body *b = &t->g->body;
    bool all = t->good == b->n;
    for (size_t i = 0; i < b->n; i++)
        if (all || event_check_scanned(&b->events[i], &t->context, NULL, 0) == EVENT_OK)
            if (fanout_take(t->g, t->s, &b->events[i], &t->context, way_of(t, i), w) < 0)
                return -1;
    return 0;
}

static void count_routes(struct taking *t)
{
    routing_count(&t->g->routing);
    routing_count_unrouted(&t->g->routing, t->unrouted);
    metric_add(t->s->unrouted, t->unrouted);
}

static void take(struct taking *t)
{
    struct ingest *g = t->g;
    int ack = source_ack(t->s, &g->conf->ingest);
    bool bad = t->first_bad != EVENT_OK, none = t->g->conf->redis.mode == CONF_REDIS_NONE,
         wait =
             ack == CONF_ACK_DELIVERED || (ack == CONF_ACK_QUEUE && !none); /* none: taken is all there is */
    struct waiter *w = NULL;
    if (wait || bad) {
        w = waiter_new(&g->waiters, t->r, t->s);
        w->accepted = (uint32_t)t->good;
        w->tell = ack == CONF_ACK_DELIVERED && !none; /* none: STORED is said after the delivery */
        http_request_set_user(t->r, w);
    }
    if (bad && set_aside(t, w) < 0) {
        waiter_sealed(w);
        return;
    }
    int r = take_good(t, wait ? w : NULL);
    HOOK_POINT(events_taken);
    if (g->routing.table != NULL)
        count_routes(t);
    if (w == NULL) {
        if (r == 0)
            reply_ok(g, t->r, t->s, (uint32_t)t->good, 0, EVENT_OK);
        else
            reply_busy(g, t->r, t->s, REPLY_BUSY_MEMORY);
        return;
    }
    if (r == 0)
        http_request_drop_body(t->r);
    waiter_release(w, r < 0); /* as waiter_sealed */
}

/* Over the source's rate? Then answered. take: n events are counted if not. */
static bool refuse_rate(struct ingest *g, struct http_request *r, struct source *s, size_t n, bool take_them)
{
    unsigned wait_s = 1;
    if (!limiter_on(&s->limiter))
        return false;
    uint64_t now = clock_mono_ms();
    if (take_them ? limiter_take(&s->limiter, n, now, &wait_s) : limiter_ask(&s->limiter, n, now, &wait_s))
        return false;
    metric_add(s->refused, take_them ? n : 0);
    reply_rate(g, r, s, wait_s);
    return true;
}

static const char *sender_of(const struct ingest *g, const struct http_request *r, char dst[CIDR_TEXT_SIZE])
{
    const struct http_header *headers;
    const char *peer = http_request_peer(r);
    if (proxies_any(&g->proxies)) {
        size_t n = http_request_headers(r, &headers);
        return proxies_sender(&g->proxies, peer, headers, n, dst);
    }
    return peer != NULL && strcmp(peer, "unix") != 0 ? peer : NULL;
}

/* What stands beside `batch` and holds for each event. False: there is too much of it. */
static bool take_common(struct taking *t)
{
    const struct body *b = &t->g->body;
    if (b->sent_at.len > 0 && event_time_parse(&b->sent_at, &t->context.sent_ms) == 0)
        t->context.sent_at = b->sent_at;
    if (b->context.len > 0 && b->context.type == JSON_OBJECT)
        t->context.context = b->context;
    if (b->integrations.len > 0 && b->integrations.type == JSON_OBJECT)
        t->context.integrations = b->integrations;
    if (t->context.context.text == NULL && t->context.integrations.text == NULL)
        return true;
    t->context.grow =
        sizeof "\"context\":,\"integrations\":," + t->context.context.len + t->context.integrations.len;
    return (t->context.context.text == NULL || event_merge_fits(&t->context.context)) &&
           (t->context.integrations.text == NULL || event_merge_fits(&t->context.integrations));
}

static void handle_text(struct ingest *g, struct http_request *r, struct source *s, const struct endpoint *e,
                        const char *text, size_t len)
{
    char key[AUTH_KEY_MAX], received_at[CLOCK_TEXT_SIZE];
    const char *why = e->kind == ENDPOINT_BATCH ? body_scan_batch(&g->body, text, len)
                                                : body_scan_event(&g->body, text, len);
    if (s == NULL) { /* the body is the last place where a key may be */
        const struct json_slice *k = &g->body.write_key;
        if (k->len == 0 || k->type != JSON_STRING || json_text(k, key, sizeof key) < 0) {
            if (why == body_invalid) /* who sends it cannot be read either */
                reply_error(g, r, NULL, 400, why);
            else
                reply_error(g, r, NULL, 401,
                            e->key_in_query ? "failed to read writekey from query params"
                                            : "failed to read writekey from header");
            return;
        }
        s = admit(g, r, key);
        if (s == NULL || refuse_rate(g, r, s, 1, false))
            return;
    }
    metric_add(s->body_bytes, len);
    if (why != NULL) {
        reply_error(g, r, s, 400, why);
        return;
    }
    char sender[CIDR_TEXT_SIZE];
    size_t most = BATCH_BODY_MAX - BATCH_EVENT_OVERHEAD;
    size_t limit = g->conf->ingest.limits_event_bytes;
    struct taking t = {.g = g, .r = r, .s = s};
    t.context.type = e->type;
    t.context.received_ms = clock_wall_ms();
    t.context.received_at = clock_format_wall(t.context.received_ms, received_at);
    t.context.request_ip = sender_of(g, r, sender);
    t.context.max_bytes = limit < most ? limit : most;
    if (!take_common(&t)) {
        reply_error(g, r, s, 400, "too many members beside the batch");
        return;
    }
    look(&t);
    HOOK_POINT(event_parsed);
    if (!refuse_whole(&t) && !refuse_rate(g, r, s, g->body.n + g->body.n_surplus, true))
        take(&t);
}

/* The event in an image's query as JSON; NULL: answered. */
static const char *text_of_pixel(struct ingest *g, struct http_request *r, struct source *s,
                                 const struct endpoint *e, size_t *len)
{
    char now[CLOCK_TEXT_SIZE];
    buf_reset(&g->pixel);
    if (pixel_write(http_request_query(r), e->type, e->kind == ENDPOINT_SEGMENT_PIXEL,
                    clock_format_wall(clock_wall_ms(), now), &g->pixel) < 0) {
        reply_error(g, r, s, 400, "no event in the query");
        return NULL;
    }
    *len = g->pixel.len;
    return g->pixel.data;
}

void request_handle(struct ingest *g, struct http_request *r, const struct endpoint *e)
{
    char key[AUTH_KEY_MAX];
    struct source *s = NULL;
    size_t wire, len;
    if (auth_basic_user(http_request_header(r, "authorization"), key) ||
        http_query_get(http_request_query(r), "writeKey", key, sizeof key)) {
        s = admit(g, r, key);
        if (s == NULL)
            return;
    }
    if (refuse_early(g, r, s) || (s != NULL && refuse_rate(g, r, s, 1, false)))
        return;
    http_request_body(r, &wire);
    len = wire;
    if (s != NULL)
        metric_add(s->wire_bytes, wire);
    const char *text = endpoint_is_pixel(e) ? text_of_pixel(g, r, s, e, &len) : decode(g, r, s, &len);
    if (text == NULL)
        return;
    handle_text(g, r, s, e, text, len);
    body_done(&g->body);
    inflate_done(g->inflate);
}
