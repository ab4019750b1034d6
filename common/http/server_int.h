/* server_int - what the parts of the HTTP server share; private to common/http/server*.c.
 *
 * server.c      the server: listening sockets, accepting, pause, drain
 * server_conn.c one connection: its life, its writing, what it waits for
 * server_input.c the way of its bytes through head and body to the handler
 * server_head.c the head of a request, through llhttp's callbacks
 * server_body.c its body: by length or in chunks, under the caps
 * server_reply.c answers and their order; server_request.c what handlers may ask of a request
 * server_share.c accepting on sockets that other processes accept on too
 * server_timer.c deadlines; server_tls.c TLS between the socket and all of these
 *
 * A connection is destroyed in http_conn_settle and http_server_free alone; everybody else marks it doomed.
 */
#ifndef DRAY_COMMON_HTTP_SERVER_INT_H
#define DRAY_COMMON_HTTP_SERVER_INT_H

#include <ev.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "common/base/buf.h"
#include "common/base/list.h"
#include "common/http/server.h"
#include "common/http/tls.h"

#define HTTP_READ_SIZE    65536        /* the server's one read buffer */
#define HTTP_OUT_MAX      (64u << 20)  /* answers waiting for one connection */
#define HTTP_OUT_HIGH     (256u << 10) /* above it the connection is read no further */
#define HTTP_URI_MAX      8192         /* RFC 9112 3: at least 8000 */
#define HTTP_BLANK_MAX    8            /* empty lines in front of a request line that are passed over */
#define HTTP_LINGER_S     5.0 /* after an early answer: read on and drop, so that the client can read it */
#define HTTP_LINGER_BYTES (64u << 20)
#define HTTP_RATE_GRACE_S 5.0 /* limits.rate_grace_ms */

enum http_state {
    HTTP_STATE_HEAD,    /* between requests, or inside a head */
    HTTP_STATE_LENGTH,  /* a body of known length */
    HTTP_STATE_CHUNKED, /* a chunked body */
    HTTP_STATE_STOP,    /* nothing more is parsed; closes behind the last answer */
    HTTP_STATE_LINGER,  /* everything is answered and shut down; what comes is dropped */
};

enum http_timer {
    HTTP_TIMER_HANDSHAKE,
    HTTP_TIMER_HEADER,
    HTTP_TIMER_BODY,
    HTTP_TIMER_IDLE,
    HTTP_TIMER_WRITE,
    HTTP_TIMER_LINGER,
    HTTP_TIMERS
};
#define HTTP_TIMER_NONE HTTP_TIMERS

struct http_chunk { /* the decoder of chunked bodies */
    uint8_t step;
    uint8_t digits;
    uint32_t extra; /* bytes of extensions and trailers */
    uint64_t left;  /* of the chunk */
};

struct http_stream; /* TLS of one connection */
struct http_share;

struct http_conn {
    ev_io io;
    struct http_server *server;
    struct http_stream *stream;   /* NULL: plain */
    struct list all;              /* in server->conns */
    struct list timer;            /* in server->timers[timer_kind] */
    struct list soon;             /* in server->soon */
    struct list requests;         /* in the order of their heads */
    struct http_request *current; /* the last one, while its body is being read */
    double deadline;
    struct buf out;
    size_t out_at; /* bytes of out that are written */
    char *in;      /* bytes that were read and not used: a piece of a head, or requests over the cap */
    uint32_t in_len, in_cap;
    uint32_t line, searched; /* of the head: begin of its last line; bytes that were looked through */
    uint32_t drop_left;      /* bytes that may still be read and dropped */
    struct http_chunk chunk;
    unsigned waiting; /* requests in the list */
    int events;       /* that io waits for */
    uint8_t state;    /* enum http_state */
    uint8_t timer_kind;
    uint8_t blank_lines;
    bool eof, linger, doomed, fresh;
    unsigned listener; /* its number: the listener itself may be gone */
    char peer[46];
};

struct http_request {
    struct http_conn *conn;
    struct list link;
    void *user;
    const char *method, *path, *query;
    const char *origin; /* NULL: none */
    struct http_header *headers;
    size_t n_headers;
    char *body;
    size_t body_len, body_cap;
    uint64_t body_want; /* Content-Length */
    uint64_t began_us;
    size_t counted; /* bytes of this in the budget, without the body */
    char *answer;   /* waits for the answers of those in front */
    size_t answer_len;
    bool handed; /* the handler has it */
    bool answered, closes, head_only, http10, chunked, wants_continue;
};

struct http_listener {
    ev_io io;
    struct list link;
    struct http_server *server;
    struct http_tls *tls; /* NULL: plain */
    unsigned number; /* in the order of http_server_listen */
    char name[64];
};

