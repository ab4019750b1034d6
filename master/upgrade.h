/* upgrade - another program in the same pid (USR2, dray upgrade): children, sockets and queued bytes are kept.
 *
 * PREFLIGHT: a child of the new binary reads the state and the configuration, and says OK. QUIET: signals are held back,
 * those that have come are served. Then the state goes into a memfd and the new binary is executed; what it does then is
 * upgrade_adopt.h. ROLL: the new program replaces the children one by one. Whatever fails before the exec leaves
 * everything as it was.
 */
#ifndef DRAY_MASTER_UPGRADE_H
#define DRAY_MASTER_UPGRADE_H

#include <ev.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/base/exitcode.h"

struct master;
struct logmux;

enum upgrade_phase { UPGRADE_IDLE, UPGRADE_PREFLIGHT, UPGRADE_QUIET, UPGRADE_ROLL };

#define UPGRADE_TEXT_MAX 512

struct upgrade {
    struct master *master;
    enum upgrade_phase phase;
    bool pending;      /* asked for by a signal while it could not be done */
    unsigned turns;    /* QUIET: of the loop, still to be waited for */
    char *path;        /* where the program was started from: absolute, links in it not followed */
    char *binary;      /* of the upgrade at hand */
    int exe_fd;        /* O_PATH: the program that runs */
    int next_fd;       /* O_PATH: the program to be; what is executed is what was tried */
    uint64_t began_ms; /* monotonic */

    /* The preflight. */
    pid_t pid;
    struct logmux *log;
    int answer_fd;
    bool late;
    ev_timer deadline;
    ev_idle idle; /* keeps the loop turning in QUIET */

    /* What is told. */
    unsigned count, failed;
    uint64_t took_ms;              /* the last one that went well */
    uint64_t adopted_ms;           /* monotonic: the beginning of this program; 0: it was started as usual */
    uint32_t generation;           /* children up to this one are the predecessor's */
    char from[64], to[64];         /* versions of the last try; to "": not known */
    char result[UPGRADE_TEXT_MAX]; /* "ok", or why it was not done; "": never tried */
};

struct upgrade *upgrade_new(struct master *m);
void upgrade_free(struct upgrade *u);

/* As soon as it may be: not while it starts, stops or replaces processes. Many such signals are one. */
void upgrade_later(struct master *m);
/* Asked for by a person: binary (absolute; NULL: the path it was started from). EXIT_CODE_OK: under way, or already so
 * with the same binary; control_sock_upgraded tells the end of it. Else text says why not. */
enum exitcode upgrade_now(struct master *m, const char *binary, char *text, size_t size);
/* Each turn of the loop, after everything else of it. */
void upgrade_look(struct master *m);
/* A child ended that is in no slot: true if it was the preflight. */
bool upgrade_reaped(struct master *m, pid_t pid, int status);
/* The end of an adoption: replace all children (back NULL), or tell that the predecessor's program is back, and why. */
void upgrade_adopted(struct master *m, const char *from, const char *back);
json_t *upgrade_json(const struct master *m);
const char *upgrade_phase_name(enum upgrade_phase p);

#endif
