/* id - identifiers from a pool of kernel randomness.
 *
 * A batch id is a letter and base32 digits, sortable by time: never numeric (Bull 4.16.5 gives numeric ids to its own
 * jobs and overwrites a custom id that collides) and without a colon (Bull builds keys with colons).
 */
#ifndef DRAY_COMMON_BASE_ID_H
#define DRAY_COMMON_BASE_ID_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ID_SIZE   26 /* 'b' + 9 digits of time (ms) + 15 digits of randomness (75 bits) + NUL */
#define UUID_SIZE 37 /* 8-4-4-4-12 + NUL */

void id_new(char dst[ID_SIZE]);
bool id_valid(const char *s, size_t len); /* form only */
void id_uuid4(char dst[UUID_SIZE]);
void id_random(void *dst, size_t len);
uint64_t id_random_u64(void);
/* Uniform in [0, n); n > 0. */
uint64_t id_random_below(uint64_t n);

#endif
