/* store - see store.h. What is being read may be anything: a mark counts only with its CRC and where a record begins. */
#include "workers/spool/store.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/fatal.h"
#include "common/base/fd.h"
#include "common/base/hook.h"
#include "common/base/list.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/segment/crc32c.h"
#include "common/segment/segment_file.h"
#include "ipc/frame.h"
#include "workers/spool/store_marks.h"

#define RECORD_MAX   ((8u << 20) + 4096)
#define TIDY_BYTES   (1u << 20) /* of a file being written: it is removed at once, smaller ones with store_tidy */
#define NAME_MAX_LEN 48

struct record {
    uint32_t offset, tag;
};

struct file {
    struct list link; /* ascending by number */
    uint32_t number;
    struct record *records;
    unsigned char *done; /* one bit a record */
    size_t n, cap, n_done;
    size_t ready; /* so many are known to be on disk */
    size_t next;  /* to be read back */
    uint64_t bytes;
    int fd; /* for reading, -1: not open */
    struct store_marks marks;
    bool scanned, keep; /* keep: what is damaged in it could not be copied */
};

struct store {
    struct ev_loop *loop;
    struct segment *segment;
    const struct store_events *events;
    void *arg;
    struct list files;
    size_t records; /* not done */
    bool marks_told;
};

struct put {
    struct store *s;
    struct store_place place;
    segment_synced_fn synced;
    void *arg;
};

/* ---- files */

static struct file *add_file(struct store *s, uint32_t number)
{
    struct file *f = xcalloc(1, sizeof *f);
    f->number = number;
    f->fd = -1;
    store_marks_init(&f->marks);
    list_push_back(&s->files, &f->link);
    return f;
}

static void free_file(struct file *f)
{
    list_remove(&f->link);
    fd_close(&f->fd);
    store_marks_fini(&f->marks);
    free(f->records);
    free(f->done);
    free(f);
}

static struct file *find_file(const struct store *s, uint32_t number)
{
    struct file *f;
    list_foreach(f, &s->files, struct file, link) if (f->number == number) return f;
    return NULL;
}

static bool is_done(const struct file *f, size_t i)
{
    return (f->done[i / 8] >> (i % 8) & 1) != 0;
}

static int add_record(struct file *f, uint32_t offset, uint32_t tag)
{
    if (f->n == f->cap) {
        size_t cap = f->cap > 0 ? f->cap * 2 : 64;
        struct record *records = mem_try_resize(f->records, cap * sizeof *records);
        if (records == NULL)
            return -1;
        f->records = records;
        unsigned char *done = mem_try_resize(f->done, cap / 8);
        if (done == NULL)
            return -1;
        f->done = done;
        memset(f->done + f->cap / 8, 0, (cap - f->cap) / 8);
        f->cap = cap;
    }
    f->records[f->n++] = (struct record){offset, tag};
    return 0;
}

/* ---- damage */

static void set_aside(struct store *s, struct file *f, const unsigned char *data, size_t offset, size_t len,
                      bool torn)
{
    char name[NAME_MAX_LEN];
    snprintf(name, sizeof name, "damaged-%08u-%zu", f->number, offset);
    int fd = openat(segment_dir(s->segment), name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0640);
    if (fd < 0 && errno == EEXIST)
        return; /* found by an earlier run */
    bool kept = fd >= 0 && fd_write_full(fd, data, len) == 0 && fsync(fd) == 0;
    int error = errno;
    fd_close(&fd);
    if (!kept) {
        (void)unlinkat(segment_dir(s->segment), name, 0);
        f->keep = true;
        log_error("spool_not_set_aside", "file=%08u offset=%zu bytes=%zu error=%s", f->number, offset, len,
                  log_q(strerror(error)));
    }
    log_event(torn ? LOGL_WARN : LOGL_ERROR, torn ? "spool_torn" : "spool_damaged",
              "file=%08u offset=%zu bytes=%zu kept=%s", f->number, offset, len, kept ? name : "no");
    s->events->damaged(torn, s->arg);
}

/* ---- an earlier run */

struct scan {
    struct store *s;
    struct file *f;
    const unsigned char *data;
    size_t at; /* behind the last good record */
    bool no_memory;
};

static int parse(const void *record, size_t len, struct msg *m)
{
    const char *why;
    return msg_parse(record, len, MSG_DIR_IW, m, &why) == 0 && m->type == MSG_EVENTS ? 0 : -1;
}

