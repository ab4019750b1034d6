/* tls_int - the context of a TLS listener, for tls.c and server_tls.c alone. */
#ifndef DRAY_COMMON_HTTP_TLS_INT_H
#define DRAY_COMMON_HTTP_TLS_INT_H

#include <openssl/ssl.h>

#include "common/http/tls.h"

struct http_tls {
    SSL_CTX *ctx;
    unsigned refs;
    char name[64];
    /* What keys of tickets are made from: of TLS 1.3, which exchanges keys again with a ticket, the private key's digest;
     * of TLS 1.2, which does not, something that nobody else knows. */
    unsigned char shared[32], own[32];
};

struct http_tls *http_tls_ref(struct http_tls *t);

#endif
