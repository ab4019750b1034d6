/* dray sink - a destination for trials and tests: takes any POST, writes down what came, and can be told to fail, delay,
 * hang, cut or ask for patience. GET /stats tells the counts. sink_book.c does the counting.
 *
 * What a request's fate will be is drawn when it has arrived whole; a delay comes before the answer. It is also the
 * benchmarks' destination, so a request costs little: no record and no distinct counting if not asked for.
 */
#include <ev.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "common/base/addr.h"
#include "common/base/clock.h"
#include "common/base/fatal.h"
#include "common/base/fd.h"
#include "common/base/id.h"
#include "common/base/list.h"
#include "common/base/mem.h"
#include "common/base/str.h"
#include "common/http/server.h"
#include "master/cli/cli.h"
#include "master/cli/sink_book.h"

#define RECORD_MAX   (256u << 20)
#define RECORD_FLUSH (1u << 20) /* written at the end of the loop's turn, or when so much has gathered */

static const char usage[] =
    "usage: dray sink [--listen ADDR] [--record FILE] [options]\n\n"
    "A destination to try things out: takes any POST and counts its events. GET /stats tells the counts.\n"
    "The first line on stdout is where it listens; TERM and INT end it with a summary.\n\n"
    "  --listen ADDR      host:port (port 0: a free one) or unix:PATH; default 127.0.0.1:9000\n"
    "  --record FILE      append one JSON line a request; - is stdout\n"
    "  --status S         answer with this status instead of 200\n"
    "  --fail-rate R      answer this share of the requests (0 to 1) with 500\n"
    "  --hang-rate R      never answer this share\n"
    "  --cut-rate R       cut the connection of this share without an answer\n"
    "  --delay D          wait before each answer (50ms, 2s)\n"
    "  --retry-after S    send Retry-After: S with every answer that is not 2xx\n"
    "  --no-distinct      do not remember message ids (no counts of distinct and duplicates)\n\n";

enum {
    OPT_LISTEN = CLI_OPT_OWN,
    OPT_RECORD,
    OPT_FAIL,
    OPT_STATUS,
    OPT_DELAY,
    OPT_HANG,
    OPT_RETRY,
    OPT_CUT,
    OPT_PLAIN
};

static const struct option long_options[] = {
    {"listen", required_argument, NULL, OPT_LISTEN},
    {"record", required_argument, NULL, OPT_RECORD},
    {"fail-rate", required_argument, NULL, OPT_FAIL},
    {"status", required_argument, NULL, OPT_STATUS},
    {"delay", required_argument, NULL, OPT_DELAY},
    {"hang-rate", required_argument, NULL, OPT_HANG},
    {"retry-after", required_argument, NULL, OPT_RETRY},
    {"cut-rate", required_argument, NULL, OPT_CUT},
    {"no-distinct", no_argument, NULL, OPT_PLAIN},
    CLI_LONG_OPTIONS,
    {0},
};

struct options {
    struct cli cli;
    const char *listen, *record;
    double fail_rate, hang_rate, cut_rate;
    uint64_t status, delay_ms;
    bool distinct;
    char retry_after[64]; /* header line, or "" */
};

/* A request that waits for its answer; one that hangs is in no list. */
struct waiting {
    struct list link;
    struct http_request *request;
    double due; /* loop time */
    int status;
    bool cut;
};

struct sink {
    struct options o;
    struct ev_loop *loop;
    struct http_server *server;
    struct http_budget budget;
    struct sink_book *book;
    struct list waiting; /* in order of due */
    ev_timer delay;
    ev_prepare flush;
    ev_signal term, intr;
    struct buf record;
    int record_fd; /* -1: none */
};

/* ---- the record */

static void flush_record(struct sink *s)
{
    if (s->record.len == 0)
        return;
    if (fd_write_full(s->record_fd, s->record.data, s->record.len) != 0)
        fatal(EXIT_CODE_IOERR, "sink: writing %s: %s", s->o.record, strerror(errno));
    buf_reset(&s->record);
}

