/* http_client - HTTP POSTs on the event loop (libcurl multi_socket): connections reused, answers capped, every
 * failure classed. A redirect is not followed, nothing is inflated. No Expect header. No proxy from the environment. */
#ifndef DRAY_COMMON_HTTP_CLIENT_H
#define DRAY_COMMON_HTTP_CLIENT_H

#include <ev.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct http_client;
struct http_call;
struct http_profile;
struct netset;

struct http_client_options {
    uint64_t connect_timeout_ms, timeout_ms; /* name, connect and TLS; the whole attempt */
    uint64_t first_byte_timeout_ms;          /* from the request's begin to the answer's; 0: none */
    size_t response_max; /* bytes of the answer's body that are kept; the rest is read and dropped up to a
                                                cap, then the transfer is ended as complete */
    unsigned connections_max; /* of one host */
};

enum http_error {
    HTTP_ERROR_NONE,    /* there is a status */
    HTTP_ERROR_CONNECT, /* refused, unreachable: nothing was sent */
    HTTP_ERROR_DNS,
    HTTP_ERROR_TLS,
    HTTP_ERROR_TIMEOUT,  /* connect or whole: the outcome is unknown unless it was the connect */
    HTTP_ERROR_CUT,      /* the connection broke: the outcome is unknown */
    HTTP_ERROR_PROTOCOL, /* no HTTP, or headers over HTTP_CLIENT_HEADERS_MAX */
    HTTP_ERROR_DENIED,   /* no address that may be connected to: nothing was sent */
    HTTP_ERROR_OTHER,
};
const char *http_error_name(enum http_error e); /* "connect" ... */

struct http_answer {
    enum http_error error;
    char text[128];   /* what curl says of the error */
    int status;       /* 0 when there is none. A status whose answer did not end is none: it is a cut or a
                                time-out, and the outcome is unknown */
    const char *body; /* at most response_max bytes, not terminated */
    size_t body_len;
    int64_t retry_after_ms; /* both forms of Retry-After; -1 when there is none */
    uint64_t duration_us;
    bool reused; /* an open connection was used */
};

/* What calls of one kind have in common: all of a destination. A connection is never shared by two profiles that differ
 * in how it is made. */
enum http_version { HTTP_VERSION_1, HTTP_VERSION_2_ALPN, HTTP_VERSION_2_PRIOR_KNOWLEDGE };
struct
    http_profile_options { /* the texts and sets are borrowed until the client is freed; NULL or "": not so */
    uint64_t connect_timeout_ms, first_byte_timeout_ms; /* 0: the client's */
    const char *ca, *cert, *key;                        /* PEM */
    const char *url, *server_name;                      /* the name to verify in place of the url's host */
    enum http_version version;
    const char *proxy, *proxy_username, *proxy_password; /* http:// (CONNECT), socks5://, socks5h:// */
    const char *unix_path;             /* of the socket to connect to, whatever the url's host */
    const struct netset *deny, *allow; /* of addresses to connect to; behind a proxy nothing is looked at */
};

struct http_call_options {
    const struct http_profile *profile; /* NULL: the plain one */
    const char *url;
    const char *const *headers; /* "Name: value", NULL-ended */
    /* The body in pieces, sent in this order without being joined; borrowed until done. */
    const struct http_piece {
        const void *data;
        size_t len;
    } * pieces;
    size_t n_pieces;
    uint64_t timeout_ms; /* the whole attempt; 0: the client's */
};

/* Called once, never from inside http_client_post; the answer is valid during the call. */
typedef void (*http_done_fn)(struct http_call *call, const struct http_answer *a, void *arg);

/* libcurl is started by the first post. */
struct http_client *http_client_new(struct ev_loop *loop, const struct http_client_options *o);
/* Lives as long as the client. */
struct http_profile *http_profile_new(struct http_client *c, const struct http_profile_options *o);
/* connections_max from now on. */
void http_client_set_connections(struct http_client *c, unsigned max);
/* Cancels what runs, without calling done. Not from inside done. NULL is fine. */
void http_client_free(struct http_client *c);
struct http_call *http_client_post(struct http_client *c, const struct http_call_options *o,
                                   http_done_fn done, void *arg);
void http_call_cancel(struct http_call *call); /* the connection is cut, done is not called */
unsigned http_client_running(const struct http_client *c);

/* Bytes of all header lines of an answer, interim answers included; more is an error. */
#define HTTP_CLIENT_HEADERS_MAX (64u << 10)

#endif
