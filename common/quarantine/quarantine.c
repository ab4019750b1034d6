/* quarantine - see quarantine.h. */
#include "common/quarantine/quarantine.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/buf.h"
#include "common/base/clock.h"
#include "common/base/mem.h"
#include "common/event/json.h"

#define SEGMENT_MAX  (8ull << 20) /* bytes of a file: also the unit in which old records are removed */
#define HEAD_MAX     8192         /* the JSON line in front of the bytes */
#define TEXT_MAX     512          /* of one field when reading */
#define SEGMENTS_MIN 8            /* so that age removes in small steps, when max_bytes is small */

struct quarantine {
    struct segment *segment;
    struct buf head;
};

static uint64_t file_bytes(uint64_t max_bytes)
{
    return max_bytes / SEGMENTS_MIN < SEGMENT_MAX ? max_bytes / SEGMENTS_MIN : SEGMENT_MAX;
}

struct quarantine *quarantine_open(struct ev_loop *loop, const char *dir, uint64_t max_bytes,
                                   uint64_t max_age_ms)
{
    struct segment_options o = {.dir = dir,
                                .segment_bytes = file_bytes(max_bytes),
                                .max_bytes = max_bytes,
                                .max_age_ms = max_age_ms,
                                .record_max = QUARANTINE_BYTES_MAX + HEAD_MAX};
    struct segment *s = segment_open(loop, &o);
    if (s == NULL)
        return NULL;
    struct quarantine *q = xcalloc(1, sizeof *q);
    q->segment = s;
    buf_init(&q->head, HEAD_MAX);
    return q;
}

void quarantine_set_limits(struct quarantine *q, uint64_t max_bytes, uint64_t max_age_ms)
{
    segment_set_limits(q->segment, file_bytes(max_bytes), max_bytes, max_age_ms);
}

void quarantine_close(struct quarantine *q)
{
    if (q == NULL)
        return;
    segment_close(q->segment);
    buf_fini(&q->head);
    free(q);
}

static int put_member(struct buf *b, const char *name, const char *value)
{
    size_t len = strnlen(value, TEXT_MAX - 1);
    return buf_printf(b, "\"%s\":", name) < 0 || buf_put_json(b, value, len) < 0 || buf_appendc(b, ',') < 0
               ? -1
               : 0;
}

int quarantine_put(struct quarantine *q, const char *reason, const char *source, const char *queue,
                   const char *id, const void *bytes, size_t len, segment_synced_fn fn, void *arg)
{
    char ts[CLOCK_TEXT_SIZE];
    struct buf *h = &q->head;
    if (len > QUARANTINE_BYTES_MAX) {
        errno = EMSGSIZE;
        return -1;
    }
    buf_reset(h);
    if (buf_appendc(h, '{') < 0 || put_member(h, "ts", clock_format_wall(clock_wall_ms(), ts)) < 0 ||
        put_member(h, "reason", reason) < 0 || put_member(h, "source", source) < 0 ||
        put_member(h, "queue", queue) < 0 || put_member(h, "id", id) < 0 ||
        buf_printf(h, "\"bytes\":%zu}\n", len) < 0)
        return -1;
    struct iovec pieces[2] = {{h->data, h->len}, {(void *)(uintptr_t)bytes, len}};
    return segment_appendv(q->segment, pieces, 2, fn, arg);
}

uint64_t quarantine_bytes(const struct quarantine *q)
{
    return segment_bytes(q->segment);
}

struct reading {
    quarantine_visit_fn fn;
    void *arg;
    long records;
};

static void text_of(const struct json_slice *head, const char *name, char dst[TEXT_MAX])
{
    struct json_slice value;
    dst[0] = '\0';
    if (json_find(head, name, &value) && value.type == JSON_STRING)
        if (json_text(&value, dst, TEXT_MAX) < 0)
            dst[0] = '\0';
}

static void visit(uint64_t wall_ms, const void *data, size_t len, void *arg)
{
    struct reading *reading = arg;
    const char *newline = memchr(data, '\n', len < HEAD_MAX ? len : HEAD_MAX);
    if (newline == NULL)
        return;
    size_t head_len = (size_t)(newline - (const char *)data);
    struct json_scan scan;
    struct json_slice head;
    json_scan_init(&scan, data, head_len);
    if (json_scan_value(&scan, &head) < 0 || head.type != JSON_OBJECT)
        return;
    char reason[TEXT_MAX], source[TEXT_MAX], queue[TEXT_MAX], id[TEXT_MAX];
    text_of(&head, "reason", reason);
    text_of(&head, "source", source);
    text_of(&head, "queue", queue);
    text_of(&head, "id", id);
    struct quarantine_record record = {wall_ms, reason, source, queue, id, newline + 1, len - head_len - 1};
    reading->records++;
    if (reading->fn != NULL)
        reading->fn(&record, reading->arg);
}

static int visible(const struct dirent *e)
{
    return e->d_name[0] != '.';
}

long quarantine_read(const char *root, quarantine_visit_fn fn, void *arg)
{
    struct dirent **entries;
    struct reading reading = {fn, arg, 0};
    int n = scandir(root, &entries, visible, alphasort);
    if (n < 0)
        return errno == ENOENT ? 0 : -1;
    for (int i = 0; i < n; i++) {
        char path[PATH_MAX];
        uint64_t damaged;
        if (snprintf(path, sizeof path, "%s/%s", root, entries[i]->d_name) < (int)sizeof path)
            (void)segment_read(path, visit, &reading, &damaged); /* what is no folder is not ours */
        free(entries[i]);
    }
    free(entries);
    return reading.records;
}
