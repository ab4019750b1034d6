/* question - does a program work? By the way that its configuration names (ready.type): a connection, a command that
 * exits 0, a word from itself. Asked while it starts, and again as a health check while it stands.
 */
#ifndef DRAY_WORKERS_PROGRAM_QUESTION_H
#define DRAY_WORKERS_PROGRAM_QUESTION_H

#include <ev.h>
#include <stdbool.h>

#include "common/base/addr.h"
#include "workers/program/command.h"
#include "workers/program/notify.h"

/* The program is ready (told once a start); or it failed health.failures times in a row. */
typedef void (*question_fn)(bool good, const char *why, void *arg);

struct question {
    struct ev_loop *loop;
    const struct conf_program *it; /* borrowed */
    question_fn fn;
    void *arg;
    const struct command *program; /* whom it is about */
    uid_t uid;                     /* whom it runs as */
    struct addr address;
    struct command_plan plan; /* of ready.command */
    struct command asked;     /* the command that is running now */
    ev_timer next, late;
    ev_io io, told; /* the attempt at hand; notify socket or pipe */
    int fd;         /* connection under way, -1: none */
    int told_fd;    /* notify socket, or the reading end of the pipe */
    int given_fd;   /* the writing end, for the program; -1: none */
    int null_fd;
    char notify_address[NOTIFY_ADDRESS_MAX];
    char status[NOTIFY_STATUS_MAX]; /* what the program last said about itself */
    bool is_ready, is_alive_told, line_begun;
    unsigned failures;
    uint64_t wait_ms;
};

/* -1 with errno: the address cannot be resolved, the command is not there. program: watched over starts. */
int question_init(struct question *q, struct ev_loop *loop, const struct conf_program *it,
                  const struct command *program, question_fn fn, void *arg);
/* Before each start of the program: what it needs for its answer. -1 with errno. */
int question_prepare(struct question *q);
/* It was started: ask until it is ready. type none: ready at once. */
void question_begin(struct question *q);
/* It ended, or is asked to: no more questions. */
void question_end(struct question *q);

#endif
