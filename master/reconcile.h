/* reconcile - wanted against present, every turn of the loop: starting, stopping, scaling and replacing are all this. */
#ifndef DRAY_MASTER_RECONCILE_H
#define DRAY_MASTER_RECONCILE_H

#include <stdbool.h>

#include "master/kinds.h"
#include "master/slot.h"

struct master;

#define RECONCILE_ROLL_TRIES 3 /* early deaths of a successor before the old process is kept */

void reconcile(struct master *m);

/* What slots tell. */
void reconcile_slot_up(struct slot *s);
void reconcile_slot_gone(struct slot *s);
void reconcile_slot_failed(struct slot *s);

/* Is a process of this kind wanted at this index? */
bool reconcile_wants(const struct master *m, const struct kind *k, unsigned index);
/* How many are wanted. */
unsigned reconcile_wanted(const struct master *m, enum kind_id k);

/* Replaces every process of kind k (NULL: of all kinds but exclusive ones) one by one, the new one READY before the
 * old one drains. A slot that is FAIL or waits is tried again at once. */
void reconcile_roll(struct master *m, const struct kind *k);
/* The same for one slot. */
void reconcile_roll_slot(struct slot *s);
/* The same for all kinds, and the keeper of a managed Redis, which hands the server over to its successor. The keepers of
 * other programs stay: their commands would end with them. */
void reconcile_roll_over(struct master *m);
bool reconcile_rolling(const struct master *m);
/* Begins the end. now: no drain. */
void reconcile_stop(struct master *m, bool now, enum exitcode code);

#endif
