/* form - the written form of addresses, URLs and ids. Nothing is looked up. */
#include "common/conf/internal.h"

#include <arpa/inet.h>
#include <string.h>
#include <strings.h>
#include <sys/un.h>

#include "common/base/str.h"

#define ID_MAX   63
#define HOST_MAX 253

static const char alnum[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

const char *conf_check_id(const char *text)
{
    if (text[0] == '\0')
        return "must not be empty";
    if (strlen(text) > ID_MAX)
        return "must be at most 63 characters long";
    for (const char *p = text; *p != '\0'; p++)
        if (strchr(alnum, *p) == NULL && strchr("._-", *p) == NULL)
            return "may hold letters, digits and . _ - only";
    return NULL;
}

static const char *check_port(const char *text, bool zero)
{
    uint64_t port;
    if (text[0] == '\0' || strlen(text) > 5 || str_parse_u64(text, &port) < 0 || port > 65535 ||
        (port == 0 && !zero))
        return zero ? "the port must be a number from 0 to 65535"
                    : "the port must be a number from 1 to 65535";
    return NULL;
}

static const char *check_host(const char *host, size_t len)
{
    if (len == 0)
        return "the host is missing";
    if (len > HOST_MAX)
        return "the host is longer than 253 characters";
    for (size_t i = 0; i < len; i++)
        if (strchr(alnum, host[i]) == NULL && strchr(".-_", host[i]) == NULL)
            return "the host holds a character that no host name has";
    return NULL;
}

static const char *check_ipv6(const char *text, size_t len)
{
    char host[INET6_ADDRSTRLEN];
    unsigned char bin[16];
    if (len >= sizeof host)
        return "not an IPv6 address in [ ]";
    memcpy(host, text, len);
    host[len] = '\0';
    return inet_pton(AF_INET6, host, bin) == 1 ? NULL : "not an IPv6 address in [ ]";
}

/* "host", "host:port", "[v6]", "[v6]:port"; *port is what stands behind the colon, or NULL. */
static const char *check_authority(const char *text, size_t len, const char **port)
{
    *port = NULL;
    if (len > 0 && text[0] == '[') {
        const char *end = memchr(text, ']', len);
        if (end == NULL)
            return "the ] of the IPv6 address is missing";
        size_t host = (size_t)(end - text) - 1;
        if (host + 2 < len && end[1] != ':')
            return "expected :port behind the ]";
        *port = host + 2 < len ? end + 2 : NULL;
        return check_ipv6(text + 1, host);
    }
    const char *colon = memchr(text, ':', len);
    if (colon != NULL && memchr(colon + 1, ':', len - (size_t)(colon - text) - 1) != NULL)
        return "an IPv6 address stands in [ ], as in [::1]:8080";
    *port = colon != NULL ? colon + 1 : NULL;
    return check_host(text, colon != NULL ? (size_t)(colon - text) : len);
}

static const char *check_socket_path(const char *path)
{
    if (path[0] == '\0')
        return "the path of the socket is missing";
    if (strlen(path) >= sizeof((struct sockaddr_un *)NULL)->sun_path)
        return "the path of a unix socket must be shorter than 108 bytes";
    return NULL;
}

const char *conf_check_address(const char *text)
{
    if (str_starts(text, "unix:"))
        return check_socket_path(text + strlen("unix:"));
    const char *port;
    if (text[0] == ':')
        return check_port(text + 1, true);
    const char *bad = check_authority(text, strlen(text), &port);
    if (bad != NULL)
        return bad;
    return port != NULL ? check_port(port, true)
                        : "the port is missing; write host:port, [v6]:port, :port or unix:PATH";
}

/* What stands between "scheme://" and the path; its port is checked. */
static const char *check_url_authority(const char *text, size_t len)
{
    const char *port, *bad = check_authority(text, len, &port);
    if (bad != NULL || port == NULL)
        return bad;
    char digits[8];
    size_t n = len - (size_t)(port - text);
    if (n >= sizeof digits)
        return "the port must be a number from 1 to 65535";
    memcpy(digits, port, n);
    digits[n] = '\0';
    return check_port(digits, false);
}

const char *conf_check_http_url(const char *text)
{
    size_t scheme = strncasecmp(text, "http://", 7) == 0 ? 7 : strncasecmp(text, "https://", 8) == 0 ? 8 : 0;
    if (text[0] == '\0')
        return "must be given, as in https://hooks.example.com/v1/batch";
    if (scheme == 0)
        return "must begin with http:// or https://";
    for (const char *p = text; *p != '\0'; p++)
        if ((unsigned char)*p <= ' ' || (unsigned char)*p >= 0x7f || strchr("\"<>\\^`{|}", *p) != NULL)
            return "holds a character that must be written as %XX";
    const char *host = text + scheme;
    size_t len = strcspn(host, "/?#");
    if (memchr(host, '@', len) != NULL)
        return "must not hold a user name or password; use auth: { type: basic, ... }";
    if (strchr(host, '#') != NULL)
        return "must not have a fragment (#...)";
    return check_url_authority(host, len);
}

const char *conf_check_redis_url(const char *text)
{
    if (str_starts(text, "rediss://"))
        return "TLS (rediss://) is not supported; run stunnel and give its address";
    if (str_starts(text, "unix://")) {
        char path[256];
        size_t len = strcspn(text + 7, "?");
        if (len >= sizeof path)
            return "the path of a unix socket must be shorter than 108 bytes";
        memcpy(path, text + 7, len);
        path[len] = '\0';
        const char *query = text + 7 + len;
        uint64_t db;
        if (*query != '\0' && (!str_starts(query, "?db=") || str_parse_u64(query + 4, &db) < 0))
            return "only ?db=NUMBER may follow the path";
        return check_socket_path(path);
    }
    if (!str_starts(text, "redis://"))
        return "must begin with redis:// or unix://";
    const char *host = text + 8;
    size_t len = strcspn(host, "/?#");
    const char *at = memrchr(host, '@', len), *path = host + len;
    uint64_t db;
    if (*path != '\0' && strcmp(path, "/") != 0 && (*path != '/' || str_parse_u64(path + 1, &db) < 0))
        return "only /NUMBER (the database) may follow the host";
    if (at != NULL) {
        len -= (size_t)(at + 1 - host);
        host = at + 1;
    }
    return check_url_authority(host, len);
}

const char *conf_check_proxy(const char *text)
{
    static const char *const schemes[] = {"http://", "socks5h://", "socks5://"};
    const char *host = NULL, *port;
    for (size_t i = 0; i < sizeof schemes / sizeof *schemes && host == NULL; i++)
        if (strncasecmp(text, schemes[i], strlen(schemes[i])) == 0)
            host = text + strlen(schemes[i]);
    if (host == NULL)
        return "must begin with http://, socks5h:// or socks5://";
    if (strchr(host, '@') != NULL)
        return "must not hold a user name or password; use proxy_username and proxy_password";
    size_t len = strcspn(host, "/?#");
    if (host[len] != '\0' && strcmp(host + len, "/") != 0)
        return "nothing may follow the port";
    const char *bad = check_authority(host, len, &port);
    if (bad != NULL)
        return bad;
    return port == NULL ? "the port is missing; write http://host:port" : check_url_authority(host, len);
}
