/* server_body - see server_int.h. The body of a request, gathered in one piece.
 *
 * Memory is taken as bytes arrive, never by what a length promises: a thousand clients that announce 4 MB and send
 * nothing cost nothing. Chunk framing is decoded here and not by llhttp, whose 8.1.0 is lax about the CR LF in it.
 */
#include "common/http/server_int.h"

#include <string.h>

#include "common/base/mem.h"

#define FIRST_BODY 8192

enum {
    SIZE,
    EXTENSION,
    SIZE_LF,
    DATA,
    DATA_CR,
    DATA_LF,
    TRAILER_BEGIN,
    TRAILER_NAME,
    TRAILER_VALUE,
    TRAILER_LF,
    LAST_LF
};

int http_body_reserve(struct http_request *r, size_t more)
{
    struct http_server *s = r->conn->server;
    if (r->body_len > s->limits.body_bytes || more > s->limits.body_bytes - r->body_len)
        return 413;
    size_t need = r->body_len + more;
    if (need < r->body_cap)
        return 0; /* with room for the NUL that is promised to nobody but kind to debuggers */
    size_t cap = r->body_cap > 0 ? r->body_cap : FIRST_BODY;
    while (cap <= need)
        cap *= 2;
    /* The length that was announced bounds the growth, so that the last step does not double. */
    if (!r->chunked && cap > r->body_want + 1)
        cap = (size_t)r->body_want + 1;
    if (!http_budget_take(s->budget, cap - r->body_cap))
        return 503;
    char *body = mem_try_resize(r->body, cap);
    if (body == NULL) {
        s->budget->used -= cap - r->body_cap;
        return 503;
    }
    r->body = body;
    r->body_cap = cap;
    return 0;
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* One byte of framing. 0, or the status. */
static int step(struct http_conn *c, struct http_request *r, char byte, bool *done)
{
    struct http_chunk *k = &c->chunk;
    const struct http_limits *limits = &c->server->limits;
    switch (k->step) {
    case SIZE: {
        int v = hex_value(byte);
        if (v >= 0) {
            k->left = k->left << 4 | (unsigned)v;
            return ++k->digits > 15 ? 400 : k->left > limits->body_bytes - r->body_len ? 413 : 0;
        }
        if (k->digits == 0 || (byte != ';' && byte != '\r'))
            return 400;
        k->step = byte == ';' ? EXTENSION : SIZE_LF;
        return 0;
    }
    case EXTENSION:
        if (byte == '\r')
            k->step = SIZE_LF;
        else if (((unsigned char)byte < ' ' && byte != '\t') || byte == 0x7f)
            return 400;
        return ++k->extra > limits->header_bytes ? 431 : 0;
    case SIZE_LF:
        k->step = k->left > 0 ? DATA : TRAILER_BEGIN;
        return byte == '\n' ? 0 : 400;
    case DATA_CR:
        k->step = DATA_LF;
        return byte == '\r' ? 0 : 400;
    case DATA_LF:
        k->step = SIZE;
        k->digits = 0;
        return byte == '\n' ? 0 : 400;
    case TRAILER_BEGIN:
        if (byte == '\r') {
            k->step = LAST_LF;
            return 0;
        }
        k->step = TRAILER_NAME;
        return byte == ':' || (unsigned char)byte <= ' ' || ++k->extra > limits->header_bytes ? 400 : 0;
    case TRAILER_NAME:
        if (byte == ':')
            k->step = TRAILER_VALUE;
        else if ((unsigned char)byte <= ' ' || byte == 0x7f)
            return 400;
        return ++k->extra > limits->header_bytes ? 431 : 0;
    case TRAILER_VALUE:
        if (byte == '\r')
            k->step = TRAILER_LF;
        else if (((unsigned char)byte < ' ' && byte != '\t') || byte == 0x7f)
            return 400;
        return ++k->extra > limits->header_bytes ? 431 : 0;
    case TRAILER_LF:
        k->step = TRAILER_BEGIN;
        return byte == '\n' ? 0 : 400;
    default: /* LAST_LF */
        *done = true;
        return byte == '\n' ? 0 : 400;
    }
}

long http_body_chunked(struct http_conn *c, struct http_request *r, const char *p, size_t n, bool *done,
                       int *status)
{
    size_t used = 0;
    *done = false;
    while (used < n && !*done) {
        if (c->chunk.step != DATA) {
            *status = step(c, r, p[used++], done);
            if (*status != 0)
                return -1;
            continue;
        }
        size_t take = n - used < c->chunk.left ? n - used : (size_t)c->chunk.left;
        *status = http_body_reserve(r, take);
        if (*status != 0)
            return -1;
        memcpy(r->body + r->body_len, p + used, take);
        r->body_len += take;
        c->chunk.left -= take;
        used += take;
        if (c->chunk.left == 0)
            c->chunk.step = DATA_CR;
    }
    return (long)used;
}
