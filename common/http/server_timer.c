/* server_timer - see server_int.h. Deadlines of connections.
 *
 * Every kind has one duration, so a list per kind is in order by itself: arming is a push at the end. One ev_timer
 * stands at or before the earliest deadline; it is never touched per request, only set anew when it has fired.
 */
#include "common/http/server_int.h"

static void set_timer(struct http_server *s)
{
    double first = 0;
    for (unsigned k = 0; k < HTTP_TIMERS; k++) {
        const struct http_conn *c = list_first(&s->timers[k], struct http_conn, timer);
        if (c != NULL && (first == 0 || c->deadline < first))
            first = c->deadline;
    }
    ev_timer_stop(s->loop, &s->timer);
    if (first == 0)
        return;
    double after = first - ev_now(s->loop);
    ev_timer_set(&s->timer, after > 0.001 ? after : 0.001, 0.);
    ev_timer_start(s->loop, &s->timer);
}

static void expire(struct http_conn *c)
{
    unsigned kind = c->timer_kind;
    http_timer_arm(c, HTTP_TIMER_NONE);
    if (kind == HTTP_TIMER_HANDSHAKE && c->stream != NULL)
        http_stream_late(c);
    if ((kind == HTTP_TIMER_HEADER && c->in_len > 0) || kind == HTTP_TIMER_BODY)
        http_input_refuse(c, 408);
    else
        c->doomed = true;
    http_conn_settle(c);
}

static void on_timer(struct ev_loop *loop, ev_timer *w, int revents)
{
    struct http_server *s = w->data;
    (void)revents;
    for (unsigned k = 0; k < HTTP_TIMERS; k++) {
        struct http_conn *c;
        while ((c = list_first(&s->timers[k], struct http_conn, timer)) != NULL &&
               c->deadline <= ev_now(loop))
            expire(c);
    }
    set_timer(s);
}

/* ---- the minimum rate: of those whose head or body is on its way */

static double grace(const struct http_server *s)
{
    return s->limits.rate_grace_ms > 0 ? (double)s->limits.rate_grace_ms / 1e3 : HTTP_RATE_GRACE_S;
}

static void look_at_rates(struct http_server *s, unsigned kind)
{
    double now = ev_now(s->loop);
    struct http_conn *c, *next = list_first(&s->timers[kind], struct http_conn, timer);
    while ((c = next) != NULL) {
        next = c->timer.next != &s->timers[kind] ? list_entry(c->timer.next, struct http_conn, timer) : NULL;
        double age = now - (c->deadline - s->durations[kind]);
        if (age < grace(s))
            break; /* the others came later */
        size_t came = kind == HTTP_TIMER_BODY ? c->current->body_len : c->in_len;
        if (kind == HTTP_TIMER_HEADER && came == 0)
            continue; /* header_timeout is for those */
        if ((double)came >= age * (double)s->limits.min_rate)
            continue;
        http_timer_arm(c, HTTP_TIMER_NONE);
        http_input_refuse(c, 408);
        http_conn_settle_soon(c); /* the list is being walked */
    }
}

static void on_rate(struct ev_loop *loop, ev_timer *w, int revents)
{
    struct http_server *s = w->data;
    (void)revents;
    if (s->limits.min_rate > 0 && !s->paused) { /* else the wait is ours */
        look_at_rates(s, HTTP_TIMER_HEADER);
        look_at_rates(s, HTTP_TIMER_BODY);
    }
    if (list_empty(&s->timers[HTTP_TIMER_HEADER]) && list_empty(&s->timers[HTTP_TIMER_BODY]))
        ev_timer_stop(loop, w);
}

static double duration(const struct http_limits *l, unsigned kind)
{
    switch (kind) {
    case HTTP_TIMER_HANDSHAKE:
        return l->handshake_timeout_ms > 0 ? (double)l->handshake_timeout_ms / 1e3 : 10.;
    case HTTP_TIMER_HEADER:
        return (double)l->header_timeout_ms / 1e3;
    case HTTP_TIMER_BODY:
    case HTTP_TIMER_WRITE:
        return (double)l->body_timeout_ms / 1e3;
    case HTTP_TIMER_IDLE:
        return (double)l->idle_timeout_ms / 1e3;
    default:
        return HTTP_LINGER_S;
    }
}

void http_timer_change(struct http_server *s)
{
    for (unsigned k = 0; k < HTTP_TIMERS; k++) {
        double more = duration(&s->limits, k) - s->durations[k];
        struct http_conn *c;
        list_foreach(c, &s->timers[k], struct http_conn, timer)
        {
            c->deadline += more; /* all alike: they stay in order */
        }
        s->durations[k] += more;
    }
    set_timer(s);
}

void http_timer_init(struct http_server *s)
{
    for (unsigned k = 0; k < HTTP_TIMERS; k++)
        s->durations[k] = duration(&s->limits, k);
    for (unsigned k = 0; k < HTTP_TIMERS; k++)
        list_init(&s->timers[k]);
    ev_init(&s->timer, on_timer);
    s->timer.data = s;
    ev_timer_init(&s->rate_timer, on_rate, grace(s) / 5, grace(s) / 5);
    s->rate_timer.data = s;
}

static void push(struct http_conn *c, unsigned kind)
{
    struct http_server *s = c->server;
    c->deadline = ev_now(s->loop) + s->durations[kind];
    list_push_back(&s->timers[kind], &c->timer);
    c->timer_kind = (uint8_t)kind;
    if ((kind == HTTP_TIMER_HEADER || kind == HTTP_TIMER_BODY) && s->limits.min_rate > 0 &&
        !ev_is_active(&s->rate_timer))
        ev_timer_again(s->loop, &s->rate_timer);
    if (!ev_is_active(&s->timer))
        set_timer(s);
    else if (s->durations[kind] < ev_timer_remaining(s->loop, &s->timer))
        set_timer(s);
}

void http_timer_arm(struct http_conn *c, unsigned kind)
{
    if (c->timer_kind == kind)
        return;
    if (c->timer_kind != HTTP_TIMER_NONE)
        list_remove(&c->timer);
    c->timer_kind = HTTP_TIMER_NONE;
    if (kind != HTTP_TIMER_NONE)
        push(c, kind);
}
