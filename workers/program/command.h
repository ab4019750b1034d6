/* command - one external command: what it is executed with, how it is started, and how it ended.
 *
 * Everything is looked up beforehand (path, user, groups, environment): a start is one vfork (a clone that shares memory), a dozen system calls and
 * the exec, so that a dead program is back within the time that its own loading takes.
 */
#ifndef DRAY_WORKERS_PROGRAM_COMMAND_H
#define DRAY_WORKERS_PROGRAM_COMMAND_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/conf/conf.h"

#define COMMAND_GROUPS_MAX 256
#define COMMAND_ENV_MAX    512

struct command_plan {
    char path[PATH_MAX];
    char *const *argv;           /* borrowed from the configuration */
    char *envp[COMMAND_ENV_MAX]; /* owned */
    size_t n_env;
    const char *directory; /* borrowed; NULL: stays */
    bool change_user;
    uid_t uid;
    gid_t gid, groups[COMMAND_GROUPS_MAX];
    int n_groups;
    int umask;               /* -1: stays */
    uint64_t nofile, memory; /* 0: stays */
    bool core;
};

/* Which descriptors it gets beside 0 (ours). */
struct command_fds {
    int out, err;
    int extra, extra_at; /* extra -1: none */
};

struct command {
    pid_t pid; /* 0: none; also the number of its process group */
    int pidfd; /* readable when it has ended */
    uint64_t started_ms;
};

struct command_end {
    bool exited;
    int code;      /* exit code, or the signal */
    char text[32]; /* "exit 1", "SIGKILL" */
};

/* words: the command, or the question of the program (ready.command). -1 with errno: the program is not there, the user
 * is not known, or there are too many variables (E2BIG). */
int command_plan_make(struct command_plan *p, const struct conf_program *it, char *const *words);
/* Adds NAME=value (copied). -1 with E2BIG. */
int command_plan_env(struct command_plan *p, const char *name, const char *value);
void command_plan_fini(struct command_plan *p);
/* Own process group; SIGKILL when this process dies; no new privileges; signals as by default; no other descriptors.
 * -1 with errno: what failed, in the child as well (ENOENT of the exec, EPERM of the change of user). */
int command_start(struct command *c, const struct command_plan *p, const struct command_fds *fds);
/* To it alone. */
void command_signal(const struct command *c, int signo);
/* To all of its group, which goes on if it was stopped. */
void command_stop(const struct command *c, int signo);
/* After pidfd became readable: reaps it; with whole, its group is ended before. */
void command_bury(struct command *c, bool whole, struct command_end *end);

#endif
