/* map - a hash table from bytes to pointers. Keys are copied. The hash is keyed with process randomness (SipHash),
 * so that no sender can choose colliding keys. */
#ifndef DRAY_COMMON_BASE_MAP_H
#define DRAY_COMMON_BASE_MAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct map;

struct map *map_new(void);
void map_free(struct map *m); /* the values are the caller's; NULL is fine */

void *map_get(const struct map *m, const void *key, size_t len); /* NULL: not there */
/* Returns the value that stood there before, or NULL. value must not be NULL. */
void *map_put(struct map *m, const void *key, size_t len, void *value);
void *map_remove(struct map *m, const void *key, size_t len); /* the removed value, or NULL */
size_t map_count(const struct map *m);

/* Visits all pairs in no order: start with *it = 0; returns false at the end. No put and no
 * remove during the walk. */
bool map_next(const struct map *m, size_t *it, const void **key, size_t *len, void **value);

/* The keyed hash itself, for other tables. */
uint64_t map_hash(const void *key, size_t len);

#endif
