/* mpwalk - the only decoder of received msgpack: allocates nothing, trusts no count.
 *
 * Every count is checked against the bytes that remain before it is used: an array of n elements needs at least n
 * more bytes, a map 2n. (msgpack-c 4.0 reserves memory for whatever a 5-byte frame announces: 16 GiB for 400 M.)
 * All functions return 0, or -1 with EPROTO and the walker stays where it was. Pure.
 */
#ifndef DRAY_IPC_MPWALK_H
#define DRAY_IPC_MPWALK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct mpwalk {
    const unsigned char *at, *end;
};

#define MPWALK_DEPTH_MAX 16 /* for mpwalk_skip */

void mpwalk_init(struct mpwalk *w, const void *data, size_t len);
int mpwalk_array(struct mpwalk *w, uint32_t *n);
int mpwalk_map(struct mpwalk *w, uint32_t *n);
int mpwalk_u64(struct mpwalk *w, uint64_t *out); /* also a signed form that is not negative */
int mpwalk_u32(struct mpwalk *w, uint32_t *out);
int mpwalk_i64(struct mpwalk *w, int64_t *out);
int mpwalk_bool(struct mpwalk *w, bool *out);
/* str or bin; points into the input, not NUL-terminated. */
int mpwalk_bytes(struct mpwalk *w, const char **out, uint32_t *len);
/* str or bin of at most size - 1 bytes without NUL inside, copied and terminated. */
int mpwalk_text(struct mpwalk *w, char *dst, size_t size);
int mpwalk_skip(struct mpwalk *w); /* one whole value, nested at most MPWALK_DEPTH_MAX deep */
bool mpwalk_done(const struct mpwalk *w);

#endif
