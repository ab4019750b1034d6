/* queue_show - dray queue ls, dray queue show NAME|ID: reads Redis directly, so it answers when no dray runs too. */
#include "master/cli/queue_show.h"

#include "common/redis/redis.h"

#include <hiredis/hiredis.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/str.h"
#include "common/queue/queue.h"
#include "master/cli/job_show.h"
#include "master/cli/queue_look.h"
#include "master/cli/queue_place.h"
#include "master/cli/queue_who.h"
#include "master/cli/table.h"

#define URL_SIZE   1024
#define TIMEOUT_MS 5000

static const char *const columns[] = {"name",      "mode",           "wait",      "active",
                                      "delayed",   "paused",         "completed", "failed",
                                      "is_paused", "oldest_wait_ms", NULL};

int queue_show_failed(const struct queue_look *l, const char *verb, const char *queue)
{
    fprintf(stderr, "dray %s: %s%sRedis: %s\n", verb, queue != NULL ? queue : "", queue != NULL ? ": " : "",
            l->error);
    return l->c->err != 0 ? EXIT_CODE_UNREACHABLE : EXIT_CODE_FAILURE;
}

void queue_show_json(const json_t *j)
{
    json_dumpf(j, stdout, JSON_COMPACT);
    putchar('\n');
}

/* Configured queues first, then what else is found. */
static json_t *list_names(struct queue_look *l, const struct conf *c)
{
    json_t *names = json_array();
    bool complete = true;
    for (size_t i = 0; i < c->n_destinations; i++)
        json_array_append_new(names, json_string(c->destinations[i].id));
    for (size_t i = 0; i < c->n_takeovers; i++)
        json_array_append_new(names, json_string(c->takeovers[i].id));
    if (queue_look_names(l, names, &complete) < 0) {
        json_decref(names);
        return NULL;
    }
    if (!complete)
        fprintf(stderr,
                "dray queue: Redis has very many keys; queues that are not configured may be missing\n");
    return names;
}

static void add_up(json_t *sum, const json_t *row)
{
    static const char *const counts[] = {"wait", "active", "delayed", "paused", "completed", "failed"};
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++)
        json_object_set_new(sum, counts[i],
                            json_integer(json_integer_value(json_object_get(sum, counts[i])) +
                                         json_integer_value(json_object_get(row, counts[i]))));
    if (json_is_true(json_object_get(row, "is_paused")))
        json_object_set_new(sum, "is_paused", json_true());
    json_t *oldest = json_object_get(row, "oldest_wait_ms"), *before = json_object_get(sum, "oldest_wait_ms");
    if (json_is_integer(oldest) && json_integer_value(oldest) >= json_integer_value(before))
        json_object_set(sum, "oldest_wait_ms", oldest);
}

/* Not a queue, but one partition of it. */
static bool is_partition(const struct queue_target *t)
{
    return strchr(t->name, '#') != NULL;
}

static json_t *holder_of(struct queue_look *l, const char *name, json_t *row)
{
    json_t *token = queue_who_holds(l, name);
    json_object_set_new(row, "holder", token);
    json_object_set_new(row, "worker", queue_who_name(l, json_string_value(token)));
    return row;
}

/* One row for the target; partitions (may be NULL) gets one for each of its queues. NULL: Redis failed, said. */
static json_t *count_target(struct queue_look *l, const struct queue_target *t, json_t *partitions)
{
    json_t *sum = NULL;
    for (size_t i = 0; i < t->n; i++) {
        l->prefix = t->places[i].prefix;
        json_t *row = queue_look_counts(l, t->places[i].name);
        if (row == NULL) {
            (void)queue_show_failed(l, "queue", t->places[i].label);
            json_decref(sum);
            return NULL;
        }
        json_object_set_new(row, "name", json_string(t->places[i].label));
        if (sum == NULL)
            sum = json_deep_copy(row);
        else
            add_up(sum, row);
        if (t->mode == CONF_MODE_STRICT || is_partition(t))
            holder_of(l, t->places[i].name, sum);
        else if (t->mode == CONF_MODE_KEY && partitions != NULL)
            json_array_append(partitions, holder_of(l, t->places[i].name, row));
        json_decref(row);
    }
    json_object_set_new(sum, "name", json_string(t->name));
    json_object_set_new(sum, "mode", json_string(conf_mode_name(t->mode)));
    if (t->mode == CONF_MODE_KEY && !is_partition(t))
        json_object_set_new(sum, "partition_count", json_integer((json_int_t)t->n));
    return sum;
}

/* NULL: said. */
static json_t *count_named(struct queue_look *l, const struct conf *c, const char *name)
{
    struct queue_target t;
    if (queue_target_find(c, name, &t, l->error, sizeof l->error) < 0) {
        fprintf(stderr, "dray queue: %s\n", l->error);
        return NULL;
    }
    json_t *row = count_target(l, &t, NULL);
    queue_target_fini(&t);
    return row;
}

