/* client_wait - ends calls whose answer does not begin in time. One timer for all: a call costs a comparison when it is
 * posted, and nothing when it is answered.
 */
#include "common/http/client_impl.h"

#include <stdio.h>

#include "common/base/clock.h"

/* When its answer must have begun; of a call that has not its connection yet, one whole time from now: until then the
 * time-out of connecting counts. */
static uint64_t due_of(const struct http_call *call, uint64_t now_us)
{
    curl_off_t begun_us = 0;

    curl_easy_getinfo(call->easy, CURLINFO_PRETRANSFER_TIME_T, &begun_us);
    return (begun_us > 0 ? call->started_us + (uint64_t)begun_us : now_us) + call->profile->first_byte_us;
}

static void start_timer(struct http_client *c, uint64_t due_us, uint64_t now_us)
{
    c->first_byte_due_us = due_us;
    ev_timer_stop(c->loop, &c->first_byte);
    ev_timer_set(&c->first_byte, (double)(due_us > now_us ? due_us - now_us : 0) / 1e6, 0.);
    ev_timer_start(c->loop, &c->first_byte);
}

static void on_due(struct ev_loop *loop, ev_timer *t, int revents)
{
    struct http_client *c = t->data;
    uint64_t now_us = clock_mono_us(), next_us = UINT64_MAX;
    struct http_call *call;

    (void)loop, (void)revents;
    list_foreach(call, &c->calls, struct http_call, link)
    {
        uint64_t due_us;

        if (call->begun || call->profile->first_byte_us == 0)
            continue;
        due_us = due_of(call, now_us);
        if (due_us > now_us) {
            next_us = due_us < next_us ? due_us : next_us;
            continue;
        }
        http_client_end(call, HTTP_ERROR_TIMEOUT); /* leaves the list, which the loop allows for */
        snprintf(call->error, sizeof(call->error), "the answer did not begin within %llu ms",
                 (unsigned long long)(call->profile->first_byte_us / 1000));
    }
    if (next_us != UINT64_MAX)
        start_timer(c, next_us, now_us);
}

void http_client_wait_start(struct http_client *c)
{
    ev_timer_init(&c->first_byte, on_due, 0., 0.);
    c->first_byte.data = c;
}

void http_client_wait_stop(struct http_client *c)
{
    ev_timer_stop(c->loop, &c->first_byte);
}

void http_client_wait_for(struct http_call *call)
{
    struct http_client *c = call->client;
    uint64_t due_us = call->started_us + call->profile->first_byte_us;

    if (call->profile->first_byte_us == 0)
        return;
    if (!ev_is_active(&c->first_byte) || due_us < c->first_byte_due_us)
        start_timer(c, due_us, call->started_us);
}
