/* rate - requests to a destination are paid for with tokens that the fleet shares: where destinations.rate_limit says how
 * many there are, or where the destination has answered 429 and the rate that it takes is being learnt (rate.lua).
 *
 * Tokens are asked for where they are missing and there is work; what is not used within a second is forgotten. Without
 * Redis there are none: nothing is taken then anyway.
 */
#include "common/base/clock.h"
#include "common/base/log.h"
#include "workers/delivery/flow/flow_int.h"

#define TOKENS_MAX   10   /* of one lease */
#define TOKEN_MS     1000 /* a token's life */
#define NO_ANSWER_MS 250
#define RETRY_MAX_MS 1000

static double fixed_rate(const struct dest *t)
{
    const struct conf_rate *r = &t->conf->rate_limit;

    return r->period_ms > 0 ? (double)r->count * 1e3 / (double)r->period_ms : 0;
}

static void meter(struct dest *t, bool on)
{
    struct flow *f = &t->flow;

    if (f->metered == on)
        return;
    f->metered = on;
    f->tokens = 0;
    f->retry_ms = 0;
    if (on)
        t->d->n_metered++;
    else
        t->d->n_metered--;
    if (!on)
        f->rate = 0;
    t->pace = 0;
}

static void on_tokens(int tokens, uint64_t retry_ms, uint64_t rate, void *arg)
{
    struct dest *t = arg;
    struct flow *f = &t->flow;
    uint64_t now_ms = clock_mono_ms();

    f->asking_tokens = false;
    if (tokens < 0) {
        f->retry_ms = now_ms + NO_ANSWER_MS;
    } else if (rate == 0) {
        meter(t, false);
        log_info("destination_rate_free", "dest=%s", t->conf->id);
    } else {
        if (f->rate == 0)
            log_info("destination_rate", "dest=%s per_s=%.1f", t->conf->id, (double)rate / 1e3);
        f->rate = rate;
        f->tokens += (unsigned)tokens;
        f->tokens_ms = now_ms;
        f->retry_ms = tokens > 0 ? 0 : now_ms + (retry_ms < RETRY_MAX_MS ? retry_ms : RETRY_MAX_MS);
        metric_add(f->limited, tokens == 0);
    }
    events_pump(t);
    claim_pump(t->d);
}

static void ask(struct dest *t, uint64_t now_ms)
{
    struct flow *f = &t->flow;
    unsigned lease = (unsigned)(f->rate / 20000);
    const struct fleet_wish w = {.rate = fixed_rate(t),
                                 .want = lease < 1            ? 1
                                         : lease < TOKENS_MAX ? lease
                                                              : TOKENS_MAX,
                                 .taken = f->taken,
                                 .refused = f->refused,
                                 .guess = f->guess,
                                 .learn = t->d->conf->delivery.adaptive_enabled};

    f->asking_tokens = true;
    f->taken = f->refused = f->guess = 0;
    f->retry_ms = now_ms + NO_ANSWER_MS;
    fleet_ask_tokens(t->d->fleet, t->conf->id, &w, on_tokens, t);
}

static void on_retry(struct ev_loop *loop, ev_timer *timer, int revents)
{
    struct dest *t = timer->data;

    (void)loop, (void)revents;
    claim_pump(t->d);
}

static void wait_for(struct dest *t, uint64_t ms)
{
    struct ev_loop *loop = t->d->loop;

    if (ev_is_active(&t->flow.token_timer))
        return;
    ev_timer_set(&t->flow.token_timer, (double)ms / 1e3, 0.);
    ev_timer_start(loop, &t->flow.token_timer);
}

bool flow_pay(struct dest *t)
{
    if (!t->flow.metered)
        return true;
    if (t->flow.tokens == 0)
        return false;
    t->flow.tokens--;
    return true;
}

/* Jobs that could be posted, if there were tokens. */
static bool wants(const struct dest *t)
{
    const struct delivery *d = t->d;

    if (!list_empty(&t->ahead) || !list_empty(&t->payers))
        return true;
    for (size_t i = 0; i < d->n_lanes; i++) {
        const struct lane *l = &d->lanes[i];

        if (l->dest != t || l->home->paused)
            continue;
        if (lane_ordered(l) ? l->order.held && l->posting == 0 && !list_empty(&l->jobs)
                            : l->hungry && l->asked == 0)
            return true;
    }
    return false;
}

void flow_pump(struct delivery *d, uint64_t now_ms)
{
    for (size_t i = 0; i < d->n_dests; i++) {
        struct dest *t = &d->dests[i];
        struct flow *f = &t->flow;

        if (!f->metered)
            continue;
        if (f->tokens > 0 && t->asked == 0 && now_ms - f->tokens_ms > TOKEN_MS)
            f->tokens = 0;
        if (f->tokens > t->asked || f->asking_tokens || t->paused_until_ms > now_ms ||
            (t->posting >= t->cap && list_empty(&t->payers)) || !wants(t))
            continue;
        if (f->retry_ms > now_ms)
            wait_for(t, f->retry_ms - now_ms);
        else
            ask(t, now_ms);
    }
}

/* ---- what the destination says */

static void turn_second(struct flow *f, uint64_t now_ms)
{
    if (now_ms - f->second_ms < 1000)
        return;
    f->second_before = now_ms - f->second_ms < 2000 ? f->second_taken : 0;
    f->second_taken = 0;
    f->second_ms = now_ms;
}

void rate_taken(struct dest *t, uint64_t now_ms)
{
    struct flow *f = &t->flow;

    turn_second(f, now_ms);
    f->second_taken++;
    f->taken++;
}

void rate_refused(struct dest *t, uint64_t now_ms)
{
    struct flow *f = &t->flow;

    turn_second(f, now_ms);
    f->refused += f->metered;
    if (f->metered || !t->d->conf->delivery.adaptive_enabled)
        return;
    f->guess = f->second_taken > f->second_before ? f->second_taken : f->second_before;
    if (f->guess == 0)
        return; /* nothing is taken: there is no rate to learn */
    f->taken = 0;
    f->refused = 1;
    meter(t, true);
}

/* ---- start */

void rate_tune(struct dest *t)
{
    if (fixed_rate(t) > 0)
        meter(t, true);
    t->flow.rate = 0; /* the next answer tells; without a rate it also ends the metering */
}

void rate_start(struct dest *t)
{
    ev_timer_init(&t->flow.token_timer, on_retry, 0., 0.);
    t->flow.token_timer.data = t;
    rate_tune(t);
}
