/* queue_cmd - dray queue VERB: looks at queues and acts on them, in Redis directly, so it works when no dray runs too. */
#include <stdio.h>
#include <string.h>

#include "master/cli/client.h"
#include "master/cli/options.h"
#include "master/cli/queue_acts.h"
#include "master/cli/queue_enable.h"
#include "master/cli/queue_repartition.h"
#include "master/cli/queue_show.h"

#define WORDS_MAX 64

static const char usage[] =
    "usage: dray queue ls [-o json]\n"
    "       dray queue show NAME|ID [-o json]\n"
    "       dray queue pause|resume NAME... [--local]\n"
    "       dray queue enable|disable NAME...\n"
    "       dray queue retry NAME [--limit N] [--dry-run]\n"
    "       dray queue promote NAME [--limit N] [--dry-run]\n"
    "       dray queue clean NAME [--state STATE] [--grace 1h] [--limit N] [--dry-run] [--yes]\n"
    "       dray queue drain NAME [--delayed] [--dry-run] [--yes]\n"
    "       dray queue obliterate NAME [--force] [--dry-run] [--yes]\n"
    "       dray queue repartition NAME [--force]\n\n"
    "ls counts the jobs of every queue; show tells of one queue (who works on it, what is\n"
    "active, what failed last) or of one job, wherever it is. NAME is a destination, one of its\n"
    "partitions (orders#3), a takeover, or another queue under the prefix.\n"
    "pause: nothing more is taken, in the whole fleet; with --local by the running instance alone,\n"
    "until it is restarted: others go on, and take over what is kept in order. enable: a destination that\n"
    "was disabled (it failed for too long, or answered 410), or that is left alone because it fails, is\n"
    "sent to again at once, in the whole fleet; disable: nothing is sent until then. retry: failed jobs wait again. promote:\n"
    "delayed ones need not wait longer. clean removes jobs of a state (default completed) that\n"
    "are older than --grace; drain removes what waits; obliterate the whole paused queue, and\n"
    "with --force although jobs are in work. What removes asks first, unless --yes is given.\n"
    "repartition: the empty queue becomes what the configuration says (mode, partitions).\n\n";

static int wrong_words(const char *verb, char **words, size_t n)
{
    if (n >= 2 && strcmp(words[0], "ls") == 0)
        return cli_usage(verb, "one word too many: %s", words[1]);
    if (n == 1 && strcmp(words[0], "show") == 0)
        return cli_usage(verb, "show: a queue's name or a job's id is needed");
    if (n == 1 &&
        (queue_acts_has(words[0]) || queue_enable_has(words[0]) || strcmp(words[0], "repartition") == 0))
        return cli_usage(verb, "%s: a queue's name is needed", words[0]);
    if (n > 0)
        return cli_usage(verb, "ls, show or another verb is needed, not %s", words[0]);
    return cli_usage(verb, "ls, show or another verb is needed");
}

/* The running instance is told; Redis is not asked. */
static int act_here(const struct cli *o, char **words, size_t n, const struct queue_act_options *a)
{
    bool pause = strcmp(words[0], "pause") == 0;
    int code = EXIT_CODE_OK;
    if (!pause && strcmp(words[0], "resume") != 0)
        return cli_usage("queue", "--local is for pause and resume");
    for (size_t i = 1; i < n && code == EXIT_CODE_OK; i++) {
        json_t *answer = NULL;
        code = client_request(
            o, json_pack("{s:s, s:s, s:b}", "verb", "pause", "queue", words[i], "paused", pause), &answer);
        json_decref(answer);
        if (code == EXIT_CODE_OK && a->json)
            printf("{\"queue\":\"%s\",\"act\":\"%s\",\"local\":true}\n", words[i], words[0]);
        else if (code == EXIT_CODE_OK && !a->quiet)
            printf("%s: %s here\n", words[i], pause ? "paused" : "resumed");
    }
    return code;
}

static int act(const struct cli *o, char **words, size_t n, const struct queue_act_options *a)
{
    struct queue_session s;
    if (a->local)
        return act_here(o, words, n, a);
    int code = queue_session_open(o, "queue", &s);
    if (code != EXIT_CODE_OK)
        return code;
    for (size_t i = 1; i < n && code == EXIT_CODE_OK; i++)
        code = strcmp(words[0], "repartition") == 0 ? queue_repartition_run(&s, words[i], a->force)
               : queue_enable_has(words[0]) ? queue_enable_run(&s, words[0], words[i], a->json, a->quiet)
                                            : queue_acts_run(&s, words[0], words[i], a);
    queue_session_close(&s);
    return code;
}

int queue_main(int argc, char **argv)
{
    struct cli o;
    struct queue_act_options a = {0};
    char *words[WORDS_MAX];
    size_t n;
    const struct option_row rows[] = {
        {"dry-run", OPTION_FLAG, &a.dry_run, NULL}, {"yes", OPTION_FLAG, &a.yes, NULL},
        {"delayed", OPTION_FLAG, &a.delayed, NULL}, {"force", OPTION_FLAG, &a.force, NULL},
        {"state", OPTION_TEXT, &a.state, NULL},     {"grace", OPTION_DURATION, &a.grace_ms, NULL},
        {"limit", OPTION_NUMBER, &a.limit, NULL},   {"local", OPTION_FLAG, &a.local, NULL},
    };
    int code = options_read(&o, argc, argv, usage, rows, sizeof rows / sizeof *rows, words, WORDS_MAX, &n);
    if (code != CLI_GO_ON)
        return code;
    a.json = o.json;
    a.quiet = o.verbosity < 0;
    if (n == 1 && strcmp(words[0], "ls") == 0)
        return queue_show_run(&o, QUEUE_SHOW_ALL, NULL, NULL);
    if (n == 2 && strcmp(words[0], "show") == 0)
        return queue_show_run(&o, QUEUE_SHOW_ONE, words[1], NULL);
    if (n >= 2 &&
        (queue_acts_has(words[0]) || queue_enable_has(words[0]) || strcmp(words[0], "repartition") == 0))
        return act(&o, words, n, &a);
    return wrong_words(argv[0], words, n);
}
