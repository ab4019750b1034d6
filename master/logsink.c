/* logsink - see logsink.h. The thread is work() and what it calls; what both sides touch stands behind the mutex. */
#include "master/logsink.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "common/base/buf.h"
#include "common/base/clock.h"
#include "common/base/mem.h"
#include "common/base/str.h"
#include "master/logerrors.h"
#include "master/logout.h"

#define FLUSH_END_MS 1000
#define RETRY_MS     500
#define BATCH_LINES  64
#define KIND_MAX     24

/* A line in the ring: this, and its text. */
struct head {
    uint64_t wall_ms;
    uint32_t len, slot, generation;
    int32_t pid;
    uint8_t level;
    char kind[KIND_MAX];
};

struct logsink {
    struct logerrors *errors;
    pthread_t thread;

    pthread_mutex_t mutex;
    pthread_cond_t more, less; /* something to do; something was done */
    struct buf ring;           /* heads and texts, oldest first */
    uint64_t dropped, told;
    struct logout *next; /* takes the place of out */
    bool reopen, stop, abandoned, stopped;
    int reopen_error; /* not said yet */
    int error;        /* of the output, since: */
    uint64_t error_ms;

    /* The thread's own. */
    struct logout *out;
    struct buf batch, text;
    size_t skip; /* bytes of the oldest line that are written */
};

/* ------------------------------------------------------------------ the thread */

static void wait_ms(pthread_cond_t *c, pthread_mutex_t *m, uint64_t ms)
{
    uint64_t until = clock_mono_ms() + ms;
    struct timespec ts = {.tv_sec = (time_t)(until / 1000), .tv_nsec = (long)(until % 1000) * 1000000};
    (void)pthread_cond_timedwait(c, m, &ts);
}

static int put_record(struct logsink *l, const struct head *h, const char *tail)
{
    if (buf_reserve(&l->ring, sizeof *h + h->len) < 0)
        return -1;
    (void)buf_append(&l->ring, h, sizeof *h);
    return buf_append(&l->ring, tail, h->len);
}

/* How many are missing: stands where they would. */
static void tell_drops(struct logsink *l)
{
    char tail[64];
    struct head h = {.wall_ms = clock_wall_ms(), .level = LOGL_WARN, .pid = getpid(), .kind = "master"};
    h.len = (uint32_t)snprintf(tail, sizeof tail, "event=log_dropped n=%llu",
                               (unsigned long long)(l->dropped - l->told));
    if (put_record(l, &h, tail) == 0)
        l->told = l->dropped;
}

static void change_output(struct logsink *l)
{
    struct logout *fresh = l->next;
    int error = 0;
    bool again = l->reopen && fresh == NULL;
    l->next = NULL;
    l->reopen = false;
    pthread_mutex_unlock(&l->mutex);
    if (again && (fresh = logout_again(l->out)) == NULL)
        error = errno;
    if (fresh != NULL) {
        logout_free(l->out);
        l->out = fresh;
        l->skip = 0; /* a line that stands half in the old one is written whole */
    }
    pthread_mutex_lock(&l->mutex);
    if (error != 0)
        l->reopen_error = error;
    pthread_cond_broadcast(&l->less);
}

/* The oldest lines, as they stand in the ring: they stay there until they are written. */
static void copy_batch(struct logsink *l)
{
    size_t n = 0;
    struct head h;
    for (unsigned i = 0; i < BATCH_LINES && n + sizeof h <= l->ring.len; i++) {
        memcpy(&h, l->ring.data + n, sizeof h);
        n += sizeof h + h.len;
    }
    buf_reset(&l->batch);
    (void)buf_append(&l->batch, l->ring.data, n);
}

/* Forms the line at `at` of the batch; where the next one begins. */
static size_t form(struct logsink *l, size_t at)
{
    struct head h;
    memcpy(&h, l->batch.data + at, sizeof h);
    struct logform_line line = {.wall_ms = h.wall_ms,
                                .level = (enum log_level)h.level,
                                .origin = {h.kind, h.slot, h.generation, h.pid},
                                .tail = l->batch.data + at + sizeof h,
                                .len = h.len};
    logout_format(l->out, &l->text, &line);
    return at + sizeof h + h.len;
}

/* Bytes of the batch that are done with; *error says why not all. */
static size_t write_packets(struct logsink *l, int *error)
{
    size_t at = 0;
    while (at < l->batch.len) {
        buf_reset(&l->text);
        size_t next = form(l, at);
        if (logout_send(l->out, l->text.data, l->text.len) < 0) {
            *error = errno;
            break;
        }
        at = next;
    }
    return at;
}

