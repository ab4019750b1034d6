/* dray send - posts events to an intake: lines of JSON in, /v1/batch out, over keep-alive connections.
 *
 * send_input.c makes bodies of the lines. A body waits until a connection is free (and until --rate allows it), and
 * with --retry it is sent again, the same bytes, until it is taken or nothing was accepted for --deadline. It is accepted when a
 * 2xx has come, and only then its ids go into --ack-file.
 */
#include <ev.h>
#include <errno.h>
#include <fcntl.h>
#include <libdeflate.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/fatal.h"
#include "common/base/fd.h"
#include "common/base/id.h"
#include "common/base/list.h"
#include "common/base/mem.h"
#include "common/base/sig.h"
#include "common/base/str.h"
#include "common/http/client.h"
#include "master/cli/cli.h"
#include "master/cli/send_input.h"
#include "master/cli/send_report.h"

#define READ_CHUNK     (256u << 10)
#define IDLE_FLUSH     0.1 /* seconds without input after which an unfilled body goes */
#define PROGRESS_EVERY 0.1
#define CATCH_UP       0.1 /* seconds that --rate may lag and make good */
#define BACKOFF_MIN_MS 100
#define BACKOFF_MAX_MS 5000

static const char usage[] =
    "usage: dray send [--to URL] [--write-key K] [options] FILE|-\n\n"
    "Posts the events of FILE (- or nothing: standard input) to URL/v1/batch. A line is one event, or a whole\n"
    "{\"batch\":[...]} body. Exit status 0 means that every event was accepted.\n\n"
    "  --to URL          the intake; default http://127.0.0.1:8080\n"
    "  --write-key K     the source's key; default dev\n"
    "  --batch N         events a request (1 to 2500); default 100\n"
    "  --connections N   requests side by side; default 8\n"
    "  --rate N          at most N events a second\n"
    "  --gzip            compress the bodies\n"
    "  --retry           send again after 408, 429, 5xx and network errors, as Retry-After says\n"
    "  --deadline D      stop sending again when nothing was accepted for D; default 60s\n"
    "  --ack-file FILE   append the messageId of every accepted event\n\n";

enum {
    OPT_TO = CLI_OPT_OWN,
    OPT_KEY,
    OPT_BATCH,
    OPT_CONNECTIONS,
    OPT_RATE,
    OPT_GZIP,
    OPT_RETRY,
    OPT_DEADLINE,
    OPT_ACK
};

static const struct option long_options[] = {
    {"to", required_argument, NULL, OPT_TO},
    {"write-key", required_argument, NULL, OPT_KEY},
    {"batch", required_argument, NULL, OPT_BATCH},
    {"connections", required_argument, NULL, OPT_CONNECTIONS},
    {"rate", required_argument, NULL, OPT_RATE},
    {"gzip", no_argument, NULL, OPT_GZIP},
    {"retry", no_argument, NULL, OPT_RETRY},
    {"deadline", required_argument, NULL, OPT_DEADLINE},
    {"ack-file", required_argument, NULL, OPT_ACK},
    CLI_LONG_OPTIONS,
    {0},
};

struct options {
    struct cli cli;
    const char *to, *key, *ack_file, *input;
    uint64_t batch, connections, rate, deadline_ms;
    bool gzip, retry;
};

/* One body on its way. */
struct sending {
    struct list link; /* in waiting, in order of due, when it is to be sent again */
    struct sender *s;
    struct send_body *body;
    void *zipped;
    struct http_piece piece;
    double due;
    unsigned tries;
};

struct sender {
    struct options o;
    struct ev_loop *loop;
    struct http_client *client;
    struct send_input in;
    int fd, ack_fd;
    bool end_of_input, stopped;
    ev_io input;
    ev_timer idle, wake, progress;
    ev_signal term, intr;
    char *url, *auth;
    const char *headers[5];
    struct libdeflate_compressor *compressor;
    struct list waiting;
    unsigned busy; /* requests under way */
    size_t n_waiting;
    double next_due;      /* --rate: when the next body may go */
    double last_progress; /* when something was last accepted, or begun after idleness */
    struct send_report report;
    bool bar;
};

static void pump(struct sender *s);

static void on_progress(struct ev_loop *loop, ev_timer *w, int revents)
{
    (void)loop, (void)revents;
    struct sender *s = w->data;
    send_report_draw(&s->report);
}

/* ---- one body */

static void sending_free(struct sending *x)
{
    send_body_free(x->body);
    free(x->zipped);
    free(x);
}

static void accepted(struct sender *s, struct sending *x)
{
    s->report.accepted += x->body->events;
    s->last_progress = ev_now(s->loop);
    if (s->ack_fd >= 0 && fd_write_full(s->ack_fd, x->body->ids.data, x->body->ids.len) < 0)
        fatal(EXIT_CODE_IOERR, "send: writing %s: %s", s->o.ack_file, strerror(errno));
}

