/* netset - a set of networks; see netset.h. */
#include "common/base/netset.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"
#include "common/base/str.h"

struct net {
    int family;
    unsigned bits;
    unsigned char bytes[16];
};

struct netset {
    size_t n;
    struct net nets[];
};

static const char *const private_nets[] = {
    "0.0.0.0/8",      "10.0.0.0/8",     "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12",
    "192.0.0.0/24",   "192.168.0.0/16", "198.18.0.0/15", "224.0.0.0/3", "::/128",         "::1/128",
    "64:ff9b:1::/48", "fc00::/7",       "fe80::/10",     "fec0::/10",   "ff00::/8",       NULL,
};
static const char *const all_nets[] = {"0.0.0.0/0", "::/0", NULL};

/* The words that a name stands for, or NULL. */
static const char *const *set_of(const char *word)
{
    return strcmp(word, "private") == 0 ? private_nets : strcmp(word, "all") == 0 ? all_nets : NULL;
}

static unsigned all_bits(int family)
{
    return family == AF_INET ? 32 : 128;
}

static bool same_front(const unsigned char *a, const unsigned char *b, unsigned bits)
{
    unsigned whole = bits / 8, rest = bits % 8;

    return memcmp(a, b, whole) == 0 && (rest == 0 || ((a[whole] ^ b[whole]) >> (8 - rest)) == 0);
}

static const char *parse(const char *word, struct net *out)
{
    char host[INET6_ADDRSTRLEN];
    size_t len = strcspn(word, "/");
    uint64_t bits;

    memset(out, 0, sizeof(*out));
    if (len == 0 || len >= sizeof(host))
        return "expected a network such as 10.0.0.0/8, fd00::/8 or 192.0.2.1, or private, or all";
    memcpy(host, word, len);
    host[len] = '\0';
    out->family = strchr(host, ':') != NULL ? AF_INET6 : AF_INET;
    if (inet_pton(out->family, host, out->bytes) != 1)
        return "expected a network such as 10.0.0.0/8, fd00::/8 or 192.0.2.1, or private, or all";
    out->bits = all_bits(out->family);
    if (word[len] == '\0')
        return NULL;
    if (str_parse_u64(word + len + 1, &bits) < 0 || bits > out->bits)
        return out->family == AF_INET ? "the number behind the / must be 0 to 32"
                                      : "the number behind the / must be 0 to 128";
    out->bits = (unsigned)bits;
    for (unsigned i = out->bits; i < all_bits(out->family); i++)
        if ((out->bytes[i / 8] >> (7 - i % 8) & 1) != 0)
            return "the address has bits behind the network's: write the network's own address, or /32 (/128) for one host";
    return NULL;
}

const char *netset_check(const char *word)
{
    struct net net;

    return set_of(word) != NULL ? NULL : parse(word, &net);
}

static void add(struct netset *s, const char *word)
{
    if (parse(word, &s->nets[s->n]) == NULL)
        s->n++;
}

struct netset *netset_new(char *const *words)
{
    size_t most = 0;
    struct netset *s;

    for (size_t i = 0; words[i] != NULL; i++)
        most += set_of(words[i]) != NULL ? sizeof(private_nets) / sizeof(private_nets[0]) : 1;
    if (most == 0)
        return NULL;
    s = xcalloc(1, sizeof(*s) + most * sizeof(s->nets[0]));
    for (size_t i = 0; words[i] != NULL; i++) {
        const char *const *set = set_of(words[i]);

        if (set == NULL)
            add(s, words[i]);
        for (; set != NULL && *set != NULL; set++)
            add(s, *set);
    }
    return s;
}

void netset_free(struct netset *s)
{
    free(s);
}

static bool has(const struct netset *s, int family, const unsigned char *bytes)
{
    for (size_t i = 0; i < s->n; i++)
        if (s->nets[i].family == family && same_front(s->nets[i].bytes, bytes, s->nets[i].bits))
            return true;
    return false;
}

/* Where the IPv4 address stands that an IPv6 one carries, or NULL. */
static const unsigned char *inner_of(const unsigned char *six)
{
    static const unsigned char zero[12] = {0}, mapped[12] = {[10] = 0xff, [11] = 0xff},
                               nat64[12] = {0, 0x64, 0xff, 0x9b}, sixtofour[2] = {0x20, 0x02};

    if (memcmp(six, mapped, 12) == 0 || memcmp(six, nat64, 12) == 0)
        return six + 12;
    if (memcmp(six, zero, 12) == 0 && (six[12] != 0 || six[13] != 0)) /* not :: and ::1 */
        return six + 12;
    return memcmp(six, sixtofour, 2) == 0 ? six + 2 : NULL;
}

bool netset_has(const struct netset *s, const struct sockaddr *address)
{
    const unsigned char *bytes, *inner;

    if (s == NULL)
        return false;
    if (address->sa_family == AF_INET)
        return has(s, AF_INET,
                   (const unsigned char *)&((const struct sockaddr_in *)(const void *)address)->sin_addr);
    if (address->sa_family != AF_INET6)
        return false;
    bytes = (const unsigned char *)&((const struct sockaddr_in6 *)(const void *)address)->sin6_addr;
    inner = inner_of(bytes);
    return has(s, AF_INET6, bytes) || (inner != NULL && has(s, AF_INET, inner));
}
