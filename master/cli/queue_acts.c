/* queue_acts - see queue_acts.h.
 *
 * An act on many jobs is first done as a dry run over all queues of the target: its count is what a person is shown, and
 * asked about where jobs would be deleted. */
#include "master/cli/queue_acts.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/base/str.h"
#include "common/queue/admin.h"

struct call { /* one request and its answer */
    bool done;
    enum queue_status status;
    struct queue_bulk_result result;
    char why[256];
};

struct act {
    const char *verb;
    const char *did, *would; /* "removed", "remove" */
    const char *state;       /* of the jobs, if the options name none */
    bool deletes;
    void (*bulk)(struct queue *q, const struct queue_act_options *o, enum queue_state state,
                 const struct queue_bulk *b);
    void (*plain)(struct queue *q, queue_done_fn done, void *arg); /* acts on the queue, not on jobs */
};

static void retry(struct queue *q, const struct queue_act_options *o, enum queue_state state,
                  const struct queue_bulk *b)
{
    (void)o;
    (void)state;
    queue_retry_all(q, b);
}

static void promote(struct queue *q, const struct queue_act_options *o, enum queue_state state,
                    const struct queue_bulk *b)
{
    (void)o;
    (void)state;
    queue_promote_all(q, b);
}

static void clean(struct queue *q, const struct queue_act_options *o, enum queue_state state,
                  const struct queue_bulk *b)
{
    queue_clean(q, state, o->grace_ms, b);
}

static void drain(struct queue *q, const struct queue_act_options *o, enum queue_state state,
                  const struct queue_bulk *b)
{
    (void)state;
    queue_drain(q, o->delayed, b);
}

static void obliterate(struct queue *q, const struct queue_act_options *o, enum queue_state state,
                       const struct queue_bulk *b)
{
    (void)state;
    queue_obliterate(q, o->force, b);
}

static const struct act acts[] = {
    {"pause", "paused", "pause", NULL, false, NULL, queue_pause},
    {"resume", "resumed", "resume", NULL, false, NULL, queue_resume},
    {"retry", "retried", "retry", "failed", false, retry, NULL},
    {"promote", "promoted", "promote", "delayed", false, promote, NULL},
    {"clean", "removed", "remove", "completed", true, clean, NULL},
    {"drain", "removed", "remove", "wait", true, drain, NULL},
    {"obliterate", "removed", "remove", NULL, true, obliterate, NULL},
};

static const struct act *find(const char *verb)
{
    for (size_t i = 0; i < sizeof acts / sizeof *acts; i++)
        if (strcmp(acts[i].verb, verb) == 0)
            return &acts[i];
    return NULL;
}

bool queue_acts_has(const char *verb)
{
    return find(verb) != NULL;
}

/* ---- requests */

static void on_bulk(enum queue_status s, const struct queue_bulk_result *r, const char *why, void *arg)
{
    struct call *c = arg;
    c->done = true;
    c->status = s;
    c->result = *r;
    str_copy(c->why, why != NULL ? why : queue_status_name(s), sizeof c->why);
}

static void on_done(enum queue_status s, const char *why, void *arg)
{
    struct call *c = arg;
    c->done = true;
    c->status = s;
    str_copy(c->why, why != NULL ? why : queue_status_name(s), sizeof c->why);
}

static int said(const struct act *a, const struct queue_place *p, const struct call *c)
{
    if (c->status == QUEUE_OK)
        return EXIT_CODE_OK;
    bool unpaused =
        c->status == QUEUE_WRONG_STATE && a->bulk == obliterate && strstr(c->why, "paused") != NULL;
    fprintf(stderr, "dray queue %s %s: %s%s%s\n", a->verb, p->label, c->why,
            unpaused ? "; first: dray queue pause " : "", unpaused ? p->label : "");
    return c->status == QUEUE_AWAY || c->status == QUEUE_UNKNOWN ? EXIT_CODE_UNREACHABLE : EXIT_CODE_FAILURE;
}

