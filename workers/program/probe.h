/* probe - one small connection to redis-server's unix socket: asks one thing at a time ("PING"), never blocks.
 * The program child stands outside of hiredis on purpose: what it watches must not be what it is built on. */
#ifndef DRAY_WORKERS_PROGRAM_PROBE_H
#define DRAY_WORKERS_PROGRAM_PROBE_H

#include <ev.h>
#include <stdbool.h>
#include <sys/types.h>

#include "common/base/buf.h"
#include "workers/program/reply.h"

/* The answer, or NULL: the connection was lost before it came. May call probe_ask and probe_close. */
typedef void (*probe_fn)(const struct reply *r, void *arg);

struct probe {
    struct ev_loop *loop;
    const char *path; /* borrowed */
    probe_fn fn;
    void *arg;
    ev_io io;
    int fd; /* -1: not connected */
    bool pending;
    pid_t server; /* who listens there, by the kernel's word */
    struct buf in;
};

void probe_init(struct probe *p, struct ev_loop *loop, const char *path, probe_fn fn, void *arg);
/* Connects if needed and sends an inline command. 0: fn will be called. -1 with errno: ENOENT, ECONNREFUSED (nobody
 * listens), EAGAIN (it does not accept), EBUSY (the last question is not answered yet). */
int probe_ask(struct probe *p, const char *command);
void probe_close(struct probe *p); /* fn is not called any more for what was asked */

#endif
