/* segment - see segment.h. */
#include "common/segment/segment.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/fd.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/segment/segment_file.h"
#include "common/segment/segment_sync.h"

#define EXPIRE_EVERY_S 60.0

struct file {
    uint32_t number;
    uint64_t bytes, last_ms; /* last_ms: when its newest record was written */
};

struct segment {
    struct ev_loop *loop;
    struct segment_options o;
    char *dir;
    int dir_fd;         /* holds the flock */
    struct file *files; /* ascending; the last one is being written when fd >= 0 */
    size_t n_files;
    int fd;
    bool fresh; /* the open file's name is not known to be on disk */
    uint64_t bytes, damaged;
    uint32_t last_number, last_offset, last_removed;
    struct segment_sync *sync;
    ev_timer expire;
};

static ssize_t system_write(int fd, const struct iovec *iov, int n)
{
    return writev(fd, iov, n);
}

static int system_sync(int fd)
{
    return fdatasync(fd);
}

static struct {
    segment_write_fn write;
    segment_sync_fn sync;
} seam = {system_write, system_sync};

void segment_replace(segment_write_fn write_fn, segment_sync_fn sync_fn)
{
    seam.write = write_fn != NULL ? write_fn : system_write;
    seam.sync = sync_fn != NULL ? sync_fn : system_sync;
}

static void add_file(struct segment *s, uint32_t number, uint64_t bytes, uint64_t last_ms)
{
    s->files = xrealloc(s->files, (s->n_files + 1) * sizeof *s->files);
    s->files[s->n_files++] = (struct file){number, bytes, last_ms};
    s->bytes += bytes;
}

/* Cuts a torn tail off the last file and goes on writing there, if it has room. */
static int salvage(struct segment *s)
{
    struct file *last = &s->files[s->n_files - 1];
    unsigned char *data;
    size_t len;
    if (segment_file_load(s->dir_fd, last->number, &data, &len) < 0) {
        log_error("segment_unreadable", "dir=%s file=%08u error=%s", log_q(s->dir), last->number,
                  log_q(strerror(errno)));
        return 0; /* left as it is; a new file is begun */
    }
    struct segment_file_walk walk;
    segment_file_walk(data, len, NULL, NULL, &walk);
    free(data);
    s->damaged = walk.damaged;
    if (walk.damaged > 0)
        log_warn("segment_damaged", "dir=%s file=%08u records=%ld damaged=%llu bytes=%zu good=%zu",
                 log_q(s->dir), last->number, walk.records, (unsigned long long)walk.damaged, len,
                 walk.good_bytes);
    if (walk.gave_up)
        return 0;
    char name[SEGMENT_FILE_NAME];
    int fd = openat(s->dir_fd, segment_file_name(last->number, name), O_WRONLY | O_APPEND | O_CLOEXEC);
    if (fd < 0)
        return -1;
    if (walk.good_bytes < len && (ftruncate(fd, (off_t)walk.good_bytes) < 0 || fsync(fd) < 0)) {
        fd_close(&fd);
        return -1;
    }
    s->bytes -= last->bytes - walk.good_bytes;
    last->bytes = walk.good_bytes;
    if (last->bytes < s->o.segment_bytes)
        s->fd = fd;
    else
        fd_close(&fd);
    return 0;
}

static int load(struct segment *s)
{
    uint32_t *numbers;
    long n = segment_file_list(s->dir, &numbers);
    if (n < 0)
        return -1;
    for (long i = 0; i < n; i++) {
        char name[SEGMENT_FILE_NAME];
        struct stat st;
        if (fstatat(s->dir_fd, segment_file_name(numbers[i], name), &st, 0) < 0)
            continue;
        uint64_t last_ms = (uint64_t)st.st_mtim.tv_sec * 1000 + (uint64_t)st.st_mtim.tv_nsec / 1000000;
        add_file(s, numbers[i], (uint64_t)st.st_size, last_ms);
    }
    free(numbers);
    return s->n_files > 0 && !s->o.keep_old ? salvage(s) : 0;
}

static void close_current(struct segment *s)
{
    if (s->fd < 0)
        return;
    if (s->sync != NULL)
        segment_sync_close(s->sync, s->fd);
    else
        close(s->fd);
    s->fd = -1;
}

