/* netset - a set of networks, written as a list of words: "10.0.0.0/8", "fd00::/8", "192.0.2.1", or the name of a set
 * that stands ready. An IPv4 address inside an IPv6 one (mapped, compatible, NAT64, 6to4) counts as that IPv4 address
 * too. Pure. */
#ifndef DRAY_COMMON_BASE_NETSET_H
#define DRAY_COMMON_BASE_NETSET_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>

/* "private": what no host on the internet has: this host, private, shared, link-local (where clouds keep their
 * metadata), benchmark, multicast and reserved networks of both families. "all": every address. */
struct netset;

/* NULL, or what is wrong with the word. */
const char *netset_check(const char *word);
/* words: NULL-ended; a wrong one is left out. Freed by netset_free; NULL for an empty list. */
struct netset *netset_new(char *const *words);
void netset_free(struct netset *s);
/* Is it in the set? Of other families than IPv4 and IPv6 nothing is. s may be NULL: the empty set. */
bool netset_has(const struct netset *s, const struct sockaddr *address);

#endif
