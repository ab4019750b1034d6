/* slot - one place for one child process, as a table of states and events.
 *
 * What happens is in slot.c's table; what is done is in slot_act.c. A rolling replacement is a second slot of the same
 * kind and index: the old one is drained when the new one is up.
 */
#ifndef DRAY_MASTER_SLOT_H
#define DRAY_MASTER_SLOT_H

#include <ev.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/base/buf.h"
#include "common/base/list.h"
#include "ipc/chan.h"
#include "master/kinds.h"
#include "master/obituary.h"
#include "master/recycle.h"
#include "master/usage.h"
#include "common/base/restart.h"

struct master;
struct logmux;

enum slot_state { SLOT_IDLE, SLOT_BOOT, SLOT_UP, SLOT_DRAIN, SLOT_KILL, SLOT_WAIT, SLOT_FAIL, SLOT_STATES };

enum slot_event {
    SLOT_EV_WANT,
    SLOT_EV_UNWANT,
    SLOT_EV_READY,
    SLOT_EV_BEAT,
    SLOT_EV_EXTEND,
    SLOT_EV_TIMER,
    SLOT_EV_EOF,   /* the control channel is of no more use */
    SLOT_EV_OK,    /* gone: exit 0 or 81 */
    SLOT_EV_RETRY, /* gone: any signal, any other code */
    SLOT_EV_PERMANENT,
    SLOT_EV_RETIRED,
    SLOT_EVENTS
};

struct slot {
    struct list link; /* master.slots */
    struct master *master;
    const struct kind *kind;
    unsigned index;
    enum slot_state state;
    ev_timer timer;

    /* The incarnation. */
    uint32_t generation;
    pid_t pid; /* 0: none */
    struct chan *chan;
    struct logmux *log;
    uint64_t spawned_ms, ready_ms; /* monotonic; ready 0: not READY yet */
    uint32_t extend_ms;            /* from the EXTEND at hand */
    bool signalled;                /* we sent ABRT or KILL */
    const char *kill_reason;       /* why, or NULL */
    struct msg_beat beat;          /* the latest */
    struct usage usage;
    uint32_t left;              /* what it did not finish, from its DRAINED */
    char note[MSG_NOTE_MAX];    /* what it says it is doing */
    struct msg_program program; /* of the external command that it runs; state "": it said nothing */
    struct buf stats;           /* parts of a STATS that is coming */
    uint32_t stats_parts;       /* parts received */
    bool configured;            /* CONFIG was sent */
    struct buf metrics;         /* a METRICS snapshot on its way out */
    uint32_t metrics_part;      /* its next part */
    uint32_t linked[128];       /* of a sender: generations of the receivers it was introduced to */
    struct recycle recycle;
    struct obituary obituary; /* what is known for it */
    bool lag_told;            /* that it lags, in this episode */
    unsigned n_linked;
    uint32_t epoch;      /* generation of the configuration it has; 0: none yet */
    uint32_t told_epoch; /* of the RELOAD it has not answered yet; 0: none */
    uint64_t told_ms;    /* monotonic */

    /* Over incarnations. */
    struct restart restart;
    struct slot_death death;
    struct death_history deaths;
    uint64_t restarts;
    uint64_t drain_ms; /* deadline given with the drain at hand */
    bool roll;         /* is to be replaced */
    bool
        hand_over; /* of an exclusive kind: the successor takes over what it keeps, so both may run meanwhile */
    bool ever_ready;
    unsigned boot_deaths;  /* in a row, never READY */
    bool reload_excused;   /* was not up when the reload began: that it does not come up proves nothing */
    bool reload_concerned; /* the reload is about this process */
    bool retired;          /* replaced: ends, and is freed */
    struct slot *replaces; /* a successor under way: the slot that goes when this is up */
};

struct slot *slot_new(struct master *m, const struct kind *kind, unsigned index);
/* Only an IDLE slot may be freed. */
void slot_free(struct slot *s);
void slot_event(struct slot *s, enum slot_event e);
const char *slot_state_name(enum slot_state st);
/* A process stands in this slot. */
bool slot_present(const struct slot *s);
/* The monitor was stopped itself: all deadlines begin anew. */
void slot_rearm(struct slot *s);
/* A drain under way gets no more than the kill grace. */
void slot_hurry(struct slot *s);

#endif
