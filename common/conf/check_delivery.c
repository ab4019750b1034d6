/* check_delivery - the rules on how a request to a destination looks and where it may go; what a destination inherits. */
#include "common/conf/internal.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "common/base/netset.h"
#include "common/base/str.h"

#define ALONE SIZE_MAX /* not an element of a list */
static const char list[] = "destinations";

/* ---- what is inherited */

enum conf_compress conf_destination_compress(const struct conf *c, const struct conf_destination *d)
{
    return (enum conf_compress)(d->compress > 0 ? d->compress - 1 : c->delivery.compress);
}

enum conf_http2 conf_destination_http2(const struct conf *c, const struct conf_destination *d)
{
    return (enum conf_http2)(d->http2 > 0 ? d->http2 - 1 : c->delivery.http2);
}

const char *conf_destination_proxy(const struct conf *c, const struct conf_destination *d, const char **user,
                                   const char **password)
{
    bool own = d->proxy[0] != '\0';
    const char *proxy = own ? d->proxy : c->delivery.proxy;
    *user = own ? d->proxy_username : c->delivery.proxy_username;
    *password = own ? d->proxy_password : c->delivery.proxy_password;
    return proxy[0] == '\0' || strcmp(proxy, "none") == 0 ? NULL : proxy;
}

int conf_destination_status_rule(const struct conf_destination *d, int status)
{
    int of_class = -1;
    if (d->on_status == NULL)
        return -1;
    for (char **e = d->on_status; *e != NULL; e++) {
        const char *rule = strchr(*e, '=') + 1;
        int n = strcmp(rule, "retry") == 0  ? CONF_STATUS_RETRY
                : strcmp(rule, "fail") == 0 ? CONF_STATUS_FAIL
                : strcmp(rule, "done") == 0 ? CONF_STATUS_DONE
                                            : CONF_STATUS_DISABLE;
        if ((*e)[1] == 'x') {
            if (status / 100 == (*e)[0] - '0')
                of_class = n;
        } else if (((*e)[0] - '0') * 100 + ((*e)[1] - '0') * 10 + ((*e)[2] - '0') == status) {
            return n;
        }
    }
    return of_class;
}

/* ---- headers */

static bool is_token(const char *name)
{
    for (const char *p = name; *p != '\0'; p++)
        if (!isalnum((unsigned char)*p) && strchr("!#$%&'*+-.^_`|~", *p) == NULL)
            return false;
    return name[0] != '\0';
}

static const char *check_header_name(const char *name, bool auth)
{
    static const char *const framing[] = {
        "host",    "connection",     "keep-alive",         "proxy-connection",    "te",
        "trailer", "content-length", "proxy-authenticate", "proxy-authorization", "upgrade",
        "expect",  "http2-settings", "content-encoding",   "transfer-encoding"};
    if (!is_token(name))
        return "is no name of a header: letters, digits and !#$%&'*+-.^_`|~";
    for (size_t i = 0; i < sizeof framing / sizeof *framing; i++)
        if (strcasecmp(name, framing[i]) == 0)
            return "belongs to the connection or to the body's framing, which dray does itself; remove it";
    if (strcasecmp(name, "idempotency-key") == 0)
        return "is set by dray, the same at each attempt; remove it";
    if (strncasecmp(name, "webhook-", 8) == 0)
        return "is set by signing: { scheme: standard-webhooks, ... }; remove it";
    if (!auth && strcasecmp(name, "authorization") == 0)
        return "is a matter of auth: { type: basic | bearer | header, ... }";
    return NULL;
}

static const char *check_header_value(const char *value)
{
    if (value[0] == '\0')
        return "the value is missing";
    for (const char *p = value; *p != '\0'; p++)
        if ((unsigned char)*p < ' ' || *p == 0x7f)
            return "the value holds a control character or a line break";
    return value[0] == ' ' || value[strlen(value) - 1] == ' ' ? "the value begins or ends with a space"
                                                              : NULL;
}

static void check_headers(struct conf_layers *l, const struct conf_destination *it, size_t i)
{
    char what[256];
    for (char **h = it->headers; *h != NULL; h++) {
        const char *equals = strchr(*h, '=');
        char name[128];
        snprintf(name, sizeof name, "%.*s", (int)(equals - *h), *h);
        const char *bad = equals - *h >= (long)sizeof name ? "is longer than 127 characters"
                                                           : check_header_name(name, false);
        if (bad == NULL)
            bad = check_header_value(equals + 1);
        for (char **o = it->headers; o < h && bad == NULL; o++)
            if (strncasecmp(*o, *h, (size_t)(equals - *h) + 1) == 0)
                bad = "stands there twice";
        if (bad == NULL && it->auth_type == CONF_AUTH_HEADER && strcasecmp(name, it->auth_name) == 0)
            bad = "is the header of auth too";
        if (bad == NULL)
            continue;
        snprintf(what, sizeof what, "%.60s: %s", name, bad);
        conf_check_tell(l, list, it->id, i, "headers", what);
    }
}

