/* logform - see logform.h. */
#include "master/logform.h"

#include <ctype.h>
#include <endian.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "common/base/clock.h"
#include "common/base/str.h"
#include "master/logline.h"

static const int severities[] = {
    [LOGL_CRIT] = 2, [LOGL_ERROR] = 3, [LOGL_WARN] = 4, [LOGL_INFO] = 6, [LOGL_DEBUG] = 7};

/* Text that is written as it stands: what could steer a terminal or is no UTF-8 becomes '?'. */
static void put_plain(struct buf *out, const char *s, size_t len)
{
    for (size_t i = 0, n; i < len; i += n) {
        n = str_utf8_length(s + i, len - i);
        unsigned char c = (unsigned char)s[i];
        if (n == 0 || c < 0x20 || c == 0x7f || (c == 0xc2 && (unsigned char)s[i + 1] < 0xa0)) {
            (void)buf_appendc(out, '?');
            n = n == 0 ? 1 : n;
        } else {
            (void)buf_append(out, s + i, n);
        }
    }
}

/* A JSON string of foreign bytes: what is no UTF-8 becomes U+FFFD, what could steer a terminal is escaped. */
static void put_json_text(struct buf *out, const char *s, size_t len)
{
    (void)buf_appendc(out, '"');
    for (size_t i = 0, n; i < len; i += n) {
        unsigned char c = (unsigned char)s[i], next = i + 1 < len ? (unsigned char)s[i + 1] : 0;
        n = str_utf8_length(s + i, len - i);
        if (n == 0) {
            (void)buf_puts(out, "\xef\xbf\xbd");
            n = 1;
        } else if (c == '"' || c == '\\') {
            (void)buf_append(out, (const char[]){'\\', s[i]}, 2);
        } else if (c == '\n') {
            (void)buf_puts(out, "\\n");
        } else if (c < 0x20 || c == 0x7f || (c == 0xc2 && next < 0xa0)) {
            (void)buf_printf(out, "\\u%04x", c == 0xc2 ? next : c);
        } else {
            (void)buf_append(out, s + i, n);
        }
    }
    (void)buf_appendc(out, '"');
}

static void put_json(struct buf *out, const struct logform_line *l)
{
    char when[CLOCK_TEXT_SIZE], value[LOG_LINE_MAX];
    const char *p = l->tail;
    struct logline_pair pair;
    (void)buf_printf(out, "{\"ts\":\"%s\",\"level\":\"%s\",\"kind\":\"%s\",\"slot\":%u,\"gen\":%u,\"pid\":%d",
                     clock_format_wall(l->wall_ms, when), log_level_name(l->level), l->origin.kind,
                     l->origin.slot, l->origin.generation, (int)l->origin.pid);
    while (logline_next(&p, l->tail + l->len, &pair)) {
        (void)buf_appendc(out, ',');
        put_json_text(out, pair.key, pair.key_len < sizeof value ? pair.key_len : sizeof value);
        (void)buf_appendc(out, ':');
        put_json_text(out, value, logline_value(&pair, value, sizeof value));
    }
    (void)buf_puts(out, "}\n");
}

static void put_logfmt(struct buf *out, const struct logform_line *l)
{
    char when[CLOCK_TEXT_SIZE];
    (void)buf_printf(out, "ts=%s level=%s kind=%s slot=%u gen=%u pid=%d ",
                     clock_format_wall(l->wall_ms, when), log_level_name(l->level), l->origin.kind,
                     l->origin.slot, l->origin.generation, (int)l->origin.pid);
    put_plain(out, l->tail, l->len);
    (void)buf_appendc(out, '\n');
}

static void local_time(uint64_t wall_ms, struct tm *tm)
{
    time_t seconds = (time_t)(wall_ms / 1000);
    if (localtime_r(&seconds, tm) == NULL)
        gmtime_r(&seconds, tm);
}

