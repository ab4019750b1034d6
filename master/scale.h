/* scale - how many processes of each kind are wanted.
 *
 * The configuration says. A person may change it (TTIN, TTOU, `dray scale`): that holds until he gives it back (`dray scale
 * KIND auto`), or a reload changes processes.KIND. In between, for delivery, autoscale.c decides from the age of the oldest
 * waiting job, where master.autoscale is on and no person has. Only m->wanted is changed here: reconcile.c acts on it.
 */
#ifndef DRAY_MASTER_SCALE_H
#define DRAY_MASTER_SCALE_H

#include <stdbool.h>

#include "common/base/cpus.h"
#include "common/conf/conf.h"
#include "master/autoscale.h"
#include "master/kinds.h"

struct master;

struct scale {
    struct cpus cpus;                /* as last looked at: at the start and at each reload */
    unsigned configured[KIND_COUNT]; /* what the configuration asks for */
    bool by_hand[KIND_COUNT];
    struct autoscale autoscale; /* of delivery */
    double busy;                /* share of what delivery could have in hand, smoothed */
};

void scale_start(struct master *m);
/* m->conf is new; what was scaled by hand stays where its key is as in old. */
void scale_reload(struct master *m, const struct conf *old);

/* By hand. n processes from now on; by more or fewer; as the configuration says. -1 with ERANGE outside of 0 (1 for
 * ingest and delivery) to the kind's max, or for a kind that cannot be scaled. */
int scale_set(struct master *m, const struct kind *k, unsigned n);
int scale_step(struct master *m, const struct kind *k, int by);
int scale_auto(struct master *m, const struct kind *k);
unsigned scale_least(const struct kind *k);
unsigned scale_most(const struct kind *k);

/* Each second. */
void scale_tick(struct master *m);
/* "configuration", "hand" or "autoscale": who said how many are wanted. */
const char *scale_by(const struct master *m, const struct kind *k);

#endif
