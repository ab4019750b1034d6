/* sink_bench - a destination that answers at once and knows how old each event is that comes: for peers.py.
 *
 * usage: sink_bench            prints "listening on http://127.0.0.1:PORT"
 *
 * The events are load_bench's: their messageId begins with the microsecond in which they were due, in 14 hex digits. It is
 * looked for in the text as it came, so that whatever carries the events (a batch, one alone, JSON in a JSON string) is
 * counted alike. GET /stats: {"events", "distinct", "p50_us", "p99_us"} since the last GET /reset. One clock: both
 * programs run on one machine.
 */
#include <errno.h>
#include <ev.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "common/base/addr.h"
#include "common/base/clock.h"
#include "common/base/mem.h"
#include "common/http/server.h"

#define TIME_LEN  14
#define ID_LEN    20
#define BUCKETS   10000000 /* of 10 us; the last one holds what is slower */
#define BUCKET_US 10
#define SEEN_BITS 24 /* ids that are told apart; more are refused */

struct sink {
    uint64_t events, distinct;
    uint32_t *ages;
    uint64_t *seen; /* open addressing; 0: free */
};

/* Of n hex digits; false: they are none. */
static bool read_hex(const char *text, size_t n, uint64_t *v)
{
    static const char digits[] = "0123456789abcdef";
    *v = 0;
    for (size_t i = 0; i < n; i++) {
        const char *digit = memchr(digits, text[i], 16);
        if (digit == NULL)
            return false;
        *v = *v << 4 | (uint64_t)(digit - digits);
    }
    return true;
}

static bool is_new(struct sink *s, uint64_t key)
{
    size_t at = (size_t)(key * 0x9e3779b97f4a7c15ull >> (64 - SEEN_BITS));
    for (; s->seen[at] != 0; at = (at + 1) & ((1u << SEEN_BITS) - 1))
        if (s->seen[at] == key)
            return false;
    if (s->distinct > (1u << SEEN_BITS) / 4 * 3) {
        fprintf(stderr, "sink_bench: more than %u events: reset it between runs\n", (1u << SEEN_BITS) / 4 * 3);
        exit(1);
    }
    s->seen[at] = key;
    return true;
}

static void note(struct sink *s, const char *id, uint64_t now_us)
{
    uint64_t at_us, place;
    if (!read_hex(id, TIME_LEN, &at_us) || !read_hex(id + TIME_LEN, ID_LEN - TIME_LEN, &place))
        return;
    s->events++;
    if (!is_new(s, at_us << 12 | (place & 0xfff)))
        return;
    uint64_t bucket = (now_us - at_us) / BUCKET_US;
    s->distinct++;
    s->ages[bucket < BUCKETS ? bucket : BUCKETS - 1]++;
}

static void read_body(struct sink *s, const char *body, size_t len)
{
    static const char name[] = "messageId";
    const char *end = body + len;
    uint64_t now_us = clock_mono_us();
    for (const char *at = body; (at = memmem(at, (size_t)(end - at), name, sizeof name - 1)) != NULL;) {
        at += sizeof name - 1;
        while (at < end && strchr("\\\": ", *at) != NULL && *at != '\0')
            at++;
        if (end - at >= ID_LEN)
            note(s, at, now_us);
    }
}

static uint64_t percentile_us(const struct sink *s, uint64_t percent)
{
    uint64_t before = 0, wanted = s->distinct * percent / 100;
    for (uint64_t i = 0; i < BUCKETS; i++)
        if ((before += s->ages[i]) > wanted)
            return i * BUCKET_US;
    return 0;
}

static void reset(struct sink *s)
{
    s->events = s->distinct = 0;
    memset(s->ages, 0, BUCKETS * sizeof *s->ages);
    memset(s->seen, 0, sizeof *s->seen << SEEN_BITS);
}

static void on_request(struct http_request *r, void *arg)
{
    struct sink *s = arg;
    char text[160];
    size_t len;
    const char *body = http_request_body(r, &len);
    if (strcmp(http_request_method(r), "POST") == 0) {
        read_body(s, body, len);
        http_reply(r, 200, NULL, "", NULL, 0);
        return;
    }
    if (strcmp(http_request_path(r), "/reset") == 0)
        reset(s);
    int n = snprintf(text, sizeof text, "{\"events\":%llu,\"distinct\":%llu,\"p50_us\":%llu,\"p99_us\":%llu}",
                     (unsigned long long)s->events, (unsigned long long)s->distinct,
                     (unsigned long long)percentile_us(s, 50), (unsigned long long)percentile_us(s, 99));
    http_reply(r, 200, "application/json", "", text, (size_t)n);
}

int main(void)
{
    static const struct http_limits limits = {.header_bytes = 64u << 10,
                                              .body_bytes = 64u << 20,
                                              .connections = 4096,
                                              .header_timeout_ms = 60000,
                                              .body_timeout_ms = 60000,
                                              .idle_timeout_ms = 300000};
    static const struct http_server_events events = {.request = on_request};
    static struct http_budget budget = {.max = 1u << 30};
    struct ev_loop *loop = ev_default_loop(0);
    struct sink s = {.ages = xcalloc(BUCKETS, sizeof *s.ages), .seen = xcalloc((size_t)1 << SEEN_BITS, sizeof *s.seen)};
    struct http_server *server = http_server_new(loop, &limits, &budget, &events, &s);
    struct addr a;
    char text[160];
    int fd = addr_parse("127.0.0.1:0", &a) == 0 ? addr_listen(&a, 4096, 0600) : -1;
    a.len = sizeof a.sa;
    if (fd < 0 || getsockname(fd, (struct sockaddr *)&a.sa, &a.len) != 0 || http_server_listen(server, fd, "sink") != 0) {
        fprintf(stderr, "sink_bench: listening: %s\n", strerror(errno));
        return 1;
    }
    addr_format((struct sockaddr *)&a.sa, a.len, text, sizeof text);
    printf("listening on http://%s\n", text);
    fflush(stdout);
    ev_run(loop, 0);
    return 0;
}
