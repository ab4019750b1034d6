/* cron_next - the search for the next time. It is cron-parser's step by step, with the date arithmetic of luxon below
 * it, because what happens around clock changes is defined by nothing else. */
#include "common/base/cron.h"

#include <errno.h>

#define STEPS_MAX 10000
#define SECOND_MS 1000
#define MINUTE_MS (60 * SECOND_MS)
#define HOUR_MS   (60 * MINUTE_MS)
#define DAY_MS    ((int64_t)24 * HOUR_MS)
#define TIME_MAX  INT64_C(253402300800000) /* the year 10000 */

/* ---- dates, as luxon reckons */

struct moment {
    const struct tz *z;
    int64_t ms;
    /* of ms in z */
    int64_t offset_ms;
    struct tz_date date;
    int hour, minute, second;
};

static int64_t floor_div(int64_t a, int64_t b)
{
    return a / b - (a % b < 0);
}

static int64_t offset_ms(const struct tz *z, int64_t ms)
{
    return (int64_t)tz_offset_s(z, floor_div(ms, SECOND_MS)) * SECOND_MS;
}

static void set(struct moment *m, int64_t ms)
{
    m->ms = ms;
    m->offset_ms = offset_ms(m->z, ms);
    int64_t local = ms + m->offset_ms, days = floor_div(local, DAY_MS), of_day = local - days * DAY_MS;
    m->date = tz_date(days);
    m->hour = (int)(of_day / HOUR_MS);
    m->minute = (int)(of_day / MINUTE_MS % 60);
    m->second = (int)(of_day / SECOND_MS % 60);
}

/* What the wall shows, to an instant; the offset that held before is tried first. */
static int64_t from_local(const struct tz *z, int64_t local, int64_t offset)
{
    int64_t guess = local - offset, second = offset_ms(z, guess);
    if (second == offset)
        return guess;
    guess -= second - offset;
    int64_t third = offset_ms(z, guess);
    if (third == second)
        return guess;
    return local - (second < third ? second : third); /* a time that is skipped */
}

static void start_of(struct moment *m, int64_t unit_ms)
{
    int64_t local = m->ms + m->offset_ms;
    set(m, from_local(m->z, floor_div(local, unit_ms) * unit_ms, m->offset_ms));
}

/* The start of the day so many days later. */
static struct moment days_later(const struct moment *m, int days)
{
    struct moment later = *m;
    set(&later, from_local(m->z, m->ms + m->offset_ms + days * DAY_MS, m->offset_ms));
    start_of(&later, DAY_MS);
    return later;
}

static void add_month(struct moment *m)
{
    int64_t year = m->date.year + (m->date.month == 12), local = m->ms + m->offset_ms;
    int month = m->date.month % 12 + 1, last = tz_month_days(year, month);
    int day = m->date.day < last ? m->date.day : last;
    int64_t of_day = local - floor_div(local, DAY_MS) * DAY_MS;
    set(m, from_local(m->z, tz_days(year, month, day) * DAY_MS + of_day, m->offset_ms));
    set(m, from_local(m->z, tz_days(m->date.year, m->date.month, 1) * DAY_MS, m->offset_ms));
}

static void add_hour(struct moment *m)
{
    int64_t before = m->ms;
    set(m, m->ms + HOUR_MS);
    start_of(m, HOUR_MS);
    if (m->ms <= before)
        set(m, m->ms + HOUR_MS);
}

static void add_short(struct moment *m, int64_t unit_ms) /* a minute or a second */
{
    int64_t before = m->ms;
    set(m, m->ms + unit_ms);
    start_of(m, unit_ms);
    if (m->ms < before)
        set(m, m->ms + HOUR_MS);
}

/* ---- the search */

struct search {
    const struct cron *c;
    struct moment at;
    int dst_start, dst_end; /* hours; -1: none */
};

static bool has(const struct cron *c, enum cron_field f, int value)
{
    return value >= 0 && (c->values[f] >> value & 1) != 0;
}

