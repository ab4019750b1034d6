/* tz - time zones: the offset from UTC at an instant, read from the zone files of the host (TZif, RFC 8536).
 *
 * A zone is loaded once and then only computed with: no setenv, no tzset, no libc time zone. A name never leaves the
 * folder of zones, and a file is read up to TZ_FILE_MAX. Who calls it: cron expressions of repeated jobs.
 */
#ifndef DRAY_COMMON_BASE_TZ_H
#define DRAY_COMMON_BASE_TZ_H

#include <stddef.h>
#include <stdint.h>

#define TZ_NAME_MAX 64
#define TZ_FILE_MAX (256u << 10)

struct tz;

/* name: an IANA zone in any case ("Europe/Berlin"); "utc", "gmt"; "utc+5", "utc-3:30"; NULL, "", "local", "system" and
 * "default" are the host's own zone (TZ, else /etc/localtime, else UTC). NULL with why filled in when there is none. */
struct tz *tz_open(const char *name, char *why, size_t why_size);
void tz_free(struct tz *z); /* NULL is fine */
/* Local time minus UTC, in seconds, at unix_s seconds since 1970. */
int32_t tz_offset_s(const struct tz *z, int64_t unix_s);

/* For tests and fuzzing: the content of a zone file. */
struct tz *tz_parse(const void *data, size_t len, char *why, size_t why_size);

/* The proleptic Gregorian calendar. */
struct tz_date {
    int64_t year;
    int month, day, weekday; /* 1-12, 1-31, 0 = Sunday */
};
int64_t tz_days(int64_t year, int month,
                int64_t day); /* since 1970-01-01; day may be beyond the month's end */
struct tz_date tz_date(int64_t days);
int tz_month_days(int64_t year, int month);

#endif
