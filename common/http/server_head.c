/* server_head - see server_int.h. The head of a request.
 *
 * A head is looked at when all of it is there and in one piece, under limits.header_bytes; so llhttp never sees a part
 * of one, its spans are whole, and one pass over the lines refuses what llhttp 8.1.0 lets through (a CR or LF alone,
 * folded lines: CVE-2023-30589) before it can matter. llhttp parses lines, names and values; what the message framing
 * rests on (lengths, codings, Host) is decided here, from the values.
 */
#include "common/http/server_int.h"

#include <llhttp.h>
#include <string.h>
#include <strings.h>

#include "common/base/clock.h"

struct head {
    const struct http_server *server;
    const char *url;
    size_t url_len;
    size_t n;   /* headers so far, in server->spans */
    int status; /* decided in a callback; 0: none */
    bool complete;
};

static bool is_token_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           (c != '\0' && strchr("!#$%&'*+-.^_`|~", c) != NULL);
}

long http_head_find(struct http_conn *c, const char *p, size_t n, int *status)
{
    size_t max = c->server->limits.header_bytes;
    *status = 400;
    if (c->line == 0 && c->searched == 0 && n > 0 && !is_token_char(p[0]) && p[0] != '\r')
        return -1; /* TLS, or another protocol: its end need not be waited for */
    for (;;) {
        const char *lf = c->searched < n ? memchr(p + c->searched, '\n', n - c->searched) : NULL;
        size_t line = c->line, end = lf != NULL ? (size_t)(lf - p) : n;
        if (end > max || (line == 0 && end > HTTP_URI_MAX + 64)) {
            *status = line == 0 ? 414 : 431;
            return -1;
        }
        if (line > 0 && n > line && (p[line] == ' ' || p[line] == '\t'))
            return -1; /* obs-fold */
        if (lf == NULL) {
            c->searched = (uint32_t)n;
            return 0;
        }
        /* The one CR of a line stands in front of its LF. */
        if (end == line || memchr(p + line, '\r', end - line) != lf - 1)
            return -1;
        c->line = c->searched = (uint32_t)end + 1;
        if (end == line + 1)
            return (long)end + 1;
    }
}

static int on_url(llhttp_t *parser, const char *at, size_t len)
{
    struct head *h = parser->data;
    if (h->url == NULL)
        h->url = at;
    h->url_len += len;
    if (h->url_len > HTTP_URI_MAX)
        h->status = 414;
    return h->status == 0 ? 0 : HPE_USER;
}

static int on_header_field(llhttp_t *parser, const char *at, size_t len)
{
    struct head *h = parser->data;
    if (h->n == h->server->limits.headers)
        h->status = 431;
    for (size_t i = 0; i < len && h->status == 0; i++)
        if (!is_token_char(at[i]))
            h->status = 400;
    if (len == 0 || at[len] != ':')
        h->status = 400;
    if (h->status != 0)
        return HPE_USER;
    h->server->spans[h->n++] = (struct http_header){.name = at};
    return 0;
}

static int on_header_value(llhttp_t *parser, const char *at, size_t len)
{
    struct head *h = parser->data;
    struct http_header *header = h->n > 0 ? &h->server->spans[h->n - 1] : NULL;
    if (header == NULL || header->value != NULL) { /* a value in two pieces: no head in one piece has that */
        h->status = 400;
        return HPE_USER;
    }
    header->value = at;
    header->value_len = len;
    return 0;
}

static int on_headers_complete(llhttp_t *parser)
{
    struct head *h = parser->data;
    h->complete = true;
    return HPE_PAUSED;
}

static const llhttp_settings_t settings = {
    .on_url = on_url,
    .on_header_field = on_header_field,
    .on_header_value = on_header_value,
    .on_headers_complete = on_headers_complete,
};

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* What to answer when llhttp stopped on its own, or at a version that is not ours. */
static int status_of_fault(const llhttp_t *parser, llhttp_errno_t e, const char *p, size_t n)
{
    const char *cr = memchr(p, '\r', n);
    bool versioned = cr - p > 9 && memcmp(cr - 9, " HTTP/", 6) == 0 && is_digit(cr[-3]) && cr[-2] == '.' &&
                     is_digit(cr[-1]);
    size_t len = 0;
    while (len < n && is_token_char(p[len]))
        len++;
    bool method = len > 0 && p[len] == ' ';
    if (e == HPE_INVALID_METHOD ||
        (e == HPE_INVALID_CONSTANT && parser->method > HTTP_SOURCE && parser->method != HTTP_PRI))
        return method && versioned ? 501 : 400; /* RFC 9110 9.1: a method that is not recognized */
    bool ours = versioned && cr[-3] == '1' && (cr[-1] == '0' || cr[-1] == '1');
    return method && versioned && !ours ? 505 : 400; /* with the preface of HTTP/2 */
}