/* 09:12:01.123 WARN  delivery.1   child_died  code=1 ... */
static void put_columns(struct buf *out, const struct logform_line *l, bool colours)
{
    static const struct {
        const char *word, *colour;
    } levels[] = {{"CRIT", "\x1b[1;41;97m"},
                  {"ERROR", "\x1b[31m"},
                  {"WARN", "\x1b[33m"},
                  {"INFO", "\x1b[32m"},
                  {"DEBUG", "\x1b[2m"}};
    char event[64], who[40];
    const char *on = colours ? levels[l->level].colour : "", *off = colours ? "\x1b[0m" : "";
    const char *p = l->tail, *end = l->tail + l->len;
    struct logline_pair pair;
    struct tm tm;
    local_time(l->wall_ms, &tm);
    if (strcmp(l->origin.kind, "master") == 0)
        str_copy(who, "master", sizeof who);
    else
        snprintf(who, sizeof who, "%s.%u", l->origin.kind, l->origin.slot);
    logline_event(l->tail, l->len, event, sizeof event);
    (void)buf_printf(out, "%s%02d:%02d:%02d.%03u%s %s%-5s%s %-11s ", colours ? "\x1b[2m" : "", tm.tm_hour,
                     tm.tm_min, tm.tm_sec, (unsigned)(l->wall_ms % 1000), off, on, levels[l->level].word, off,
                     who);
    (void)buf_puts(out, colours ? "\x1b[1m" : "");
    put_plain(out, event, strlen(event));
    (void)buf_puts(out, off);
    if (logline_next(&p, end, &pair)) {
        while (p < end && *p == ' ')
            p++;
        (void)buf_puts(out, p < end ? "  " : "");
        put_plain(out, p, (size_t)(end - p));
    }
    (void)buf_appendc(out, '\n');
}

void logform_put(struct buf *out, enum logform_style style, const struct logform_line *line)
{
    switch (style) {
    case LOGFORM_LOGFMT:
        put_logfmt(out, line);
        break;
    case LOGFORM_JSON:
        put_json(out, line);
        break;
    case LOGFORM_COLUMNS:
    case LOGFORM_COLOURS:
        put_columns(out, line, style == LOGFORM_COLOURS);
        break;
    }
}

void logform_put_priority(struct buf *out, enum log_level level, int facility)
{
    (void)buf_printf(out, "<%d>", facility * 8 + severities[level]);
}

void logform_put_syslog(struct buf *out, enum logform_style style, int facility, pid_t self,
                        const struct logform_line *line)
{
    static const char *const months[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                         "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    struct tm tm;
    local_time(line->wall_ms, &tm);
    logform_put_priority(out, line->level, facility);
    (void)buf_printf(out, "%s %2d %02d:%02d:%02d dray[%d]: ", months[tm.tm_mon % 12], tm.tm_mday, tm.tm_hour,
                     tm.tm_min, tm.tm_sec, (int)self);
    logform_put(out, style, line);
    if (out->len > 0 && out->data[out->len - 1] == '\n')
        out->len--;
}

/* A value with a newline, or one that is no text, goes with its length. */
static void put_field(struct buf *out, const char *name, const char *value, size_t len)
{
    (void)buf_puts(out, name);
    if (memchr(value, '\n', len) == NULL && memchr(value, '\0', len) == NULL) {
        (void)buf_appendc(out, '=');
    } else {
        uint64_t n = htole64(len);
        (void)buf_appendc(out, '\n');
        (void)buf_append(out, &n, sizeof n);
    }
    (void)buf_append(out, value, len);
    (void)buf_appendc(out, '\n');
}

void logform_put_journal(struct buf *out, int facility, const struct logform_line *l)
{
    char name[64], value[LOG_LINE_MAX];
    const char *p = l->tail, *end = l->tail + l->len;
    struct logline_pair pair;
    struct buf message;
    (void)buf_printf(out,
                     "PRIORITY=%d\nSYSLOG_IDENTIFIER=dray\nSYSLOG_FACILITY=%d\nDRAY_KIND=%s\nDRAY_SLOT=%u\n"
                     "DRAY_GENERATION=%u\nDRAY_PID=%d\n",
                     severities[l->level], facility, l->origin.kind, l->origin.slot, l->origin.generation,
                     (int)l->origin.pid);
    buf_init(&message, LOGFORM_MAX);
    (void)buf_printf(&message, "%s.%u: ", l->origin.kind, l->origin.slot);
    put_plain(&message, l->tail, l->len);
    put_field(out, "MESSAGE", buf_cstr(&message), message.len);
    buf_fini(&message);
    while (logline_next(&p, end, &pair)) {
        size_t n = (size_t)snprintf(name, sizeof name, "DRAY_");
        for (size_t i = 0; i < pair.key_len && n < sizeof name - 1; i++)
            name[n++] = isalnum((unsigned char)pair.key[i]) ? (char)toupper((unsigned char)pair.key[i]) : '_';
        name[n] = '\0';
        put_field(out, name, value, logline_value(&pair, value, sizeof value));
    }
}
