/* post - one attempt: the job's data becomes a request, its end a verdict.
 *
 * The body is sent from where the job's text lies. Authorization is the destination's own, or for write_key the key of
 * the source that the job names. What cannot be sent at all is failed with a reason, never tried again.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/hook.h"
#include "common/base/id.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/base/netset.h"
#include "common/base/str.h"
#include "common/queue/partition.h"
#include "workers/delivery/delivery.h"

/* ---- headers */

static char *basic_header(const char *user, const char *password)
{
    char *plain = xasprintf("%s:%s", user, password), *coded, *line;
    size_t len = strlen(plain);

    coded = xmalloc(4 * ((len + 2) / 3) + 1);
    str_base64_encode(plain, len, coded, 4 * ((len + 2) / 3) + 1);
    line = xasprintf("Authorization: Basic %s", coded);
    free(plain);
    free(coded);
    return line;
}

void post_prepare_sources(struct delivery *d)
{
    const struct conf *c = d->conf;

    for (size_t i = 0; d->source_auth != NULL && d->source_auth[i] != NULL; i++)
        free(d->source_auth[i]);
    free(d->source_auth);
    d->source_auth = xcalloc(c->n_sources + 1, sizeof(*d->source_auth));
    for (size_t i = 0; i < c->n_sources; i++)
        d->source_auth[i] = basic_header(c->sources[i].write_key, "");
}

/* NULL where nothing differs from other destinations. */
static const struct http_profile *profile_of(struct dest *t)
{
    const struct conf_destination *c = t->conf;
    struct delivery *d = t->d;
    struct http_profile_options o = {
        .connect_timeout_ms = c->connect_timeout_ms,
        .first_byte_timeout_ms = c->first_byte_timeout_ms,
        .ca = c->tls_ca,
        .cert = c->tls_cert,
        .key = c->tls_key,
        .url = c->url,
        .server_name = c->tls_server_name,
        .deny = d->deny,
        .allow = d->allow,
    };

    switch (conf_destination_http2(d->conf, c)) {
    case CONF_HTTP2_TRUE:
        o.version = HTTP_VERSION_2_ALPN;
        break;
    case CONF_HTTP2_PRIOR_KNOWLEDGE:
        o.version = HTTP_VERSION_2_PRIOR_KNOWLEDGE;
        break;
    default:
        break;
    }
    o.proxy = conf_destination_proxy(d->conf, c, &o.proxy_username, &o.proxy_password);
    if (o.connect_timeout_ms + o.first_byte_timeout_ms == 0 && o.version == HTTP_VERSION_1 &&
        o.proxy == NULL && o.deny == NULL && c->tls_ca[0] == '\0' && c->tls_cert[0] == '\0' &&
        c->tls_server_name[0] == '\0')
        return NULL;
    return http_profile_new(d->http, &o);
}

const char *post_source_auth(const struct delivery *d, const char *source)
{
    const struct conf_source *s = conf_find_source(d->conf, source);

    return s != NULL ? d->source_auth[s - d->conf->sources] : NULL;
}

void post_prepare(struct delivery *d)
{
    post_prepare_sources(d);
    d->deny = netset_new(d->conf->delivery.egress_deny);
    d->allow = netset_new(d->conf->delivery.egress_allow);
    for (size_t i = 0; i < d->n_dests; i++) {
        struct dest *t = &d->dests[i];

        switch (t->conf->auth_type) {
        case CONF_AUTH_BASIC:
            t->auth = basic_header(t->conf->auth_username, t->conf->auth_password);
            break;
        case CONF_AUTH_BEARER:
            t->auth = xasprintf("Authorization: Bearer %s", t->conf->auth_token);
            break;
        case CONF_AUTH_HEADER:
            t->auth = xasprintf("%s: %s", t->conf->auth_name, t->conf->auth_value);
            break;
        case CONF_AUTH_NONE:
            t->auth = xstrdup("");
            break;
        default: /* write_key: by job */
            break;
        }
        t->shape = shape_new(d->conf, t->conf);
        t->profile = profile_of(t);
    }
}

/* NULL and a reason in why: the job cannot be sent. *own is for the caller to free. */
static const char *auth_of(const struct job *j, char **own, char *why, size_t size)
{
    const struct dest *t = j->lane->dest;
    const struct delivery *d = t->d;
    const struct conf_source *s;

    if (t->auth != NULL)
        return t->auth;
    if (j->payload.sdk != NULL) {
        if (j->payload.sdk->write_key[0] != '\0')
            return *own = basic_header(j->payload.sdk->write_key, "");
        snprintf(why, size, "the SDK job has no write key, and the destination's auth.type is write_key");
        return NULL;
    }
    s = conf_find_source(d->conf, j->payload.source);
    if (s != NULL)
        return d->source_auth[s - d->conf->sources];
    if (j->payload.source[0] == '\0')
        snprintf(
            why, size,
            "the job names no source, so it has no write key: set the destination's auth.type (none, basic, bearer or header)");
    else
        snprintf(why, size, "unknown source: %s", j->payload.source);
    return NULL;
}

