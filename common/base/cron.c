/* cron - reads cron expressions; see cron.h. The order of steps is cron-parser's, so that what it takes is taken. */
#include "common/base/cron.h"

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "common/base/str.h"

#define NUMBER_MAX 1000000000

static const struct {
    const char *name;
    int min, max;
    const char *chars; /* besides digits */
    const char *otherwise;
} fields[CRON_FIELDS] = {
    {"second", 0, 59, ",*/-", "0"}, {"minute", 0, 59, ",*/-", "*"},
    {"hour", 0, 23, ",*/-", "*"},   {"day of month", 1, 31, "?,*L/-", "*"},
    {"month", 1, 12, ",*/-", "*"},  {"day of week", 0, 7, "?,*L/-", "*"},
};

/* ---- reading */

struct reader {
    struct cron *c;
    enum cron_field field;
    const char *text; /* of the field, as written */
    unsigned counts[64];
    char *why;
    size_t why_size;
};

static int refuse(const struct reader *r, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static int refuse(const struct reader *r, const char *fmt, ...)
{
    va_list ap;
    int n = snprintf(r->why, r->why_size, "%s \"%.60s\": ", fields[r->field].name, r->text);
    va_start(ap, fmt);
    if (n > 0 && (size_t)n < r->why_size)
        vsnprintf(r->why + n, r->why_size - (size_t)n, fmt, ap);
    va_end(ap);
    errno = EINVAL;
    return -1;
}

/* Digits alone; none are 0, as in JavaScript. -1: something else. */
static int number_of(const char *s)
{
    int v = 0;
    for (; isdigit((unsigned char)*s); s++)
        v = v < NUMBER_MAX / 10 - 10 ? v * 10 + (*s - '0') : NUMBER_MAX;
    return *s == '\0' ? v : -1;
}

static int range_error(const struct reader *r)
{
    return refuse(r, "a value is %d to %d", fields[r->field].min, fields[r->field].max);
}

static void add(struct reader *r, int value)
{
    r->c->values[r->field] |= UINT64_C(1) << value;
    r->counts[value]++;
    r->c->n[r->field]++;
}

static int read_range(struct reader *r, int min, int max, int step)
{
    if (min < 0 || max < 0 || min < fields[r->field].min || max > fields[r->field].max)
        return range_error(r);
    if (min > max)
        return refuse(r, "the range ends before it begins");
    if (step <= 0)
        return refuse(r, "a step is a number over 0");
    bool zero =
        r->field == CRON_WEEKDAY && max % 7 == 0; /* a range to 7 has Sunday as 0 too, ahead of the rest */
    if (zero)
        add(r, 0);
    int turn = step;
    for (int i = min; i <= max; i++) {
        if (!(zero && i == 0) && turn % step == 0) {
            turn = 1;
            add(r, i);
        } else {
            turn++;
        }
    }
    return 0;
}

static int read_value(struct reader *r, const char *s)
{
    if (strchr(s, 'L') != NULL) { /* only the two fields of days have come here with it */
        r->c->n[r->field]++;
        if (r->field == CRON_DAY)
            r->c->last_day = true;
        else if (isdigit((unsigned char)*s))
            r->c->last_weekdays |= (uint8_t)(1u << (*s - '0') % 7);
        else
            r->c->last_nothing = true;
        return 0;
    }
    int v = number_of(s);
    if (v < fields[r->field].min || v > fields[r->field].max)
        return range_error(r);
    add(r, r->field == CRON_WEEKDAY ? v % 7 : v);
    return 0;
}

/* One entry of a list: a value, a range, either with a step. */
static int read_entry(struct reader *r, char *s)
{
    int step = 1;
    bool stepped = false;
    char *slash = strchr(s, '/');
    if (*s == '\0')
        return refuse(r, "an entry of the list is empty");
    if (slash != NULL) {
        if (strchr(slash + 1, '/') != NULL)
            return refuse(r, "it has two steps");
        *slash = '\0';
        step = number_of(slash + 1);
        stepped = true;
    }
    if (s[0] == '-' && s[1] != '\0' && !stepped && number_of(s + 1) == 0)
        s++; /* "-0" is 0 */
    if (*s == '-' || (stepped && *s == '\0'))
        return range_error(r);
    char *dash = strchr(s, '-');
    if (dash == NULL && stepped && number_of(s) >= 0)
        return read_range(r, number_of(s), fields[r->field].max, step);
    if (dash == NULL)
        return read_value(r, s);
    *dash = '\0';
    char *more = strchr(dash + 1, '-');
    if (more != NULL)
        *more = '\0'; /* "1-2-3" is read as 1-2 */
    return read_range(r, number_of(s), number_of(dash + 1), step);
}

/* Names become numbers; any other three letters in a row are no name. dst has room for src. */
static int replace_names(struct reader *r, const char *src, char *dst)
{
    static const char names[2][37] = {"janfebmaraprmayjunjulaugsepoctnovdec", "sunmontuewedthufrisat"};
    const char *known = names[r->field == CRON_WEEKDAY];
    while (*src != '\0') {
        if (!isalpha((unsigned char)src[0]) || !isalpha((unsigned char)src[1]) ||
            !isalpha((unsigned char)src[2])) {
            *dst++ = *src++;
            continue;
        }
        int at = 0;
        while (known[at] != '\0' && strncasecmp(known + at, src, 3) != 0)
            at += 3;
        if (known[at] == '\0')
            return refuse(r, "\"%.3s\" is no name of a %s", src,
                          r->field == CRON_WEEKDAY ? "weekday" : "month");
        dst += sprintf(dst, "%d", at / 3 + (r->field == CRON_MONTH));
        src += 3;
    }
    *dst = '\0';
    return 0;
}

/* "*", or else "?", becomes the whole range. */
static void widen(const struct reader *r, const char *src, char *dst, size_t size)
{
    char wild = strchr(src, '*') != NULL ? '*' : '?';
    char *end = dst + size;
    for (; *src != '\0' && end - dst > 8; src++) {
        if (*src == wild)
            dst += sprintf(dst, "%d-%d", fields[r->field].min, fields[r->field].max);
        else
            *dst++ = *src;
    }
    *dst = '\0';
}

static int read_field(struct reader *r, const char *text)
{
    char plain[CRON_TEXT_MAX + 1], wide[4 * CRON_TEXT_MAX + 16];
    r->text = text;
    memset(r->counts, 0, sizeof r->counts);
    if (r->field == CRON_MONTH || r->field == CRON_WEEKDAY) {
        if (replace_names(r, text, plain) < 0)
            return -1;
    } else {
        str_copy(plain, text, sizeof plain);
    }
    for (const char *p = plain; *p != '\0'; p++)
        if (!isdigit((unsigned char)*p) && strchr(fields[r->field].chars, *p) == NULL)
            return refuse(r, "'%c' has no meaning here", isprint((unsigned char)*p) ? *p : '?');
    widen(r, plain, wide, sizeof wide);
    char *rest = wide, *entry;
    while ((entry = strsep(&rest, ",")) != NULL)
        if (read_entry(r, entry) < 0)
            return -1;
    return 0;
}

/* The day of the week may say which of them in the month: 2#1. */
static int read_weekday(struct reader *r, char *text)
{
    char *hash = strchr(text, '#');
    if (hash == NULL)
        return read_field(r, text);
    r->text = text;
    if (strpbrk(text, ",/-") != NULL)
        return refuse(r, "# goes with one weekday only, not with , / or -");
    int nth = hash[1] != '\0' ? number_of(hash + 1) : -1;
    if (nth < 1 || nth > 5)
        return refuse(r, "behind # stands 1 to 5");
    r->c->nth = nth;
    *hash = '\0';
    return read_field(r, text);
}

/* A single month bounds the days of the month. */
static int check_days(struct reader *r)
{
    static const int days[] = {31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    struct cron *c = r->c;
    if (c->n[CRON_MONTH] != 1)
        return 0;
    int max = days[__builtin_ctzll(c->values[CRON_MONTH]) - 1];
    if (c->values[CRON_DAY] != 0 && __builtin_ctzll(c->values[CRON_DAY]) > max)
        return refuse(r, "the month has no such day");
    for (int d = max + 1; d <= 31; d++) {
        c->values[CRON_DAY] &= ~(UINT64_C(1) << d);
        c->n[CRON_DAY] -= r->counts[d];
    }
    return 0;
}

int cron_parse(struct cron *c, const char *text, char *why, size_t why_size)
{
    static const char *const predefined[][2] = {{"@yearly", "0 0 1 1 *"},
                                                {"@monthly", "0 0 1 * *"},
                                                {"@weekly", "0 0 * * 0"},
                                                {"@daily", "0 0 * * *"},
                                                {"@hourly", "0 * * * *"}};
    char copy[CRON_TEXT_MAX + 1], *atoms[CRON_FIELDS];
    size_t n = 0;
    struct reader r = {.c = c, .why = why, .why_size = why_size}, days = r;
    memset(c, 0, sizeof *c);
    for (size_t i = 0; i < sizeof predefined / sizeof *predefined; i++)
        if (strcmp(text, predefined[i][0]) == 0)
            text = predefined[i][1];
    if (str_copy(copy, text, sizeof copy) >= sizeof copy) {
        snprintf(why, why_size, "the cron expression is over %d characters long", CRON_TEXT_MAX);
        errno = EINVAL;
        return -1;
    }
    char *rest = copy, *atom;
    while ((atom = strsep(&rest, " \t\n\v\f\r")) != NULL) {
        if (*atom == '\0')
            continue;
        if (n == CRON_FIELDS) {
            snprintf(why, why_size,
                     "a cron expression has at most 6 fields (second minute hour day month weekday)");
            errno = EINVAL;
            return -1;
        }
        atoms[n++] = atom;
    }
    for (size_t i = 0; i < CRON_FIELDS; i++) {
        r.field = (enum cron_field)i;
        const char *field = i + n < CRON_FIELDS ? fields[i].otherwise : atoms[i + n - CRON_FIELDS];
        int rc = i == CRON_WEEKDAY && n > 0 ? read_weekday(&r, atoms[n - 1]) : read_field(&r, field);
        if (rc < 0)
            return -1;
        if (i == CRON_DAY)
            days = r;
    }
    return check_days(&days);
}
