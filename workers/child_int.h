/* child_int - the one structure of a child process, shared by child.c and its pieces; nobody else includes this. */
#ifndef DRAY_WORKERS_CHILD_INT_H
#define DRAY_WORKERS_CHILD_INT_H

#include <ev.h>
#include <signal.h>

#include "common/base/buf.h"
#include "common/base/evloop.h"
#include "ipc/chan.h"
#include "workers/child.h"

struct child {
    const struct child_kind *kind;
    void *state;
    unsigned slot;
    uint32_t generation, epoch;
    uint32_t beat_ms, drain_ms;
    unsigned listeners;
    char node[UUID_SIZE];
    char token[MSG_TOKEN_MAX];
    struct ev_loop *loop;
    struct chan *chan;
    struct conf *conf;
    struct metrics *metrics;

    bool configured, started, ready, draining, orphan, leaving;
    enum exitcode code;
    ev_timer deadline; /* of a drain that no master watches */
    ev_async term;     /* SIGTERM */
    struct evloop_guard guard;
    volatile sig_atomic_t term_pid;
    pid_t parent; /* the master, while it lives */

    struct {
        ev_timer timer;
        ev_check check;
        ev_prepare prepare;
        uint64_t due_us;        /* when the next beat should come */
        uint64_t turn_began_us; /* 0: not in a turn */
        uint64_t lag_us;        /* longest since the last beat */
    } beat;
    struct {
        struct buf bytes;     /* the snapshot told last, or being told */
        uint32_t next, parts; /* parts already sent, of how many */
    } stats;
    struct {
        struct buf bytes;
        uint32_t next;
    } metrics_in; /* METRICS whose parts have not all come */
    struct {
        char text[MSG_NOTE_MAX], sent[MSG_NOTE_MAX];
        ev_timer timer; /* active: not yet time for another */
        bool used;
    } note;
};

/* child_boot.c: what is done before the first message. */

/* Are the fixed descriptors what they must be? Strays are closed and told. Sets how many listening sockets there are.
 * -1: not started by a master (told on stderr). */
int child_boot_check_fds(unsigned *listeners);
/* "dray: KIND.SLOT" for ps, "KIND.SLOT" as the thread's name. Overwrites the memory of argv. */
void child_boot_title(char **argv, const char *kind, unsigned slot);
/* SIGTERM wakes c->term (c->term_pid says who sent it); signals that are the master's business do nothing here. They
 * are caught, not ignored, so that a program which this process executes begins with the defaults. */
void child_boot_signals(struct child *c);
/* Whether a crash writes a core file and a debugger of the same user gets in; not: its memory is closed to its siblings,
 * which may be the same user. */
void child_boot_core(bool wanted);

/* child_config.c: checks the memfd against what the message says and reads the configuration out of it. Closes fd.
 * OK, or the code to end with (told in the log). */
enum exitcode child_config_read(int fd, uint64_t length, const unsigned char sha256[32], struct conf **out);

/* child_beat.c: BEAT with the loop's lag, and STATS, from now on. */
void child_beat_start(struct child *c);
void child_beat_last(struct child *c); /* what was counted since the last beat */
/* c->beat_ms is another one: the next beat comes at once. */
void child_beat_again(struct child *c);
/* Sends on where the socket was full. */
void child_beat_drained(struct child *c);

#endif
