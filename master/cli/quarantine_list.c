/* quarantine_list - see quarantine_list.h. */
#include "master/cli/quarantine_list.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/mem.h"
#include "common/base/str.h"
#include "master/cli/table.h"

#define START_MAX 60 /* bytes of a record in a list */

struct visiting {
    const struct quarantine_want *want;
    uint64_t not_before_ms;
    quarantine_visit_fn fn;
    void *arg;
    long n;
};

static bool is_wanted(const struct visiting *v, const struct quarantine_record *r)
{
    const struct quarantine_want *w = v->want;
    if ((w->source != NULL && strcmp(w->source, r->source) != 0) ||
        (w->reason != NULL && strcmp(w->reason, r->reason) != 0) || r->wall_ms < v->not_before_ms)
        return false;
    for (size_t i = 0; i < w->n_places; i++)
        if (strcmp(w->places[i], r->place) == 0)
            return true;
    return w->n_places == 0;
}

static void visit(const struct quarantine_record *r, void *arg)
{
    struct visiting *v = arg;
    if (!is_wanted(v, r) || (v->want->limit > 0 && v->n >= (long)v->want->limit))
        return;
    v->n++;
    if (v->fn != NULL)
        v->fn(r, v->arg);
}

long quarantine_list_each(const char *root, const struct quarantine_want *w, quarantine_visit_fn fn,
                          void *arg)
{
    uint64_t now = clock_wall_ms();
    struct visiting v = {.want = w, .fn = fn, .arg = arg};
    if (w->since_ms > 0)
        v.not_before_ms = now > w->since_ms ? now - w->since_ms : 0;
    return quarantine_read(root, visit, &v) < 0 ? -1 : v.n;
}

bool quarantine_list_is_text(const struct quarantine_record *r)
{
    const unsigned char *p = r->bytes;
    for (size_t i = 0; i < r->len; i++)
        if ((p[i] < ' ' && p[i] != '\n' && p[i] != '\t' && p[i] != '\r') || p[i] == 0x7f)
            return false;
    json_t *text = json_stringn(r->bytes, r->len); /* NULL: not UTF-8 */
    json_decref(text);
    return text != NULL;
}

static json_t *hex_of(const struct quarantine_record *r)
{
    static const char digits[] = "0123456789abcdef";
    const unsigned char *p = r->bytes;
    char *text = mem_try(2 * r->len + 1);
    if (text == NULL)
        return NULL;
    for (size_t i = 0; i < r->len; i++) {
        text[2 * i] = digits[p[i] >> 4];
        text[2 * i + 1] = digits[p[i] & 15];
    }
    json_t *j = json_stringn(text, 2 * r->len);
    free(text);
    return j;
}

static json_t *start_of(const struct quarantine_record *r)
{
    char text[START_MAX + 4];
    const char *p = r->bytes;
    size_t n = r->len < START_MAX ? r->len : START_MAX;
    for (size_t i = 0; i < n; i++)
        text[i] = p[i] >= ' ' && p[i] < 0x7f ? p[i] : '.';
    str_copy(text + n, r->len > n ? "..." : "", sizeof text - n);
    return json_string(text);
}

json_t *quarantine_list_json(const struct quarantine_record *r, bool whole)
{
    char time[CLOCK_TEXT_SIZE];
    json_t *j =
        json_pack("{s:s, s:s, s:s, s:s, s:I}", "place", r->place, "time", clock_format_wall(r->wall_ms, time),
                  "source", r->source, "reason", r->reason, "size_bytes", (json_int_t)r->len);
    if (j == NULL)
        return NULL;
    if (r->queue[0] != '\0')
        json_object_set_new(j, "queue", json_string(r->queue));
    if (r->id[0] != '\0')
        json_object_set_new(j, "batch", json_string(r->id));
    if (!whole)
        json_object_set_new(j, "start", start_of(r));
    else if (quarantine_list_is_text(r))
        json_object_set_new(j, "text", json_stringn(r->bytes, r->len));
    else
        json_object_set_new(j, "hex", hex_of(r));
    return j;
}

static void print_hex(const struct quarantine_record *r)
{
    const unsigned char *p = r->bytes;
    for (size_t at = 0; at < r->len; at += 16) {
        size_t n = r->len - at < 16 ? r->len - at : 16;
        printf("%08zx ", at);
        for (size_t i = 0; i < 16; i++)
            if (i < n)
                printf(" %02x", p[at + i]);
            else
                fputs("   ", stdout);
        fputs("  ", stdout);
        for (size_t i = 0; i < n; i++)
            putchar(p[at + i] >= ' ' && p[at + i] < 0x7f ? p[at + i] : '.');
        putchar('\n');
    }
}

void quarantine_list_print(const struct quarantine_record *r)
{
    char time[CLOCK_TEXT_SIZE];
    const char *more = quarantine_reason_text(r->reason);
    printf("place   %s\ntime    %s\nsource  %s\nreason  %s%s%s%s\n", r->place,
           clock_format_wall(r->wall_ms, time), r->source, r->reason, *more != '\0' ? " (" : "", more,
           *more != '\0' ? ")" : "");
    if (r->id[0] != '\0')
        printf("batch   %s of queue %s\n", r->id, r->queue);
    printf("size    %zu bytes\n\n", r->len);
    if (!quarantine_list_is_text(r))
        print_hex(r);
    else if (fwrite(r->bytes, 1, r->len, stdout) == r->len)
        putchar('\n');
}