static void visit(uint64_t wall_ms, const void *record, size_t len, void *arg)
{
    struct scan *scan = arg;
    struct file *f = scan->f;
    struct msg m;
    size_t offset = (size_t)((const unsigned char *)record - scan->data) - SEGMENT_FILE_HEAD;
    (void)wall_ms;
    if (parse(record, len, &m) < 0) /* whole, yet no batch: part of the gap before the next one */
        return;
    if (offset > scan->at)
        set_aside(scan->s, f, scan->data + scan->at, scan->at, offset - scan->at, false);
    scan->at = offset + SEGMENT_FILE_HEAD + len;
    bool done = store_marks_has(&f->marks, (uint32_t)offset);
    uint32_t tag = done ? 0 : scan->s->events->found(&m.u.batch, scan->s->arg);
    if (add_record(f, (uint32_t)offset, tag) < 0)
        fatal(EXIT_CODE_NOMEM, "no memory for the places of spooled batches");
    if (done) {
        f->done[(f->n - 1) / 8] |= (unsigned char)(1u << ((f->n - 1) % 8));
        f->n_done++;
    } else {
        scan->s->records++;
    }
}

/* Does a record begin there that goes on behind the end of the file? Then a write was cut, or the file. */
static bool is_torn(const unsigned char *p, size_t len)
{
    static const unsigned char magic[4] = {0xd7, 'S', 'E', 'G'};
    size_t n = len < sizeof magic ? len : sizeof magic;
    if (memcmp(p, magic, n) != 0)
        return false;
    return len < SEGMENT_FILE_HEAD || len - SEGMENT_FILE_HEAD < (size_t)(p[4] | p[5] << 8 | p[6] << 16) +
                                                                    ((size_t)p[7] << 24);
}

static void scan_file(struct store *s, struct file *f)
{
    unsigned char *data;
    size_t len;
    f->scanned = true;
    if (segment_load(s->segment, f->number, &data, &len) < 0) {
        log_error("spool_unreadable", "file=%08u error=%s", f->number, log_q(strerror(errno)));
        f->keep = true;
        s->events->damaged(false, s->arg);
        return;
    }
    f->bytes = len;
    store_marks_read(&f->marks, segment_dir(s->segment), f->number);
    struct scan scan = {.s = s, .f = f, .data = data};
    struct segment_file_walk walk;
    segment_file_walk(data, len, visit, &scan, &walk);
    if (scan.at < len)
        set_aside(s, f, data + scan.at, scan.at, len - scan.at, is_torn(data + scan.at, len - scan.at));
    free(data);
    store_marks_forget(&f->marks);
    f->ready = f->n;
    log_info("spool_found", "file=%08u batches=%zu done=%zu bytes=%zu", f->number, f->n, f->n_done, len);
}

bool store_scan(struct store *s)
{
    struct file *f;
    list_foreach(f, &s->files, struct file, link)
    {
        if (f->scanned)
            continue;
        scan_file(s, f);
        return true;
    }
    return false;
}

/* ---- open, close */

static struct segment_options options_of(const char *dir, const struct store_limits *limits)
{
    return (struct segment_options){.dir = dir,
                                    .segment_bytes = limits->segment_bytes,
                                    .max_bytes = limits->max_bytes,
                                    .record_max = RECORD_MAX,
                                    .sync_interval_ms = limits->sync_interval_ms,
                                    .keep_old = true};
}

struct store *store_open(struct ev_loop *loop, const char *dir, const struct store_limits *limits,
                         const struct store_events *events, void *arg)
{
    struct segment_options o = options_of(dir, limits);
    struct segment *segment = segment_open(loop, &o);
    uint32_t *numbers = NULL;
    long n = segment == NULL ? -1 : segment_file_list(dir, &numbers);
    if (n < 0) {
        int error = errno;
        segment_close(segment);
        errno = error;
        return NULL;
    }
    struct store *s = xcalloc(1, sizeof *s);
    s->loop = loop;
    s->segment = segment;
    s->events = events;
    s->arg = arg;
    list_init(&s->files);
    for (long i = 0; i < n; i++)
        (void)add_file(s, numbers[i]);
    free(numbers);
    return s;
}

void store_set_limits(struct store *s, const struct store_limits *limits)
{
    segment_set_limits(s->segment, limits->segment_bytes, limits->max_bytes, 0);
}

void store_close(struct store *s)
{
    struct file *f;
    if (s == NULL)
        return;
    segment_close(s->segment); /* last callbacks come from here */
    list_foreach(f, &s->files, struct file, link) free_file(f);
    free(s);
}