static void broken(int fd, void *arg)
{
    struct segment *s = arg;
    if (s->fd == fd)
        close_current(s);
}

/* Files that others have deleted (segment_sweep) take no room any more. */
static void forget_deleted(struct segment *s)
{
    size_t kept = 0;
    for (size_t i = 0; i < s->n_files; i++) {
        char name[SEGMENT_FILE_NAME];
        struct stat st;
        bool open_one = s->fd >= 0 && i + 1 == s->n_files;
        if (!open_one && fstatat(s->dir_fd, segment_file_name(s->files[i].number, name), &st, 0) < 0 &&
            errno == ENOENT)
            s->bytes -= s->files[i].bytes;
        else
            s->files[kept++] = s->files[i];
    }
    s->n_files = kept;
}

static void on_expire(struct ev_loop *loop, ev_timer *w, int revents)
{
    (void)loop;
    (void)revents;
    forget_deleted(w->data);
    segment_expire(w->data);
}

static int start_helper(struct segment *s)
{
    if (s->loop == NULL)
        return 0;
    s->sync = segment_sync_new(s->loop, seam.sync, s->dir_fd, s->o.sync_interval_ms, broken, s);
    if (s->sync == NULL)
        return -1;
    if (s->o.max_age_ms > 0) {
        ev_timer_init(&s->expire, on_expire, EXPIRE_EVERY_S, EXPIRE_EVERY_S);
        s->expire.data = s;
        ev_timer_start(s->loop, &s->expire);
        ev_unref(s->loop);
    }
    return 0;
}

