/* server_request - see server_int.h. A request's memory, and what handlers may ask of it. */
#include "common/http/server_int.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/base/mem.h"

bool http_budget_take(struct http_budget *b, size_t n)
{
    if (n > b->max || b->used > b->max - n)
        return false;
    b->used += n;
    return true;
}

/* The text stands behind the headers, in the same piece. */
struct http_request *http_request_new(struct http_conn *c, size_t n_headers, size_t text)
{
    struct http_budget *budget = c->server->budget;
    size_t size = sizeof(struct http_request) + n_headers * sizeof(struct http_header) + text;
    if (!http_budget_take(budget, size))
        return NULL;
    struct http_request *r = mem_try(size);
    if (r == NULL) {
        budget->used -= size;
        return NULL;
    }
    memset(r, 0, sizeof *r);
    r->conn = c;
    r->counted = size;
    r->headers = (struct http_header *)(r + 1);
    r->n_headers = n_headers;
    r->method = r->path = r->query = "";
    return r;
}

void http_request_free(struct http_request *r)
{
    http_request_drop_body(r);
    r->conn->server->budget->used -= r->counted;
    free(r->answer);
    free(r);
}

const char *http_request_method(const struct http_request *r)
{
    return r->method;
}

const char *http_request_path(const struct http_request *r)
{
    return r->path;
}

const char *http_request_query(const struct http_request *r)
{
    return r->query;
}

const char *http_request_header(const struct http_request *r, const char *name)
{
    for (size_t i = 0; i < r->n_headers; i++)
        if (strcasecmp(r->headers[i].name, name) == 0)
            return r->headers[i].value;
    return NULL;
}

size_t http_request_headers(const struct http_request *r, const struct http_header **out)
{
    *out = r->headers;
    return r->n_headers;
}

const char *http_request_body(const struct http_request *r, size_t *len)
{
    *len = r->body_len;
    return r->body_len > 0 ? r->body : "";
}

const char *http_request_peer(const struct http_request *r)
{
    return r->conn->peer;
}

unsigned http_request_listener(const struct http_request *r)
{
    return r->conn->listener;
}

const char *http_request_origin(const struct http_request *r)
{
    return r->origin;
}

void http_request_set_user(struct http_request *r, void *user)
{
    r->user = user;
}

void *http_request_user(const struct http_request *r)
{
    return r->user;
}

void http_request_drop_body(struct http_request *r)
{
    r->conn->server->budget->used -= r->body_cap;
    free(r->body);
    r->body = NULL;
    r->body_len = r->body_cap = 0;
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Decodes up to '=' (if that ends it) or '&'. The number of bytes, or -1: does not fit. *p goes to what ended it. */
static long decode(const char **p, bool name, char *dst, size_t size)
{
    size_t n = 0;
    for (; **p != '\0' && **p != '&' && !(name && **p == '='); (*p)++) {
        char c = **p;
        if (c == '+')
            c = ' ';
        else if (c == '%' && hex_value((*p)[1]) >= 0 && hex_value((*p)[2]) >= 0) {
            c = (char)((unsigned)hex_value((*p)[1]) << 4 | (unsigned)hex_value((*p)[2]));
            *p += 2;
        }
        if (n < size)
            dst[n] = c;
        n++;
    }
    if (n >= size)
        return -1;
    dst[n] = '\0';
    return (long)n;
}

bool http_query_next(const char **query, char *name, size_t name_size, char *value, size_t value_size)
{
    const char *p = *query;
    p += strspn(p, "&");
    if (*p == '\0') {
        *query = p;
        return false;
    }
    bool fits = decode(&p, true, name, name_size) >= 0;
    *value = '\0';
    if (*p == '=') {
        p++;
        fits = decode(&p, false, value, value_size) >= 0 && fits;
    }
    if (!fits)
        *name = *value = '\0';
    *query = p;
    return true;
}

bool http_query_get(const char *query, const char *name, char *dst, size_t size)
{
    char key[128];
    for (const char *p = query; *p != '\0';) {
        long n = decode(&p, true, key, sizeof key);
        bool ours = n >= 0 && (size_t)n == strlen(name) && memcmp(key, name, (size_t)n) == 0;
        if (*p == '=')
            p++;
        if (ours) {
            n = decode(&p, false, dst, size);
            return n >= 0 && memchr(dst, '\0', (size_t)n) == NULL;
        }
        p += strcspn(p, "&");
        if (*p == '&')
            p++;
    }
    return false;
}
