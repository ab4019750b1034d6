/* top_page - see top_page.h: the frame around the tables (top_table.c). */
#include "master/cli/top_page.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <wchar.h>

#include "common/base/mem.h"
#include "common/base/str.h"
#include "master/cli/table.h"

#define LINE_BYTES 2048

/* As much of s as fits into width columns of a terminal, in the characters that its locale has. */
static char *clipped(const char *s, int width)
{
    size_t left = strlen(s), n = 0;
    char *out = xmalloc(left * 4 + 1);
    mbstate_t state = {0};
    while (left > 0 && width > 0) {
        size_t k = str_utf8_length(s, left);
        wchar_t c = 0;
        size_t got = k > 1 ? mbrtowc(&c, s, k, &state) : 1;
        int columns = k == 1 ? 1 : got == k ? wcwidth(c) : -1;
        bool shown = columns >= 0 && !(k == 1 && ((unsigned char)*s < 0x20 || *s == 0x7f));
        if (got != k)
            memset(&state, 0, sizeof state);
        if (columns > width)
            break;
        if (shown)
            memcpy(out + n, s, k);
        else
            out[n] = '?';
        n += shown ? k : 1;
        width -= shown ? columns : 1;
        s += k > 0 ? k : 1;
        left -= k > 0 ? k : 1;
    }
    out[n] = '\0';
    return out;
}

void top_page_add(struct top_page *p, enum top_style style, const char *fmt, ...)
{
    char text[LINE_BYTES];
    va_list ap;
    if (p->height > 0 && p->n >= (size_t)p->height)
        return;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    p->lines = xrealloc(p->lines, (p->n + 1) * sizeof *p->lines);
    p->lines[p->n++] = (struct top_line){clipped(text, p->width), style};
}

void top_page_fini(struct top_page *p)
{
    for (size_t i = 0; i < p->n; i++)
        free(p->lines[i].text);
    free(p->lines);
    p->lines = NULL;
    p->n = 0;
}

const char *top_page_number(double n, char dst[16])
{
    static const char units[] = {' ', 'k', 'M', 'G'};
    size_t u = 0;
    if (n < 0)
        return "-";
    for (; n >= 9999.5 && u < sizeof units - 1; u++)
        n /= 1000;
    if (u > 0)
        snprintf(dst, 16, n < 99.95 ? "%.1f%c" : "%.0f%c", n, units[u]);
    else
        snprintf(dst, 16, n < 9.95 && n != (double)(long)n ? "%.1f" : "%.0f", n);
    return dst;
}

static const char *text(const json_t *o, const char *key, const char *otherwise)
{
    const char *s = json_string_value(json_object_get(o, key));
    return s != NULL ? s : otherwise;
}

static long long sum_of(const json_t *list, const char *key)
{
    size_t i;
    json_t *o;
    long long n = 0;
    json_array_foreach(list, i, o)
    {
        n += json_integer_value(json_object_get(o, key));
    }
    return n;
}

static void put_header(struct top_page *p, const struct top_model *m, const struct top_view *v)
{
    char up[64], b[8][16];
    const struct top_rates *r = &m->rates;
    const char *state = text(m->now, "state", "?");
    const json_t *queues = json_object_get(m->now, "queues"),
                 *processes = json_object_get(m->now, "processes");
    table_format("uptime_ms", json_object_get(m->now, "uptime_ms"), up, sizeof up);
    if (v->trouble != NULL)
        top_page_add(p, TOP_BAD, "dray %s: no answer for %.0f s (%s); trying again", text(m->now, "name", ""),
                     v->trouble_s, v->trouble);
    else
        top_page_add(p,
                     strcmp(state, "ok") == 0         ? TOP_GOOD
                     : strcmp(state, "degraded") == 0 ? TOP_BAD
                                                      : TOP_WARN,
                     "dray %s: %s, up %s, epoch %lld, %s%s", text(m->now, "name", ""), state, up,
                     (long long)json_integer_value(json_object_get(m->now, "epoch")),
                     text(m->now, "version", "?"),
                     json_is_true(json_object_get(m->now, "rolling")) ? ", replacing processes" : "");
    top_page_add(p, TOP_PLAIN, "in %s ev/s  out %s ev/s  failed %s/s  retried %s/s  requests %s/s  %sB/s",
                 top_page_number(r->accepted, b[0]), top_page_number(r->delivered, b[1]),
                 top_page_number(r->failed, b[2]), top_page_number(r->retried, b[3]),
                 top_page_number(r->requests, b[4]), top_page_number(r->bytes, b[5]));
    top_page_add(p, TOP_PLAIN, "wait %lld  active %lld  delayed %lld  failed %lld  cpu %s%%  rss %.0fMiB",
                 sum_of(queues, "wait"), sum_of(queues, "active"), sum_of(queues, "delayed"),
                 sum_of(queues, "failed"), top_page_number(r->cpu_percent, b[6]),
                 (double)sum_of(processes, "rss_bytes") / (1 << 20));
}