/* For people: "key, 16 partitions". */
static void print_queues(const json_t *rows)
{
    json_t *shown = json_deep_copy(rows), *row;
    size_t i;
    json_array_foreach(shown, i, row)
    {
        json_int_t n = json_integer_value(json_object_get(row, "partition_count"));
        if (n > 0)
            json_object_set_new(row, "mode",
                                json_sprintf("key, %lld partition%s", (long long)n, n == 1 ? "" : "s"));
    }
    table_print(stdout, shown, columns);
    json_decref(shown);
}

/* A queue that cannot be read does not hide the others. */
static int list(struct queue_look *l, const struct conf *c, bool json)
{
    json_t *names = list_names(l, c), *rows = json_array(), *name;
    size_t i;
    int code = names != NULL ? EXIT_CODE_OK : queue_show_failed(l, "queue", NULL);
    json_array_foreach(names, i, name)
    {
        json_t *row = count_named(l, c, json_string_value(name));
        if (row != NULL)
            json_array_append_new(rows, row);
        else
            code = l->c->err != 0 ? EXIT_CODE_UNREACHABLE : EXIT_CODE_FAILURE;
        if (l->c->err != 0)
            break;
    }
    if (json && code != EXIT_CODE_UNREACHABLE) {
        json_t *answer = json_pack("{s:O}", "queues", rows);
        queue_show_json(answer);
        json_decref(answer);
    } else if (json_array_size(rows) > 0) {
        print_queues(rows);
    } else if (code == EXIT_CODE_OK) {
        fprintf(stderr, "dray queue: no queue yet\n");
    }
    json_decref(names);
    json_decref(rows);
    return code;
}

static void print_rows(const json_t *o, const char *key, const char *title, const char *const *keys)
{
    const json_t *rows = json_object_get(o, key);
    if (json_array_size(rows) == 0)
        return;
    printf("\n%s\n", title);
    table_print(stdout, rows, keys);
}

/* Candidates with what they hold: "processes", or the numbers of partitions. */
static void print_candidates(const json_t *o)
{
    static const char *const keys[] = {"worker", "does", NULL};
    json_t *rows = json_deep_copy(json_object_get(o, "candidates")), *row, *one;
    size_t i, k;
    json_array_foreach(rows, i, row)
    {
        const json_t *holds = json_object_get(row, "holds");
        char text[512] = "";
        size_t len = 0;
        json_array_foreach(holds, k, one)
        {
            if (len < sizeof text)
                len += (size_t)snprintf(text + len, sizeof text - len, "%s%s", k == 0 ? "processes " : ", ",
                                        json_string_value(one));
        }
        json_object_set_new(row, "does", json_string(len > 0 ? text : "stands by"));
    }
    if (json_array_size(rows) > 0)
        printf("\nCANDIDATES\n");
    table_print(stdout, rows, keys);
    json_decref(rows);
}

static void print_queue(json_t *o)
{
    static const char *const partition[] = {"name",      "wait",   "active", "delayed", "paused",
                                            "completed", "failed", "worker", NULL};
    static const char *const worker[] = {"worker", "address", NULL};
    static const char *const active[] = {"queue", "id", "worker", "active_ms", NULL};
    static const char *const failed[] = {"queue", "id", "attempts_made", "ago_ms", "failed_reason", NULL};
    int from = json_object_get(o, "partitions") == NULL; /* else they may be of several queues */
    bool ordered = json_object_get(o, "candidates") != NULL;
    json_t *rows = json_pack("[O]", o);
    print_queues(rows);
    json_decref(rows);
    print_rows(o, "partitions", "PARTITIONS", partition);
    print_candidates(o);
    print_rows(o, "workers",
               ordered ? "OTHER WORKERS (they take without the lease: while they work there is no order)"
                       : "WORKERS",
               worker);
    print_rows(o, "active_jobs", "ACTIVE", active + from);
    print_rows(o, "failed_jobs", "FAILED LAST", failed + from);
}

/* Which queues of the target each candidate holds; and of the workers only those who are no candidates. */
static void put_candidates(struct queue_look *l, const struct queue_target *t, json_t *o)
{
    json_t *members = queue_who_stands_by(l, t->places[0].name), *shown = json_array();
    json_t *others = json_array(), *one, *row;
    const json_t *parts = json_object_get(o, "partitions");
    size_t i, k;
    json_array_foreach(members, i, one)
    {
        json_t *holds = json_array(), *token = json_object_get(one, "token");
        if (parts == NULL && json_equal(token, json_object_get(o, "holder")))
            json_array_append_new(holds, json_string(t->name));
        json_array_foreach(parts, k, row)
        {
            if (json_equal(token, json_object_get(row, "holder")))
                json_array_append(holds, json_object_get(row, "name"));
        }
        json_object_set_new(one, "holds", holds);
        if (json_array_size(holds) > 0 || !is_partition(t)) /* of a partition the others do not tell */
            json_array_append(shown, one);
    }
    json_array_foreach(json_object_get(o, "workers"), k, row)
    {
        bool known = false;
        json_array_foreach(members, i, one)
        {
            known = known || json_equal(json_object_get(one, "token"), json_object_get(row, "token"));
        }
        if (!known)
            json_array_append(others, row);
    }
    json_object_set_new(o, "candidates", shown);
    json_decref(members);
    json_object_set_new(o, "workers", others);
}