static void on_turn_end(struct ev_loop *loop, ev_prepare *p, int revents)
{
    (void)loop, (void)revents;
    flush_record(p->data);
}

static void note(struct sink *s, const struct http_request *r, int status, const char *outcome)
{
    const char *encoding = http_request_header(r, "content-encoding");
    struct sink_book_request n = {
        .wall_ms = clock_wall_ms(),
        .path = http_request_path(r),
        .idempotency_key = http_request_header(r, "idempotency-key"),
        .auth = http_request_header(r, "authorization"),
        .user_agent = http_request_header(r, "user-agent"),
        .content_type = http_request_header(r, "content-type"),
        .gzip = encoding != NULL && strcasecmp(encoding, "gzip") == 0,
        .status = status,
        .outcome = outcome,
    };

    n.body = http_request_body(r, &n.len);
    if (sink_book_note(s->book, &n, s->record_fd >= 0 ? &s->record : NULL) != 0)
        fatal(EXIT_CODE_NOMEM, "sink: a request of %zu bytes cannot be recorded: %s", n.len, strerror(errno));
    if (s->record.len >= RECORD_FLUSH)
        flush_record(s);
}

/* ---- answers */

static void answer(struct sink *s, struct http_request *r, int status)
{
    bool ok = status >= 200 && status <= 299;

    if (status == 204 || status == 304)
        http_reply(r, status, NULL, ok ? "" : s->o.retry_after, NULL, 0);
    else
        http_reply(r, status, "text/plain", ok ? "" : s->o.retry_after, ok ? "ok\n" : "no\n", 3);
}

static void finish(struct sink *s, struct waiting *w)
{
    struct http_request *r = w->request;
    int status = w->status;
    bool cut = w->cut;

    list_remove(&w->link);
    free(w);
    http_request_set_user(r, NULL);
    if (cut)
        http_cut(r);
    else
        answer(s, r, status);
}

static void on_delay(struct ev_loop *loop, ev_timer *t, int revents)
{
    struct sink *s = t->data;
    struct waiting *w;

    (void)revents;
    while ((w = list_first(&s->waiting, struct waiting, link)) != NULL && w->due <= ev_now(loop))
        finish(s, w);
    if (w != NULL) {
        ev_timer_set(t, w->due - ev_now(loop), 0.);
        ev_timer_start(loop, t);
    }
}

static void wait_for(struct sink *s, struct http_request *r, int status, bool cut, bool hang)
{
    struct waiting *w = xcalloc(1, sizeof(*w));

    w->request = r;
    w->status = status;
    w->cut = cut;
    w->due = ev_now(s->loop) + (double)s->o.delay_ms / 1000.0;
    list_init(&w->link);
    http_request_set_user(r, w);
    http_request_drop_body(r);
    if (hang)
        return;
    list_push_back(&s->waiting, &w->link);
    if (!ev_is_active(&s->delay)) {
        ev_timer_set(&s->delay, (double)s->o.delay_ms / 1000.0, 0.);
        ev_timer_start(s->loop, &s->delay);
    }
}

static void on_aborted(struct http_request *r, void *arg)
{
    struct waiting *w = http_request_user(r);

    (void)arg;
    if (w == NULL)
        return;
    list_remove(&w->link);
    free(w);
}

static void answer_get(const struct sink *s, struct http_request *r)
{
    struct buf out;

    if (strcmp(http_request_path(r), "/stats") != 0) {
        http_reply(r, 200, "text/plain", "", "dray sink: POST events here; GET /stats\n", 40);
        return;
    }
    buf_init(&out, 4096);
    (void)sink_book_stats(s->book, &out);
    http_reply(r, 200, "application/json", "", out.data, out.len);
    buf_fini(&out);
}