static bool worth_retrying(const struct http_answer *a)
{
    if (a->error != HTTP_ERROR_NONE)
        return a->error != HTTP_ERROR_TLS;
    return a->status == 408 || a->status == 429 || (a->status >= 500 && a->status != 501);
}

/* Lists it to be sent again; false when there is no time left. */
static bool again(struct sender *s, struct sending *x, const struct http_answer *a)
{
    double now = ev_now(s->loop), deadline = s->last_progress + (double)s->o.deadline_ms / 1000.;
    if (!s->o.retry || s->stopped || !worth_retrying(a) || now >= deadline)
        return false;
    uint64_t ms = (uint64_t)BACKOFF_MIN_MS << (x->tries < 6 ? x->tries - 1 : 5);
    ms = (ms < BACKOFF_MAX_MS ? ms : BACKOFF_MAX_MS) / 2 + id_random_below(ms / 2 + 1);
    if (a->retry_after_ms >= 0)
        ms = (uint64_t)a->retry_after_ms;
    x->due = now + (double)ms / 1000.;
    if (x->due > deadline)
        x->due = deadline; /* one last try */
    struct list *at = s->waiting.prev;
    while (at != &s->waiting && list_entry(at, struct sending, link)->due > x->due)
        at = at->prev;
    list_insert_between(&x->link, at, at->next);
    s->n_waiting++;
    s->report.retried += x->body->events;
    return true;
}

static void on_done(struct http_call *call, const struct http_answer *a, void *arg)
{
    (void)call;
    struct sending *x = arg;
    struct sender *s = x->s;
    s->busy--;
    send_report_answer(&s->report, a);
    if (a->error == HTTP_ERROR_NONE && a->status >= 200 && a->status <= 299) {
        accepted(s, x);
        sending_free(x);
    } else {
        if (!again(s, x, a)) {
            s->report.refused += x->body->events;
            sending_free(x);
        }
    }
    pump(s);
}

static void post(struct sender *s, struct sending *x)
{
    struct http_call_options call = {
        .url = s->url, .headers = s->headers, .pieces = &x->piece, .n_pieces = 1};
    x->tries++;
    s->busy++;
    s->report.requests++;
    if (http_client_post(s->client, &call, on_done, x) == NULL)
        fatal(EXIT_CODE_USAGE, "send: %s: this URL cannot be posted to", s->url);
}

static void zip(struct sender *s, struct sending *x)
{
    size_t max = libdeflate_gzip_compress_bound(s->compressor, x->body->text.len);
    x->zipped = xmalloc(max);
    size_t n = libdeflate_gzip_compress(s->compressor, x->body->text.data, x->body->text.len, x->zipped, max);
    x->piece = (struct http_piece){x->zipped, n};
}

static void post_new(struct sender *s, struct send_body *b)
{
    struct sending *x = xcalloc(1, sizeof *x);
    double now = ev_now(s->loop);
    x->s = s;
    x->body = b;
    x->piece = (struct http_piece){b->text.data, b->text.len};
    if (s->compressor != NULL)
        zip(s, x);
    s->report.events += b->events;
    if (s->o.rate > 0)
        s->next_due =
            (s->next_due > now - CATCH_UP ? s->next_due : now) + (double)b->events / (double)s->o.rate;
    post(s, x);
}

/* ---- the whole */

static void wake_at(struct sender *s, double due)
{
    double after = due - ev_now(s->loop);
    ev_timer_stop(s->loop, &s->wake);
    ev_timer_set(&s->wake, after > 0 ? after : 0, 0.);
    ev_timer_start(s->loop, &s->wake);
}

/* Sends what may be sent now, wants more input when there is too little, ends when there is nothing left. */
static void pump(struct sender *s)
{
    struct sending *x;
    while (s->busy < s->o.connections && (x = list_first(&s->waiting, struct sending, link)) != NULL) {
        if (x->due > ev_now(s->loop)) {
            wake_at(s, x->due);
            break;
        }
        list_remove(&x->link);
        s->n_waiting--;
        post(s, x);
    }
    /* Bodies that wait to be sent again count as connections: nothing piles up behind an intake that is full. */
    while (!s->stopped && s->busy + s->n_waiting < s->o.connections && s->in.n_ready > 0) {
        if (s->o.rate > 0 && s->next_due > ev_now(s->loop)) {
            x = list_first(&s->waiting, struct sending, link);
            if (x == NULL || s->next_due < x->due)
                wake_at(s, s->next_due);
            break;
        }
        post_new(s, send_input_take(&s->in));
    }
    if (!s->end_of_input && !s->stopped && s->in.n_ready < 2 * s->o.connections)
        ev_io_start(s->loop, &s->input);
    else
        ev_io_stop(s->loop, &s->input);
    if (s->busy == 0 && s->n_waiting == 0 && (s->stopped || (s->end_of_input && s->in.n_ready == 0)))
        ev_break(s->loop, EVBREAK_ALL);
}