/* ---- put */

static void mark_done(struct store *s, struct file *f, size_t i)
{
    ASSERT(i < f->n && !is_done(f, i));
    f->done[i / 8] |= (unsigned char)(1u << (i % 8));
    f->n_done++;
    s->records--;
    store_marks_add(&f->marks, f->records[i].offset);
}

static void on_synced(void *arg, int error)
{
    struct put *p = arg;
    struct file *f = find_file(p->s, p->place.number);
    HOOK_POINT(spool_synced);
    if (f->ready == p->place.index)
        f->ready++;
    if (error != 0)
        mark_done(p->s, f, p->place.index); /* it may well stand there; its sender keeps it */
    p->synced(p->arg, error);
    free(p);
}

int store_put(struct store *s, const struct msg_batch *b, uint32_t tag, segment_synced_fn synced, void *arg)
{
    unsigned char head[MSG_BATCH_HEAD_MAX];
    size_t head_len, len = (size_t)(b->events.end - b->events.at);
    unsigned char tail[MSG_TAIL_HEAD] = {0xc6}; /* msgpack: bin 32 */
    size_t seen_len = b->seen != NULL ? (size_t)b->n_events * MSG_SEEN_ID : 0;
    size_t tail_len = seen_len > 0 ? MSG_TAIL_HEAD + seen_len : 0;
    for (int i = 1; i <= 4; i++)
        tail[i] = (unsigned char)(seen_len >> (32 - 8 * i));
    if (msg_pack_batch_head_of(head, &head_len, 0, b->id, b->tries, b->source, b->queue, b->order_key, 0,
                               b->n_events, len, tail_len) < 0)
        return -1;
    struct iovec pieces[4] = {{head + FRAME_HEAD, head_len - FRAME_HEAD},
                              {(void *)(uintptr_t)b->events.at, len},
                              {tail, MSG_TAIL_HEAD},
                              {(void *)(uintptr_t)b->seen, seen_len}};
    struct put *p = xcalloc(1, sizeof *p);
    HOOK_POINT(spool_unwritten);
    if (segment_appendv(s->segment, pieces, seen_len > 0 ? 4 : 2, on_synced, p) < 0) {
        free(p);
        return -1;
    }
    HOOK_POINT(spool_written);
    uint32_t number, offset;
    segment_last(s->segment, &number, &offset);
    struct file *f = list_empty(&s->files) ? NULL : list_entry(s->files.prev, struct file, link);
    if (f == NULL || f->number != number) {
        f = add_file(s, number);
        f->scanned = true;
    }
    if (add_record(f, offset, tag) < 0)
        fatal(EXIT_CODE_NOMEM, "no memory for the places of spooled batches");
    f->bytes = offset + SEGMENT_FILE_HEAD + pieces[0].iov_len + len + tail_len;
    s->records++;
    *p = (struct put){s, {number, (uint32_t)f->n - 1}, synced, arg};
    return 0;
}

/* ---- next */

/* 0; -1 with errno, EBADMSG: it is not what was written. */
static int read_record(struct file *f, size_t i, struct buf *record, uint64_t *wall_ms)
{
    unsigned char head[SEGMENT_FILE_HEAD], wanted[SEGMENT_FILE_HEAD];
    off_t at = f->records[i].offset;
    ssize_t n = pread(f->fd, head, sizeof head, at);
    if (n != (ssize_t)sizeof head) {
        errno = n < 0 ? errno : EBADMSG;
        return -1;
    }
    size_t len = (size_t)(head[4] | head[5] << 8 | head[6] << 16) + ((size_t)head[7] << 24);
    *wall_ms = 0;
    for (int k = 7; k >= 0; k--)
        *wall_ms = *wall_ms << 8 | head[8 + k];
    if (len > RECORD_MAX) {
        errno = EBADMSG;
        return -1;
    }
    buf_reset(record);
    if (buf_reserve(record, len) < 0)
        return -1;
    n = pread(f->fd, record->data, len, at + SEGMENT_FILE_HEAD);
    struct iovec piece = {record->data, len};
    segment_file_head(wanted, *wall_ms, &piece, 1, len);
    if (n < 0)
        return -1;
    if ((size_t)n != len || memcmp(head, wanted, sizeof head) != 0) {
        errno = EBADMSG;
        return -1;
    }
    record->len = len;
    return 0;
}

