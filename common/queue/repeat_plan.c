/* repeat_plan - which job of a repetition is next: bull 4.16.5's lib/repeatable.js, number for number. The options of
 * the next job are those of the last one, with the fields that Bull puts in front in the order in which it does. */
#include "common/queue/repeat.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <math.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/cron.h"
#include "common/base/mem.h"
#include "common/base/str.h"
#include "common/base/tz.h"

#define TIME_MAX 253402300800000 /* the year 10000 */
#define TEXT_MAX 1024

static char *write_json(const json_t *o)
{
    char *text = json_dumps(o, JSON_COMPACT);
    if (text == NULL)
        return xstrdup("{}"); /* cannot be: it was read, or made here */
    char *copy = xstrdup(text);
    free(text);
    return copy;
}

/* ---- MD5 names */

static int md5(const char *text, char dst[33])
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned len = 0;
    if (EVP_Digest(text, strlen(text), digest, &len, EVP_md5(), NULL) != 1 || len != 16)
        return -1;
    for (size_t i = 0; i < 16; i++)
        snprintf(dst + 2 * i, 3, "%02x", digest[i]);
    return 0;
}

int queue_plan_stem(const char *name, const char *id, const char *key, char dst[48])
{
    char inner[33], outer[33];
    if (md5(key, inner) < 0)
        return -1;
    char *text = xasprintf("%s%s:%s", name, id, inner);
    int rc = md5(text, outer);
    free(text);
    if (rc == 0)
        snprintf(dst, 48, "repeat:%s:", outer);
    return rc;
}

/* ---- dates, as JavaScript and luxon read them */

struct when {
    bool there, zoned, day_only;
    int64_t ms; /* zoned: since 1970; else what the wall shows */
};

static bool take_number(const char **s, int digits, int min, int max, int *out)
{
    int v = 0;
    for (int i = 0; i < digits; i++, (*s)++) {
        if (**s < '0' || **s > '9')
            return false;
        v = v * 10 + (**s - '0');
    }
    *out = v;
    return v >= min && v <= max;
}

/* ":SS" and ".fff", each if it is there. */
static bool take_seconds(const char **s, int64_t *ms)
{
    int second = 0, part = 100;
    if (**s != ':')
        return true;
    (*s)++;
    if (!take_number(s, 2, 0, 59, &second))
        return false;
    *ms += second * 1000;
    if (**s != '.')
        return true;
    for ((*s)++; **s >= '0' && **s <= '9'; (*s)++, part /= 10)
        *ms += (**s - '0') * part;
    return true;
}

/* 2026-09-01, 2026-09-01T08:00, ...:30.250, each time with Z or +02:00 behind it. */
static bool read_iso(const char *s, struct when *w)
{
    int year, month, day, hour, minute;
    if (!take_number(&s, 4, 1970, 9999, &year) || *s++ != '-' || !take_number(&s, 2, 1, 12, &month) ||
        *s++ != '-' || !take_number(&s, 2, 1, tz_month_days(year, month), &day))
        return false;
    w->ms = tz_days(year, month, day) * 86400000;
    w->day_only = *s == '\0';
    if (w->day_only)
        return true;
    if (*s++ != 'T' || !take_number(&s, 2, 0, 23, &hour) || *s++ != ':' ||
        !take_number(&s, 2, 0, 59, &minute))
        return false;
    w->ms += (hour * 60 + minute) * 60000;
    if (!take_seconds(&s, &w->ms))
        return false;
    w->zoned = *s == 'Z' || *s == '+' || *s == '-';
    if (*s == '+' || *s == '-') {
        int sign = *s++ == '-' ? -1 : 1;
        if (!take_number(&s, 2, 0, 23, &hour) || (*s == ':' && s++ == NULL) ||
            !take_number(&s, 2, 0, 59, &minute))
            return false;
        w->ms -= (int64_t)sign * (hour * 60 + minute) * 60000;
    } else if (*s == 'Z') {
        s++;
    }
    return *s == '\0';
}

/* false: there is something, and it is no date. */
static bool read_when(const json_t *v, struct when *w)
{
    *w = (struct when){0};
    if (v == NULL || json_is_null(v))
        return true;
    w->there = true;
    if (json_is_number(v)) {
        double ms = floor(json_number_value(v));
        w->zoned = true;
        w->ms = ms >= 0 && ms < TIME_MAX ? (int64_t)ms : TIME_MAX;
        return ms >= 0;
    }
    return json_is_string(v) && read_iso(json_string_value(v), w);
}

static int64_t when_in(const struct when *w, const struct tz *z)
{
    int64_t guess = w->ms - (int64_t)tz_offset_s(z, w->ms / 1000) * 1000;
    return w->zoned ? w->ms : w->ms - (int64_t)tz_offset_s(z, guess / 1000) * 1000;
}