struct http_server {
    struct ev_loop *loop;
    struct http_limits limits;
    struct http_budget *budget;
    struct http_server_events events;
    void *arg;
    struct list listeners, conns, soon;
    struct list timers[HTTP_TIMERS]; /* each in the order of its deadlines: a kind has one duration */
    double durations[HTTP_TIMERS];
    ev_timer timer, soon_timer;
    ev_timer rate_timer; /* limits.min_rate is looked at; active while a request is only partly there */
    ev_timer rest_timer; /* out of descriptors: when connections are taken again */
    unsigned n_conns, open;
    unsigned n_listeners; /* that there ever were */
    bool paused, draining, closing_idle;
    struct http_share *share; /* NULL: libev watches the listening sockets */
    int reserve_fd;
    double refused_log_at;
    struct http_conn *corked; /* its answers are gathered in batch */
    struct buf batch, scratch;
    struct http_header *spans; /* of the head being parsed; limits.headers of them */
    char *read_buf;
};

/* server.c: accepts at most so many */
void http_server_accept(struct http_listener *l, int most);

/* server_share.c: accepting beside other processes, on all listening sockets that there are; NULL: it cannot be (told). */
struct http_share *http_share_new(struct http_server *s);
void http_share_free(struct http_share *h);   /* NULL is fine */
void http_share_resume(struct http_share *h); /* pause and rest are over */

/* server_conn.c */
void http_conn_new(const struct http_listener *l, int fd, const struct sockaddr *sa);
void http_conn_destroy(struct http_conn *c);
/* Brings a connection to rest: writes, goes on with what was read, closes, waits for what it needs, sets its timer. */
void http_conn_settle(struct http_conn *c);
void http_conn_settle_soon(struct http_conn *c);

/* server_input.c */
void http_input_read(struct http_conn *c);   /* one read, and all that follows from it */
void http_input_go_on(struct http_conn *c);  /* with what is kept */
void http_input_forget(struct http_conn *c); /* what is kept */
bool http_input_may_parse(const struct http_conn *c);
/* The layer's own answer to something wrong; nothing more is parsed. */
void http_input_refuse(struct http_conn *c, int status);
void http_input_refuse_text(struct http_conn *c, int status, const char *text);

/* server_head.c */
/* Looks for the end of the head in p[0..n). Its length; 0: not yet; -1 with *status: wrong. */
long http_head_find(struct http_conn *c, const char *p, size_t n, int *status);
/* The request of a whole head, or NULL with *status. */
struct http_request *http_head_parse(struct http_conn *c, const char *p, size_t n, int *status);

/* server_body.c */
/* Room for more bytes behind body_len, under cap and budget. 0, or the status to refuse with. */
int http_body_reserve(struct http_request *r, size_t more);
/* Uses bytes of a chunked body. The number used; *done when it is complete; -1 with *status. */
long http_body_chunked(struct http_conn *c, struct http_request *r, const char *p, size_t n, bool *done,
                       int *status);

/* server_reply.c */
void http_reply_render(struct buf *out, const struct http_request *r, int status, const char *type,
                       const char *headers, const void *body, size_t len);
/* Writes what is ready at the front of the list into out; a wanted "100 Continue" too. */
void http_reply_advance(struct http_conn *c, struct buf *out);

/* server_request.c */
struct http_request *http_request_new(struct http_conn *c, size_t n_headers, size_t text);
void http_request_free(struct http_request *r);
/* Takes n bytes of the budget; false when there are not so many left. */
bool http_budget_take(struct http_budget *b, size_t n);

/* server_tls.c: all but the first want a connection with a stream */
int http_stream_new(struct http_conn *c, struct http_tls *tls); /* -1: no memory */
void http_stream_free(struct http_conn *c);                     /* with NULL too */
bool http_stream_shaking(const struct http_conn *c);
bool http_stream_wants_write(const struct http_conn *c); /* the handshake does */
void http_stream_shake(
    struct http_conn *c); /* goes on with the handshake; the stream may be gone then: plain HTTP came */
void http_stream_late(struct http_conn *c); /* its time is over */
ssize_t http_stream_read(struct http_conn *c, void *dst, size_t n);
ssize_t http_stream_write(struct http_conn *c, const void *src, size_t n);
bool http_stream_pending(
    const struct http_conn *c);              /* there is more to be read, without an event of the socket */
void http_stream_close(struct http_conn *c); /* tells the other side; nothing is read or written then */

/* As send and read of the socket: -1 with errno, EAGAIN where it is to be waited for. */
static inline ssize_t http_conn_send(struct http_conn *c, const void *src, size_t n)
{
    return c->stream == NULL ? send(c->io.fd, src, n, MSG_NOSIGNAL) : http_stream_write(c, src, n);
}

/* server_timer.c */
void http_timer_init(struct http_server *s);
void http_timer_change(struct http_server *s);           /* the limits are other ones */
void http_timer_arm(struct http_conn *c, unsigned kind); /* keeps the deadline when that kind runs already */

#endif
