/* event_time - see event_time.h. */
#include "common/event/event_time.h"

#include <errno.h>
#include <stdbool.h>

/* Two digits; -1: they are not. */
static int two(const char *p)
{
    unsigned tens = (unsigned char)p[0] - (unsigned)'0', ones = (unsigned char)p[1] - (unsigned)'0';
    return tens > 9 || ones > 9 ? -1 : (int)(tens * 10 + ones);
}

/* Days since 1970-01-01 in the Gregorian calendar (H. Hinnant's days_from_civil). */
static int64_t days_of(int year, int month, int day)
{
    year -= month <= 2;
    int64_t era = year / 400, of_era = year - era * 400;
    int64_t of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}

static int days_in(int year, int month)
{
    static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    return month == 2 && leap ? 29 : days[month - 1];
}

/* "Z", "+hh:mm", "+hhmm" up to end: minutes east. */
static bool read_zone(const char *p, const char *end, int *minutes)
{
    *minutes = 0;
    if (end - p == 1 && (*p == 'Z' || *p == 'z'))
        return true;
    if ((end - p != 6 && end - p != 5) || (*p != '+' && *p != '-') || (end - p == 6 && p[3] != ':'))
        return false;
    int h = two(p + 1), m = two(end - 2);
    if (h < 0 || m < 0 || h > 23 || m > 59)
        return false;
    *minutes = *p == '-' ? -(h * 60 + m) : h * 60 + m;
    return true;
}

/* "12:34", "12:34:56", "12:34:56.789..."; *p goes behind it. */
static bool read_clock(const char **p, const char *end, int64_t *ms)
{
    const char *at = *p;
    if (end - at < 5 || at[2] != ':')
        return false;
    int h = two(at), m = two(at + 3), s = 0, fraction = 0;
    at += 5;
    if (end - at >= 3 && *at == ':') {
        s = two(at + 1);
        at += 3;
        if (end - at >= 2 && (*at == '.' || *at == ',')) {
            int unit = 100;
            for (at++; at < end && *at >= '0' && *at <= '9'; at++, unit /= 10)
                fraction += (*at - '0') * unit;
        }
    }
    if (h < 0 || h > 23 || m < 0 || m > 59 || s < 0 || s > 60)
        return false;
    *ms = ((h * 60 + m) * 60 + s) * INT64_C(1000) + fraction;
    *p = at;
    return true;
}

int event_time_parse(const struct json_slice *string, uint64_t *wall_ms)
{
    const char *p = string->text + 1, *end = string->text + string->len - 1;
    int64_t of_day;
    int east;
    if (string->type == JSON_STRING && string->len >= 2 + 17 && string->len <= 64 && p[4] == '-' &&
        p[7] == '-' && (p[10] == 'T' || p[10] == 't' || p[10] == ' ')) {
        int century = two(p), year = two(p + 2), month = two(p + 5), day = two(p + 8);
        bool good = century >= 0 && year >= 0 && month >= 1 && month <= 12 && day >= 1;
        year += century * 100;
        p += 11;
        if (good && day <= days_in(year, month) && read_clock(&p, end, &of_day) && read_zone(p, end, &east)) {
            int64_t ms = days_of(year, month, day) * 86400000 + of_day - east * INT64_C(60000);
            if (ms >= 0) {
                *wall_ms = (uint64_t)ms;
                return 0;
            }
        }
    }
    errno = EINVAL;
    return -1;
}