/* new Date(...): a day alone is UTC's, a time without a zone the host's. */
static int64_t when_in_js(const struct when *w)
{
    char why[160];
    if (w->zoned || w->day_only)
        return w->ms;
    struct tz *z = tz_open(NULL, why, sizeof why);
    int64_t ms = when_in(w, z);
    tz_free(z);
    return ms;
}

/* ---- the next time */

struct rule {
    const char *cron, *tz;
    uint64_t every_ms;
    struct when start, end;
    const char *id;
};

static bool read_every(const json_t *v, uint64_t *out)
{
    double ms = json_number_value(v);
    if (json_is_string(v))
        return str_parse_u64(json_string_value(v), out) == 0 && *out > 0 && *out < TIME_MAX;
    if (!json_is_number(v) || !(ms >= 1 && ms < TIME_MAX) || ms != floor(ms))
        return false;
    *out = (uint64_t)ms;
    return true;
}

static bool is_nothing(const json_t *v) /* what JavaScript takes for false */
{
    return v == NULL || json_is_null(v) || json_is_false(v) ||
           (json_is_number(v) && !(fabs(json_number_value(v)) > 0)) ||
           (json_is_string(v) && json_string_length(v) == 0);
}

static bool read_text(const json_t *repeat, const char *field, const char **out)
{
    const json_t *v = json_object_get(repeat, field);
    *out = json_string_value(v);
    return is_nothing(v) ||
           (json_is_string(v) && json_string_length(v) < TEXT_MAX && strlen(*out) == json_string_length(v));
}

static enum queue_status invalid(char *why, size_t size, const char *text)
{
    snprintf(why, size, "%s", text);
    return QUEUE_INVALID;
}

static enum queue_status read_rule(const json_t *repeat, struct rule *r, char *why, size_t size)
{
    memset(r, 0, sizeof *r);
    const json_t *every = json_object_get(repeat, "every");
    if (!read_text(repeat, "cron", &r->cron) || !read_text(repeat, "tz", &r->tz) ||
        !read_text(repeat, "jobId", &r->id))
        return invalid(why, size, "cron, tz and id of a repetition are texts of at most 1023 bytes");
    if (r->cron != NULL && *r->cron == '\0')
        r->cron = NULL;
    if (!is_nothing(every) && !read_every(every, &r->every_ms))
        return invalid(why, size, "the interval of a repetition is a number of ms over 0");
    if (r->cron != NULL && r->every_ms != 0)
        return invalid(why, size, "a repetition has a cron expression or an interval, not both");
    if (r->cron == NULL && r->every_ms == 0)
        return invalid(why, size, "a repetition needs a cron expression or an interval");
    if (!read_when(json_object_get(repeat, "startDate"), &r->start))
        return invalid(why, size, "the start of the repetition is no date");
    if (!read_when(json_object_get(repeat, "endDate"), &r->end))
        return invalid(why, size, "the end of the repetition is no date");
    return QUEUE_OK;
}

static enum queue_status next_time(const struct rule *r, uint64_t now_ms, uint64_t *next_ms, char *why,
                                   size_t size)
{
    struct cron c;
    int64_t from = (int64_t)now_ms, next = 0;
    if (r->every_ms != 0) {
        *next_ms = now_ms / r->every_ms * r->every_ms + r->every_ms;
        return QUEUE_OK;
    }
    if (cron_parse(&c, r->cron, why, size) < 0)
        return QUEUE_INVALID;
    struct tz *z = tz_open(r->tz, why, size);
    if (z == NULL)
        return QUEUE_INVALID;
    if (r->start.there && when_in_js(&r->start) > from)
        from = when_in_js(&r->start);
    int rc = cron_next(&c, z, from, r->end.there ? when_in(&r->end, z) : CRON_NEVER, &next);
    tz_free(z);
    *next_ms = (uint64_t)next;
    return rc == 0 ? QUEUE_OK : QUEUE_MISSING;
}

/* ---- the job */

static char *make_key(const char *name, const struct rule *r)
{
    char end[24] = "";
    if (r->end.there)
        snprintf(end, sizeof end, "%" PRId64, when_in_js(&r->end));
    const char *id = r->id != NULL ? r->id : "", *tz = r->tz != NULL ? r->tz : "";
    if (r->cron != NULL)
        return xasprintf("%s:%s:%s:%s:%s", name, id, end, tz, r->cron);
    return xasprintf("%s:%s:%s:%" PRIu64, name, id, end, r->every_ms);
}

static void put_rest(json_t *dst, json_t *src)
{
    const char *field;
    json_t *v;
    json_object_foreach(src, field, v) if (json_object_get(dst, field) == NULL)
        json_object_set(dst, field, v);
}

static void put_number(json_t *o, const char *field, uint64_t v)
{
    json_object_set_new(o, field, json_integer((json_int_t)v));
}

