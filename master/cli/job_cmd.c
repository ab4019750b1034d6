/* job_cmd - dray job VERB: adds a job, looks at one, acts on some. A job is looked for in all queues of the
 * configuration, unless --queue names its own. */
#include "master/cli/job_cmd.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "common/base/str.h"
#include "master/cli/options.h"
#include "master/cli/queue_place.h"
#include "master/cli/queue_show.h"

#define WORDS_MAX 256

static const char usage[] =
    "usage: dray job add QUEUE [--data JSON|@FILE|-] [--id ID] [--name NAME] [--delay 5m]\n"
    "                [--priority N] [--lifo] [--attempts N] [--backoff fixed:1s|exponential:1s]\n"
    "                [--timeout 10s] [--remove-on-complete true|N|count=N,age=S]\n"
    "                [--remove-on-fail ...] [--stack-trace-limit N] [--debounce ID] [--debounce-ttl 1m]\n"
    "       dray job show ID [-o json]\n"
    "       dray job retry|promote|remove ID... [--queue NAME]\n"
    "       dray job logs ID [--add LINE] [--queue NAME] [-o json]\n\n"
    "add prints the id of the new job, with the options that Bull's clients know. retry: a failed\n"
    "(or completed) job waits again; promote: a delayed one need not wait longer; remove: the\n"
    "job is deleted, unless a worker has it in hand. logs prints a job's log, or adds a line.\n\n";

struct answer {
    bool done;
    enum queue_status status;
    char why[256];
    json_t *lines;
};

static void on_done(enum queue_status s, const char *why, void *arg)
{
    struct answer *a = arg;
    a->done = true;
    a->status = s;
    str_copy(a->why, why != NULL ? why : queue_status_name(s), sizeof a->why);
}

static void on_found(enum queue_status s, const struct queue_job_info *job, const char *why, void *arg)
{
    (void)job;
    on_done(s, why, arg);
}

static void on_logged(enum queue_status s, uint64_t lines, const char *why, void *arg)
{
    (void)lines;
    on_done(s, why, arg);
}

static void on_logs(enum queue_status s, const char *const *lines, const size_t *lens, size_t n,
                    uint64_t total, void *arg)
{
    struct answer *a = arg;
    (void)total;
    a->lines = json_array();
    for (size_t i = 0; i < n; i++) {
        json_t *line = json_stringn(lines[i], lens[i]);
        json_array_append_new(a->lines, line != NULL ? line : json_string("(not UTF-8)"));
    }
    on_done(s, NULL, a);
}

/* ---- where a job is */

/* The queue that holds the job; NULL: none of the target's does, or Redis failed (*code). */
static struct queue *find_in(struct queue_session *s, const char *name, const char *id, int *code)
{
    struct queue_target t;
    struct queue *q = NULL;
    char why[256];
    if (queue_target_find(s->conf, name, &t, why, sizeof why) < 0) {
        *code = cli_usage("job", "%s", why);
        return NULL;
    }
    for (size_t i = 0; i < t.n && q == NULL && *code == EXIT_CODE_OK; i++) {
        struct answer a = {0};
        q = queue_session_queue(s, &t.places[i]);
        queue_get_job(q, id, on_found, &a);
        if (!queue_session_wait(s, &a.done, 0))
            *code = EXIT_CODE_UNREACHABLE;
        else if (a.status == QUEUE_OK)
            break;
        queue_free(q);
        q = NULL;
    }
    queue_target_fini(&t);
    return q;
}

static struct queue *find(struct queue_session *s, const char *name, const char *id, int *code)
{
    const struct conf *c = s->conf;
    struct queue *q = NULL;
    *code = EXIT_CODE_OK;
    if (name != NULL)
        q = find_in(s, name, id, code);
    for (size_t i = 0; name == NULL && i < c->n_destinations && q == NULL && *code == EXIT_CODE_OK; i++)
        q = find_in(s, c->destinations[i].id, id, code);
    for (size_t i = 0; name == NULL && i < c->n_takeovers && q == NULL && *code == EXIT_CODE_OK; i++)
        q = find_in(s, c->takeovers[i].id, id, code);
    if (q == NULL && *code == EXIT_CODE_OK) {
        fprintf(stderr, "dray job: no queue has a job %s%s\n", id,
                name == NULL ? "; --queue names a queue that is not in the configuration" : "");
        *code = EXIT_CODE_NOT_RUNNING;
    }
    return q;
}

/* ---- acts */

struct act {
    const char *verb, *did;
    void (*fn)(struct queue *q, const char *id, queue_done_fn done, void *arg);
};

static const struct act acts[] = {
    {"retry", "waits again", queue_retry_job},
    {"promote", "waits no longer", queue_promote_job},
    {"remove", "removed", queue_remove_job},
};

static int exit_of(const char *verb, const char *id, const struct answer *a)
{
    if (a->status == QUEUE_OK)
        return EXIT_CODE_OK;
    fprintf(stderr, "dray job %s %s: %s\n", verb, id, a->why);
    return a->status == QUEUE_AWAY || a->status == QUEUE_UNKNOWN ? EXIT_CODE_UNREACHABLE : EXIT_CODE_FAILURE;
}

