/* sign - signatures of Standard Webhooks (specification 1.0.0) over "id.timestamp.body": v1 (HMAC-SHA256, secrets
 * whsec_...) and v1a (ed25519, whsk_...). Each secret gives one, so that an old and a new one can stand side by side. */
#ifndef DRAY_WORKERS_DELIVERY_SIGN_H
#define DRAY_WORKERS_DELIVERY_SIGN_H

#include <stdint.h>

#include "common/base/buf.h"
#include "common/http/client.h"

struct sign;

/* secrets: NULL-ended, as conf_signing_secret takes them; what it does not take is left out. */
struct sign *sign_new(char *const *secrets);
void sign_free(struct sign *s);
/* Appends the value of webhook-signature. id: the value of webhook-id; timestamp: seconds. 0, or -1: no memory. */
int sign_put(struct sign *s, const char *id, uint64_t timestamp, const struct http_piece *pieces, size_t n,
             struct buf *out);

#endif
