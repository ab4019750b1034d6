/* siphash - SipHash-2-4 with 128 bits of result (Aumasson, Bernstein 2012): a keyed digest of short texts. Who does not
 * know the key cannot find two texts of the same digest. Pure. */
#ifndef DRAY_COMMON_BASE_SIPHASH_H
#define DRAY_COMMON_BASE_SIPHASH_H

#include <stddef.h>

#define SIPHASH_KEY  16
#define SIPHASH_SIZE 16

void siphash_digest(const unsigned char key[SIPHASH_KEY], const void *data, size_t len,
                    unsigned char out[SIPHASH_SIZE]);

#endif
