/* http_client - HTTP POSTs on the event loop, on libcurl's multi_socket interface.
 *
 * One multi handle holds the connections; easy handles are set up once and used again. A small body is joined so that
 * head and body leave in one write; a big one is read from its pieces. client_socket.c joins libcurl to the loop,
 * client_answer.c says what an end means, client_profile.c makes destinations differ, client_wait.c waits for first bytes. Never blocks; never calls done inside http_client_post.
 */
#include "common/http/client_impl.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/fatal.h"
#include "common/base/hook.h"
#include "common/base/mem.h"
#include "common/base/str.h"
#include "common/http/client_answer.h"

/* libcurl sends a body of known text together with the head up to this size (MAX_INITIAL_POST_SIZE). */
#define JOIN_MAX  (64u << 10)
#define SPARE_MAX 256 /* of one profile */

/* ---- what libcurl calls */

static size_t read_body(char *dst, size_t size, size_t n, void *arg)
{
    struct http_call *call = arg;
    size_t room = size * n, done = 0;

    while (room > 0 && call->piece < call->n_pieces) {
        const struct http_piece *p = &call->pieces[call->piece];
        size_t part = p->len - call->offset;

        if (part > room)
            part = room;
        memcpy(dst + done, (const char *)p->data + call->offset, part);
        done += part;
        room -= part;
        call->offset += part;
        if (call->offset == p->len) {
            call->piece++;
            call->offset = 0;
        }
    }
    return done;
}

/* libcurl goes back to the start when an idle connection turned out to be closed. */
static int seek_body(void *arg, curl_off_t offset, int origin)
{
    struct http_call *call = arg;
    size_t left = (size_t)offset;

    if (origin != SEEK_SET || offset < 0 || left > call->total)
        return CURL_SEEKFUNC_FAIL;
    call->piece = call->offset = 0;
    while (left > 0 && left >= call->pieces[call->piece].len)
        left -= call->pieces[call->piece++].len;
    call->offset = left;
    return CURL_SEEKFUNC_OK;
}

static size_t take_header(char *line, size_t size, size_t n, void *arg)
{
    static const char name[] = "retry-after:";
    struct http_call *call = arg;
    size_t len = size * n;

    HOOK_POINT(answer_begun);
    call->begun = true;
    call->header_bytes += len;
    if (call->header_bytes > HTTP_CLIENT_HEADERS_MAX) {
        call->forced = HTTP_ERROR_PROTOCOL;
        return 0;
    }
    if (len >= 5 && memcmp(line, "HTTP/", 5) == 0)
        call->retry_after_ms = -1;
    else if (len > sizeof(name) && strncasecmp(line, name, sizeof(name) - 1) == 0)
        call->retry_after_ms =
            http_client_answer_retry_after(line + sizeof(name) - 1, len - sizeof(name) + 1, clock_wall_ms());
    return len;
}

static size_t take_body(char *data, size_t size, size_t n, void *arg)
{
    struct http_call *call = arg;
    size_t len = size * n, room = call->client->options.response_max - call->body.len;
    size_t part = len < room ? len : room;

    if (part > 0 && buf_append(&call->body, data, part) != 0)
        part = 0;
    call->dropped += len - part;
    if (call->dropped <= HTTP_CLIENT_DROP_MAX)
        return len;
    call->cut_short = true;
    return 0;
}

/* ---- handles */

