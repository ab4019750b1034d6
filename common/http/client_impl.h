/* client_impl - what the files of the HTTP client share; for client*.c alone. */
#ifndef DRAY_COMMON_HTTP_CLIENT_IMPL_H
#define DRAY_COMMON_HTTP_CLIENT_IMPL_H

#include <curl/curl.h>
#include <ev.h>
#include <stdbool.h>

#include "common/base/buf.h"
#include "common/base/list.h"
#include "common/http/client.h"

/* Bytes of an answer's body that are read and dropped beyond response_max before the transfer is ended. */
#define HTTP_CLIENT_DROP_MAX (256u << 10)

struct http_profile {
    struct list link; /* profiles of the client */
    struct http_client *client;
    struct http_profile_options options;
    struct list spare; /* handles ready for the next call */
    unsigned n_spare;
    uint64_t first_byte_us;        /* 0: as long as it takes */
    char *url, *host_header;       /* in place of the caller's; NULL: that */
    struct curl_slist *connect_to; /* with url */
};

struct http_client {
    struct ev_loop *loop;
    struct http_client_options options;
    CURLM *multi; /* NULL until the first post: libcurl's start is not paid by a process that never posts */
    CURLSH *share;
    ev_timer timer;     /* what libcurl asked for */
    ev_timer failed;    /* calls that could not be started are answered from the loop too */
    struct list calls;  /* running */
    struct list broken; /* to be answered by `failed` */
    struct list profiles;
    struct http_profile plain;
    ev_timer first_byte;        /* when to look for answers that have not begun */
    uint64_t first_byte_due_us; /* of the timer */
    struct list sockets;        /* watched */
    unsigned running;
    bool one_ca_file; /* libcurl's default file of certificates is there: no folder is needed beside it */
};

struct http_call {
    struct list link; /* calls or broken of the client, spare of the profile */
    struct http_client *client;
    struct http_profile *profile;
    CURL *easy;
    http_done_fn done;
    void *arg;
    uint64_t started_us;
    /* the request */
    const struct http_piece *pieces;
    size_t n_pieces, total;
    size_t piece, offset; /* read position */
    char *joined;         /* pieces of a small body, joined */
    size_t joined_size;
    char *header_text;
    struct curl_slist *header_nodes;
    size_t n_header_nodes, header_text_size;
    /* the answer */
    struct buf body;
    size_t dropped, header_bytes;
    bool denied, tried;     /* an address was refused by the profile; one was not */
    bool begun;             /* its first line is there */
    enum http_error forced; /* NONE, or what the end is, whatever libcurl says; its text stands in error */
    bool cut_short;         /* we ended the transfer: the answer was long enough */
    int64_t retry_after_ms;
    char error[CURL_ERROR_SIZE];
};

/* client_socket.c: libcurl's sockets and its timer on the loop. done is told of each finished transfer. */
void http_client_socket_start(struct http_client *c);
void http_client_socket_stop(struct http_client *c);

/* client_profile.c */
void http_client_profile_start(struct http_profile *p, struct http_client *c,
                               const struct http_profile_options *o);
void http_client_profile_stop(struct http_profile *p);
void http_client_profile_apply(struct http_call *call); /* to a new handle */

/* client_wait.c: the time-out of the first byte. */
void http_client_wait_start(struct http_client *c);
void http_client_wait_stop(struct http_client *c);
void http_client_wait_for(struct http_call *call); /* it was posted */

/* client.c: takes finished transfers from libcurl and answers their calls. */
void http_client_collect(struct http_client *c);
/* Ends a call that runs: done is told soon. */
void http_client_end(struct http_call *call, enum http_error error);

#endif
