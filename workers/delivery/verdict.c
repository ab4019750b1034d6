/* verdict - what an attempt's end means for its job: done, again later, or failed; and in which words it is written down.
 *
 * The rules are those of Standard Webhooks and of RudderStack's router where they agree; see verdict.h. Pure: no I/O, no
 * clock.
 */
#include "workers/delivery/verdict.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "common/base/str.h"
#include "common/conf/conf.h"

static enum verdict_action by_status(const struct verdict_rules *rules, int status, struct verdict *out)
{
    int own = rules->by_status != NULL && status <= 599 ? rules->by_status[status] : -1;

    out->disables = own == CONF_STATUS_DISABLE;
    out->gone = own < 0 && status == 410;
    if (own >= 0)
        return own == CONF_STATUS_DONE    ? VERDICT_DONE
               : own == CONF_STATUS_RETRY ? VERDICT_RETRY
                                          : VERDICT_FAIL;
    if (status >= 200 && status <= 299)
        return VERDICT_DONE;
    if (status == 408 || status == 425 || status == 429 || status < 400)
        return VERDICT_RETRY;
    return status >= 500 && status != 501 ? VERDICT_RETRY : VERDICT_FAIL;
}

static const char *outcome_of(enum http_error e)
{
    switch (e) {
    case HTTP_ERROR_TIMEOUT:
    case HTTP_ERROR_CONNECT:
    case HTTP_ERROR_DNS:
    case HTTP_ERROR_TLS:
    case HTTP_ERROR_CUT:
    case HTTP_ERROR_DENIED:
        return http_error_name(e);
    default:
        return "retry";
    }
}

static bool is_spent(const struct verdict_rules *rules, const struct verdict_case *c,
                     const struct backoff_own *own)
{
    if (c->uncounted)
        return false;
    if (c->answer->error == HTTP_ERROR_NONE && c->answer->status == 429 && rules->retry_window_ms > 0)
        return c->age_ms >= rules->retry_window_ms;
    if (own->attempts > 1)
        return c->failures + 1 >= own->attempts;
    if (rules->backoff.n_schedule > 0)
        return c->failures >= rules->backoff.n_schedule;
    return c->failures + 1 >= rules->max_attempts && c->age_ms >= rules->retry_window_ms;
}

void verdict_give(const struct verdict_rules *rules, const struct verdict_case *c, struct verdict *out)
{
    const struct http_answer *a = c->answer;
    struct backoff_own own;

    *out = (struct verdict){.action = VERDICT_RETRY};
    if (a->error == HTTP_ERROR_NONE) {
        out->action = by_status(rules, a->status, out);
        snprintf(out->code_class, sizeof(out->code_class), "%cxx", (char)('0' + a->status / 100 % 10));
    }
    out->outcome = out->action == VERDICT_DONE   ? "ok"
                   : out->action == VERDICT_FAIL ? "fail"
                                                 : outcome_of(a->error);
    if (out->action != VERDICT_RETRY)
        return;
    if (a->error == HTTP_ERROR_NONE && a->retry_after_ms > 0)
        out->pause_ms = (uint64_t)a->retry_after_ms < rules->retry_after_max_ms ? (uint64_t)a->retry_after_ms
                                                                                : rules->retry_after_max_ms;
    backoff_parse_opts(c->opts, c->opts_len, &own);
    if (is_spent(rules, c, &own)) {
        out->action = VERDICT_FAIL;
        out->spent = true;
        return;
    }
    out->uncounted =
        c->uncounted || (a->status == 429 && a->error == HTTP_ERROR_NONE && rules->retry_window_ms > 0);
    if (own.attempts <= 1 || !own.no_backoff)
        out->delay_ms = backoff_delay_ms(own.attempts > 1 && own.has_backoff ? &own.backoff : &rules->backoff,
                                         c->failures + 1, c->random01);
    if (out->delay_ms < out->pause_ms)
        out->delay_ms = out->pause_ms;
}

/* text as valid UTF-8 without control bytes but tab and line ends; what is not becomes U+FFFD. */
static int put_text(struct buf *out, const char *text, size_t len)
{
    for (size_t at = 0; at < len;) {
        const unsigned char *p = (const unsigned char *)text + at;
        size_t n = str_utf8_length(text + at, len - at);

        if (n == 1 && (*p < 0x20 || *p == 0x7f) && *p != '\t' && *p != '\n' && *p != '\r')
            n = 0;
        if ((n > 0 ? buf_append(out, p, n) : buf_puts(out, "\xef\xbf\xbd")) != 0)
            return -1;
        at += n > 0 ? n : 1;
    }
    return 0;
}

int verdict_reason(const struct verdict *v, const struct http_answer *a, struct buf *out)
{
    const char *tail = v->spent ? "; attempts and time for them are spent" : "";

    if (a->error != HTTP_ERROR_NONE)
        return buf_printf(out, "no answer (%s): ", http_error_name(a->error)) != 0 ||
                       put_text(out, a->text, strlen(a->text)) != 0 || buf_puts(out, tail) != 0
                   ? -1
                   : 0;
    if (a->status == 410)
        return buf_puts(out, "the destination is gone for good: it answered 410");
    if (buf_printf(out, "the destination answered %d%s", a->status, tail) != 0)
        return -1;
    if (a->status >= 300 && a->status <= 399 && buf_puts(out, " (redirects are not followed)") != 0)
        return -1;
    if (a->body_len == 0)
        return 0;
    return buf_puts(out, ": ") != 0 || put_text(out, a->body, a->body_len) != 0 ? -1 : 0;
}

void verdict_short(const struct http_answer *a, char *dst, size_t size)
{
    if (a->error == HTTP_ERROR_NONE)
        snprintf(dst, size, "answered %d", a->status);
    else
        snprintf(dst, size, "no answer (%s)", http_error_name(a->error));
}

int verdict_value(const struct http_answer *a, struct buf *out)
{
    struct buf body;
    int rc;

    if (buf_printf(out, "{\"status\":%d,\"ms\":%" PRIu64, a->status, a->duration_us / 1000) != 0)
        return -1;
    if (a->body_len > 0) {
        buf_init(&body, a->body_len * 3 + 1);
        rc = put_text(&body, a->body, a->body_len);
        if (rc == 0)
            rc = buf_puts(out, ",\"body\":");
        if (rc == 0)
            rc = buf_put_json(out, body.data, body.len);
        buf_fini(&body);
        if (rc != 0)
            return -1;
    }
    return buf_appendc(out, '}');
}
