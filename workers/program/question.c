/* question - see question.h. */
#include "workers/program/question.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/fd.h"
#include "common/base/log.h"
#include "common/base/str.h"

#define FIRST_WAIT_MS 2 /* doubles up to ready.interval */

static void ask(struct question *q);

static void next_after(struct question *q, uint64_t ms)
{
    ev_timer_stop(q->loop, &q->next);
    ev_timer_set(&q->next, (double)ms / 1e3, 0);
    ev_timer_start(q->loop, &q->next);
}

/* --- the attempt at hand --- */

static void drop_attempt(struct question *q)
{
    struct command_end end;
    ev_io_stop(q->loop, &q->io);
    ev_timer_stop(q->loop, &q->late);
    fd_close(&q->fd);
    if (q->asked.pid > 0) {
        command_stop(&q->asked, SIGKILL);
        command_bury(&q->asked, true, &end);
    }
}

static void schedule(struct question *q)
{
    if (!q->is_ready) {
        next_after(q, q->wait_ms);
        q->wait_ms = 2 * q->wait_ms < q->it->ready_interval_ms ? 2 * q->wait_ms : q->it->ready_interval_ms;
    } else if (q->it->health_interval_ms > 0) {
        next_after(q, q->it->health_interval_ms);
    }
}

static void on_good(struct question *q)
{
    bool first = !q->is_ready;
    drop_attempt(q);
    q->is_ready = true;
    q->failures = 0;
    schedule(q);
    if (first)
        q->fn(true, "", q->arg);
}

static void on_bad(struct question *q, const char *why)
{
    char text[160];
    drop_attempt(q);
    if (!q->is_ready) {
        schedule(q);
        return;
    }
    q->failures++;
    log_warn("program_unwell", "program=%s failures=%u of=%llu why=%s", log_q(q->it->id), q->failures,
             (unsigned long long)q->it->health_failures, log_q(why));
    if (q->failures < q->it->health_failures) {
        schedule(q);
        return;
    }
    snprintf(text, sizeof text, "%.120s", why);
    question_end(q);
    q->fn(false, text, q->arg);
}

static void on_late(struct ev_loop *loop, ev_timer *w, int revents)
{
    (void)loop, (void)revents;
    on_bad(w->data, "no answer in time");
}

static void watch(struct question *q, int fd, int events)
{
    uint64_t ms = q->it->health_timeout_ms;
    ev_io_stop(q->loop, &q->io);
    ev_io_set(&q->io, fd, events);
    ev_io_start(q->loop, &q->io);
    ev_timer_stop(q->loop, &q->late);
    ev_timer_set(&q->late, (double)ms / 1e3, 0);
    ev_timer_start(q->loop, &q->late);
}

/* --- a connection --- */

static void ask_connection(struct question *q)
{
    q->fd = socket(q->address.sa.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (q->fd >= 0 && connect(q->fd, (struct sockaddr *)&q->address.sa, q->address.len) == 0)
        on_good(q);
    else if (q->fd >= 0 && errno == EINPROGRESS)
        watch(q, q->fd, EV_WRITE);
    else
        on_bad(q, strerror(errno));
}

static void on_connected(struct question *q)
{
    int error = 0;
    socklen_t len = sizeof error;
    if (getsockopt(q->fd, SOL_SOCKET, SO_ERROR, &error, &len) != 0)
        error = errno;
    if (error == 0)
        on_good(q);
    else
        on_bad(q, strerror(error));
}

/* --- a command --- */

static void ask_command(struct question *q)
{
    struct command_fds fds = {.out = q->null_fd, .err = q->null_fd, .extra = -1};
    if (command_start(&q->asked, &q->plan, &fds) != 0)
        on_bad(q, strerror(errno));
    else
        watch(q, q->asked.pidfd, EV_READ);
}

static void on_command_ended(struct question *q)
{
    struct command_end end;
    ev_io_stop(q->loop, &q->io);
    command_bury(&q->asked, true, &end);
    if (end.exited && end.code == 0)
        on_good(q);
    else
        on_bad(q, end.text);
}

static void on_attempt(struct ev_loop *loop, ev_io *w, int revents)
{
    (void)loop, (void)revents;
    struct question *q = w->data;
    if (q->asked.pid > 0)
        on_command_ended(q);
    else
        on_connected(q);
}

/* --- what the program says by itself --- */

/* The program, or what it started; who has ended since may have been a tool of its own user. */
static bool is_from_program(const struct question *q, pid_t pid, uid_t uid)
{
    pid_t group = pid > 0 ? getpgid(pid) : -1;
    if (q->program->pid <= 0)
        return false;
    return group >= 0 ? group == q->program->pid : uid == q->uid;
}

static void read_news(struct question *q)
{
    struct notify_news news;
    pid_t pid;
    uid_t uid;
    for (int i = 0; i < 32 && notify_receive(q->told_fd, &news, &pid, &uid) == 1; i++) {
        if (!is_from_program(q, pid, uid)) {
            log_debug("program_notify_ignored", "program=%s from=%d", log_q(q->it->id), (int)pid);
            continue;
        }
        if (news.status[0] != '\0')
            str_copy(q->status, news.status, sizeof q->status);
        q->is_alive_told |= news.watchdog;
        if (news.ready && !q->is_ready)
            on_good(q);
    }
}

/* A line, or its end, says that it is ready; an end without a newline says nothing. */
static void read_line(struct question *q)
{
    char data[256];
    ssize_t n = read(q->told_fd, data, sizeof data);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0) {
        ev_io_stop(q->loop, &q->told);
        return;
    }
    if (memchr(data, '\n', (size_t)n) != NULL && !q->is_ready)
        on_good(q);
}