static void on_wake(struct ev_loop *loop, ev_timer *w, int revents)
{
    (void)loop, (void)revents;
    pump(w->data);
}

static void on_input(struct ev_loop *loop, ev_io *w, int revents)
{
    (void)revents;
    struct sender *s = w->data;
    static char chunk[READ_CHUNK];
    ssize_t n = read(s->fd, chunk, sizeof chunk);
    if (n < 0 && (errno == EINTR || errno == EAGAIN))
        return;
    if (n < 0)
        fatal(EXIT_CODE_IOERR, "send: reading %s: %s", s->o.input, strerror(errno));
    ev_timer_stop(loop, &s->idle);
    if (s->busy == 0 && s->n_waiting == 0 && s->in.n_ready == 0)
        s->last_progress = ev_now(loop); /* nothing could be accepted: there was nothing to send */
    if (n == 0) {
        s->end_of_input = true;
        send_input_end(&s->in);
    } else {
        s->report.input_read += (uint64_t)n;
        if (send_input_feed(&s->in, chunk, (size_t)n) < 0)
            fatal(EXIT_CODE_IOERR, "send: line %llu is longer than %u bytes",
                  (unsigned long long)s->in.lines + 1, SEND_INPUT_LINE_MAX);
        ev_timer_set(&s->idle, IDLE_FLUSH, 0.);
        ev_timer_start(loop, &s->idle);
    }
    pump(s);
}

static void on_idle(struct ev_loop *loop, ev_timer *w, int revents)
{
    (void)loop, (void)revents;
    struct sender *s = w->data;
    if (ev_is_active(&s->input))
        send_input_flush(&s->in);
    pump(s);
}

static void on_signal(struct ev_loop *loop, ev_signal *w, int revents)
{
    (void)revents;
    struct sender *s = w->data;
    if (s->stopped) /* the second one: without waiting for answers */
        ev_break(loop, EVBREAK_ALL);
    s->stopped = true;
    struct sending *x;
    while ((x = list_first(&s->waiting, struct sending, link)) != NULL) {
        list_remove(&x->link);
        s->n_waiting--;
        s->report.refused += x->body->events;
        sending_free(x);
    }
    pump(s);
}

/* ---- setting up */

static int parse_count(const char *name, const char *text, uint64_t min, uint64_t max, uint64_t *out)
{
    if (str_parse_u64(text, out) == 0 && *out >= min && *out <= max)
        return CLI_GO_ON;
    return cli_usage("send", "--%s %s: a number from %llu to %llu", name, text, (unsigned long long)min,
                     (unsigned long long)max);
}

static int parse_one(struct options *o, int opt)
{
    switch (opt) {
    case OPT_TO:
        o->to = optarg;
        return CLI_GO_ON;
    case OPT_KEY:
        o->key = optarg;
        return CLI_GO_ON;
    case OPT_BATCH:
        return parse_count("batch", optarg, 1, 2500, &o->batch);
    case OPT_CONNECTIONS:
        return parse_count("connections", optarg, 1, 1000, &o->connections);
    case OPT_RATE:
        return parse_count("rate", optarg, 1, 100000000, &o->rate);
    case OPT_GZIP:
        o->gzip = true;
        return CLI_GO_ON;
    case OPT_RETRY:
        o->retry = true;
        return CLI_GO_ON;
    case OPT_DEADLINE:
        if (str_parse_duration(optarg, false, &o->deadline_ms) == 0)
            return CLI_GO_ON;
        return cli_usage("send", "--deadline %s: a duration such as 60s", optarg);
    case OPT_ACK:
        o->ack_file = optarg;
        return CLI_GO_ON;
    default:
        return cli_option(&o->cli, opt, usage);
    }
}

static int parse(struct options *o, int argc, char **argv)
{
    int opt;
    *o = (struct options){.to = "http://127.0.0.1:8080",
                          .key = "dev",
                          .input = "-",
                          .batch = 100,
                          .connections = 8,
                          .deadline_ms = 60000};
    cli_init(&o->cli);
    while ((opt = getopt_long(argc, argv, CLI_SHORT_OPTIONS, long_options, NULL)) != -1) {
        int code = parse_one(o, opt);
        if (code != CLI_GO_ON)
            return code;
    }
    if (argc - optind > 1)
        return cli_usage("send", "one FILE, not %d", argc - optind);
    if (optind < argc)
        o->input = argv[optind];
    if (!str_starts(o->to, "http://") && !str_starts(o->to, "https://"))
        return cli_usage("send", "--to %s: a URL such as http://127.0.0.1:8080", o->to);
    return CLI_GO_ON;
}