static size_t write_stream(struct logsink *l, int *error)
{
    size_t ends[BATCH_LINES], froms[BATCH_LINES], n = 0, at = 0, done = l->skip, whole = 0, line_start = 0;
    buf_reset(&l->text);
    while (at < l->batch.len && n < BATCH_LINES) {
        at = form(l, at);
        ends[n] = l->text.len;
        froms[n++] = at;
    }
    while (done < l->text.len) {
        long w = logout_write(l->out, l->text.data + done, l->text.len - done);
        if (w > 0) {
            done += (size_t)w;
        } else if (w < 0 && errno != EINTR) {
            *error = errno;
            break;
        }
    }
    for (size_t i = 0; i < n && ends[i] <= done; i++) {
        whole = froms[i];
        line_start = ends[i];
    }
    l->skip = done - line_start;
    return whole;
}

/* Writes what stands first. Leaves the mutex meanwhile. */
static void write_batch(struct logsink *l)
{
    int error = 0;
    copy_batch(l);
    pthread_mutex_unlock(&l->mutex);
    size_t done = logout_is_packets(l->out) ? write_packets(l, &error) : write_stream(l, &error);
    pthread_mutex_lock(&l->mutex);
    buf_consume(&l->ring, done);
    if (error == EAGAIN) /* it waited already */
        return;
    if (error != 0 && l->error == 0)
        l->error_ms = clock_mono_ms();
    l->error = error;
    if (error != 0 && l->next == NULL && !l->reopen && !l->stop)
        wait_ms(&l->more, &l->mutex, RETRY_MS);
}

static void *work(void *arg)
{
    struct logsink *l = arg;
    pthread_mutex_lock(&l->mutex);
    while (!l->abandoned) {
        if (l->next != NULL || l->reopen)
            change_output(l);
        if (l->ring.len == 0 && l->dropped > l->told)
            tell_drops(l);
        if (l->ring.len > 0) {
            write_batch(l);
            continue;
        }
        pthread_cond_broadcast(&l->less);
        if (l->stop)
            break;
        pthread_cond_wait(&l->more, &l->mutex);
    }
    l->stopped = true;
    pthread_cond_broadcast(&l->less);
    pthread_mutex_unlock(&l->mutex);
    return NULL;
}

/* ------------------------------------------------------------------ the master's side */

void logsink_put(struct logsink *l, const struct logform_line *line)
{
    const struct logsink_origin *o = &line->origin;
    enum log_level level = line->level;
    struct head h = {.wall_ms = line->wall_ms,
                     .len = (uint32_t)(line->len < LOG_LINE_MAX ? line->len : LOG_LINE_MAX),
                     .slot = o->slot,
                     .generation = o->generation,
                     .pid = o->pid,
                     .level = (uint8_t)level};
    str_copy(h.kind, o->kind, sizeof h.kind);
    pthread_mutex_lock(&l->mutex);
    size_t room = LOGSINK_RING - (level <= LOGL_ERROR ? 0 : LOGSINK_RESERVE);
    if (l->ring.len + sizeof h + h.len > room || put_record(l, &h, line->tail) < 0)
        l->dropped++;
    pthread_cond_signal(&l->more);
    pthread_mutex_unlock(&l->mutex);
}

void logsink_write(struct logsink *l, enum log_level level, const struct logsink_origin *o, const char *tail,
                   size_t len)
{
    size_t n = len < LOG_LINE_MAX ? len : LOG_LINE_MAX;
    logerrors_add(l->errors, level, o, tail, n);
    logsink_put(l, &(struct logform_line){
                       .wall_ms = clock_wall_ms(), .level = level, .origin = *o, .tail = tail, .len = n});
}

static void own_line(enum log_level level, const char *line, void *arg)
{
    struct logsink_origin self = {.kind = "master", .pid = getpid()};
    logsink_write(arg, level, &self, line, strlen(line));
}

static void on_end(void *arg)
{
    (void)logsink_flush(arg, FLUSH_END_MS);
}

/* Signals are the loop's. */
static int start_thread(struct logsink *l)
{
    sigset_t all, old;
    sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &old);
    int error = pthread_create(&l->thread, NULL, work, l);
    (void)pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (error == 0)
        (void)pthread_setname_np(l->thread, "dray-log");
    return error;
}

static void discard(struct logsink *l)
{
    logout_free(l->out);
    logout_free(l->next);
    buf_fini(&l->ring);
    buf_fini(&l->batch);
    buf_fini(&l->text);
    pthread_cond_destroy(&l->more);
    pthread_cond_destroy(&l->less);
    pthread_mutex_destroy(&l->mutex);
    logerrors_free(l->errors);
    free(l);
}

