/* crc32c - CRC-32C (Castagnoli), with the processor's instruction where it has one. Pure. */
#ifndef DRAY_COMMON_SEGMENT_CRC32C_H
#define DRAY_COMMON_SEGMENT_CRC32C_H

#include <stddef.h>
#include <stdint.h>

/* Goes on from crc (0 to begin). */
uint32_t crc32c_add(uint32_t crc, const void *data, size_t len);
/* The same by table alone, so that both ways can be compared. */
uint32_t crc32c_add_table(uint32_t crc, const void *data, size_t len);

#endif