static int open_files(struct sender *s)
{
    struct stat st;
    s->fd = strcmp(s->o.input, "-") == 0 ? STDIN_FILENO : open(s->o.input, O_RDONLY | O_CLOEXEC);
    if (s->fd < 0) {
        fprintf(stderr, "dray send: %s: %s\n", s->o.input, strerror(errno));
        return EXIT_CODE_IOERR;
    }
    if (fstat(s->fd, &st) == 0 && S_ISREG(st.st_mode))
        s->report.input_size = (uint64_t)st.st_size;
    s->ack_fd = -1;
    if (s->o.ack_file == NULL)
        return EXIT_CODE_OK;
    s->ack_fd = open(s->o.ack_file, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    if (s->ack_fd >= 0)
        return EXIT_CODE_OK;
    fprintf(stderr, "dray send: %s: %s\n", s->o.ack_file, strerror(errno));
    return EXIT_CODE_IOERR;
}

static void make_headers(struct sender *s)
{
    size_t len = strlen(s->o.to), n = 0;
    while (len > 0 && s->o.to[len - 1] == '/')
        len--;
    const char *path = len > 9 && strncmp(s->o.to + len - 9, "/v1/batch", 9) == 0 ? "" : "/v1/batch";
    s->url = xasprintf("%.*s%s", (int)len, s->o.to, path);
    char *user = xasprintf("%s:", s->o.key), *code = xmalloc(4 * (strlen(user) / 3 + 2));
    str_base64_encode(user, strlen(user), code, 4 * (strlen(user) / 3 + 2));
    s->auth = xasprintf("Authorization: Basic %s", code);
    free(user);
    free(code);
    s->headers[n++] = s->auth;
    s->headers[n++] = "Content-Type: application/json";
    s->headers[n++] = "User-Agent: dray-send/" DRAY_VERSION;
    if (s->o.gzip)
        s->headers[n++] = "Content-Encoding: gzip";
    s->headers[n] = NULL;
}

static void start(struct sender *s)
{
    struct http_client_options client = {.connect_timeout_ms = 5000,
                                         .timeout_ms = s->o.deadline_ms,
                                         .response_max = 1024,
                                         .connections_max = (unsigned)s->o.connections};
    s->loop = ev_loop_new(EVFLAG_AUTO);
    if (s->loop == NULL || (s->client = http_client_new(s->loop, &client)) == NULL)
        fatal(EXIT_CODE_OSERR, "send: cannot make an event loop");
    list_init(&s->waiting);
    send_input_init(&s->in, (unsigned)s->o.batch);
    make_headers(s);
    if (s->o.gzip)
        s->compressor = libdeflate_alloc_compressor(1);
    ev_io_init(&s->input, on_input, s->fd, EV_READ);
    ev_timer_init(&s->idle, on_idle, 0., 0.);
    ev_timer_init(&s->wake, on_wake, 0., 0.);
    ev_timer_init(&s->progress, on_progress, PROGRESS_EVERY, PROGRESS_EVERY);
    ev_signal_init(&s->term, on_signal, SIGTERM);
    ev_signal_init(&s->intr, on_signal, SIGINT);
    s->input.data = s->idle.data = s->wake.data = s->progress.data = s->term.data = s->intr.data = s;
    ev_signal_start(s->loop, &s->term);
    ev_signal_start(s->loop, &s->intr);
    s->bar = isatty(STDERR_FILENO) && s->o.cli.verbosity >= 0;
    if (s->bar)
        ev_timer_start(s->loop, &s->progress);
    s->report.started_us = clock_mono_us();
}

static void stop(struct sender *s)
{
    http_client_free(s->client);
    send_input_fini(&s->in);
    libdeflate_free_compressor(s->compressor);
    ev_loop_destroy(s->loop);
    fd_close(&s->ack_fd);
    if (s->fd != STDIN_FILENO)
        fd_close(&s->fd);
    free(s->url);
    free(s->auth);
}

int send_main(int argc, char **argv)
{
    struct sender s = {0};
    int code = parse(&s.o, argc, argv);
    if (code != CLI_GO_ON)
        return code;
    sig_defaults();
    code = open_files(&s);
    if (code != EXIT_CODE_OK)
        return code;
    start(&s);
    pump(&s);
    ev_run(s.loop, 0);
    s.report.bad_lines = s.in.bad_lines;
    s.report.first_bad_line = s.in.first_bad_line;
    s.report.why = s.in.why;
    if (s.bar)
        send_report_wipe();
    send_report_print(&s.report, s.o.cli.json);
    bool all = s.report.accepted == s.report.events && s.in.bad_lines == 0 && !s.stopped;
    stop(&s);
    return all ? EXIT_CODE_OK : EXIT_CODE_FAILURE;
}
