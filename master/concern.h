/* concern - the table of what the configuration is about: which kinds of process a key concerns. Pure.
 *
 * A key that applies by ROLL has the kinds replaced that it concerns; LIVE keys are told to everybody.
 */
#ifndef DRAY_MASTER_CONCERN_H
#define DRAY_MASTER_CONCERN_H

#include "master/kinds.h"

#define CONCERN_BIT(kind) (1u << (kind))

/* A set of CONCERN_BITs; key is as in the table of keys ("ingest.flush_at", "destinations[].url", "sources"). All kinds
 * for a key that no row knows: rather replaced without need than left with an old value. */
unsigned concern_kinds(const char *key);
/* It concerns single processes of the kind: kind.same says which. */
bool concern_is_of_one(const char *key);
/* The row that decides about key, or NULL: for the test that every section has one. */
const char *concern_row(const char *key);

#endif
