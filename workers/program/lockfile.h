/* lockfile - STATE_DIR/redis.lock: one redis-server for one data folder.
 *
 * The lock is a flock on the open file, not on the process: redis-server inherits the descriptor (as LOCKFILE_FD), so
 * the folder stays locked as long as it, or a process it forked, lives, whatever became of who started it.
 * The text in it says who: "SERVER_PID OWNER_PID SOCKET"; the owner is the program child that answers for the server.
 */
#ifndef DRAY_WORKERS_PROGRAM_LOCKFILE_H
#define DRAY_WORKERS_PROGRAM_LOCKFILE_H

#include <sys/types.h>

#define LOCKFILE_FD       3 /* in redis-server */
#define LOCKFILE_PATH_MAX 512

struct lockfile_note {
    pid_t server, owner; /* 0: not there */
    char socket[LOCKFILE_PATH_MAX];
};

/* Opens or creates it; close-on-exec. -1 with errno. */
int lockfile_open(const char *path);
/* 0, or -1 with EWOULDBLOCK: another holds it. */
int lockfile_take(int fd);
/* What is written there; zeros when nothing sensible is. */
void lockfile_read(int fd, struct lockfile_note *out);
int lockfile_write(int fd, const struct lockfile_note *note);
/* Some process (not a program child) that holds it open as LOCKFILE_FD, or 0. */
pid_t lockfile_holder(int fd);

#endif
