/* stop - dray stop [--now]: asks the running instance to end and waits for the end of the master's process itself. */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <sys/pidfd.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/fd.h"
#include "common/base/str.h"
#include "master/cli/cli.h"
#include "master/cli/client.h"

#define NOW_MS    15000 /* --now: no drain, but the kill grace of every process */
#define DRAIN_MS  25000 /* the default of master.drain, when the answer does not tell */
#define MARGIN_MS 20000

enum { OPT_NOW = CLI_OPT_OWN, OPT_TIMEOUT };

static const char usage[] =
    "usage: dray stop [--now] [--timeout DURATION]\n\n"
    "Refuses new requests, delivers what is in flight, hands the rest back to Redis, and ends.\n"
    "Returns when the process is gone.\n\n"
    "      --now                end at once; what was in flight is done again after the start\n"
    "      --timeout DURATION   how long to wait for the end (default: the drain time and 20s)\n\n";

/* 0 when the process is gone. */
static int wait_gone(int pidfd, uint64_t timeout_ms)
{
    uint64_t until_ms = clock_mono_ms() + timeout_ms;
    for (;;) {
        uint64_t now = clock_mono_ms();
        struct pollfd p = {.fd = pidfd, .events = POLLIN};
        int n = poll(&p, 1, now >= until_ms ? 0 : (int)(until_ms - now));
        if (n > 0)
            return 0;
        if (n == 0 || errno != EINTR)
            return -1;
    }
}

static int stop(struct client *c, bool now, uint64_t timeout_ms, const struct cli *o)
{
    /* Taken before the question, so that the number cannot mean another process by then. */
    int pidfd = c->master > 0 ? pidfd_open(c->master, 0) : -1;
    json_t *answer;
    int code = client_ask(c, json_pack("{s:s, s:b}", "verb", "stop", "now", (int)now), &answer);
    if (code != EXIT_CODE_OK) {
        fd_close(&pidfd);
        return code;
    }
    json_int_t drain_ms = json_integer_value(json_object_get(answer, "drain_ms"));
    json_decref(answer);
    if (timeout_ms == 0)
        timeout_ms = now ? NOW_MS : (drain_ms > 0 ? (uint64_t)drain_ms : DRAIN_MS) + MARGIN_MS;
    uint64_t from_ms = clock_mono_ms();
    int gone = pidfd < 0 ? -1 : wait_gone(pidfd, timeout_ms);
    fd_close(&pidfd);
    if (gone != 0) {
        fprintf(stderr,
                "dray: pid %d has not ended yet; dray stop --now does not wait for what is in flight\n",
                (int)c->master);
        return EXIT_CODE_FAILURE;
    }
    char text[32];
    uint64_t took_ms = clock_mono_ms() - from_ms;
    if (o->json)
        printf("{\"ok\":true,\"took_ms\":%llu}\n", (unsigned long long)took_ms);
    else if (o->verbosity >= 0)
        printf("stopped in %s\n", str_format_duration(took_ms, text, sizeof text));
    return EXIT_CODE_OK;
}

int stop_main(int argc, char **argv)
{
    static const struct option longs[] = {CLI_LONG_OPTIONS,
                                          {"now", no_argument, NULL, OPT_NOW},
                                          {"timeout", required_argument, NULL, OPT_TIMEOUT},
                                          {0}};
    struct cli o;
    cli_init(&o);
    bool now = false;
    uint64_t timeout_ms = 0;
    int opt;
    while ((opt = getopt_long(argc, argv, CLI_SHORT_OPTIONS, longs, NULL)) != -1) {
        int code = CLI_GO_ON;
        if (opt == OPT_NOW)
            now = true;
        else if (opt != OPT_TIMEOUT)
            code = cli_option(&o, opt, usage);
        else if (str_parse_duration(optarg, false, &timeout_ms) != 0 || timeout_ms == 0 ||
                 timeout_ms > 86400000)
            return cli_usage(argv[0], "--timeout %s: a duration like 30s is needed", optarg);
        if (code != CLI_GO_ON)
            return code;
    }
    if (optind < argc)
        return cli_usage(argv[0], "one word too many: %s", argv[optind]);
    struct client c;
    int code = client_connect(&o, &c);
    if (code != EXIT_CODE_OK)
        return code;
    code = stop(&c, now, timeout_ms, &o);
    client_close(&c);
    return code;
}
