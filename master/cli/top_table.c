/* top_table - the lists of dray top: processes, queues, errors, all about one process. See top_page.h. */
#include <stdio.h>
#include <string.h>

#include "common/base/str.h"
#include "master/cli/table.h"
#include "master/cli/top_page.h"

#define CELL_MAX 400

static const char *text(const json_t *o, const char *key, const char *otherwise)
{
    const char *s = json_string_value(json_object_get(o, key));
    return s != NULL ? s : otherwise;
}

/* ------------------------------------------------------------------ processes */

/* In the order of their worth: what does not fit is left out from the end. */
static const struct column {
    enum top_column id;
    const char *head;
    int width; /* below 0: text, put to the left */
    int worth; /* 0: always there */
} columns[] = {
    {TOP_NAME, "PROCESS", -12, 0}, {TOP_PID, "PID", 7, 6},      {TOP_STATE, "STATE", -5, 0},
    {TOP_UPTIME, "UP", 7, 7},      {TOP_RESTARTS, "RST", 4, 3}, {TOP_CPU, "CPU%", 5, 0},
    {TOP_RSS, "RSS", 6, 1},        {TOP_LAG, "LAG", 6, 4},      {TOP_IN_HAND, "HAND", 5, 2},
    {TOP_DOING, "DOING", -8, 5},
};
#define COLUMNS_ALL (sizeof columns / sizeof *columns)

static int width_of(const struct column *c)
{
    return (c->width < 0 ? -c->width : c->width) + 1;
}

static void choose(int width, bool shown[COLUMNS_ALL])
{
    int used = 0;
    for (int worth = 0; worth < 8; worth++)
        for (size_t i = 0; i < COLUMNS_ALL; i++)
            if (columns[i].worth == worth) {
                shown[i] = worth == 0 || used + width_of(&columns[i]) <= width;
                used += shown[i] ? width_of(&columns[i]) : 0;
            }
}

/* "59s", "12m", "3h", "40d" */
static void short_time(double ms, char *dst, size_t size)
{
    double s = ms / 1e3;
    if (s < 100)
        snprintf(dst, size, "%.0fs", s);
    else if (s < 6000)
        snprintf(dst, size, "%.0fm", s / 60);
    else if (s < 72 * 3600)
        snprintf(dst, size, "%.0fh", s / 3600);
    else
        snprintf(dst, size, "%.0fd", s / 86400);
}

static void cell(const struct top_row *r, enum top_column c, char *dst, size_t size)
{
    char n[16];
    const char *name = text(r->process, "name", "");
    switch (c) {
    case TOP_NAME:
        snprintf(dst, size, "%s%s%s", r->who, name[0] != '\0' ? " " : "", name);
        break;
    case TOP_STATE:
        str_copy(dst, text(r->process, "state", "?"), size);
        break;
    case TOP_UPTIME:
        short_time(r->value[c], dst, size);
        break;
    case TOP_CPU:
        if (r->value[c] < 0)
            str_copy(dst, "-", size);
        else
            snprintf(dst, size, "%.0f", r->value[c]);
        break;
    case TOP_RSS:
        snprintf(dst, size, "%.1fM", r->value[c] / (1 << 20));
        break;
    case TOP_LAG:
        snprintf(dst, size, "%.0fms", r->value[c]);
        break;
    case TOP_DOING:
        str_copy(dst, text(r->process, "doing", ""), size);
        break;
    case TOP_PID:
        snprintf(dst, size, "%.0f", r->value[c]);
        break;
    default:
        str_copy(dst, top_page_number(r->value[c], n), size);
    }
    table_make_printable(dst);
}

/* Characters of text, padded by what they lack. */
static size_t pad(char *line, size_t n, size_t size, const char *what, int width, bool last)
{
    int own = 0;
    for (const char *s = what; *s != '\0'; s++)
        own += ((unsigned char)*s & 0xc0) != 0x80;
    int wide = width < 0 ? -width : width, gap = own < wide ? wide - own : 0;
    int k = width >= 0 ? snprintf(line + n, size - n, "%*s%s ", gap, "", what)
            : last     ? snprintf(line + n, size - n, "%s", what)
                       : snprintf(line + n, size - n, "%s%*s ", what, gap, "");
    return k > 0 && (size_t)k < size - n ? n + (size_t)k : size - 1;
}

/* A name that is too long is cut at its column's end. */
static void cut(char *s, int width)
{
    int n = 0;
    for (; *s != '\0'; s++)
        if (((unsigned char)*s & 0xc0) != 0x80 && ++n > width) {
            *s = '\0';
            return;
        }
}

