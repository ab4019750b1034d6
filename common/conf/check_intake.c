/* check_intake - the rules of who may send: origins of web pages, listeners of a source, proxies that are believed. */
#include "common/conf/internal.h"

#include <stdio.h>
#include <string.h>

#include "common/base/cidr.h"
#include "common/base/str.h"

static const char host_chars[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789.-_";

/* As a browser says it: scheme://host[:port], nothing behind it. */
static bool is_origin(const char *text)
{
    size_t scheme = strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789+.-");
    if (strlen(text) > 255 || scheme == 0 || !str_starts(text + scheme, "://"))
        return false;
    const char *host = text + scheme + 3;
    if (str_starts(host, "*."))
        host += 2;
    size_t len = host[0] == '[' ? strcspn(host, "]") + 1 : strspn(host, host_chars);
    if (len == 0 || len > strlen(host))
        return false;
    const char *port = host + len;
    return port[0] == '\0' || (port[0] == ':' && port[1] != '\0' && strlen(port) <= 6 &&
                               port[1 + strspn(port + 1, "0123456789")] == '\0');
}

static void check_cors(struct conf_layers *l, const struct conf_source *it, size_t i)
{
    char what[400];
    for (char **w = it->cors; *w != NULL; w++) {
        if (strcmp(*w, "none") == 0 && (w != it->cors || w[1] != NULL)) {
            conf_check_tell(l, "sources", it->id, i, "cors", "none stands alone");
            return;
        }
        if (strcmp(*w, "*") == 0 || strcmp(*w, "none") == 0 || strcmp(*w, "null") == 0 || is_origin(*w))
            continue;
        snprintf(
            what, sizeof what,
            "%.200s: expected *, none, or an origin such as https://www.example.com or https://*.example.com, "
            "without a path",
            *w);
        conf_check_tell(l, "sources", it->id, i, "cors", what);
    }
}

static bool has_listener(const struct conf *c, const char *id)
{
    for (size_t i = 0; i < c->n_listeners; i++)
        if (strcmp(c->listeners[i].id, id) == 0)
            return true;
    return false;
}

static void check_listeners(struct conf_layers *l, const struct conf *c, size_t i)
{
    char what[400];
    const struct conf_source *it = &c->sources[i];
    for (char **w = it->listeners; *w != NULL; w++) {
        if (has_listener(c, *w))
            continue;
        snprintf(what, sizeof what, "%.200s: ingest.listeners has no listener of this id", *w);
        conf_check_tell(l, "sources", it->id, i, "listeners", what);
    }
}

void conf_check_intake(struct conf_layers *l, const struct conf *c)
{
    char what[400];
    struct cidr network;
    for (size_t i = 0; i < c->n_sources; i++) {
        check_cors(l, &c->sources[i], i);
        check_listeners(l, c, i);
    }
    for (char **w = c->ingest.trusted_proxies; *w != NULL; w++) {
        if (strcmp(*w, "unix") == 0 || cidr_parse(*w, &network) == 0)
            continue;
        snprintf(what, sizeof what,
                 "%.200s: expected unix, an address, or a network such as 10.0.0.0/8 or fd00::/8", *w);
        conf_check_tell(l, "ingest", NULL, CONF_ALONE, "trusted_proxies", what);
    }
}
