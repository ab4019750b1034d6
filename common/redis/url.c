/* url - where Redis is and who asks: redis://[user[:password]@]host[:port][/db], unix://[user:password@]/path[?db=N].
 * User and password given apart from the URL win. Pure.
 */
#include "common/redis/internal.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"
#include "common/base/str.h"

static int hex(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)tolower((unsigned char)c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* A copy of s[0..n) with %XX decoded; "%00" and a bare % stay as they are. */
static char *decode(const char *s, size_t n)
{
    char *out = xmalloc(n + 1), *o = out;
    for (size_t i = 0; i < n; i++) {
        int hi = -1, lo = -1;
        if (s[i] == '%' && i + 2 < n) {
            hi = hex(s[i + 1]);
            lo = hex(s[i + 2]);
        }
        if (hi >= 0 && lo >= 0 && (hi | lo) != 0) {
            *o++ = (char)(hi * 16 + lo);
            i += 2;
        } else {
            *o++ = s[i];
        }
    }
    *o = '\0';
    return out;
}

static int bad(char *why, size_t size, const char *text)
{
    snprintf(why, size, "%s", text);
    return -1;
}

/* user:password@ in front of *s; moves *s behind it. end: where the authority ends. */
static void take_userinfo(struct redis_target *t, const char **s, const char *end)
{
    const char *at = NULL;
    for (const char *p = *s; p < end; p++)
        if (*p == '@')
            at = p;
    if (at == NULL)
        return;
    const char *colon = memchr(*s, ':', (size_t)(at - *s));
    if (colon != NULL) {
        t->username = decode(*s, (size_t)(colon - *s));
        t->password = decode(colon + 1, (size_t)(at - colon - 1));
    } else {
        t->password = decode(*s, (size_t)(at - *s));
    }
    *s = at + 1;
}

static int parse_db(struct redis_target *t, const char *s, char *why, size_t size)
{
    uint64_t db;
    if (*s == '\0')
        return 0;
    if (str_parse_u64(s, &db) < 0 || db > 1000000)
        return bad(why, size, "redis url: the database is not a number");
    t->db = (int)db;
    return 0;
}

static int parse_unix(struct redis_target *t, const char *s, char *why, size_t size)
{
    const char *query = strchr(s, '?');
    const char *end = query != NULL ? query : s + strlen(s);
    const char *slash = memchr(s, '/', (size_t)(end - s));
    if (slash == NULL)
        return bad(why, size, "redis url: unix:// needs an absolute path");
    take_userinfo(t, &s, slash);
    if (*s != '/')
        return bad(why, size, "redis url: unix:// needs an absolute path");
    t->path = decode(s, (size_t)(end - s));
    if (strlen(t->path) > 107)
        return bad(why, size, "redis url: the path of the unix socket is too long (107 bytes at most)");
    if (query == NULL)
        return 0;
    if (!str_starts(query, "?db="))
        return bad(why, size, "redis url: only ?db=N is known");
    return parse_db(t, query + 4, why, size);
}

static int parse_tcp(struct redis_target *t, const char *s, char *why, size_t size)
{
    const char *end = s + strcspn(s, "/?");
    take_userinfo(t, &s, end);
    const char *host_end, *host = s;
    if (*s == '[') {
        host = s + 1;
        host_end = memchr(host, ']', (size_t)(end - host));
        if (host_end == NULL)
            return bad(why, size, "redis url: ']' is missing");
        s = host_end + 1;
    } else {
        host_end = memchr(s, ':', (size_t)(end - s));
        if (host_end == NULL)
            host_end = end;
        s = host_end;
    }
    t->host = host_end > host ? xstrndup(host, (size_t)(host_end - host)) : xstrdup("127.0.0.1");
    t->port = 6379;
    if (s < end) {
        char digits[8];
        uint64_t port;
        size_t n = (size_t)(end - s);
        if (*s != ':' || n > sizeof digits)
            return bad(why, size, "redis url: bad port");
        memcpy(digits, s + 1, n - 1);
        digits[n - 1] = '\0';
        if (str_parse_u64(digits, &port) < 0 || port == 0 || port > 65535)
            return bad(why, size, "redis url: bad port");
        t->port = (int)port;
    }
    if (*end == '/')
        return parse_db(t, end + 1, why, size);
    return *end == '\0' ? 0 : bad(why, size, "redis url: options are not known here");
}

int redis_target_parse(struct redis_target *t, const char *url, const char *username, const char *password,
                       char *why, size_t size)
{
    memset(t, 0, sizeof *t);
    int rc;
    if (str_starts(url, "redis://"))
        rc = parse_tcp(t, url + 8, why, size);
    else if (str_starts(url, "unix://"))
        rc = parse_unix(t, url + 7, why, size);
    else if (str_starts(url, "rediss://"))
        rc = bad(why, size,
                 "redis url: rediss:// (TLS) is not supported; run stunnel and give redis:// or unix://");
    else
        rc = bad(why, size, "redis url: must begin with redis:// or unix://");
    if (rc < 0) {
        redis_target_fini(t);
        return -1;
    }
    if (username != NULL && *username != '\0') {
        free(t->username);
        t->username = xstrdup(username);
    }
    if (password != NULL && *password != '\0') {
        free(t->password);
        t->password = xstrdup(password);
    }
    if (t->username == NULL)
        t->username = xstrdup("");
    if (t->password == NULL)
        t->password = xstrdup("");
    return 0;
}

void redis_target_fini(struct redis_target *t)
{
    free(t->host);
    free(t->path);
    free(t->username);
    free(t->password);
    memset(t, 0, sizeof *t);
}
