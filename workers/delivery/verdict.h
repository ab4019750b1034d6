/* verdict - what an attempt's end means for its job. Pure. */
#ifndef DRAY_WORKERS_DELIVERY_VERDICT_H
#define DRAY_WORKERS_DELIVERY_VERDICT_H

#include "common/base/buf.h"
#include "common/http/client.h"
#include "workers/delivery/backoff.h"

enum verdict_action { VERDICT_DONE, VERDICT_RETRY, VERDICT_FAIL };

struct verdict_rules { /* of the configuration */
    uint64_t max_attempts, retry_window_ms, retry_after_max_ms;
    const signed char *by_status; /* a conf_status_rule for each status up to 599, or -1; NULL: none */
    struct backoff backoff;
};

struct verdict_case {
    const struct http_answer *answer;
    uint64_t failures; /* before this attempt */
    uint64_t age_ms;   /* of the job */
    const char *opts;  /* the job's, JSON text */
    size_t opts_len;
    double random01; /* [0, 1) */
    bool uncounted;  /* a failure spends nothing: it was a try of a destination that is known to fail */
};

struct verdict {
    enum verdict_action action;
    uint64_t delay_ms;   /* RETRY: until the next attempt */
    uint64_t pause_ms;   /* the destination asked to be left alone for so long; 0: it did not */
    bool uncounted;      /* RETRY: no attempt was spent */
    bool spent;          /* FAIL: it could have been tried again, but attempts and time are used up */
    bool disables;       /* on_status says that the destination is not to be sent to any more */
    bool gone;           /* 410, and no rule of its own for that */
    const char *outcome; /* for the metrics: ok retry fail timeout connect dns tls cut denied */
    char code_class[4];  /* "2xx" ... "none" is "" */
};

/* 2xx: done. 408, 425, 429, 5xx but 501, 3xx, and every failure of the network: again. Other 4xx and 501: failed.
 * Attempts are spent when max_attempts and retry_window are both used up; a job of a Bull client with attempts of its
 * own (over 1) is held to those alone. A 429 spends no attempt, and is tried again as long as retry_window lasts (0: it is
 * as any other). */
void verdict_give(const struct verdict_rules *rules, const struct verdict_case *c, struct verdict *out);
/* Appends the sentence for failedReason: what came back, with the begin of the answer's body as valid UTF-8. */
int verdict_reason(const struct verdict *v, const struct http_answer *a, struct buf *out);
/* The same in a few words, for logs: "answered 503", "no answer (timeout)". */
void verdict_short(const struct http_answer *a, char *dst, size_t size);
/* Appends the return value of a delivered job: {"status":200,"ms":12,"body":"ok"}. */
int verdict_value(const struct http_answer *a, struct buf *out);

#endif
