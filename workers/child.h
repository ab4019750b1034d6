/* child - what every child process does, so that a kind is only its own work.
 *
 * Checks the inherited descriptors, says HELLO, reads CONFIG and RELOAD (verifies the memfd's length and SHA-256), calls the
 * kind's start; says READY when the kind says so; sends BEAT (loop lag, in hand, Redis client ids) and STATS each
 * beat; passes LINK, DRAIN, HEALTH, METRICS, REAP on; ends on STOP. When the master is gone (EOF on the control
 * socket) it drains for at most CHILD_ORPHAN_MS and exits 81. SIGTERM from outside is a drain of its own.
 */
#ifndef DRAY_WORKERS_CHILD_H
#define DRAY_WORKERS_CHILD_H

#include <ev.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/conf/conf.h"
#include "common/metrics/metrics.h"
#include "ipc/msg.h"
#include "workers/sandbox.h"

#define CHILD_ORPHAN_MS  10000
#define CHILD_DRAIN_TERM "SIGTERM" /* the reason of a drain that a signal asked for */

struct child;

/* What a kind provides; NULL entries are not wanted (a message for a NULL entry is a protocol error, exit 76). */
struct child_kind {
    const char *name;
    /* Sets up; child_config and child_loop are usable. Calls child_ready now or later. -1: exit with *code. */
    int (*start)(struct child *c, void *state, enum exitcode *code);
    /* A new pipe pair; role tells which half. The kind owns the descriptors. */
    void (*link)(struct child *c, const struct msg_link *m, int batch_fd, int ack_fd, void *state);
    /* Finish within deadline_ms, then call child_drained. Called once, possibly before child_ready (a SIGTERM while
     * booting); NULL: nothing to finish, the process ends at once. When the master does not watch the deadline (it is
     * gone, or SIGTERM came from outside), the process ends by itself a second behind it. */
    void (*drain)(struct child *c, uint32_t deadline_ms, const char *reason, void *state);
    void (*health)(struct child *c, const struct msg_health *m, void *state);
    void (*metrics)(struct child *c, const char *bytes, size_t len, void *state); /* whole, parts joined */
    void (*reap)(struct child *c, const struct msg_reap *m, void *state);
    /* Send on what is in hand; child_flushed(id) once all of it has left. */
    void (*flush)(struct child *c, uint32_t id, void *state);
    void (*pause)(struct child *c, const struct msg_pause *m, void *state);
    /* The configuration holds other values: child_config, the lists in it and their elements stand where they stood
     * (conf_take), but a list with other members has moved, and texts that differ have. Whatever points to those must be
     * set anew: *old is freed behind this. A kind is told only when no key that it would have to be replaced for has
     * changed. -1: it cannot be done, the process will be replaced; it
     * points to nothing of the new values. NULL: every key that concerns the kind is read where it
     * is needed. Not called while draining. */
    int (*reload)(struct child *c, const struct conf *old, void *state);
    /* Each of the above may call child_exit. Fills in in_hand and the client ids before each beat. */
    void (*beat)(struct child *c, struct msg_beat *m, void *state);
    /* The process dies by a bug: names what is in hand with crash_put_held. It may only read. */
    void (*held)(void *state);
    enum sandbox_kind sandbox; /* what it may do once it works */
    size_t state_size;         /* zeroed memory handed to all of the above */
};

/* Runs the kind to its end; returns the exit code of the process. argv[0] is for the process title. */
int child_main(const struct child_kind *kind, unsigned slot, char **argv);

struct ev_loop *child_loop(const struct child *c);
const struct conf *child_config(const struct child *c);
struct metrics *child_metrics(struct child *c);
unsigned child_slot(const struct child *c);
uint32_t child_generation(const struct child *c);
unsigned
child_listeners(const struct child *c); /* sockets from FDMAP_LISTEN on, in the order of the configuration */
const char *child_node(const struct child *c);  /* uuid */
const char *child_token(const struct child *c); /* <node>.<run>.<slot>.<generation> */
bool child_draining(const struct child *c);
bool child_orphan(const struct child *c); /* the master is gone */

void child_ready(struct child *c);                                /* once */
void child_extend(struct child *c, uint32_t ms, const char *why); /* READY needs longer */
void child_drained(struct child *c, unsigned left); /* the loop ends, exit 0 (81 when orphaned) */
/* A sender's link is gone, for whatever reason: the master makes another if that peer is still up. */
void child_unlinked(struct child *c, uint32_t peer_generation);
void child_reaped(struct child *c, const char *token, uint32_t jobs);
void child_flushed(struct child *c, uint32_t id);
/* What this process is doing, for people (dray status shows it), in at most 512 bytes of UTF-8; "": nothing to tell. May
 * be called as often as one likes: it is sent when it has changed, at most each 200 ms. From the kind's start on. */
void child_note(struct child *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* What became of the external command that this process runs. false: not sent, earlier words still wait; say it again. */
bool child_program(struct child *c, const struct msg_program *p);
void child_exit(struct child *c, enum exitcode code); /* leave the loop at once */

#endif
