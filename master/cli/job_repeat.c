/* job_repeat - dray job add --repeat-..., dray job repeats, dray job unrepeat: jobs that come again and again. */
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/base/str.h"
#include "master/cli/job_cmd.h"
#include "master/cli/queue_place.h"
#include "master/cli/queue_show.h"
#include "master/cli/table.h"

struct answer {
    bool done;
    enum queue_status status;
    uint64_t total;
    json_t *rows;
    char why[256];
};

/* ---- options */

/* A day, or an instant, in UTC. */
static bool read_time(const char *text, uint64_t *ms)
{
    static const char *const forms[] = {"%Y-%m-%dT%H:%M:%SZ", "%Y-%m-%dT%H:%MZ", "%Y-%m-%d"};
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
        struct tm tm = {0};
        const char *end = strptime(text, forms[i], &tm);
        time_t s = end != NULL && *end == '\0' ? timegm(&tm) : -1;
        if (s > 0) {
            *ms = (uint64_t)s * 1000;
            return true;
        }
    }
    return false;
}

static int wrong_time(const char *option, const char *text)
{
    return cli_usage("job",
                     "--%s %s: expected a day such as 2027-01-31, or an instant such as 2027-01-31T12:00:00Z",
                     option, text);
}

int job_repeat_read(struct job_add_options *o)
{
    struct queue_repeat *r = &o->repeat;
    char why[256];
    if (o->repeat_start != NULL && !read_time(o->repeat_start, &r->start_ms))
        return wrong_time("repeat-start", o->repeat_start);
    if (o->repeat_end != NULL && !read_time(o->repeat_end, &r->end_ms))
        return wrong_time("repeat-end", o->repeat_end);
    if (r->cron == NULL && r->every_ms == 0)
        return cli_usage("job", "a job that repeats needs --repeat-every or --repeat-cron");
    if (r->cron != NULL && r->every_ms != 0)
        return cli_usage("job", "--repeat-every and --repeat-cron: one of the two");
    if (r->cron == NULL && (r->tz != NULL || r->start_ms != 0))
        return cli_usage("job", "--repeat-tz and --repeat-start go with --repeat-cron");
    if (o->add.delay_ms != 0)
        return cli_usage("job", "--delay does not go with a repetition, which has times of its own");
    r->id = o->add.id;
    char *opts = queue_repeat_opts(r, NULL, why, sizeof why);
    if (opts == NULL)
        return cli_usage("job", "add: %s", why);
    free(opts);
    o->add.repeat = r;
    return EXIT_CODE_OK;
}

/* ---- repeats */

static json_t *text_or_null(const char *text)
{
    return text != NULL ? json_string(text) : json_null();
}

static json_t *time_or_null(uint64_t ms)
{
    return ms > 0 ? json_integer((json_int_t)ms) : json_null();
}

static void on_list(enum queue_status s, const struct queue_repetition *list, size_t n, uint64_t total,
                    const char *why, void *arg)
{
    struct answer *a = arg;
    a->done = true;
    a->status = s;
    a->total = total;
    str_copy(a->why, why != NULL ? why : queue_status_name(s), sizeof a->why);
    for (size_t i = 0; i < n; i++)
        json_array_append_new(
            a->rows, json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "key", text_or_null(list[i].key),
                               "name", text_or_null(list[i].name), "id", text_or_null(list[i].id), "cron",
                               text_or_null(list[i].cron), "tz", text_or_null(list[i].tz), "every_ms",
                               time_or_null(list[i].every_ms), "next", time_or_null(list[i].next_ms), "end",
                               time_or_null(list[i].end_ms)));
}

static void put_instant(json_t *row, const char *key)
{
    json_int_t ms = json_integer_value(json_object_get(row, key));
    time_t s = (time_t)(ms / 1000);
    struct tm tm;
    char text[32];
    if (ms > 0 && gmtime_r(&s, &tm) != NULL && strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &tm) > 0)
        json_object_set_new(row, key, json_string(text));
}

static void print_rows(json_t *rows)
{
    static const char *const keys[] = {"key", "name", "cron", "tz", "every_ms", "next", "end", NULL};
    json_t *row;
    size_t i;
    json_array_foreach(rows, i, row)
    {
        put_instant(row, "next");
        put_instant(row, "end");
    }
    table_print(stdout, rows, keys);
}

static int exit_of(const char *verb, const char *queue, const struct answer *a)
{
    if (a->status == QUEUE_OK)
        return EXIT_CODE_OK;
    fprintf(stderr, "dray job %s %s: %s\n", verb, queue, a->why);
    return a->status == QUEUE_AWAY || a->status == QUEUE_UNKNOWN ? EXIT_CODE_UNREACHABLE : EXIT_CODE_FAILURE;
}

