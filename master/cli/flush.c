/* flush - dray flush: returns once everything that was accepted before the call is settled, delivered or failed.
 *
 * First the running instance is asked to send on what its intake holds; its answer means that all of that stands in
 * Redis. Then the queues are looked at there, fleet-wide, until nothing is left of what was added up to then.
 */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/base/clock.h"
#include "common/base/str.h"
#include "master/cli/cli.h"
#include "master/cli/client.h"
#include "master/cli/queue_flush.h"
#include "master/cli/table.h"

#define TIMEOUT_MS   30000 /* the default */
#define PAUSE_MS     20    /* between two looks; doubled up to PAUSE_MAX_MS */
#define PAUSE_MAX_MS 320

enum { OPT_TIMEOUT = CLI_OPT_OWN };

static const char usage[] =
    "usage: dray flush [--timeout DURATION] [-o json]\n\n"
    "Returns once everything that was accepted before the call is settled: delivered, or failed for\n"
    "good. What the intake of this instance holds is sent on; then the queues of the configuration are\n"
    "watched in Redis, whoever added to them. Jobs that are delayed or whose queue is paused are waited\n"
    "for too; the next job of a repetition is not. Exit 75 when something is left at the time-out.\n\n"
    "      --timeout DURATION   how long to wait (default 30s)\n\n";

struct flush {
    const struct cli *o;
    struct conf *conf;
    struct queue_flush look;
    struct queue_flush_place *places;
    size_t n;
    char run_dir[PATH_MAX];
    uint64_t from_ms, until_ms; /* monotonic */
};

static uint64_t left_ms(const struct flush *f)
{
    uint64_t now = clock_mono_ms();
    return now < f->until_ms ? f->until_ms - now : 0;
}

/* ---- the intake */

/* The configuration in force, as the instance tells it. */
static int read_conf(struct client *c, struct flush *f)
{
    json_t *answer;
    struct buf errors;
    int code = client_ask(c, json_pack("{s:s}", "verb", "config"), &answer);
    if (code != EXIT_CODE_OK)
        return code;
    char *text = json_dumps(json_object_get(answer, "config"), JSON_COMPACT);
    json_decref(answer);
    buf_init(&errors, 1u << 16);
    if (text == NULL || conf_parse_dump(text, strlen(text), &f->conf, &errors) < 0) {
        fprintf(stderr, "dray flush: the instance runs another version: %s\n", buf_cstr(&errors));
        code = EXIT_CODE_PROTOCOL;
    }
    buf_fini(&errors);
    free(text);
    return code;
}

/* Batches that the intake holds, as it said last. */
static long long count_batches(const struct flush *f)
{
    json_t *answer, *p;
    long long n = 0;
    size_t i;
    if (client_request(f->o, json_pack("{s:s}", "verb", "status"), &answer) != EXIT_CODE_OK)
        return 0;
    json_array_foreach(json_object_get(answer, "processes"), i, p)
    {
        const char *kind = json_string_value(json_object_get(p, "kind"));
        if (kind != NULL && (strcmp(kind, "ingest") == 0 || strcmp(kind, "spool") == 0))
            n += json_integer_value(json_object_get(p, "in_hand"));
    }
    n += json_integer_value(json_object_get(json_object_get(answer, "spool"), "batches"));
    json_decref(answer);
    return n;
}

static int flush_intake(struct flush *f)
{
    struct client c;
    json_t *answer = NULL;
    int code = client_connect(f->o, &c);
    if (code != EXIT_CODE_OK)
        return code;
    /* The managed Redis listens beside the control socket. */
    if (realpath(c.path, f->run_dir) != NULL && strrchr(f->run_dir, '/') != NULL)
        *strrchr(f->run_dir, '/') = '\0';
    code = read_conf(&c, f);
    if (code == EXIT_CODE_OK)
        code = client_ask_within(&c, json_pack("{s:s}", "verb", "flush"), left_ms(f), &answer);
    json_decref(answer);
    client_close(&c);
    return code;
}

/* ---- the queues */

static void pause_ms(const struct flush *f, uint64_t ms)
{
    uint64_t most = left_ms(f);
    ms = ms < most ? ms : most;
    struct timespec ts = {(time_t)(ms / 1000), (long)(ms % 1000) * 1000000};
    nanosleep(&ts, NULL);
}

/* 1: nothing is left, 0: time is up, -1: Redis cannot be asked. */
static int watch_queues(struct flush *f)
{
    uint64_t pause = PAUSE_MS;
    size_t clean = 0; /* places that are done stay so: what comes later does not count */
    int rc = 0;
    if (f->n == 0) /* redis.mode: none: what has left ingest is delivered */
        return 1;
    for (;;) {
        bool marked = f->look.mark_ms != 0;
        rc = f->look.c != NULL || queue_flush_open(&f->look, f->conf, f->run_dir) == 0 ? 0 : -1;
        if (rc == 0 && !marked)
            rc = queue_flush_mark(&f->look);
        while (rc == 0 && clean < f->n && (rc = queue_flush_settled(&f->look, &f->places[clean])) == 1) {
            clean++;
            rc = 0;
        }
        if (rc < 0)
            queue_flush_close(&f->look);
        else if (clean == f->n)
            return 1;
        if (left_ms(f) == 0)
            return rc;
        pause_ms(f, pause);
        pause = 2 * pause < PAUSE_MAX_MS ? 2 * pause : PAUSE_MAX_MS;
    }
}

