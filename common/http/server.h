/* http_server - HTTP/1.1 on libev around llhttp: connections, limits, deadlines, strict framing.
 *
 * One layer for ingest and console. A request reaches the handler whole (head and body); the handler answers at once
 * or later, in any order over connections; pipelined requests of one connection are answered in their order. The layer
 * itself answers what is wrong with a request (RFC 9110/9112): 400 framing, 408 too slow, 413, 414, 417, 431, 501, 503
 * over the memory budget; after such an answer the connection is closed where framing is lost.
 * Stricter than llhttp 8.1.0: a CR without LF, obs-fold, a missing or second Host, whitespace before a colon, two
 * lengths, and length with chunked are refused; caps hold inside the callbacks.
 */
#ifndef DRAY_COMMON_HTTP_SERVER_H
#define DRAY_COMMON_HTTP_SERVER_H

#include <ev.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct http_limits {
    size_t header_bytes, body_bytes;
    unsigned headers; /* count; 0 = 100 */
    unsigned connections;
    uint64_t header_timeout_ms, body_timeout_ms, idle_timeout_ms;
    uint64_t handshake_timeout_ms; /* of TLS; 0 = 10 s */
    uint64_t min_rate;  /* bytes a second that a request must come with, after its first rate_grace_ms; 0 = any */
    uint64_t rate_grace_ms; /* 0 = 5 s */
    unsigned pipelined; /* unanswered requests of one connection before it is read no further; 0 = 16 */
};

/* Memory shared by connections, inflation and whatever else its owner counts. */
struct http_budget {
    size_t used, max;
};

struct http_server;
struct http_request; /* valid until it is answered or aborted */

struct http_header {
    const char *name, *value; /* NUL-terminated; no other NUL inside */
    size_t value_len;
};

struct http_tls;
/* What became of a TLS handshake: done, with all of it or by a ticket; or not: plain HTTP came, the client's certificate
 * was missing or not good, nothing in common (versions, ciphers, protocols, no TLS at all), too slow, or it went away. */
enum http_handshake {
    HTTP_HANDSHAKE_FULL,
    HTTP_HANDSHAKE_RESUMED,
    HTTP_HANDSHAKE_PLAIN,
    HTTP_HANDSHAKE_CERTIFICATE,
    HTTP_HANDSHAKE_FAILED,
    HTTP_HANDSHAKE_TIMEOUT,
    HTTP_HANDSHAKE_CUT,
    HTTP_HANDSHAKES
};

struct http_server_events {
    /* A whole request. Must lead to exactly one http_reply, now or later, unless aborted is called first. */
    void (*request)(struct http_request *r, void *arg);
    /* The client is gone before its answer: forget r (http_request_user tells what it was). May be NULL only if every
     * request is answered inside the call. */
    void (*aborted)(struct http_request *r, void *arg);
    /* An answer has been decided by the layer or the handler (for counting). May be NULL. */
    void (*answered)(struct http_request *r, int status, uint64_t duration_us, void *arg);
    /* A handshake has ended. May be NULL. */
    void (*handshake)(const char *listener, enum http_handshake result, uint64_t duration_us, void *arg);
};

struct http_server *http_server_new(struct ev_loop *loop, const struct http_limits *limits,
                                    struct http_budget *budget, const struct http_server_events *events,
                                    void *arg);
/* From now on, also for connections that are open. headers and pipelined stay as they were. */
void http_server_set_limits(struct http_server *s, const struct http_limits *limits);
void http_server_free(struct http_server *s); /* cuts what is open; calls aborted for what is unanswered */

/* Accepts on a listening socket (taken over; non-blocking). name is for logs. */
int http_server_listen(struct http_server *s, int fd, const char *name);
/* The listening socket of that number (in the order of http_server_listen) speaks TLS with those that come from now on,
 * or (NULL) plain HTTP. Takes over a reference. */
void http_server_set_tls(struct http_server *s, unsigned number, struct http_tls *tls);
/* Other processes accept on the same sockets: one connection wakes one of them, in turns. Behind the last http_server_listen. */
void http_server_share(struct http_server *s, bool shared);
/* Closes the listening sockets. What still comes on open connections is handled, and its answer says "Connection: close".
 * Idle connections stay, because a request may be on its way to them: until http_server_close_idle. */
void http_server_drain(struct http_server *s);
/* Draining: closes idle connections that have nothing to be read, now and from now on; with FIN, and RST only to who goes on
 * sending for seconds. */
void http_server_close_idle(struct http_server *s);
/* Stops or resumes accepting and reading (back-pressure by TCP). */
void http_server_pause(struct http_server *s, bool paused);
unsigned http_server_connections(const struct http_server *s);
unsigned http_server_requests_open(const struct http_server *s);    /* handed out and not answered */
unsigned http_server_requests_partial(const struct http_server *s); /* of which a part has come */

/* Of a request; all text is owned by it. */
const char *http_request_method(const struct http_request *r);
const char *http_request_path(const struct http_request *r);  /* without the query, not decoded */
const char *http_request_query(const struct http_request *r); /* behind '?', "" when there is none */
const char *http_request_header(const struct http_request *r,
                                const char *name); /* first of that name, or NULL */
size_t http_request_headers(const struct http_request *r, const struct http_header **out);
const char *http_request_body(const struct http_request *r, size_t *len);
const char *http_request_peer(const struct http_request *r); /* "203.0.113.9" or "unix" */
/* Which listening socket it came by: 0, 1 ... in the order of http_server_listen. */
unsigned http_request_listener(const struct http_request *r);
const char *http_request_origin(const struct http_request *r); /* its Origin header, or NULL */
void http_request_set_user(struct http_request *r, void *user);
void *http_request_user(const struct http_request *r);
/* Frees the body early (its bytes are counted back); http_request_body is empty afterwards. */
void http_request_drop_body(struct http_request *r);

/* One answer. headers: extra lines, each ending with CRLF, or "". type may be NULL when len is 0. HEAD sends no body.
 * r is invalid afterwards. */
void http_reply(struct http_request *r, int status, const char *type, const char *headers, const void *body,
                size_t len);

/* No answer: the connection is cut, with whatever else is open on it (aborted is called for those). r is invalid
 * afterwards. */
void http_cut(struct http_request *r);

/* Decodes one query or form parameter (percent and plus) into dst; false when it is not there or too long. */
bool http_query_get(const char *query, const char *name, char *dst, size_t size);
/* The next parameter, decoded, texts ended by NUL (what follows a NUL inside is not seen); *query goes on behind it. False
 * at the end. Both are "" for one that does not fit. */
bool http_query_next(const char **query, char *name, size_t name_size, char *value, size_t value_size);
const char *http_status_text(int status);

#endif