static void put_row(struct top_page *p, const struct top_row *r, const bool shown[COLUMNS_ALL],
                    enum top_style style)
{
    char line[CELL_MAX * 4], what[CELL_MAX];
    size_t n = 0;
    line[0] = '\0';
    for (size_t i = 0; i < COLUMNS_ALL; i++) {
        if (!shown[i])
            continue;
        cell(r, columns[i].id, what, sizeof what);
        if (columns[i].width < 0 && columns[i].id != TOP_DOING)
            cut(what, -columns[i].width);
        n = pad(line, n, sizeof line, what, columns[i].width, i + 1 == COLUMNS_ALL);
    }
    top_page_add(p, style, "%s", line);
}

static void put_heads(struct top_page *p, const struct top_view *v, const bool shown[COLUMNS_ALL])
{
    char line[CELL_MAX], what[16];
    size_t n = 0;
    for (size_t i = 0; i < COLUMNS_ALL; i++) {
        if (!shown[i])
            continue;
        snprintf(what, sizeof what, "%s%s", columns[i].head,
                 columns[i].id != v->sort ? ""
                 : v->reverse             ? "^"
                                          : "v");
        n = pad(line, n, sizeof line, what, columns[i].width, i + 1 == COLUMNS_ALL);
    }
    top_page_add(p, TOP_HEAD, "%-*s", p->width, line);
}

static size_t selected_row(const struct top_model *m, const struct top_view *v)
{
    for (size_t i = 0; i < m->n; i++)
        if (strcmp(m->rows[i].who, v->selected) == 0)
            return i;
    return m->n;
}

void top_page_processes(struct top_page *p, const struct top_model *m, struct top_view *v, size_t room)
{
    bool shown[COLUMNS_ALL];
    size_t rows = room > 1 ? room - 1 : 1, at = selected_row(m, v);
    choose(p->width + 1, shown); /* no space behind the last one */
    put_heads(p, v, shown);
    if (at < m->n && at < v->scroll)
        v->scroll = at;
    if (at < m->n && at >= v->scroll + rows)
        v->scroll = at - rows + 1;
    if (v->scroll + rows > m->n)
        v->scroll = m->n > rows ? m->n - rows : 0;
    for (size_t i = v->scroll; i < m->n && i < v->scroll + rows; i++) {
        const char *state = text(m->rows[i].process, "state", "");
        enum top_style style = p->height > 0 && i == at                                   ? TOP_SELECTED
                               : strcmp(state, "up") == 0                                 ? TOP_PLAIN
                               : strcmp(state, "fail") == 0 || strcmp(state, "kill") == 0 ? TOP_BAD
                                                                                          : TOP_WARN;
        put_row(p, &m->rows[i], shown, style);
    }
    if (m->n == 0)
        top_page_add(p, TOP_DIM, "no process passes the filter");
}

/* ------------------------------------------------------------------ the other lists */

/* Where a list of n lines begins, which the user has scrolled. */
static size_t begin(struct top_view *v, size_t n, size_t rows)
{
    if (v->scroll + rows > n)
        v->scroll = n > rows ? n - rows : 0;
    return v->scroll;
}

void top_page_queues(struct top_page *p, const struct top_model *m, struct top_view *v, size_t room)
{
    const json_t *queues = json_object_get(m->now, "queues");
    size_t n = json_array_size(queues), rows = room > 1 ? room - 1 : 1;
    bool wide = p->width >= 72;
    char line[CELL_MAX], b[6][16], oldest[16];
    snprintf(line, sizeof line, wide ? "%-24s %7s %7s %7s %7s %7s %8s" : "%-16s %7s %7s %7s", "QUEUE", "WAIT",
             "ACTIVE", wide ? "DELAYED" : "FAILED", "FAILED", "OLDEST", "EV/S");
    top_page_add(p, TOP_HEAD, "%-*s", p->width, line);
    for (size_t i = p->height > 0 ? begin(v, n, rows) : 0, k = 0; i < n && k < rows; i++, k++) {
        const json_t *q = json_array_get(queues, i);
        const char *name = text(q, "name", "?");
        char shown[CELL_MAX / 2];
        str_copy(shown, name, sizeof shown);
        table_make_printable(shown);
        cut(shown, wide ? 24 : 16);
        const char *wait = top_page_number(json_number_value(json_object_get(q, "wait")), b[0]),
                   *active = top_page_number(json_number_value(json_object_get(q, "active")), b[1]),
                   *delayed = top_page_number(json_number_value(json_object_get(q, "delayed")), b[2]),
                   *failed = top_page_number(json_number_value(json_object_get(q, "failed")), b[3]);
        bool paused = json_is_true(json_object_get(q, "paused_here"));
        short_time(json_number_value(json_object_get(q, "oldest_ms")), oldest, sizeof oldest);
        int used = 0;
        for (const char *s = shown; *s != '\0'; s++)
            used += ((unsigned char)*s & 0xc0) != 0x80;
        int gap = (wide ? 24 : 16) - used;
        if (wide)
            top_page_add(p, paused ? TOP_WARN : TOP_PLAIN, "%s%*s %7s %7s %7s %7s %7s %8s%s", shown, gap, "",
                         wait, active, delayed, failed, oldest,
                         top_page_number(top_model_queue_rate(m, name), b[4]), paused ? "  paused here" : "");
        else
            top_page_add(p, paused ? TOP_WARN : TOP_PLAIN, "%s%*s %7s %7s %7s", shown, gap, "", wait, active,
                         failed);
    }
    if (n == 0)
        top_page_add(p, TOP_DIM, "no queue");
}