static char *make_opts(const struct queue_plan *p, json_t *old, json_t *old_repeat, uint64_t now_ms)
{
    json_t *o = json_object(), *repeat = json_object();
    put_number(repeat, "count", p->count);
    json_object_set_new(repeat, "key", json_string(p->key));
    put_rest(repeat, old_repeat);
    json_object_set_new(o, "repeat", repeat);
    json_object_set_new(o, "jobId", json_string(p->id));
    put_number(o, "delay", p->next_ms > now_ms ? p->next_ms - now_ms : 0);
    put_number(o, "timestamp", now_ms);
    put_number(o, "prevMillis", p->next_ms);
    put_rest(o, old);
    if (json_object_get(o, "attempts") == NULL)
        put_number(o, "attempts", 1);
    char *text = write_json(o);
    json_decref(o);
    return text;
}

static uint64_t count_of(const json_t *v)
{
    double n = json_number_value(v);
    return json_is_number(v) && n >= 1 && n < 1e15 ? (uint64_t)n : 0;
}

static enum queue_status make(struct queue_plan *p, const char *name, json_t *opts, uint64_t now_ms,
                              char *why, size_t size)
{
    struct rule r;
    json_t *repeat = json_object_get(opts, "repeat");
    const json_t *limit = json_object_get(repeat, "limit");
    if (!json_is_object(repeat))
        return invalid(why, size, "the options say nothing of how the job repeats");
    p->prev_ms = count_of(json_object_get(opts, "prevMillis"));
    if (p->prev_ms == 0 && !is_nothing(json_object_get(opts, "jobId")))
        json_object_set(repeat, "jobId", json_object_get(opts, "jobId"));
    enum queue_status s = read_rule(repeat, &r, why, size);
    if (s != QUEUE_OK)
        return s;
    p->count = count_of(json_object_get(repeat, "count")) + 1;
    p->priority = count_of(json_object_get(opts, "priority"));
    if (json_is_number(limit) && (double)p->count > json_number_value(limit))
        return QUEUE_MISSING;
    if (r.end.there && (int64_t)now_ms > when_in_js(&r.end))
        return QUEUE_MISSING;
    s = next_time(&r, p->prev_ms < now_ms ? now_ms : p->prev_ms, &p->next_ms, why, size);
    if (s != QUEUE_OK)
        return s;
    p->key = make_key(name, &r);
    if (queue_plan_stem(name, r.id != NULL ? r.id : "", p->key, p->stem) < 0) {
        free(p->key);
        return invalid(why, size, "OpenSSL refuses MD5, by which Bull names the jobs of a repetition");
    }
    snprintf(p->id, sizeof p->id, "%s%" PRIu64, p->stem, p->next_ms);
    p->opts = make_opts(p, opts, repeat, now_ms);
    return QUEUE_OK;
}

enum queue_status queue_plan_make(struct queue_plan *plan, const char *name, const char *opts, size_t len,
                                  uint64_t now_ms, char *why, size_t why_size)
{
    memset(plan, 0, sizeof *plan);
    json_t *o = json_loadb(opts, len, 0, NULL);
    enum queue_status s = json_is_object(o) ? make(plan, name, o, now_ms, why, why_size)
                                            : invalid(why, why_size, "the options are no JSON object");
    json_decref(o);
    return s;
}

void queue_plan_free(struct queue_plan *plan)
{
    free(plan->key);
    free(plan->opts);
}

char *queue_repeat_opts(const struct queue_repeat *r, const char *other, char *why, size_t why_size)
{
    json_t *o = other != NULL ? json_loads(other, 0, NULL) : json_object(), *repeat = json_object();
    if (r->cron != NULL)
        json_object_set_new(repeat, "cron", json_string(r->cron));
    if (r->every_ms != 0)
        put_number(repeat, "every", r->every_ms);
    if (r->tz != NULL && *r->tz != '\0')
        json_object_set_new(repeat, "tz", json_string(r->tz));
    if (r->start_ms != 0)
        put_number(repeat, "startDate", r->start_ms);
    if (r->end_ms != 0)
        put_number(repeat, "endDate", r->end_ms);
    if (r->limit != 0)
        put_number(repeat, "limit", r->limit);
    json_object_set_new(o, "repeat", repeat); /* frees it when o is no object */
    if (r->id != NULL && *r->id != '\0')
        json_object_set_new(o, "jobId", json_string(r->id));
    struct rule rule;
    uint64_t next;
    char *text = NULL;
    if (!json_is_object(o))
        invalid(why, why_size, "the options are no JSON object");
    else if (read_rule(json_object_get(o, "repeat"), &rule, why, why_size) == QUEUE_OK &&
             next_time(&rule, 0, &next, why, why_size) != QUEUE_INVALID)
        text = write_json(o);
    json_decref(o);
    return text;
}
