/* program - the states of the child that runs the managed redis-server; shared by program.c and its helpers alone. */
#ifndef DRAY_WORKERS_PROGRAM_PROGRAM_H
#define DRAY_WORKERS_PROGRAM_PROGRAM_H

#include "workers/child.h"
#include "workers/program/lockfile.h"
#include "workers/program/output.h"
#include "workers/program/probe.h"
#include "workers/program/server.h"

#define PROGRAM_SILENT_MS                                                                                    \
    60000 /* a server that answers nothing for so long is killed; a stopped one for less is fine */

enum program_phase {
    PROGRAM_LOCK,  /* another holds the data folder: take the lock, or adopt the server that answers */
    PROGRAM_UP,    /* a server runs */
    PROGRAM_PAUSE, /* it ended; the next start waits */
    PROGRAM_PEERS, /* the master is gone: its other children may still need Redis */
    PROGRAM_STOP,  /* it was told to end */
    PROGRAM_DONE,
};

struct program {
    struct child *child;
    enum program_phase phase;
    char binary[LOCKFILE_PATH_MAX], socket[LOCKFILE_PATH_MAX], dir[LOCKFILE_PATH_MAX],
        lock_path[LOCKFILE_PATH_MAX];
    struct server_args args;
    int lock_fd;
    bool lock_is_ours;
    struct server server;
    struct probe probe;
    struct output output;
    char last_words[256]; /* of the server: its last warning */
    ev_timer turn;
    ev_io ended, printed;
    bool is_ready;        /* the master was told */
    bool answered;        /* this server has answered PONG */
    unsigned failures;    /* servers in a row that ended early */
    unsigned unanswered;  /* servers in a row that ended without one answer */
    uint64_t turned_ms;   /* last turn, for measuring without counting our own sleep */
    uint64_t waited_ms;   /* in PROGRAM_LOCK */
    uint64_t silent_ms;   /* since the last answer */
    uint64_t extended_ms; /* since READY was last asked to wait */
    uint64_t stop_at_ms;  /* PROGRAM_PEERS: no longer than this */
    uint64_t kill_at_ms;  /* PROGRAM_STOP: SIGKILL then */
    bool told_waiting, told_complaint;
};

int program_start(struct child *c, struct program *p, enum exitcode *code);
void program_drain(struct program *p, uint32_t deadline_ms);

#endif
