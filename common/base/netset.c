/* netset - a set of networks; see netset.h. */
#include "common/base/netset.h"

#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/cidr.h"
#include "common/base/mem.h"

struct netset {
    size_t n;
    struct cidr nets[];
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

const char *netset_check(const char *word)
{
    struct cidr net;

    return set_of(word) != NULL || cidr_parse(word, &net) == 0
               ? NULL
               : "expected a network's own address, such as 10.0.0.0/8, fd00::/8 or 192.0.2.1, or private, or all";
}

static void add(struct netset *s, const char *word)
{
    if (cidr_parse(word, &s->nets[s->n]) == 0)
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

static void put_four(struct cidr *out, const void *four)
{
    *out = (struct cidr){.bytes = {[10] = 0xff, [11] = 0xff}, .bits = 128};
    memcpy(out->bytes + 12, four, 4);
}

static bool has(const struct netset *s, const struct cidr *address)
{
    for (size_t i = 0; i < s->n; i++)
        if (cidr_contains(&s->nets[i], address))
            return true;
    return false;
}

/* Where the IPv4 address stands that an IPv6 one carries (NAT64, IPv4-compatible but for :: and ::1, 6to4), or NULL. */
static const unsigned char *inner_of(const unsigned char *six)
{
    static const unsigned char zero[12] = {0}, nat64[12] = {0, 0x64, 0xff, 0x9b}, sixtofour[2] = {0x20, 0x02};

    if (memcmp(six, nat64, 12) == 0 || (memcmp(six, zero, 12) == 0 && (six[12] != 0 || six[13] != 0)))
        return six + 12;
    return memcmp(six, sixtofour, 2) == 0 ? six + 2 : NULL;
}

bool netset_has(const struct netset *s, const struct sockaddr *address)
{
    const struct sockaddr_in *four = (const struct sockaddr_in *)(const void *)address;
    const struct sockaddr_in6 *six = (const struct sockaddr_in6 *)(const void *)address;
    const unsigned char *inner = NULL;
    struct cidr at = {.bits = 128}, carried;

    if (s == NULL || (address->sa_family != AF_INET && address->sa_family != AF_INET6))
        return false;
    if (address->sa_family == AF_INET) {
        put_four(&at, &four->sin_addr);
    } else {
        memcpy(at.bytes, &six->sin6_addr, 16);
        inner = inner_of(at.bytes);
    }
    if (has(s, &at))
        return true;
    if (inner == NULL)
        return false;
    put_four(&carried, inner);
    return has(s, &carried);
}
