/* reload - the configuration: handing it to children, and changing it while everything runs.
 *
 * The file is read and checked whole; any error, and nothing changes. What differs is of three classes (the apply column of
 * common/conf/NAME.def): LIVE keys are told to the running children (RELOAD, answered RELOADED; who refuses, or is silent
 * for health.hang, is replaced); for ROLL keys the kinds that concern.c names are replaced, one process at a time,
 * the new one READY before the old one drains; RESTART keys keep their old value and are named.
 *
 * All or nothing: when a process that was up does not come up with the new configuration (a value that only the child can
 * judge), the one before it is put back in force, whoever had the new one already is told or replaced once more, and the
 * reload has failed. So a process that dies later starts with a configuration that is known to work. Who was not up before
 * is no evidence: it is told as such, and nothing goes back for it. When going back fails as well, nothing more is tried:
 * each process keeps what it has, and status says who has which.
 *
 * What is asked for while it starts, replaces processes or reloads is done afterwards, once, with the file as it is then;
 * a start that does not get on (its processes die) is no hindrance: the new file may be what mends it.
 */
#ifndef DRAY_MASTER_RELOAD_H
#define DRAY_MASTER_RELOAD_H

#include <jansson.h>
#include <stdbool.h>

struct master;
struct slot;
struct msg_reloaded;
struct reload_wait;

/* Seals m->conf into a memfd with its SHA-256, as the first generation. 0, or -1 after logging. */
int reload_start(struct master *m);
/* The same after an upgrade: everything of it stands in m already. */
void reload_adopt(struct master *m);
/* After the loop. */
void reload_end(struct master *m);

/* Not while it stops, or an upgrade is about to put another program in this one's place. */
bool reload_may_be_asked(const struct master *m);
/* As soon as it may be. */
void reload_ask(struct master *m);
/* The same; done gets the outcome (a reference of its own: {"ok", "result": done, unchanged, refused, failed or stopping,
 * "epoch", "live", "roll", "kinds", "restart", "down", "code", "error"}) and frees nothing else. Cancel it when nobody
 * waits any more: that changes nothing. */
typedef void (*reload_done_fn)(json_t *outcome, void *arg);
struct reload_wait *reload_ask_and_wait(struct master *m, reload_done_fn done, void *arg);
void reload_cancel(struct reload_wait *w); /* NULL is fine */
/* What it would do: an answer like that of reload_done_fn, with "changes". */
json_t *reload_preview(const struct master *m);

/* Called in each turn of the loop, before what is wanted is brought about. */
void reload_turn(struct master *m);
/* From the first moment to the last. */
bool reload_is_under_way(const struct master *m);
/* A child's answer to RELOAD. */
void reload_answered(struct slot *s, const struct msg_reloaded *answer);
/* A successor did not come up; the roll has been given up. */
void reload_roll_failed(struct slot *successor, const char *why);

/* For status: {"under_way", "pending", "count": {result: n}, "last": outcome and "ms_ago"}. */
json_t *reload_json(const struct master *m);
/* Into m->own. */
void reload_metrics(struct master *m);

#endif