static bool header_is(const struct http_header *h, const char *name, size_t len)
{
    return strncasecmp(h->name, name, len) == 0 && h->name[len] == ':';
}

static bool value_is(const struct http_header *h, const char *text)
{
    return h->value_len == strlen(text) && strncasecmp(h->value, text, h->value_len) == 0;
}

/* RFC 9112 6.3: chunked must stand last and alone counts here; another coding in front of it gets 501. */
static int check_coding(const struct http_header *h)
{
    if (value_is(h, "chunked"))
        return 0;
    size_t n = h->value_len;
    if (n < 8 || strncasecmp(h->value + n - 7, "chunked", 7) != 0)
        return 400;
    size_t before = n - 7;
    while (before > 0 && (h->value[before - 1] == ' ' || h->value[before - 1] == '\t'))
        before--;
    if (before == 0 || h->value[before - 1] != ',')
        return 400;
    for (size_t i = 0; i + 7 <= before; i++)
        if (strncasecmp(h->value + i, "chunked", 7) == 0)
            return 400; /* applied twice */
    return 501;
}

static int parse_length(const struct http_header *h, uint64_t *out)
{
    uint64_t v = 0;
    if (h->value_len == 0)
        return 400;
    for (size_t i = 0; i < h->value_len; i++) {
        unsigned digit = (unsigned char)h->value[i] - (unsigned)'0';
        if (digit > 9 || __builtin_mul_overflow(v, 10, &v) || __builtin_add_overflow(v, digit, &v))
            return 400;
    }
    *out = v;
    return 0;
}

/* Of "host:port" or "[v6]:port": no port, or digits alone. */
static bool port_is_plain(const char *p, size_t n)
{
    const char *closing = n > 0 && p[0] == '[' ? memchr(p, ']', n) : NULL;
    if (n > 0 && p[0] == '[' && closing == NULL)
        return false;
    const char *from = closing != NULL ? closing + 1 : p;
    const char *colon = memchr(from, ':', (size_t)(p + n - from));
    if (colon == NULL)
        return closing == NULL || from == p + n;
    for (const char *d = colon + 1; d < p + n; d++)
        if (!is_digit(*d))
            return false;
    return closing == NULL || colon == from;
}

static bool host_is_plain(const struct http_header *h)
{
    for (size_t i = 0; i < h->value_len; i++)
        if ((unsigned char)h->value[i] <= ' ' || (unsigned char)h->value[i] >= 0x7f ||
            strchr(",/?#@\\\"<>", h->value[i]) != NULL)
            return false;
    return port_is_plain(h->value, h->value_len);
}

struct framing {
    uint64_t length;
    size_t origin; /* number of that header, from 1; 0: none */
    bool has_length, chunked, wants_continue;
};

/* Values without the white space behind them, and what they say about the message. 0, or the status. */
static int read_framing(struct http_header *headers, size_t n, bool http10, struct framing *f)
{
    unsigned hosts = 0, codings = 0;
    int status = 0;
    for (size_t i = 0; i < n && status == 0; i++) {
        struct http_header *h = &headers[i];
        if (h->value == NULL)
            h->value = "";
        while (h->value_len > 0 && (h->value[h->value_len - 1] == ' ' || h->value[h->value_len - 1] == '\t'))
            h->value_len--;
        switch (h->name[0] | 0x20) {
        case 'c':
            if (header_is(h, "content-length", 14)) {
                status = f->has_length ? 400 : parse_length(h, &f->length);
                f->has_length = true;
            }
            break;
        case 'e':
            if (header_is(h, "expect", 6) && !http10) {
                f->wants_continue = value_is(h, "100-continue");
                status = f->wants_continue ? 0 : 417;
            }
            break;
        case 'h':
            if (header_is(h, "host", 4))
                status = ++hosts > 1 || !host_is_plain(h) ? 400 : 0;
            break;
        case 'o':
            if (f->origin == 0 && header_is(h, "origin", 6))
                f->origin = i + 1;
            break;
        case 't':
            if (header_is(h, "transfer-encoding", 17)) {
                status = ++codings > 1 || http10 ? 400 : check_coding(h);
                f->chunked = true;
            }
            break;
        default:
            break;
        }
    }
    if (status == 0 && ((f->chunked && f->has_length) || (hosts == 0 && !http10)))
        status = 400;
    return status;
}

