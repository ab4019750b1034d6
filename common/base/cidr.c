/* cidr - see cidr.h. */
#include "common/base/cidr.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdint.h>
#include <string.h>

#include "common/base/str.h"

#define V4_BITS 96 /* in front of an IPv4 address */

static const unsigned char mapped[12] = {[10] = 0xff, [11] = 0xff};

static bool is_v4(const struct cidr *a)
{
    return memcmp(a->bytes, mapped, sizeof mapped) == 0;
}

int cidr_parse_address(const char *text, size_t len, struct cidr *out)
{
    char copy[CIDR_TEXT_SIZE];
    out->bits = 128;
    if (len < sizeof copy) {
        memcpy(copy, text, len);
        copy[len] = '\0';
        if (strlen(copy) == len && inet_pton(AF_INET, copy, out->bytes + 12) == 1) {
            memcpy(out->bytes, mapped, sizeof mapped);
            return 0;
        }
        if (strlen(copy) == len && inet_pton(AF_INET6, copy, out->bytes) == 1)
            return 0;
    }
    errno = EINVAL;
    return -1;
}

static bool rest_is_zero(const struct cidr *c)
{
    for (unsigned bit = c->bits; bit < 128; bit++)
        if ((c->bytes[bit / 8] & 0x80u >> bit % 8) != 0)
            return false;
    return true;
}

int cidr_parse(const char *text, struct cidr *out)
{
    const char *slash = strchr(text, '/');
    uint64_t bits;
    if (slash == NULL)
        return cidr_parse_address(text, strlen(text), out);
    if (cidr_parse_address(text, (size_t)(slash - text), out) == 0 && strlen(slash + 1) <= 3 &&
        str_parse_u64(slash + 1, &bits) == 0) {
        bool v4 = memchr(text, ':', (size_t)(slash - text)) == NULL;
        if (bits <= (v4 ? 32 : 128)) {
            out->bits = (unsigned)bits + (v4 ? V4_BITS : 0);
            if (rest_is_zero(out))
                return 0;
        }
    }
    errno = EINVAL;
    return -1;
}

bool cidr_contains(const struct cidr *network, const struct cidr *address)
{
    unsigned whole = network->bits / 8, left = network->bits % 8;
    if (is_v4(address) && network->bits < V4_BITS)
        return false; /* ::/0 is every IPv6 address, and no IPv4 one */
    if (memcmp(network->bytes, address->bytes, whole) != 0)
        return false;
    return left == 0 || ((network->bytes[whole] ^ address->bytes[whole]) & (0xff00u >> left) & 0xff) == 0;
}

char *cidr_format_address(const struct cidr *address, char dst[CIDR_TEXT_SIZE])
{
    if (is_v4(address))
        inet_ntop(AF_INET, address->bytes + 12, dst, CIDR_TEXT_SIZE);
    else
        inet_ntop(AF_INET6, address->bytes, dst, CIDR_TEXT_SIZE);
    return dst;
}
