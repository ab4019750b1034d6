/* crc32c - see crc32c.h. */
#include "common/segment/crc32c.h"

#include <stdbool.h>
#include <string.h>

#define POLYNOMIAL 0x82f63b78u /* reflected */

static struct {
    bool ready, hardware;
    uint32_t table[256];
} crc;

static void prepare(void)
{
    for (uint32_t i = 0; i < 256; i++) {
        uint32_t v = i;
        for (int bit = 0; bit < 8; bit++)
            v = (v >> 1) ^ (v & 1 ? POLYNOMIAL : 0);
        crc.table[i] = v;
    }
#if defined(__x86_64__)
    crc.hardware = __builtin_cpu_supports("sse4.2") != 0;
#endif
    crc.ready = true;
}

uint32_t crc32c_add_table(uint32_t seed, const void *data, size_t len)
{
    if (!crc.ready)
        prepare();
    const unsigned char *p = data;
    uint32_t v = ~seed;
    for (size_t i = 0; i < len; i++)
        v = (v >> 8) ^ crc.table[(v ^ p[i]) & 0xff];
    return ~v;
}

#if defined(__x86_64__)
__attribute__((target("sse4.2"))) static uint32_t add_hardware(uint32_t seed, const void *data, size_t len)
{
    const unsigned char *p = data;
    uint64_t v = ~seed;
    for (; len >= 8; p += 8, len -= 8) {
        uint64_t word;
        memcpy(&word, p, sizeof word);
        v = __builtin_ia32_crc32di(v, word);
    }
    uint32_t rest = (uint32_t)v;
    for (; len > 0; p++, len--)
        rest = __builtin_ia32_crc32qi(rest, *p);
    return ~rest;
}
#endif

uint32_t crc32c_add(uint32_t seed, const void *data, size_t len)
{
    if (!crc.ready)
        prepare();
#if defined(__x86_64__)
    if (crc.hardware)
        return add_hardware(seed, data, len);
#endif
    return crc32c_add_table(seed, data, len);
}
