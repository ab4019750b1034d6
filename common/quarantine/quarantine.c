/* quarantine - see quarantine.h. */
#include "common/quarantine/quarantine.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/buf.h"
#include "common/base/clock.h"
#include "common/base/mem.h"
#include "common/event/event.h"
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
    const char *folder;
};

static void text_of(const struct json_slice *head, const char *name, char dst[TEXT_MAX])
{
    struct json_slice value;
    dst[0] = '\0';
    if (json_find(head, name, &value) && value.type == JSON_STRING)
        if (json_text(&value, dst, TEXT_MAX) < 0)
            dst[0] = '\0';
}

static void visit(uint32_t file, size_t offset, uint64_t wall_ms, const void *data, size_t len, void *arg)
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
    char place[QUARANTINE_PLACE_MAX];
    snprintf(place, sizeof place, "%s/%08" PRIu32 "/%zu", reading->folder, file, offset);
    struct quarantine_record record = {wall_ms, reason, source, queue, id, newline + 1, len - head_len - 1,
                                       place};
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
    struct reading reading = {.fn = fn, .arg = arg};
    int n = scandir(root, &entries, visible, alphasort);
    if (n < 0)
        return errno == ENOENT ? 0 : -1;
    for (int i = 0; i < n; i++) {
        char path[PATH_MAX];
        uint64_t damaged;
        reading.folder = entries[i]->d_name;
        if (snprintf(path, sizeof path, "%s/%s", root, entries[i]->d_name) < (int)sizeof path)
            (void)segment_visit(path, visit, &reading, &damaged); /* what is no folder is not ours */
        free(entries[i]);
    }
    free(entries);
    return reading.records;
}

const char *quarantine_reason_text(const char *reason)
{
    for (unsigned f = EVENT_OK; strcmp(event_fault_name((enum event_fault)f), "?") != 0; f++)
        if (strcmp(event_fault_name((enum event_fault)f), reason) == 0)
            return event_fault_text((enum event_fault)f);
    return strcmp(reason, "refused") == 0 ? "no worker can store this batch" : "";
}

/* ---- taking records out */

struct place {
    size_t folder_len; /* of the text */
    uint32_t file;
    size_t offset;
};

static bool read_number(const char **at, uint64_t max, uint64_t *out)
{
    uint64_t n = 0;
    const char *p = *at;
    if (*p < '0' || *p > '9')
        return false;
    for (; *p >= '0' && *p <= '9'; p++) {
        n = n * 10 + (uint64_t)(*p - '0');
        if (n > max)
            return false;
    }
    *at = p;
    *out = n;
    return true;
}

static bool read_place(const char *text, struct place *p)
{
    const char *slash = strchr(text, '/');
    uint64_t file, offset;
    if (slash == NULL || slash == text || text[0] == '.' || strlen(text) >= QUARANTINE_PLACE_MAX)
        return false;
    const char *at = slash + 1;
    if (!read_number(&at, 99999999, &file) || *at++ != '/' || !read_number(&at, SEGMENT_FILE_MAX, &offset) ||
        *at != '\0')
        return false;
    *p = (struct place){(size_t)(slash - text), (uint32_t)file, (size_t)offset};
    return true;
}

bool quarantine_is_place(const char *text)
{
    struct place p;
    return read_place(text, &p);
}

long quarantine_remove(const char *root, const char *const *places, size_t n)
{
    size_t *offsets = xcalloc(n + 1, sizeof *offsets), next = 0;
    long removed = 0;
    while (next < n && removed >= 0) {
        const char *folder = places[next];
        struct place first, p;
        char path[PATH_MAX];
        size_t k = 0;
        if (!read_place(folder, &first) ||
            snprintf(path, sizeof path, "%s/%.*s", root, (int)first.folder_len, folder) >= (int)sizeof path) {
            errno = EINVAL;
            removed = -1;
            break;
        }
        while (next < n && read_place(places[next], &p) && p.file == first.file &&
               p.folder_len == first.folder_len && memcmp(places[next], folder, p.folder_len) == 0) {
            offsets[k++] = p.offset;
            next++;
        }
        long r = segment_remove(path, first.file, offsets, k);
        if (r < 0 && errno != ENOENT)
            removed = -1;
        else
            removed += r > 0 ? r : 0;
        if (r > 0)
            (void)segment_sweep(path);
    }
    int error = errno;
    free(offsets);
    errno = error;
    return removed;
}