static void on_request(struct http_request *r, void *arg)
{
    struct sink *s = arg;
    const char *method = http_request_method(r);
    double draw = (double)(id_random_u64() >> 11) * 0x1p-53;
    bool hang, cut, fail;
    int status;

    if (strcmp(method, "GET") == 0 || strcmp(method, "HEAD") == 0) {
        answer_get(s, r);
        return;
    }
    if (strcmp(method, "POST") != 0) {
        http_reply(r, 405, "text/plain", "Allow: POST, GET\r\n", "POST\n", 5);
        return;
    }
    hang = draw < s->o.hang_rate;
    cut = !hang && draw < s->o.hang_rate + s->o.cut_rate;
    fail = !hang && !cut && draw < s->o.hang_rate + s->o.cut_rate + s->o.fail_rate;
    status = hang || cut ? 0 : fail ? 500 : (int)s->o.status;
    note(s, r, status, hang ? "hung" : cut ? "cut" : fail ? "failed" : "answered");
    if (hang || s->o.delay_ms > 0)
        wait_for(s, r, status, cut, hang);
    else if (cut)
        http_cut(r);
    else
        answer(s, r, status);
}

/* ---- start and end */

static int parse_rate(const char *name, const char *text, double *out)
{
    if (str_parse_double(text, out) != 0 || !(*out >= 0 && *out <= 1))
        return cli_usage("sink", "%s %s: a share from 0 to 1", name, text);
    return CLI_GO_ON;
}

static int take_option(struct options *o, int opt)
{
    double seconds;

    switch (opt) {
    case OPT_LISTEN:
        o->listen = optarg;
        return CLI_GO_ON;
    case OPT_RECORD:
        o->record = optarg;
        return CLI_GO_ON;
    case OPT_FAIL:
        return parse_rate("--fail-rate", optarg, &o->fail_rate);
    case OPT_HANG:
        return parse_rate("--hang-rate", optarg, &o->hang_rate);
    case OPT_CUT:
        return parse_rate("--cut-rate", optarg, &o->cut_rate);
    case OPT_STATUS:
        if (str_parse_u64(optarg, &o->status) != 0 || o->status < 200 || o->status > 599)
            return cli_usage("sink", "--status %s: a status from 200 to 599", optarg);
        return CLI_GO_ON;
    case OPT_DELAY:
        if (str_parse_duration(optarg, true, &o->delay_ms) != 0)
            return cli_usage("sink", "--delay %s: a duration such as 50ms or 2s", optarg);
        return CLI_GO_ON;
    case OPT_RETRY:
        if (str_parse_double(optarg, &seconds) != 0 || !(seconds >= 0))
            return cli_usage("sink", "--retry-after %s: seconds", optarg);
        snprintf(o->retry_after, sizeof(o->retry_after), "Retry-After: %.32s\r\n", optarg);
        return CLI_GO_ON;
    case OPT_PLAIN:
        o->distinct = false;
        return CLI_GO_ON;
    default:
        return cli_option(&o->cli, opt, usage);
    }
}

static int parse_options(struct options *o, int argc, char **argv)
{
    int opt;

    *o = (struct options){.listen = "127.0.0.1:9000", .status = 200, .distinct = true};
    cli_init(&o->cli);
    while ((opt = getopt_long(argc, argv, CLI_SHORT_OPTIONS, long_options, NULL)) != -1) {
        int code = take_option(o, opt);

        if (code != CLI_GO_ON)
            return code;
    }
    if (optind < argc)
        return cli_usage("sink", "%s: no such argument", argv[optind]);
    if (o->fail_rate + o->hang_rate + o->cut_rate > 1.0 + 1e-9)
        return cli_usage("sink", "the rates add up to more than 1");
    return CLI_GO_ON;
}

