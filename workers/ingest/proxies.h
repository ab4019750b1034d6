/* proxies - who a request really comes from, when it came through proxies that are trusted (ingest.trusted_proxies). Pure.
 *
 * X-Forwarded-For, or if there is none Forwarded (RFC 7239), is read from its end: each hop that is trusted vouches for
 * the one in front of it. What stands behind an untrusted, hidden or unreadable hop is anybody's invention. */
#ifndef DRAY_WORKERS_INGEST_PROXIES_H
#define DRAY_WORKERS_INGEST_PROXIES_H

#include <stdbool.h>
#include <stddef.h>

#include "common/base/cidr.h"
#include "common/http/server.h"

struct proxies {
    struct cidr *networks;
    size_t n;
    bool unix_peers; /* peers on unix sockets are trusted */
};

/* words: checked ones, NULL-ended. */
void proxies_set(struct proxies *p, char *const *words);
void proxies_fini(struct proxies *p);
static inline bool proxies_any(const struct proxies *p)
{
    return p->n > 0 || p->unix_peers;
}
/* The sender's address: peer ("unix" or an address), or what trusted hops say. dst, or NULL when it is not known. */
const char *proxies_sender(const struct proxies *p, const char *peer, const struct http_header *headers,
                           size_t n, char dst[CIDR_TEXT_SIZE]);

#endif
