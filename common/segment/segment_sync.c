/* segment_sync - see segment_sync.h.
 *
 * Two lists under one mutex: todo (the loop appends, the thread takes) and done (the other way round). A job is one
 * fsync of one file with everybody who waits for it; the thread takes one whole job at a time.
 */
#include "common/segment/segment_sync.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/list.h"
#include "common/base/mem.h"

struct waiting {
    segment_synced_fn fn;
    void *arg;
};

struct job {
    struct list link;
    int fd, error;
    bool new_file, close;
    struct waiting *waiting;
    size_t n, cap;
};

struct segment_sync {
    struct ev_loop *loop;
    ev_async wake;
    segment_sync_fn sync;
    int dir_fd;
    uint64_t interval_us, began_us; /* of the last one */
    void (*broken)(int fd, void *arg);
    void *arg;
    pthread_t thread;
    pthread_mutex_t mutex;
    pthread_cond_t more;
    struct list todo, done; /* both under the mutex */
    bool end;
};

static int sync_job(struct segment_sync *y, struct job *j)
{
    if (j->n > 0 && y->sync(j->fd) < 0)
        return errno;
    if (j->new_file && fsync(y->dir_fd) < 0)
        return errno;
    return 0;
}

/* The mutex is held. false: now; true: it was given up meanwhile. */
static bool wait_for_company(struct segment_sync *y)
{
    uint64_t now = clock_mono_us(), due = y->began_us + y->interval_us;
    if (y->interval_us == 0 || y->end || y->began_us == 0 || now >= due) {
        y->began_us = now;
        return false;
    }
    pthread_mutex_unlock(&y->mutex);
    struct timespec ts = {(time_t)((due - now) / 1000000), (long)((due - now) % 1000000) * 1000};
    nanosleep(&ts, NULL);
    pthread_mutex_lock(&y->mutex);
    return true;
}

static void *run(void *arg)
{
    struct segment_sync *y = arg;
    pthread_mutex_lock(&y->mutex);
    for (;;) {
        struct job *j = list_first(&y->todo, struct job, link);
        if (j == NULL) {
            if (y->end)
                break;
            pthread_cond_wait(&y->more, &y->mutex);
            continue;
        }
        if (wait_for_company(y)) /* the job may have grown, or others stand before it: look again */
            continue;
        list_remove(&j->link);
        pthread_mutex_unlock(&y->mutex);
        j->error = sync_job(y, j);
        if (j->close)
            close(j->fd);
        pthread_mutex_lock(&y->mutex);
        list_push_back(&y->done, &j->link);
        ev_async_send(y->loop, &y->wake);
    }
    pthread_mutex_unlock(&y->mutex);
    return NULL;
}

static void finish(struct segment_sync *y)
{
    for (;;) {
        pthread_mutex_lock(&y->mutex);
        struct job *j = list_first(&y->done, struct job, link);
        if (j != NULL)
            list_remove(&j->link);
        pthread_mutex_unlock(&y->mutex);
        if (j == NULL)
            return;
        if (j->error != 0 && !j->close)
            y->broken(j->fd, y->arg);
        for (size_t i = 0; i < j->n; i++)
            if (j->waiting[i].fn != NULL)
                j->waiting[i].fn(j->waiting[i].arg, j->error);
        free(j->waiting);
        free(j);
    }
}

static void woken(struct ev_loop *loop, ev_async *w, int revents)
{
    (void)loop;
    (void)revents;
    finish(w->data);
}

struct segment_sync *segment_sync_new(struct ev_loop *loop, segment_sync_fn sync, int dir_fd,
                                      uint64_t interval_ms, void (*broken)(int fd, void *arg), void *arg)
{
    struct segment_sync *y = xcalloc(1, sizeof *y);
    y->loop = loop;
    y->sync = sync;
    y->dir_fd = dir_fd;
    y->interval_us = interval_ms * 1000;
    y->broken = broken;
    y->arg = arg;
    list_init(&y->todo);
    list_init(&y->done);
    pthread_mutex_init(&y->mutex, NULL);
    pthread_cond_init(&y->more, NULL);
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before); /* signals belong to the loop's thread */
    int error = pthread_create(&y->thread, NULL, run, y);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (error != 0) {
        free(y);
        errno = error;
        return NULL;
    }
    ev_async_init(&y->wake, woken);
    y->wake.data = y;
    ev_async_start(loop, &y->wake);
    ev_unref(loop); /* does not keep the loop alive by itself */
    return y;
}

void segment_sync_free(struct segment_sync *y)
{
    if (y == NULL)
        return;
    pthread_mutex_lock(&y->mutex);
    y->end = true;
    pthread_cond_signal(&y->more);
    pthread_mutex_unlock(&y->mutex);
    pthread_join(y->thread, NULL);
    finish(y);
    ev_ref(y->loop);
    ev_async_stop(y->loop, &y->wake);
    pthread_mutex_destroy(&y->mutex);
    pthread_cond_destroy(&y->more);
    free(y);
}

/* The last job in todo if it is for fd, else a new one. The mutex is held. */
static struct job *job_for(struct segment_sync *y, int fd)
{
    if (!list_empty(&y->todo)) {
        struct job *last = list_entry(y->todo.prev, struct job, link);
        if (last->fd == fd && !last->close)
            return last;
    }
    struct job *j = xcalloc(1, sizeof *j);
    j->fd = fd;
    list_push_back(&y->todo, &j->link);
    return j;
}

int segment_sync_put(struct segment_sync *y, int fd, bool new_file, segment_synced_fn fn, void *arg)
{
    int result = 0;
    pthread_mutex_lock(&y->mutex);
    struct job *j = job_for(y, fd);
    if (j->n == j->cap) {
        size_t cap = j->cap > 0 ? j->cap * 2 : 8;
        struct waiting *more = mem_try_resize(j->waiting, cap * sizeof *more);
        if (more != NULL) {
            j->waiting = more;
            j->cap = cap;
        } else {
            result = -1;
        }
    }
    if (result == 0) {
        j->waiting[j->n++] = (struct waiting){fn, arg};
        j->new_file |= new_file;
    }
    pthread_cond_signal(&y->more);
    pthread_mutex_unlock(&y->mutex);
    return result;
}

void segment_sync_close(struct segment_sync *y, int fd)
{
    pthread_mutex_lock(&y->mutex);
    job_for(y, fd)->close = true;
    pthread_cond_signal(&y->more);
    pthread_mutex_unlock(&y->mutex);
}
