/* siphash - see siphash.h. Little-endian on every machine: hosts of a fleet compare what they compute. */
#include "common/base/siphash.h"

#include <endian.h>
#include <stdint.h>
#include <string.h>

struct state {
    uint64_t v0, v1, v2, v3;
};

static inline uint64_t rotl(uint64_t x, int b)
{
    return x << b | x >> (64 - b);
}

static inline void rounds(struct state *s, int n)
{
    while (n-- > 0) {
        s->v0 += s->v1, s->v1 = rotl(s->v1, 13) ^ s->v0, s->v0 = rotl(s->v0, 32);
        s->v2 += s->v3, s->v3 = rotl(s->v3, 16) ^ s->v2;
        s->v0 += s->v3, s->v3 = rotl(s->v3, 21) ^ s->v0;
        s->v2 += s->v1, s->v1 = rotl(s->v1, 17) ^ s->v2, s->v2 = rotl(s->v2, 32);
    }
}

static inline uint64_t get64(const unsigned char *p)
{
    uint64_t v;
    memcpy(&v, p, sizeof v);
    return le64toh(v);
}

static inline void put64(unsigned char *p, uint64_t v)
{
    v = htole64(v);
    memcpy(p, &v, sizeof v);
}

void siphash_digest(const unsigned char key[SIPHASH_KEY], const void *data, size_t len,
                    unsigned char out[SIPHASH_SIZE])
{
    uint64_t k0 = get64(key), k1 = get64(key + 8), last = (uint64_t)len << 56;
    struct state s = {k0 ^ 0x736f6d6570736575u, k1 ^ 0x646f72616e646f6du ^ 0xee, k0 ^ 0x6c7967656e657261u,
                      k1 ^ 0x7465646279746573u};
    const unsigned char *p = data;
    size_t left = len;
    for (; left >= 8; p += 8, left -= 8) {
        uint64_t m = get64(p);
        s.v3 ^= m;
        rounds(&s, 2);
        s.v0 ^= m;
    }
    for (size_t i = 0; i < left; i++)
        last |= (uint64_t)p[i] << (8 * i);
    s.v3 ^= last;
    rounds(&s, 2);
    s.v0 ^= last;
    s.v2 ^= 0xee;
    rounds(&s, 4);
    put64(out, s.v0 ^ s.v1 ^ s.v2 ^ s.v3);
    s.v1 ^= 0xdd;
    rounds(&s, 4);
    put64(out + 8, s.v0 ^ s.v1 ^ s.v2 ^ s.v3);
}
