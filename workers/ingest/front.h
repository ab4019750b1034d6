/* front - the listening sockets of the intake: TLS where a listener has a certificate, and the counting of handshakes. */
#ifndef DRAY_WORKERS_INGEST_FRONT_H
#define DRAY_WORKERS_INGEST_FRONT_H

#include "workers/ingest/ingest.h"

/* The contexts of TLS listeners, before anybody can come. 0, or -1: told; this process cannot work. */
int front_start(struct ingest *g);
/* Accepts from now on. Ends the process where it cannot. */
void front_listen(struct ingest *g);
/* Another configuration: certificates that are other ones are used from the next connection on. -1: told, and nothing of
 * it was taken. */
int front_reload(struct ingest *g, const struct conf *old);
void front_count_handshake(const char *listener, enum http_handshake result, uint64_t duration_us, void *arg);

#endif