/* Binds and says where. 0, or the exit status. */
static int start_listening(struct sink *s)
{
    struct addr a;
    char text[160];
    int fd;

    if (addr_parse(s->o.listen, &a) != 0)
        return cli_usage("sink", "--listen %s: host:port or unix:PATH", s->o.listen);
    fd = addr_listen(&a, 4096, 0600);
    if (fd < 0) {
        fprintf(stderr, "dray sink: cannot listen on %s: %s\n", s->o.listen, strerror(errno));
        return errno == EACCES ? EXIT_CODE_NOPERM : EXIT_CODE_UNAVAILABLE;
    }
    a.len = sizeof(a.sa);
    if (getsockname(fd, (struct sockaddr *)&a.sa, &a.len) != 0 ||
        http_server_listen(s->server, fd, "sink") != 0)
        fatal(EXIT_CODE_OSERR, "sink: listening: %s", strerror(errno));
    addr_format((struct sockaddr *)&a.sa, a.len, text, sizeof(text));
    printf("listening on %s%s\n", str_starts(text, "unix:") ? "" : "http://", text);
    fflush(stdout);
    return 0;
}

static int open_record(struct sink *s)
{
    s->record_fd = -1;
    if (s->o.record == NULL)
        return 0;
    if (strcmp(s->o.record, "-") == 0) {
        s->record_fd = STDOUT_FILENO;
        return 0;
    }
    s->record_fd = open(s->o.record, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (s->record_fd >= 0)
        return 0;
    fprintf(stderr, "dray sink: cannot write %s: %s\n", s->o.record, strerror(errno));
    return errno == EACCES ? EXIT_CODE_NOPERM : EXIT_CODE_IOERR;
}

static void on_signal(struct ev_loop *loop, ev_signal *w, int revents)
{
    (void)w, (void)revents;
    ev_break(loop, EVBREAK_ALL);
}

static void start_watchers(struct sink *s)
{
    ev_init(&s->delay, on_delay);
    s->delay.data = s;
    ev_prepare_init(&s->flush, on_turn_end);
    s->flush.data = s;
    ev_prepare_start(s->loop, &s->flush);
    ev_signal_init(&s->term, on_signal, SIGTERM);
    ev_signal_start(s->loop, &s->term);
    ev_signal_init(&s->intr, on_signal, SIGINT);
    ev_signal_start(s->loop, &s->intr);
}

static void say_summary(const struct sink *s)
{
    struct buf out;

    if (s->o.cli.verbosity < 0)
        return;
    buf_init(&out, 4096);
    if (sink_book_stats(s->book, &out) == 0)
        fprintf(s->record_fd == STDOUT_FILENO ? stderr : stdout, "received %s", buf_cstr(&out));
    buf_fini(&out);
}

int sink_main(int argc, char **argv)
{
    static const struct http_limits limits = {
        .header_bytes = 64u << 10,
        .body_bytes = SINK_BOOK_BODY_MAX,
        .connections = 20000,
        .header_timeout_ms = 60000,
        .body_timeout_ms = 300000,
        .idle_timeout_ms = 300000,
    };
    static const struct http_server_events events = {.request = on_request, .aborted = on_aborted};
    struct sink s = {.budget = {.max = 1u << 30}};
    int code = parse_options(&s.o, argc, argv);

    if (code != CLI_GO_ON)
        return code;
    (void)fd_raise_limit(65536);
    s.loop = ev_default_loop(0);
    list_init(&s.waiting);
    buf_init(&s.record, RECORD_MAX);
    s.book = sink_book_new(s.o.distinct);
    s.server = http_server_new(s.loop, &limits, &s.budget, &events, &s);
    code = open_record(&s);
    if (code == 0)
        code = start_listening(&s);
    if (code == 0) {
        start_watchers(&s);
        ev_run(s.loop, 0);
        flush_record(&s);
        say_summary(&s);
        ev_prepare_stop(s.loop, &s.flush);
        ev_timer_stop(s.loop, &s.delay);
        ev_signal_stop(s.loop, &s.term);
        ev_signal_stop(s.loop, &s.intr);
    }
    http_server_free(s.server);
    sink_book_free(s.book);
    buf_fini(&s.record);
    if (s.record_fd > STDERR_FILENO)
        close(s.record_fd);
    ev_loop_destroy(s.loop);
    return code;
}