static void set_up_easy(struct http_call *call)
{
    CURL *e = call->easy;

    curl_easy_setopt(e, CURLOPT_PRIVATE, call);
    curl_easy_setopt(e, CURLOPT_NOSIGNAL, 1L);
    /* Or libcurl joins the thread of a resolver that has not answered, at the time-out, and the loop stands still. */
    curl_easy_setopt(e, CURLOPT_QUICK_EXIT, 1L);
    /* libcurl keeps what it read of the certificates only when they come from a file alone; to read them again for
     * each connection takes tens of milliseconds, in which nothing else goes on. */
    if (call->client->one_ca_file)
        curl_easy_setopt(e, CURLOPT_CAPATH, NULL);
    curl_easy_setopt(e, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(e, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(e, CURLOPT_SHARE, call->client->share);
    curl_easy_setopt(e, CURLOPT_MAXAGE_CONN, 60L);
    curl_easy_setopt(e, CURLOPT_TCP_KEEPALIVE, 1L);
    curl_easy_setopt(e, CURLOPT_ERRORBUFFER, call->error);
    curl_easy_setopt(e, CURLOPT_POST, 1L);
    curl_easy_setopt(e, CURLOPT_UPLOAD_BUFFERSIZE, 256L << 10);
    curl_easy_setopt(e, CURLOPT_READFUNCTION, read_body);
    curl_easy_setopt(e, CURLOPT_READDATA, call);
    curl_easy_setopt(e, CURLOPT_SEEKFUNCTION, seek_body);
    curl_easy_setopt(e, CURLOPT_SEEKDATA, call);
    curl_easy_setopt(e, CURLOPT_HEADERFUNCTION, take_header);
    curl_easy_setopt(e, CURLOPT_HEADERDATA, call);
    curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, take_body);
    curl_easy_setopt(e, CURLOPT_WRITEDATA, call);
    http_client_profile_apply(call);
}

static struct http_call *new_call(struct http_client *c, struct http_profile *p)
{
    struct http_call *call = list_first(&p->spare, struct http_call, link);

    if (call != NULL) {
        list_remove(&call->link);
        p->n_spare--;
        return call;
    }
    call = xcalloc(1, sizeof(*call));
    call->client = c;
    call->profile = p;
    list_init(&call->link);
    buf_init(&call->body, c->options.response_max + 1);
    call->easy = curl_easy_init();
    if (call->easy == NULL)
        fatal(EXIT_CODE_NOMEM, "libcurl has no memory for a transfer");
    set_up_easy(call);
    return call;
}

static void free_call(struct http_call *call)
{
    curl_easy_cleanup(call->easy);
    buf_fini(&call->body);
    free(call->joined);
    free(call->header_text);
    free(call->header_nodes);
    free(call);
}

/* The call is over: its handle waits for the next one. */
static void put_back(struct http_call *call)
{
    struct http_profile *p = call->profile;

    list_remove(&call->link);
    if (p->n_spare >= SPARE_MAX) {
        free_call(call);
        return;
    }
    buf_reset(&call->body);
    list_push_front(&p->spare, &call->link);
    p->n_spare++;
}

/* ---- the request */

/* The lines are copied into memory that the call keeps; libcurl only reads the list. "Expect:" turns its own off. */
static void set_headers(struct http_call *call, const char *const *headers)
{
    static const char expect[] = "Expect:";
    const char *host = call->profile->host_header;
    size_t n = 0, bytes = sizeof(expect) + (host != NULL ? strlen(host) + 1 : 0), at;

    for (; headers[n] != NULL; n++)
        bytes += strlen(headers[n]) + 1;
    if (bytes > call->header_text_size) {
        call->header_text = xrealloc(call->header_text, bytes);
        call->header_text_size = bytes;
    }
    if (n + 2 > call->n_header_nodes) {
        call->header_nodes = xrealloc(call->header_nodes, (n + 2) * sizeof(*call->header_nodes));
        call->n_header_nodes = n + 2;
    }
    memcpy(call->header_text, expect, sizeof(expect));
    call->header_nodes[0] = (struct curl_slist){.data = call->header_text};
    at = sizeof(expect);
    for (size_t i = 0; i < n + (host != NULL); i++) {
        const char *line = i < n ? headers[i] : host;
        size_t len = strlen(line) + 1;

        memcpy(call->header_text + at, line, len);
        call->header_nodes[i + 1] = (struct curl_slist){.data = call->header_text + at};
        call->header_nodes[i].next = &call->header_nodes[i + 1];
        at += len;
    }
    curl_easy_setopt(call->easy, CURLOPT_HTTPHEADER, call->header_nodes);
}

static void set_body(struct http_call *call, const struct http_call_options *o)
{
    call->pieces = o->pieces;
    call->n_pieces = o->n_pieces;
    call->piece = call->offset = call->total = 0;
    for (size_t i = 0; i < o->n_pieces; i++)
        call->total += o->pieces[i].len;
    if (call->total <= JOIN_MAX) {
        if (call->joined_size < call->total + 1) {
            call->joined = xrealloc(call->joined, call->total + 1);
            call->joined_size = call->total + 1;
        }
        (void)read_body(call->joined, 1, call->total, call);
        curl_easy_setopt(call->easy, CURLOPT_POSTFIELDS, call->joined);
    } else {
        curl_easy_setopt(call->easy, CURLOPT_POSTFIELDS, NULL);
    }
    curl_easy_setopt(call->easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)call->total);
}

