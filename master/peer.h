/* peer - introduces two children: makes the pipes of a batch link and hands each its ends. */
#ifndef DRAY_MASTER_PEER_H
#define DRAY_MASTER_PEER_H

#include <stdint.h>

struct master;
struct slot;

/* Every sender that is up with every receiver that is up, each pair of incarnations once. What fails for want of
 * descriptors is tried again at the next call. */
void peer_introduce_all(struct master *m);

/* A sender's link to that incarnation is gone: the two are introduced again, if both are still up at the next turn. */
void peer_unlinked(struct slot *sender, uint32_t generation);

#endif