static void on_told(struct ev_loop *loop, ev_io *w, int revents)
{
    (void)loop, (void)revents;
    struct question *q = w->data;
    if (q->it->ready_type == CONF_READY_NOTIFY)
        read_news(q);
    else
        read_line(q);
}

static void check_watchdog(struct question *q)
{
    if (q->is_alive_told)
        on_good(q);
    else
        on_bad(q, "no WATCHDOG=1 in time");
    q->is_alive_told = false;
}

/* --- all of them --- */

static void ask(struct question *q)
{
    switch ((enum conf_ready)q->it->ready_type) {
    case CONF_READY_TCP:
    case CONF_READY_UNIX:
        ask_connection(q);
        break;
    case CONF_READY_COMMAND:
        ask_command(q);
        break;
    case CONF_READY_NOTIFY:
        if (q->is_ready)
            check_watchdog(q);
        break;
    case CONF_READY_NONE:
    case CONF_READY_FD:
        break;
    }
}

static void on_next(struct ev_loop *loop, ev_timer *w, int revents)
{
    (void)loop, (void)revents;
    ask(w->data);
}

static int resolve(struct question *q)
{
    char text[300];
    if (q->it->ready_type != CONF_READY_UNIX)
        return addr_parse(q->it->ready_address, &q->address);
    snprintf(text, sizeof text, "unix:%.250s", q->it->ready_address);
    return addr_parse(text, &q->address);
}

int question_init(struct question *q, struct ev_loop *loop, const struct conf_program *it,
                  const struct command *program, question_fn fn, void *arg)
{
    *q = (struct question){.loop = loop, .it = it, .program = program, .fn = fn, .arg = arg};
    q->fd = q->told_fd = q->given_fd = q->null_fd = q->asked.pidfd = -1;
    q->uid = geteuid();
    ev_timer_init(&q->next, on_next, 0, 0);
    ev_timer_init(&q->late, on_late, 0, 0);
    ev_io_init(&q->io, on_attempt, -1, EV_READ);
    ev_io_init(&q->told, on_told, -1, EV_READ);
    q->next.data = q->late.data = q->io.data = q->told.data = q;
    if (it->ready_type == CONF_READY_TCP || it->ready_type == CONF_READY_UNIX)
        return resolve(q);
    if (it->ready_type == CONF_READY_COMMAND) {
        if ((q->null_fd = open("/dev/null", O_RDWR | O_CLOEXEC)) < 0)
            return -1;
        return command_plan_make(&q->plan, it, it->ready_command);
    }
    if (it->ready_type == CONF_READY_NOTIFY)
        q->told_fd = notify_open(q->notify_address);
    return it->ready_type == CONF_READY_NOTIFY && q->told_fd < 0 ? -1 : 0;
}

int question_prepare(struct question *q)
{
    struct notify_news old;
    pid_t pid;
    uid_t uid;
    int ends[2];
    q->status[0] = '\0';
    q->is_ready = q->is_alive_told = false;
    q->failures = 0;
    q->wait_ms = FIRST_WAIT_MS;
    if (q->it->ready_type == CONF_READY_NOTIFY)
        while (notify_receive(q->told_fd, &old, &pid, &uid) == 1) /* words of the one before */
            continue;
    if (q->it->ready_type != CONF_READY_FD)
        return 0;
    ev_io_stop(q->loop, &q->told);
    fd_close(&q->told_fd);
    fd_close(&q->given_fd);
    if (pipe2(ends, O_CLOEXEC) != 0)
        return -1;
    q->told_fd = ends[0];
    q->given_fd = ends[1];
    return fd_set_nonblock(q->told_fd);
}

void question_begin(struct question *q)
{
    fd_close(&q->given_fd);
    if (q->told_fd >= 0) {
        ev_io_stop(q->loop, &q->told);
        ev_io_set(&q->told, q->told_fd, EV_READ);
        ev_io_start(q->loop, &q->told);
    }
    if (q->it->ready_type == CONF_READY_NONE)
        on_good(q);
    else if (q->it->ready_type != CONF_READY_NOTIFY && q->it->ready_type != CONF_READY_FD)
        schedule(q);
}

void question_end(struct question *q)
{
    drop_attempt(q);
    ev_timer_stop(q->loop, &q->next);
    ev_io_stop(q->loop, &q->told);
}
