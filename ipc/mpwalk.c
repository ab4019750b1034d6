/* mpwalk - see mpwalk.h. Called by msg_parse and whoever walks a batch's events; no I/O, no allocation. */
#include "ipc/mpwalk.h"

#include <errno.h>
#include <string.h>

/* The msgpack types, as far as a peer may use them. */
enum kind { UINT, SINT, BOOL, NIL, FLOAT, BYTES, ARRAY, MAP, EXT, BAD };

/* The first bytes of a value, decoded. n: the number, the count of elements, or the length of the payload. */
struct token {
    enum kind kind;
    uint64_t n;
    size_t head; /* bytes before the payload or the elements */
};

static uint64_t big_endian(const unsigned char *p, size_t size)
{
    uint64_t v = 0;
    for (size_t i = 0; i < size; i++)
        v = v << 8 | p[i];
    return v;
}

/* How the byte behind the fix forms (0xc0 to 0xdf) reads: kind, width of what follows, bytes that belong to the head
 * besides (the type of an ext), and the payload of a fixext. */
static const struct {
    unsigned char kind, width, extra, payload;
} forms[32] = {
    [0x00] = {NIL, 0, 0, 0},   [0x01] = {BAD, 0, 0, 0},   [0x02] = {BOOL, 0, 0, 0},
    [0x03] = {BOOL, 0, 0, 0},  [0x04] = {BYTES, 1, 0, 0}, [0x05] = {BYTES, 2, 0, 0},
    [0x06] = {BYTES, 4, 0, 0}, [0x07] = {EXT, 1, 1, 0},   [0x08] = {EXT, 2, 1, 0},
    [0x09] = {EXT, 4, 1, 0},   [0x0a] = {FLOAT, 4, 0, 0}, [0x0b] = {FLOAT, 8, 0, 0},
    [0x0c] = {UINT, 1, 0, 0},  [0x0d] = {UINT, 2, 0, 0},  [0x0e] = {UINT, 4, 0, 0},
    [0x0f] = {UINT, 8, 0, 0},  [0x10] = {SINT, 1, 0, 0},  [0x11] = {SINT, 2, 0, 0},
    [0x12] = {SINT, 4, 0, 0},  [0x13] = {SINT, 8, 0, 0},  [0x14] = {EXT, 0, 1, 1},
    [0x15] = {EXT, 0, 1, 2},   [0x16] = {EXT, 0, 1, 4},   [0x17] = {EXT, 0, 1, 8},
    [0x18] = {EXT, 0, 1, 16},  [0x19] = {BYTES, 1, 0, 0}, [0x1a] = {BYTES, 2, 0, 0},
    [0x1b] = {BYTES, 4, 0, 0}, [0x1c] = {ARRAY, 2, 0, 0}, [0x1d] = {ARRAY, 4, 0, 0},
    [0x1e] = {MAP, 2, 0, 0},   [0x1f] = {MAP, 4, 0, 0},
};

static bool token_fix(unsigned char c, struct token *t)
{
    *t = (struct token){.head = 1};
    if (c < 0x80) {
        t->kind = UINT;
        t->n = c;
    } else if (c < 0x90) {
        t->kind = MAP;
        t->n = c & 15;
    } else if (c < 0xa0) {
        t->kind = ARRAY;
        t->n = c & 15;
    } else if (c < 0xc0) {
        t->kind = BYTES;
        t->n = c & 31;
    } else if (c >= 0xe0) {
        t->kind = SINT;
        t->n = (uint64_t)(int64_t)(int8_t)c;
    } else {
        return false;
    }
    return true;
}

/* Decodes the head at w->at; false unless the head, and the least that its count demands behind it, are there. */
static bool token_get(const struct mpwalk *w, struct token *t)
{
    size_t left = (size_t)(w->end - w->at);
    if (left == 0)
        return false;
    unsigned char c = w->at[0];
    if (!token_fix(c, t)) {
        size_t width = forms[c & 31].width;
        t->kind = (enum kind)forms[c & 31].kind;
        t->head = 1 + width + forms[c & 31].extra;
        if (t->kind == BAD || left < t->head)
            return false;
        t->n = width > 0 ? big_endian(w->at + 1, width) : forms[c & 31].payload;
        if (t->kind == SINT && width < 8 && (t->n >> (8 * width - 1)) != 0)
            t->n |= UINT64_MAX << (8 * width);
        if (t->kind == BOOL)
            t->n = c & 1;
    }
    left -= t->head;
    switch (t->kind) {
    case BYTES:
    case EXT:
    case ARRAY:
        return t->n <= left;
    case MAP:
        return t->n <= left / 2;
    default:
        return true;
    }
}

