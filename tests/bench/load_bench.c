/* load_bench - posts one prepared HTTP request again and again, each time with fresh ids; prints what came of it.
 *
 * usage: load_bench HOST PORT CONNECTIONS SECONDS FILE [REQUESTS-A-SECOND]
 *
 * FILE holds the whole request, head and body; each run of 20 @ in it becomes an id that never comes twice on this
 * machine: the microsecond in which the request was due (14 hex digits, monotonic; see sink_bench), and its place. One
 * thread, keep-alive, one request at a time on each connection; with a rate the next one that is due goes on a free
 * connection, without one each goes as soon as the last is answered. The ids are written into the one copy
 * of the request, which send() copies: what it did not take waits beside its connection. A connection that ends counts
 * as an error and is made anew. The last line is: RESULT requests seconds not-200 errors p50-us p99-us own-cpu-us
 * (per request).
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/mem.h"

#define ID_LEN      20
#define COUNTER_LEN 14
#define IDS_MAX     4096
#define ANSWER_MAX  4096
#define BUCKETS     2000000 /* of 1 us; the last one holds what is slower */
#define STATUSES    1000
#define EVENTS_MAX  256

struct conn {
    int fd;
    uint64_t sent_us;
    size_t got; /* bytes of the answer */
    char *rest; /* what send() did not take: room for a whole request */
    size_t rest_len, rest_at;
    char answer[ANSWER_MAX + 1];
};

struct load {
    struct sockaddr_in to;
    int epoll_fd;
    char *text; /* the request */
    size_t len;
    char *ids[IDS_MAX];
    size_t n_ids;
    uint64_t counter;
    uint64_t requests, errors;
    uint64_t statuses[STATUSES];
    uint32_t *latencies;
    struct conn *conns;
    size_t n;
    double rate;        /* requests a second; 0: as many as there are answers */
    double due_us;      /* of the next request */
    struct conn **idle; /* n_idle: free connections */
    size_t n_idle;
};

static void die(const char *what)
{
    fprintf(stderr, "load_bench: %s: %s\n", what, strerror(errno));
    exit(1);
}

/* ---- the request */

static void put_hex(char *dst, size_t digits, uint64_t v)
{
    while (digits > 0) {
        dst[--digits] = "0123456789abcdef"[v & 15];
        v >>= 4;
    }
}

static void read_request(struct load *l, const char *path)
{
    static const char mark[] = "@@@@@@@@@@@@@@@@@@@@";
    FILE *f = fopen(path, "rb");
    if (f == NULL || fseek(f, 0, SEEK_END) < 0)
        die(path);
    l->len = (size_t)ftell(f);
    rewind(f);
    l->text = xcalloc(l->len + 1, 1);
    if (fread(l->text, 1, l->len, f) != l->len)
        die(path);
    fclose(f);
    for (char *at = l->text; l->n_ids < IDS_MAX && (at = strstr(at, mark)) != NULL; at += ID_LEN) {
        l->ids[l->n_ids] = at;
        put_hex(at + COUNTER_LEN, ID_LEN - COUNTER_LEN, l->n_ids++);
    }
}

/* ---- connections */

static void ask_for(struct load *l, struct conn *c, uint32_t events, int op)
{
    struct epoll_event e = {.events = events, .data.ptr = c};
    if (epoll_ctl(l->epoll_fd, op, c->fd, &e) < 0)
        die("epoll_ctl");
}

static void begin(struct load *l, struct conn *c)
{
    int on = 1;
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (c->fd < 0 || connect(c->fd, (const struct sockaddr *)&l->to, sizeof l->to) < 0)
        die("connect");
    (void)setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    ask_for(l, c, EPOLLIN, EPOLL_CTL_ADD);
}

static void post(struct load *l, struct conn *c, uint64_t due_us)
{
    char counter[COUNTER_LEN];
    l->counter = due_us > l->counter ? due_us : l->counter + 1;
    put_hex(counter, sizeof counter, l->counter);
    for (size_t i = 0; i < l->n_ids; i++)
        memcpy(l->ids[i], counter, sizeof counter);
    c->sent_us = clock_mono_us();
    c->got = 0;
    ssize_t n = send(c->fd, l->text, l->len, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n < 0)
        n = 0; /* a broken connection is told by its reading side */
    if ((size_t)n == l->len)
        return;
    c->rest_at = 0;
    c->rest_len = l->len - (size_t)n;
    memcpy(c->rest, l->text + n, c->rest_len);
    ask_for(l, c, EPOLLIN | EPOLLOUT, EPOLL_CTL_MOD);
}

/* The connection is free. */
static void next(struct load *l, struct conn *c)
{
    if (l->rate > 0)
        l->idle[l->n_idle++] = c;
    else
        post(l, c, clock_mono_us());
}

static void post_due(struct load *l)
{
    for (uint64_t now = clock_mono_us(); l->rate > 0 && l->n_idle > 0 && l->due_us <= (double)now;) {
        post(l, l->idle[--l->n_idle], (uint64_t)l->due_us);
        l->due_us += 1e6 / l->rate;
    }
}