/* Rows of the queues in which something is left. NULL: Redis cannot be asked. */
static json_t *count_left(struct flush *f)
{
    static const char *const states[] = {"wait", "paused", "active", "delayed"};
    json_t *rows = json_array();
    if (f->look.c == NULL && queue_flush_open(&f->look, f->conf, f->run_dir) < 0)
        goto failed;
    if (f->look.mark_ms == 0 && queue_flush_mark(&f->look) < 0)
        goto failed;
    for (size_t i = 0; i < f->n; i++) {
        json_t *row = queue_flush_left(&f->look, &f->places[i]);
        json_int_t n = 0;
        if (row == NULL)
            goto failed;
        for (size_t s = 0; s < sizeof states / sizeof *states; s++)
            n += json_integer_value(json_object_get(row, states[s]));
        if (n > 0)
            json_array_append(rows, row);
        json_decref(row);
    }
    return rows;
failed:
    json_decref(rows);
    return NULL;
}

/* ---- the answer */

static void print_answer(json_t *answer)
{
    json_dumpf(answer, stdout, JSON_COMPACT);
    putchar('\n');
    json_decref(answer);
}

static int tell_unreachable(const struct flush *f)
{
    fprintf(stderr, "dray flush: Redis: %s\n", f->look.error);
    return EXIT_CODE_UNREACHABLE;
}

static int tell_left(struct flush *f, bool in_intake)
{
    static const char *const columns[] = {"queue", "wait", "paused", "active", "delayed", "is_paused", NULL};
    json_t *rows = count_left(f);
    long long batches = in_intake ? count_batches(f) : 0;
    char text[32];
    if (rows == NULL && !in_intake)
        return tell_unreachable(f);
    if (rows == NULL) {
        fprintf(stderr, "dray flush: Redis: %s\n", f->look.error);
        rows = json_array();
    }
    if (in_intake)
        fprintf(stderr, "dray flush: the intake has not stored everything yet: %lld batches\n", batches);
    str_format_duration(f->until_ms - f->from_ms, text, sizeof text);
    fprintf(stderr, "dray flush: not settled within %s%s\n", text,
            json_array_size(rows) > 0 ? "; this is left of what was accepted before:" : "");
    if (f->o->json)
        print_answer(json_pack("{s:b, s:I, s:I, s:O}", "ok", 0, "took_ms",
                               (json_int_t)(clock_mono_ms() - f->from_ms), "intake_batches",
                               (json_int_t)batches, "left", rows));
    else
        table_print(stdout, rows, columns);
    json_decref(rows);
    return EXIT_CODE_TEMP;
}

static int tell_settled(const struct flush *f)
{
    uint64_t took_ms = clock_mono_ms() - f->from_ms;
    char text[32];
    if (f->o->json)
        print_answer(json_pack("{s:b, s:I, s:I, s:[]}", "ok", 1, "took_ms", (json_int_t)took_ms,
                               "intake_batches", (json_int_t)0, "left"));
    else if (f->o->verbosity >= 0)
        printf("settled in %s\n", str_format_duration(took_ms, text, sizeof text));
    return EXIT_CODE_OK;
}

static int flush(struct flush *f)
{
    int code = flush_intake(f);
    if (f->conf == NULL)
        return code;
    f->places = queue_flush_places(f->conf, &f->n);
    if (code == EXIT_CODE_TEMP)
        return tell_left(f, true);
    if (code != EXIT_CODE_OK)
        return code;
    switch (watch_queues(f)) {
    case 1:
        return tell_settled(f);
    case 0:
        return tell_left(f, false);
    default:
        return tell_unreachable(f);
    }
}

int flush_main(int argc, char **argv)
{
    static const struct option longs[] = {
        CLI_LONG_OPTIONS, {"timeout", required_argument, NULL, OPT_TIMEOUT}, {0}};
    struct cli o;
    cli_init(&o);
    uint64_t timeout_ms = TIMEOUT_MS;
    int opt;
    while ((opt = getopt_long(argc, argv, CLI_SHORT_OPTIONS, longs, NULL)) != -1) {
        int code = CLI_GO_ON;
        if (opt != OPT_TIMEOUT)
            code = cli_option(&o, opt, usage);
        else if (str_parse_duration(optarg, false, &timeout_ms) != 0 || timeout_ms == 0 ||
                 timeout_ms > 86400000)
            return cli_usage(argv[0], "--timeout %s: a duration like 30s is needed", optarg);
        if (code != CLI_GO_ON)
            return code;
    }
    if (optind < argc)
        return cli_usage(argv[0], "one word too many: %s", argv[optind]);
    struct flush f = {.o = &o, .from_ms = clock_mono_ms()};
    f.until_ms = f.from_ms + timeout_ms;
    int code = flush(&f);
    queue_flush_close(&f.look);
    free(f.places);
    conf_free(f.conf);
    return code;
}