/* ---- the answer */

/* Nothing was sent to the destination then. */
static bool proxy_refused(const struct http_call *call)
{
    long code = 0;

    curl_easy_getinfo(call->easy, CURLINFO_HTTP_CONNECTCODE, &code);
    return code >= 300;
}

static void answer(struct http_call *call, CURLcode code)
{
    struct http_answer a = {.retry_after_ms = call->retry_after_ms};
    long status = 0, connects = 0;

    curl_easy_getinfo(call->easy, CURLINFO_RESPONSE_CODE, &status);
    curl_easy_getinfo(call->easy, CURLINFO_NUM_CONNECTS, &connects);
    a.error = call->forced != HTTP_ERROR_NONE ? call->forced : http_client_answer_class((int)code);
    if (a.error == HTTP_ERROR_CONNECT && call->denied && !call->tried)
        a.error = HTTP_ERROR_DENIED;
    if (a.error == HTTP_ERROR_CUT && call->profile->options.proxy != NULL)
        a.error = proxy_refused(call) ? HTTP_ERROR_CONNECT : a.error;
    if (call->cut_short && status >= 200)
        a.error = HTTP_ERROR_NONE;
    if (a.error == HTTP_ERROR_NONE && status < 200)
        a.error = HTTP_ERROR_PROTOCOL;
    if (call->forced == HTTP_ERROR_PROTOCOL)
        str_copy(a.text, "the answer's header lines are longer than 64 KiB", sizeof(a.text));
    else if (a.error == HTTP_ERROR_DENIED)
        str_copy(a.text, "the address of its host may not be connected to", sizeof(a.text));
    else if (a.error != HTTP_ERROR_NONE)
        str_copy(a.text, call->error[0] != '\0' ? call->error : curl_easy_strerror(code), sizeof(a.text));
    a.status = a.error == HTTP_ERROR_NONE ? (int)status : 0;
    a.body = call->body.data != NULL ? call->body.data : "";
    a.body_len = call->body.len;
    a.duration_us = clock_mono_us() - call->started_us;
    a.reused = connects == 0 && a.error != HTTP_ERROR_CONNECT && a.error != HTTP_ERROR_DNS &&
               a.error != HTTP_ERROR_DENIED;
    call->done(call, &a, call->arg);
}

void http_client_collect(struct http_client *c)
{
    const CURLMsg *m;
    int left;

    while ((m = curl_multi_info_read(c->multi, &left)) != NULL) {
        struct http_call *call;
        CURLcode code = m->data.result;

        if (m->msg != CURLMSG_DONE)
            continue;
        (void)curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, (char **)&call);
        (void)curl_multi_remove_handle(c->multi, call->easy);
        c->running--;
        answer(call, code);
        put_back(call);
    }
}

static void answer_broken(struct ev_loop *loop, ev_timer *t, int revents)
{
    struct http_client *c = t->data;
    struct http_call *call;

    (void)loop, (void)revents;
    while ((call = list_first(&c->broken, struct http_call, link)) != NULL) {
        list_remove(&call->link);
        c->running--;
        answer(call, CURLE_FAILED_INIT);
        put_back(call);
    }
}

void http_client_end(struct http_call *call, enum http_error error)
{
    struct http_client *c = call->client;

    (void)curl_multi_remove_handle(c->multi, call->easy);
    call->forced = error;
    list_remove(&call->link);
    list_push_back(&c->broken, &call->link);
    ev_timer_start(c->loop, &c->failed);
}

/* ---- public */

struct http_client *http_client_new(struct ev_loop *loop, const struct http_client_options *o)
{
    struct http_client *c = xcalloc(1, sizeof(*c));

