/* map - see map.h. Open addressing with linear probing and backward-shift deletion; at most 3/4 full. */
#include "common/base/map.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/fatal.h"
#include "common/base/id.h"
#include "common/base/mem.h"

struct entry {
    uint64_t hash;
    void *key; /* NULL: free place */
    size_t len;
    void *value;
};

struct map {
    struct entry *entries;
    size_t size; /* a power of two */
    size_t count;
};

#define ROTL(x, b) (((x) << (b)) | ((x) >> (64 - (b))))
#define ROUND(v0, v1, v2, v3)                                                                                \
    do {                                                                                                     \
        v0 += v1, v1 = ROTL(v1, 13), v1 ^= v0, v0 = ROTL(v0, 32);                                            \
        v2 += v3, v3 = ROTL(v3, 16), v3 ^= v2;                                                               \
        v0 += v3, v3 = ROTL(v3, 21), v3 ^= v0;                                                               \
        v2 += v1, v1 = ROTL(v1, 17), v1 ^= v2, v2 = ROTL(v2, 32);                                            \
    } while (0)

/* SipHash-1-3 (Aumasson, Bernstein 2012). */
uint64_t map_hash(const void *key, size_t len)
{
    static uint64_t k[2];
    if (k[0] == 0 && k[1] == 0)
        id_random(k, sizeof k);
    uint64_t v0 = k[0] ^ 0x736f6d6570736575u, v1 = k[1] ^ 0x646f72616e646f6du;
    uint64_t v2 = k[0] ^ 0x6c7967656e657261u, v3 = k[1] ^ 0x7465646279746573u;
    const unsigned char *p = key;
    size_t left = len;
    for (; left >= 8; p += 8, left -= 8) {
        uint64_t m;
        memcpy(&m, p, 8);
        v3 ^= m;
        ROUND(v0, v1, v2, v3);
        v0 ^= m;
    }
    uint64_t last = (uint64_t)len << 56;
    for (size_t i = 0; i < left; i++)
        last |= (uint64_t)p[i] << (8 * i);
    v3 ^= last;
    ROUND(v0, v1, v2, v3);
    v0 ^= last;
    v2 ^= 0xff;
    for (int i = 0; i < 3; i++)
        ROUND(v0, v1, v2, v3);
    return v0 ^ v1 ^ v2 ^ v3;
}

struct map *map_new(void)
{
    struct map *m = xcalloc(1, sizeof *m);
    m->size = 16;
    m->entries = xcalloc(m->size, sizeof *m->entries);
    return m;
}

void map_free(struct map *m)
{
    if (m == NULL)
        return;
    for (size_t i = 0; i < m->size; i++)
        free(m->entries[i].key);
    free(m->entries);
    free(m);
}

/* The place of the key, or the free place where it would go. */
static struct entry *find(const struct map *m, uint64_t hash, const void *key, size_t len)
{
    size_t mask = m->size - 1, i = hash & mask;
    for (;; i = (i + 1) & mask) {
        struct entry *e = &m->entries[i];
        if (e->key == NULL || (e->hash == hash && e->len == len && memcmp(e->key, key, len) == 0))
            return e;
    }
}

static void grow(struct map *m)
{
    struct entry *old = m->entries;
    size_t size = m->size;
    m->size *= 2;
    m->entries = xcalloc(m->size, sizeof *m->entries);
    for (size_t i = 0; i < size; i++)
        if (old[i].key != NULL)
            *find(m, old[i].hash, old[i].key, old[i].len) = old[i];
    free(old);
}

void *map_get(const struct map *m, const void *key, size_t len)
{
    return find(m, map_hash(key, len), key, len)->value;
}

void *map_put(struct map *m, const void *key, size_t len, void *value)
{
    ASSERT(value != NULL);
    if ((m->count + 1) * 4 > m->size * 3)
        grow(m);
    uint64_t hash = map_hash(key, len);
    struct entry *e = find(m, hash, key, len);
    void *before = e->value;
    if (e->key == NULL) {
        e->hash = hash;
        e->len = len;
        e->key = xmalloc(len);
        memcpy(e->key, key, len);
        m->count++;
    }
    e->value = value;
    return before;
}

void *map_remove(struct map *m, const void *key, size_t len)
{
    struct entry *e = find(m, map_hash(key, len), key, len);
    if (e->key == NULL)
        return NULL;
    void *value = e->value;
    free(e->key);
    m->count--;
    size_t mask = m->size - 1, hole = (size_t)(e - m->entries);
    for (size_t i = (hole + 1) & mask; m->entries[i].key != NULL; i = (i + 1) & mask) {
        size_t home = m->entries[i].hash & mask;
        if (((i - home) & mask) >= ((i - hole) & mask)) {
            m->entries[hole] = m->entries[i];
            hole = i;
        }
    }
    m->entries[hole] = (struct entry){0};
    return value;
}

size_t map_count(const struct map *m)
{
    return m->count;
}

bool map_next(const struct map *m, size_t *it, const void **key, size_t *len, void **value)
{
    for (; *it < m->size; (*it)++) {
        const struct entry *e = &m->entries[*it];
        if (e->key == NULL)
            continue;
        *key = e->key;
        *len = e->len;
        *value = e->value;
        (*it)++;
        return true;
    }
    return false;
}
