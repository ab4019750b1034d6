/* id - see id.h. */
#include "common/base/id.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#include "common/base/clock.h"
#include "common/base/fatal.h"

#define POOL_SIZE 4096

static const char digits[] = "0123456789abcdefghjkmnpqrstvwxyz"; /* Crockford's base32, in sorting order */

static struct {
    unsigned char bytes[POOL_SIZE];
    size_t left;
} pool;

void id_random(void *dst, size_t len)
{
    unsigned char *p = dst;
    while (len > 0) {
        if (pool.left == 0) {
            ssize_t n;
            do {
                n = getrandom(pool.bytes, sizeof pool.bytes, 0);
            } while (n < 0 && errno == EINTR);
            if (n <= 0)
                fatal(EXIT_CODE_OSERR, "getrandom: %s", strerror(errno));
            pool.left = (size_t)n;
        }
        size_t take = len < pool.left ? len : pool.left;
        pool.left -= take;
        memcpy(p, pool.bytes + pool.left, take);
        p += take;
        len -= take;
    }
}

uint64_t id_random_u64(void)
{
    uint64_t v;
    id_random(&v, sizeof v);
    return v;
}

uint64_t id_random_below(uint64_t n)
{
    ASSERT(n > 0);
    uint64_t limit = UINT64_MAX - UINT64_MAX % n, v;
    do {
        v = id_random_u64();
    } while (v >= limit);
    return v % n;
}

void id_new(char dst[ID_SIZE])
{
    unsigned char random[15];
    id_random(random, sizeof random);
    uint64_t now = clock_wall_ms();
    dst[0] = 'b';
    for (int i = 9; i >= 1; i--) {
        dst[i] = digits[now & 31];
        now >>= 5;
    }
    for (int i = 0; i < 15; i++)
        dst[10 + i] = digits[random[i] & 31];
    dst[ID_SIZE - 1] = '\0';
}

bool id_valid(const char *s, size_t len)
{
    if (len != ID_SIZE - 1 || s[0] != 'b')
        return false;
    for (size_t i = 1; i < len; i++)
        if (s[i] == '\0' || strchr(digits, s[i]) == NULL)
            return false;
    return true;
}

void id_uuid4(char dst[UUID_SIZE])
{
    static const char hex[] = "0123456789abcdef";
    unsigned char b[16];
    id_random(b, sizeof b);
    b[6] = (unsigned char)((b[6] & 0x0f) | 0x40);
    b[8] = (unsigned char)((b[8] & 0x3f) | 0x80);
    char *p = dst;
    for (int i = 0; i < 16; i++) {
        if (i == 4 || i == 6 || i == 8 || i == 10)
            *p++ = '-';
        *p++ = hex[b[i] >> 4];
        *p++ = hex[b[i] & 15];
    }
    *p = '\0';
}