static void step(struct search *s, enum cron_field f)
{
    int64_t before = s->at.ms;
    int hour = s->at.hour;
    switch (f) {
    case CRON_DAY:
    case CRON_MONTH:
        if (f == CRON_DAY)
            s->at = days_later(&s->at, 1);
        else
            add_month(&s->at);
        if (s->at.ms == before && s->at.minute == 0 && s->at.second == 0)
            add_hour(&s->at); /* that day does not exist */
        return;
    case CRON_HOUR:
        add_hour(&s->at);
        break;
    default:
        add_short(&s->at, f == CRON_MINUTE ? MINUTE_MS : SECOND_MS);
    }
    if (s->c->n[CRON_HOUR] == 24)
        return;
    if (s->at.hour - hour == 2)
        s->dst_start = s->at.hour;
    else if (s->at.hour == hour && s->at.minute == 0 && s->at.second == 0)
        s->dst_end = s->at.hour;
}

enum day { DAY_GOOD, DAY_BAD, DAY_NEVER };

static enum day look_at_day(const struct search *s)
{
    static const unsigned month_days[] = {31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    const struct cron *c = s->c;
    const struct moment *m = &s->at;
    bool day = has(c, CRON_DAY, m->date.day), weekday = has(c, CRON_WEEKDAY, m->date.weekday);
    if (!day && c->last_day)
        day = days_later(m, 1).date.month != m->date.month;
    if (!weekday && (c->last_weekdays != 0 || c->last_nothing)) {
        weekday =
            (c->last_weekdays >> m->date.weekday & 1) != 0 && days_later(m, 7).date.month != m->date.month;
        if (!weekday && c->last_nothing)
            return DAY_NEVER;
    }
    bool any_day = c->n[CRON_DAY] >= month_days[m->date.month - 1], any_weekday = c->n[CRON_WEEKDAY] == 8;
    if (!day && (!weekday || any_weekday))
        return DAY_BAD;
    if (any_day && !any_weekday && !weekday)
        return DAY_BAD;
    return c->nth > 0 && (m->date.day + 6) / 7 != c->nth ? DAY_BAD : DAY_GOOD;
}

/* true: the hour is right; false: went on to another. */
static bool hour_fits(struct search *s)
{
    int hour = s->at.hour;
    if (!has(s->c, CRON_HOUR, hour)) {
        if (s->dst_start != hour) {
            s->dst_start = -1;
            step(s, CRON_HOUR);
            return false;
        }
        if (!has(s->c, CRON_HOUR, hour - 1)) {
            add_hour(&s->at);
            return false;
        }
    } else if (s->dst_end == hour) {
        s->dst_end = -1;
        step(s, CRON_HOUR);
        return false;
    }
    return true;
}

int cron_next(const struct cron *c, const struct tz *z, int64_t after_ms, int64_t end_ms, int64_t *next_ms)
{
    struct search s = {.c = c, .dst_start = -1, .dst_end = -1};
    errno = ENOENT;
    if (after_ms < 0 || after_ms >= TIME_MAX)
        return -1;
    s.at.z = z;
    set(&s.at, after_ms);
    /* The step that finds counts as well. */
    for (unsigned steps = 1; steps < STEPS_MAX && s.at.ms <= end_ms; steps++) {
        enum day day = look_at_day(&s);
        if (day == DAY_NEVER)
            return -1;
        if (day == DAY_BAD) {
            step(&s, CRON_DAY);
        } else if (!has(c, CRON_MONTH, s.at.date.month)) {
            step(&s, CRON_MONTH);
        } else if (!hour_fits(&s)) {
            continue;
        } else if (!has(c, CRON_MINUTE, s.at.minute)) {
            step(&s, CRON_MINUTE);
        } else if (!has(c, CRON_SECOND, s.at.second) || s.at.ms == after_ms) {
            step(&s, CRON_SECOND);
        } else {
            *next_ms = s.at.ms;
            return 0;
        }
    }
    return -1;
}
