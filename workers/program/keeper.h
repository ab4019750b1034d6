/* keeper - the states of the child that keeps one program of the configuration running; for keeper*.c and entry.c. */
#ifndef DRAY_WORKERS_PROGRAM_KEEPER_H
#define DRAY_WORKERS_PROGRAM_KEEPER_H

#include "common/base/restart.h"
#include "common/base/log.h"
#include "workers/child.h"
#include "workers/program/capture.h"
#include "workers/program/command.h"
#include "workers/program/question.h"

enum keeper_phase {
    KEEPER_OLD,    /* an earlier one of this program still lives */
    KEEPER_UP,     /* it runs */
    KEEPER_ENDING, /* it was asked to end: by a drain, or because it does not work */
    KEEPER_SWEEP,  /* it ended; what it started still lives */
    KEEPER_PAUSE,  /* the next start waits */
    KEEPER_ENDED,  /* it ended and is not started again */
    KEEPER_PEERS,  /* the master is gone: its other children may still need it */
    KEEPER_DONE,
};

/* One of its two outputs. */
struct keeper_stream {
    struct keeper *keeper;
    const char *name;
    enum log_level level;
    int fds[2];
    ev_io io;
    struct capture capture;
};

struct keeper {
    struct child *child;
    const struct conf_program *it;
    enum keeper_phase phase;
    struct command_plan plan;
    struct command command;
    struct question question;
    struct keeper_stream out, err;
    struct restart restart;
    struct restart_window deaths;
    char note_path[PATH_MAX];
    ev_io ended;
    ev_timer turn;     /* of the phase */
    ev_timer boot;     /* ready.timeout */
    ev_timer tick;     /* every second */
    ev_timer tell;     /* the next PROGRAM may be sent */
    bool told_ready;   /* the master was told READY */
    bool draining;     /* it is to end for good */
    bool killed_by_us; /* this one was asked to end */
    bool log_stands;   /* no room in the log's pipe, in this turn */
    bool is_degraded, untold;
    const char *state; /* word for status */
    uint64_t ready_ms; /* monotonic; 0: not ready */
    uint64_t kill_at_ms, swept_ms, extended_ms, stop_at_ms;
    uint64_t restarts;
    struct command_end last;
};

int keeper_start(struct child *c, struct keeper *k, const struct conf_program *it, enum exitcode *code);
void keeper_drain(struct keeper *k, uint32_t deadline_ms);
/* dray reload left the program as it is (it says the same): its reload_signal, if it has one. */
void keeper_reloaded(struct keeper *k, const struct conf_program *it);

/* keeper_out.c: what it prints. -1 with errno. */
int keeper_out_open(struct keeper *k);
/* Reads what is there, tells unfinished lines. */
void keeper_out_finish(struct keeper *k);

#endif
