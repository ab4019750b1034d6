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
    "                [--repeat-every 5m | --repeat-cron '*/5 * * * *' [--repeat-tz Europe/Berlin]]\n"
    "                [--repeat-limit N] [--repeat-start TIME] [--repeat-end TIME] [--create]\n"
    "       dray job repeats QUEUE [-o json]\n"
    "       dray job unrepeat QUEUE KEY...\n"
    "       dray job show ID [--queue NAME] [-o json]\n"
    "       dray job retry|promote|remove ID... [--queue NAME]\n"
    "       dray job logs ID [--add LINE] [--queue NAME] [-o json]\n\n"
    "add prints the id of the new job, with the options that Bull's clients know; --create: in a\n"
    "queue that is neither in the configuration nor in Redis yet. With --repeat-... the job comes\n"
    "again and again (a TIME is 2027-01-31 or 2027-01-31T12:00:00Z); repeats lists what does, with\n"
    "its key, and unrepeat ends it. retry: a failed job waits again; promote: a delayed one need\n"
    "not wait longer; remove: the job is deleted, unless a worker has it in hand. logs prints a\n"
    "job's log, or adds a line. Where queues have jobs of the same id, --queue tells which.\n\n";

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

struct found {
    struct queue *q;  /* the first that has it */
    char labels[512]; /* of all that have it */
    size_t n;
};

/* Looks in all queues of the target. EXIT_CODE_OK: none failed. */
static int find_in(struct queue_session *s, const struct queue_target *t, const char *id, struct found *f)
{
    int code = EXIT_CODE_OK;
    for (size_t i = 0; i < t->n && code == EXIT_CODE_OK; i++) {
        struct answer a = {0};
        struct queue *q = queue_session_queue(s, &t->places[i]);
        size_t len = strlen(f->labels);
        queue_get_job(q, id, on_found, &a);
        if (!queue_session_wait(s, &a.done, 0)) {
            code = EXIT_CODE_UNREACHABLE;
        } else if (a.status == QUEUE_OK) {
            snprintf(f->labels + len, sizeof f->labels - len, "%s%s", f->n++ > 0 ? ", " : "",
                     t->places[i].label);
            if (f->q == NULL) {
                f->q = q;
                continue;
            }
        }
        queue_free(q);
    }
    return code;
}

static int find_named(struct queue_session *s, const char *name, const char *id, bool must_be,
                      struct found *f)
{
    struct queue_target t;
    char why[256];
    if (queue_target_find(s->conf, name, &t, why, sizeof why) < 0)
        return cli_usage("job", "%s", why);
    int code = must_be ? queue_session_know(s, &t) : EXIT_CODE_OK;
    if (code == EXIT_CODE_OK)
        code = find_in(s, &t, id, f);
    queue_target_fini(&t);
    return code;
}