static void give_up(struct store *s, struct file *f, size_t i)
{
    size_t end = i + 1 < f->n ? f->records[i + 1].offset : f->bytes, at = f->records[i].offset;
    unsigned char *data = end > at && end - at <= RECORD_MAX + SEGMENT_FILE_HEAD ? mem_try(end - at) : NULL;
    ssize_t n = data != NULL ? pread(f->fd, data, end - at, (off_t)at) : -1;
    if (n >= 0) {
        set_aside(s, f, data, at, (size_t)n, false);
    } else {
        f->keep = true;
        log_error("spool_damaged", "file=%08u offset=%zu bytes=%zu kept=file", f->number, at, end - at);
        s->events->damaged(false, s->arg);
    }
    free(data);
    mark_done(s, f, i);
    s->events->lost((struct store_place){f->number, (uint32_t)i}, f->records[i].tag, s->arg);
}

static int open_file(struct store *s, struct file *f)
{
    char name[SEGMENT_FILE_NAME];
    if (f->fd >= 0)
        return 0;
    f->fd = openat(segment_dir(s->segment), segment_file_name(f->number, name), O_RDONLY | O_CLOEXEC);
    return f->fd < 0 ? -1 : 0;
}

int store_next(struct store *s, struct buf *record, struct msg_batch *b, struct store_place *p, uint32_t *tag,
               uint64_t *wall_ms)
{
    struct file *f;
    list_foreach(f, &s->files, struct file, link)
    {
        for (; f->next < f->ready; f->next++) {
            size_t i = f->next;
            struct msg m;
            if (is_done(f, i))
                continue;
            if (open_file(s, f) < 0 && errno != ENOENT)
                return -1;
            int r = read_record(f, i, record, wall_ms);
            if (r < 0 && errno != EBADMSG && errno != EIO && errno != EBADF)
                return -1;
            if (r < 0 || parse(record->data, record->len, &m) < 0) {
                give_up(s, f, i);
                continue;
            }
            HOOK_POINT(spool_loaded);
            f->next++;
            *b = m.u.batch;
            *p = (struct store_place){f->number, (uint32_t)i};
            *tag = f->records[i].tag;
            return 1;
        }
        if (f->next < f->n)
            return 0; /* what follows is not synced yet */
        fd_close(&f->fd);
    }
    return 0;
}

/* ---- done */

void store_done(struct store *s, struct store_place p)
{
    mark_done(s, find_file(s, p.number), p.index);
}

static void remove_file(struct store *s, struct file *f)
{
    char name[SEGMENT_FILE_NAME], kept[NAME_MAX_LEN];
    int dir = segment_dir(s->segment);
    segment_file_name(f->number, name);
    if (segment_current(s->segment) == f->number)
        segment_rotate(s->segment);
    snprintf(kept, sizeof kept, "damaged-%s", name);
    if (f->keep && renameat(dir, name, dir, kept) == 0)
        log_info("spool_file_kept", "file=%s", kept);
    if (segment_drop(s->segment, f->number) < 0 && errno != ENOENT)
        log_error("spool_file_not_removed", "file=%s error=%s", name, log_q(strerror(errno)));
    store_marks_remove(dir, f->number);
    free_file(f);
    HOOK_POINT(spool_file_removed);
}

void store_write_marks(struct store *s)
{
    struct file *f;
    list_foreach(f, &s->files, struct file, link)
    {
        if (f->scanned && f->n_done == f->n && f->ready == f->n &&
            (f->number != segment_current(s->segment) || f->bytes >= TIDY_BYTES)) {
            remove_file(s, f);
            continue;
        }
        if (store_marks_write(&f->marks, segment_dir(s->segment), f->number) < 0 && !s->marks_told) {
            log_error("spool_marks_unwritten", "file=%08u error=%s effect=%s", f->number, log_q(strerror(errno)),
                      log_q("what is done may be sent again after a restart, under its id"));
            s->marks_told = true;
        }
    }
}

void store_tidy(struct store *s)
{
    struct file *f;
    s->marks_told = false;
    list_foreach(f, &s->files, struct file, link) if (f->scanned && f->n > 0 && f->n_done == f->n &&
                                                      f->ready == f->n) remove_file(s, f);
}

uint64_t store_bytes(const struct store *s)
{
    return segment_bytes(s->segment);
}

size_t store_records(const struct store *s)
{
    return s->records;
}

struct store_place store_end(const struct store *s)
{
    if (list_empty(&s->files))
        return (struct store_place){0, 0};
    const struct file *f = list_entry(s->files.prev, struct file, link);
    return (struct store_place){f->number, (uint32_t)f->n};
}