static void check_auth_header(struct conf_layers *l, const struct conf_destination *it, size_t i)
{
    if (it->auth_type != CONF_AUTH_HEADER) {
        if (it->auth_name[0] != '\0' || it->auth_value[0] != '\0')
            conf_check_tell(l, list, it->id, i, "auth.type", "a name or value is given; write type: header");
        return;
    }
    conf_check_tell(l, list, it->id, i, "auth.name",
                    it->auth_name[0] == '\0' ? "type header needs a name, such as X-Api-Key"
                                             : check_header_name(it->auth_name, true));
    conf_check_tell(l, list, it->id, i, "auth.value", check_header_value(it->auth_value));
}

/* ---- signing */

long conf_signing_secret(const char *text, unsigned char key[64], bool *asymmetric, const char **why)
{
    unsigned char plain[128];
    *asymmetric = str_starts(text, "whsk_");
    if (!*asymmetric && !str_starts(text, "whsec_")) {
        *why = str_starts(text, "whpk_") ? "whpk_ is the public half; give the private one, whsk_..."
                                         : "must begin with whsec_ (HMAC) or whsk_ (ed25519)";
        return -1;
    }
    const char *coded = strchr(text, '_') + 1;
    long n = strlen(coded) < sizeof plain ? str_base64_decode(coded, strlen(coded), plain, sizeof plain) : -1;
    if (n < 0) {
        *why = "what follows the _ is not base64 (with its = at the end), or too long";
    } else if (!*asymmetric && (n < 24 || n > 64)) {
        *why = "must stand for 24 to 64 bytes; make one: echo whsec_$(openssl rand -base64 32)";
        n = -1;
    } else if (*asymmetric && n != 32 && n != 64) {
        *why = "must stand for an ed25519 key of 32 bytes, or 64 with its public half behind it";
        n = -1;
    }
    if (n > 0) {
        n = *asymmetric ? 32 : n;
        memcpy(key, plain, (size_t)n);
    }
    explicit_bzero(plain, sizeof plain);
    return n;
}

static void check_signing(struct conf_layers *l, const struct conf_destination *it, size_t i)
{
    bool signs = it->signing_scheme != CONF_SIGNING_NONE;
    if (signs && it->signing_secrets[0] == NULL)
        conf_check_tell(l, list, it->id, i, "signing.secrets",
                        "there is none; make one: echo whsec_$(openssl rand -base64 32)");
    if (!signs && it->signing_secrets[0] != NULL)
        conf_check_tell(l, list, it->id, i, "signing.scheme",
                        "secrets are given; write scheme: standard-webhooks");
    for (size_t k = 0; it->signing_secrets[k] != NULL; k++) {
        unsigned char key[64];
        bool asymmetric;
        const char *why;
        char what[192];
        if (conf_signing_secret(it->signing_secrets[k], key, &asymmetric, &why) < 0) {
            snprintf(what, sizeof what, "secret %zu %s", k + 1, why);
            conf_check_tell(l, list, it->id, i, "signing.secrets", what);
        }
        explicit_bzero(key, sizeof key);
    }
}

/* ---- where it goes, and by which way */

static bool is_https(const char *url)
{
    return strncasecmp(url, "https://", 8) == 0;
}

static void check_tls(struct conf_layers *l, const struct conf_destination *it, size_t i)
{
    bool ca = it->tls_ca[0] != '\0', cert = it->tls_cert[0] != '\0', key = it->tls_key[0] != '\0';
    const char *name = it->tls_server_name;
    if ((ca || cert || key || name[0] != '\0') && !is_https(it->url))
        conf_check_tell(l, list, it->id, i, "url", "must begin with https://, as tls is given");
    if (cert != key)
        conf_check_tell(l, list, it->id, i, cert ? "tls.cert" : "tls.key",
                        cert ? "needs tls.key too" : "needs tls.cert too");
    if (ca)
        conf_check_tell(l, list, it->id, i, "tls.ca", conf_check_pem_certs(it->tls_ca));
    if (cert)
        conf_check_tell(l, list, it->id, i, "tls.cert", conf_check_pem_certs(it->tls_cert));
    if (key)
        conf_check_tell(l, list, it->id, i, "tls.key", conf_check_pem_key(it->tls_key));
    if (cert && key)
        conf_check_tell(l, list, it->id, i, "tls.key", conf_check_pem_pair(it->tls_cert, it->tls_key));
    if (name[0] != '\0' &&
        (strlen(name) > 253 || name[strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                                 "abcdefghijklmnopqrstuvwxyz0123456789.-_")] != '\0'))
        conf_check_tell(l, list, it->id, i, "tls.server_name", "must be a host name");
}