/* The one queue that holds the job. NULL with *code: none does, or several; said. */
static struct queue *find(struct queue_session *s, const char *name, const char *id, int *code)
{
    const struct conf *c = s->conf;
    struct found f = {0};
    *code = EXIT_CODE_OK;
    if (name != NULL)
        *code = find_named(s, name, id, true, &f);
    for (size_t i = 0; name == NULL && i < c->n_destinations && *code == EXIT_CODE_OK; i++)
        *code = find_named(s, c->destinations[i].id, id, false, &f);
    for (size_t i = 0; name == NULL && i < c->n_takeovers && *code == EXIT_CODE_OK; i++)
        *code = find_named(s, c->takeovers[i].id, id, false, &f);
    if (*code == EXIT_CODE_OK && f.n == 1)
        return f.q;
    queue_free(f.q);
    if (*code == EXIT_CODE_OK && f.n > 1) {
        fprintf(stderr, "dray job: several queues have a job %s: %s; name one with --queue\n", id, f.labels);
        *code = EXIT_CODE_USAGE;
    } else if (*code == EXIT_CODE_OK) {
        if (name != NULL)
            fprintf(stderr, "dray job: there is no job %s in %s\n", id, name);
        else
            fprintf(
                stderr,
                "dray job: no queue has a job %s; --queue names a queue that is not in the configuration\n",
                id);
        *code = EXIT_CODE_NOT_RUNNING;
    }
    return NULL;
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

/* ---- words */

static const char *const verbs[] = {"add",    "show", "retry",   "promote",
                                    "remove", "logs", "repeats", "unrepeat"};

static int wrong_word(const char *word)
{
    static const char all[] = "add, show, retry, promote, remove, logs, repeats or unrepeat is needed";
    const char *nearest = NULL;
    unsigned best = CLI_FAR;
    for (size_t i = 0; word != NULL && i < sizeof verbs / sizeof *verbs; i++)
        if (cli_is_nearer(word, verbs[i], &best))
            nearest = verbs[i];
    if (word == NULL)
        return cli_usage("job", "%s", all);
    if (nearest != NULL)
        return cli_usage("job", "%s, not %s; did you mean %s?", all, word, nearest);
    return cli_usage("job", "%s, not %s", all, word);
}

static bool is_verb(const char *word)
{
    for (size_t i = 0; i < sizeof verbs / sizeof *verbs; i++)
        if (strcmp(verbs[i], word) == 0)
            return true;
    return false;
}

static int dispatch(const struct cli *o, struct job_add_options *add, char **words, size_t n,
                    const char *queue, const char *line)
{
    const char *verb = n > 0 ? words[0] : NULL;
    if (verb == NULL || !is_verb(verb))
        return wrong_word(verb);
    bool is_add = strcmp(verb, "add") == 0, repeats = strcmp(verb, "repeats") == 0;
    bool unrepeat = strcmp(verb, "unrepeat") == 0, show = strcmp(verb, "show") == 0;
    if (n == 1)
        return cli_usage("job", "%s: %s is needed", verb,
                         is_add || repeats || unrepeat ? "a queue's name" : "a job's id");
    if (unrepeat && n == 2)
        return cli_usage("job", "unrepeat: the key of a repetition is needed: dray job repeats %s", words[1]);
    if ((is_add || repeats || show) && n > 2)
        return cli_usage("job", "one word too many: %s", words[2]);
    if ((is_add || repeats || unrepeat) && queue != NULL)
        return cli_usage("job", "%s takes the queue as a word: dray job %s %s", verb, verb, queue);
    if (is_add)
        return job_add_run(o, words[1], add);
    if (repeats)
        return job_repeat_list(o, words[1]);
    if (unrepeat)
        return job_repeat_end(o, words[1], words + 2, n - 2);
    return show ? queue_show_run(o, QUEUE_SHOW_JOB, words[1], queue) : run(o, words, n, queue, line);
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
        {"repeat-every", OPTION_DURATION, &add.repeat.every_ms, &add.is_repeated},
        {"repeat-cron", OPTION_TEXT, &add.repeat.cron, &add.is_repeated},
        {"repeat-tz", OPTION_TEXT, &add.repeat.tz, &add.is_repeated},
        {"repeat-limit", OPTION_NUMBER, &add.repeat.limit, &add.is_repeated},
        {"repeat-start", OPTION_TEXT, &add.repeat_start, &add.is_repeated},
        {"repeat-end", OPTION_TEXT, &add.repeat_end, &add.is_repeated},
        {"create", OPTION_FLAG, &add.create, NULL},
        {"queue", OPTION_TEXT, &queue, NULL},
        {"add", OPTION_TEXT, &line, NULL},
    };
    int code = options_read(&o, argc, argv, usage, rows, sizeof rows / sizeof *rows, words, WORDS_MAX, &n);
    if (code != CLI_GO_ON)
        return code;
    return dispatch(&o, &add, words, n, queue, line);
}
