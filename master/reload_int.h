/* reload_int - the one structure of reload.c and its pieces; nobody else includes this.
 *
 * reload.c        when what is done, slot by slot, and the way back
 * reload_plan.c   what would change
 * reload_force.c  which configuration is in force, with all that the master itself has of it
 * reload_tell.c   outcomes, for those who wait, status, metrics and the log
 */
#ifndef DRAY_MASTER_RELOAD_INT_H
#define DRAY_MASTER_RELOAD_INT_H

#include <stdint.h>

#include "common/base/buf.h"
#include "common/base/list.h"
#include "master/reload.h"
#include "master/reload_plan.h"
#include "master/state.h"

#define RELOAD_ERRORS_MAX (64u << 10)

enum reload_result { RELOAD_DONE, RELOAD_UNCHANGED, RELOAD_REFUSED, RELOAD_FAILED, RELOAD_RESULTS };
enum reload_phase { RELOAD_AT_REST, RELOAD_UNDER_WAY, RELOAD_GOING_BACK };

/* A configuration as it is, or was, in force. */
struct sealed {
    struct conf *conf;
    int fd;
    uint64_t len;
    unsigned char sha256[32];
    uint32_t epoch;
    struct listen_set *listen;
    unsigned wanted[KIND_COUNT];
    bool by_hand[KIND_COUNT];
};

struct reload {
    struct master *m;
    enum reload_phase phase;
    struct sealed before;    /* while UNDER_WAY: to go back to */
    struct reload_plan plan; /* of the one under way; its configuration is in force */
    char *error;             /* why it goes back */
    int code;
    struct list waits;
    uint64_t count[RELOAD_RESULTS];
    json_t *last; /* outcome */
    uint64_t last_ms, success_wall_ms;
};

struct reload_wait {
    struct list link;
    bool served; /* by the one under way; else by the next */
    reload_done_fn done;
    void *arg;
};

/* reload_force.c. Seals c into a memfd. 0, or -1 after logging. */
int reload_force_seal(const struct conf *c, struct sealed *out);
void reload_force_set(struct master *m, const struct sealed *s);
struct sealed reload_force_get(const struct master *m);
/* Of no more use; what is in force may share its sockets. */
void reload_force_drop(struct master *m, struct sealed *s);
/* The plan is in force from here on: who starts next has it; what was is in r->before. Or why it was refused. */
enum exitcode reload_force_plan(struct reload *r, struct buf *errors);
/* What was before is in force again. */
void reload_force_back(struct reload *r);

/* reload_tell.c. The reload is over. */
void reload_tell_result(struct reload *r, enum reload_result result, int code, const char *error);
void reload_tell_refused(struct reload *r, enum exitcode code, struct buf *errors);
void reload_tell_begin(const struct reload *r); /* to the log */
void reload_tell_restart_keys(const struct reload *r);
void reload_tell_stopping(struct reload *r); /* whoever waits */

#endif