/* A host that is written as an address; false: it is a name. */
static bool literal_of(const char *url, struct sockaddr_in6 *out)
{
    const char *host = strstr(url, "://") + 3;
    struct sockaddr_in *four = (struct sockaddr_in *)(void *)out;
    char text[INET6_ADDRSTRLEN];
    bool six = host[0] == '[';
    size_t len = six ? strcspn(++host, "]") : strcspn(host, ":/?#");
    memset(out, 0, sizeof *out);
    if (len >= sizeof text)
        return false;
    memcpy(text, host, len);
    text[len] = '\0';
    out->sin6_family = six ? AF_INET6 : AF_INET;
    return six ? inet_pton(AF_INET6, text, &out->sin6_addr) == 1
               : inet_pton(AF_INET, text, &four->sin_addr) == 1;
}

static void check_egress_of(struct conf_layers *l, const struct conf *c, const struct conf_destination *it,
                            size_t i)
{
    struct sockaddr_in6 address;
    if (conf_check_http_url(it->url) != NULL)
        return;
    if (c->delivery.egress_https_only && !is_https(it->url))
        conf_check_tell(l, list, it->id, i, "url",
                        "must begin with https://, as delivery.egress.https_only is true");
    if (!literal_of(it->url, &address))
        return;
    struct netset *deny = netset_new(c->delivery.egress_deny), *allow = netset_new(c->delivery.egress_allow);
    const struct sockaddr *sa = (const struct sockaddr *)&address;
    if (netset_has(deny, sa) && !netset_has(allow, sa))
        conf_check_tell(
            l, list, it->id, i, "url",
            "this address is refused by delivery.egress.deny; add it to delivery.egress.allow, or change one of them");
    netset_free(deny);
    netset_free(allow);
}

static void check_on_status(struct conf_layers *l, const struct conf_destination *it, size_t i)
{
    char what[128];
    for (char **e = it->on_status; *e != NULL; e++) {
        size_t len = (size_t)(strchr(*e, '=') - *e);
        const char *k = *e;
        bool digits =
            len == 3 && k[0] >= '2' && k[0] <= '5' &&
            ((k[1] == 'x' && k[2] == 'x') || (isdigit((unsigned char)k[1]) && isdigit((unsigned char)k[2])));
        if (digits)
            continue;
        snprintf(what, sizeof what, "%.*s: expected a status from 200 to 599, or 2xx, 3xx, 4xx, 5xx",
                 (int)(len < 40 ? len : 40), k);
        conf_check_tell(l, list, it->id, i, "on_status", what);
    }
}

void conf_check_delivery_of(struct conf_layers *l, const struct conf *c, size_t i)
{
    const struct conf_destination *it = &c->destinations[i];
    check_auth_header(l, it, i);
    check_headers(l, it, i);
    check_signing(l, it, i);
    check_tls(l, it, i);
    check_egress_of(l, c, it, i);
    check_on_status(l, it, i);
    if (it->http2 == CONF_HTTP2_TRUE + 1 && !is_https(it->url))
        conf_check_tell(l, list, it->id, i, "http2",
                        "is agreed on over TLS; with an http:// url write prior_knowledge, or false");
    bool own = it->proxy[0] != '\0' && strcmp(it->proxy, "none") != 0;
    if (own)
        conf_check_tell(l, list, it->id, i, "proxy", conf_check_proxy(it->proxy));
    if (!own && (it->proxy_username[0] != '\0' || it->proxy_password[0] != '\0'))
        conf_check_tell(l, list, it->id, i, "proxy_username", "is for a proxy of its own, and there is none");
}

void conf_check_delivery(struct conf_layers *l, const struct conf *c)
{
    static const struct {
        const char *row;
        bool deny;
    } rows[] = {{"egress.deny", true}, {"egress.allow", false}};
    char what[256];
    if (c->delivery.proxy[0] != '\0')
        conf_check_tell(l, "delivery", NULL, ALONE, "proxy", conf_check_proxy(c->delivery.proxy));
    else if (c->delivery.proxy_username[0] != '\0' || c->delivery.proxy_password[0] != '\0')
        conf_check_tell(l, "delivery", NULL, ALONE, "proxy_username",
                        "is for delivery.proxy, which is empty");
    for (size_t r = 0; r < 2; r++)
        for (char *const *w = rows[r].deny ? c->delivery.egress_deny : c->delivery.egress_allow; *w != NULL;
             w++) {
            const char *bad = netset_check(*w);
            if (bad == NULL)
                continue;
            snprintf(what, sizeof what, "%.60s: %s", *w, bad);
            conf_check_tell(l, "delivery", NULL, ALONE, rows[r].row, what);
        }
}
