/* server - the redis-server process itself: how it is started, watched (pidfd), spoken to by signal, and buried.
 * Here stands the only fork outside of the master: the program child exists to run this one command. */
#ifndef DRAY_WORKERS_PROGRAM_SERVER_H
#define DRAY_WORKERS_PROGRAM_SERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/conf/conf.h"

#define SERVER_ARGS_MAX 40
#define SERVER_NUMBER   24

struct server {
    pid_t pid;     /* 0: none */
    int pidfd;     /* readable when it has ended */
    int output_fd; /* what it prints; -1: not to be had */
    bool adopted;  /* started by another: it is not our child */
    uint64_t started_ms;
};

struct server_args {
    const char *argv[SERVER_ARGS_MAX];
    char maxmemory[SERVER_NUMBER];
};

/* The command line; borrows the strings. */
void server_arguments(const struct conf_redis *c, const char *socket, const char *dir,
                      struct server_args *out);
/* Starts it in a process group of its own (a Ctrl-C on the terminal is not for it), with all signals as by default,
 * descriptors 0, the output pipe as 1 and 2, lock_fd as LOCKFILE_FD, and no other. -1 with errno. */
int server_start(struct server *s, const char *binary, const struct server_args *args, int lock_fd);
/* Takes over one that runs. -1 with ESRCH and others. */
int server_adopt(struct server *s, pid_t pid);
/* To the process alone. */
void server_signal(const struct server *s, int signo);
/* SIGKILL to it and to what it forked (a rewrite of the append-only file). */
void server_kill(const struct server *s);
/* After pidfd became readable: ends what it forked, reaps it, closes the descriptors but for output_fd (which may
 * still hold its last words), and says in how ("exit 1", "SIGKILL", "ended" for an adopted one) what happened. */
void server_bury(struct server *s, char *how, size_t size);

#endif