static void put_error(struct top_page *p, const json_t *e)
{
    char ago[16], who[TOP_WHO_SIZE], line[CELL_MAX * 2];
    short_time(json_number_value(json_object_get(e, "ms_ago")), ago, sizeof ago);
    snprintf(who, sizeof who, "%.32s.%lld", text(e, "kind", "?"),
             (long long)json_integer_value(json_object_get(e, "slot")));
    snprintf(line, sizeof line, "%5s ago  %-12s %s %s", ago, who, text(e, "event", "?"), text(e, "text", ""));
    table_make_printable(line);
    top_page_add(p, TOP_BAD, "%s", line);
}

void top_page_errors(struct top_page *p, const struct top_model *m, struct top_view *v, size_t room)
{
    const json_t *errors = json_object_get(m->now, "errors"), *warnings = json_object_get(m->now, "warnings");
    size_t n = json_array_size(errors), all = n + json_array_size(warnings), rows = room > 1 ? room - 1 : 1;
    char ago[16];
    top_page_add(p, TOP_HEAD, "%-*s", p->width, "LAST ERRORS, AND WARNINGS BY EVENT");
    for (size_t i = p->height > 0 ? begin(v, all, rows) : 0, k = 0; i < all && k < rows; i++, k++) {
        if (i < n) {
            put_error(p, json_array_get(errors, i));
            continue;
        }
        const json_t *w = json_array_get(warnings, i - n);
        short_time(json_number_value(json_object_get(w, "last_ms_ago")), ago, sizeof ago);
        top_page_add(p, TOP_WARN, "%5s ago  %lld x %s", ago,
                     (long long)json_integer_value(json_object_get(w, "count")), text(w, "event", "?"));
    }
    if (all == 0)
        top_page_add(p, TOP_DIM, "none");
}

/* ------------------------------------------------------------------ one process */

static void put_deaths(struct top_page *p, const json_t *deaths)
{
    size_t i;
    json_t *d;
    char ago[16];
    json_array_foreach(deaths, i, d)
    {
        short_time(json_number_value(json_object_get(d, "ms_ago")), ago, sizeof ago);
        top_page_add(p, TOP_WARN, "  died %s ago: %s %s", ago, text(d, "reason", "?"), text(d, "exit", ""));
    }
}

void top_page_details(struct top_page *p, const struct top_model *m, struct top_view *v, size_t room)
{
    size_t at = selected_row(m, v);
    const char *key;
    json_t *value;
    char shown[CELL_MAX], line[CELL_MAX * 2] = "";
    (void)room;
    if (at == m->n) {
        top_page_add(p, TOP_WARN, "%s is not there any more", v->selected);
        return;
    }
    top_page_add(p, TOP_HEAD, "%-*s", p->width, v->selected);
    json_object_foreach((json_t *)(uintptr_t)m->rows[at].process, key, value)
    {
        if (json_is_object(value) || json_is_array(value) || strcmp(key, "doing") == 0)
            continue;
        char pair[CELL_MAX + 80];
        snprintf(pair, sizeof pair, "%s %s", key, table_format(key, value, shown, sizeof shown));
        if (line[0] != '\0' && strlen(line) + strlen(pair) + 3 > (size_t)p->width) {
            top_page_add(p, TOP_PLAIN, "%s", line);
            line[0] = '\0';
        }
        size_t n = strlen(line);
        snprintf(line + n, sizeof line - n, "%s%s", n > 0 ? "   " : "", pair);
    }
    top_page_add(p, TOP_PLAIN, "%s", line);
    top_page_add(p, TOP_PLAIN, "doing: %s",
                 table_format("doing", json_object_get(m->rows[at].process, "doing"), shown, sizeof shown));
    put_deaths(p, json_object_get(m->rows[at].process, "deaths"));
}