static json_t *queue_of(struct queue_look *l, const struct queue_target *t, const struct conf *c)
{
    json_t *partitions = t->mode == CONF_MODE_KEY && !is_partition(t) ? json_array() : NULL;
    json_t *o = count_target(l, t, partitions);
    if (o != NULL && partitions != NULL)
        json_object_set(o, "partitions", partitions);
    json_decref(partitions);
    for (size_t i = 0; o != NULL && i < t->n; i++) {
        l->prefix = t->places[i].prefix;
        queue_look_details(l, t->places[i].name, t->places[i].label, o);
    }
    if (o != NULL && t->mode != CONF_MODE_SHARED) {
        l->prefix = t->takeover != NULL ? t->takeover->prefix : c->queue.prefix;
        put_candidates(l, t, o);
    }
    return o;
}

static int show_queue(struct queue_look *l, const struct conf *c, const char *what, bool json)
{
    struct queue_target t;
    if (queue_target_find(c, what, &t, l->error, sizeof l->error) < 0) {
        fprintf(stderr, "dray queue: %s\n", l->error);
        return EXIT_CODE_USAGE;
    }
    json_t *found = queue_of(l, &t, c);
    queue_target_fini(&t);
    if (found == NULL)
        return l->c->err != 0 ? EXIT_CODE_UNREACHABLE : EXIT_CODE_FAILURE;
    if (json)
        queue_show_json(found);
    else
        print_queue(found);
    json_decref(found);
    return EXIT_CODE_OK;
}

/* Is it one of the names, or a partition? nearest: the one that was perhaps meant. */
static bool is_name(const json_t *names, const char *what, const char **nearest)
{
    unsigned best = CLI_FAR;
    const json_t *name;
    size_t i;
    *nearest = NULL;
    json_array_foreach(names, i, name)
    {
        if (strcmp(json_string_value(name), what) == 0)
            return true;
        if (cli_is_nearer(what, json_string_value(name), &best))
            *nearest = json_string_value(name);
    }
    return strchr(what, '#') != NULL;
}

static void say_nearest(const char *verb, const char *none, const char *what, const char *nearest)
{
    fprintf(stderr, "dray %s: %s is named %s%s%s%s; dray queue ls lists the queues\n", verb, none, what,
            nearest != NULL ? " (did you mean " : "", nearest != NULL ? nearest : "",
            nearest != NULL ? "?)" : "");
}

static int show(struct queue_look *l, const struct conf *c, const char *what, bool json)
{
    json_t *names = list_names(l, c);
    const char *nearest;
    if (names == NULL)
        return queue_show_failed(l, "queue", NULL);
    bool is_queue = is_name(names, what, &nearest);
    int code =
        is_queue ? show_queue(l, c, what, json) : job_show_find(l, c, "queue", names, NULL, what, json);
    if (code == EXIT_CODE_NOT_RUNNING)
        say_nearest("queue", "no queue and no job", what, nearest);
    json_decref(names);
    return code;
}

static int show_job(struct queue_look *l, const struct conf *c, const char *id, const char *queue, bool json)
{
    json_t *names = list_names(l, c);
    const char *nearest;
    int code = EXIT_CODE_NOT_RUNNING;
    if (names == NULL)
        return queue_show_failed(l, "job", NULL);
    if (queue != NULL && !is_name(names, queue, &nearest)) {
        say_nearest("job", "no queue", queue, nearest);
    } else {
        code = job_show_find(l, c, "job", names, queue, id, json);
        if (code == EXIT_CODE_NOT_RUNNING)
            fprintf(stderr, "dray job: %s job %s%s%s\n", queue != NULL ? "there is no" : "no queue has a", id,
                    queue != NULL ? " in " : "", queue != NULL ? queue : "");
    }
    json_decref(names);
    return code;
}

int queue_show_run(const struct cli *o, enum queue_show kind, const char *what, const char *queue)
{
    char url[URL_SIZE], why[256];
    enum exitcode loaded;
    struct conf *c = queue_session_conf(o, &loaded);
    if (c == NULL)
        return (int)loaded;
    queue_session_url(o, c, url, sizeof url);
    struct queue_look l = {.prefix = c->queue.prefix, .home_prefix = c->queue.prefix};
    l.c = redis_connect_blocking(url, c->redis.username, c->redis.password, TIMEOUT_MS, why, sizeof why);
    if (l.c == NULL) {
        queue_session_say(c, kind == QUEUE_SHOW_JOB ? "job" : "queue", url, why);
        conf_free(c);
        return EXIT_CODE_UNREACHABLE;
    }
    int code = kind == QUEUE_SHOW_ALL   ? list(&l, c, o->json)
               : kind == QUEUE_SHOW_ONE ? show(&l, c, what, o->json)
                                        : show_job(&l, c, what, queue, o->json);
    queue_look_fini(&l);
    conf_free(c);
    return code;
}
