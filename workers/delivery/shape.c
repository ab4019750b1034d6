/* shape - see shape.h. Order: the body's form, then gzip, then the signature over what is sent. */
#include "workers/delivery/shape.h"

#include <inttypes.h>
#include <libdeflate.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/base/mem.h"
#include "common/base/str.h"
#include "workers/delivery/sign.h"

#define BODY_MAX (64u << 20)

struct shape {
    enum conf_payload payload;
    char **lines; /* of the configuration; NULL-ended */
    bool own_type, own_agent;
    struct sign *sign;
    struct libdeflate_compressor *gzip;
    size_t gzip_min;
};

struct shape *shape_new(const struct conf *c, const struct conf_destination *d)
{
    bool gzip = conf_destination_compress(c, d) == CONF_COMPRESS_GZIP,
         signs = d->signing_scheme != CONF_SIGNING_NONE;
    struct shape *s;
    size_t n = 0;

    if (!gzip && !signs && d->payload == CONF_PAYLOAD_BATCH && d->headers[0] == NULL)
        return NULL;
    s = xcalloc(1, sizeof(*s));
    s->payload = (enum conf_payload)d->payload;
    while (d->headers[n] != NULL)
        n++;
    s->lines = xcalloc(n + 1, sizeof(*s->lines));
    for (size_t i = 0; i < n; i++) {
        const char *equals = strchr(d->headers[i], '=');

        s->lines[i] = xasprintf("%.*s: %s", (int)(equals - d->headers[i]), d->headers[i], equals + 1);
        s->own_type = s->own_type || strncasecmp(s->lines[i], "Content-Type:", 13) == 0;
        s->own_agent = s->own_agent || strncasecmp(s->lines[i], "User-Agent:", 11) == 0;
    }
    if (signs)
        s->sign = sign_new(d->signing_secrets);
    if (gzip) {
        s->gzip = libdeflate_alloc_compressor((int)c->delivery.compress_level);
        s->gzip_min = c->delivery.compress_min_bytes;
    }
    return s;
}

void shape_free(struct shape *s)
{
    if (s == NULL)
        return;
    for (char **l = s->lines; *l != NULL; l++) {
        explicit_bzero(*l, strlen(*l));
        free(*l);
    }
    free(s->lines);
    sign_free(s->sign);
    libdeflate_free_compressor(s->gzip);
    free(s);
}

bool shape_by_event(const struct shape *s)
{
    return s->payload == CONF_PAYLOAD_EVENT;
}

void shape_made_fini(struct shape_made *m)
{
    buf_fini(&m->body);
    buf_fini(&m->lines);
    *m = (struct shape_made){0};
}

/* A line break inside an event is white space, as no string holds one. */
static int put_line(struct buf *out, const char *text, size_t len)
{
    size_t at = out->len;
    char *p;

    if (buf_append(out, text, len) != 0 || buf_appendc(out, '\n') != 0)
        return -1;
    p = out->data + at;
    if (memchr(p, '\n', len) == NULL && memchr(p, '\r', len) == NULL)
        return 0;
    for (size_t i = 0; i < len; i++)
        if (p[i] == '\n' || p[i] == '\r')
            p[i] = ' ';
    return 0;
}

static int put_ndjson(struct buf *out, const struct http_call_options *o, const struct json_slice *events)
{
    struct json_iter it = {0};
    struct json_slice e;

    if (events == NULL)
        return o->n_pieces == 1 ? put_line(out, o->pieces[0].data, o->pieces[0].len) : -1;
    while (json_next_element(events, &it, &e))
        if (put_line(out, e.text, e.len) != 0)
            return -1;
    return 0;
}

static size_t bytes_of(const struct http_call_options *o)
{
    size_t n = 0;

    for (size_t i = 0; i < o->n_pieces; i++)
        n += o->pieces[i].len;
    return n;
}

