/* alone - what health.lua and rate.lua do, for a process that shares nothing with others (redis.mode: none). */
#ifndef DRAY_COMMON_FLEET_ALONE_H
#define DRAY_COMMON_FLEET_ALONE_H

#include "common/fleet/fleet.h"

struct fleet_alone;

struct fleet_alone *fleet_alone_new(void);
void fleet_alone_free(struct fleet_alone *a); /* NULL is fine */
/* words: as health.lua has them behind the token. Returns what it grants. */
int fleet_alone_ask(struct fleet_alone *a, const struct fleet_rules *r, const char *dest, const char *op,
                    const char *const *words, struct fleet_view *out);
/* A learnt rate is not kept here: without a configured one no tokens are needed. */
int fleet_alone_tokens(struct fleet_alone *a, const char *dest, const struct fleet_wish *w,
                       uint64_t *retry_ms, uint64_t *rate);

#endif