/* Splits the target, which stands in the request's own text. The path of "http://host/path" is taken. */
static int read_target(struct http_request *r, char *target, size_t len)
{
    static char empty[] = "";
    for (size_t i = 0; i < len; i++)
        if ((unsigned char)target[i] <= ' ' || (unsigned char)target[i] >= 0x7f || target[i] == '#')
            return 400;
    target[len] = '\0';
    if (strncasecmp(target, "http://", 7) == 0 || strncasecmp(target, "https://", 8) == 0) {
        char *authority = strchr(target, ':') + 3, *end = authority + strcspn(authority, "/?");
        if (end == authority || memchr(authority, '@', (size_t)(end - authority)) != NULL ||
            !port_is_plain(authority, (size_t)(end - authority)))
            return 400;    /* RFC 9110 4.2.4: user names there are an error */
        if (*end != '/') { /* an empty path; there is room in front of the query */
            memmove(authority, end, strlen(end) + 1);
            end = authority - 1;
            *end = '/';
        }
        target = end;
    }
    if (*target != '/' && (strcmp(target, "*") != 0 || strcmp(r->method, "OPTIONS") != 0))
        return 400; /* RFC 9112 3.2.4 */
    char *query = strchr(target, '?');
    r->path = target;
    r->query = query != NULL ? query + 1 : empty;
    if (query != NULL)
        *query = '\0';
    return 0;
}

/* Copies the head and turns the spans, which point into p, to the copy. */
static struct http_request *make_request(struct http_conn *c, const struct head *h, const char *p, size_t n,
                                         int *status)
{
    struct http_request *r = http_request_new(c, h->n, n + 1);
    if (r == NULL) {
        *status = 503;
        return NULL;
    }
    char *text = (char *)(r->headers + h->n);
    memcpy(text, p, n);
    text[n] = '\0';
    for (size_t i = 0; i < h->n; i++) {
        const struct http_header *from = &h->server->spans[i];
        struct http_header *to = &r->headers[i];
        char *name = text + (from->name - p),
             *value = from->value_len > 0 ? text + (from->value - p) : text + n;
        name[strcspn(name, ":")] = '\0';
        value[from->value_len] = '\0';
        *to = (struct http_header){name, value, from->value_len};
    }
    char *target = text + (h->url - p);
    target[-1] = '\0'; /* the space behind the method */
    r->method = text;
    *status = read_target(r, target, h->url_len);
    if (*status == 0)
        return r;
    http_request_free(r);
    return NULL;
}

struct http_request *http_head_parse(struct http_conn *c, const char *p, size_t n, int *status)
{
    struct head h = {.server = c->server};
    struct framing f = {0};
    llhttp_t parser;
    llhttp_init(&parser, HTTP_REQUEST, &settings);
    parser.data = &h;
    llhttp_errno_t e = llhttp_execute(&parser, p, n);
    *status = h.status;
    bool http10 = parser.http_major == 1 && parser.http_minor == 0;
    bool ours = http10 || (parser.http_major == 1 && parser.http_minor == 1);
    if (*status == 0 && (!h.complete || h.url == NULL || h.url_len == 0 || !ours))
        *status = status_of_fault(&parser, e, p, n);
    if (*status == 0 && memcmp(h.url + h.url_len, " HTTP/", 6) != 0)
        *status = 400; /* more than one space */
    if (*status == 0 && (parser.method == HTTP_CONNECT || parser.method > HTTP_SOURCE))
        *status = 501;
    if (*status == 0)
        *status = read_framing(c->server->spans, h.n, http10, &f);
    if (*status != 0)
        return NULL;
    struct http_request *r = make_request(c, &h, p, n, status);
    if (r == NULL)
        return NULL;
    r->began_us = clock_mono_us();
    r->http10 = http10;
    r->head_only = parser.method == HTTP_HEAD;
    r->closes = !llhttp_should_keep_alive(&parser);
    r->chunked = f.chunked;
    r->origin = f.origin > 0 ? r->headers[f.origin - 1].value : NULL;
    r->body_want = f.length;
    r->wants_continue = f.wants_continue && (f.chunked || f.length > 0);
    return r;
}
