/* proxies - see proxies.h. */
#include "workers/ingest/proxies.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/base/mem.h"

void proxies_set(struct proxies *p, char *const *words)
{
    size_t n = 0;
    proxies_fini(p);
    while (words[n] != NULL)
        n++;
    p->networks = xcalloc(n, sizeof *p->networks);
    for (; *words != NULL; words++) {
        if (strcmp(*words, "unix") == 0)
            p->unix_peers = true;
        else if (cidr_parse(*words, &p->networks[p->n]) == 0)
            p->n++;
    }
}

void proxies_fini(struct proxies *p)
{
    free(p->networks);
    *p = (struct proxies){0};
}

static bool trusts(const struct proxies *p, const struct cidr *address)
{
    for (size_t i = 0; i < p->n; i++)
        if (cidr_contains(&p->networks[i], address))
            return true;
    return false;
}

struct span {
    const char *text;
    size_t len;
};

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

static struct span trim(struct span s)
{
    while (s.len > 0 && is_blank(s.text[s.len - 1]))
        s.len--;
    while (s.len > 0 && is_blank(s.text[0])) {
        s.text++;
        s.len--;
    }
    return s;
}

/* "192.0.2.1", "192.0.2.1:80", "2001:db8::1", "[2001:db8::1]", "[2001:db8::1]:80" */
static bool read_node(struct span s, struct cidr *out)
{
    if (s.len > 1 && s.text[0] == '[') {
        const char *end = memchr(s.text, ']', s.len);
        size_t len = end != NULL ? (size_t)(end - s.text) : 0;
        return len > 0 && (len + 1 == s.len || end[1] == ':') && memchr(s.text + 1, ':', len - 1) != NULL &&
               cidr_parse_address(s.text + 1, len - 1, out) == 0;
    }
    const char *colon = memchr(s.text, ':', s.len);
    if (colon != NULL && memchr(colon + 1, ':', s.len - (size_t)(colon + 1 - s.text)) == NULL)
        s.len = (size_t)(colon - s.text);
    return cidr_parse_address(s.text, s.len, out) == 0;
}

/* The value of `for` in one element of Forwarded; len 0: there is none. */
static struct span forwarded_for(struct span element)
{
    while (element.len > 0) {
        const char *semicolon = memchr(element.text, ';', element.len);
        struct span pair = element;
        pair.len = semicolon != NULL ? (size_t)(semicolon - element.text) : element.len;
        element.text += pair.len + (semicolon != NULL);
        element.len -= pair.len + (semicolon != NULL);
        pair = trim(pair);
        if (pair.len < 4 || strncasecmp(pair.text, "for=", 4) != 0)
            continue;
        pair = (struct span){pair.text + 4, pair.len - 4};
        if (pair.len >= 2 && pair.text[0] == '"' && pair.text[pair.len - 1] == '"')
            pair = (struct span){pair.text + 1, pair.len - 2};
        return pair;
    }
    return (struct span){"", 0};
}

/* Takes the last element off a list; false when nothing is left. A comma inside quotes is in no address. */
static bool last_element(struct span *list, struct span *out)
{
    if (list->text == NULL)
        return false;
    const char *comma = memrchr(list->text, ',', list->len);
    if (comma == NULL) {
        *out = trim(*list);
        list->text = NULL;
    } else {
        size_t front = (size_t)(comma - list->text);
        *out = trim((struct span){comma + 1, list->len - front - 1});
        list->len = front;
    }
    return true;
}

/* Follows the hops of all headers of that name from the last one's end. True when there was such a header. */
static bool follow(const struct proxies *p, const char *name, const struct http_header *headers, size_t n,
                   struct cidr *sender, bool *known)
{
    bool seen = false, standard = strcmp(name, "forwarded") == 0;
    for (size_t i = n; i-- > 0;) {
        struct span list = {headers[i].value, headers[i].value_len}, element;
        if (strcasecmp(headers[i].name, name) != 0)
            continue;
        seen = true;
        while (last_element(&list, &element)) {
            struct cidr hop;
            if (element.len == 0)
                continue; /* RFC 9110 5.6.1: empty elements mean nothing */
            if (!read_node(standard ? forwarded_for(element) : element, &hop))
                return true;
            *sender = hop;
            *known = true;
            if (!trusts(p, &hop))
                return true;
        }
    }
    return seen;
}

const char *proxies_sender(const struct proxies *p, const char *peer, const struct http_header *headers,
                           size_t n, char dst[CIDR_TEXT_SIZE])
{
    struct cidr sender;
    bool known = cidr_parse_address(peer, strlen(peer), &sender) == 0;
    if ((known ? trusts(p, &sender) : p->unix_peers) &&
        !follow(p, "x-forwarded-for", headers, n, &sender, &known))
        (void)follow(p, "forwarded", headers, n, &sender, &known);
    return known ? cidr_format_address(&sender, dst) : NULL;
}