struct segment *segment_open(struct ev_loop *loop, const struct segment_options *o)
{
    if (o->record_max + o->segment_bytes > SEGMENT_FILE_MAX || o->record_max == 0) {
        errno = EINVAL;
        return NULL;
    }
    if (fd_make_dirs(o->dir, 0750) < 0)
        return NULL;
    struct segment *s = xcalloc(1, sizeof *s);
    s->loop = loop;
    s->o = *o;
    s->dir = xstrdup(o->dir);
    s->o.dir = s->dir;
    s->fd = -1;
    s->dir_fd = open(s->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (s->dir_fd < 0 || flock(s->dir_fd, LOCK_EX | LOCK_NB) < 0 || load(s) < 0 || start_helper(s) < 0) {
        int error = errno;
        segment_close(s);
        errno = error;
        return NULL;
    }
    segment_expire(s);
    return s;
}

void segment_set_limits(struct segment *s, uint64_t segment_bytes, uint64_t max_bytes, uint64_t max_age_ms)
{
    if (segment_bytes <= s->o.segment_bytes || s->o.record_max + segment_bytes <= SEGMENT_FILE_MAX)
        s->o.segment_bytes = segment_bytes;
    s->o.max_bytes = max_bytes;
    if (s->o.max_age_ms > 0 && max_age_ms > 0) /* whether there is a timer was decided at the start */
        s->o.max_age_ms = max_age_ms;
    segment_expire(s);
}

void segment_close(struct segment *s)
{
    if (s == NULL)
        return;
    if (ev_is_active(&s->expire)) {
        ev_ref(s->loop);
        ev_timer_stop(s->loop, &s->expire);
    }
    close_current(s);
    segment_sync_free(s->sync);
    fd_close(&s->dir_fd);
    free(s->files);
    free(s->dir);
    free(s);
}

void segment_expire(struct segment *s)
{
    uint64_t now = clock_wall_ms();
    size_t gone = 0;
    while (s->o.max_age_ms > 0 && gone < s->n_files && s->files[gone].last_ms + s->o.max_age_ms < now) {
        char name[SEGMENT_FILE_NAME];
        if (unlinkat(s->dir_fd, segment_file_name(s->files[gone].number, name), 0) < 0 && errno != ENOENT)
            break;
        log_info("segment_expired", "dir=%s file=%s bytes=%llu", log_q(s->dir), name,
                 (unsigned long long)s->files[gone].bytes);
        s->bytes -= s->files[gone].bytes;
        gone++;
    }
    if (gone == 0)
        return;
    if (gone == s->n_files)
        close_current(s); /* the file being written was the oldest */
    s->n_files -= gone;
    memmove(s->files, s->files + gone, s->n_files * sizeof *s->files);
}

/* The file to write to: the current one, or a new one when it is full or there is none. */
static int current(struct segment *s)
{
    if (s->fd >= 0 && s->files[s->n_files - 1].bytes >= s->o.segment_bytes)
        close_current(s);
    if (s->fd >= 0)
        return 0;
    uint32_t before = s->n_files > 0 ? s->files[s->n_files - 1].number : 0;
    uint32_t number = (before > s->last_removed ? before : s->last_removed) + 1;
    char name[SEGMENT_FILE_NAME];
    int fd = openat(s->dir_fd, segment_file_name(number, name),
                    O_WRONLY | O_APPEND | O_CREAT | O_EXCL | O_CLOEXEC, 0640);
    if (fd < 0)
        return -1;
    add_file(s, number, 0, clock_wall_ms());
    s->fd = fd;
    s->fresh = true;
    return 0;
}

/* All of the record or nothing: what was written of it is cut off again. */
static int write_record(struct segment *s, struct iovec *iov, int n, size_t len)
{
    struct file *f = &s->files[s->n_files - 1];
    size_t done = 0;
    while (done < len) {
        ssize_t w = seam.write(s->fd, iov, n);
        if (w < 0 && errno == EINTR)
            continue;
        if (w <= 0) {
            int error = w == 0 ? ENOSPC : errno;
            if (ftruncate(s->fd, (off_t)f->bytes) < 0)
                close_current(s); /* whoever reads it skips the torn record */
            errno = error;
            return -1;
        }
        done += (size_t)w;
        for (size_t left = (size_t)w; left > 0;) {
            size_t take = left < iov->iov_len ? left : iov->iov_len;
            iov->iov_base = (char *)iov->iov_base + take;
            iov->iov_len -= take;
            left -= take;
            if (iov->iov_len == 0) {
                iov++;
                n--;
            }
        }
    }
    return 0;
}

static int sync_now(struct segment *s)
{
    if (seam.sync(s->fd) == 0 && (!s->fresh || fsync(s->dir_fd) == 0))
        return 0;
    int error = errno;
    close_current(s);
    errno = error;
    return -1;
}

int segment_appendv(struct segment *s, const struct iovec *pieces, size_t n, segment_synced_fn fn, void *arg)
{
    size_t len = 0;
    for (size_t i = 0; i < n; i++)
        len += pieces[i].iov_len;
    if (n > SEGMENT_PIECES || len > s->o.record_max) {
        errno = EMSGSIZE;
        return -1;
    }
    segment_expire(s);
    if (s->bytes + SEGMENT_FILE_HEAD + len > s->o.max_bytes)
        forget_deleted(s);
    if (s->bytes + SEGMENT_FILE_HEAD + len > s->o.max_bytes) {
        errno = ENOSPC;
        return -1;
    }
    if (current(s) < 0)
        return -1;
    unsigned char head[SEGMENT_FILE_HEAD];
    uint64_t now = clock_wall_ms();
    segment_file_head(head, now, pieces, n, len);
    struct iovec iov[SEGMENT_PIECES + 1] = {{head, sizeof head}};
    memcpy(iov + 1, pieces, n * sizeof *pieces);
    if (write_record(s, iov, (int)n + 1, len + sizeof head) < 0)
        return -1;
    struct file *f = &s->files[s->n_files - 1];
    s->last_number = f->number;
    s->last_offset = (uint32_t)f->bytes;
    f->bytes += len + sizeof head;
    f->last_ms = now;
    s->bytes += len + sizeof head;
    if (s->sync != NULL ? segment_sync_put(s->sync, s->fd, s->fresh, fn, arg) < 0 : sync_now(s) < 0)
        return -1;
    s->fresh = false;
    if (s->sync == NULL && fn != NULL)
        fn(arg, 0);
    return 0;
}

int segment_append(struct segment *s, const void *data, size_t len, segment_synced_fn fn, void *arg)
{
    struct iovec piece = {(void *)(uintptr_t)data, len};
    return segment_appendv(s, &piece, 1, fn, arg);
}

void segment_last(const struct segment *s, uint32_t *number, uint32_t *offset)
{
    *number = s->last_number;
    *offset = s->last_offset;
}

void segment_rotate(struct segment *s)
{
    close_current(s);
}

uint32_t segment_current(const struct segment *s)
{
    return s->fd >= 0 ? s->files[s->n_files - 1].number : 0;
}

int segment_drop(struct segment *s, uint32_t number)
{
    char name[SEGMENT_FILE_NAME];
    for (size_t i = 0; i < s->n_files; i++) {
        if (s->files[i].number != number)
            continue;
        s->bytes -= s->files[i].bytes;
        s->last_removed = number > s->last_removed ? number : s->last_removed;
        memmove(s->files + i, s->files + i + 1, (s->n_files - i - 1) * sizeof *s->files);
        s->n_files--;
        break;
    }
    return unlinkat(s->dir_fd, segment_file_name(number, name), 0);
}

int segment_load(const struct segment *s, uint32_t number, unsigned char **data, size_t *len)
{
    return segment_file_load(s->dir_fd, number, data, len);
}

int segment_dir(const struct segment *s)
{
    return s->dir_fd;
}

uint64_t segment_bytes(const struct segment *s)
{
    return s->bytes;
}

uint64_t segment_damaged(const struct segment *s)
{
    return s->damaged;
}

struct visiting {
    segment_place_fn fn;
    segment_visit_fn plain;
    void *arg;
    uint32_t file;
    struct segment_file_walk walk;
};

static void visit(uint64_t wall_ms, const void *data, size_t len, void *arg)
{
    struct visiting *v = arg;
    if (v->fn != NULL)
        v->fn(v->file, v->walk.at, wall_ms, data, len, v->arg);
    else if (v->plain != NULL)
        v->plain(wall_ms, data, len, v->arg);
}

static long visit_all(const char *dir, struct visiting *v, uint64_t *damaged)
{
    uint32_t *numbers;
    *damaged = 0;
    int dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir_fd < 0)
        return -1;
    long n = segment_file_list(dir, &numbers), records = 0;
    for (long i = 0; i < n; i++) {
        unsigned char *data;
        size_t len;
        if (segment_file_load(dir_fd, numbers[i], &data, &len) < 0) {
            *damaged += errno != ENOENT;
            continue;
        }
        v->file = numbers[i];
        segment_file_walk(data, len, visit, v, &v->walk);
        free(data);
        records += v->walk.records;
        *damaged += v->walk.damaged;
    }
    free(numbers);
    fd_close(&dir_fd);
    return n < 0 ? -1 : records;
}