/* The newest error and the alarms, as many as there is room for. */
static void put_alarms(struct top_page *p, const struct top_model *m, size_t most)
{
    size_t i;
    json_t *alarm;
    const json_t *e = json_array_get(json_object_get(m->now, "errors"), 0);
    char ago[64];
    json_array_foreach(json_object_get(m->now, "alarms"), i, alarm)
    {
        if (i < most)
            top_page_add(p, TOP_BAD, "! %s", json_is_string(alarm) ? json_string_value(alarm) : "?");
    }
    if (e != NULL && i < most)
        top_page_add(p, TOP_WARN, "last error %s ago: %s.%lld %s %s",
                     table_format("ms", json_object_get(e, "ms_ago"), ago, sizeof ago), text(e, "kind", "?"),
                     (long long)json_integer_value(json_object_get(e, "slot")), text(e, "event", "?"),
                     text(e, "text", ""));
}

static void put_help(struct top_page *p)
{
    static const char *const lines[] = {
        "p processes    u queues    e errors    ? this    q quit",
        "sort: c cpu  m memory  r restarts  l loop lag  h in hand  k kind",
        "< >  the column left or right of it        R  the other way round",
        "/    filter: a part of what is shown, kind:delivery, state:up",
        "     Enter ends it, Esc takes it away",
        "arrows, PgUp, PgDn  choose a process       Enter  all about it",
        "+ -  slower, faster                        space  ask now",
        "",
        "CPU is of one processor, since the time before; a keeper's has its",
        "program's in it. LAG: how late the process' event loop was. HAND:",
        "batches or jobs that it holds.",
    };
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++)
        top_page_add(p, TOP_PLAIN, "%s", lines[i]);
}

static void put_footer(struct top_page *p, const struct top_view *v)
{
    while (p->n + 1 < (size_t)p->height)
        top_page_add(p, TOP_PLAIN, "%s", "");
    if (v->editing)
        top_page_add(p, TOP_HEAD, "filter: %s_", v->filter);
    else if (v->details)
        top_page_add(p, TOP_DIM, "Enter, Esc: back  up, down: others  q: quit");
    else
        top_page_add(p, TOP_DIM,
                     "q quit  ? help  p u e views  / filter%s%s  cmrlhk <> sort  R turn  +- %.4gs",
                     v->filter[0] != '\0' ? "=" : "", v->filter, v->interval_s);
}

void top_page_make(struct top_page *p, const struct top_model *m, struct top_view *v, int width, int height)
{
    top_page_fini(p);
    *p = (struct top_page){.width = width, .height = height};
    put_header(p, m, v);
    put_alarms(p, m, height == 0 ? 16 : height < 16 ? 1 : 3);
    if (height == 0 || height >= 16)
        top_page_add(p, TOP_PLAIN, "%s", "");
    size_t room = height == 0 ? 10000 : (size_t)height > p->n + 1 ? (size_t)height - p->n - 1 : 0;
    if (height == 0) {
        top_page_processes(p, m, v, room);
        top_page_add(p, TOP_PLAIN, "%s", "");
        top_page_queues(p, m, v, room);
        if (json_array_size(json_object_get(m->now, "errors")) +
                json_array_size(json_object_get(m->now, "warnings")) >
            0) {
            top_page_add(p, TOP_PLAIN, "%s", "");
            top_page_errors(p, m, v, room);
        }
        return;
    }
    if (v->tab == TOP_HELP)
        put_help(p);
    else if (v->tab == TOP_QUEUES)
        top_page_queues(p, m, v, room);
    else if (v->tab == TOP_ERRORS)
        top_page_errors(p, m, v, room);
    else if (v->details)
        top_page_details(p, m, v, room);
    else
        top_page_processes(p, m, v, room);
    put_footer(p, v);
}
