/* pixel - see pixel.h. */
#include "workers/ingest/pixel.h"

#include <errno.h>
#include <string.h>

#include "common/base/str.h"
#include "common/http/server.h"

#define ADDED     4    /* members that are not parameters */
#define TEXT_ROOM 8192 /* of one query, decoded; a request line is not longer */
#define ENTRIES   (PIXEL_PARAMETERS_MAX + ADDED)

const unsigned char pixel_gif[PIXEL_GIF_SIZE] =
    "GIF89a\1\0\1\0\x80\0\0\0\0\0\0\0\0!\xf9\4\1\0\0\0\0,\0\0\0\0\1\0\1\0\0\2\2D\1\0;";

struct entry {
    const char *key, *value;
    bool literal; /* the value is JSON as it stands */
};

struct pixel {
    struct entry entries[ENTRIES];
    size_t n, used;
    char text[2 * TEXT_ROOM];
};

static const struct entry *entry_of(const struct pixel *p, const char *key)
{
    for (size_t i = 0; i < p->n; i++)
        if (strcmp(p->entries[i].key, key) == 0)
            return &p->entries[i];
    return NULL;
}

/* Names with an empty part, or too many, are left out. */
static bool is_path(const char *key)
{
    size_t depth = 1, part = 0;
    for (; *key != '\0'; key++) {
        if (*key == '.' && part == 0)
            return false;
        depth += *key == '.';
        part = *key == '.' ? 0 : part + 1;
    }
    return part > 0 && depth <= PIXEL_DEPTH_MAX;
}

static int read_query(struct pixel *p, const char *query)
{
    for (;;) {
        char *key = p->text + p->used;
        size_t room = sizeof p->text - p->used;
        if (room < 2 * 256 || p->n == PIXEL_PARAMETERS_MAX)
            return query[strspn(query, "&")] == '\0' ? 0 : -1;
        char *value = key + 256;
        if (!http_query_next(&query, key, 256, value, room - 256))
            return 0;
        if (strcmp(key, "writeKey") == 0 || !is_path(key) || entry_of(p, key) != NULL)
            continue; /* of parameters of one name the first counts */
        size_t len = strlen(key) + 1;
        memmove(key + len, value, strlen(value) + 1);
        p->entries[p->n++] = (struct entry){key, key + len, false};
        p->used += len + strlen(key + len) + 1;
    }
}

static void add(struct pixel *p, const char *key, const char *value, bool literal)
{
    if (entry_of(p, key) == NULL)
        p->entries[p->n++] = (struct entry){key, value, literal};
}

static void add_members(struct pixel *p, const char *now)
{
    add(p, "channel", "web", false);
    if (entry_of(p, "integrations") == NULL)
        add(p, "integrations.All", "true", true);
    add(p, "originalTimestamp", now, false);
    add(p, "sentAt", now, false);
}

/* What is not UTF-8 becomes U+FFFD. */
static int put_text(const char *text, size_t len, struct buf *out)
{
    char clean[3 * TEXT_ROOM];
    size_t n = 0;
    for (size_t i = 0; i < len && n + 4 <= sizeof clean;) {
        size_t c = str_utf8_length(text + i, len - i);
        memcpy(clean + n, c > 0 ? text + i : "\xef\xbf\xbd", c > 0 ? c : 3);
        n += c > 0 ? c : 3;
        i += c > 0 ? c : 1;
    }
    return buf_put_json(out, clean, n);
}

/* The entries `at[0..n)`, whose names are the same up to `from`, as one object. */
static int put_object(const struct pixel *p, const unsigned char *at, size_t n, size_t from, struct buf *out)
{
    bool done[ENTRIES] = {false};
    int bad = buf_appendc(out, '{');
    for (size_t i = 0, members = 0; i < n && bad == 0; i++) {
        const char *name = p->entries[at[i]].key + from;
        size_t len = strcspn(name, "."), n_inner = 0;
        unsigned char inner[ENTRIES];
        const struct entry *leaf = NULL;
        if (done[i])
            continue;
        for (size_t j = i; j < n; j++) {
            const struct entry *e = &p->entries[at[j]];
            if (strcspn(e->key + from, ".") != len || memcmp(e->key + from, name, len) != 0)
                continue;
            done[j] = true;
            if (e->key[from + len] == '.')
                inner[n_inner++] = at[j];
            else
                leaf = e;
        }
        if (members++ > 0)
            bad |= buf_appendc(out, ',');
        bad |= put_text(name, len, out);
        bad |= buf_appendc(out, ':');
        if (n_inner > 0)
            bad |= put_object(p, inner, n_inner, from + len + 1, out);
        else if (leaf != NULL)
            bad |=
                leaf->literal ? buf_puts(out, leaf->value) : put_text(leaf->value, strlen(leaf->value), out);
    }
    return bad | buf_appendc(out, '}');
}

/* Also the alphabet for URLs, with or without padding; a plus that came as a blank. */
static int put_base64(const char *data, struct buf *out)
{
    char text[TEXT_ROOM + 4];
    size_t len = 0;
    for (; *data != '\0' && len < TEXT_ROOM; data++)
        text[len++] = (char)(*data == '-' || *data == ' ' ? '+' : *data == '_' ? '/' : *data);
    while (len % 4 != 0)
        text[len++] = '=';
    if (buf_reserve(out, len + 3) < 0)
        return -1;
    long n = str_base64_decode(text, len, (unsigned char *)out->data + out->len, len + 3);
    if (n <= 0)
        return -1;
    out->len += (size_t)n;
    return 0;
}

int pixel_write(const char *query, const char *type, bool is_segment, const char *now, struct buf *out)
{
    struct pixel p;
    unsigned char at[ENTRIES];
    p.n = p.used = 0;
    if (read_query(&p, query) == 0) {
        const struct entry *data = is_segment ? entry_of(&p, "data") : NULL;
        if (data != NULL && put_base64(data->value, out) == 0)
            return 0;
        for (struct entry *e = p.entries; e < p.entries + p.n; e++) {
            size_t len = strlen(e->value);
            if (strcmp(e->key, "anonymousId") == 0 && len >= 2 && e->value[0] == '"' &&
                e->value[len - 1] == '"') {
                e->value++;
                p.text[(size_t)(e->value - p.text) + len - 2] = '\0';
            }
            if (strcmp(e->key, "name") == 0 && len == 0 && strcmp(type, "page") == 0)
                e->value = "Unknown Page";
        }
        const struct entry *event = entry_of(&p, "event");
        bool nameless = strcmp(type, "track") == 0 && event != NULL && event->value[0] == '\0';
        if (!is_segment)
            add_members(&p, now);
        for (size_t i = 0; i < p.n; i++)
            at[i] = (unsigned char)i;
        if (!nameless && data == NULL && put_object(&p, at, p.n, 0, out) == 0)
            return 0;
    }
    errno = EINVAL;
    return -1;
}
