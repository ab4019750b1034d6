/* upgrade_state - the state of the master as a text (JSON) that another release of it can read, and back.
 *
 * Writing changes nothing. Reading makes inert structures: no descriptor is touched, no process is spoken to; what
 * becomes of them is upgrade_adopt.c's. Members that are unknown are ignored, missing ones have defaults; `form` is what
 * wrote it, `form_min` the oldest reader that understands it. Every count and every range is checked. Pure.
 */
#ifndef DRAY_MASTER_UPGRADE_STATE_H
#define DRAY_MASTER_UPGRADE_STATE_H

#include "common/base/buf.h"
#include "common/base/log.h"
#include "ipc/chan.h"
#include "master/logerrors.h"
#include "master/loglevel.h"
#include "master/reap.h"
#include "master/slot.h"
#include "master/state.h"
#include "master/upgrade.h"

#define UPGRADE_FORM        1
#define UPGRADE_FORM_MIN    1
#define UPGRADE_STATE_MAX   (64u << 20)
#define UPGRADE_SLOTS_MAX   1024
#define UPGRADE_SOCKETS_MAX 64
#define UPGRADE_LIST_MAX    4096 /* orphans, paused queues, overrides */
#define UPGRADE_LINES_MAX   65536
#define UPGRADE_FDS_MAX     4096

struct upgrade_slot {
    struct slot s; /* plain members; it is in no list */
    int chan_fd, log_fd;
    struct chan_rest rest;
    char half[LOG_LINE_MAX]; /* a line that is not whole yet */
    size_t half_len;
    bool half_continued;
    uint32_t wait_ms;  /* in WAIT: what is left of it */
    uint32_t replaces; /* generation-independent: position in the list from 1 on, 0: nobody */
};

struct upgrade_socket {
    int fd;
    enum kind_listen use;
    char *unix_path; /* or NULL */
};

struct upgrade_client {
    int fd;
    struct buf in, out;
    bool waits;     /* for the end of this upgrade */
    uint32_t flush; /* for this one; 0: no */
    uint32_t *generations;
    size_t n_generations;
};

struct upgrade_state {
    unsigned form;
    char version[64]; /* of who wrote it */
    struct master m;  /* plain members */
    struct upgrade upgrade;
    char *config_path;
    struct conf_override *overrides;
    size_t n_overrides;
    int conf_fd, lock_fd, control_fd;
    uint64_t control_dev, control_ino;
    struct upgrade_slot *slots;
    size_t n_slots;
    struct upgrade_socket *sockets;
    size_t n_sockets;
    struct upgrade_client *clients;
    size_t n_clients;
    struct reap_job *orphans;
    size_t n_orphans;
    char **paused;
    size_t n_paused;
    uint64_t log_dropped;
    struct logform_line *lines; /* of the log, not written yet; oldest first, as the errors */
    size_t n_lines;
    struct logerrors_line *errors;
    size_t n_errors;
    struct loglevel_rule *levels;
    size_t n_levels;
    struct buf sum, own; /* the metrics */
};

/* Descriptors that must outlive the exec. */
struct upgrade_fds {
    int fds[UPGRADE_FDS_MAX];
    size_t n;
};

/* fds (may be NULL) gets every descriptor the text names. 0, or -1 with errno: too big, no memory. */
int upgrade_state_write(const struct master *m, struct buf *out, struct upgrade_fds *fds);
/* 0, or -1 with a sentence in why. *out is to be finished in both cases. */
int upgrade_state_read(const char *text, size_t len, struct upgrade_state *out, char *why, size_t size);
void upgrade_state_fini(struct upgrade_state *st);

/* Shared by the writer and the reader. */
struct upgrade_table {
    const struct upgrade_field *rows;
    size_t n;
};
enum upgrade_table_id {
    UPGRADE_TABLE_MASTER,
    UPGRADE_TABLE_UPGRADE,
    UPGRADE_TABLE_SLOT,
    UPGRADE_TABLE_BEAT,
    UPGRADE_TABLE_PROGRAM,
    UPGRADE_TABLE_DEATH,
    UPGRADE_TABLE_RESTART,
    UPGRADE_TABLE_REAP,
    UPGRADE_TABLE_ERROR,
    UPGRADE_TABLE_LEVEL,
    UPGRADE_TABLES
};
const struct upgrade_table *upgrade_state_table(enum upgrade_table_id id);

#endif
