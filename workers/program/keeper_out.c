/* keeper_out - what the program prints: two pipes that live as long as the keeper, each line to the log.
 * The program's ends block: a program that is not made for it must not see EAGAIN.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include "common/base/fd.h"
#include "common/base/log.h"
#include "workers/program/keeper.h"

#define READ_SIZE    16384
#define ROOM_MS      200
#define FINISH_READS 64 /* at its end: the pipe held no more than 64 KiB, but who outlives it may print on */

/* A line is rather written a little later than lost; but a log that stands still must not hold us up: it is waited for once
 * in a turn. */
static void wait_for_room(struct keeper *k)
{
    struct pollfd log = {.fd = STDERR_FILENO, .events = POLLOUT};
    if (!k->log_stands && poll(&log, 1, ROOM_MS) == 0)
        k->log_stands = true;
}

static void on_line(const char *text, size_t len, bool goes_on, void *arg)
{
    struct keeper_stream *s = arg;
    struct keeper *k = s->keeper;
    wait_for_room(k);
    log_event(s->level, "program_output", "program=%s stream=%s %s%stext=%s", log_q(k->it->id), s->name,
              s->capture.continued ? "part=continued " : "", goes_on ? "cut=yes " : "", log_qn(text, len));
}

/* Bounded per call: a program that prints without end must not keep us from watching it. */
static bool read_some(struct keeper_stream *s)
{
    char data[READ_SIZE];
    ssize_t n = read(s->fds[0], data, sizeof data);
    if (n > 0)
        capture_feed(&s->capture, data, (size_t)n, on_line, s);
    return n > 0;
}

static void on_readable(struct ev_loop *loop, ev_io *w, int revents)
{
    (void)loop, (void)revents;
    struct keeper_stream *s = w->data;
    s->keeper->log_stands = false;
    (void)read_some(s);
}

static int open_stream(struct keeper *k, struct keeper_stream *s, const char *name, enum log_level level)
{
    s->keeper = k;
    s->name = name;
    s->level = level;
    if (pipe2(s->fds, O_CLOEXEC) != 0 || fd_set_nonblock(s->fds[0]) != 0)
        return -1;
    ev_io_init(&s->io, on_readable, s->fds[0], EV_READ);
    s->io.data = s;
    ev_io_start(child_loop(k->child), &s->io);
    return 0;
}

int keeper_out_open(struct keeper *k)
{
    return open_stream(k, &k->out, "stdout", LOGL_INFO) | open_stream(k, &k->err, "stderr", LOGL_WARN);
}

static void finish(struct keeper_stream *s)
{
    for (int i = 0; i < FINISH_READS && read_some(s); i++)
        continue;
    capture_flush(&s->capture, on_line, s);
}

void keeper_out_finish(struct keeper *k)
{
    k->log_stands = false;
    finish(&k->out);
    finish(&k->err);
}