/* The target of this name, all of whose queues are known. */
static int open_target(const struct cli *cli, const char *name, struct queue_session *s,
                       struct queue_target *t)
{
    char why[256];
    int code = queue_session_open(cli, "job", s);
    if (code != EXIT_CODE_OK)
        return code;
    if (queue_target_find(s->conf, name, t, why, sizeof why) < 0) {
        code = cli_usage("job", "%s", why);
    } else if ((code = queue_session_know(s, t)) != EXIT_CODE_OK) {
        queue_target_fini(t);
    }
    if (code != EXIT_CODE_OK)
        queue_session_close(s);
    return code;
}

int job_repeat_list(const struct cli *cli, const char *queue)
{
    struct queue_session s;
    struct queue_target t;
    int code = open_target(cli, queue, &s, &t);
    if (code != EXIT_CODE_OK)
        return code;
    json_t *rows = json_array();
    uint64_t left_out = 0;
    for (size_t i = 0; i < t.n && code == EXIT_CODE_OK; i++) {
        struct answer a = {.rows = json_array()};
        struct queue *q = queue_session_queue(&s, &t.places[i]);
        queue_repeat_list(q, 0, 999, true, on_list, &a);
        code = queue_session_wait(&s, &a.done, 0) ? exit_of("repeats", t.places[i].label, &a)
                                                  : EXIT_CODE_UNREACHABLE;
        queue_free(q);
        left_out += a.total - (a.total < json_array_size(a.rows) ? a.total : json_array_size(a.rows));
        json_t *row;
        size_t k;
        json_array_foreach(a.rows, k, row)
        {
            json_object_set_new(row, "queue", json_string(t.places[i].label));
        }
        json_array_extend(rows, a.rows);
        json_decref(a.rows);
    }
    if (code == EXIT_CODE_OK && cli->json)
        queue_show_json(rows);
    else if (code == EXIT_CODE_OK && json_array_size(rows) == 0)
        fprintf(stderr, "dray job: %s: nothing repeats\n", queue);
    else if (code == EXIT_CODE_OK)
        print_rows(rows);
    if (left_out > 0)
        fprintf(stderr, "dray job: %s: %" PRIu64 " more are not shown\n", queue, left_out);
    json_decref(rows);
    queue_target_fini(&t);
    queue_session_close(&s);
    return code;
}

/* ---- unrepeat */

static void on_removed(enum queue_status s, const char *why, void *arg)
{
    struct answer *a = arg;
    a->done = true;
    a->status = s;
    str_copy(a->why, why != NULL ? why : queue_status_name(s), sizeof a->why);
}

/* In whichever queue of the target has it. */
static int end_one(struct queue_session *s, const struct queue_target *t, const char *key)
{
    int code = EXIT_CODE_OK;
    bool found = false;
    for (size_t i = 0; i < t->n && code == EXIT_CODE_OK; i++) {
        struct answer a = {0};
        struct queue *q = queue_session_queue(s, &t->places[i]);
        queue_repeat_remove(q, key, on_removed, &a);
        if (!queue_session_wait(s, &a.done, 0))
            code = EXIT_CODE_UNREACHABLE;
        else if (a.status != QUEUE_MISSING)
            code = exit_of("unrepeat", t->places[i].label, &a);
        found = found || (code == EXIT_CODE_OK && a.status == QUEUE_OK);
        queue_free(q);
    }
    if (code == EXIT_CODE_OK && !found) {
        fprintf(
            stderr,
            "dray job unrepeat %s: nothing repeats under the key %s; dray job repeats %s lists the keys\n",
            t->name, key, t->name);
        return EXIT_CODE_NOT_RUNNING;
    }
    return code;
}

int job_repeat_end(const struct cli *cli, const char *queue, char **keys, size_t n)
{
    struct queue_session s;
    struct queue_target t;
    int code = open_target(cli, queue, &s, &t), worst = code;
    if (code != EXIT_CODE_OK)
        return code;
    for (size_t i = 0; i < n && !s.failed; i++) {
        code = end_one(&s, &t, keys[i]);
        worst = code != EXIT_CODE_OK ? code : worst;
        if (code == EXIT_CODE_OK && cli->verbosity >= 0)
            printf("%s: repeats no more\n", keys[i]);
    }
    queue_target_fini(&t);
    queue_session_close(&s);
    return worst;
}