static int act(struct queue_session *s, const struct act *act, const char *queue, const char *id, bool quiet)
{
    struct answer a = {0};
    int code;
    struct queue *q = find(s, queue, id, &code);
    if (q == NULL)
        return code;
    act->fn(q, id, on_done, &a);
    code = queue_session_wait(s, &a.done, 0) ? exit_of(act->verb, id, &a) : EXIT_CODE_UNREACHABLE;
    queue_free(q);
    if (code == EXIT_CODE_OK && !quiet)
        printf("%s: %s\n", id, act->did);
    return code;
}

static int logs(struct queue_session *s, const struct cli *o, const char *queue, const char *id,
                const char *line)
{
    struct answer a = {0};
    int code;
    struct queue *q = find(s, queue, id, &code);
    if (q == NULL)
        return code;
    if (line != NULL)
        queue_add_log(q, id, line, 0, on_logged, &a);
    else
        queue_get_logs(q, id, 0, -1, true, on_logs, &a);
    code = queue_session_wait(s, &a.done, 0) ? exit_of("logs", id, &a) : EXIT_CODE_UNREACHABLE;
    queue_free(q);
    if (code == EXIT_CODE_OK && o->json) {
        json_dumpf(a.lines != NULL ? a.lines : json_null(), stdout, JSON_COMPACT | JSON_ENCODE_ANY);
        putchar('\n');
    } else if (code == EXIT_CODE_OK) {
        size_t i;
        json_t *one;
        json_array_foreach(a.lines, i, one)
        {
            printf("%s\n", json_string_value(one));
        }
    }
    json_decref(a.lines);
    return code;
}

static int run(const struct cli *o, char **words, size_t n, const char *queue, const char *line)
{
    const struct act *found = NULL;
    struct queue_session s;
    for (size_t i = 0; i < sizeof acts / sizeof *acts; i++)
        if (strcmp(acts[i].verb, words[0]) == 0)
            found = &acts[i];
    if (found == NULL && strcmp(words[0], "logs") != 0)
        return cli_usage("job", "add, show, retry, promote, remove or logs is needed, not %s", words[0]);
    int code = queue_session_open(o, "job", &s), worst = code;
    if (code != EXIT_CODE_OK)
        return code;
    for (size_t i = 1; i < n; i++) { /* one that fails does not keep the others from being done */
        code = found != NULL ? act(&s, found, queue, words[i], o->verbosity < 0)
                             : logs(&s, o, queue, words[i], line);
        worst = code != EXIT_CODE_OK ? code : worst;
        if (s.failed)
            break;
    }
    queue_session_close(&s);
    return worst;
}

int job_main(int argc, char **argv)
{
    struct cli o;
    struct job_add_options add = {0};
    struct queue_add_options *a = &add.add;
    const char *queue = NULL, *line = NULL;
    char *words[WORDS_MAX];
    size_t n;
    const struct option_row rows[] = {
        {"data", OPTION_TEXT, &add.data, NULL},
        {"id", OPTION_TEXT, &a->id, NULL},
        {"name", OPTION_TEXT, &a->name, NULL},
        {"delay", OPTION_DURATION, &a->delay_ms, NULL},
        {"priority", OPTION_NUMBER, &a->priority, NULL},
        {"lifo", OPTION_FLAG, &a->lifo, NULL},
        {"attempts", OPTION_NUMBER, &a->attempts, NULL},
        {"backoff", OPTION_TEXT, &add.backoff, NULL},
        {"timeout", OPTION_DURATION, &a->timeout_ms, NULL},
        {"remove-on-complete", OPTION_TEXT, &add.remove_on_complete, NULL},
        {"remove-on-fail", OPTION_TEXT, &add.remove_on_fail, NULL},
        {"stack-trace-limit", OPTION_NUMBER, &a->stack_trace_limit, &a->has_stack_trace_limit},
        {"debounce", OPTION_TEXT, &a->debounce_id, NULL},
        {"debounce-ttl", OPTION_DURATION, &a->debounce_ttl_ms, NULL},
        {"queue", OPTION_TEXT, &queue, NULL},
        {"add", OPTION_TEXT, &line, NULL},
    };
    int code = options_read(&o, argc, argv, usage, rows, sizeof rows / sizeof *rows, words, WORDS_MAX, &n);
    if (code != CLI_GO_ON)
        return code;
    if (n == 0)
        return cli_usage(argv[0], "add, show, retry, promote, remove or logs is needed");
    if (n == 1)
        return cli_usage(argv[0], "%s: %s is needed", words[0],
                         strcmp(words[0], "add") == 0 ? "a queue's name" : "a job's id");
    if (strcmp(words[0], "add") != 0 && strcmp(words[0], "show") != 0)
        return run(&o, words, n, queue, line);
    if (n > 2)
        return cli_usage(argv[0], "one word too many: %s", words[2]);
    return strcmp(words[0], "add") == 0 ? job_add_run(&o, words[1], &add) : queue_show_run(&o, words[1]);
}
