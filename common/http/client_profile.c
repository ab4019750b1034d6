/* client_profile - what makes the requests to one destination differ from those to another: TLS, HTTP version, proxy,
 * time-outs, and the addresses that may be connected to. Set once a handle, never a request.
 */
#include "common/http/client_impl.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

#include "common/base/mem.h"
#include "common/base/netset.h"

static bool given(const char *text)
{
    return text != NULL && text[0] != '\0';
}

/* libcurl verifies the name that stands in the URL: so that name is put there, and the host is told apart. */
static void put_server_name(struct http_profile *p)
{
    const char *url = p->options.url, *host = strstr(url, "://") + 3;
    size_t len = strcspn(host, "/?"), scheme = (size_t)(host - url);
    const char *port =
        memchr(host, ']', len) != NULL ? strchr(memchr(host, ']', len), ':') : memchr(host, ':', len);
    char *to;

    if (port != NULL && port >= host + len)
        port = NULL;
    p->host_header = xasprintf("Host: %.*s", (int)len, host);
    p->url = xasprintf("%.*s%s%.*s%s", (int)scheme, url, p->options.server_name,
                       port != NULL ? (int)(host + len - port) : 0, port != NULL ? port : "", host + len);
    to = xasprintf("::%.*s:%.*s", (int)(port != NULL ? port - host : (long)len), host,
                   port != NULL ? (int)(host + len - port - 1) : 0, port != NULL ? port + 1 : "");
    p->connect_to = curl_slist_append(NULL, to);
    free(to);
}

void http_client_profile_start(struct http_profile *p, struct http_client *c,
                               const struct http_profile_options *o)
{
    uint64_t wait_ms =
        o->first_byte_timeout_ms > 0 ? o->first_byte_timeout_ms : c->options.first_byte_timeout_ms;

    *p = (struct http_profile){.client = c, .options = *o, .first_byte_us = wait_ms * 1000};
    if (!given(o->proxy))
        p->options.proxy = NULL;
    list_init(&p->link);
    list_init(&p->spare);
    if (given(o->server_name))
        put_server_name(p);
}

void http_client_profile_stop(struct http_profile *p)
{
    free(p->url);
    free(p->host_header);
    curl_slist_free_all(p->connect_to);
}

struct http_profile *http_profile_new(struct http_client *c, const struct http_profile_options *o)
{
    struct http_profile *p = xcalloc(1, sizeof(*p));

    http_client_profile_start(p, c, o);
    list_push_back(&c->profiles, &p->link);
    return p;
}

/* The address is looked at here, behind the resolver: each connection passes by. */
static curl_socket_t open_socket(void *arg, curlsocktype purpose, struct curl_sockaddr *a)
{
    struct http_call *call = arg;
    const struct http_profile_options *o = &call->profile->options;

    (void)purpose;
    if (!netset_has(o->deny, &a->addr) || netset_has(o->allow, &a->addr)) {
        call->tried = true;
        return socket(a->family, a->socktype | SOCK_CLOEXEC, a->protocol);
    }
    call->denied = true;
    return CURL_SOCKET_BAD;
}

static void put_blob(CURL *e, CURLoption option, const char *text)
{
    struct curl_blob blob = {.data = (void *)text, .len = strlen(text), .flags = CURL_BLOB_NOCOPY};

    curl_easy_setopt(e, option, &blob);
}

static void apply_proxy(CURL *e, const struct http_profile_options *o)
{
    curl_easy_setopt(e, CURLOPT_PROXY, o->proxy != NULL ? o->proxy : "");
    curl_easy_setopt(e, CURLOPT_NOPROXY, ""); /* or the environment is asked */
    if (o->proxy == NULL)
        return;
    curl_easy_setopt(e, CURLOPT_HTTPPROXYTUNNEL, 1L);
    curl_easy_setopt(e, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
    curl_easy_setopt(e, CURLOPT_HEADEROPT,
                     (long)CURLHEADER_SEPARATE); /* the proxy must not see our headers */
    if (given(o->proxy_username) || given(o->proxy_password)) {
        curl_easy_setopt(e, CURLOPT_PROXYUSERNAME, o->proxy_username);
        curl_easy_setopt(e, CURLOPT_PROXYPASSWORD, o->proxy_password);
    }
}

/* libcurl 7.88 begins HTTP/2 anew on a connection that speaks it without having asked: the second request of it ends in
 * "Error in the HTTP2 framing layer". */
static bool reuse_is_broken(void)
{
    unsigned version = curl_version_info(CURLVERSION_NOW)->version_num;

    return version >= 0x075800 && version < 0x080000;
}

void http_client_profile_apply(struct http_call *call)
{
    const struct http_profile *p = call->profile;
    const struct http_profile_options *o = &p->options;
    static const long versions[] = {[HTTP_VERSION_1] = CURL_HTTP_VERSION_1_1,
                                    [HTTP_VERSION_2_ALPN] = CURL_HTTP_VERSION_2TLS,
                                    [HTTP_VERSION_2_PRIOR_KNOWLEDGE] = CURL_HTTP_VERSION_2_PRIOR_KNOWLEDGE};
    CURL *e = call->easy;

    curl_easy_setopt(e, CURLOPT_HTTP_VERSION, versions[o->version]);
    if (o->version == HTTP_VERSION_2_PRIOR_KNOWLEDGE && reuse_is_broken()) {
        curl_easy_setopt(e, CURLOPT_FRESH_CONNECT, 1L);
        curl_easy_setopt(e, CURLOPT_FORBID_REUSE, 1L);
    } else if (o->version != HTTP_VERSION_1) {
        curl_easy_setopt(e, CURLOPT_PIPEWAIT, 1L);
    }
    curl_easy_setopt(
        e, CURLOPT_CONNECTTIMEOUT_MS,
        (long)(o->connect_timeout_ms > 0 ? o->connect_timeout_ms : p->client->options.connect_timeout_ms));
    apply_proxy(e, o);
    if (o->unix_path != NULL)
        curl_easy_setopt(e, CURLOPT_UNIX_SOCKET_PATH, o->unix_path);
    if (given(o->ca)) {
        curl_easy_setopt(e, CURLOPT_CAPATH, NULL); /* in place of the system's, not beside them */
        put_blob(e, CURLOPT_CAINFO_BLOB, o->ca);
    }
    if (given(o->cert)) {
        put_blob(e, CURLOPT_SSLCERT_BLOB, o->cert);
        put_blob(e, CURLOPT_SSLKEY_BLOB, o->key);
    }
    if (p->connect_to != NULL)
        curl_easy_setopt(e, CURLOPT_CONNECT_TO, p->connect_to);
    if (o->deny != NULL && o->proxy == NULL) {
        curl_easy_setopt(e, CURLOPT_OPENSOCKETFUNCTION, open_socket);
        curl_easy_setopt(e, CURLOPT_OPENSOCKETDATA, call);
    }
}
