/* tz - see tz.h. A zone is a table of transitions, and behind the last of them the rule of the file's footer (a POSIX
 * TZ text). Counts in the file are checked against its length before anything is read by them. */
#include "common/base/tz.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/mem.h"
#include "common/base/str.h"

#define ROOT      "/usr/share/zoneinfo"
#define LOCALTIME "/etc/localtime"
#define DAY_S     86400
#define OFFSET_S  (26 * 3600) /* more than any zone has */

struct change { /* a yearly date of a POSIX rule */
    char kind;  /* M: month.week.weekday; J: day 1-365, February 29 never counts; 0: day 0-365 */
    int month, week, weekday, day;
    int32_t at_s;
};

struct rule {
    bool there, has_dst;
    int32_t std_s, dst_s;
    struct change to_dst, to_std;
};

struct tz {
    struct rule rule;
    int32_t first_s; /* before the first transition */
    size_t n;
    int64_t *at;
    int32_t *offset;
};

/* ---- calendar */

int64_t tz_days(int64_t year, int month, int64_t day)
{
    int64_t y = year - (month <= 2);
    int64_t era = (y >= 0 ? y : y - 399) / 400;
    int64_t of_era = y - era * 400;
    int64_t of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5;
    return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year + day - 1 - 719468;
}

struct tz_date tz_date(int64_t days)
{
    struct tz_date d;
    int64_t z = days + 719468;
    int64_t era = (z >= 0 ? z : z - 146096) / 146097;
    int64_t of_era = z - era * 146097;
    int64_t years = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
    int64_t of_year = of_era - (365 * years + years / 4 - years / 100);
    int64_t shifted = (5 * of_year + 2) / 153;
    d.day = (int)(of_year - (153 * shifted + 2) / 5 + 1);
    d.month = (int)(shifted < 10 ? shifted + 3 : shifted - 9);
    d.year = years + era * 400 + (d.month <= 2);
    d.weekday = (int)(((days + 4) % 7 + 7) % 7);
    return d;
}

static bool is_leap(int64_t year)
{
    return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
}

int tz_month_days(int64_t year, int month)
{
    static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    return month == 2 && is_leap(year) ? 29 : days[month - 1];
}

/* ---- the rule behind the table */

/* Seconds since 1970, as a clock on the wall shows them. */
static int64_t change_at(const struct change *c, int64_t year)
{
    int64_t days;
    if (c->kind == 'M') {
        days = tz_days(year, c->month, 1);
        days += (c->weekday - tz_date(days).weekday + 7) % 7 + 7 * (int64_t)(c->week - 1);
        if (days >= tz_days(year, c->month, 1) + tz_month_days(year, c->month))
            days -= 7;
    } else if (c->kind == 'J') {
        days = tz_days(year, 1, 1) + c->day - 1 + (is_leap(year) && c->day >= 60);
    } else {
        days = tz_days(year, 1, 1) + c->day;
    }
    return days * DAY_S + c->at_s;
}

static int64_t floor_div(int64_t a, int64_t b)
{
    return a / b - (a % b < 0);
}

static int32_t rule_offset(const struct rule *r, int64_t t)
{
    if (!r->has_dst)
        return r->std_s;
    int64_t year = tz_date(floor_div(t + r->std_s, DAY_S)).year;
    int64_t start = change_at(&r->to_dst, year) - r->std_s, end = change_at(&r->to_std, year) - r->dst_s;
    bool dst = start < end ? start <= t && t < end : t < end || start <= t;
    return dst ? r->dst_s : r->std_s;
}

static bool read_number(const char **s, int max, int *out)
{
    int v = 0;
    const char *p = *s;
    for (; *p >= '0' && *p <= '9'; p++)
        if ((v = v * 10 + (*p - '0')) > max)
            return false;
    if (p == *s)
        return false;
    *s = p;
    *out = v;
    return true;
}

/* [+-]h[:m[:s]] */
static bool read_time(const char **s, int max_hours, int32_t *out)
{
    int h = 0, m = 0, sec = 0, sign = **s == '-' ? -1 : 1;
    if (**s == '-' || **s == '+')
        (*s)++;
    if (!read_number(s, max_hours, &h))
        return false;
    if (**s == ':') {
        (*s)++;
        if (!read_number(s, 59, &m))
            return false;
        if (**s == ':') {
            (*s)++;
            if (!read_number(s, 59, &sec))
                return false;
        }
    }
    *out = sign * (h * 3600 + m * 60 + sec);
    return true;
}