static void renew(struct load *l, struct conn *c)
{
    l->errors++;
    close(c->fd);
    c->rest_len = 0;
    begin(l, c);
    next(l, c);
}

static void go_on(struct load *l, struct conn *c)
{
    ssize_t n = send(c->fd, c->rest + c->rest_at, c->rest_len, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n < 0)
        return;
    c->rest_at += (size_t)n;
    c->rest_len -= (size_t)n;
    if (c->rest_len == 0)
        ask_for(l, c, EPOLLIN, EPOLL_CTL_MOD);
}

/* ---- answers */

/* The answer's status once it is whole, 0 before, -1 when it is none. */
static int status_of(struct conn *c)
{
    c->answer[c->got] = '\0';
    const char *end = strstr(c->answer, "\r\n\r\n");
    if (end == NULL)
        return c->got < ANSWER_MAX ? 0 : -1;
    const char *length = strstr(c->answer, "Content-Length:");
    int status = atoi(c->answer + sizeof "HTTP/1.1");
    if (length == NULL || length > end || status < 100 || status >= STATUSES)
        return -1;
    size_t whole = (size_t)(end + 4 - c->answer) + strtoul(length + sizeof "Content-Length:" - 1, NULL, 10);
    return c->got < whole ? 0 : c->got == whole ? status : -1;
}

static void take(struct load *l, struct conn *c)
{
    ssize_t n = recv(c->fd, c->answer + c->got, ANSWER_MAX - c->got, MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0) {
        renew(l, c);
        return;
    }
    c->got += (size_t)n;
    int status = status_of(c);
    if (status == 0)
        return;
    if (status < 0 || c->rest_len > 0) { /* no answer, or one that came too early */
        renew(l, c);
        return;
    }
    uint64_t us = clock_mono_us() - c->sent_us;
    l->latencies[us < BUCKETS ? us : BUCKETS - 1]++;
    l->statuses[status]++;
    l->requests++;
    next(l, c);
}

static uint64_t percentile(const struct load *l, uint64_t percent)
{
    uint64_t seen = 0, wanted = l->requests * percent / 100;
    for (uint64_t us = 0; us < BUCKETS; us++)
        if ((seen += l->latencies[us]) > wanted)
            return us;
    return 0;
}

static void report(const struct load *l, double seconds, double cpu_us)
{
    uint64_t bad = 0;
    for (int s = 0; s < STATUSES; s++) {
        if (l->statuses[s] > 0)
            printf("status %d: %llu\n", s, (unsigned long long)l->statuses[s]);
        bad += s != 200 ? l->statuses[s] : 0;
    }
    printf("RESULT %llu %.6f %llu %llu %llu %llu %.2f\n", (unsigned long long)l->requests, seconds,
           (unsigned long long)bad, (unsigned long long)l->errors, (unsigned long long)percentile(l, 50),
           (unsigned long long)percentile(l, 99), l->requests > 0 ? cpu_us / (double)l->requests : 0);
}

int main(int argc, char **argv)
{
    static struct load l;
    if (argc != 6 && argc != 7) {
        fprintf(stderr, "usage: load_bench HOST PORT CONNECTIONS SECONDS FILE [REQUESTS-A-SECOND]\n");
        return 64;
    }
    l.to = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(argv[2]))};
    if (inet_pton(AF_INET, argv[1], &l.to.sin_addr) != 1)
        die("HOST must be an IPv4 address");
    l.n = strtoul(argv[3], NULL, 10);
    read_request(&l, argv[5]);
    l.rate = argc == 7 ? atof(argv[6]) : 0;
    l.latencies = xcalloc(BUCKETS, sizeof *l.latencies);
    l.conns = xcalloc(l.n, sizeof *l.conns);
    l.idle = xcalloc(l.n, sizeof *l.idle);
    l.epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    for (size_t i = 0; i < l.n; i++) {
        l.conns[i].rest = xmalloc(l.len);
        begin(&l, &l.conns[i]);
    }
    uint64_t cpu = clock_cpu_us(), start = clock_mono_us(), now;
    uint64_t end = start + (uint64_t)(atof(argv[4]) * 1e6);
    l.due_us = (double)start;
    for (size_t i = 0; i < l.n; i++)
        next(&l, &l.conns[i]);
    while ((now = clock_mono_us()) < end) {
        struct epoll_event events[EVENTS_MAX];
        post_due(&l);
        int n = epoll_wait(l.epoll_fd, events, EVENTS_MAX, l.rate > 0 ? 1 : (int)((end - now) / 1000) + 1);
        for (int i = 0; i < n; i++) {
            struct conn *c = events[i].data.ptr;
            if (events[i].events & EPOLLOUT)
                go_on(&l, c);
            if (events[i].events & ~(uint32_t)EPOLLOUT)
                take(&l, c);
        }
    }
    while (l.rate > 0 && l.n_idle < l.n && now < end + 1000000) { /* what is still to be answered */
        struct epoll_event event;
        now = clock_mono_us();
        if (epoll_wait(l.epoll_fd, &event, 1, 10) == 1)
            take(&l, event.data.ptr);
    }
    report(&l, (double)(now - start) / 1e6, (double)(clock_cpu_us() - cpu));
    return 0;
}
