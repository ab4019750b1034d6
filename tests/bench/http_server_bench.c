/* http_server_bench - the HTTP layer alone, for a load generator: every POST is answered 200 "ok" in the next turn of
 * the loop, as if its batch had been stored meanwhile. Prints its port; ends when standard input does.
 *
 * usage: http_server_bench
 */
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/base/addr.h"
#include "common/base/clock.h"
#include "common/http/server.h"

#define HELD_MAX 65536

static struct {
    struct http_request *held[HELD_MAX];
    size_t n;
    ev_idle turn; /* runs while requests are held: the loop must not sleep on them */
    struct ev_loop *loop;
    unsigned long requests;
} bench;

static void on_request(struct http_request *r, void *arg)
{
    (void)arg;
    bench.requests++;
    if (bench.n == HELD_MAX)
        abort();
    bench.held[bench.n++] = r;
    ev_idle_start(bench.loop, &bench.turn);
}

static void on_aborted(struct http_request *r, void *arg)
{
    (void)arg;
    for (size_t i = 0; i < bench.n; i++)
        if (bench.held[i] == r)
            bench.held[i] = bench.held[--bench.n];
}

static void on_turn(struct ev_loop *loop, ev_idle *w, int revents)
{
    (void)revents;
    ev_idle_stop(loop, w);
    while (bench.n > 0)
        http_reply(bench.held[--bench.n], 200, "text/plain", "", "ok", 2);
}

static void on_stdin(struct ev_loop *loop, ev_io *w, int revents)
{
    char byte;
    (void)revents;
    if (read(w->fd, &byte, 1) <= 0)
        ev_break(loop, EVBREAK_ALL);
}

int main(void)
{
    static const struct http_limits limits = {.header_bytes = 65536,
                                              .body_bytes = 4096000,
                                              .connections = 20000,
                                              .header_timeout_ms = 10000,
                                              .body_timeout_ms = 30000,
                                              .idle_timeout_ms = 75000};
    static const struct http_server_events events = {.request = on_request, .aborted = on_aborted};
    struct http_budget budget = {.max = 256u << 20};
    struct ev_loop *loop = ev_default_loop(0);
    struct addr a, here = {.len = sizeof here.sa};
    int fd = addr_parse("127.0.0.1:0", &a) < 0 ? -1 : addr_listen(&a, 4096, 0);
    struct http_server *s = http_server_new(loop, &limits, &budget, &events, NULL);
    if (fd < 0 || getsockname(fd, (struct sockaddr *)&here.sa, &here.len) < 0 ||
        http_server_listen(s, fd, "bench") < 0) {
        perror("http_server_bench");
        return 71;
    }
    printf("%u\n", ntohs(((struct sockaddr_in *)&here.sa)->sin_port));
    fflush(stdout);
    bench.loop = loop;
    ev_idle_init(&bench.turn, on_turn);
    ev_io in;
    ev_io_init(&in, on_stdin, STDIN_FILENO, EV_READ);
    ev_io_start(loop, &in);
    ev_run(loop, 0);
    fprintf(stderr, "requests=%lu cpu_us_per_request=%.2f backend=%s budget_used=%zu\n", bench.requests,
            (double)clock_cpu_us() / (double)(bench.requests > 0 ? bench.requests : 1),
            ev_backend(loop) == EVBACKEND_EPOLL ? "epoll" : "other", budget.used);
    http_server_free(s);
    return 0;
}
