/* http_tls - what a listener needs to speak TLS: certificate, key, and who may come, out of PEM texts (OpenSSL).
 *
 * TLS 1.2 and 1.3, ALPN http/1.1 alone, no renegotiation, no compression, no early data. Sessions are resumed by tickets;
 * their keys come from the private key and the time of day, so every process that has the same key, on every host, takes
 * the tickets of the others, and a restart changes nothing. A ticket is good for 12 to 24 hours.
 */
#ifndef DRAY_COMMON_HTTP_TLS_H
#define DRAY_COMMON_HTTP_TLS_H

#include <stdbool.h>
#include <stddef.h>

struct http_tls;

struct http_tls_options {
    const char *name;                   /* of the listener, for counting */
    const char *cert, *key, *client_ca; /* PEM; client_ca "": clients show no certificate */
    bool only_1_3;
};

/* NULL with a clause in why. Nothing of the options is kept but in OpenSSL's memory. */
struct http_tls *http_tls_new(const struct http_tls_options *o, char *why, size_t size);
/* Connections that use it go on; the last one frees it. NULL is fine. */
void http_tls_unref(struct http_tls *t);
const char *http_tls_name(const struct http_tls *t);

#endif
