/* state - the one structure of the master process, passed to all of its parts. */
#ifndef DRAY_MASTER_STATE_H
#define DRAY_MASTER_STATE_H

#include <ev.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/base/evloop.h"
#include "common/base/id.h"
#include "common/base/list.h"
#include "common/conf/conf.h"
#include "common/metrics/metrics.h"
#include "master/kinds.h"
#include "master/master.h"
#include "master/recycle.h"
#include "master/scale.h"
#include "common/base/restart.h"
#include "master/turn.h"

struct slot;
struct listen_set;
struct logsink;
struct logstream;
struct reload;
struct control_sock;
struct confine;
struct upgrade;

enum master_phase { MASTER_STARTING, MASTER_RUNNING, MASTER_STOPPING };

struct master {
    struct ev_loop *loop;
    const struct master_options *options;
    enum master_phase phase;
    enum exitcode exit_code;
    uint64_t started_ms; /* monotonic */

    /* The configuration in force, and as it is handed to children. */
    struct conf *conf;
    uint32_t epoch;      /* its generation: rises with each reload that changes something */
    uint32_t last_epoch; /* given; never given again */
    int conf_fd;         /* sealed memfd */
    uint64_t conf_len;
    unsigned char conf_sha256[32];

    char node[UUID_SIZE]; /* of this host, kept in state_dir */
    uint64_t run;         /* of this master, ever rising on this host */

    struct list slots;           /* struct slot */
    unsigned wanted[KIND_COUNT]; /* processes; changed by scale.c alone */
    struct scale scale;
    struct recycle_pauses recycle_pauses;
    uint32_t last_generation;
    unsigned stage;            /* start stage reached, or stop stage under way */
    uint64_t stop_deadline_ms; /* monotonic */
    struct restart_window deaths[KIND_COUNT];
    bool rolling;              /* replacements were under way in the turn before */
    bool degraded[KIND_COUNT]; /* told */

    struct list orphans; /* struct reap_job: dead tokens whose jobs are still to be handed back */

    struct list paused; /* struct paused: queues that are left alone here */

    struct list flushes; /* struct flush */
    uint32_t last_flush;

    struct reload *reload;
    bool reload_pending; /* asked for while it could not be done */
    struct listen_set *listen;
    struct logsink *sink;
    struct logstream *own_log; /* of this process itself */
    struct list levels;        /* of the log, changed at run time (loglevel.c) */
    struct {
        ev_timer watchdog;
        char status[200]; /* told last */
    } sd;
    struct confine *confine; /* who the children are */
    struct control_sock *control_sock;
    struct upgrade *upgrade;
    int lock_fd;
    ev_timer lock_watch;
    bool lock_lost;      /* told */
    struct metrics *sum; /* what children said, merged, and the master's own */
    struct metrics *own;
    const char *health_told; /* state last told to the service manager and the log */

    ev_prepare reconcile;
    ev_check gap_check;
    ev_timer tick;
    uint64_t last_turn_ms; /* for the gap check and the loop lag */
    uint64_t expected_tick_ms;
    uint32_t loop_lag_ms; /* longest since the status before last second */
    uint32_t loop_lag_worst_ms;
    struct turn turn;
    struct evloop_guard guard;
};

#endif
