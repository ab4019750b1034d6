/* cron - cron expressions as cron-parser 4.9 reads them, which bull 4.16.5 repeats jobs by. Pure.
 *
 * One to six fields from the right (second, minute, hour, day of month, month, day of week; seconds are 0 when left
 * out), with lists, ranges, steps, names (jan, mon), "?" for "*", L (last day of the month; 5L: its last Friday), 2#1
 * (its first Tuesday), @yearly @monthly @weekly @daily @hourly. When both days are restricted, either may match.
 * A time that a clock change skips comes an hour later; one that happens twice comes once, at its first time, unless
 * every hour is meant. It was checked against cron-parser itself (tests/interop/cron_test.py).
 */
#ifndef DRAY_COMMON_BASE_CRON_H
#define DRAY_COMMON_BASE_CRON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/tz.h"

#define CRON_TEXT_MAX 1024
#define CRON_NEVER    INT64_MAX

enum cron_field { CRON_SECOND, CRON_MINUTE, CRON_HOUR, CRON_DAY, CRON_MONTH, CRON_WEEKDAY, CRON_FIELDS };

struct cron {
    uint64_t values[CRON_FIELDS]; /* bit n: n is in the list */
    unsigned n[CRON_FIELDS];      /* length of the list as written: so many mean "any" */
    bool last_day;                /* L as a day of the month */
    uint8_t last_weekdays;        /* bit n: the last weekday n of the month */
    bool last_nothing;            /* L without a weekday: whoever comes to it finds nothing */
    int nth;                      /* of the weekday in the month; 0: any */
};

/* -1 with EINVAL and why naming the field. */
int cron_parse(struct cron *c, const char *text, char *why, size_t why_size);
/* The first time after after_ms, in z, not behind end_ms (CRON_NEVER: no end). -1 with ENOENT: there is none, or none
 * is found in 10,000 steps (cron-parser's limit: "0 0 30 2 *" ends there). */
int cron_next(const struct cron *c, const struct tz *z, int64_t after_ms, int64_t end_ms, int64_t *next_ms);

#endif