static int wrong(void)
{
    errno = EPROTO;
    return -1;
}

void mpwalk_init(struct mpwalk *w, const void *data, size_t len)
{
    w->at = data;
    w->end = w->at + len;
}

static int count(struct mpwalk *w, enum kind kind, uint32_t *n)
{
    struct token t;
    if (!token_get(w, &t) || t.kind != kind)
        return wrong();
    *n = (uint32_t)t.n;
    w->at += t.head;
    return 0;
}

int mpwalk_array(struct mpwalk *w, uint32_t *n)
{
    return count(w, ARRAY, n);
}

int mpwalk_map(struct mpwalk *w, uint32_t *n)
{
    return count(w, MAP, n);
}

int mpwalk_u64(struct mpwalk *w, uint64_t *out)
{
    struct token t;
    if (!token_get(w, &t) || (t.kind != UINT && !(t.kind == SINT && (int64_t)t.n >= 0)))
        return wrong();
    *out = t.n;
    w->at += t.head;
    return 0;
}

int mpwalk_u32(struct mpwalk *w, uint32_t *out)
{
    struct mpwalk before = *w;
    uint64_t v;
    if (mpwalk_u64(w, &v) < 0)
        return -1;
    if (v > UINT32_MAX) {
        *w = before;
        return wrong();
    }
    *out = (uint32_t)v;
    return 0;
}

int mpwalk_i64(struct mpwalk *w, int64_t *out)
{
    struct token t;
    if (!token_get(w, &t) || (t.kind != SINT && !(t.kind == UINT && t.n <= INT64_MAX)))
        return wrong();
    *out = (int64_t)t.n;
    w->at += t.head;
    return 0;
}

int mpwalk_bool(struct mpwalk *w, bool *out)
{
    struct token t;
    if (!token_get(w, &t) || t.kind != BOOL)
        return wrong();
    *out = t.n != 0;
    w->at += t.head;
    return 0;
}

int mpwalk_bytes(struct mpwalk *w, const char **out, uint32_t *len)
{
    struct token t;
    if (!token_get(w, &t) || t.kind != BYTES)
        return wrong();
    *out = (const char *)w->at + t.head;
    *len = (uint32_t)t.n;
    w->at += t.head + t.n;
    return 0;
}

int mpwalk_text(struct mpwalk *w, char *dst, size_t size)
{
    struct mpwalk before = *w;
    const char *s;
    uint32_t len;
    if (mpwalk_bytes(w, &s, &len) < 0)
        return -1;
    if (len >= size || memchr(s, '\0', len) != NULL) {
        *w = before;
        return wrong();
    }
    memcpy(dst, s, len);
    dst[len] = '\0';
    return 0;
}

int mpwalk_skip(struct mpwalk *w)
{
    struct mpwalk at = *w;
    uint64_t left[MPWALK_DEPTH_MAX]; /* values still to come on each level */
    unsigned depth = 0;
    left[0] = 1;
    for (;;) {
        while (left[depth] == 0) {
            if (depth == 0) {
                *w = at;
                return 0;
            }
            depth--;
        }
        left[depth]--;
        struct token t;
        if (!token_get(&at, &t))
            return wrong();
        at.at += t.head;
        if (t.kind == BYTES || t.kind == EXT) {
            at.at += t.n;
        } else if (t.kind == ARRAY || t.kind == MAP) {
            if (++depth == MPWALK_DEPTH_MAX)
                return wrong();
            left[depth] = t.kind == MAP ? 2 * t.n : t.n;
        }
    }
}

bool mpwalk_done(const struct mpwalk *w)
{
    return w->at == w->end;
}