struct logsink *logsink_new(const struct conf_log *c)
{
    struct logsink *l = xcalloc(1, sizeof *l);
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_mutex_init(&l->mutex, NULL);
    pthread_cond_init(&l->more, &monotonic);
    pthread_cond_init(&l->less, &monotonic);
    pthread_condattr_destroy(&monotonic);
    buf_init(&l->ring, LOGSINK_RING);
    buf_init(&l->batch, LOGSINK_RING);
    buf_init(&l->text, (size_t)BATCH_LINES * LOGFORM_MAX);
    l->errors = logerrors_new();
    int error = (l->out = logout_new(c)) == NULL ? errno : 0;
    if (error != 0)
        log_crit("log_open_failed", "output=%s err=%s remedy=%s", log_q(c->output), log_q(strerror(error)),
                 log_q(logout_remedy(c)));
    else if ((error = start_thread(l)) != 0)
        log_crit("log_open_failed", "output=%s err=%s remedy=%s", log_q(c->output), log_q(strerror(error)),
                 log_q("a thread is needed for the log: raise the limit of processes (ulimit -u)"));
    if (error != 0) {
        discard(l);
        return NULL;
    }
    log_to_writer(own_line, l);
    log_on_end(on_end, l);
    return l;
}

void logsink_free(struct logsink *l)
{
    if (l == NULL)
        return;
    log_to_stderr();
    log_on_end(NULL, NULL);
    uint64_t until = clock_mono_ms() + FLUSH_END_MS, now;
    pthread_mutex_lock(&l->mutex);
    l->stop = true;
    pthread_cond_signal(&l->more);
    while (!l->stopped && (now = clock_mono_ms()) < until)
        wait_ms(&l->less, &l->mutex, until - now);
    l->abandoned = true;
    pthread_cond_signal(&l->more);
    if (!l->stopped) /* it waits for a poll at most, unless a write hangs */
        wait_ms(&l->less, &l->mutex, FLUSH_END_MS / 2);
    bool stopped = l->stopped;
    pthread_mutex_unlock(&l->mutex);
    if (!stopped) { /* a disk that answers no more: what it works on is left to it until this process ends */
        (void)pthread_detach(l->thread);
        return;
    }
    (void)pthread_join(l->thread, NULL);
    discard(l);
}

void logsink_reopen(struct logsink *l)
{
    pthread_mutex_lock(&l->mutex);
    l->reopen = true;
    pthread_cond_signal(&l->more);
    pthread_mutex_unlock(&l->mutex);
}

int logsink_reconfigure(struct logsink *l, const struct conf_log *c)
{
    struct logout *fresh = logout_new(c), *unused;
    if (fresh == NULL)
        return -1;
    pthread_mutex_lock(&l->mutex);
    unused = l->next;
    l->next = fresh;
    pthread_cond_signal(&l->more);
    pthread_mutex_unlock(&l->mutex);
    logout_free(unused);
    return 0;
}

bool logsink_flush(struct logsink *l, uint64_t timeout_ms)
{
    uint64_t until = clock_mono_ms() + timeout_ms, now;
    pthread_mutex_lock(&l->mutex);
    while (l->ring.len > 0 && (now = clock_mono_ms()) < until)
        wait_ms(&l->less, &l->mutex, until - now);
    bool empty = l->ring.len == 0;
    pthread_mutex_unlock(&l->mutex);
    return empty;
}

void logsink_tick(struct logsink *l)
{
    pthread_mutex_lock(&l->mutex);
    int error = l->reopen_error;
    l->reopen_error = 0;
    pthread_mutex_unlock(&l->mutex);
    if (error != 0)
        log_error("log_reopen_failed", "err=%s remedy=%s", log_q(strerror(error)),
                  log_q("log.output must be writable; the old file is still used"));
}

uint64_t logsink_dropped(struct logsink *l)
{
    pthread_mutex_lock(&l->mutex);
    uint64_t n = l->dropped;
    pthread_mutex_unlock(&l->mutex);
    return n;
}

int logsink_trouble(struct logsink *l, uint64_t *since_ms)
{
    pthread_mutex_lock(&l->mutex);
    int error = l->error;
    *since_ms = error != 0 ? clock_mono_ms() - l->error_ms : 0;
    pthread_mutex_unlock(&l->mutex);
    return error;
}

struct logerrors *logsink_errors(const struct logsink *l)
{
    return l->errors;
}

void logsink_each(struct logsink *l, void (*fn)(const struct logform_line *line, void *arg), void *arg)
{
    struct head h;
    pthread_mutex_lock(&l->mutex);
    for (size_t at = 0; at + sizeof h <= l->ring.len; at += sizeof h + h.len) {
        memcpy(&h, l->ring.data + at, sizeof h);
        fn(&(struct logform_line){.wall_ms = h.wall_ms,
                                  .level = (enum log_level)h.level,
                                  .origin = {h.kind, h.slot, h.generation, h.pid},
                                  .tail = l->ring.data + at + sizeof h,
                                  .len = h.len},
           arg);
    }
    pthread_mutex_unlock(&l->mutex);
}

void logsink_set_dropped(struct logsink *l, uint64_t n)
{
    pthread_mutex_lock(&l->mutex);
    l->dropped = l->told = n;
    pthread_mutex_unlock(&l->mutex);
}
