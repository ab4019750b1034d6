/* demo_events - see demo_events.h. */
#include "master/cli/demo_events.h"

#include <stdint.h>
#include <stdio.h>

#include "common/base/clock.h"

#define USERS        50
#define OF(array, r) ((array)[(r) % (sizeof(array) / sizeof *(array))])

enum kind { TRACK, PAGE, SCREEN, IDENTIFY, GROUP, ALIAS };

/* Mostly track and page, as in life. */
static const enum kind mix[] = {TRACK, TRACK,  PAGE,  TRACK, IDENTIFY, TRACK,
                                PAGE,  SCREEN, TRACK, GROUP, TRACK,    ALIAS};
static const char *const kind_names[] = {"track", "page", "screen", "identify", "group", "alias"};
static const char *const names[] = {
    "Product Viewed", "Product Added",   "Order Completed", "Cart Viewed",
    "Signed Up",      "Søk utført",      "注文完了",        "Cart \\\"quoted\\\" \\\\ slash",
    "Video Paused",   "Статья прочитана"};
static const char *const pages[] = {"/", "/pricing", "/docs/start?utm_source=mail", "/blog/été", "/カタログ"};
static const char *const locales[] = {"en-US", "nb-NO", "ja-JP", "pt-BR", "ru-RU"};
static const char *const cities[] = {"Oslo", "東京", "São Paulo", "Zürich", "Санкт-Петербург"};

/* xorshift*: the same events for the same number, on every machine. */
static uint64_t draw(uint64_t *state)
{
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    return (*state * 2685821657736338717u) >> 16;
}

static int put_context(struct buf *out, uint64_t *r)
{
    const char *page = OF(pages, draw(r));
    return buf_printf(
        out,
        "\"context\":{\"library\":{\"name\":\"dray-demo\",\"version\":\"%s\"},\"ip\":\"203.0.113.%u\","
        "\"locale\":\"%s\",\"page\":{\"path\":\"%s\",\"url\":\"https://shop.example.com%s\"},"
        "\"screen\":{\"width\":%u,\"height\":844,\"density\":2.5},\"timezone\":\"Europe/Oslo\"}",
        DRAY_VERSION, (unsigned)(draw(r) % 256), OF(locales, draw(r)), page, page,
        (unsigned)(390 + draw(r) % 1200));
}

static int put_details(struct buf *out, enum kind kind, unsigned n, uint64_t *r)
{
    switch (kind) {
    case TRACK:
        return buf_printf(
            out,
            "\"event\":\"%s\",\"properties\":{\"n\":%u,\"revenue\":%u.%02u,\"currency\":\"NOK\","
            "\"products\":[{\"sku\":\"A-%u\",\"quantity\":%u},{\"sku\":\"B-7\",\"tags\":[\"nytt\",\"🚀\"]}],"
            "\"nested\":{\"a\":{\"b\":[1,2.5,null,true,{\"c\":\"é\\u0000\"}]}},\"big\":9007199254740993}",
            OF(names, draw(r)), n, (unsigned)(draw(r) % 5000), (unsigned)(draw(r) % 100),
            (unsigned)(draw(r) % 1000), (unsigned)(1 + draw(r) % 5));
    case PAGE:
    case SCREEN:
        return buf_printf(out, "\"name\":\"%s\",\"properties\":{\"n\":%u,\"path\":\"%s\",\"first\":%s}",
                          OF(names, draw(r)), n, OF(pages, draw(r)), draw(r) % 2 != 0 ? "true" : "false");
    case IDENTIFY:
        return buf_printf(
            out,
            "\"traits\":{\"n\":%u,\"email\":\"user%u@example.com\",\"address\":{\"city\":\"%s\"},"
            "\"score\":%u.5e-3}",
            n, (unsigned)(draw(r) % USERS), OF(cities, draw(r)), (unsigned)(draw(r) % 1000));
    case GROUP:
        return buf_printf(out, "\"groupId\":\"g%u\",\"traits\":{\"n\":%u,\"plan\":\"premium\",\"seats\":%u}",
                          (unsigned)(draw(r) % 9), n, (unsigned)(draw(r) % 500));
    case ALIAS:
        break;
    }
    return buf_printf(out, "\"previousId\":\"anon-%u\",\"properties\":{\"n\":%u}", (unsigned)(draw(r) % 999),
                      n);
}

static int put_event(struct buf *out, const char *run, unsigned n)
{
    uint64_t r = 0x9e3779b97f4a7c15u * (n + 1);
    enum kind kind = OF(mix, draw(&r));
    char stamp[CLOCK_TEXT_SIZE];
    clock_format_wall(clock_wall_ms(), stamp);
    if (buf_printf(
            out,
            "{\"type\":\"%s\",\"messageId\":\"%s-%06u\",\"userId\":\"user-%u\",\"anonymousId\":\"anon-%u\","
            "\"originalTimestamp\":\"%s\",",
            kind_names[kind], run, n, (unsigned)(draw(&r) % USERS), (unsigned)(draw(&r) % 999), stamp) != 0)
        return -1;
    if (put_details(out, kind, n, &r) != 0 || buf_appendc(out, ',') != 0 || put_context(out, &r) != 0)
        return -1;
    return buf_puts(out, ",\"integrations\":{\"All\":true}}");
}

int demo_events_body(struct buf *out, const char *run, unsigned first, unsigned n)
{
    char stamp[CLOCK_TEXT_SIZE];
    if (buf_puts(out, "{\"batch\":[") != 0)
        return -1;
    for (unsigned i = 0; i < n; i++)
        if ((i > 0 && buf_appendc(out, ',') != 0) || put_event(out, run, first + i) != 0)
            return -1;
    return buf_printf(out, "],\"sentAt\":\"%s\"}", clock_format_wall(clock_wall_ms(), stamp));
}