static void take_body(struct shape_made *m, struct http_call_options *o)
{
    m->piece = (struct http_piece){.data = m->body.data != NULL ? m->body.data : "", .len = m->body.len};
    o->pieces = &m->piece;
    o->n_pieces = 1;
}

/* 1: it is now gzip; 0: it stays as it is; -1: no memory. */
static int compress(struct shape *s, struct shape_made *m, struct http_call_options *o)
{
    size_t plain = bytes_of(o), most, len;
    struct buf joined, out;
    int rc = -1;

    if (s->gzip == NULL || plain < s->gzip_min)
        return 0;
    buf_init(&joined, plain + 1);
    most = libdeflate_gzip_compress_bound(s->gzip, plain);
    buf_init(&out, most + 1);
    for (size_t i = 0; i < o->n_pieces; i++)
        if (buf_append(&joined, o->pieces[i].data, o->pieces[i].len) != 0)
            goto end;
    if (buf_reserve(&out, most) != 0)
        goto end;
    len = libdeflate_gzip_compress(s->gzip, buf_cstr(&joined), plain, out.data, most);
    rc = len > 0 && len < plain;
    if (rc == 1) {
        out.len = len;
        buf_fini(&m->body);
        m->body = out;
        buf_init(&out, 1);
        take_body(m, o);
    }
end:
    buf_fini(&joined);
    buf_fini(&out);
    return rc;
}

/* The id must hold no full stop: it would blur where it ends in what is signed. */
static int put_signature(struct shape *s, struct shape_made *m, const struct http_call_options *o,
                         const char *key, uint64_t wall_ms, size_t at[3])
{
    char *id = xmalloc(3 * strlen(key) + 1), *to = id;
    int bad = 0;

    for (const char *p = strchr(key, ':') + 2; *p != '\0'; p++) {
        if (*p == '.')
            to = stpcpy(to, "%2E");
        else
            *to++ = *p;
    }
    *to = '\0';
    at[0] = m->lines.len;
    bad |= buf_printf(&m->lines, "webhook-id: %s", id) | buf_appendc(&m->lines, '\0');
    at[1] = m->lines.len;
    bad |=
        buf_printf(&m->lines, "webhook-timestamp: %" PRIu64, wall_ms / 1000) | buf_appendc(&m->lines, '\0');
    at[2] = m->lines.len;
    bad |= buf_puts(&m->lines, "webhook-signature: ") |
           sign_put(s->sign, id, wall_ms / 1000, o->pieces, o->n_pieces, &m->lines) |
           buf_appendc(&m->lines, '\0');
    free(id);
    return bad != 0 ? -1 : 0;
}

int shape_dress(struct shape *s, struct shape_made *m, struct http_call_options *o, const char **headers,
                size_t n, const struct json_slice *events, const char *key, uint64_t wall_ms, char *why,
                size_t size)
{
    size_t at[3];
    int gzip;

    shape_made_fini(m);
    buf_init(&m->body, BODY_MAX);
    buf_init(&m->lines, 1u << 20);
    if (s->payload == CONF_PAYLOAD_NDJSON) {
        if (put_ndjson(&m->body, o, events) != 0)
            goto no_memory;
        take_body(m, o);
        headers[0] = "Content-Type: application/x-ndjson";
    }
    gzip = compress(s, m, o);
    if (gzip < 0 || (s->sign != NULL && put_signature(s, m, o, key, wall_ms, at) != 0))
        goto no_memory;
    if (gzip == 1)
        headers[n++] = "Content-Encoding: gzip";
    for (size_t i = 0; s->sign != NULL && i < 3; i++)
        headers[n++] = m->lines.data + at[i];
    for (char **l = s->lines; *l != NULL; l++)
        headers[n++] = *l;
    if (s->own_agent)
        headers[1] = headers[--n]; /* their order is nobody's business */
    if (s->own_type)
        headers[0] = headers[--n];
    headers[n] = NULL;
    return 0;
no_memory:
    snprintf(why, size, "there is no memory for the body");
    return -1;
}