    c->loop = loop;
    c->options = *o;
    list_init(&c->calls);
    list_init(&c->broken);
    list_init(&c->profiles);
    http_client_profile_start(&c->plain, c, &(struct http_profile_options){0});
    list_init(&c->sockets);
    ev_timer_init(&c->failed, answer_broken, 0., 0.);
    c->failed.data = c;
    return c;
}

static void limit_connections(const struct http_client *c)
{
    if (c->multi == NULL || c->options.connections_max == 0)
        return;
    curl_multi_setopt(c->multi, CURLMOPT_MAX_HOST_CONNECTIONS, (long)c->options.connections_max);
    curl_multi_setopt(c->multi, CURLMOPT_MAXCONNECTS, 4L * (long)c->options.connections_max);
}

void http_client_set_connections(struct http_client *c, unsigned max)
{
    c->options.connections_max = max;
    limit_connections(c);
}

static void start_curl(struct http_client *c)
{
    const curl_version_info_data *version = curl_version_info(CURLVERSION_NOW);

    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
        fatal(EXIT_CODE_OSERR, "libcurl does not start");
    c->multi = curl_multi_init();
    c->share = curl_share_init();
    if (c->multi == NULL || c->share == NULL)
        fatal(EXIT_CODE_NOMEM, "libcurl has no memory to start");
    c->one_ca_file = version->cainfo != NULL && access(version->cainfo, R_OK) == 0;
    curl_share_setopt(c->share, CURLSHOPT_SHARE, CURL_LOCK_DATA_SSL_SESSION);
    limit_connections(c);
    http_client_socket_start(c);
    http_client_wait_start(c);
}

struct http_call *http_client_post(struct http_client *c, const struct http_call_options *o,
                                   http_done_fn done, void *arg)
{
    struct http_call *call;

    if (c->multi == NULL)
        start_curl(c);
    call = new_call(c, o->profile != NULL ? (struct http_profile *)o->profile : &c->plain);
    call->done = done;
    call->arg = arg;
    call->started_us = clock_mono_us();
    call->dropped = 0;
    call->cut_short = false;
    call->begun = call->denied = call->tried = false;
    call->header_bytes = 0;
    call->forced = HTTP_ERROR_NONE;
    call->retry_after_ms = -1;
    call->error[0] = '\0';
    curl_easy_setopt(call->easy, CURLOPT_TIMEOUT_MS,
                     (long)(o->timeout_ms > 0 ? o->timeout_ms : c->options.timeout_ms));
    set_headers(call, o->headers);
    set_body(call, o);
    c->running++;
    if (curl_easy_setopt(call->easy, CURLOPT_URL, call->profile->url != NULL ? call->profile->url : o->url) !=
            CURLE_OK ||
        curl_multi_add_handle(c->multi, call->easy) != CURLM_OK) {
        list_push_back(&c->broken, &call->link);
        ev_timer_start(c->loop, &c->failed);
        return call;
    }
    list_push_back(&c->calls, &call->link);
    http_client_wait_for(call);
    return call;
}

void http_call_cancel(struct http_call *call)
{
    struct http_client *c = call->client;

    (void)curl_multi_remove_handle(c->multi, call->easy);
    c->running--;
    put_back(call);
}

unsigned http_client_running(const struct http_client *c)
{
    return c->running;
}

static void free_spare(struct http_profile *p)
{
    struct http_call *call;

    while ((call = list_first(&p->spare, struct http_call, link)) != NULL) {
        list_remove(&call->link);
        free_call(call);
    }
}

void http_client_free(struct http_client *c)
{
    struct http_profile *p;
    struct http_call *call;

    if (c == NULL)
        return;
    ev_timer_stop(c->loop, &c->failed);
    while ((call = list_first(&c->calls, struct http_call, link)) != NULL ||
           (call = list_first(&c->broken, struct http_call, link)) != NULL)
        http_call_cancel(call);
    free_spare(&c->plain);
    while ((p = list_first(&c->profiles, struct http_profile, link)) != NULL) {
        free_spare(p);
        list_remove(&p->link);
        http_client_profile_stop(p);
        free(p);
    }
    http_client_wait_stop(c);
    if (c->multi != NULL) {
        http_client_socket_stop(c);
        curl_multi_cleanup(c->multi);
        curl_share_cleanup(c->share);
        curl_global_cleanup();
    }
    free(c);
}
