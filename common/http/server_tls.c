/* server_tls - see server_int.h. TLS between the socket and the parser, for connections of a listener that speaks it.
 *
 * The handshake is a state in front of the first request, with a deadline of its own. Behind it reads and writes are as
 * those of a plain socket: -1 with EAGAIN where the other side is to be waited for. What OpenSSL holds decrypted is no
 * event of the socket: http_stream_pending tells of it.
 * Who speaks plain HTTP here is told so in plain HTTP.
 */
#include <errno.h>
#include <openssl/err.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "common/base/clock.h"
#include "common/base/mem.h"
#include "common/http/server_int.h"
#include "common/http/tls_int.h"

#define TLS_BYTES 24576u /* of a connection, as OpenSSL 3 was measured */
#define TLS_HELLO 0x16   /* the type of the record that a client begins with */

struct http_stream {
    struct http_tls *tls;
    SSL *ssl;
    uint64_t began_us;
    bool shaking, wants_write;
    bool drained; /* the last read found nothing whole */
    bool looked;  /* at the first byte */
    bool broken;  /* a fatal error: nothing more may be asked of OpenSSL */
};

static void count(struct http_conn *c, enum http_handshake result)
{
    struct http_server *s = c->server;
    struct http_stream *t = c->stream;
    if (s->events.handshake != NULL)
        s->events.handshake(t->tls->name, result, clock_mono_us() - t->began_us, s->arg);
}

int http_stream_new(struct http_conn *c, struct http_tls *tls)
{
    struct http_stream *t;
    SSL *ssl;
    if (!http_budget_take(c->server->budget, TLS_BYTES))
        return -1;
    t = mem_try(sizeof *t);
    ssl = t != NULL ? SSL_new(tls->ctx) : NULL;
    if (ssl == NULL || SSL_set_fd(ssl, c->io.fd) != 1) {
        SSL_free(ssl);
        free(t);
        c->server->budget->used -= TLS_BYTES;
        return -1;
    }
    SSL_set_accept_state(ssl);
    SSL_set_read_ahead(ssl, 1);
    *t = (struct http_stream){
        .tls = http_tls_ref(tls), .ssl = ssl, .began_us = clock_mono_us(), .shaking = true};
    c->stream = t;
    return 0;
}

void http_stream_free(struct http_conn *c)
{
    struct http_stream *t = c->stream;
    if (t == NULL)
        return;
    if (t->shaking && t->looked) /* it ended in the middle */
        count(c, HTTP_HANDSHAKE_CUT);
    c->stream = NULL;
    SSL_free(t->ssl);
    http_tls_unref(t->tls);
    free(t);
    c->server->budget->used -= TLS_BYTES;
}

bool http_stream_shaking(const struct http_conn *c)
{
    return c->stream->shaking;
}

bool http_stream_wants_write(const struct http_conn *c)
{
    return c->stream->wants_write;
}

/* 1: TLS may be; 0: nothing has come; -1: something else, which was answered. */
static int look(struct http_conn *c)
{
    unsigned char first;
    ssize_t n = recv(c->io.fd, &first, 1, MSG_PEEK | MSG_DONTWAIT);
    if (n < 0)
        c->doomed |= errno != EAGAIN && errno != EINTR;
    if (n == 0)
        c->doomed = true; /* it came and went, as probes of load balancers do */
    if (n <= 0)
        return c->doomed ? -1 : 0;
    c->stream->looked = true;
    if (first == TLS_HELLO)
        return 1;
    count(c, HTTP_HANDSHAKE_PLAIN);
    c->stream->shaking = false;
    http_stream_free(c);
    if (first >= 'A' && first <= 'z')
        http_input_refuse_text(c, 400, "this port speaks TLS: use https://\n");
    else
        c->doomed = true;
    return -1;
}

static void shaken(struct http_conn *c)
{
    struct http_stream *t = c->stream;
    t->shaking = false;
    count(c, SSL_session_reused(t->ssl) ? HTTP_HANDSHAKE_RESUMED : HTTP_HANDSHAKE_FULL);
}

void http_stream_shake(struct http_conn *c)
{
    struct http_stream *t = c->stream;
    if (!t->looked && look(c) <= 0)
        return;
    t->wants_write = false;
    ERR_clear_error();
    int r = SSL_do_handshake(t->ssl);
    if (r == 1) {
        shaken(c);
        return;
    }
    switch (SSL_get_error(t->ssl, r)) {
    case SSL_ERROR_WANT_READ:
        return;
    case SSL_ERROR_WANT_WRITE:
        t->wants_write = true;
        return;
    default:
        t->shaking = false;
        t->broken = true;
        count(c, SSL_get_verify_result(t->ssl) != X509_V_OK ||
                         ERR_GET_REASON(ERR_peek_last_error()) == SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE
                     ? HTTP_HANDSHAKE_CERTIFICATE
                     : HTTP_HANDSHAKE_FAILED);
        ERR_clear_error();
        /* The alert is sent; the client may be sending still, and a reset would take the alert from it. */
        c->state = HTTP_STATE_STOP;
        c->linger = true;
    }
}

void http_stream_late(struct http_conn *c)
{
    c->stream->shaking = false;
    count(c, HTTP_HANDSHAKE_TIMEOUT);
}

ssize_t http_stream_read(struct http_conn *c, void *dst, size_t n)
{
    struct http_stream *t = c->stream;
    size_t done = 0;
    t->drained = false;
    if (t->broken)
        return 0;
    ERR_clear_error();
    if (SSL_read_ex(t->ssl, dst, n, &done) == 1)
        return (ssize_t)done;
    t->drained = true;
    switch (SSL_get_error(t->ssl, 0)) {
    case SSL_ERROR_WANT_READ:
    case SSL_ERROR_WANT_WRITE: /* an alert or a key update that does not fit: goes with the next write */
        errno = EAGAIN;
        return -1;
    case SSL_ERROR_ZERO_RETURN:
        return 0;
    default:
        t->broken = true;
        ERR_clear_error();
        errno = ECONNRESET;
        return -1;
    }
}

ssize_t http_stream_write(struct http_conn *c, const void *src, size_t n)
{
    struct http_stream *t = c->stream;
    size_t done = 0;
    if (t->broken) {
        errno = EPIPE;
        return -1;
    }
    ERR_clear_error();
    if (SSL_write_ex(t->ssl, src, n, &done) == 1)
        return (ssize_t)done;
    if (SSL_get_error(t->ssl, 0) == SSL_ERROR_WANT_WRITE) {
        errno = EAGAIN;
        return -1;
    }
    t->broken = true; /* to read first is asked for by a renegotiation alone, which there is not */
    ERR_clear_error();
    errno = EPIPE;
    return -1;
}

bool http_stream_pending(const struct http_conn *c)
{
    const struct http_stream *t = c->stream;
    return !t->shaking && !t->broken && !t->drained && SSL_has_pending(t->ssl) == 1;
}

void http_stream_close(struct http_conn *c)
{
    struct http_stream *t = c->stream;
    if (t->shaking || t->broken)
        return;
    ERR_clear_error();
    (void)SSL_shutdown(t->ssl); /* says so; what the other says to that is dropped */
    ERR_clear_error();
    t->broken = true;
}
