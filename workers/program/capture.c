/* capture - see capture.h. */
#include "workers/program/capture.h"

static void tell(struct capture *c, bool goes_on, capture_fn fn, void *arg)
{
    if (!goes_on && c->len > 0 && c->line[c->len - 1] == '\r')
        c->len--;
    if (c->len > 0)
        fn(c->line, c->len, goes_on, arg);
    c->len = c->cost = 0;
    c->continued = goes_on;
}

void capture_flush(struct capture *c, capture_fn fn, void *arg)
{
    tell(c, false, fn, arg);
}

void capture_feed(struct capture *c, const char *data, size_t len, capture_fn fn, void *arg)
{
    for (size_t i = 0; i < len; i++) {
        unsigned char byte = (unsigned char)data[i];
        if (byte == '\n') {
            tell(c, false, fn, arg);
            continue;
        }
        size_t cost = byte < 0x20 || byte >= 0x7f ? 4 : byte == '"' || byte == '\\' ? 2 : 1;
        if (c->cost + cost > CAPTURE_COST_MAX)
            tell(c, true, fn, arg);
        c->line[c->len++] = data[i];
        c->cost += cost;
    }
}