static char *put_escaped(char *at, const char *text)
{
    for (; *text != '\0'; text++) {
        unsigned char c = (unsigned char)*text;

        if (c > 0x20 && c < 0x7f)
            *at++ = (char)c;
        else
            at += sprintf(at, "%%%02X", c);
    }
    return at;
}

/* What the queue itself gives (a number, or the name of a repetition) is the same in other queues: then their names belong
 * to it. An id of another program's is its text: what a header must not hold is written as %XX. */
char *post_key_header(const struct lane *l, const char *id, const char *tail, bool of_event)
{
    static const char name[] = "Idempotency-Key: ";
    bool given = !of_event && (id[strspn(id, "0123456789")] == '\0' || str_starts(id, "repeat:"));
    char base[QUEUE_PREFIX_SIZE + 160] = "";

    if (given)
        queue_key(l->options.prefix, l->options.name, "", base, sizeof(base));
    char *line = xmalloc(sizeof(name) + 3 * (strlen(base) + strlen(id) + strlen(tail))),
         *at = line + sizeof(name) - 1;

    memcpy(line, name, sizeof(name) - 1);
    at = put_escaped(at, base);
    at = put_escaped(at, id);
    at = put_escaped(at, tail);
    *at = '\0';
    return line;
}

/* ---- the end of an attempt */

static void count_attempt(struct dest *t, const struct verdict *v, const struct http_answer *a)
{
    struct metrics *m = child_metrics(t->d->child);

    metric_add(metrics_series(m, METRIC_DELIVERY_ATTEMPTS, t->conf->id, v->outcome, v->code_class, NULL), 1);
    metric_observe_us(t->m.duration, a->duration_us);
    if (a->error != HTTP_ERROR_CONNECT && a->error != HTTP_ERROR_DNS)
        metric_add(a->reused ? t->m.reused : t->m.fresh, 1);
}

static void note_health(struct dest *t, const struct verdict *v, const struct http_answer *a)
{
    if (v->action == VERDICT_DONE && t->failing_since_ms != 0) {
        log_info("destination_recovered", "dest=%s failing_ms=%llu", t->conf->id,
                 (unsigned long long)(clock_mono_ms() - t->failing_since_ms));
        t->failing_since_ms = 0;
    } else if (v->action == VERDICT_RETRY && t->failing_since_ms == 0) {
        t->failing_since_ms = clock_mono_ms();
        log_warn("destination_failing", "dest=%s outcome=%s status=%d text=%s", t->conf->id, v->outcome,
                 a->status, log_q(a->text));
    }
}

/* An SDK counts in the data; a manual retry starts afresh. */
static uint64_t failures_of(const struct job *j)
{
    const struct sdkjob *sdk = j->payload.sdk;

    return j->q.failures + (sdk != NULL && j->q.retried_ms == 0 ? sdk->attempts : 0);
}

/* Is the SDK's meaning of retries its own? */
static bool is_sdks(const struct job *j)
{
    return j->lane->takeover != NULL && j->payload.sdk != NULL;
}

static uint64_t age_ms(const struct job *j)
{
    uint64_t now_ms = clock_wall_ms(), since_ms = j->q.retried_ms > 0 ? j->q.retried_ms : j->q.timestamp_ms;

    return now_ms > since_ms ? now_ms - since_ms : 0;
}

void post_judge(struct job *j, const struct http_answer *a, struct verdict *v)
{
    struct dest *t = j->lane->dest;
    struct verdict_case c = {.answer = a,
                             .failures = failures_of(j),
                             .age_ms = age_ms(j),
                             .opts = j->q.opts,
                             .opts_len = j->q.opts_len,
                             .uncounted = t->flow.probe == j,
                             .random01 = (double)(id_random_u64() >> 11) * 0x1p-53};

    verdict_give(is_sdks(j) ? &j->lane->sdk_rules : &t->rules, &c, v);
    count_attempt(t, v, a);
    note_health(t, v, a);
    j->front = is_sdks(j);
    j->uncounted = v->uncounted;
    flow_answered(j, v, a);
}

static void on_done(struct http_call *call, const struct http_answer *a, void *arg)
{
    struct job *j = arg;
    struct verdict v;

    (void)call;
    HOOK_POINT(answer_whole);
    j->call = NULL;
    post_judge(j, a, &v);
    buf_reset(&j->text);
    if (v.action == VERDICT_DONE ? verdict_value(a, &j->text) != 0 : verdict_reason(&v, a, &j->text) != 0) {
        buf_reset(&j->text);
        (void)buf_puts(&j->text, v.action == VERDICT_DONE ? "null" : "the answer could not be kept");
    }
    j->delay_ms = v.delay_ms;
    if (v.action == VERDICT_FAIL && flow_divides(j, a)) {
        settle_job(j, JOB_SPLIT);
        return;
    }
    settle_job(j, v.action == VERDICT_DONE ? JOB_COMPLETE : v.action == VERDICT_RETRY ? JOB_DELAY : JOB_FAIL);
}