long segment_read(const char *dir, segment_visit_fn fn, void *arg, uint64_t *damaged)
{
    struct visiting v = {.plain = fn, .arg = arg};
    return visit_all(dir, &v, damaged);
}

long segment_visit(const char *dir, segment_place_fn fn, void *arg, uint64_t *damaged)
{
    struct visiting v = {.fn = fn, .arg = arg};
    return visit_all(dir, &v, damaged);
}

long segment_remove(const char *dir, uint32_t file, const size_t *offsets, size_t n)
{
    int dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir_fd < 0)
        return -1;
    long r = segment_file_remove(dir_fd, file, offsets, n);
    int error = errno;
    fd_close(&dir_fd);
    errno = error;
    return r;
}

static bool is_spent(int dir_fd, uint32_t number)
{
    struct segment_file_walk walk = {0};
    unsigned char *data;
    size_t len;
    if (segment_file_load(dir_fd, number, &data, &len) < 0)
        return false;
    segment_file_walk(data, len, NULL, NULL, &walk);
    free(data);
    return walk.removed > 0 && walk.records == 0 && walk.damaged == 0;
}

long segment_sweep(const char *dir)
{
    uint32_t *numbers;
    int dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir_fd < 0)
        return -1;
    bool ours = flock(dir_fd, LOCK_EX | LOCK_NB) == 0; /* nobody writes here, nor begins to */
    long n = segment_file_list(dir, &numbers), done = 0;
    for (long i = 0; i < (ours ? n : n - 1); i++) {
        char name[SEGMENT_FILE_NAME];
        if (is_spent(dir_fd, numbers[i]) && unlinkat(dir_fd, segment_file_name(numbers[i], name), 0) == 0)
            done++;
    }
    free(numbers);
    fd_close(&dir_fd);
    return n < 0 ? -1 : done;
}