/* One pass over the queues of the target; adds up in sum. */
static int pass(struct queue_session *s, const struct act *a, const struct queue_target *t,
                const struct queue_act_options *o, enum queue_state state, bool dry_run,
                struct queue_bulk_result *sum)
{
    *sum = (struct queue_bulk_result){0};
    for (size_t i = 0; i < t->n; i++) {
        struct call c = {0};
        struct queue *q = queue_session_queue(s, &t->places[i]);
        const struct queue_bulk b = {
            .dry_run = dry_run, .max = o->limit > 0 ? o->limit - sum->done : 0, .done = on_bulk, .arg = &c};
        if (a->bulk != NULL)
            a->bulk(q, o, state, &b);
        else
            a->plain(q, on_done, &c);
        bool answered = queue_session_wait(s, &c.done, 0);
        queue_free(q);
        int code = answered ? said(a, &t->places[i], &c) : EXIT_CODE_UNREACHABLE;
        sum->done += c.result.done;
        sum->skipped += c.result.skipped;
        if (code != EXIT_CODE_OK)
            return code;
        if (o->limit > 0 && sum->done >= o->limit)
            break;
    }
    return EXIT_CODE_OK;
}

/* ---- what a person sees */

static bool confirmed(const struct act *a, const struct queue_target *t, const struct queue_bulk_result *r)
{
    char line[16];
    if (!isatty(STDIN_FILENO) || !isatty(STDERR_FILENO)) {
        fprintf(stderr,
                "dray queue %s %s: would %s %" PRIu64 " jobs; say --yes to do it, --dry-run to only count\n",
                a->verb, t->name, a->would, r->done);
        return false;
    }
    fprintf(stderr, "%s %" PRIu64 " jobs of %s for good? [y/N] ", a->would, r->done, t->name);
    return fgets(line, sizeof line, stdin) != NULL && (line[0] == 'y' || line[0] == 'Y');
}

static void tell(const struct act *a, const struct queue_target *t, const struct queue_act_options *o,
                 const struct queue_bulk_result *r)
{
    if (o->json) {
        json_t *j = json_pack("{s:s, s:s, s:b}", "queue", t->name, "act", a->verb, "dry_run", o->dry_run);
        if (a->bulk != NULL) {
            json_object_set_new(j, "jobs", json_integer((json_int_t)r->done));
            json_object_set_new(j, "left_alone", json_integer((json_int_t)r->skipped));
        }
        json_dumpf(j, stdout, JSON_COMPACT);
        putchar('\n');
        json_decref(j);
        return;
    }
    if (o->quiet)
        return;
    if (a->bulk == NULL) {
        printf("%s: %s%s\n", t->name, o->dry_run ? "would be " : "", a->did);
        return;
    }
    printf("%s: %s%s %" PRIu64 " job%s", t->name, o->dry_run ? "would " : "", o->dry_run ? a->would : a->did,
           r->done, r->done == 1 ? "" : "s");
    if (r->skipped > 0)
        printf(", %" PRIu64 " left alone (in work, or the next of a repeated job)", r->skipped);
    putchar('\n');
}

int queue_acts_run(struct queue_session *s, const char *verb, const char *name,
                   const struct queue_act_options *o)
{
    const struct act *a = find(verb);
    const char *word = o->state != NULL ? o->state : a->state;
    enum queue_state state = QUEUE_STATE_NONE;
    struct queue_target t;
    struct queue_bulk_result r = {0};
    char why[256];
    if (word != NULL && !queue_state_of(word, &state)) {
        fprintf(stderr,
                "dray queue: --state %s: expected wait, paused, active, delayed, completed or failed\n",
                word);
        return EXIT_CODE_USAGE;
    }
    if (o->state != NULL && a->bulk != clean) {
        fprintf(stderr, "dray queue %s: --state is for clean\n", a->verb);
        return EXIT_CODE_USAGE;
    }
    if (queue_target_find(s->conf, name, &t, why, sizeof why) < 0) {
        fprintf(stderr, "dray queue: %s\n", why);
        return EXIT_CODE_USAGE;
    }
    int code = queue_session_know(s, &t);
    bool look_first = a->bulk != NULL && (o->dry_run || (a->deletes && !o->yes));
    if (code == EXIT_CODE_OK && look_first)
        code = pass(s, a, &t, o, state, true, &r);
    if (code == EXIT_CODE_OK && a->deletes && !o->dry_run && !o->yes && r.done > 0 && !confirmed(a, &t, &r))
        code = EXIT_CODE_FAILURE;
    if (code == EXIT_CODE_OK && !o->dry_run)
        code = pass(s, a, &t, o, state, false, &r);
    if (code == EXIT_CODE_OK)
        tell(a, &t, o, &r);
    queue_target_fini(&t);
    return code;
}