/* A job may ask for less time than its destination is given; of an ordered lane none runs for longer than max_run, as
 * nobody else could take it away. */
static uint64_t timeout_of(const struct job *j)
{
    uint64_t ms = j->lane->dest->conf->timeout_ms,
             all = ms > 0 ? ms : j->lane->dest->d->conf->delivery.timeout_ms,
             run_ms = lane_ordered(j->lane) ? j->lane->options.max_run_ms : 0,
             sdk_ms = j->payload.sdk != NULL ? j->payload.sdk->timeout_ms : 0, own_ms;
    struct backoff_own own = {0};

    if (memmem(j->q.opts, j->q.opts_len, "timeout", 7) != NULL)
        backoff_parse_opts(j->q.opts, j->q.opts_len, &own);
    own_ms = own.timeout_ms > 0 ? own.timeout_ms : sdk_ms;
    if (own_ms > 0 && own_ms < all)
        all = own_ms;
    return run_ms > 0 && run_ms < all ? run_ms : all;
}

static int dress(struct job *j, struct http_call_options *o, const char **headers, const char *key, char *why,
                 size_t size)
{
    const struct json_slice *events = j->payload.events.text != NULL ? &j->payload.events : NULL;
    size_t before;
    int rc;

    if (j->made == NULL)
        j->made = xcalloc(1, sizeof(*j->made));
    before = j->made->body.len;
    rc = shape_dress(j->lane->dest->shape, j->made, o, headers, headers[3] != NULL ? 4 : 3, events, key,
                     clock_wall_ms(), why, size);
    j->bytes += j->made->body.len - before;
    j->lane->dest->d->job_bytes += j->made->body.len - before;
    return rc;
}

int post_send(struct job *j, const struct http_piece *pieces, size_t n, const char *key, http_done_fn done,
              char *why, size_t size)
{
    static const char type[] = "Content-Type: application/json", agent[] = "User-Agent: dray/" DRAY_VERSION;
    struct dest *t = j->lane->dest;
    const char *headers[SHAPE_HEADERS_MAX + 1];
    struct http_call_options o = {
        .url = t->conf->url, .headers = headers, .profile = t->profile, .pieces = pieces, .n_pieces = n};
    char sdk_agent[sizeof("User-Agent: ") + SDKJOB_AGENT_MAX], *own_auth = NULL;
    const struct sdkjob *sdk = j->payload.sdk;
    const char *auth = auth_of(j, &own_auth, why, size);
    int rc = 0;

    if (auth == NULL)
        return -1;
    headers[0] = type;
    headers[1] = agent;
    headers[2] = key;
    headers[3] = auth[0] != '\0' ? auth : NULL;
    headers[4] = NULL;
    if (sdk != NULL && sdk->agent[0] != '\0') {
        snprintf(sdk_agent, sizeof(sdk_agent), "User-Agent: %s", sdk->agent);
        headers[1] = sdk_agent;
    }
    o.timeout_ms = timeout_of(j);
    if (t->shape != NULL)
        rc = dress(j, &o, headers, key, why, size);
    if (rc == 0)
        j->call = http_client_post(t->d->http, &o, done, j);
    free(own_auth);
    return rc;
}

/* The job as a request, or as several. 0, or -1 and a reason in why. */
static int ask(struct job *j, char *why, size_t size)
{
    const struct dest *t = j->lane->dest;
    const struct sdkjob *sdk;

    if (j->known.batch_len > 0)
        payload_recall(&j->payload, j->q.data, &j->known, clock_wall_ms());
    else if (payload_read(&j->payload, j->q.data, j->q.data_len, clock_wall_ms(), why, size) != 0)
        return -1;
    sdk = j->payload.sdk;
    if (sdk != NULL) {
        j->bytes += sdk->bytes;
        t->d->job_bytes += sdk->bytes;
    }
    if (is_sdks(j) && failures_of(j) >= j->lane->sdk_rules.max_attempts) {
        snprintf(why, size, "attempts are spent: the SDK counted %" PRIu64 " before", sdk->attempts);
        return -1;
    }
    if (t->shape != NULL && shape_by_event(t->shape))
        return events_start(j, why, size);
    j->key_header = post_key_header(j->lane, j->q.id, "", false);
    return post_send(j, j->payload.pieces, j->payload.n_pieces, j->key_header, on_done, why, size);
}

void post_start(struct job *j)
{
    struct dest *t = j->lane->dest;
    char why[256];

    j->state = JOB_POSTING;
    j->lane->posting++;
    t->posting++;
    t->d->posting++;
    metric_set(t->m.in_flight, t->posting);
    if (!flow_posting(j)) {
        settle_job(j, JOB_DELAY);
        return;
    }
    if (ask(j, why, sizeof(why)) == 0) {
        HOOK_POINT(post_begun);
        return;
    }
    (void)buf_puts(&j->text, why);
    settle_job(j, JOB_FAIL);
}