static bool skip_name(const char **s)
{
    const char *p = *s;
    if (*p == '<') {
        p = strchr(p, '>');
        if (p == NULL)
            return false;
        *s = p + 1;
        return true;
    }
    while ((*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z'))
        p++;
    bool any = p > *s;
    *s = p;
    return any;
}

static bool read_change(const char **s, struct change *c)
{
    if (*(*s)++ != ',')
        return false;
    c->at_s = 2 * 3600;
    if (**s == 'M') {
        (*s)++;
        c->kind = 'M';
        if (!read_number(s, 12, &c->month) || c->month < 1 || *(*s)++ != '.' ||
            !read_number(s, 5, &c->week) || c->week < 1 || *(*s)++ != '.' || !read_number(s, 6, &c->weekday))
            return false;
    } else if (**s == 'J') {
        (*s)++;
        c->kind = 'J';
        if (!read_number(s, 365, &c->day) || c->day < 1)
            return false;
    } else if (!read_number(s, 365, &c->day)) {
        return false;
    }
    if (**s != '/')
        return true;
    (*s)++;
    return read_time(s, 167, &c->at_s);
}

/* "CET-1CEST,M3.5.0,M10.5.0/3" */
static bool read_rule(const char *s, struct rule *r)
{
    memset(r, 0, sizeof *r);
    if (*s == '\0')
        return true;
    int32_t west = 0;
    if (!skip_name(&s) || !read_time(&s, 24, &west))
        return false;
    r->there = true;
    r->std_s = -west;
    if (*s == '\0')
        return true;
    if (!skip_name(&s))
        return false;
    r->has_dst = true;
    r->dst_s = r->std_s + 3600;
    if (*s != ',') {
        if (!read_time(&s, 24, &west))
            return false;
        r->dst_s = -west;
    }
    return read_change(&s, &r->to_dst) && read_change(&s, &r->to_std) && *s == '\0';
}

/* ---- the file */

struct header {
    char version;
    uint32_t isut, isstd, leap, times, types, chars;
};

static int64_t big_endian(const unsigned char *p, size_t size)
{
    uint64_t v = 0;
    for (size_t i = 0; i < size; i++)
        v = v << 8 | p[i];
    return size == 4 ? (int32_t)(uint32_t)v : (int64_t)v;
}

/* The bytes of the block behind the header, or 0: no header, or one that does not fit. */
static size_t read_header(const unsigned char *p, size_t len, size_t time_size, struct header *h)
{
    if (len < 44 || memcmp(p, "TZif", 4) != 0)
        return 0;
    h->version = (char)p[4];
    uint32_t *const counts[] = {&h->isut, &h->isstd, &h->leap, &h->times, &h->types, &h->chars};
    for (size_t i = 0; i < 6; i++) {
        *counts[i] = (uint32_t)big_endian(p + 20 + 4 * i, 4);
        if (*counts[i] > TZ_FILE_MAX)
            return 0;
    }
    size_t body = (size_t)h->times * (time_size + 1) + (size_t)h->types * 6 + h->chars +
                  (size_t)h->leap * (time_size + 4) + h->isstd + h->isut;
    return h->types > 0 && h->types <= 256 && body <= len - 44 ? 44 + body : 0;
}

static bool read_offset(const unsigned char *types, const struct header *h, unsigned i, int32_t *out)
{
    if (i >= h->types)
        return false;
    int64_t v = big_endian(types + (size_t)i * 6, 4);
    *out = (int32_t)v;
    return v >= -OFFSET_S && v <= OFFSET_S;
}

static bool read_table(struct tz *z, const unsigned char *p, size_t time_size, const struct header *h)
{
    const unsigned char *index = p + (size_t)h->times * time_size, *types = index + h->times;
    z->at = mem_try((h->times + 1) * sizeof *z->at);
    z->offset = mem_try((h->times + 1) * sizeof *z->offset);
    if (z->at == NULL || z->offset == NULL || !read_offset(types, h, 0, &z->first_s))
        return false;
    for (z->n = 0; z->n < h->times; z->n++) {
        z->at[z->n] = big_endian(p + z->n * time_size, time_size);
        if (!read_offset(types, h, index[z->n], &z->offset[z->n]) ||
            (z->n > 0 && z->at[z->n] <= z->at[z->n - 1]))
            return false;
    }
    return true;
}

static bool read_footer(struct tz *z, const unsigned char *p, size_t len)
{
    char text[128];
    const unsigned char *end = len > 0 && *p == '\n' ? memchr(p + 1, '\n', len - 1) : NULL;
    if (end == NULL || (size_t)(end - p) > sizeof text)
        return false;
    size_t n = (size_t)(end - p) - 1;
    memcpy(text, p + 1, n);
    text[n] = '\0';
    return strlen(text) == n && read_rule(text, &z->rule);
}

struct tz *tz_parse(const void *data, size_t len, char *why, size_t why_size)
{
    const unsigned char *p = data;
    struct header h;
    size_t time_size = 4, block = read_header(p, len, 4, &h);
    struct tz *z = xcalloc(1, sizeof *z);
    bool good = block > 0;
    if (good && h.version >= '2') {
        p += block;
        len -= block;
        time_size = 8;
        block = read_header(p, len, 8, &h);
        good = block > 0;
    }
    good = good && read_table(z, p + 44, time_size, &h);
    good = good && (time_size == 4 || read_footer(z, p + block, len - block));
    if (good)
        return z;
    snprintf(why, why_size, "it is not a time zone file (TZif), or a damaged one");
    tz_free(z);
    return NULL;
}

void tz_free(struct tz *z)
{
    if (z == NULL)
        return;
    free(z->at);
    free(z->offset);
    free(z);
}

int32_t tz_offset_s(const struct tz *z, int64_t t)
{
    if (z->n == 0)
        return z->rule.there ? rule_offset(&z->rule, t) : z->first_s;
    if (t < z->at[0])
        return z->first_s;
    size_t low = 0, high = z->n; /* at[low] <= t */
    while (high - low > 1) {
        size_t middle = low + (high - low) / 2;
        if (z->at[middle] <= t)
            low = middle;
        else
            high = middle;
    }
    return low == z->n - 1 && z->rule.there ? rule_offset(&z->rule, t) : z->offset[low];
}

/* ---- finding it */

static struct tz *read_file(int fd, const char *name, char *why, size_t why_size)
{
    struct stat st;
    struct tz *z = NULL;
    if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_size > (off_t)TZ_FILE_MAX) {
        snprintf(why, why_size, "there is no time zone \"%s\"", name);
        return NULL;
    }
    unsigned char *data = mem_try((size_t)st.st_size + 1);
    size_t len = 0;
    ssize_t n = -1;
    while (data != NULL && len < (size_t)st.st_size) {
        n = read(fd, data + len, (size_t)st.st_size - len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            break;
        len += (size_t)n;
    }
    if (data != NULL && n >= 0)
        z = tz_parse(data, len, why, why_size);
    else
        snprintf(why, why_size, "the file of time zone \"%s\" cannot be read", name);
    free(data);
    return z;
}

static bool is_sound(const char *name)
{
    if (strlen(name) >= TZ_NAME_MAX || *name == '/' || strstr(name, "//") != NULL ||
        strchr(name, '.') != NULL)
        return false;
    for (const char *p = name; *p != '\0'; p++)
        if (!((*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') || (*p >= '0' && *p <= '9') ||
              strchr("_+-/", *p) != NULL))
            return false;
    return true;
}

/* One part of a name in its folder, whatever its case. dir is closed. -1: there is none. */
static int open_part(int dir, const char *part)
{
    int fd = openat(dir, part, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    DIR *d = fd < 0 ? fdopendir(dir) : NULL;
    if (d == NULL) {
        close(dir);
        return fd;
    }
    const struct dirent *e;
    while (fd < 0 && (e = readdir(d)) != NULL)
        if (strcasecmp(e->d_name, part) == 0)
            fd = openat(dirfd(d), e->d_name, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    closedir(d);
    return fd;
}

static struct tz *open_zone(const char *name, char *why, size_t why_size)
{
    char parts[TZ_NAME_MAX];
    if (!is_sound(name)) {
        snprintf(why, why_size, "\"%.*s\" is no name of a time zone", TZ_NAME_MAX, name);
        return NULL;
    }
    str_copy(parts, name, sizeof parts);
    int fd = open(ROOT, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    char *rest = parts;
    for (const char *part; fd >= 0 && (part = strsep(&rest, "/")) != NULL;)
        fd = open_part(fd, part);
    struct tz *z = read_file(fd, name, why, why_size);
    if (fd >= 0)
        close(fd);
    return z;
}

static struct tz *fixed(int32_t offset_s)
{
    struct tz *z = xcalloc(1, sizeof *z);
    z->first_s = offset_s;
    return z;
}

static struct tz *open_local(void)
{
    char why[160];
    const char *name = getenv("TZ");
    struct tz *z = name != NULL && *name != '\0' ? open_zone(name + (*name == ':'), why, sizeof why) : NULL;
    if (z == NULL) {
        int fd = open(LOCALTIME, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
        z = read_file(fd, LOCALTIME, why, sizeof why);
        if (fd >= 0)
            close(fd);
    }
    return z != NULL ? z : fixed(0);
}

/* "utc", "utc+5", "utc-3:30" */
static bool read_fixed(const char *name, int32_t *offset_s)
{
    if (strcasecmp(name, "gmt") == 0 || strcasecmp(name, "utc") == 0) {
        *offset_s = 0;
        return true;
    }
    const char *s = name + 3;
    return strncasecmp(name, "utc", 3) == 0 && (*s == '+' || *s == '-') && read_time(&s, 99, offset_s) &&
           *s == '\0';
}

struct tz *tz_open(const char *name, char *why, size_t why_size)
{
    static const char *const local[] = {"", "local", "system", "default"};
    int32_t offset_s;
    for (size_t i = 0; i < sizeof local / sizeof *local; i++)
        if (name == NULL || strcasecmp(name, local[i]) == 0)
            return open_local();
    return read_fixed(name, &offset_s) ? fixed(offset_s) : open_zone(name, why, why_size);
}
