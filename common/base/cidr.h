/* cidr - IP addresses and networks as text ("10.0.0.0/8", "2001:db8::/32", a bare address), and who is inside. Pure.
 *
 * An IPv4-mapped IPv6 address is the IPv4 address everywhere. */
#ifndef DRAY_COMMON_BASE_CIDR_H
#define DRAY_COMMON_BASE_CIDR_H

#include <stdbool.h>
#include <stddef.h>

#define CIDR_TEXT_SIZE 46 /* an address with NUL */

struct cidr {
    unsigned char bytes[16]; /* IPv4 as ::ffff:a.b.c.d */
    unsigned bits;           /* of the 128: what must be equal */
};

/* A network, or an address (then all its bits count). 0, or -1 with EINVAL; bits behind the length must be 0. */
int cidr_parse(const char *text, struct cidr *out);
/* An address alone, len bytes of text. 0, or -1 with EINVAL. */
int cidr_parse_address(const char *text, size_t len, struct cidr *out);
bool cidr_contains(const struct cidr *network, const struct cidr *address);
/* The address as text in its usual form. Returns dst. */
char *cidr_format_address(const struct cidr *address, char dst[CIDR_TEXT_SIZE]);

#endif
